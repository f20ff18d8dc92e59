/* SPDX-License-Identifier: Apache-2.0 */
/* Metaspace: spaces become a visible character, one is put before the text, and a word starts at
 * each. */
#include "base/fail.h"
#include "text/pretokenizer.h"

typedef enum prepend_scheme {
    PREPEND_ALWAYS = 0,
    PREPEND_FIRST = 1, /* only where the original text starts */
    PREPEND_NEVER = 2,
} prepend_scheme;

typedef struct metaspace {
    tandem_str replacement; /* one character */
    prepend_scheme scheme;
    bool splits;
} metaspace;

static tandem_status read_scheme(metaspace *meta, const tandem_json *json, tandem_error *err) {
    static const char *const names[] = {"always", "first", "never"};
    tandem_str name = TANDEM_STR("always");
    bool adds = true;
    TANDEM_TRY(tandem__json_read_str(json, "prepend_scheme", &name, err));
    TANDEM_TRY(tandem__json_read_bool(json, "add_prefix_space", &adds, err));
    size_t at = 0;
    while (at < 3 && !tandem__str_is(name, names[at])) at++;
    if (at == 3) {
        return TANDEM_FAIL(err, FORMAT, "prepend_scheme: \"%.*s\", expected always, first or never",
                           TANDEM_STR_ARG(name));
    }
    meta->scheme = (prepend_scheme)at;
    if (adds || meta->scheme == PREPEND_NEVER) return TANDEM_OK;
    return TANDEM_FAIL(err, FORMAT, "add_prefix_space: false, expected true with prepend_scheme %s",
                       names[at]);
}

static tandem_status metaspace_read(const tandem_json *json, tandem_arena *arena, void *config,
                                    tandem_error *err) {
    metaspace *const meta = config;
    const tandem_json *const text = tandem__json_get(json, "replacement");
    if (text == NULL || text->kind != TANDEM_JSON_STRING ||
        tandem__utf8_count((const uint8_t *)text->text.ptr, text->text.len) != 1) {
        const tandem_json_label label = tandem__json_label(text);
        return TANDEM_FAIL(err, FORMAT, "replacement: %s, expected one character", label.text);
    }
    meta->replacement.len = text->text.len;
    meta->replacement.ptr = tandem__arena_copy(arena, text->text.ptr, text->text.len);
    if (meta->replacement.ptr == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for settings");
    meta->splits = true;
    TANDEM_TRY(tandem__json_read_bool(json, "split", &meta->splits, err));
    return read_scheme(meta, json, err);
}

bool tandem__metaspace_needs_origins(const void *config) {
    return ((const metaspace *)config)->scheme == PREPEND_FIRST;
}

tandem_str tandem__metaspace_mark(const void *config, bool *prepends) {
    const metaspace *const meta = config;
    *prepends = meta->scheme != PREPEND_NEVER;
    return meta->replacement;
}

static bool is_replacement(const metaspace *meta, const uint8_t *bytes, size_t left) {
    const size_t len = meta->replacement.len;
    return left >= len && memcmp(bytes, meta->replacement.ptr, len) == 0;
}

/* Up to the next space or replacement. */
static size_t plain_end(const metaspace *meta, const uint8_t *bytes, size_t at, size_t end) {
    const uint8_t first = (uint8_t)meta->replacement.ptr[0];
    while (at < end && bytes[at] != ' ' &&
           !(bytes[at] == first && is_replacement(meta, bytes + at, end - at))) {
        at++;
    }
    return at;
}

static tandem_status metaspace_rewrite(const void *config, tandem_view in, tandem_split word,
                                       tandem_normalized *out, tandem_array *splits,
                                       tandem_error *err) {
    const metaspace *const meta = config;
    const tandem_str mark = meta->replacement;
    size_t start = out->bytes.count; /* of the word at hand */
    size_t at = word.start;
    const bool is_marked =
        in.bytes[at] == ' ' || is_replacement(meta, in.bytes + at, word.end - at);
    if (!is_marked && meta->scheme != PREPEND_NEVER) {
        const uint32_t origin = out->wants_origins ? tandem__view_origin(in, at) : 0;
        if (meta->scheme == PREPEND_ALWAYS || origin == 0) {
            TANDEM_TRY(tandem__normalized_insert(out, mark, origin, err));
        }
    }
    while (at < word.end) {
        const size_t end = plain_end(meta, in.bytes, at, word.end);
        TANDEM_TRY(tandem__normalized_append(out, in, at, end, err));
        at = end;
        if (at == word.end) break;
        if (meta->splits) {
            TANDEM_TRY(tandem__splits_push(splits, start, out->bytes.count, err));
            start = out->bytes.count;
        }
        const uint32_t origin = out->wants_origins ? tandem__view_origin(in, at) : 0;
        TANDEM_TRY(tandem__normalized_insert(out, mark, origin, err));
        at += in.bytes[at] == ' ' ? 1 : mark.len;
    }
    return tandem__splits_push(splits, start, out->bytes.count, err);
}

const tandem_pretokenizer_type tandem__pretokenizer_metaspace_type = {
    .name = "Metaspace",
    .config_bytes = sizeof(metaspace),
    .read = metaspace_read,
    .rewrite = metaspace_rewrite,
};
