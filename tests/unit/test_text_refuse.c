/* SPDX-License-Identifier: Apache-2.0 */
/* Bad tokenizer.json: one line that names file, field, value and what was expected; and no crash
 * on any cut or flipped bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "tandem/tokenizer.h"

/* clang-format off */
static const char whole[] =
    "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,"
    "\"added_tokens\":[{\"id\":2,\"content\":\"[CLS]\",\"single_word\":false,\"lstrip\":false,"
        "\"rstrip\":false,\"normalized\":false,\"special\":true}],"
    "\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,"
        "\"handle_chinese_chars\":true,\"strip_accents\":null,\"lowercase\":true},"
    "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},"
    "\"post_processor\":{\"type\":\"TemplateProcessing\","
        "\"single\":[{\"SpecialToken\":{\"id\":\"[CLS]\",\"type_id\":0}},"
            "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],"
        "\"pair\":[{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},"
            "{\"Sequence\":{\"id\":\"B\",\"type_id\":1}}],"
        "\"special_tokens\":{\"[CLS]\":{\"id\":\"[CLS]\",\"ids\":[2],\"tokens\":[\"[CLS]\"]}}},"
    "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\","
        "\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":100,"
        "\"vocab\":{\"a\":0,\"[UNK]\":1,\"[CLS]\":2,\"##a\":3}}}";

#define MODEL \
    "\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"##\"," \
    "\"max_input_chars_per_word\":100,\"vocab\":{\"a\":0,\"[UNK]\":1,\"[CLS]\":2,\"##a\":3}"

/* `from` becomes `to`: the message. */
static const struct {
    const char *from;
    const char *to;
    const char *message;
    tandem_status status;
} cases[] = {
    {"\"1.0\"", "\"9.9\"", "t.json: version: \"9.9\", expected \"1.0\"", TANDEM_UNSUPPORTED},
    {"\"WordPiece\"", "\"Unigram2\"",
     "t.json: model: type: \"Unigram2\" is not supported, expected ", TANDEM_UNSUPPORTED},
    {"\"BertNormalizer\"", "\"Mystery\"",
     "t.json: normalizer: type: \"Mystery\" is not supported, expected ", TANDEM_UNSUPPORTED},
    {"\"BertPreTokenizer\"", "\"Mystery\"",
     "t.json: pre_tokenizer: type: \"Mystery\" is not supported, expected ", TANDEM_UNSUPPORTED},
    {"\"TemplateProcessing\"", "\"Mystery\"",
     "t.json: post_processor: type: \"Mystery\" is not supported, expected ", TANDEM_UNSUPPORTED},
    {"\"type\":\"BertPreTokenizer\"", "\"type\":7",
     "t.json: pre_tokenizer: type: 7, expected the name of a part", TANDEM_FORMAT},
    {"\"clean_text\":true", "\"clean_text\":1",
     "t.json: normalizer: clean_text: 1, expected true or false", TANDEM_FORMAT},
    {"\"lowercase\":true", "\"uppercase\":true",
     "t.json: normalizer: lowercase: nothing, expected true or false", TANDEM_FORMAT},
    {"\"strip_accents\":null", "\"strip_accents\":\"no\"",
     "t.json: normalizer: strip_accents: \"no\", expected true or false", TANDEM_FORMAT},
    {"\"unk_token\":\"[UNK]\",", "", "t.json: model: unk_token: nothing, expected a string",
     TANDEM_FORMAT},
    {"\"max_input_chars_per_word\":100", "\"max_input_chars_per_word\":-1",
     "t.json: model: max_input_chars_per_word: -1, expected an integer >= 0", TANDEM_FORMAT},
    {"\"##a\":3", "\"##a\":-3",
     "t.json: model: vocab: id of \"##a\" is -3, expected 0 to 16777215", TANDEM_FORMAT},
    {"\"##a\":3", "\"##a\":99999999999999999999",
     "t.json: model: vocab: id of \"##a\" is 99999999999999999999, expected 0 to 16777215",
     TANDEM_FORMAT},
    {"\"##a\":3", "\"##a\":\"3\"",
     "t.json: model: vocab: id of \"##a\" is \"3\", expected 0 to 16777215", TANDEM_FORMAT},
    {"\"vocab\":{", "\"words\":{", "t.json: model: vocab: nothing, expected an object",
     TANDEM_FORMAT},
    {"[{\"id\":2,", "[{\"id\":\"2\",", "t.json: added_tokens: [0]: id: \"2\", expected ",
     TANDEM_FORMAT},
    {"\"content\":\"[CLS]\",", "", "t.json: added_tokens: [0]: content: nothing, expected a string",
     TANDEM_FORMAT},
    {"\"rstrip\":false,", "", "t.json: added_tokens: [0]: rstrip: nothing, expected true or false",
     TANDEM_FORMAT},
    {"\"content\":\"[CLS]\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
     "\"normalized\":false",
     "\"content\":\"\\u0301\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
     "\"normalized\":true",
     "t.json: added_tokens: added token \"\xcc\x81\" is empty when normalised, expected some text",
     TANDEM_UNSUPPORTED},
    {"\"ids\":[2]", "\"ids\":[7]",
     "t.json: post_processor: token \"[CLS]\" has id 7, expected one of the vocabulary",
     TANDEM_FORMAT},
    {"\"ids\":[2]", "\"ids\":[2,2]",
     "t.json: post_processor: special_tokens.[CLS]: tokens: an array of 1, expected ",
     TANDEM_FORMAT},
    {"{\"id\":\"[CLS]\",\"type_id\":0}", "{\"id\":\"[X]\",\"type_id\":0}",
     "t.json: post_processor: single: SpecialToken.id: \"[X]\", expected a name from "
     "special_tokens",
     TANDEM_FORMAT},
    {"{\"id\":\"[CLS]\",\"type_id\":0}", "{\"id\":\"[CLS]\",\"type_id\":-1}",
     "t.json: post_processor: single: type_id: -1, expected an integer from 0 to 16777215",
     TANDEM_FORMAT},
    {"{\"id\":\"B\",\"type_id\":1}", "{\"id\":\"C\",\"type_id\":1}",
     "t.json: post_processor: pair: Sequence.id: \"C\", expected \"A\" or \"B\"", TANDEM_FORMAT},
    {"{\"SpecialToken\":", "{\"Other\":", "t.json: post_processor: single: piece: an object of 1, "
     "expected a Sequence or a SpecialToken", TANDEM_FORMAT},
    {"\"BertNormalizer\"", "\"Precompiled\"",
     "t.json: normalizer: precompiled_charsmap: nothing, expected base64", TANDEM_FORMAT},
    {"\"BertNormalizer\"", "\"Precompiled\",\"precompiled_charsmap\":\"AA?A\"",
     "t.json: normalizer: precompiled_charsmap: no base64 at byte 2", TANDEM_FORMAT},
    {"\"BertNormalizer\"", "\"Precompiled\",\"precompiled_charsmap\":\"CAAAAAAAAAA=\"",
     "t.json: normalizer: precompiled_charsmap: a trie of 8 bytes in 8, expected whole units",
     TANDEM_FORMAT},
    {"\"BertNormalizer\"", "\"Precompiled\",\"precompiled_charsmap\":\"BAAAAAAAAAD/\"",
     "t.json: normalizer: precompiled_charsmap: no UTF-8 at byte 0 of its texts", TANDEM_FORMAT},
    {"\"BertNormalizer\"", "\"Replace\",\"content\":\"\",\"pattern\":{\"Regex\":\"b(?>a)\"}",
     "t.json: normalizer: pattern.Regex: this group is not supported, at byte 1: \"(?>a)\"",
     TANDEM_UNSUPPORTED},
    {"\"BertNormalizer\"", "\"Replace\",\"content\":\"\",\"pattern\":{\"Regex\":\"a*\"}",
     "t.json: normalizer: pattern.Regex: can match nothing, expected some text",
     TANDEM_UNSUPPORTED},
    {"\"BertPreTokenizer\"", "\"Split\",\"invert\":false,\"behavior\":\"Isolated\"",
     "t.json: pre_tokenizer: pattern.String: nothing, expected a string", TANDEM_FORMAT},
    {"\"BertPreTokenizer\"", "\"Split\",\"invert\":false,\"behavior\":\"Kept\"",
     "t.json: pre_tokenizer: behavior: \"Kept\", expected Removed, Isolated, ", TANDEM_FORMAT},
    {"\"BertPreTokenizer\"",
     "\"Split\",\"invert\":1,\"behavior\":\"Removed\",\"pattern\":{\"Regex\":\"a\"}",
     "t.json: pre_tokenizer: invert: 1, expected true or false", TANDEM_FORMAT},
    {"\"BertPreTokenizer\"",
     "\"Split\",\"invert\":false,\"behavior\":\"Removed\",\"pattern\":{\"Regex\":\"(\"}",
     "t.json: pre_tokenizer: pattern.Regex: an open ( is no pattern, at byte 0: \"(\"",
     TANDEM_FORMAT},
    {"\"BertPreTokenizer\"", "\"Digits\"",
     "t.json: pre_tokenizer: individual_digits: nothing, expected true or false", TANDEM_FORMAT},
    {"\"BertPreTokenizer\"", "\"Punctuation\",\"behavior\":2",
     "t.json: pre_tokenizer: behavior: 2, expected Removed, ", TANDEM_FORMAT},
    {"\"BertPreTokenizer\"", "\"CharDelimiterSplit\",\"delimiter\":\"ab\"",
     "t.json: pre_tokenizer: delimiter: \"ab\", expected one character", TANDEM_FORMAT},
    {"\"BertNormalizer\"", "\"Replace\",\"content\":\"\",\"pattern\":{\"Text\":\"a\"}",
     "t.json: normalizer: pattern: String: nothing, expected a string", TANDEM_FORMAT},
    {"\"BertNormalizer\"", "\"Sequence\",\"normalizers\":[{\"type\":\"Strip\"}]",
     "t.json: normalizer: normalizers[0]: strip_left: nothing, expected true or false",
     TANDEM_FORMAT},
    {"\"BertNormalizer\"", "\"Sequence\",\"normalizers\":[{\"type\":\"NFX\"}]",
     "t.json: normalizer: normalizers[0]: type: \"NFX\" is not supported, expected ",
     TANDEM_UNSUPPORTED},
    {"\"BertPreTokenizer\"", "\"Metaspace\",\"replacement\":\"__\"",
     "t.json: pre_tokenizer: replacement: \"__\", expected one character", TANDEM_FORMAT},
    {"\"BertPreTokenizer\"", "\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"last\"",
     "t.json: pre_tokenizer: prepend_scheme: \"last\", expected always, first or never",
     TANDEM_FORMAT},
    {"\"BertPreTokenizer\"", "\"Metaspace\",\"replacement\":\"_\",\"add_prefix_space\":false",
     "t.json: pre_tokenizer: add_prefix_space: false, expected true with prepend_scheme always",
     TANDEM_FORMAT},
    {"\"BertPreTokenizer\"", "\"Sequence\",\"pretokenizers\":[{\"type\":\"Mystery\"}]",
     "t.json: pre_tokenizer: pretokenizers[0]: type: \"Mystery\" is not supported, expected ",
     TANDEM_UNSUPPORTED},
    {"\"BertPreTokenizer\"", "\"ByteLevel\",\"add_prefix_space\":1",
     "t.json: pre_tokenizer: add_prefix_space: 1, expected true or false", TANDEM_FORMAT},
    {"\"BertPreTokenizer\"", "\"ByteLevel\",\"add_prefix_space\":true",
     "t.json: pre_tokenizer: trim_offsets: nothing, expected true or false", TANDEM_FORMAT},
    {"\"BertPreTokenizer\"", "\"Sequence\"",
     "t.json: pre_tokenizer: pretokenizers: nothing, expected an array of at most 64 parts",
     TANDEM_FORMAT},
    {"\"WordPiece\"", "\"Unigram\"",
     "t.json: model: vocab: an object of 4, expected an array of pieces", TANDEM_FORMAT},
    {MODEL, "\"Unigram\",\"unk_id\":0,\"vocab\":[]",
     "t.json: model: vocab: an array of 0, expected at least one piece", TANDEM_FORMAT},
    {MODEL, "\"Unigram\",\"vocab\":[[\"a\",0],[\"b\"]]",
     "t.json: model: vocab: piece 1 is an array of 1, expected a text and its score",
     TANDEM_FORMAT},
    {MODEL, "\"Unigram\",\"vocab\":[[\"a\",0],[\"ab\",1],[\"a\",2]]",
     "t.json: model: vocab: \"a\" comes twice, expected it once", TANDEM_UNSUPPORTED},
    {MODEL, "\"Unigram\",\"unk_id\":1,\"vocab\":[[\"a\",0]]",
     "t.json: model: unk_id: 1, expected an integer from 0 to 0", TANDEM_FORMAT},
    {"\"padding\":null", "\"padding\":nil", "t.json: not valid JSON at line 1, byte ",
     TANDEM_FORMAT},
};
/* clang-format on */

static tandem_status try_open(const char *json, size_t len, tandem_error *err) {
    tandem_tokenizer *tokenizer = NULL;
    tandem_error_clear(err);
    const tandem_status status = tandem_tokenizer_open_memory(json, len, "t.json", &tokenizer, err);
    assert_true((status == TANDEM_OK) == (tokenizer != NULL));
    assert_true((status == TANDEM_OK) == (err->message[0] == '\0'));
    tandem_tokenizer_close(tokenizer);
    return status;
}

static void test_messages(void **state) {
    (void)state;
    tandem_error err = {0};
    assert_int_equal(try_open(whole, sizeof whole - 1, &err), TANDEM_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *const at = strstr(whole, cases[i].from);
        assert_non_null(at);
        tandem_buffer json;
        tandem__buffer_init(&json, 1 << 16);
        assert_int_equal(tandem__buffer_printf(&json, &err, "%.*s%s%s", (int)(at - whole), whole,
                                               cases[i].to, at + strlen(cases[i].from)),
                         TANDEM_OK);
        const tandem_status status = try_open(json.ptr, json.len, &err);
        if (strncmp(err.message, cases[i].message, strlen(cases[i].message)) != 0) {
            fail_msg("case %zu: \"%s\", expected \"%s\"", i, err.message, cases[i].message);
        }
        assert_int_equal(status, cases[i].status);
        tandem__buffer_deinit(&json);
    }
}

static void test_every_cut(void **state) {
    (void)state;
    tandem_error err = {0};
    for (size_t len = 0; len < sizeof whole - 1; len++) {
        assert_int_equal(try_open(whole, len, &err), TANDEM_FORMAT);
    }
}

/* Every third bit: over three bytes that is each bit of a byte. */
static void test_flipped_bits(void **state) {
    (void)state;
    tandem_error err = {0};
    char json[sizeof whole];
    int opened = 0;
    for (size_t bit = 0; bit < 8 * (sizeof whole - 1); bit += 3) {
        memcpy(json, whole, sizeof whole);
        json[bit / 8] = (char)(json[bit / 8] ^ (1 << (bit % 8)));
        opened += try_open(json, sizeof whole - 1, &err) == TANDEM_OK;
    }
    assert_in_range(opened, 1, sizeof whole); /* names of words may change */
}

static void test_no_file(void **state) {
    (void)state;
    tandem_tokenizer *tokenizer = NULL;
    tandem_error err = {0};
    assert_int_equal(tandem_tokenizer_open("tests/golden/absent.json", &tokenizer, &err),
                     TANDEM_NOT_FOUND);
    assert_null(tokenizer);
    assert_non_null(strstr(err.message, "tests/golden/absent.json"));
    tandem_tokenizer_close(NULL);
}

/* A word that only the unknown token could stand for, and none is in the vocabulary. */
static void test_missing_unknown_token(void **state) {
    (void)state;
    static const char json[] =
        "{\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"<unk>\","
        "\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":5,\"vocab\":{\"a\":0}}}";
    tandem_tokenizer *tokenizer = NULL;
    tandem_encoding e = {0};
    tandem_error err = {0};
    assert_int_equal(
        tandem_tokenizer_open_memory(json, sizeof json - 1, "t.json", &tokenizer, &err), TANDEM_OK);
    assert_int_equal(tandem_tokenizer_encode(tokenizer, "a", 1, NULL, 0, NULL, &e, &err),
                     TANDEM_OK);
    assert_int_equal(e.count, 1);
    assert_int_equal(tandem_tokenizer_encode(tokenizer, "b", 1, NULL, 0, NULL, &e, &err),
                     TANDEM_FORMAT);
    assert_string_equal(err.message, "model.unk_token: \"<unk>\" is needed for a word of 1 bytes, "
                                     "expected it in the vocabulary");
    assert_int_equal(e.count, 0);
    tandem_encoding_deinit(&e);
    tandem_tokenizer_close(tokenizer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_flipped_bits),
        cmocka_unit_test(test_no_file),
        cmocka_unit_test(test_missing_unknown_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
