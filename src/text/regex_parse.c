/* SPDX-License-Identifier: Apache-2.0 */
/* A pattern to a tree, by recursive descent of bounded depth.
 *
 * Where the reference's dialect differs from others: ^ and $ are those of lines; (?m) is what
 * others call s; {m,n}+ is a repeat of a repeat, and {m}? may be left out.
 *
 * A repeat without bound of what can match nothing is refused unless it comes to a plain one, as
 * (a*)* does to a*: engines differ in what an empty round means. */
#include "base/fail.h"
#include "base/utf8.h"
#include "text/regex_internal.h"

static tandem_status parse_any(regex_parser *p, regex_node **out);

/* Around the place, for messages. */
static tandem_str excerpt(const regex_parser *p, size_t at) {
    size_t end = at + 12;
    if (end > p->pattern.len) end = p->pattern.len;
    while (end < p->pattern.len && ((uint8_t)p->pattern.ptr[end] & 0xc0) == 0x80) end++;
    return (tandem_str){p->pattern.ptr + at, end - at};
}

tandem_status tandem__regex_refuse(const regex_parser *p, size_t at, const char *what) {
    const tandem_str near = excerpt(p, at);
    return TANDEM_FAIL(p->err, UNSUPPORTED, "%s is not supported, at byte %zu: \"%.*s\"", what, at,
                       TANDEM_STR_ARG(near));
}

tandem_status tandem__regex_wrong(const regex_parser *p, size_t at, const char *what) {
    const tandem_str near = excerpt(p, at);
    return TANDEM_FAIL(p->err, FORMAT, "%s is no pattern, at byte %zu: \"%.*s\"", what, at,
                       TANDEM_STR_ARG(near));
}

uint32_t tandem__regex_peek(const regex_parser *p, size_t *step) {
    uint32_t code = 0;
    *step =
        tandem__utf8_decode((const uint8_t *)p->pattern.ptr + p->at, p->pattern.len - p->at, &code);
    return code;
}

static bool looking_at(const regex_parser *p, const char *text) {
    const tandem_str rest = {p->pattern.ptr + p->at, p->pattern.len - p->at};
    return tandem__str_starts(rest, text);
}

static bool accept(regex_parser *p, const char *text) {
    if (!looking_at(p, text)) return false;
    p->at += strlen(text);
    return true;
}

static tandem_status new_node(regex_parser *p, regex_kind kind, regex_node **node) {
    if (++p->nodes > REGEX_NODES_MAX) {
        return TANDEM_FAIL(p->err, CAPACITY, "pattern of over %d parts", REGEX_NODES_MAX);
    }
    *node = tandem__arena_alloc(p->work, sizeof **node);
    if (*node == NULL) return TANDEM_FAIL(p->err, MEMORY, "no memory for a pattern");
    (*node)->kind = kind;
    return TANDEM_OK;
}

bool tandem__regex_node_is_nullable(const regex_node *node) {
    switch (node->kind) {
    case NODE_SET:
    case NODE_CHAR:
        return false;
    case NODE_ALL:
        for (const regex_node *child = node->first; child != NULL; child = child->next) {
            if (!tandem__regex_node_is_nullable(child)) return false;
        }
        return true;
    case NODE_ANY:
        for (const regex_node *child = node->first; child != NULL; child = child->next) {
            if (tandem__regex_node_is_nullable(child)) return true;
        }
        return false;
    case NODE_REPEAT:
        return node->min == 0 || tandem__regex_node_is_nullable(node->first);
    case NODE_EMPTY:
    case NODE_AHEAD:
    case NODE_BEHIND:
    case NODE_PLACE:
        break;
    }
    return true;
}

/* Repeats. */

/* Whether the node is one of ? * +, greedy. */
static bool is_plain_repeat(const regex_node *node) {
    return node->kind == NODE_REPEAT && !node->is_lazy && !node->is_possessive && node->min <= 1 &&
           (node->max == 1 || node->max == REGEX_MANY);
}

static tandem_status make_repeat(regex_parser *p, size_t at, regex_node *repeat,
                                 regex_node **atom) {
    regex_node *const child = *atom;
    if (child->kind == NODE_AHEAD || child->kind == NODE_BEHIND || child->kind == NODE_PLACE) {
        return tandem__regex_refuse(p, at, "a repeat of a place");
    }
    if (is_plain_repeat(repeat) && is_plain_repeat(child)) {
        child->min *= repeat->min;
        if (repeat->max == REGEX_MANY) child->max = REGEX_MANY;
        return TANDEM_OK;
    }
    if (repeat->max == REGEX_MANY && tandem__regex_node_is_nullable(child)) {
        return tandem__regex_refuse(p, at, "a repeat without bound of what can match nothing");
    }
    if (repeat->is_possessive && child->kind == NODE_CHAR) {
        TANDEM_TRY(tandem__regex_char_set(p, child->value, &child->value));
        child->kind = NODE_SET;
    }
    if (repeat->is_possessive && child->kind != NODE_SET) {
        return tandem__regex_refuse(p, at, "a possessive repeat of more than one character");
    }
    repeat->first = child;
    *atom = repeat;
    return TANDEM_OK;
}

static bool read_number(regex_parser *p, uint32_t *value) {
    const size_t start = p->at;
    *value = 0;
    while (p->at < p->pattern.len && p->pattern.ptr[p->at] >= '0' && p->pattern.ptr[p->at] <= '9') {
        *value = *value * 10 + (uint32_t)(p->pattern.ptr[p->at++] - '0');
        if (*value > REGEX_COUNT_MAX) *value = REGEX_COUNT_MAX + 1;
    }
    return p->at > start;
}

/* {m}, {m,}, {,n} or {m,n}; p->at is behind the brace. */
static tandem_status read_count(regex_parser *p, regex_node *repeat) {
    const size_t start = p->at - 1;
    const bool has_min = read_number(p, &repeat->min);
    bool has_max = has_min;
    repeat->max = repeat->min;
    if (accept(p, ",")) {
        has_max = read_number(p, &repeat->max);
        if (!has_max) repeat->max = REGEX_MANY;
    }
    if (!accept(p, "}") || (!has_min && !has_max)) {
        return tandem__regex_refuse(p, start, "{ as a character");
    }
    const bool is_long = repeat->min > REGEX_COUNT_MAX ||
                         (repeat->max != REGEX_MANY && repeat->max > REGEX_COUNT_MAX);
    if (is_long) return tandem__regex_refuse(p, start, "a repeat of over 1000 times");
    if (repeat->max < repeat->min) return tandem__regex_refuse(p, start, "an empty range of times");
    return TANDEM_OK;
}

/* The repeats that follow an atom. */
static tandem_status parse_repeats(regex_parser *p, regex_node **atom) {
    for (;;) {
        const size_t at = p->at;
        const char c = p->at < p->pattern.len ? p->pattern.ptr[p->at] : '\0';
        if (c != '*' && c != '+' && c != '?' && c != '{') return TANDEM_OK;
        regex_node *repeat = NULL;
        TANDEM_TRY(new_node(p, NODE_REPEAT, &repeat));
        p->at++;
        if (c == '{') {
            TANDEM_TRY(read_count(p, repeat));
            const bool is_fixed = repeat->min == repeat->max;
            if (!is_fixed && accept(p, "?")) repeat->is_lazy = true;
        } else {
            repeat->min = c == '+';
            repeat->max = c == '?' ? 1 : REGEX_MANY;
            if (accept(p, "?"))
                repeat->is_lazy = true;
            else
                repeat->is_possessive = accept(p, "+");
        }
        TANDEM_TRY(make_repeat(p, at, repeat, atom));
    }
}

/* Atoms. */

static tandem_status set_node(regex_parser *p, uint32_t set, regex_node **out) {
    TANDEM_TRY(new_node(p, NODE_SET, out));
    (*out)->value = set;
    return TANDEM_OK;
}

static tandem_status place_node(regex_parser *p, regex_place place, regex_node **out) {
    TANDEM_TRY(new_node(p, NODE_PLACE, out));
    (*out)->value = place;
    return TANDEM_OK;
}

static tandem_status char_node(regex_parser *p, uint32_t code, regex_node **out) {
    const bool is_letter = (code | 32) >= 'a' && (code | 32) <= 'z' && code < 0x80;
    if (p->folds && (is_letter || code >= 0x80)) {
        uint32_t set = 0;
        TANDEM_TRY(tandem__regex_char_set(p, code, &set));
        return set_node(p, set, out);
    }
    TANDEM_TRY(new_node(p, NODE_CHAR, out));
    (*out)->value = code;
    return TANDEM_OK;
}

static tandem_status parse_dot(regex_parser *p, regex_node **out) {
    uint64_t *bits = NULL;
    uint32_t set = 0;
    TANDEM_TRY(tandem__regex_bits(p, 1, &bits));
    memset(bits, 0xff, REGEX_SET_WORDS * sizeof *bits);
    if (!p->dot_is_all) bits[0] &= ~((uint64_t)1 << '\n');
    TANDEM_TRY(tandem__regex_keep_set(p, bits, &set));
    return set_node(p, set, out);
}

/* p->at is behind the backslash. */
static tandem_status parse_escape(regex_parser *p, regex_node **out) {
    static const struct {
        char name[2];
        regex_place place;
    } places[] = {{"A", PLACE_TEXT_START},
                  {"z", PLACE_TEXT_END},
                  {"Z", PLACE_BEFORE_END},
                  {"b", PLACE_WORD_EDGE},
                  {"B", PLACE_NO_WORD_EDGE}};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (accept(p, places[i].name)) return place_node(p, places[i].place, out);
    }
    uint64_t *bits = NULL;
    bool is_set = false;
    TANDEM_TRY(tandem__regex_bits(p, 1, &bits));
    TANDEM_TRY(tandem__regex_read_escape_set(p, bits, &is_set));
    uint32_t value = 0;
    if (is_set) {
        TANDEM_TRY(tandem__regex_keep_set(p, bits, &value));
        return set_node(p, value, out);
    }
    TANDEM_TRY(tandem__regex_read_escape_char(p, &value));
    return char_node(p, value, out);
}

static tandem_status close_group(regex_parser *p, size_t start) {
    return accept(p, ")") ? TANDEM_OK : tandem__regex_wrong(p, start, "an open (");
}

static tandem_status parse_ahead(regex_parser *p, size_t start, bool is_negative,
                                 regex_node **out) {
    TANDEM_TRY(new_node(p, NODE_AHEAD, out));
    (*out)->is_negative = is_negative;
    TANDEM_TRY(parse_any(p, &(*out)->first));
    return close_group(p, start);
}

static tandem_status parse_behind(regex_parser *p, size_t start, bool is_negative,
                                  regex_node **out) {
    TANDEM_TRY(parse_any(p, out));
    TANDEM_TRY(close_group(p, start));
    regex_node *const node = *out;
    if (node->kind == NODE_CHAR) {
        TANDEM_TRY(tandem__regex_char_set(p, node->value, &node->value));
    } else if (node->kind != NODE_SET) {
        return tandem__regex_refuse(p, start, "a look behind of more than one character");
    }
    node->kind = NODE_BEHIND;
    node->is_negative = is_negative;
    return TANDEM_OK;
}

/* Letters of (?im-im:..) or (?im), which holds to the end of the group it stands in. */
static tandem_status parse_options(regex_parser *p, size_t start, regex_node **out) {
    const bool folded = p->folds;
    const bool was_all = p->dot_is_all;
    bool is_on = true;
    while (!looking_at(p, ":") && !looking_at(p, ")")) {
        if (accept(p, "-"))
            is_on = false;
        else if (accept(p, "i"))
            p->folds = is_on;
        else if (accept(p, "m"))
            p->dot_is_all = is_on;
        else
            return tandem__regex_refuse(p, start, "this group");
    }
    const bool is_rest = accept(p, ")");
    if (!is_rest) (void)accept(p, ":");
    TANDEM_TRY(parse_any(p, out));
    p->folds = folded;
    p->dot_is_all = was_all;
    return is_rest ? TANDEM_OK : close_group(p, start);
}

/* p->at is behind the bracket. */
static tandem_status parse_group(regex_parser *p, regex_node **out) {
    const size_t start = p->at - 1;
    if (accept(p, "?#")) {
        while (p->at < p->pattern.len && !looking_at(p, ")")) p->at++;
        TANDEM_TRY(new_node(p, NODE_EMPTY, out));
        return close_group(p, start);
    }
    if (accept(p, "?=")) return parse_ahead(p, start, false, out);
    if (accept(p, "?!")) return parse_ahead(p, start, true, out);
    if (accept(p, "?<=")) return parse_behind(p, start, false, out);
    if (accept(p, "?<!")) return parse_behind(p, start, true, out);
    if (accept(p, "?<")) {
        const size_t name = p->at;
        while (p->at < p->pattern.len && !looking_at(p, ">")) p->at++;
        if (p->at == name || !accept(p, ">")) return tandem__regex_wrong(p, start, "a name");
    } else if (!accept(p, "?:") && accept(p, "?")) {
        return parse_options(p, start, out);
    }
    TANDEM_TRY(parse_any(p, out));
    return close_group(p, start);
}

static tandem_status parse_atom(regex_parser *p, regex_node **out) {
    size_t step = 0;
    const uint32_t code = tandem__regex_peek(p, &step);
    if (step == 0) return tandem__regex_wrong(p, p->at, "what is not UTF-8");
    if (code == '[') {
        uint32_t set = 0;
        TANDEM_TRY(tandem__regex_read_class(p, &set));
        return set_node(p, set, out);
    }
    if (code == '*' || code == '+' || code == '?') {
        return tandem__regex_wrong(p, p->at, "a repeat of nothing");
    }
    if (code == '{') return tandem__regex_refuse(p, p->at, "{ as a character");
    p->at += step;
    switch (code) {
    case '(':
        return parse_group(p, out);
    case '.':
        return parse_dot(p, out);
    case '^':
        return place_node(p, PLACE_LINE_START, out);
    case '$':
        return place_node(p, PLACE_LINE_END, out);
    case '\\':
        return parse_escape(p, out);
    default:
        return char_node(p, code, out);
    }
}

/* Case is ignored by single characters here, and some pairs are one character without case. */
static tandem_status check_pair(const regex_parser *p, size_t at, uint32_t before, uint32_t code) {
    static const char *const pairs[] = {"ss", "ff", "fi", "fl", "st"};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        if ((before | 32) == (uint8_t)pairs[i][0] && (code | 32) == (uint8_t)pairs[i][1]) {
            return tandem__regex_refuse(p, at, "a pair of letters like ss without case");
        }
    }
    return TANDEM_OK;
}

/* The letter of a pattern without case that an atom consists of, else 0. */
static uint32_t folded_letter(const regex_parser *p, size_t start) {
    if (!p->folds) return 0;
    const bool is_one = p->at == start + 1 || (p->at == start + 2 && p->pattern.ptr[start] == '\\');
    return is_one ? (uint8_t)p->pattern.ptr[p->at - 1] : 0;
}

static tandem_status parse_all(regex_parser *p, regex_node **out) {
    regex_node *all = NULL;
    TANDEM_TRY(new_node(p, NODE_ALL, &all));
    regex_node **next = &all->first;
    uint32_t before = 0;
    while (p->at < p->pattern.len && !looking_at(p, "|") && !looking_at(p, ")")) {
        const size_t start = p->at;
        TANDEM_TRY(parse_atom(p, next));
        const uint32_t letter = folded_letter(p, start);
        TANDEM_TRY(check_pair(p, start, before, letter));
        before = letter;
        TANDEM_TRY(parse_repeats(p, next));
        next = &(*next)->next;
    }
    const bool is_one = all->first != NULL && all->first->next == NULL;
    *out = is_one ? all->first : all;
    return TANDEM_OK;
}

static tandem_status parse_any(regex_parser *p, regex_node **out) {
    if (++p->depth > REGEX_DEPTH_MAX) {
        return tandem__regex_refuse(p, p->at, "a group so deep");
    }
    regex_node *any = NULL;
    TANDEM_TRY(new_node(p, NODE_ANY, &any));
    regex_node **next = &any->first;
    do {
        TANDEM_TRY(parse_all(p, next));
        next = &(*next)->next;
    } while (accept(p, "|"));
    p->depth--;
    *out = any->first->next == NULL ? any->first : any;
    return TANDEM_OK;
}

tandem_status tandem__regex_parse(regex_parser *p, regex_node **tree) {
    TANDEM_TRY(parse_any(p, tree));
    if (p->at < p->pattern.len) return tandem__regex_wrong(p, p->at, "a ) too many");
    return TANDEM_OK;
}
