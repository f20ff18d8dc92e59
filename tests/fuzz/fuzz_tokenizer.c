/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a tokenizer.json, and what opens encodes. After a line "=== text" the rest of the
 * input is encoded as well, cut in two for a pair. */
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/utf8.h"
#include "tandem/tokenizer.h"

#define MARK "\n=== text\n"

#define IDS_SHOWN 64
#define REST_MAX  8192
#define PAIR_MAX  128 /* windows of a pair are as many as the products of those of its texts */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_boundary(tandem_str text, int32_t at) {
    return (size_t)at == text.len || ((uint8_t)text.ptr[at] & 0xc0) != 0x80;
}

static void check_token(const tandem_tokenizer *tokenizer, const tandem_encoding *e, int32_t i,
                        const tandem_str texts[2]) {
    TANDEM_ASSERT(e->ids[i] >= 0 && e->ids[i] < tandem_tokenizer_vocab_size(tokenizer));
    TANDEM_ASSERT(tandem_tokenizer_token(tokenizer, e->ids[i], NULL) != NULL);
    if (e->bytes == NULL) return;
    const tandem_span bytes = e->bytes[i];
    const tandem_span chars = e->chars[i];
    TANDEM_ASSERT(bytes.start >= 0 && bytes.start <= bytes.end);
    TANDEM_ASSERT(chars.start >= 0 && chars.start <= chars.end && chars.end <= bytes.end);
    const tandem_str longer = texts[texts[1].len > texts[0].len];
    TANDEM_ASSERT((size_t)bytes.end <= longer.len);
    TANDEM_ASSERT(texts[1].len > 0 ||
                  (is_boundary(texts[0], bytes.start) && is_boundary(texts[0], bytes.end)));
    TANDEM_ASSERT(e->special[i] ? e->words[i] == -1 : e->words[i] >= 0);
    size_t len = 0;
    const char *const token = tandem_encoding_token(e, tokenizer, i, &len);
    TANDEM_ASSERT(token != NULL && token[len] == '\0');
}

static void check_encoding(const tandem_tokenizer *tokenizer, const tandem_encoding *e,
                           const tandem_str texts[2]) {
    TANDEM_ASSERT(e->windows >= 1 && e->starts[0] == 0 && e->starts[e->windows] == e->count);
    TANDEM_ASSERT(e->dropped >= 0);
    for (int32_t w = 0; w < e->windows; w++) TANDEM_ASSERT(e->starts[w] <= e->starts[w + 1]);
    for (int32_t i = 0; i < e->count; i++) check_token(tokenizer, e, i, texts);
}

/* Decoding agrees with itself: measured, whole and cut. */
static void check_decode(const tandem_tokenizer *tokenizer, const int32_t *ids, size_t count) {
    char text[256];
    size_t len = 0;
    size_t measured = 0;
    tandem_error err = {0};
    const bool skips = count % 2 == 1;
    const tandem_status status =
        tandem_tokenizer_decode(tokenizer, ids, count, skips, NULL, 0, &measured, &err);
    if (status != TANDEM_OK) {
        TANDEM_ASSERT(err.status == status && err.message[0] != '\0');
        return;
    }
    TANDEM_ASSERT(tandem_tokenizer_decode(tokenizer, ids, count, skips, text, sizeof text, &len,
                                          &err) == TANDEM_OK);
    TANDEM_ASSERT(len == measured);
    const size_t kept = len < sizeof text ? len : strlen(text);
    TANDEM_ASSERT(kept < sizeof text && text[kept] == '\0');
    TANDEM_ASSERT(tandem_utf8_check(text, kept) == kept);
}

/* The first ids, whether there are tokens for them or not, and one by one. */
static void decode_first(const tandem_tokenizer *tokenizer) {
    int32_t ids[IDS_SHOWN];
    for (int32_t i = 0; i < IDS_SHOWN; i++) ids[i] = i;
    check_decode(tokenizer, ids, IDS_SHOWN);
    check_decode(tokenizer, ids, 0);
    for (int32_t i = 0; i < IDS_SHOWN; i++) check_decode(tokenizer, ids + i, 1);
}

static void encode(const tandem_tokenizer *tokenizer, tandem_str text, tandem_str pair) {
    static const tandem_encode_options options[] = {
        {0},
        {.want = TANDEM_WANT_OFFSETS},
        {.want = TANDEM_WANT_OFFSETS, .max_length = 9, .stride = 2, .keep_overflow = true},
        {.want = TANDEM_WANT_OFFSETS,
         .max_length = 7,
         .truncation = TANDEM_TRUNCATION_ONLY_FIRST,
         .truncate_left = true,
         .keep_overflow = true},
        {.max_length = 4, .truncation = TANDEM_TRUNCATION_ONLY_SECOND, .skip_special = true},
    };
    tandem_encoding e = {0};
    const tandem_str texts[2] = {text, pair};
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        tandem_error err = {0};
        const tandem_status status = tandem_tokenizer_encode(
            tokenizer, text.ptr, text.len, pair.ptr, pair.len, &options[i], &e, &err);
        if (status != TANDEM_OK) {
            TANDEM_ASSERT(e.count == 0 && err.status == status && err.message[0] != '\0');
            continue;
        }
        check_encoding(tokenizer, &e, texts);
        check_decode(tokenizer, e.ids, (size_t)e.count);
    }
    tandem_encoding_deinit(&e);
}

/* The part after the mark, made UTF-8, as a text, and its halves as a pair. */
static void encode_rest(const tandem_tokenizer *tokenizer, const char *rest, size_t len) {
    if (len == 0 || len > REST_MAX) return;
    char *const text = tandem__mem_calloc(len, 3);
    if (text == NULL) return;
    const size_t valid = tandem_utf8_replace(rest, len, text);
    TANDEM_ASSERT(tandem_utf8_check(text, valid) == valid);
    encode(tokenizer, (tandem_str){text, valid}, (tandem_str){0});
    if (len <= PAIR_MAX) {
        size_t half = valid / 2;
        while (half > 0 && !is_boundary((tandem_str){text, valid}, (int32_t)half)) half--;
        encode(tokenizer, (tandem_str){text, half}, (tandem_str){text + half, valid - half});
    }
    tandem__mem_free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char text[] =
        "Hello, [MASK] \xc4\xb0stanbul \xe4\xb8\xad\xe6\x96\x87 a\xcc\x81\xcc\x96 \x01zz [CLS]ab";
    const char *const json = (const char *)data;
    size_t json_len = size;
    for (size_t at = 0; size >= sizeof MARK && at <= size - (sizeof MARK - 1); at++) {
        if (memcmp(json + at, MARK, sizeof MARK - 1) == 0) {
            json_len = at;
            break;
        }
    }
    tandem_tokenizer *tokenizer = NULL;
    tandem_error err = {0};
    const tandem_status status =
        tandem_tokenizer_open_memory(json, json_len, "input", &tokenizer, &err);
    if (status != TANDEM_OK) {
        TANDEM_ASSERT(tokenizer == NULL);
        TANDEM_ASSERT(err.status == status && err.message[0] != '\0');
        return 0;
    }
    decode_first(tokenizer);
    encode(tokenizer, TANDEM_STR(text), (tandem_str){0});
    encode(tokenizer, TANDEM_STR(text), TANDEM_STR("the pair"));
    if (json_len < size) {
        encode_rest(tokenizer, json + json_len + sizeof MARK - 1,
                    size - json_len - (sizeof MARK - 1));
    }
    tandem_tokenizer_close(tokenizer);
    return 0;
}
