/* SPDX-License-Identifier: Apache-2.0 */
/* The small normalisers: Lowercase, Prepend, Replace, Strip. */
#include "base/fail.h"
#include "text/normalizer.h"
#include "text/part_json.h"
#include "text/unicode.h"

#define LOWER_BYTES 16 /* room for what one character can become: measured 12 */

typedef struct replace {
    const tandem_regex *regex; /* NULL: looks for `text` */
    tandem_str text;
    tandem_str content;
} replace;

typedef struct strip {
    bool left;
    bool right;
} strip;

typedef struct prepend {
    tandem_str text;
} prepend;

/* The pattern of a Replace that is a regular expression. */
static tandem_status read_regex(const tandem_json *json, tandem_arena *arena, replace *r,
                                tandem_error *err) {
    if (json->kind != TANDEM_JSON_STRING) {
        const tandem_json_label label = tandem__json_label(json);
        return TANDEM_FAIL(err, FORMAT, "pattern.Regex: %s, expected a string", label.text);
    }
    const tandem_status status = tandem__regex_compile(json->text, arena, &r->regex, err);
    if (status != TANDEM_OK) return tandem__fail_prefix(err, status, "pattern.Regex");
    if (!tandem__regex_is_nullable(r->regex)) return TANDEM_OK;
    return TANDEM_FAIL(err, UNSUPPORTED, "pattern.Regex: can match nothing, expected some text");
}

static tandem_status replace_read(const tandem_json *json, tandem_arena *arena, void *config,
                                  tandem_error *err) {
    replace *const r = config;
    const tandem_json *const pattern = tandem__json_get(json, "pattern");
    const tandem_json *const regex = tandem__json_get(pattern, "Regex");
    TANDEM_TRY(tandem__part_text(json, "content", arena, &r->content, err));
    if (regex != NULL) return read_regex(regex, arena, r, err);
    const tandem_status status = tandem__part_text(pattern, "String", arena, &r->text, err);
    if (status != TANDEM_OK) return tandem__fail_prefix(err, status, "pattern");
    if (r->text.len > 0) return TANDEM_OK;
    return TANDEM_FAIL(err, UNSUPPORTED, "pattern.String: empty, expected a text");
}

/* The next match from `*start` on: a range, empty at the end. */
static tandem_status next_match(const replace *r, tandem_regex_search *search, tandem_view in,
                                size_t *start, size_t *end, tandem_error *err) {
    if (r->regex == NULL) {
        *start = tandem__bytes_find(in.bytes, in.len, *start, r->text);
        *end = *start == in.len ? in.len : *start + r->text.len;
        return TANDEM_OK;
    }
    bool found = false;
    TANDEM_TRY(tandem__regex_next(search, &found, err));
    *start = found ? search->start : in.len;
    *end = found ? search->end : in.len;
    return TANDEM_OK;
}

/* The content comes from the last character of what it replaces. */
static tandem_status replace_apply(const void *config, tandem_view in, tandem_normalized *out,
                                   tandem_normalizer_scratch *scratch, tandem_error *err) {
    const replace *const r = config;
    tandem_regex_search search;
    if (r->regex != NULL) {
        TANDEM_TRY(tandem__regex_begin(&search, r->regex, &scratch->regex, in.bytes, in.len, err));
    }
    size_t done = 0;
    TANDEM_TRY(tandem__normalized_make_explicit(out, 0, err));
    for (;;) {
        size_t start = done;
        size_t end = done;
        TANDEM_TRY(next_match(r, &search, in, &start, &end, err));
        TANDEM_TRY(tandem__normalized_append(out, in, done, start, err));
        if (start == end) return TANDEM_OK;
        const uint32_t origin = out->wants_origins ? tandem__view_origin(in, end - 1) : 0;
        TANDEM_TRY(tandem__normalized_insert(out, r->content, origin, err));
        done = end;
    }
}

const tandem_normalizer_type tandem__normalizer_replace_type = {
    .name = "Replace",
    .config_bytes = sizeof(replace),
    .read = replace_read,
    .apply = replace_apply,
};

static tandem_status strip_read(const tandem_json *json, tandem_arena *arena, void *config,
                                tandem_error *err) {
    (void)arena;
    static const char *const fields[] = {"strip_left", "strip_right"};
    strip *const s = config;
    bool *const values[] = {&s->left, &s->right};
    for (int i = 0; i < 2; i++) {
        const tandem_json *const field = tandem__json_get(json, fields[i]);
        if (field == NULL || field->kind != TANDEM_JSON_BOOL) {
            const tandem_json_label label = tandem__json_label(field);
            return TANDEM_FAIL(err, FORMAT, "%s: %s, expected true or false", fields[i],
                               label.text);
        }
        *values[i] = field->count != 0;
    }
    return TANDEM_OK;
}

static bool is_white_at(tandem_view in, size_t at, size_t *step) {
    uint32_t code = 0;
    *step = tandem__utf8_decode(in.bytes + at, in.len - at, &code);
    return (tandem__unicode_flags(code) & TANDEM_UNICODE_WHITE) != 0;
}

static tandem_status strip_apply(const void *config, tandem_view in, tandem_normalized *out,
                                 tandem_normalizer_scratch *scratch, tandem_error *err) {
    (void)scratch;
    const strip *const s = config;
    size_t start = 0;
    size_t end = in.len;
    size_t step = 0;
    while (s->left && start < end && is_white_at(in, start, &step)) start += step;
    while (s->right && end > start) {
        size_t last = end - 1;
        while ((in.bytes[last] & 0xc0) == 0x80) last--;
        if (!is_white_at(in, last, &step)) break;
        end = last;
    }
    return tandem__normalized_append(out, in, start, end, err);
}

const tandem_normalizer_type tandem__normalizer_strip_type = {
    .name = "Strip",
    .config_bytes = sizeof(strip),
    .read = strip_read,
    .apply = strip_apply,
};

static tandem_status prepend_read(const tandem_json *json, tandem_arena *arena, void *config,
                                  tandem_error *err) {
    return tandem__part_text(json, "prepend", arena, &((prepend *)config)->text, err);
}

static tandem_status prepend_apply(const void *config, tandem_view in, tandem_normalized *out,
                                   tandem_normalizer_scratch *scratch, tandem_error *err) {
    (void)scratch;
    if (in.len > 0) {
        const uint32_t origin = out->wants_origins ? tandem__view_origin(in, 0) : 0;
        const prepend *const p = config;
        TANDEM_TRY(tandem__normalized_insert(out, p->text, origin, err));
    }
    return tandem__normalized_append(out, in, 0, in.len, err);
}

const tandem_normalizer_type tandem__normalizer_prepend_type = {
    .name = "Prepend",
    .config_bytes = sizeof(prepend),
    .read = prepend_read,
    .apply = prepend_apply,
};

static tandem_status lowercase_read(const tandem_json *json, tandem_arena *arena, void *config,
                                    tandem_error *err) {
    (void)json;
    (void)arena;
    (void)config;
    (void)err;
    return TANDEM_OK;
}

static tandem_status lowercase_apply(const void *config, tandem_view in, tandem_normalized *out,
                                     tandem_normalizer_scratch *scratch, tandem_error *err) {
    (void)config;
    (void)scratch;
    TANDEM_TRY(tandem__normalized_make_explicit(out, 0, err));
    for (size_t at = 0; at < in.len;) {
        uint32_t code = 0;
        TANDEM_TRY(tandem__normalized_reserve(out, LOWER_BYTES, err));
        const uint32_t origin = out->wants_origins ? tandem__view_origin(in, at) : 0;
        at += tandem__utf8_decode(in.bytes + at, in.len - at, &code);
        const uint32_t *const lower = code < 0x80 ? NULL : tandem__unicode_lower_of(code);
        if (code - 'A' < 26) code += 32;
        if (lower == NULL) tandem__normalized_put(out, code, origin);
        for (uint32_t i = 1; lower != NULL && i <= lower[0]; i++) {
            tandem__normalized_put(out, lower[i], origin);
        }
    }
    return TANDEM_OK;
}

const tandem_normalizer_type tandem__normalizer_lowercase_type = {
    .name = "Lowercase",
    .config_bytes = 0,
    .read = lowercase_read,
    .apply = lowercase_apply,
};
