/* SPDX-License-Identifier: Apache-2.0 */
/* StripAccents: combining marks go, nothing is decomposed. Nmt: control characters go, white space
 * of many kinds becomes a space. ByteLevel: each byte becomes a character of byte_level.h. What is
 * left of a character keeps its origin. */
#include "base/fail.h"
#include "text/byte_level.h"
#include "text/normalizer.h"
#include "text/unicode.h"

#define GONE UINT32_MAX

static uint32_t strip_accents(uint32_t code) {
    return (tandem__unicode_flags(code) & TANDEM_UNICODE_COMBINING) != 0 ? GONE : code;
}

static uint32_t nmt(uint32_t code) {
    if (code == '\t' || code == '\n' || code == '\f' || code == '\r') return ' ';
    if ((code > 0 && code < 0x20) || code == 0x7f || code == 0x8f || code == 0x9f) return GONE;
    const bool is_space = code == 0x1680 || (code >= 0x200b && code <= 0x200f) || code == 0x2028 ||
                          code == 0x2029 || code == 0x2581 || code == 0xfeff || code == 0xfffd;
    return is_space ? ' ' : code;
}

/* Appends what `map` leaves of each character; runs that it does not touch are copied. */
static tandem_status filter(uint32_t (*map)(uint32_t code), tandem_view in, tandem_normalized *out,
                            tandem_error *err) {
    size_t done = 0;
    TANDEM_TRY(tandem__normalized_make_explicit(out, in.len, err));
    for (size_t at = 0; at < in.len;) {
        uint32_t code = in.bytes[at];
        size_t step = 1;
        if (code >= 0x80) step = tandem__utf8_decode(in.bytes + at, in.len - at, &code);
        const uint32_t mapped = map(code);
        if (mapped != code) {
            TANDEM_TRY(tandem__normalized_append(out, in, done, at, err));
            TANDEM_TRY(tandem__normalized_reserve(out, 4, err));
            if (mapped != GONE) {
                const uint32_t origin = out->wants_origins ? tandem__view_origin(in, at) : 0;
                tandem__normalized_put(out, mapped, origin);
            }
            done = at + step;
        }
        at += step;
    }
    return tandem__normalized_append(out, in, done, in.len, err);
}

static tandem_status strip_accents_apply(const void *config, tandem_view in, tandem_normalized *out,
                                         tandem_normalizer_scratch *scratch, tandem_error *err) {
    (void)config;
    (void)scratch;
    return filter(strip_accents, in, out, err);
}

static tandem_status nmt_apply(const void *config, tandem_view in, tandem_normalized *out,
                               tandem_normalizer_scratch *scratch, tandem_error *err) {
    (void)config;
    (void)scratch;
    return filter(nmt, in, out, err);
}

static tandem_status byte_level_apply(const void *config, tandem_view in, tandem_normalized *out,
                                      tandem_normalizer_scratch *scratch, tandem_error *err) {
    (void)config;
    (void)scratch;
    TANDEM_TRY(tandem__normalized_make_explicit(out, in.len, err));
    for (size_t at = 0; at < in.len; at++) {
        TANDEM_TRY(tandem__normalized_reserve(out, 4, err));
        const uint32_t origin = out->wants_origins ? tandem__view_origin(in, at) : 0;
        tandem__normalized_put(out, tandem__byte_char(in.bytes[at]), origin);
    }
    return TANDEM_OK;
}

static tandem_status no_settings(const tandem_json *json, tandem_arena *arena, void *config,
                                 tandem_error *err) {
    (void)json;
    (void)arena;
    (void)config;
    (void)err;
    return TANDEM_OK;
}

const tandem_normalizer_type tandem__normalizer_byte_level_type = {
    .name = "ByteLevel",
    .config_bytes = 0,
    .read = no_settings,
    .apply = byte_level_apply,
};

const tandem_normalizer_type tandem__normalizer_strip_accents_type = {
    .name = "StripAccents",
    .config_bytes = 0,
    .read = no_settings,
    .apply = strip_accents_apply,
};

const tandem_normalizer_type tandem__normalizer_nmt_type = {
    .name = "Nmt",
    .config_bytes = 0,
    .read = no_settings,
    .apply = nmt_apply,
};
