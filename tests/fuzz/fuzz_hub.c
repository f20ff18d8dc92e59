/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the Hub's list of files and as the JSON files by which some of them are chosen.
 * Whatever is chosen stays inside the model's folder. An input holds documents one after another,
 * each after a line "=== name"; the first is the list. */
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/fail.h"
#include "base/mem.h"
#include "hub/hub_layout.h"
#include "hub/hub_listing.h"
#include "hub/hub_select.h"

#define ARENA_BYTES   ((size_t)32 << 20)
#define DOCUMENTS_MAX 8
#define MARK          "=== "
#define MARK_BYTES    4

typedef struct documents {
    const char *names[DOCUMENTS_MAX];
    tandem_str texts[DOCUMENTS_MAX];
    size_t count;
} documents;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *next_mark(char *at, char *end) {
    while (at < end) {
        if ((size_t)(end - at) >= MARK_BYTES && memcmp(at, MARK, MARK_BYTES) == 0) return at;
        char *line = memchr(at, '\n', (size_t)(end - at));
        if (line == NULL) return end;
        at = line + 1;
    }
    return end;
}

/* Splits in place: names end with NUL, texts do not. */
static void split(char *text, size_t len, documents *found) {
    char *end = text + len;
    for (char *at = next_mark(text, end); at < end && found->count < DOCUMENTS_MAX;) {
        char *line = memchr(at, '\n', (size_t)(end - at));
        if (line == NULL) return;
        *line = '\0';
        char *next = next_mark(line + 1, end);
        found->names[found->count] = at + MARK_BYTES;
        found->texts[found->count++] = (tandem_str){line + 1, (size_t)(next - line - 1)};
        at = next;
    }
}

static tandem_status read_document(void *context, const char *path, tandem_str *text,
                                   tandem_error *err) {
    const documents *found = context;
    for (size_t i = 1; i < found->count; i++) {
        if (strcmp(found->names[i], path) != 0) continue;
        *text = found->texts[i];
        return TANDEM_OK;
    }
    return TANDEM_FAIL(err, NOT_FOUND, "%s: no such document", path);
}

static void check(const tandem_hub_listing *listing, const tandem_hub_selection *selection) {
    TANDEM_ASSERT(tandem__hub_is_hash(listing->commit));
    for (size_t i = 0; i < listing->count; i++) {
        const tandem_hub_entry *entry = &listing->entries[i];
        TANDEM_ASSERT(tandem__hub_path_is_safe(entry->path, strlen(entry->path)));
        TANDEM_ASSERT(entry->etag[0] == '\0' || tandem__hub_is_hash(entry->etag));
        TANDEM_ASSERT(entry->bytes >= -1);
    }
    for (size_t i = 0; i < selection->count; i++) {
        bool is_listed = false;
        for (size_t j = 0; j < listing->count && !is_listed; j++) {
            is_listed = listing->paths[j] == selection->paths[i];
        }
        TANDEM_ASSERT(is_listed);
        for (size_t j = 0; j < i; j++) {
            TANDEM_ASSERT(selection->paths[j] != selection->paths[i]);
        }
    }
}

static tandem_status choose(documents *found, tandem_arena *arena, tandem_error *err) {
    tandem_hub_listing listing = {0};
    tandem_hub_selection selection = {0};
    TANDEM_TRY(tandem__hub_listing_read(found->texts[0], arena, &listing, err));
    const tandem_hub_tree tree = {
        .paths = listing.paths, .count = listing.count, .read = read_document, .context = found};
    const tandem_status status = tandem__hub_select(&tree, arena, &selection, err);
    check(&listing, &selection);
    TANDEM_ASSERT(status != TANDEM_OK || selection.count >= 2); /* configuration and weights */
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    char *text = tandem__mem_calloc(size, 1);
    if (text == NULL) return 0;
    memcpy(text, data, size);
    documents found = {.count = 0};
    split(text, size, &found);
    tandem_arena arena;
    tandem__arena_init(&arena, ARENA_BYTES);
    tandem_error err = {.status = TANDEM_OK};
    if (found.count > 0) {
        const tandem_status status = choose(&found, &arena, &err);
        TANDEM_ASSERT(err.status == status);
        TANDEM_ASSERT((status == TANDEM_OK) == (err.message[0] == '\0'));
    }
    tandem__arena_deinit(&arena);
    tandem__mem_free(text);
    return 0;
}
