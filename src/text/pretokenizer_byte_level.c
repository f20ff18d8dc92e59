/* SPDX-License-Identifier: Apache-2.0 */
/* ByteLevel: cuts text as GPT-2 does, then writes each byte as a character of the alphabet in
 * byte_level.h.
 *
 *     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *
 * The pattern is scanned by hand: one look at the first character, or at the one behind a space,
 * says which branch it is, and white space before a word gives its last character to it. Every
 * character belongs to some branch, so that words are neighbours.
 *
 * A BPE model that knows all bytes takes them as they are (tandem__pretokenizer_leave_bytes): then
 * nothing is rewritten, but for the space in front where one is asked for. */
#include "base/fail.h"
#include "text/byte_level.h"
#include "text/pretokenizer.h"
#include "text/unicode.h"

typedef struct byte_level {
    bool adds_space; /* before text that starts without one */
    bool cuts;
    bool leaves_bytes;
} byte_level;

typedef enum char_class {
    CLASS_OTHER = 0,
    CLASS_LETTER = 1,
    CLASS_NUMBER = 2,
    CLASS_WHITE = 3,
    CLASS_MULTI = 4, /* not ASCII: look it up */
} char_class;

/* clang-format off */
#define L CLASS_LETTER
#define N CLASS_NUMBER
#define W CLASS_WHITE
#define M CLASS_MULTI
#define M16 M,M,M,M,M,M,M,M,M,M,M,M,M,M,M,M
static const uint8_t classes[256] = {
    0,0,0,0,0,0,0,0,0,W,W,W,W,W,0,0, 0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,
    W,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0, N,N,N,N,N,N,N,N,N,N,0,0,0,0,0,0,
    0,L,L,L,L,L,L,L,L,L,L,L,L,L,L,L, L,L,L,L,L,L,L,L,L,L,L,0,0,0,0,0,
    0,L,L,L,L,L,L,L,L,L,L,L,L,L,L,L, L,L,L,L,L,L,L,L,L,L,L,0,0,0,0,0,
    M16, M16, M16, M16, M16, M16, M16, M16,
};
#undef L
#undef N
#undef W
#undef M
#undef M16
/* clang-format on */

static char_class class_of_code(uint32_t code) {
    const uint32_t flags = tandem__unicode_flags(code);
    if (flags & TANDEM_UNICODE_LETTER) return CLASS_LETTER;
    if (flags & TANDEM_UNICODE_NUMBER) return CLASS_NUMBER;
    return flags & TANDEM_UNICODE_WHITE ? CLASS_WHITE : CLASS_OTHER;
}

/* Of the character at `at`, which `*next` then is behind. */
static char_class class_at(const uint8_t *bytes, size_t at, size_t end, size_t *next) {
    const char_class class = classes[bytes[at]];
    *next = at + 1;
    if (class != CLASS_MULTI) return class;
    uint32_t code = 0;
    *next = at + tandem__utf8_decode(bytes + at, end - at, &code);
    return class_of_code(code);
}

/* Behind the characters of one class that start at `at`. */
static size_t run_end(const uint8_t *bytes, size_t at, size_t end, char_class class) {
    for (;;) {
        while (at < end && classes[bytes[at]] == class) at++;
        if (at == end || bytes[at] < 0x80) return at;
        size_t next = at;
        if (class_at(bytes, at, end, &next) != class) return at;
        at = next;
    }
}

/* Bytes of 's, 't, 're, 've, 'm, 'll or 'd at an apostrophe; 0 for none. */
static size_t contraction(const uint8_t *bytes, size_t left) {
    if (left < 2) return 0;
    switch (bytes[1]) {
    case 's':
    case 't':
    case 'm':
    case 'd':
        return 2;
    case 'r':
    case 'v':
        return left > 2 && bytes[2] == 'e' ? 3 : 0;
    case 'l':
        return left > 2 && bytes[2] == 'l' ? 3 : 0;
    default:
        return 0;
    }
}

/* White space up to its last character where more follows, unless it has only one. */
static size_t white_end(const uint8_t *bytes, size_t at, size_t end) {
    size_t last = at;
    for (size_t i = at; i < end;) {
        size_t next = i;
        if (class_at(bytes, i, end, &next) != CLASS_WHITE) return last == at ? i : last;
        last = i;
        i = next;
    }
    return end;
}

static size_t word_end(const uint8_t *bytes, size_t at, size_t end) {
    size_t next = at;
    char_class class = class_at(bytes, at, end, &next);
    if (bytes[at] == '\'') {
        const size_t len = contraction(bytes + at, end - at);
        if (len > 0) return at + len;
    }
    if (class == CLASS_WHITE) {
        if (bytes[at] != ' ' || next == end) return white_end(bytes, at, end);
        class = class_at(bytes, next, end, &next);
        if (class == CLASS_WHITE) return white_end(bytes, at, end);
    }
    return run_end(bytes, next, end, class);
}

static size_t bytes_split(const void *config, const uint8_t *bytes, size_t end, size_t *at,
                          tandem_split *splits, size_t max) {
    const byte_level *const level = config;
    size_t count = 0;
    size_t i = *at;
    while (i < end && count < max) {
        const size_t next = level->cuts ? word_end(bytes, i, end) : end;
        splits[count++] = (tandem_split){(uint32_t)i, (uint32_t)next};
        i = next;
    }
    *at = i;
    return count;
}

/* Writes text from byte `start` on in the alphabet, from its end to its start, as it grows. It is
 * tiled by the words from `first` on. */
static tandem_status widen(tandem_normalized *text, size_t start, tandem_array *splits,
                           size_t first, tandem_error *err) {
    size_t at = text->bytes.count;
    size_t wide = 0;
    for (size_t i = start; i < at; i++) {
        wide += tandem__byte_char(((const uint8_t *)text->bytes.ptr)[i]) >= 0x80;
    }
    TANDEM_TRY(tandem__normalized_reserve(text, wide, err));
    uint8_t *const bytes = text->bytes.ptr;
    uint32_t *const origins = text->wants_origins ? text->origins.ptr : NULL;
    size_t to = at + wide;
    text->bytes.count = to;
    if (origins != NULL) text->origins.count = to;
    for (size_t k = splits->count; k-- > first;) {
        tandem_split *const split = (tandem_split *)splits->ptr + k;
        const uint32_t old_start = split->start;
        split->end = (uint32_t)to;
        while (at > old_start) {
            const uint32_t code = tandem__byte_char(bytes[--at]);
            const uint32_t origin = origins == NULL ? 0 : origins[at];
            to -= code < 0x80 ? 1 : 2;
            tandem__utf8_encode(code, bytes + to);
            if (origins == NULL) continue;
            origins[to] = origin;
            if (code >= 0x80) origins[to + 1] = origin;
        }
        split->start = (uint32_t)to;
    }
    return TANDEM_OK;
}

static tandem_status byte_level_rewrite(const void *config, tandem_view in, tandem_split word,
                                        tandem_normalized *out, tandem_array *splits,
                                        tandem_error *err) {
    const byte_level *const level = config;
    const size_t start = out->bytes.count;
    const size_t first = splits->count;
    if (level->adds_space && in.bytes[word.start] != ' ') {
        const uint32_t origin = out->wants_origins ? tandem__view_origin(in, word.start) : 0;
        TANDEM_TRY(tandem__normalized_insert(out, TANDEM_STR(" "), origin, err));
    }
    TANDEM_TRY(tandem__normalized_append(out, in, word.start, word.end, err));
    const uint8_t *const bytes = out->bytes.ptr;
    const size_t end = out->bytes.count;
    for (size_t at = start; at < end;) {
        const size_t next = level->cuts ? word_end(bytes, at, end) : end;
        TANDEM_TRY(tandem__splits_push(splits, at, next, err));
        at = next;
    }
    return level->leaves_bytes ? TANDEM_OK : widen(out, start, splits, first, err);
}

static tandem_status byte_level_read(const tandem_json *json, tandem_arena *arena, void *config,
                                     tandem_error *err) {
    byte_level *const level = config;
    static const char *const required[] = {"add_prefix_space", "trim_offsets"};
    (void)arena;
    for (size_t i = 0; i < sizeof required / sizeof required[0]; i++) {
        const tandem_json *const field = tandem__json_get(json, required[i]);
        if (field != NULL && field->kind == TANDEM_JSON_BOOL) continue;
        const tandem_json_label label = tandem__json_label(field);
        return TANDEM_FAIL(err, FORMAT, "%s: %s, expected true or false", required[i], label.text);
    }
    level->cuts = true;
    TANDEM_TRY(tandem__json_read_bool(json, "add_prefix_space", &level->adds_space, err));
    return tandem__json_read_bool(json, "use_regex", &level->cuts, err);
}

const tandem_pretokenizer_type tandem__pretokenizer_byte_level_type = {
    .name = "ByteLevel",
    .config_bytes = sizeof(byte_level),
    .read = byte_level_read,
    .rewrite = byte_level_rewrite,
};

/* What it becomes where bytes stay as they are and no space is added. */
static const tandem_pretokenizer_type bytes_type = {
    .name = "ByteLevel",
    .config_bytes = sizeof(byte_level),
    .read = byte_level_read,
    .split = bytes_split,
};

void tandem__byte_level_leave_bytes(tandem_pretokenizer_part *part) {
    byte_level *const level = part->config;
    level->leaves_bytes = true;
    if (!level->adds_space) part->type = &bytes_type;
}
