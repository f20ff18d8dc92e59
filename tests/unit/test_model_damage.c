/* SPDX-License-Identifier: Apache-2.0 */
/* Damage: no memory at any point, any bit flipped, the file cut anywhere. Opening either succeeds
 * or gives a one-line error; AddressSanitizer (preset dev) watches for the rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "model/source.h"
#include "support/documents.h"

#define ALLOCATIONS_MAX 1000

typedef tandem_status (*opener)(const void *what, tandem_source **source, tandem_error *err);

static tandem_status open_folder(const void *what, tandem_source **source, tandem_error *err) {
    return tandem__source_open(what, source, err);
}

static tandem_status open_memory(const void *what, tandem_source **source, tandem_error *err) {
    const documents *docs = what;
    return tandem__source_open_memory(docs->list, docs->count, source, err);
}

static tandem_status open_random(const void *what, tandem_source **source, tandem_error *err) {
    return tandem__source_random(what, 1, source, err);
}

/* Makes allocation 1, 2, 3, ... fail until opening gets through without one. */
static void exhaust(opener open, const void *what) {
    int failures = 0;
    for (uint64_t at = 1; at < ALLOCATIONS_MAX; at++) {
        tandem_source *source = NULL;
        tandem_error err = {0};
        tandem__mem_fail_at(at);
        const tandem_status status = open(what, &source, &err);
        tandem__mem_fail_at(0);
        if (status == TANDEM_OK) {
            assert_non_null(source);
            tandem__source_close(source);
            assert_true(failures >= 5);
            return;
        }
        failures++;
        assert_null(source);
        assert_true(status == TANDEM_MEMORY || status == TANDEM_CAPACITY);
        assert_true(strlen(err.message) > 0);
    }
    fail_msg("over %d allocations", ALLOCATIONS_MAX);
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    exhaust(open_folder, TINY_BERT);
    exhaust(open_random, TINY_BERT);
    documents *docs = documents_load(TINY_BERT);
    documents_set_text(
        docs, "config_sentence_transformers.json",
        "{\"prompts\":{\"query\":\"q: \\u00e9\"},\"default_prompt_name\":\"query\"}");
    exhaust(open_memory, docs);
    documents_free(docs);
}

/* Opens and expects nothing but sense. */
static void survive(const documents *docs) {
    tandem_source *source = NULL;
    tandem_error err = {0};
    const tandem_status status = tandem__source_open_memory(docs->list, docs->count, &source, &err);
    if (status == TANDEM_OK) {
        assert_non_null(source);
        tandem__source_close(source);
        return;
    }
    assert_null(source);
    assert_int_equal(err.status, status);
    assert_true(strlen(err.message) > 0);
    assert_null(strchr(err.message, '\n'));
}

static void any_bit_may_flip(void **state) {
    (void)state;
    static const char *const names[] = {"model.safetensors",
                                        "config.json",
                                        "modules.json",
                                        "1_Pooling/config.json",
                                        "sentence_bert_config.json",
                                        "tokenizer_config.json"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        documents *docs = documents_load(TINY_BERT);
        size_t len = 0;
        unsigned char *bytes = documents_bytes(docs, names[i], &len);
        if (len > 4096) len = 4096; /* past the header there is data, and any data is valid */
        for (size_t at = 0; at < len; at++) {
            for (int bit = 0; bit < 8; bit++) {
                bytes[at] = (unsigned char)(bytes[at] ^ 1u << bit);
                survive(docs);
                bytes[at] = (unsigned char)(bytes[at] ^ 1u << bit);
            }
        }
        documents_free(docs);
    }
}

static void any_length_may_be_missing(void **state) {
    (void)state;
    documents *docs = documents_load(TINY_BERT);
    size_t len = 0;
    const unsigned char *bytes = documents_bytes(docs, "model.safetensors", &len);
    documents *cut = documents_load(TINY_BERT);
    for (size_t keep = 0; keep < len; keep += keep < 4096 ? 13 : 4099) {
        documents_set(cut, "model.safetensors", bytes, keep);
        tandem_source *source = NULL;
        assert_int_equal(tandem__source_open_memory(cut->list, cut->count, &source, NULL),
                         TANDEM_FORMAT);
    }
    documents_free(cut);
    documents_free(docs);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(any_bit_may_flip),
        cmocka_unit_test(any_length_may_be_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
