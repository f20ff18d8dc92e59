/* SPDX-License-Identifier: Apache-2.0 */
/* BertNormalizer: clean, space out CJK, decompose and strip accents, lower-case; each character
 * goes through all four at once instead of four passes over the text. Only canonical ordering
 * looks beyond one character, and only where marks meet; marks.h keeps those.
 *
 * ASCII, which is most text, goes eight bytes at a time: nothing decomposes, so that only
 * lower-casing and control characters are left to do. */
#include <string.h>

#include "base/fail.h"
#include "text/normalizer.h"
#include "text/unicode.h"

#define BLOCK_BYTES 1024 /* input between two checks of the output's room */
#define CHAR_BYTES  64   /* room for what one character can become: measured 12, and two spaces */
#define ROOM_BYTES  (BLOCK_BYTES + CHAR_BYTES)
#define MARK_BYTES  12 /* room for what one waiting mark can become */

#define EACH_BYTE(value) (UINT64_C(0x0101010101010101) * (value))

#define HANGUL_FIRST 0xac00u
#define HANGUL_COUNT 11172u
#define HANGUL_V     21u
#define HANGUL_T     28u

typedef struct work {
    const tandem_normalizer_bert *config;
    tandem_normalized *out;
    tandem_marks *marks;
    tandem_error *err;
    uint32_t origin; /* of the last character that was placed */
} work;

static tandem_status bert_read(const tandem_json *json, tandem_arena *arena, void *config,
                               tandem_error *err) {
    (void)arena;
    tandem_normalizer_bert *const bert = config;
    static const char *const fields[] = {"clean_text", "handle_chinese_chars", "lowercase"};
    bool *const values[] = {&bert->clean_text, &bert->handle_chinese_chars, &bert->lowercase};
    for (int i = 0; i < 3; i++) {
        const tandem_json *const field = tandem__json_get(json, fields[i]);
        if (field == NULL || field->kind != TANDEM_JSON_BOOL) {
            const tandem_json_label label = tandem__json_label(field);
            return TANDEM_FAIL(err, FORMAT, "%s: %s, expected true or false", fields[i],
                               label.text);
        }
        *values[i] = field->count != 0;
    }
    bert->strip_accents = bert->lowercase; /* what null means */
    return tandem__json_read_bool(json, "strip_accents", &bert->strip_accents, err);
}

static void put_lower(work *w, uint32_t code, uint32_t origin) {
    if (w->config->lowercase) {
        if (code < 0x80) {
            if (code - 'A' < 26) code += 32;
        } else {
            const uint32_t *const lower = tandem__unicode_lower_of(code);
            if (lower != NULL) {
                for (uint32_t i = 1; i <= lower[0]; i++) {
                    tandem__normalized_put(w->out, lower[i], origin);
                }
                return;
            }
        }
    }
    tandem__normalized_put(w->out, code, origin);
}

/* A starter has come, or the end: the waiting marks go out in order. */
static tandem_status flush_marks(work *w) {
    tandem_marks *const marks = w->marks;
    if (marks->items.count == 0) return TANDEM_OK;
    if (!marks->has_kept) {
        tandem__marks_clear(marks);
        return TANDEM_OK;
    }
    TANDEM_TRY(tandem__marks_sort(marks, w->err));
    TANDEM_TRY(
        tandem__normalized_reserve(w->out, marks->items.count * MARK_BYTES + CHAR_BYTES, w->err));
    const tandem_mark *const sorted = marks->sorted.ptr;
    const uint32_t *source = marks->sources.ptr;
    for (size_t i = 0; i < marks->sorted.count; i++) {
        if (sorted[i].is_first) w->origin = *source++;
        if (sorted[i].is_kept) put_lower(w, sorted[i].code, w->origin);
    }
    tandem__marks_clear(marks);
    return TANDEM_OK;
}

/* One code point of a decomposition, the first or a later one. */
static tandem_status put_part(work *w, uint32_t code, bool is_first, uint32_t origin) {
    const uint32_t record = tandem__unicode_index(code);
    const bool is_kept = (tandem__unicode_record_flags[record] & TANDEM_UNICODE_MN) == 0;
    const uint8_t rank = tandem__unicode_record_class[record];
    if (rank != 0) {
        const tandem_mark mark = {code, rank, is_first, is_kept};
        return tandem__marks_push(w->marks, mark, origin, w->err);
    }
    TANDEM_TRY(flush_marks(w));
    if (is_first) w->origin = origin;
    if (is_kept) put_lower(w, code, w->origin);
    return TANDEM_OK;
}

static tandem_status put_decomposed(work *w, uint32_t code, uint32_t origin) {
    if (code - HANGUL_FIRST < HANGUL_COUNT) {
        const uint32_t s = code - HANGUL_FIRST;
        TANDEM_TRY(put_part(w, 0x1100 + s / (HANGUL_V * HANGUL_T), true, origin));
        TANDEM_TRY(put_part(w, 0x1161 + s / HANGUL_T % HANGUL_V, false, origin));
        if (s % HANGUL_T == 0) return TANDEM_OK;
        return put_part(w, 0x11a7 + s % HANGUL_T, false, origin);
    }
    const uint32_t *const parts = tandem__unicode_nfd_of(code);
    if (parts == NULL) return put_part(w, code, true, origin);
    for (uint32_t i = 1; i <= parts[0]; i++) {
        TANDEM_TRY(put_part(w, parts[i], i == 1, origin));
    }
    return TANDEM_OK;
}

static tandem_status put_after_clean(work *w, uint32_t code, uint32_t origin) {
    if (w->config->strip_accents) return put_decomposed(w, code, origin);
    put_lower(w, code, origin);
    return TANDEM_OK;
}

static tandem_status put_char(work *w, uint32_t code, uint32_t origin) {
    const uint32_t flags = tandem__unicode_flags(code);
    if (w->config->clean_text) {
        if (flags & TANDEM_UNICODE_DROP) return TANDEM_OK;
        if (flags & TANDEM_UNICODE_SPACE) code = ' ';
    }
    if (!w->config->handle_chinese_chars || (flags & TANDEM_UNICODE_CJK) == 0) {
        return put_after_clean(w, code, origin);
    }
    TANDEM_TRY(put_after_clean(w, ' ', origin));
    TANDEM_TRY(put_after_clean(w, code, origin));
    return put_after_clean(w, ' ', origin);
}

static bool is_space(uint8_t byte) {
    return byte == '\t' || byte == '\n' || byte == '\r';
}

/* An ASCII character that clean_text removes. */
static bool is_dropped(uint8_t byte) {
    return (byte < 0x20 || byte == 0x7f) && !is_space(byte);
}

static bool has_control(uint64_t bytes) {
    const uint64_t del = bytes ^ EACH_BYTE(0x7f);
    const uint64_t low = (bytes - EACH_BYTE(0x20)) & ~bytes;
    return ((low | ((del - EACH_BYTE(1)) & ~del)) & EACH_BYTE(0x80)) != 0;
}

/* `bytes` are ASCII. */
static uint64_t lower_ascii(uint64_t bytes) {
    const uint64_t over_z = bytes + EACH_BYTE(0x7f - 'Z');
    const uint64_t from_a = bytes + EACH_BYTE(0x80 - 'A');
    return bytes | (((from_a ^ over_z) & EACH_BYTE(0x80)) >> 2);
}

/* Copies as many ASCII bytes as stay one byte, at most BLOCK_BYTES; returns how many. */
static size_t put_ascii(const tandem_normalizer_bert *config, const uint8_t *in, size_t len,
                        uint8_t *out) {
    if (len > BLOCK_BYTES) len = BLOCK_BYTES;
    size_t n = 0;
    while (n < len) {
        uint64_t bytes = EACH_BYTE(0x80);
        if (len - n >= 8) memcpy(&bytes, in + n, 8);
        if ((bytes & EACH_BYTE(0x80)) == 0 && !(config->clean_text && has_control(bytes))) {
            if (config->lowercase) bytes = lower_ascii(bytes);
            memcpy(out + n, &bytes, 8);
            n += 8;
            continue;
        }
        uint8_t byte = in[n];
        if (byte >= 0x80 || (config->clean_text && is_dropped(byte))) break;
        if (config->clean_text && is_space(byte)) byte = ' ';
        out[n++] = config->lowercase && byte >= 'A' && byte <= 'Z' ? byte + 32 : byte;
    }
    return n;
}

static void put_origins(tandem_normalized *out, tandem_view in, size_t at, size_t n) {
    uint32_t *const origins = (uint32_t *)out->origins.ptr + out->origins.count;
    for (size_t i = 0; i < n; i++) {
        origins[i] = in.origins == NULL ? in.base + (uint32_t)(at + i) : in.origins[at + i];
    }
    out->origins.count += n;
}

static tandem_status bert_apply(const void *config, tandem_view in, tandem_normalized *out,
                                tandem_normalizer_scratch *scratch, tandem_error *err) {
    const tandem_normalizer_bert *const bert = config;
    tandem_marks *const marks = &scratch->marks;
    work w = {.config = bert, .out = out, .marks = marks, .err = err};
    tandem__marks_clear(marks);
    size_t at = 0;
    while (at < in.len) {
        TANDEM_TRY(tandem__normalized_reserve(out, ROOM_BYTES, err));
        if (in.bytes[at] < 0x80 && !(bert->clean_text && is_dropped(in.bytes[at]))) {
            TANDEM_TRY(flush_marks(&w));
            const size_t n = put_ascii(bert, in.bytes + at, in.len - at,
                                       (uint8_t *)out->bytes.ptr + out->bytes.count);
            if (!out->is_plain && out->wants_origins) put_origins(out, in, at, n);
            out->bytes.count += n;
            at += n;
            continue;
        }
        TANDEM_TRY(tandem__normalized_make_explicit(out, ROOM_BYTES, err));
        uint32_t code = 0;
        const size_t step = tandem__utf8_decode(in.bytes + at, in.len - at, &code);
        const uint32_t origin = in.origins == NULL ? in.base + (uint32_t)at : in.origins[at];
        TANDEM_TRY(put_char(&w, code, origin));
        at += step;
    }
    return flush_marks(&w);
}

const tandem_normalizer_type tandem__normalizer_bert_type = {
    .name = "BertNormalizer",
    .config_bytes = sizeof(tandem_normalizer_bert),
    .read = bert_read,
    .apply = bert_apply,
};
