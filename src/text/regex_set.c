/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of code points in a pattern: [..], \s and its like, properties. While a set is read it is
 * one bit a code point, so that union, intersection and complement are loops over words; kept, it
 * is a table of blocks, equal blocks once, and a table of first bytes. */
#include "base/fail.h"
#include "base/utf8.h"
#include "text/regex_internal.h"
#include "text/unicode.h"

#define LONG_S          0x17fu /* what s and k are without case, beside S and K */
#define KELVIN          0x212au
#define NAME_MAX        32
#define COUNT_OF(table) (sizeof(table) / sizeof(table)[0])
#define CLASS_DEPTH     ((uint32_t)8)

static void add_range(uint64_t *bits, uint32_t low, uint32_t high) {
    for (uint32_t code = low; code <= high;) {
        if (code % 64 == 0 && high - code >= 63) {
            bits[code / 64] = UINT64_MAX;
            code += 64;
        } else {
            bits[code / 64] |= (uint64_t)1 << code % 64;
            code++;
        }
    }
}

tandem_status tandem__regex_bits(regex_parser *p, uint32_t depth, uint64_t **bits) {
    if (p->bits[depth] == NULL) {
        p->bits[depth] = tandem__arena_array(p->work, REGEX_SET_WORDS, sizeof(uint64_t));
        if (p->bits[depth] == NULL) return TANDEM_FAIL(p->err, MEMORY, "no memory for a set");
    }
    memset(p->bits[depth], 0, REGEX_SET_WORDS * sizeof(uint64_t));
    *bits = p->bits[depth];
    return TANDEM_OK;
}

static void invert(uint64_t *bits) {
    for (size_t i = 0; i < REGEX_SET_WORDS; i++) bits[i] = ~bits[i];
}

static void unite(uint64_t *bits, const uint64_t *others) {
    for (size_t i = 0; i < REGEX_SET_WORDS; i++) bits[i] |= others[i];
}

static void intersect(uint64_t *bits, const uint64_t *others) {
    for (size_t i = 0; i < REGEX_SET_WORDS; i++) bits[i] &= others[i];
}

/* Kept sets. */

static bool has_bit(const uint64_t *bits, uint32_t code) {
    return (bits[code / 64] >> (code % 64) & 1) != 0;
}

static void fill_bytes(regex_set *set, const uint64_t *bits) {
    for (uint32_t code = 0; code < 0x80; code++) set->byte[code] = has_bit(bits, code);
    for (uint32_t at = 0x80 / 64; at < REGEX_SET_WORDS; at++) {
        for (uint32_t i = 0; bits[at] != 0 && i < 64; i++) {
            if ((bits[at] >> i & 1) == 0) continue;
            uint8_t text[4];
            tandem__utf8_encode(at * 64 + i, text);
            set->byte[text[0]] = 2;
            if ((at * 64 + i) >= 0x1000) i |= 63; /* a word of these has one first byte */
        }
    }
}

static tandem_status fill_blocks(regex_parser *p, regex_set *set, const uint64_t *bits) {
    enum { WORDS = REGEX_BLOCK / 64 };
    uint16_t *const blocks = tandem__arena_array(p->arena, REGEX_BLOCKS, sizeof *blocks);
    if (blocks == NULL) return TANDEM_FAIL(p->err, MEMORY, "no memory for a set");
    uint32_t count = 0; /* of different blocks; the first of each is at firsts[] */
    uint32_t *const firsts = tandem__arena_array(p->work, REGEX_BLOCKS, sizeof *firsts);
    if (firsts == NULL) return TANDEM_FAIL(p->err, MEMORY, "no memory for a set");
    for (uint32_t i = 0; i < REGEX_BLOCKS; i++) {
        uint32_t same = i == 0 ? 0 : blocks[i - 1];
        if (i > 0 && memcmp(bits + (i - 1) * WORDS, bits + i * WORDS, WORDS * 8) != 0) same = 0;
        while (same < count &&
               memcmp(bits + firsts[same] * WORDS, bits + i * WORDS, WORDS * 8) != 0) {
            same++;
        }
        if (same == count) firsts[count++] = i;
        blocks[i] = (uint16_t)same;
    }
    uint64_t(*const kept)[WORDS] = tandem__arena_array(p->arena, count, sizeof *kept);
    if (kept == NULL) return TANDEM_FAIL(p->err, MEMORY, "no memory for a set");
    for (uint32_t i = 0; i < count; i++) memcpy(kept[i], bits + firsts[i] * WORDS, WORDS * 8);
    set->blocks = blocks;
    set->bits = (const uint64_t(*)[WORDS])kept;
    return TANDEM_OK;
}

tandem_status tandem__regex_keep_set(regex_parser *p, const uint64_t *bits, uint32_t *set) {
    uint64_t hash = 0;
    for (size_t i = 0; i < REGEX_SET_WORDS; i++) {
        hash = (hash ^ bits[i]) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
    }
    for (uint32_t i = 0; i < p->sets_count; i++) {
        if (p->sets[i].hash != hash) continue;
        bool is_same = true;
        for (uint32_t b = 0; b < REGEX_BLOCKS && is_same; b++) {
            is_same = memcmp(p->sets[i].bits[p->sets[i].blocks[b]], bits + b * (REGEX_BLOCK / 64),
                             REGEX_BLOCK / 8) == 0;
        }
        *set = i;
        if (is_same) return TANDEM_OK;
    }
    if (p->sets_count == REGEX_SETS_MAX) {
        return TANDEM_FAIL(p->err, CAPACITY, "pattern of over %d sets", REGEX_SETS_MAX);
    }
    regex_set *const made = &p->sets[p->sets_count];
    made->hash = hash;
    fill_bytes(made, bits);
    TANDEM_TRY(fill_blocks(p, made, bits));
    *set = p->sets_count++;
    return TANDEM_OK;
}

static void fold_range(uint64_t *bits, uint32_t low, uint32_t high) {
    for (uint32_t code = low; code <= high; code++) {
        const uint32_t lower = code | 32;
        if (lower < 'a' || lower > 'z') continue;
        add_range(bits, lower, lower);
        add_range(bits, lower - 32, lower - 32);
        if (lower == 's') add_range(bits, LONG_S, LONG_S);
        if (lower == 'k') add_range(bits, KELVIN, KELVIN);
    }
}

static tandem_status add_chars(regex_parser *p, uint64_t *bits, uint32_t low, uint32_t high,
                               size_t at) {
    add_range(bits, low, high);
    if (!p->folds) return TANDEM_OK;
    if (high >= 0x80) return tandem__regex_refuse(p, at, "a character beyond ASCII without case");
    fold_range(bits, low, high);
    return TANDEM_OK;
}

tandem_status tandem__regex_char_set(regex_parser *p, uint32_t code, uint32_t *set) {
    uint64_t *bits = NULL;
    TANDEM_TRY(tandem__regex_bits(p, 1, &bits));
    TANDEM_TRY(add_chars(p, bits, code, code, p->at));
    return tandem__regex_keep_set(p, bits, set);
}

/* Escapes. */

/* Block by block of the table: equal blocks are looked through once. */
static void add_flagged(uint64_t *bits, uint32_t flag) {
    enum { SIZE = 1 << UNICODE_RECORD_SHIFT, WORDS = SIZE / 64 };
    _Static_assert(WORDS > 0, "a block of code points is whole words");
    uint64_t masks[256][WORDS] = {{0}};
    bool is_known[256] = {false};
    for (uint32_t i = 0; i < COUNT_OF(tandem__unicode_record_block); i++) {
        const uint8_t block = tandem__unicode_record_block[i];
        for (uint32_t k = 0; !is_known[block] && k < SIZE; k++) {
            const bool has = (tandem__unicode_flags(i * SIZE + k) & flag) != 0;
            masks[block][k / 64] |= (uint64_t)has << k % 64;
        }
        is_known[block] = true;
        for (uint32_t w = 0; w < WORDS; w++) bits[i * WORDS + w] |= masks[block][w];
    }
}

/* Code points whose number in a table of runs is one of `numbers`, a bit each. */
static void add_runs(uint64_t *bits, const uint32_t *runs, size_t count, uint32_t shift,
                     uint64_t numbers) {
    for (size_t i = 0; i < count; i++) {
        const uint32_t number = runs[i] & ((1u << shift) - 1);
        const uint32_t end = i + 1 < count ? runs[i + 1] >> shift : TANDEM_CODE_MAX + 1;
        if (number < 64 && (numbers >> number & 1) != 0) {
            add_range(bits, runs[i] >> shift, end - 1);
        }
    }
}

static void add_categories(uint64_t *bits, uint64_t numbers) {
    add_runs(bits, tandem__unicode_category, COUNT_OF(tandem__unicode_category), 5, numbers);
}

static char plain(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* Whether `name`, lower case without spaces, _ and -, begins the word at `word`; exactly is it
 * where the word ends there too. */
static bool begins(const char *name, const char *word, bool *is_whole) {
    size_t i = 0;
    while (name[i] != '\0' && word[i] != ' ' && plain(word[i]) == name[i]) i++;
    *is_whole = word[i] == ' ';
    return name[i] == '\0';
}

/* The words of a list that are `name`, or begin with its one letter: a bit each. */
static uint64_t find_names(const char *list, const char *name) {
    uint64_t found = 0;
    for (int number = 0; *list != '\0'; number++) {
        bool is_whole = false;
        if (begins(name, list, &is_whole) && (is_whole || name[1] == '\0')) {
            found |= (uint64_t)1 << number;
        }
        list = strchr(list, ' ') + 1;
    }
    return found;
}

static const char *short_name(const char *name) {
    static const char *const names[][2] = {
        {"letter", "l"},
        {"mark", "m"},
        {"number", "n"},
        {"punctuation", "p"},
        {"symbol", "s"},
        {"separator", "z"},
        {"other", "c"},
        {"uppercaseletter", "lu"},
        {"lowercaseletter", "ll"},
        {"titlecaseletter", "lt"},
        {"modifierletter", "lm"},
        {"otherletter", "lo"},
        {"nonspacingmark", "mn"},
        {"spacingmark", "mc"},
        {"enclosingmark", "me"},
        {"decimalnumber", "nd"},
        {"letternumber", "nl"},
        {"othernumber", "no"},
    };
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (strcmp(names[i][0], name) == 0) return names[i][1];
    }
    return name;
}

/* {Name} or {^Name}; p->at is behind the p. */
static tandem_status read_property(regex_parser *p, uint64_t *bits, bool *is_negative) {
    const size_t start = p->at;
    const tandem_str rest = {p->pattern.ptr + p->at, p->pattern.len - p->at};
    const char *const close = rest.len == 0 ? NULL : memchr(rest.ptr, '}', rest.len);
    if (close == NULL || rest.ptr[0] != '{') {
        return tandem__regex_refuse(p, start, "\\p without a name in braces");
    }
    if (p->folds) return tandem__regex_refuse(p, start, "\\p without case");
    char name[NAME_MAX] = "";
    size_t len = 0;
    const char *at = rest.ptr + 1;
    if (*at == '^') {
        *is_negative = !*is_negative;
        at++;
    }
    for (; at < close && len < NAME_MAX - 1; at++) {
        if (*at != ' ' && *at != '_' && *at != '-') name[len++] = plain(*at);
    }
    p->at += (size_t)(close - rest.ptr) + 1;
    if (len == 0) return tandem__regex_refuse(p, start, "\\p with this name");
    const uint64_t categories = find_names(UNICODE_CATEGORY_NAMES, short_name(name));
    const uint64_t scripts = name[1] == '\0' ? 0 : find_names(UNICODE_SCRIPT_NAMES, name);
    if (at < close || (categories == 0 && scripts == 0)) {
        return tandem__regex_refuse(p, start, "\\p with this name");
    }
    if (categories != 0) add_categories(bits, categories);
    if (scripts != 0) {
        add_runs(bits, tandem__unicode_script, COUNT_OF(tandem__unicode_script), 8, scripts);
    }
    return TANDEM_OK;
}

tandem_status tandem__regex_read_escape_set(regex_parser *p, uint64_t *bits, bool *is_set) {
    static const uint32_t latin_numbers[] = {0xb2, 0xb3, 0xb9, 0xbc, 0xbd, 0xbe};
    const char c = p->at < p->pattern.len ? p->pattern.ptr[p->at] : '\0';
    bool is_negative = c >= 'A' && c <= 'Z';
    uint64_t *found = NULL;
    *is_set = c != '\0' && strchr("sSdDwWhHpP", c) != NULL;
    if (!*is_set) return TANDEM_OK;
    TANDEM_TRY(tandem__regex_bits(p, 0, &found));
    p->at++;
    switch (plain(c)) {
    case 's':
        add_flagged(found, TANDEM_UNICODE_WHITE);
        break;
    case 'd':
        add_categories(found, find_names(UNICODE_CATEGORY_NAMES, "nd"));
        break;
    case 'w':
        if (p->folds) return tandem__regex_refuse(p, p->at - 1, "\\w without case");
        add_flagged(found, TANDEM_UNICODE_PATTERN_WORD);
        /* In a set, the numbers of Latin-1 that are no digits are no words. */
        for (size_t i = 0; p->is_in_class && i < COUNT_OF(latin_numbers); i++) {
            found[latin_numbers[i] / 64] &= ~((uint64_t)1 << latin_numbers[i] % 64);
        }
        break;
    case 'h':
        add_range(found, '0', '9');
        add_range(found, 'A', 'F');
        add_range(found, 'a', 'f');
        break;
    default:
        TANDEM_TRY(read_property(p, found, &is_negative));
        break;
    }
    if (is_negative) invert(found);
    unite(bits, found);
    return TANDEM_OK;
}

/* Up to `max` hexadecimal digits; returns how many. */
static size_t read_hex(regex_parser *p, size_t max, uint32_t *value) {
    size_t digits = 0;
    *value = 0;
    while (digits < max && p->at < p->pattern.len) {
        const char c = plain(p->pattern.ptr[p->at]);
        const bool is_letter = c >= 'a' && c <= 'f';
        if (!is_letter && !(c >= '0' && c <= '9')) break;
        *value = *value * 16 + (uint32_t)(is_letter ? c - 'a' + 10 : c - '0');
        p->at++;
        digits++;
    }
    return digits;
}

static tandem_status read_code(regex_parser *p, char kind, uint32_t *code) {
    const size_t start = p->at;
    if (kind == 'u') {
        if (read_hex(p, 4, code) != 4) return tandem__regex_wrong(p, start, "\\u");
    } else if (p->at < p->pattern.len && p->pattern.ptr[p->at] == '{') {
        p->at++;
        const size_t digits = read_hex(p, 6, code);
        if (digits == 0 || p->at >= p->pattern.len || p->pattern.ptr[p->at] != '}') {
            return tandem__regex_wrong(p, start, "\\x");
        }
        p->at++;
    } else if (read_hex(p, 2, code) == 0 || *code >= 0x80) {
        return tandem__regex_refuse(p, start, "\\x that is no ASCII character");
    }
    if (*code > TANDEM_CODE_MAX || (*code >= 0xd800 && *code < 0xe000)) {
        return tandem__regex_wrong(p, start, "a character");
    }
    return TANDEM_OK;
}

tandem_status tandem__regex_read_escape_char(regex_parser *p, uint32_t *code) {
    static const char names[] = "nrtfvae";
    static const char values[] = "\n\r\t\f\v\a\x1b";
    size_t step = 0;
    if (p->at >= p->pattern.len) return tandem__regex_wrong(p, p->at, "the end after \\");
    const uint32_t c = tandem__regex_peek(p, &step);
    p->at += step;
    const char *const known = c > 0 && c < 0x80 ? strchr(names, (int)c) : NULL;
    if (known != NULL) {
        *code = (uint8_t)values[known - names];
        return TANDEM_OK;
    }
    if (c == 'x' || c == 'u') return read_code(p, (char)c, code);
    const bool is_digit_next =
        p->at < p->pattern.len && p->pattern.ptr[p->at] >= '0' && p->pattern.ptr[p->at] <= '9';
    const bool is_letter = (c | 32) >= 'a' && (c | 32) <= 'z';
    const bool is_digit = c >= '0' && c <= '9';
    if (c < 0x80 && (is_letter || (is_digit && (c != '0' || is_digit_next)))) {
        return tandem__regex_refuse(p, p->at - step, "this escape");
    }
    *code = c == '0' ? 0 : c;
    return TANDEM_OK;
}

/* Classes. */

/* The character of a range's end, or a single one. */
static tandem_status read_member(regex_parser *p, uint32_t *code) {
    size_t step = 0;
    if (p->at >= p->pattern.len) return tandem__regex_wrong(p, p->at, "an open [");
    *code = tandem__regex_peek(p, &step);
    p->at += step;
    return *code == '\\' ? tandem__regex_read_escape_char(p, code) : TANDEM_OK;
}

static bool looking_at(const regex_parser *p, const char *text) {
    const tandem_str rest = {p->pattern.ptr + p->at, p->pattern.len - p->at};
    return tandem__str_starts(rest, text);
}

/* One character or a range of them into `bits`. */
static tandem_status read_range(regex_parser *p, uint64_t *bits) {
    const size_t start = p->at;
    uint32_t low = 0;
    TANDEM_TRY(read_member(p, &low));
    uint32_t high = low;
    if (looking_at(p, "-") && !looking_at(p, "-]")) {
        p->at++;
        if (looking_at(p, "[")) return tandem__regex_wrong(p, p->at, "the end of a range");
        TANDEM_TRY(read_member(p, &high));
        if (high < low) return tandem__regex_wrong(p, start, "an empty range");
    }
    return add_chars(p, bits, low, high, start);
}

static tandem_status read_class(regex_parser *p, uint32_t depth, uint64_t **out);

/* One member of a class into `bits`: a set, a class inside, a character or a range. */
static tandem_status read_part(regex_parser *p, uint32_t depth, uint64_t *bits) {
    if (looking_at(p, "[:")) return tandem__regex_refuse(p, p->at, "[: :]");
    if (looking_at(p, "[")) {
        uint64_t *inner = NULL;
        TANDEM_TRY(read_class(p, depth + 1, &inner));
        unite(bits, inner);
        return TANDEM_OK;
    }
    if (looking_at(p, "\\")) {
        bool is_set = false;
        p->at++;
        TANDEM_TRY(tandem__regex_read_escape_set(p, bits, &is_set));
        if (is_set && looking_at(p, "-") && !looking_at(p, "-]")) {
            return tandem__regex_wrong(p, p->at, "a range of sets");
        }
        if (is_set) return TANDEM_OK;
        p->at--;
    }
    return read_range(p, bits);
}

/* p->at is at the bracket. `*out` is level `depth` of p->bits. */
static tandem_status read_class(regex_parser *p, uint32_t depth, uint64_t **out) {
    const size_t start = p->at++;
    if (depth >= CLASS_DEPTH) return tandem__regex_refuse(p, start, "a set so deep");
    uint64_t *bits = NULL;
    uint64_t *all = NULL; /* the operands of && before this one */
    TANDEM_TRY(tandem__regex_bits(p, 2 * depth + 1, &bits));
    const bool is_negative = looking_at(p, "^");
    if (is_negative) p->at++;
    if (looking_at(p, "]")) return tandem__regex_refuse(p, p->at, "] first in a set");
    while (!looking_at(p, "]")) {
        if (p->at >= p->pattern.len) return tandem__regex_wrong(p, start, "an open [");
        if (looking_at(p, "&&")) {
            p->at += 2;
            if (looking_at(p, "]") || looking_at(p, "&&")) {
                return tandem__regex_refuse(p, p->at, "&& with nothing");
            }
            if (all == NULL) {
                TANDEM_TRY(tandem__regex_bits(p, 2 * depth + 2, &all));
                memcpy(all, bits, REGEX_SET_WORDS * sizeof *bits);
            } else {
                intersect(all, bits);
            }
            memset(bits, 0, REGEX_SET_WORDS * sizeof *bits);
            continue;
        }
        TANDEM_TRY(read_part(p, depth, bits));
    }
    p->at++;
    if (all != NULL) intersect(bits, all);
    if (is_negative) invert(bits);
    *out = bits;
    return TANDEM_OK;
}

tandem_status tandem__regex_read_class(regex_parser *p, uint32_t *set) {
    uint64_t *bits = NULL;
    p->is_in_class = true;
    TANDEM_TRY(read_class(p, 0, &bits));
    p->is_in_class = false;
    return tandem__regex_keep_set(p, bits, set);
}
