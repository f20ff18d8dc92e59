/* SPDX-License-Identifier: Apache-2.0 */
#include "support/documents.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"

#define LENGTH_BYTES 8 /* of a safetensors header's length */

static tandem_document *find(documents *docs, const char *name) {
    for (size_t i = 0; i < docs->count; i++) {
        if (strcmp(docs->list[i].name, name) == 0) return &docs->list[i];
    }
    return NULL;
}

static char *copy_bytes(const void *bytes, size_t len) {
    char *copy = tandem__mem_calloc(len + 1, 1);
    assert_non_null(copy);
    if (len > 0) memcpy(copy, bytes, len);
    return copy;
}

documents *documents_load(const char *folder) {
    static const char *const names[] = {
        "config.json",
        "modules.json",
        "1_Pooling/config.json",
        "2_Dense/config.json",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
        "tokenizer_config.json",
        "model.safetensors",
    };
    documents *docs = tandem__mem_calloc(1, sizeof *docs);
    assert_non_null(docs);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[TANDEM_PATH_MAX];
        assert_int_equal(tandem__path_join(folder, names[i], path, NULL), TANDEM_OK);
        if (!tandem__file_exists(path)) continue;
        tandem_map map;
        assert_int_equal(tandem__file_map(path, &map, NULL), TANDEM_OK);
        documents_set(docs, names[i], map.bytes, map.len);
        tandem__file_unmap(&map);
    }
    return docs;
}

void documents_free(documents *docs) {
    if (docs == NULL) return;
    for (size_t i = 0; i < docs->count; i++) {
        tandem__mem_free((void *)(uintptr_t)docs->list[i].bytes.ptr);
    }
    tandem__mem_free(docs);
}

void documents_set(documents *docs, const char *name, const void *bytes, size_t len) {
    tandem_document *document = find(docs, name);
    if (document == NULL) {
        assert_true(docs->count < DOCUMENTS_MAX);
        document = &docs->list[docs->count];
        docs->count++;
        document->name = name;
    } else {
        tandem__mem_free((void *)(uintptr_t)document->bytes.ptr);
    }
    document->bytes = (tandem_str){copy_bytes(bytes, len), len};
}

void documents_set_text(documents *docs, const char *name, const char *text) {
    documents_set(docs, name, text, strlen(text));
}

void documents_remove(documents *docs, const char *name) {
    tandem_document *document = find(docs, name);
    assert_non_null(document);
    tandem__mem_free((void *)(uintptr_t)document->bytes.ptr);
    docs->count--;
    *document = docs->list[docs->count];
}

unsigned char *documents_bytes(documents *docs, const char *name, size_t *len) {
    const tandem_document *document = find(docs, name);
    assert_non_null(document);
    *len = document->bytes.len;
    return (unsigned char *)(uintptr_t)document->bytes.ptr;
}

static uint64_t read_length(const char *bytes) {
    uint64_t length = 0;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--) length = length << 8 | (uint8_t)bytes[i];
    return length;
}

static void write_length(char *bytes, uint64_t length) {
    for (int i = 0; i < LENGTH_BYTES; i++) bytes[i] = (char)(length >> (8 * i) & 0xff);
}

static const char *search(tandem_str text, const char *wanted) {
    const size_t len = strlen(wanted);
    for (size_t at = 0; at + len <= text.len; at++) {
        if (memcmp(text.ptr + at, wanted, len) == 0) return text.ptr + at;
    }
    return NULL;
}

void documents_edit(documents *docs, const char *name, const char *from, const char *to) {
    tandem_document *document = find(docs, name);
    if (document == NULL) fail_msg("no document %s", name);
    const tandem_str old = document->bytes;
    const char *at = search(old, from);
    if (at == NULL) fail_msg("%s: no %s in it", name, from);
    const size_t before = (size_t)(at - old.ptr);
    const size_t from_len = strlen(from);
    const size_t to_len = strlen(to);
    const size_t len = old.len - from_len + to_len;
    char *bytes = copy_bytes(old.ptr, before);
    bytes = tandem__mem_realloc(bytes, len + 1);
    assert_non_null(bytes);
    memcpy(bytes + before, to, to_len);
    memcpy(bytes + before + to_len, at + from_len, old.len - before - from_len);
    bytes[len] = '\0';
    if (tandem__str_ends(tandem__str(name), ".safetensors")) {
        write_length(bytes, read_length(old.ptr) - from_len + to_len);
    }
    tandem__mem_free((void *)(uintptr_t)old.ptr);
    document->bytes = (tandem_str){bytes, len};
}
