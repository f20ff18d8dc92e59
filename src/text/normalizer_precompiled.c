/* SPDX-License-Identifier: Apache-2.0 */
/* Precompiled: SentencePiece's table of replacements, a double-array trie of UTF-8 keys beside a
 * pool of texts that end in NUL. The file has both as one blob in base64:
 *
 *     [ bytes of the trie, u32 ][ units, u32 each ][ texts ]        all little-endian
 *     unit: bits 0-7 label · 8 a leaf follows · 9 the offset counts in 256 · 10-31 offset
 *
 * As in the reference a grapheme cluster of less than six bytes is looked up first: the shortest
 * key that begins it replaces all of it. Otherwise its characters are, each alone. Origins follow
 * the reference's account of added and removed characters, which goes one off for good where a
 * text starts with characters that vanish. */
#include <string.h>

#include "base/assert.h"
#include "base/fail.h"
#include "text/grapheme.h"
#include "text/normalizer.h"

#define CLUSTER_BYTES_MAX 5 /* of those that are looked up whole */

typedef struct precompiled {
    const uint8_t *units; /* u32 little-endian each */
    size_t units_count;
    tandem_str texts;
    bool is_kept[128]; /* ASCII that maps to itself, whatever follows in ASCII */
} precompiled;

/* Where the next character of the output goes, and the last one, whose change may still grow. */
typedef struct placer {
    tandem_view in;
    tandem_normalized *out;
    size_t at; /* byte of `in` that the account has come to */
    uint32_t code;
    int64_t change; /* 1: added, 0: replaces one, -n: and removes n more */
    bool has_last;
} placer;

static int base64_value(uint8_t byte) {
    if (byte >= 'A' && byte <= 'Z') return byte - 'A';
    if (byte >= 'a' && byte <= 'z') return byte - 'a' + 26;
    if (byte >= '0' && byte <= '9') return byte - '0' + 52;
    return byte == '+' ? 62 : byte == '/' ? 63 : -1;
}

/* Padded base64 to bytes in the arena. */
static tandem_status decode(tandem_str text, tandem_arena *arena, uint8_t **bytes, size_t *len,
                            tandem_error *err) {
    *bytes = tandem__arena_alloc(arena, text.len / 4 * 3 + 1);
    if (*bytes == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for a charsmap");
    size_t chars = text.len;
    while (chars > 0 && text.len - chars < 2 && text.ptr[chars - 1] == '=') chars--;
    uint32_t bits = 0;
    *len = 0;
    for (size_t i = 0; i < chars; i++) {
        const int value = base64_value((uint8_t)text.ptr[i]);
        if (value < 0 || text.len % 4 != 0) {
            return TANDEM_FAIL(err, FORMAT, "precompiled_charsmap: no base64 at byte %zu", i);
        }
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 != 0) (*bytes)[(*len)++] = (uint8_t)(bits >> (6 - i % 4 * 2));
    }
    return TANDEM_OK;
}

static uint32_t read_u32(const uint8_t *bytes) {
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static uint32_t unit_at(const precompiled *map, size_t at) {
    return at < map->units_count ? read_u32(map->units + 4 * at) : 0;
}

static size_t unit_offset(uint32_t unit) {
    return (size_t)(unit >> 10) << ((unit & (1u << 9)) >> 6);
}

/* What the shortest key that begins `chunk` maps to; false without one. */
static bool find(const precompiled *map, const uint8_t *chunk, size_t len, tandem_str *text) {
    size_t at = unit_offset(unit_at(map, 0));
    for (size_t i = 0; i < len && chunk[i] != 0; i++) {
        at ^= chunk[i];
        const uint32_t unit = unit_at(map, at);
        if ((unit & (1u << 31 | 0xff)) != chunk[i]) return false;
        at ^= unit_offset(unit);
        if ((unit >> 8 & 1) == 0) continue;
        const size_t start = unit_at(map, at) & 0x7fffffff;
        if (start > map->texts.len) return false; /* where the reference panics */
        text->ptr = map->texts.ptr + start;
        if (start < map->texts.len && ((uint8_t)text->ptr[0] & 0xc0) == 0x80) return false;
        const char *const end = memchr(text->ptr, 0, map->texts.len - start);
        text->len = end == NULL ? map->texts.len - start : (size_t)(end - text->ptr);
        return true;
    }
    return false;
}

static tandem_status precompiled_read(const tandem_json *json, tandem_arena *arena, void *config,
                                      tandem_error *err) {
    precompiled *const map = config;
    const tandem_json *const blob = tandem__json_get(json, "precompiled_charsmap");
    if (blob == NULL || blob->kind != TANDEM_JSON_STRING) {
        const tandem_json_label label = tandem__json_label(blob);
        return TANDEM_FAIL(err, FORMAT, "precompiled_charsmap: %s, expected base64", label.text);
    }
    uint8_t *bytes = NULL;
    size_t len = 0;
    TANDEM_TRY(decode(blob->text, arena, &bytes, &len, err));
    const size_t trie = len < 4 ? 0 : read_u32(bytes);
    if (len < 4 || trie % 4 != 0 || trie == 0 || trie > len - 4) {
        return TANDEM_FAIL(err, FORMAT,
                           "precompiled_charsmap: a trie of %zu bytes in %zu, expected whole units",
                           trie, len);
    }
    map->units = bytes + 4;
    map->units_count = trie / 4;
    map->texts = (tandem_str){(const char *)bytes + 4 + trie, len - 4 - trie};
    const size_t valid = tandem__utf8_valid_prefix(bytes + 4 + trie, map->texts.len);
    if (valid != map->texts.len) {
        return TANDEM_FAIL(err, FORMAT, "precompiled_charsmap: no UTF-8 at byte %zu of its texts",
                           valid);
    }
    for (unsigned i = 0; i < 128; i++) {
        const uint8_t byte = (uint8_t)i;
        tandem_str text;
        map->is_kept[i] = i != '\r' && !find(map, &byte, 1, &text);
    }
    return TANDEM_OK;
}

/* The last character goes out. */
static void place_last(placer *p) {
    if (!p->has_last) return;
    p->has_last = false;
    const size_t from = p->change > 0 ? p->at - 1 : p->at;
    const bool wants = p->out->wants_origins;
    TANDEM_ASSERT(from < p->in.len);
    tandem__normalized_put(p->out, p->code, wants ? tandem__view_origin(p->in, from) : 0);
    for (int64_t i = p->change; i <= 0 && p->at < p->in.len; i++) {
        uint32_t code = 0;
        p->at += tandem__utf8_decode(p->in.bytes + p->at, p->in.len - p->at, &code);
    }
}

static tandem_status place(placer *p, uint32_t code, int64_t change, tandem_error *err) {
    place_last(p);
    p->code = code;
    p->change = change;
    p->has_last = true;
    return tandem__normalized_reserve(p->out, 8, err);
}

/* `text` in the place of `old` characters: those that are more count as added, those that are
 * fewer are removed behind the last. */
static tandem_status replace(placer *p, int64_t old, tandem_str text, tandem_error *err) {
    const uint8_t *const bytes = (const uint8_t *)text.ptr;
    const int64_t more = (int64_t)tandem__utf8_count(bytes, text.len) - old;
    int64_t left = more + old;
    for (size_t at = 0; at < text.len; left--) {
        uint32_t code = 0;
        at += tandem__utf8_decode(bytes + at, text.len - at, &code);
        TANDEM_TRY(place(p, code, more > 0 && left <= more, err));
    }
    if (more < 0 && p->has_last) p->change += more;
    return TANDEM_OK;
}

static tandem_status put_chars(const precompiled *map, placer *p, size_t at, size_t end,
                               tandem_error *err) {
    while (at < end) {
        uint32_t code = 0;
        tandem_str text;
        const size_t step = tandem__utf8_decode(p->in.bytes + at, end - at, &code);
        if (find(map, p->in.bytes + at, step, &text)) {
            TANDEM_TRY(replace(p, 1, text, err));
        } else {
            TANDEM_TRY(place(p, code, 0, err));
        }
        at += step;
    }
    return TANDEM_OK;
}

/* How many bytes from `at` on are ASCII that stays, and cannot join what follows. */
static size_t kept_run(const precompiled *map, tandem_view in, size_t at) {
    size_t end = at;
    while (end < in.len && in.bytes[end] < 0x80 && map->is_kept[in.bytes[end]]) end++;
    return end < in.len && in.bytes[end] >= 0x80 && end > at ? end - 1 : end;
}

static tandem_status precompiled_apply(const void *config, tandem_view in, tandem_normalized *out,
                                       tandem_normalizer_scratch *scratch, tandem_error *err) {
    (void)scratch;
    const precompiled *const map = config;
    placer p = {.in = in, .out = out};
    TANDEM_TRY(tandem__normalized_make_explicit(out, 0, err));
    for (size_t at = 0; at < in.len;) {
        const size_t run = kept_run(map, in, at);
        if (run > at) {
            place_last(&p);
            if (p.at == at) {
                TANDEM_TRY(tandem__normalized_append(out, in, at, run - 1, err));
                p.at = run - 1;
                TANDEM_TRY(place(&p, in.bytes[run - 1], 0, err));
                at = run;
                continue;
            }
        }
        const size_t len = tandem__grapheme_len(in.bytes + at, in.len - at);
        tandem_str text;
        if (len <= CLUSTER_BYTES_MAX && find(map, in.bytes + at, len, &text)) {
            const int64_t old = (int64_t)tandem__utf8_count(in.bytes + at, len);
            TANDEM_TRY(replace(&p, old, text, err));
        } else {
            TANDEM_TRY(put_chars(map, &p, at, at + len, err));
        }
        at += len;
    }
    place_last(&p);
    return TANDEM_OK;
}

const tandem_normalizer_type tandem__normalizer_precompiled_type = {
    .name = "Precompiled",
    .config_bytes = sizeof(precompiled),
    .read = precompiled_read,
    .apply = precompiled_apply,
};
