/* SPDX-License-Identifier: Apache-2.0 */
/* NFC, NFD, NFKC, NFKD: Unicode's normalisation forms (Unicode 3.11), with the origins that the
 * reference gives.
 *
 *     characters ─ decompose ─ marks in order ─ compose (NFC, NFKC) ─ transform
 *
 * Each code point travels with its change (transform.h): the first of a decomposition replaces its
 * character, the others are added; two that compose add up. Runs of characters that a form leaves
 * alone, whatever stands beside them, are copied: nearly all text. In a composing form the last
 * character of such a run goes the whole way, as marks may follow. */
#include <string.h>

#include "base/fail.h"
#include "text/normalizer.h"
#include "text/transform.h"
#include "text/unicode.h"

#define HANGUL_FIRST 0xac00u
#define HANGUL_COUNT 11172u
#define HANGUL_L     0x1100u
#define HANGUL_V     0x1161u
#define HANGUL_T     0x11a7u
#define HANGUL_LS    19u
#define HANGUL_VS    21u
#define HANGUL_TS    28u

typedef struct form {
    bool is_compatible;
    bool composes;
} form;

/* A code point on its way. */
typedef struct held {
    uint32_t code;
    int64_t change;
} held;

typedef struct work {
    const form *config;
    tandem_transform to;
    tandem_marks *marks;
    tandem_array *behind; /* held: marks behind the starter that did not compose */
    held starter;
    bool has_starter;
    uint32_t last_class; /* of the last in `behind` */
    tandem_error *err;
} work;

static uint32_t compose_hangul(uint32_t a, uint32_t b) {
    const uint32_t l = a - HANGUL_L;
    const uint32_t v = b - HANGUL_V;
    if (l < HANGUL_LS && v < HANGUL_VS) return HANGUL_FIRST + (l * HANGUL_VS + v) * HANGUL_TS;
    const uint32_t s = a - HANGUL_FIRST;
    const uint32_t t = b - HANGUL_T;
    return s < HANGUL_COUNT && s % HANGUL_TS == 0 && t - 1 < HANGUL_TS - 1 ? a + t : 0;
}

/* What two code points become together; 0 for nothing. */
static uint32_t compose(uint32_t a, uint32_t b) {
    if (b < 0x300) return 0;
    const uint32_t hangul = compose_hangul(a, b);
    if (hangul != 0) return hangul;
    size_t low = 0;
    size_t high = sizeof tandem__unicode_pair / sizeof tandem__unicode_pair[0] / 3;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        const uint32_t *const pair = tandem__unicode_pair + 3 * middle;
        if (pair[0] == a && pair[1] == b) return pair[2];
        if (pair[0] < a || (pair[0] == a && pair[1] < b))
            low = middle + 1;
        else
            high = middle;
    }
    return 0;
}

/* The starter goes out, and what waits behind it. */
static tandem_status flush_starter(work *w) {
    if (w->has_starter) {
        TANDEM_TRY(tandem__transform_put(&w->to, w->starter.code, w->starter.change, w->err));
    }
    const held *const behind = w->behind->ptr;
    for (size_t i = 0; i < w->behind->count; i++) {
        TANDEM_TRY(tandem__transform_put(&w->to, behind[i].code, behind[i].change, w->err));
    }
    w->has_starter = false;
    w->behind->count = 0;
    w->last_class = 0;
    return TANDEM_OK;
}

/* One code point, in canonical order. */
static tandem_status put_ordered(work *w, held next, uint32_t class) {
    if (!w->config->composes) {
        return tandem__transform_put(&w->to, next.code, next.change, w->err);
    }
    if (!w->has_starter) {
        if (class != 0) return tandem__transform_put(&w->to, next.code, next.change, w->err);
        w->starter = next;
        w->has_starter = true;
        return TANDEM_OK;
    }
    const bool is_blocked = w->last_class != 0 && w->last_class >= class;
    const uint32_t both = is_blocked ? 0 : compose(w->starter.code, next.code);
    if (both != 0) {
        w->starter = (held){both, w->starter.change + next.change - 1};
        return TANDEM_OK;
    }
    if (class == 0) {
        TANDEM_TRY(flush_starter(w));
        w->starter = next;
        w->has_starter = true;
        return TANDEM_OK;
    }
    TANDEM_TRY(tandem__array_reserve(w->behind, 1, sizeof next, w->err));
    ((held *)w->behind->ptr)[w->behind->count++] = next;
    w->last_class = class;
    return TANDEM_OK;
}

static tandem_status flush_marks(work *w) {
    tandem_marks *const marks = w->marks;
    if (marks->items.count == 0) return TANDEM_OK;
    TANDEM_TRY(tandem__marks_sort(marks, w->err));
    const tandem_mark *const sorted = marks->sorted.ptr;
    for (size_t i = 0; i < marks->sorted.count; i++) {
        const held next = {sorted[i].code, sorted[i].is_first ? 0 : 1};
        TANDEM_TRY(put_ordered(w, next, sorted[i].rank));
    }
    tandem__marks_clear(marks);
    return TANDEM_OK;
}

/* One code point of a decomposition, the first or a later one. */
static tandem_status put_part(work *w, uint32_t code, bool is_first) {
    const uint32_t rank = tandem__unicode_class(code);
    if (rank != 0) {
        const tandem_mark mark = {code, (uint8_t)rank, is_first, true};
        return tandem__marks_push(w->marks, mark, 0, w->err);
    }
    TANDEM_TRY(flush_marks(w));
    return put_ordered(w, (held){code, is_first ? 0 : 1}, 0);
}

static tandem_status put_char(work *w, uint32_t code) {
    const uint32_t s = code - HANGUL_FIRST;
    if (s < HANGUL_COUNT) {
        TANDEM_TRY(put_part(w, HANGUL_L + s / (HANGUL_VS * HANGUL_TS), true));
        TANDEM_TRY(put_part(w, HANGUL_V + s / HANGUL_TS % HANGUL_VS, false));
        if (s % HANGUL_TS == 0) return TANDEM_OK;
        return put_part(w, HANGUL_T + s % HANGUL_TS, false);
    }
    const uint32_t *parts = w->config->is_compatible ? tandem__unicode_nfkd_of(code) : NULL;
    if (parts == NULL) parts = tandem__unicode_nfd_of(code);
    if (parts == NULL) return put_part(w, code, true);
    for (uint32_t i = 1; i <= parts[0]; i++) TANDEM_TRY(put_part(w, parts[i], i == 1));
    return TANDEM_OK;
}

/* Whether the form leaves the character alone, and it neither moves nor joins what is before. */
static bool is_inert(const form *config, uint32_t code) {
    if (config->composes) {
        const uint32_t moves =
            config->is_compatible ? TANDEM_UNICODE_NOT_NFKC : TANDEM_UNICODE_NOT_NFC;
        return (tandem__unicode_flags(code) & moves) == 0;
    }
    return tandem__unicode_class(code) == 0 && tandem__unicode_nfd_of(code) == NULL &&
           code - HANGUL_FIRST >= HANGUL_COUNT &&
           !(config->is_compatible && tandem__unicode_nfkd_of(code) != NULL);
}

/* The end of the inert run at `at`, and where its last character starts. */
static size_t inert_run(const form *config, tandem_view in, size_t at, size_t *last) {
    *last = at;
    while (at < in.len) {
        uint32_t code = in.bytes[at];
        const size_t step =
            code < 0x80 ? 1 : tandem__utf8_decode(in.bytes + at, in.len - at, &code);
        if (code >= 0x80 && !is_inert(config, code)) break;
        *last = at;
        at += step;
    }
    return at;
}

static size_t ascii_run(tandem_view in) {
    size_t at = 0;
    for (uint64_t bytes = 0; in.len - at >= 8; at += 8) {
        memcpy(&bytes, in.bytes + at, 8);
        if ((bytes & UINT64_C(0x8080808080808080)) != 0) break;
    }
    while (at < in.len && in.bytes[at] < 0x80) at++;
    return at;
}

static tandem_status flush_all(work *w) {
    TANDEM_TRY(flush_marks(w));
    return flush_starter(w);
}

static tandem_status form_apply(const void *config, tandem_view in, tandem_normalized *out,
                                tandem_normalizer_scratch *scratch, tandem_error *err) {
    work w = {.config = config,
              .to = {.in = in, .out = out},
              .marks = &scratch->marks,
              .behind = &scratch->behind,
              .err = err};
    if (out->is_plain && ascii_run(in) == in.len) {
        TANDEM_TRY(tandem__normalized_reserve(out, in.len, err));
        if (in.len > 0) memcpy(out->bytes.ptr, in.bytes, in.len);
        out->bytes.count = in.len;
        return TANDEM_OK;
    }
    TANDEM_TRY(tandem__normalized_make_explicit(out, in.len, err));
    tandem__marks_clear(w.marks);
    w.behind->count = 0;
    for (size_t at = 0; at < in.len;) {
        size_t last = 0;
        size_t run = inert_run(w.config, in, at, &last);
        if (run < in.len && w.config->composes) run = last;
        if (run > at) {
            TANDEM_TRY(flush_all(&w));
            TANDEM_ASSERT(w.to.at == at);
            TANDEM_TRY(tandem__normalized_append(out, in, at, run, err));
            w.to.at = at = run;
            continue;
        }
        uint32_t code = 0;
        at += tandem__utf8_decode(in.bytes + at, in.len - at, &code);
        TANDEM_TRY(put_char(&w, code));
    }
    return flush_all(&w);
}

static tandem_status read_form(form *config, bool is_compatible, bool composes) {
    *config = (form){is_compatible, composes};
    return TANDEM_OK;
}

static tandem_status nfc_read(const tandem_json *json, tandem_arena *arena, void *config,
                              tandem_error *err) {
    (void)json;
    (void)arena;
    (void)err;
    return read_form(config, false, true);
}

static tandem_status nfd_read(const tandem_json *json, tandem_arena *arena, void *config,
                              tandem_error *err) {
    (void)json;
    (void)arena;
    (void)err;
    return read_form(config, false, false);
}

static tandem_status nfkc_read(const tandem_json *json, tandem_arena *arena, void *config,
                               tandem_error *err) {
    (void)json;
    (void)arena;
    (void)err;
    return read_form(config, true, true);
}

static tandem_status nfkd_read(const tandem_json *json, tandem_arena *arena, void *config,
                               tandem_error *err) {
    (void)json;
    (void)arena;
    (void)err;
    return read_form(config, true, false);
}

#define FORM(label, reader)                                                                        \
    { .name = label, .config_bytes = sizeof(form), .read = (reader), .apply = form_apply }

const tandem_normalizer_type tandem__normalizer_nfc_type = FORM("NFC", nfc_read);
const tandem_normalizer_type tandem__normalizer_nfd_type = FORM("NFD", nfd_read);
const tandem_normalizer_type tandem__normalizer_nfkc_type = FORM("NFKC", nfkc_read);
const tandem_normalizer_type tandem__normalizer_nfkd_type = FORM("NFKD", nfkd_read);
