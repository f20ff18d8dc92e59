/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the JSON documents of a model's folder: everything that is read before the weights.
 * An input holds documents one after another, each after a line "=== name". */
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "model/source.h"

#define DOCUMENTS_MAX 12
#define MARK          "=== "
#define MARK_BYTES    4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The start of the next line that opens a document, or `end`. */
static char *next_mark(char *at, char *end) {
    while (at < end) {
        const size_t left = (size_t)(end - at);
        if (left >= MARK_BYTES && memcmp(at, MARK, MARK_BYTES) == 0) return at;
        char *line = memchr(at, '\n', left);
        if (line == NULL) return end;
        at = line + 1;
    }
    return end;
}

/* Splits in place: names end with NUL, texts do not. */
static size_t split(char *text, size_t len, tandem_document *documents) {
    char *end = text + len;
    size_t count = 0;
    for (char *at = next_mark(text, end); at < end && count < DOCUMENTS_MAX;) {
        char *line = memchr(at, '\n', (size_t)(end - at));
        if (line == NULL) break;
        *line = '\0';
        char *next = next_mark(line + 1, end);
        documents[count] = (tandem_document){
            .name = at + MARK_BYTES,
            .bytes = {line + 1, (size_t)(next - line - 1)},
        };
        count++;
        at = next;
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    char *text = tandem__mem_calloc(size, 1);
    if (text == NULL) return 0;
    memcpy(text, data, size);
    tandem_document documents[DOCUMENTS_MAX];
    const size_t count = split(text, size, documents);
    tandem_source *source = NULL;
    tandem_error err = {0};
    const tandem_status status = tandem__source_open_memory(documents, count, &source, &err);
    if (status != TANDEM_OK) {
        TANDEM_ASSERT(source == NULL);
        TANDEM_ASSERT(err.status == status && err.message[0] != '\0');
        TANDEM_ASSERT(strchr(err.message, '\n') == NULL);
    }
    tandem__source_close(source);
    tandem__mem_free(text);
    return 0;
}
