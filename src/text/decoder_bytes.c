/* SPDX-License-Identifier: Apache-2.0 */
/* ByteLevel, ByteFallback: decoders of tokens that stand for bytes. */
#include "base/fail.h"
#include "base/utf8.h"
#include "text/byte_level.h"
#include "text/decoder.h"

#define REPLACEMENT "\xef\xbf\xbd"

static tandem_status no_settings(const tandem_json *json, tandem_arena *arena, void *config,
                                 tandem_error *err) {
    (void)json;
    (void)arena;
    (void)config;
    (void)err;
    return TANDEM_OK;
}

/* Appends the bytes that a token stands for; one with other characters stands for its own. */
static tandem_status put_bytes(tandem_array *bytes, tandem_str token, tandem_error *err) {
    size_t len = 0;
    TANDEM_TRY(tandem__array_reserve(bytes, token.len + 1, 1, err));
    uint8_t *const to = (uint8_t *)bytes->ptr + bytes->count;
    if (!tandem__byte_level_decode(token, to, &len)) {
        len = token.len;
        memcpy(to, token.ptr, len);
    }
    bytes->count += len;
    return TANDEM_OK;
}

/* All tokens become one piece; what is no UTF-8 there becomes U+FFFD. */
static tandem_status byte_level_decode(const void *config, const tandem_pieces *in,
                                       tandem_pieces *out, tandem_decoder_scratch *scratch,
                                       tandem_error *err) {
    (void)config;
    tandem_array *const bytes = &scratch->replaced.bytes;
    bytes->count = 0;
    for (size_t i = 0; i < tandem__pieces_count(in); i++) {
        TANDEM_TRY(put_bytes(bytes, tandem__pieces_at(in, i), err));
    }
    TANDEM_TRY(tandem__array_reserve(&out->bytes, 3 * bytes->count + 1, 1, err));
    if (bytes->count > 0) {
        out->bytes.count = tandem__utf8_replace(bytes->ptr, bytes->count, out->bytes.ptr);
    }
    return tandem__pieces_end(out, err);
}

const tandem_decoder_type tandem__decoder_byte_level_type = {
    .name = "ByteLevel",
    .config_bytes = 0,
    .read = no_settings,
    .decode = byte_level_decode,
};

static int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte of a token <0x..>, -1 for any other. "+5" is a number to the reference. */
static int token_byte(tandem_str token) {
    if (token.len != 6 || !tandem__str_starts(token, "<0x") || !tandem__str_ends(token, ">")) {
        return -1;
    }
    const int high = token.ptr[3] == '+' ? 0 : hex_value(token.ptr[3]);
    const int low = hex_value(token.ptr[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* The bytes in a row become a piece; where they are no UTF-8, one of U+FFFD each. */
static tandem_status flush_bytes(tandem_array *bytes, tandem_pieces *out, tandem_error *err) {
    const size_t count = bytes->count;
    bytes->count = 0;
    if (count == 0) return TANDEM_OK;
    if (tandem__utf8_valid_prefix(bytes->ptr, count) == count) {
        TANDEM_TRY(tandem__pieces_put(out, (tandem_str){bytes->ptr, count}, err));
        return tandem__pieces_end(out, err);
    }
    for (size_t i = 0; i < count; i++) {
        TANDEM_TRY(tandem__pieces_put(out, TANDEM_STR(REPLACEMENT), err));
        TANDEM_TRY(tandem__pieces_end(out, err));
    }
    return TANDEM_OK;
}

static tandem_status byte_fallback_decode(const void *config, const tandem_pieces *in,
                                          tandem_pieces *out, tandem_decoder_scratch *scratch,
                                          tandem_error *err) {
    (void)config;
    tandem_array *const bytes = &scratch->replaced.bytes;
    bytes->count = 0;
    for (size_t i = 0; i < tandem__pieces_count(in); i++) {
        const tandem_str token = tandem__pieces_at(in, i);
        const int byte = token_byte(token);
        if (byte >= 0) {
            TANDEM_TRY(tandem__array_reserve(bytes, 1, 1, err));
            ((uint8_t *)bytes->ptr)[bytes->count++] = (uint8_t)byte;
            continue;
        }
        TANDEM_TRY(flush_bytes(bytes, out, err));
        TANDEM_TRY(tandem__pieces_put(out, token, err));
        TANDEM_TRY(tandem__pieces_end(out, err));
    }
    return flush_bytes(bytes, out, err);
}

const tandem_decoder_type tandem__decoder_byte_fallback_type = {
    .name = "ByteFallback",
    .config_bytes = 0,
    .read = no_settings,
    .decode = byte_fallback_decode,
};
