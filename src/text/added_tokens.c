/* SPDX-License-Identifier: Apache-2.0 */
#include "text/added_tokens.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/utf8.h"
#include "text/part_json.h"
#include "text/unicode.h"

static tandem_status read_token(const tandem_json *json, tandem_added_token *token,
                                bool *is_special, tandem_error *err) {
    int64_t id = -1;
    if (json->kind != TANDEM_JSON_OBJECT) {
        const tandem_json_label label = tandem__json_label(json);
        return TANDEM_FAIL(err, FORMAT, "%s, expected an object", label.text);
    }
    TANDEM_TRY(tandem__json_read_int(json, "id", 0, TANDEM_TOKEN_ID_MAX, &id, err));
    const tandem_json *const content = tandem__json_get(json, "content");
    if (id < 0 || content == NULL || content->kind != TANDEM_JSON_STRING) {
        const tandem_json_label label = tandem__json_label(content);
        return TANDEM_FAIL(err, FORMAT, "%s: %s, expected %s", id < 0 ? "id" : "content",
                           id < 0 ? "nothing" : label.text, id < 0 ? "an integer" : "a string");
    }
    token->content = content->text;
    TANDEM_TRY(tandem__part_flag(json, "single_word", &token->is_single_word, err));
    TANDEM_TRY(tandem__part_flag(json, "lstrip", &token->strips_left, err));
    TANDEM_TRY(tandem__part_flag(json, "rstrip", &token->strips_right, err));
    TANDEM_TRY(tandem__part_flag(json, "normalized", &token->is_normalized, err));
    return tandem__part_flag(json, "special", is_special, err);
}

/* Gives ids as the reference does: the file's own "id" does not count. A content that the model
 * knows keeps the model's id, a new one gets the next free number from the number of words on. */
static tandem_status read_tokens(tandem_added_tokens *added, const tandem_added_source *source,
                                 tandem_error *err) {
    int64_t next_id = source->vocab->distinct_count;
    uint32_t index = 0;
    TANDEM_JSON_EACH(item, source->json) {
        char where[40];
        (void)snprintf(where, sizeof where, "[%u]", index++);
        tandem_added_token token = {0};
        bool is_special = false;
        const tandem_status status = read_token(item, &token, &is_special, err);
        if (status != TANDEM_OK) return tandem__fail_prefix(err, status, where);
        if (token.content.len == 0) continue;
        token.id = tandem__vocab_find(&added->by_content, token.content);
        if (token.id < 0) token.id = tandem__vocab_find(source->vocab, token.content);
        if (token.id < 0) {
            if (next_id > TANDEM_TOKEN_ID_MAX) {
                return TANDEM_FAIL(err, FORMAT, "%s: its id would be over %d", where,
                                   TANDEM_TOKEN_ID_MAX);
            }
            token.id = (int32_t)next_id++;
        }
        TANDEM_TRY(tandem__vocab_add(&added->by_content, token.content, token.id, err));
        if (is_special) {
            TANDEM_TRY(tandem__vocab_add(&added->specials, token.content, token.id, err));
        }
        const tandem_vocab *const pool = &added->by_content;
        token.content.ptr = pool->text + pool->words[pool->words_count - 1].offset;
        token.pattern = token.content;
        added->tokens[added->count++] = token;
    }
    return TANDEM_OK;
}

/* By id; of several with one id the last in the file first. */
static int compare_ids(const void *a, const void *b) {
    const tandem_added_token *const x = a;
    const tandem_added_token *const y = b;
    if (x->id != y->id) return x->id < y->id ? -1 : 1;
    return x->content.ptr > y->content.ptr ? -1 : x->content.ptr < y->content.ptr;
}

static void keep_last_of_each_id(tandem_added_tokens *added) {
    qsort(added->tokens, added->count, sizeof *added->tokens, compare_ids);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < added->count; i++) {
        if (kept > 0 && added->tokens[kept - 1].id == added->tokens[i].id) continue;
        added->tokens[kept++] = added->tokens[i];
    }
    added->count = kept;
}

static tandem_status normalize_pattern(tandem_added_token *token, const tandem_added_source *source,
                                       tandem_error *err) {
    tandem_normalized text = {0};
    tandem_normalizer_scratch scratch = {0};
    const tandem_view in = {.bytes = (const uint8_t *)token->content.ptr,
                            .len = token->content.len};
    tandem_status status =
        tandem__normalizer_apply(source->normalizer, in, false, &text, &scratch, err);
    if (status == TANDEM_OK && text.bytes.count == 0) {
        status = TANDEM_FAIL(err, UNSUPPORTED,
                             "added token \"%.*s\" is empty when normalised, expected some text",
                             TANDEM_STR_ARG(token->content));
    }
    if (status == TANDEM_OK) {
        token->pattern.len = text.bytes.count;
        token->pattern.ptr = tandem__arena_copy(source->arena, text.bytes.ptr, text.bytes.count);
        if (token->pattern.ptr == NULL) {
            status = TANDEM_FAIL(err, MEMORY, "no memory for an added token of %zu bytes",
                                 text.bytes.count);
        }
    }
    tandem__normalized_deinit(&text);
    tandem__normalizer_scratch_deinit(&scratch);
    return status;
}

/* By bytes, then by place in the file. */
static int compare_patterns(const void *a, const void *b) {
    const tandem_added_token *const x = *(const tandem_added_token *const *)a;
    const tandem_added_token *const y = *(const tandem_added_token *const *)b;
    const size_t len = x->pattern.len < y->pattern.len ? x->pattern.len : y->pattern.len;
    const int order = memcmp(x->pattern.ptr, y->pattern.ptr, len);
    if (order != 0) return order;
    if (x->pattern.len != y->pattern.len) return x->pattern.len < y->pattern.len ? -1 : 1;
    return x->content.ptr < y->content.ptr ? -1 : x->content.ptr > y->content.ptr;
}

/* Of tokens with one pattern the first in the file is found. (The reference takes one at random,
 * a new one at each start.) */
static tandem_status build_set(tandem_added_tokens *added, bool is_normalized,
                               const tandem_added_source *source, tandem_pattern_set *set,
                               tandem_error *err) {
    set->only_start = -1;
    set->tokens = tandem__arena_array(source->arena, added->count, sizeof *set->tokens);
    if (set->tokens == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for added tokens");
    uint32_t count = 0;
    for (uint32_t i = 0; i < added->count; i++) {
        if (added->tokens[i].is_normalized != is_normalized) continue;
        if (is_normalized) TANDEM_TRY(normalize_pattern(&added->tokens[i], source, err));
        set->tokens[count++] = &added->tokens[i];
    }
    if (count > 0) qsort(set->tokens, count, sizeof *set->tokens, compare_patterns);
    for (uint32_t i = 0; i < count; i++) {
        const tandem_str pattern = set->tokens[i]->pattern;
        if (set->count > 0 && tandem__str_equal(pattern, set->tokens[set->count - 1]->pattern)) {
            continue;
        }
        set->tokens[set->count++] = set->tokens[i];
        set->only_start = set->count == 1 || set->only_start == (uint8_t)pattern.ptr[0]
                              ? (uint8_t)pattern.ptr[0]
                              : -1;
        set->starts[(uint8_t)pattern.ptr[0]] = true;
    }
    return TANDEM_OK;
}

tandem_status tandem__added_read(tandem_added_tokens *added, const tandem_added_source *source,
                                 tandem_error *err) {
    *added = (tandem_added_tokens){0};
    const tandem_json *const json = source->json;
    if (json != NULL && json->kind != TANDEM_JSON_ARRAY) {
        const tandem_json_label label = tandem__json_label(json);
        return TANDEM_FAIL(err, FORMAT, "%s, expected an array", label.text);
    }
    tandem_vocab_room room = {.words = json == NULL ? 0 : json->count};
    if (json != NULL) {
        TANDEM_JSON_EACH(item, json) {
            const tandem_json *const content = tandem__json_get(item, "content");
            room.text_bytes += content == NULL ? 0 : content->text.len;
        }
    }
    TANDEM_TRY(tandem__vocab_init(&added->by_content, source->arena, room, err));
    TANDEM_TRY(tandem__vocab_init(&added->specials, source->arena, room, err));
    added->tokens = tandem__arena_array(source->arena, room.words, sizeof *added->tokens);
    if (added->tokens == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for added tokens");
    if (json != NULL) TANDEM_TRY(read_tokens(added, source, err));
    keep_last_of_each_id(added);
    TANDEM_TRY(build_set(added, false, source, &added->raw, err));
    return build_set(added, true, source, &added->normalized, err);
}

const tandem_added_token *tandem__added_by_id(const tandem_added_tokens *added, int32_t id) {
    uint32_t low = 0;
    uint32_t high = added->count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (added->tokens[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < added->count && added->tokens[low].id == id ? &added->tokens[low] : NULL;
}

/* First pattern in [low, high) whose byte at `depth` is at least `byte`; a pattern that ends
 * before `depth` is less than any. */
static uint32_t lower_bound(const tandem_pattern_set *set, uint32_t low, uint32_t high,
                            size_t depth, unsigned byte) {
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const tandem_str pattern = set->tokens[middle]->pattern;
        if (pattern.len <= depth || (uint8_t)pattern.ptr[depth] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The longest pattern at the start of `bytes`, or NULL. */
static const tandem_added_token *match_longest(const tandem_pattern_set *set, const uint8_t *bytes,
                                               size_t len) {
    const tandem_added_token *longest = NULL;
    uint32_t low = 0;
    uint32_t high = set->count;
    for (size_t depth = 0; depth < len; depth++) {
        low = lower_bound(set, low, high, depth, bytes[depth]);
        high = lower_bound(set, low, high, depth, bytes[depth] + 1u);
        if (low == high) break;
        if (set->tokens[low]->pattern.len == depth + 1) longest = set->tokens[low];
    }
    return longest;
}

/* The next match as it stands in the text; search->at moves behind it. */
static const tandem_added_token *find_next(tandem_added_search *search, size_t *start) {
    const tandem_pattern_set *const set = search->set;
    while (search->at < search->len) {
        if (set->only_start >= 0) {
            const void *const found =
                memchr(search->bytes + search->at, set->only_start, search->len - search->at);
            if (found == NULL) break;
            search->at = (size_t)((const uint8_t *)found - search->bytes);
        } else if (!set->starts[search->bytes[search->at]]) {
            search->at++;
            continue;
        }
        const tandem_added_token *const token =
            match_longest(set, search->bytes + search->at, search->len - search->at);
        if (token != NULL) {
            *start = search->at;
            search->at += token->pattern.len;
            return token;
        }
        search->at++;
    }
    search->at = search->len;
    return NULL;
}

/* The flags of the character that ends before `at`, 0 at the start; *start is where it starts. */
static uint32_t flags_before(const uint8_t *bytes, size_t at, size_t *start) {
    if (at == 0) return 0;
    *start = at - 1;
    while (*start > 0 && (bytes[*start] & 0xc0) == 0x80) (*start)--;
    uint32_t code = 0;
    (void)tandem__utf8_decode(bytes + *start, at - *start, &code);
    return tandem__unicode_flags(code);
}

static uint32_t flags_after(const uint8_t *bytes, size_t at, size_t len, size_t *end) {
    if (at >= len) return 0;
    uint32_t code = 0;
    *end = at + tandem__utf8_decode(bytes + at, len - at, &code);
    return tandem__unicode_flags(code);
}

bool tandem__added_next(tandem_added_search *search, tandem_added_match *match) {
    if (search->set->count == 0) return false;
    const uint8_t *const bytes = search->bytes;
    size_t start = 0;
    const tandem_added_token *token = find_next(search, &start);
    for (; token != NULL; token = find_next(search, &start)) {
        size_t end = search->at;
        size_t edge = 0;
        if (token->is_single_word) {
            if (flags_before(bytes, start, &edge) & TANDEM_UNICODE_WORD) continue;
            if (flags_after(bytes, end, search->len, &edge) & TANDEM_UNICODE_WORD) continue;
        }
        if (token->strips_left) {
            while (start > search->done &&
                   flags_before(bytes, start, &edge) & TANDEM_UNICODE_WHITE) {
                start = edge;
            }
            if (start < search->done) start = search->done;
        }
        if (token->strips_right) {
            if (end < search->done) end = search->done; /* white space, read once */
            while (flags_after(bytes, end, search->len, &edge) & TANDEM_UNICODE_WHITE) end = edge;
        }
        *match = (tandem_added_match){
            .token = token,
            .gap_start = search->done < start ? search->done : start,
            .start = start < end ? start : end,
            .end = end,
        };
        search->done = end;
        return true;
    }
    return false;
}
