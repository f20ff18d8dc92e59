/* SPDX-License-Identifier: Apache-2.0 */
/* The small normalisers: Lowercase, Prepend, Replace, Strip. */
#include "base/fail.h"
#include "base/number.h"
#include "text/normalizer.h"
#include "text/unicode.h"

#define LOWER_BYTES 16 /* room for what one character can become: measured 12 */

/* What a Replace looks for. */
typedef enum replace_kind {
    REPLACE_TEXT = 0,
    REPLACE_SPACES = 1, /* at least so many spaces, as many as there are */
    REPLACE_WHITE = 2,  /* the same of white space */
} replace_kind;

typedef struct replace {
    replace_kind kind;
    tandem_str text;
    uint32_t count_min; /* characters of a run */
    tandem_str content;
} replace;

typedef struct strip {
    bool left;
    bool right;
} strip;

typedef struct prepend {
    tandem_str text;
} prepend;

static tandem_status read_text(const tandem_json *json, const char *key, tandem_arena *arena,
                               tandem_str *text, tandem_error *err) {
    const tandem_json *const field = tandem__json_get(json, key);
    if (field == NULL || field->kind != TANDEM_JSON_STRING) {
        const tandem_json_label label = tandem__json_label(field);
        return TANDEM_FAIL(err, FORMAT, "%s: %s, expected a string", key, label.text);
    }
    text->len = field->text.len;
    text->ptr = tandem__arena_copy(arena, field->text.ptr, field->text.len);
    return text->ptr == NULL ? TANDEM_FAIL(err, MEMORY, "no memory for settings") : TANDEM_OK;
}

/* Patterns of the form ` {2,}`, ` +`, `\s{2,}` and `\s+`; those in use need no more. */
static bool read_run(replace *config, tandem_str pattern) {
    const bool is_white = tandem__str_starts(pattern, "\\s");
    const size_t skip = is_white ? 2 : 1;
    if (!is_white && !tandem__str_starts(pattern, " ")) return false;
    const tandem_str count = {pattern.ptr + skip, pattern.len - skip};
    config->kind = is_white ? REPLACE_WHITE : REPLACE_SPACES;
    config->count_min = 1;
    if (tandem__str_is(count, "+")) return true;
    if (!tandem__str_starts(count, "{") || !tandem__str_ends(count, ",}")) return false;
    if (count.len < 4 || count.len > 6) return false;
    int64_t value = 0;
    const tandem_str digits = {count.ptr + 1, count.len - 3};
    if (!tandem__number_parse_int(digits, &value) || value < 1) return false;
    config->count_min = (uint32_t)value;
    return true;
}

static tandem_status replace_read(const tandem_json *json, tandem_arena *arena, void *config,
                                  tandem_error *err) {
    replace *const r = config;
    const tandem_json *const pattern = tandem__json_get(json, "pattern");
    const tandem_json *const regex = tandem__json_get(pattern, "Regex");
    TANDEM_TRY(read_text(json, "content", arena, &r->content, err));
    if (regex == NULL) {
        const tandem_status status = read_text(pattern, "String", arena, &r->text, err);
        if (status != TANDEM_OK) return tandem__fail_prefix(err, status, "pattern");
        if (r->text.len > 0) return TANDEM_OK;
        return TANDEM_FAIL(err, UNSUPPORTED, "pattern.String: empty, expected a text");
    }
    if (regex->kind == TANDEM_JSON_STRING && read_run(r, regex->text)) return TANDEM_OK;
    const tandem_json_label label = tandem__json_label(regex);
    return TANDEM_FAIL(err, UNSUPPORTED,
                       "pattern.Regex: %s is not supported, expected a run like \" {2,}\"",
                       label.text);
}

/* Bytes of what is looked for at `at`, or 0. */
static size_t match(const replace *r, tandem_view in, size_t at) {
    if (r->kind == REPLACE_TEXT) {
        const size_t len = r->text.len;
        if (len > in.len - at || memcmp(in.bytes + at, r->text.ptr, len) != 0) return 0;
        return len;
    }
    size_t end = at;
    uint32_t count = 0;
    while (end < in.len) {
        uint32_t code = 0;
        const size_t step = tandem__utf8_decode(in.bytes + end, in.len - end, &code);
        const bool is_white = (tandem__unicode_flags(code) & TANDEM_UNICODE_WHITE) != 0;
        if (!(code == ' ' || (r->kind == REPLACE_WHITE && is_white))) break;
        end += step;
        count++;
    }
    return count >= r->count_min ? end - at : 0;
}

/* Where a match may begin, from `at` on. */
static size_t next_candidate(const replace *r, tandem_view in, size_t at) {
    if (r->kind == REPLACE_WHITE) return at;
    const int first = r->kind == REPLACE_TEXT ? (uint8_t)r->text.ptr[0] : ' ';
    const uint8_t *const found = memchr(in.bytes + at, first, in.len - at);
    return found == NULL ? in.len : (size_t)(found - in.bytes);
}

/* The content comes from the last character of what it replaces. */
static tandem_status replace_apply(const void *config, tandem_view in, tandem_normalized *out,
                                   tandem_normalizer_scratch *scratch, tandem_error *err) {
    (void)scratch;
    const replace *const r = config;
    size_t done = 0;
    TANDEM_TRY(tandem__normalized_make_explicit(out, 0, err));
    for (size_t at = 0; at < in.len;) {
        at = next_candidate(r, in, at);
        if (at == in.len) break;
        const size_t len = match(r, in, at);
        if (len == 0) {
            /* A run that is too short is passed whole, so that the work stays linear. */
            at++;
            while (r->kind == REPLACE_SPACES && at < in.len && in.bytes[at] == ' ') at++;
            while (at < in.len && (in.bytes[at] & 0xc0) == 0x80) at++;
            continue;
        }
        const uint32_t origin = out->wants_origins ? tandem__view_origin(in, at + len - 1) : 0;
        TANDEM_TRY(tandem__normalized_append(out, in, done, at, err));
        TANDEM_TRY(tandem__normalized_insert(out, r->content, origin, err));
        at += len;
        done = at;
    }
    return tandem__normalized_append(out, in, done, in.len, err);
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
    return read_text(json, "prepend", arena, &((prepend *)config)->text, err);
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
