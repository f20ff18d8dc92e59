/* SPDX-License-Identifier: Apache-2.0 */
/* Split, Digits, Punctuation, CharDelimiterSplit: text falls into matches and what is between
 * them, and a behaviour says what becomes of both. */
#include "base/fail.h"
#include "text/part_json.h"
#include "text/pretokenizer.h"
#include "text/unicode.h"

typedef enum behavior {
    BEHAVIOR_REMOVED = 0,
    BEHAVIOR_ISOLATED = 1,
    BEHAVIOR_WITH_PREVIOUS = 2,
    BEHAVIOR_WITH_NEXT = 3,
    BEHAVIOR_CONTIGUOUS = 4, /* neighbours of one kind are one word */
} behavior;

/* What is looked for is the first of these that is there. */
typedef struct cutter {
    const tandem_regex *regex;
    tandem_str text;
    uint32_t flag; /* each character that has it */
    behavior behavior;
    bool is_inverted;
} cutter;

/* Pieces on their way to words. */
typedef struct pieces {
    const cutter *cutter;
    tandem_array *splits;
    tandem_split open; /* the last piece, which may still grow */
    bool has_open;
    bool was_match; /* the last piece */
    tandem_error *err;
} pieces;

static tandem_status read_behavior(const tandem_json *json, behavior *value, bool is_required,
                                   tandem_error *err) {
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious",
                                        "MergedWithNext", "Contiguous"};
    const tandem_json *const field = tandem__json_get(json, "behavior");
    if (field == NULL && !is_required) return TANDEM_OK;
    for (size_t i = 0; field != NULL && i < sizeof names / sizeof names[0]; i++) {
        if (field->kind != TANDEM_JSON_STRING || !tandem__str_is(field->text, names[i])) continue;
        *value = (behavior)i;
        return TANDEM_OK;
    }
    const tandem_json_label label = tandem__json_label(field);
    return TANDEM_FAIL(err, FORMAT,
                       "behavior: %s, expected Removed, Isolated, MergedWithPrevious, "
                       "MergedWithNext or Contiguous",
                       label.text);
}

static tandem_status keep_text(cutter *c, tandem_str text, tandem_arena *arena, tandem_error *err) {
    c->text.len = text.len;
    c->text.ptr = tandem__arena_copy(arena, text.ptr, text.len);
    return c->text.ptr == NULL ? TANDEM_FAIL(err, MEMORY, "no memory for settings") : TANDEM_OK;
}

static tandem_status split_read(const tandem_json *json, tandem_arena *arena, void *config,
                                tandem_error *err) {
    cutter *const c = config;
    const tandem_json *const pattern = tandem__json_get(json, "pattern");
    const tandem_json *const regex = tandem__json_get(pattern, "Regex");
    const tandem_json *const text = regex != NULL ? regex : tandem__json_get(pattern, "String");
    const char *const name = regex != NULL ? "pattern.Regex" : "pattern.String";
    TANDEM_TRY(read_behavior(json, &c->behavior, true, err));
    TANDEM_TRY(tandem__part_flag(json, "invert", &c->is_inverted, err));
    if (text == NULL || text->kind != TANDEM_JSON_STRING) {
        const tandem_json_label label = tandem__json_label(text);
        return TANDEM_FAIL(err, FORMAT, "%s: %s, expected a string", name, label.text);
    }
    /* An empty text is an empty pattern: it matches between all characters. */
    if (regex == NULL && text->text.len > 0) return keep_text(c, text->text, arena, err);
    const tandem_status status = tandem__regex_compile(text->text, arena, &c->regex, err);
    return status == TANDEM_OK ? status : tandem__fail_prefix(err, status, name);
}

static tandem_status digits_read(const tandem_json *json, tandem_arena *arena, void *config,
                                 tandem_error *err) {
    (void)arena;
    bool is_individual = false;
    TANDEM_TRY(tandem__part_flag(json, "individual_digits", &is_individual, err));
    *(cutter *)config =
        (cutter){.flag = TANDEM_UNICODE_NUMERIC,
                 .behavior = is_individual ? BEHAVIOR_ISOLATED : BEHAVIOR_CONTIGUOUS};
    return TANDEM_OK;
}

static tandem_status punctuation_read(const tandem_json *json, tandem_arena *arena, void *config,
                                      tandem_error *err) {
    (void)arena;
    cutter *const c = config;
    *c = (cutter){.flag = TANDEM_UNICODE_PUNCT, .behavior = BEHAVIOR_ISOLATED};
    return read_behavior(json, &c->behavior, false, err);
}

static tandem_status delimiter_read(const tandem_json *json, tandem_arena *arena, void *config,
                                    tandem_error *err) {
    const tandem_json *const text = tandem__json_get(json, "delimiter");
    if (text == NULL || text->kind != TANDEM_JSON_STRING ||
        tandem__utf8_count((const uint8_t *)text->text.ptr, text->text.len) != 1) {
        const tandem_json_label label = tandem__json_label(text);
        return TANDEM_FAIL(err, FORMAT, "delimiter: %s, expected one character", label.text);
    }
    return keep_text(config, text->text, arena, err);
}

static tandem_status flush(pieces *p) {
    if (!p->has_open) return TANDEM_OK;
    p->has_open = false;
    return tandem__splits_push(p->splits, p->open.start, p->open.end, p->err);
}

/* One piece, a match or not, in the order of the text. */
static tandem_status add_piece(pieces *p, size_t start, size_t end, bool is_match) {
    const bool is_same = is_match == p->was_match;
    bool grows = false;
    switch (p->cutter->behavior) {
    case BEHAVIOR_REMOVED:
        return is_match ? TANDEM_OK : tandem__splits_push(p->splits, start, end, p->err);
    case BEHAVIOR_ISOLATED:
        return tandem__splits_push(p->splits, start, end, p->err);
    case BEHAVIOR_WITH_PREVIOUS:
        grows = is_match && !is_same;
        break;
    case BEHAVIOR_WITH_NEXT:
        grows = !is_match && !is_same;
        break;
    case BEHAVIOR_CONTIGUOUS:
        grows = is_same;
        break;
    }
    p->was_match = is_match;
    if (grows && p->has_open) {
        p->open.end = (uint32_t)end;
        return TANDEM_OK;
    }
    TANDEM_TRY(flush(p));
    p->open = (tandem_split){(uint32_t)start, (uint32_t)end};
    p->has_open = true;
    return TANDEM_OK;
}

/* The next character from `*start` on that has the flag. */
static bool next_flagged(uint32_t flag, const uint8_t *bytes, size_t len, size_t *start,
                         size_t *end) {
    for (size_t at = *start; at < len; at = *end) {
        uint32_t code = bytes[at];
        *end = at + (code < 0x80 ? 1 : tandem__utf8_decode(bytes + at, len - at, &code));
        *start = at;
        if ((tandem__unicode_flags(code) & flag) != 0) return true;
    }
    return false;
}

/* The next match from `*start` on, in offsets of the word. */
static tandem_status next_match(const cutter *c, tandem_regex_search *search, size_t *start,
                                size_t *end, bool *found, tandem_error *err) {
    if (c->regex != NULL) {
        TANDEM_TRY(tandem__regex_next(search, found, err));
        *start = search->start;
        *end = search->end;
    } else if (c->flag != 0) {
        *found = next_flagged(c->flag, search->bytes, search->len, start, end);
    } else {
        *start = tandem__bytes_find(search->bytes, search->len, *start, c->text);
        *end = *start + c->text.len;
        *found = *start < search->len;
    }
    return TANDEM_OK;
}

static tandem_status cut(const void *config, const uint8_t *bytes, tandem_split word,
                         tandem_regex_scratch *scratch, tandem_array *splits, tandem_error *err) {
    const cutter *const c = config;
    pieces p = {.cutter = c, .splits = splits, .err = err};
    tandem_regex_search search = {.bytes = bytes + word.start, .len = word.end - word.start};
    if (c->regex != NULL) {
        TANDEM_TRY(tandem__regex_begin(&search, c->regex, scratch, search.bytes, search.len, err));
    }
    size_t done = 0;
    for (;;) {
        size_t start = done;
        size_t end = done;
        bool found = false;
        TANDEM_TRY(next_match(c, &search, &start, &end, &found, err));
        if (!found) break;
        if (done < start) {
            TANDEM_TRY(add_piece(&p, word.start + done, word.start + start, c->is_inverted));
        }
        TANDEM_TRY(add_piece(&p, word.start + start, word.start + end, !c->is_inverted));
        done = end;
    }
    if (done < search.len) {
        TANDEM_TRY(add_piece(&p, word.start + done, word.end, c->is_inverted));
    }
    return flush(&p);
}

const tandem_pretokenizer_type tandem__pretokenizer_split_type = {
    .name = "Split",
    .config_bytes = sizeof(cutter),
    .read = split_read,
    .cut = cut,
};

const tandem_pretokenizer_type tandem__pretokenizer_digits_type = {
    .name = "Digits",
    .config_bytes = sizeof(cutter),
    .read = digits_read,
    .cut = cut,
};

const tandem_pretokenizer_type tandem__pretokenizer_punctuation_type = {
    .name = "Punctuation",
    .config_bytes = sizeof(cutter),
    .read = punctuation_read,
    .cut = cut,
};

const tandem_pretokenizer_type tandem__pretokenizer_delimiter_type = {
    .name = "CharDelimiterSplit",
    .config_bytes = sizeof(cutter),
    .read = delimiter_read,
    .cut = cut,
};
