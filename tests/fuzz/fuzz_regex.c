/* SPDX-License-Identifier: Apache-2.0 */
/* The first line as a pattern, what follows as a text: matches come in order, start and end at
 * characters, and do not depend on how soon the search turns careful. */
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tandem/tokenizer.h"
#include "text/regex.h"

#define ARENA_BYTES  ((size_t)64 << 20)
#define PATTERN_MAX  512
#define TEXT_MAX     2048
#define MATCHES_SHOW 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_boundary(const uint8_t *bytes, size_t len, size_t at) {
    return at == len || (at < len && (bytes[at] & 0xc0) != 0x80);
}

/* Ends of the matches to `ends`; returns how many there are. */
static size_t search_all(const tandem_regex *regex, const uint8_t *bytes, size_t len,
                         uint64_t budget, uint32_t *ends) {
    tandem_regex_scratch scratch = {0};
    tandem_regex_search search;
    tandem_error err = {0};
    size_t count = 0;
    size_t last = 0;
    bool found = true;
    if (tandem__regex_begin(&search, regex, &scratch, bytes, len, &err) != TANDEM_OK) return 0;
    if (search.budget > budget) search.budget = budget;
    while (tandem__regex_next(&search, &found, &err) == TANDEM_OK && found) {
        TANDEM_ASSERT(search.start >= last && search.end >= search.start);
        TANDEM_ASSERT(is_boundary(bytes, len, search.start));
        TANDEM_ASSERT(is_boundary(bytes, len, search.end));
        TANDEM_ASSERT(count < MATCHES_SHOW);
        ends[count++] = (uint32_t)search.end;
        last = search.end;
    }
    tandem__regex_scratch_deinit(&scratch);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint32_t ends[2][MATCHES_SHOW];
    static char pattern[3 * PATTERN_MAX];
    static char text[3 * TEXT_MAX];
    const uint8_t *const newline = size == 0 ? NULL : memchr(data, '\n', size);
    const size_t len = newline == NULL ? size : (size_t)(newline - data);
    if (len > PATTERN_MAX || size - len > TEXT_MAX) return 0;
    const size_t pattern_len = tandem_utf8_replace((const char *)data, len, pattern);
    tandem_arena arena;
    const tandem_regex *regex = NULL;
    tandem_error err = {0};
    tandem__arena_init(&arena, ARENA_BYTES);
    const tandem_status status =
        tandem__regex_compile((tandem_str){pattern, pattern_len}, &arena, &regex, &err);
    if (status != TANDEM_OK) {
        TANDEM_ASSERT(regex == NULL && err.status == status && err.message[0] != '\0');
    } else if (newline != NULL) {
        const size_t text_len =
            tandem_utf8_replace((const char *)newline + 1, size - len - 1, text);
        const uint8_t *const bytes = (const uint8_t *)text;
        const size_t quick = search_all(regex, bytes, text_len, UINT64_MAX, ends[0]);
        const size_t careful = search_all(regex, bytes, text_len, 0, ends[1]);
        TANDEM_ASSERT(quick == careful);
        TANDEM_ASSERT(memcmp(ends[0], ends[1], quick * sizeof ends[0][0]) == 0);
    }
    tandem__arena_deinit(&arena);
    return 0;
}
