/* SPDX-License-Identifier: Apache-2.0 */
/* A model's documents in memory, to be edited: the tiny BERT of tests/golden with one thing wrong.
 *
 *     documents *docs = documents_load(TINY_BERT);
 *     documents_edit(docs, "config.json", "\"bert\"", "\"t5\"");
 *
 * Every failure of these helpers fails the running test. */
#ifndef TANDEM_TESTS_SUPPORT_DOCUMENTS_H
#define TANDEM_TESTS_SUPPORT_DOCUMENTS_H

#include <stddef.h>

#include "model/folder.h"

#define TINY_BERT     "tests/golden/models/tiny-bert"
#define DOCUMENTS_MAX 16

typedef struct documents {
    tandem_document list[DOCUMENTS_MAX];
    size_t count;
} documents;

/* The JSON documents and weights of a folder; documents_free frees them. */
documents *documents_load(const char *folder);
void documents_free(documents *docs);

/* Adds or replaces one; the bytes are copied. */
void documents_set(documents *docs, const char *name, const void *bytes, size_t len);
void documents_set_text(documents *docs, const char *name, const char *text);
void documents_remove(documents *docs, const char *name);

/* Replaces the first `from`, which must be there, by `to`; in a .safetensors document inside the
 * header, whose length is put right. */
void documents_edit(documents *docs, const char *name, const char *from, const char *to);

/* The document's bytes, to be damaged in place. */
unsigned char *documents_bytes(documents *docs, const char *name, size_t *len);

#endif
