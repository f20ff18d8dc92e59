/* SPDX-License-Identifier: Apache-2.0 */
/* The search: backtracking, first quick, then careful.
 *
 * Quick: choices that the next byte decides are taken without a note; a run of characters is one
 * note however long. A text has a budget of steps in proportion to its length, which the patterns
 * of real tokenizers hardly touch.
 *
 * Careful, from where the budget ended to the end of the text: a bit for each choice at each byte
 * says that it was begun before; what was begun and has not led to the match has failed, whoever
 * asks, since nothing but place in program and text decides what follows. So no choice is gone
 * through twice. The choices on the way of a match are unmarked again; those of a look-ahead that
 * held are marked as holding. A record of alternatives, of the same bound, would be needed for
 * groups that are not given back; those are refused, but for runs of one set, whose last end is
 * kept: runs that start inside end there as well. */
#include "base/assert.h"
#include "base/fail.h"
#include "base/utf8.h"
#include "text/regex_internal.h"
#include "text/unicode.h"

#define BUDGET_PER_BYTE 32
#define BUDGET_LEAST    4096
#define RECORD_BITS_MAX ((uint64_t)1 << 36)
#define NO_RUN          UINT32_MAX       /* note.low: go on at note.at */
#define BEGUN           (UINT32_MAX - 1) /* the choice `step` was begun at `at` */

/* Where to go on when a way fails. */
typedef struct note {
    uint32_t step;
    uint32_t at;
    uint32_t low; /* of a run: it may be given back to here */
} note;

typedef struct run {
    uint32_t start;
    uint32_t end;
    bool is_known;
} run;

typedef enum outcome {
    OUTCOME_NONE = 0,
    OUTCOME_MATCH = 1,
    OUTCOME_SPENT = 2, /* the budget ended */
    OUTCOME_ERROR = 3,
} outcome;

typedef struct matcher {
    const tandem_regex *regex;
    const regex_program *program;
    tandem_regex_search *search;
    const uint8_t *bytes;
    size_t len;
    size_t end; /* of the match */
    tandem_error *err;
} matcher;

static size_t decode_next(const uint8_t *bytes, uint32_t *code) {
    const uint32_t lead = bytes[0];
    if (lead < 0x80) {
        *code = lead;
        return 1;
    }
    if (lead < 0xe0) {
        *code = (lead & 0x1f) << 6 | (bytes[1] & 0x3fu);
        return 2;
    }
    if (lead < 0xf0) {
        *code = (lead & 0x0f) << 12 | (bytes[1] & 0x3fu) << 6 | (bytes[2] & 0x3fu);
        return 3;
    }
    *code = (lead & 0x07) << 18 | (bytes[1] & 0x3fu) << 12 | (bytes[2] & 0x3fu) << 6 |
            (bytes[3] & 0x3fu);
    return 4;
}

/* Bytes of the member of `set` at `bytes`, 0 if there is none; the text has not ended. */
static size_t member(const regex_set *set, const uint8_t *bytes) {
    const uint8_t kind = set->byte[bytes[0]];
    if (kind < 2) return kind;
    uint32_t code = 0;
    const size_t step = decode_next(bytes, &code);
    return tandem__regex_has(set, code) ? step : 0;
}

static size_t before(const uint8_t *bytes, size_t at) {
    do at--;
    while ((bytes[at] & 0xc0) == 0x80);
    return at;
}

/* Moves `*at` over at most `max` members; returns how many. */
static uint32_t run_over(const matcher *m, const regex_set *set, uint32_t max, size_t *at) {
    const uint8_t *const bytes = m->bytes;
    size_t i = *at;
    uint32_t count = 0;
    while (count < max && i < m->len) {
        const uint8_t kind = set->byte[bytes[i]];
        size_t step = kind;
        if (kind == 2) step = member(set, bytes + i);
        if (step == 0) break;
        i += step;
        count++;
    }
    *at = i;
    return count;
}

static bool is_word(const matcher *m, size_t at) {
    uint32_t code = 0;
    decode_next(m->bytes + at, &code);
    return (tandem__unicode_flags(code) & TANDEM_UNICODE_PATTERN_WORD) != 0;
}

static bool is_at(const matcher *m, regex_place place, size_t at) {
    const uint8_t *const bytes = m->bytes;
    switch (place) {
    case PLACE_LINE_START:
        return at == 0 || (bytes[at - 1] == '\n' && at < m->len);
    case PLACE_LINE_END:
        return at == m->len || bytes[at] == '\n';
    case PLACE_TEXT_START:
        return at == 0;
    case PLACE_TEXT_END:
        return at == m->len;
    case PLACE_BEFORE_END:
        return at == m->len || (at + 1 == m->len && bytes[at] == '\n');
    case PLACE_WORD_EDGE:
    case PLACE_NO_WORD_EDGE:
        break;
    }
    const bool is_before = at > 0 && is_word(m, before(bytes, at));
    const bool is_edge = is_before != (at < m->len && is_word(m, at));
    return is_edge == (place == PLACE_WORD_EDGE);
}

static bool is_behind(const matcher *m, const regex_step *step, size_t at) {
    const bool holds =
        at > 0 && member(&m->regex->sets[step->a], m->bytes + before(m->bytes, at)) != 0;
    return holds != (step->b != 0);
}

/* OP_TAKE: as many as can be, for good. */
static bool take(const matcher *m, const regex_step *step, size_t *at) {
    const regex_set *const set = &m->regex->sets[step->a];
    if (step->max != REGEX_MANY) return run_over(m, set, step->max, at) >= step->min;
    if (run_over(m, set, step->min, at) < step->min) return false;
    run *const last = (run *)m->search->scratch->runs.ptr + step->b;
    if (last->is_known && *at >= last->start && *at <= last->end) {
        *at = last->end;
        return true;
    }
    last->start = (uint32_t)*at;
    run_over(m, set, REGEX_MANY, at);
    last->end = (uint32_t)*at;
    last->is_known = true;
    return true;
}

static bool push(const matcher *m, note what) {
    tandem_array *const stack = &m->search->scratch->stack;
    if (tandem__array_reserve(stack, 1, sizeof what, m->err) != TANDEM_OK) return false;
    ((note *)stack->ptr)[stack->count++] = what;
    return true;
}

/* Takes the last note above `base`: the place to go on, or false if none is left. */
static bool pop(const matcher *m, size_t base, uint32_t *step, size_t *at) {
    tandem_array *const stack = &m->search->scratch->stack;
    while (stack->count > base) {
        note *const last = (note *)stack->ptr + stack->count - 1;
        if (last->low == BEGUN) {
            stack->count--;
            continue;
        }
        if (last->low != NO_RUN) last->at = (uint32_t)before(m->bytes, last->at);
        *step = last->step;
        *at = last->at;
        if (last->low == NO_RUN || last->at <= last->low) stack->count--;
        return true;
    }
    return false;
}

static outcome match(matcher *m, uint32_t start, size_t at);

/* Whether what is ahead of `at` is as the step wants it. */
static outcome look_ahead(matcher *m, uint32_t here, size_t at) {
    const bool wants = m->program->steps[here].op == OP_AHEAD;
    const outcome result = match(m, here + 1, at);
    if (result > OUTCOME_MATCH) return result;
    return (result == OUTCOME_MATCH) == wants ? OUTCOME_MATCH : OUTCOME_NONE;
}

static bool spend(tandem_regex_search *search, uint64_t steps) {
    if (search->budget < steps) return false;
    search->budget -= steps;
    return true;
}

/* OP_RUN: as many as can be, with a note to give them back one by one. */
static outcome quick_run(matcher *m, uint32_t here, size_t *at) {
    const regex_step *const step = &m->program->steps[here];
    const regex_set *const set = &m->regex->sets[step->a];
    const size_t start = *at;
    if (run_over(m, set, step->min, at) < step->min) return OUTCOME_NONE;
    const size_t low = *at;
    if (step->max > step->min) {
        const uint32_t more = step->max == REGEX_MANY ? REGEX_MANY : step->max - step->min;
        run_over(m, set, more, at);
    }
    if (!spend(m->search, *at - start)) return OUTCOME_SPENT;
    if (*at > low) {
        const note what = {here + 1, (uint32_t)*at, (uint32_t)low};
        if (!push(m, what)) return OUTCOME_ERROR;
    }
    return OUTCOME_MATCH;
}

/* OP_SPLIT of the quick program. */
static outcome quick_split(const matcher *m, uint32_t *here, size_t at) {
    const regex_step *const step = &m->program->steps[*here];
    if (!spend(m->search, 1)) return OUTCOME_SPENT;
    const uint8_t ways =
        m->program->firsts[step->table][at < m->len ? m->bytes[at] : REGEX_TEXT_END];
    if (ways == 0) return OUTCOME_NONE;
    if (ways == 3 && !push(m, (note){step->b, (uint32_t)at, NO_RUN})) return OUTCOME_ERROR;
    *here = (ways & 1) != 0 ? step->a : step->b;
    return OUTCOME_MATCH;
}

/* OP_SPLIT of the careful program. */
static outcome careful_split(const matcher *m, uint32_t *here, size_t at, bool *is_held) {
    const regex_step *const step = &m->program->steps[*here];
    const tandem_regex_scratch *const scratch = m->search->scratch;
    const uint64_t bit = (uint64_t)step->table * (m->len + 1) + at;
    const uint64_t mask = (uint64_t)1 << bit % 64;
    uint64_t *const failed = (uint64_t *)scratch->failed.ptr + bit / 64;
    *is_held = (((const uint64_t *)scratch->holds.ptr)[bit / 64] & mask) != 0;
    if (*is_held) return OUTCOME_MATCH;
    if ((*failed & mask) != 0) return OUTCOME_NONE;
    *failed |= mask;
    if (!push(m, (note){*here, (uint32_t)at, BEGUN})) return OUTCOME_ERROR;
    if (!push(m, (note){step->b, (uint32_t)at, NO_RUN})) return OUTCOME_ERROR;
    *here = step->a;
    return OUTCOME_MATCH;
}

/* The choices noted above `base` have led to a match. */
static void settle(const matcher *m, size_t base, bool is_ahead) {
    tandem_regex_scratch *const scratch = m->search->scratch;
    const note *const notes = scratch->stack.ptr;
    for (size_t i = base; m->search->is_careful && i < scratch->stack.count; i++) {
        if (notes[i].low != BEGUN) continue;
        const uint32_t table = m->program->steps[notes[i].step].table;
        const uint64_t bit = (uint64_t)table * (m->len + 1) + notes[i].at;
        const uint64_t mask = (uint64_t)1 << bit % 64;
        ((uint64_t *)scratch->failed.ptr)[bit / 64] &= ~mask;
        if (is_ahead) ((uint64_t *)scratch->holds.ptr)[bit / 64] |= mask;
    }
    scratch->stack.count = base;
}

/* One step that is neither choice nor end; `*here` and `*at` move on. */
static outcome advance(matcher *m, uint32_t *here, size_t *at) {
    const regex_step *const step = &m->program->steps[*here];
    bool holds = true;
    switch (step->op) {
    case OP_BYTE:
        holds = *at < m->len && m->bytes[*at] == step->a;
        *at += 1;
        break;
    case OP_SET: {
        const size_t bytes = *at < m->len ? member(&m->regex->sets[step->a], m->bytes + *at) : 0;
        holds = bytes != 0;
        *at += bytes;
        break;
    }
    case OP_TAKE:
        holds = take(m, step, at);
        break;
    case OP_BEHIND:
        holds = is_behind(m, step, *at);
        break;
    case OP_PLACE:
        holds = is_at(m, (regex_place)step->a, *at);
        break;
    case OP_AHEAD:
    case OP_ABSENT: {
        const outcome result = look_ahead(m, *here, *at);
        *here = step->a;
        return result;
    }
    case OP_JUMP:
        *here = step->a;
        return OUTCOME_MATCH;
    case OP_RUN: {
        const outcome result = quick_run(m, *here, at);
        *here += 1;
        return result;
    }
    case OP_SPLIT:
    case OP_DONE:
        TANDEM_ASSERT(false);
    }
    *here += 1;
    return holds ? OUTCOME_MATCH : OUTCOME_NONE;
}

/* Runs the program from step `start` at byte `at` to its end, or that of a look-ahead. */
static outcome match(matcher *m, uint32_t start, size_t at) {
    const size_t base = m->search->scratch->stack.count;
    const bool is_careful = m->search->is_careful;
    uint32_t here = start;
    for (;;) {
        outcome result = OUTCOME_NONE;
        bool is_held = false;
        const regex_op op = m->program->steps[here].op;
        if (op == OP_SPLIT && !is_careful)
            result = quick_split(m, &here, at);
        else if (op == OP_SPLIT)
            result = careful_split(m, &here, at, &is_held);
        else if (op != OP_DONE)
            result = advance(m, &here, &at);
        if (op == OP_DONE || is_held) {
            settle(m, base, start != 0);
            m->end = at;
            return OUTCOME_MATCH;
        }
        if (result == OUTCOME_NONE) {
            if (!pop(m, base, &here, &at)) return OUTCOME_NONE;
            if (!is_careful && !spend(m->search, 1)) result = OUTCOME_SPENT;
        }
        if (result > OUTCOME_MATCH) {
            m->search->scratch->stack.count = base;
            return result;
        }
    }
}

static tandem_status forget_runs(const tandem_regex_search *search, tandem_error *err) {
    const tandem_regex *const regex = search->regex;
    tandem_array *const runs = &search->scratch->runs;
    const uint32_t count =
        regex->quick.takes > regex->careful.takes ? regex->quick.takes : regex->careful.takes;
    runs->count = 0;
    if (count == 0) return TANDEM_OK;
    TANDEM_TRY(tandem__array_reserve(runs, count, sizeof(run), err));
    memset(runs->ptr, 0, count * sizeof(run));
    return TANDEM_OK;
}

/* From now on with a record. */
static tandem_status turn_careful(tandem_regex_search *search, tandem_error *err) {
    tandem_regex_scratch *const scratch = search->scratch;
    const uint64_t bits = (uint64_t)search->regex->careful.splits * (search->len + 1);
    if (bits > RECORD_BITS_MAX) {
        return TANDEM_FAIL(err, CAPACITY, "pattern on text of %zu bytes: over %llu choices",
                           search->len, (unsigned long long)RECORD_BITS_MAX);
    }
    tandem_array *const records[] = {&scratch->failed, &scratch->holds};
    for (int i = 0; i < 2; i++) {
        const size_t words = (size_t)(bits / 64 + 1);
        records[i]->count = 0;
        TANDEM_TRY(tandem__array_reserve(records[i], words, sizeof(uint64_t), err));
        memset(records[i]->ptr, 0, words * sizeof(uint64_t));
    }
    search->is_careful = true;
    return forget_runs(search, err);
}

tandem_status tandem__regex_begin(tandem_regex_search *search, const tandem_regex *regex,
                                  tandem_regex_scratch *scratch, const uint8_t *bytes, size_t len,
                                  tandem_error *err) {
    TANDEM_ASSERT(len < BEGUN);
    *search = (tandem_regex_search){.regex = regex,
                                    .scratch = scratch,
                                    .bytes = bytes,
                                    .len = len,
                                    .last_end = SIZE_MAX,
                                    .budget = BUDGET_PER_BYTE * (uint64_t)len + BUDGET_LEAST};
    scratch->stack.count = 0;
    return forget_runs(search, err);
}

/* The next place from `at` on where a match may start; len + 1 for none. */
static size_t next_start(const tandem_regex_search *search, size_t at) {
    const uint8_t *const starts = search->regex->starts;
    while (at < search->len &&
           (starts[search->bytes[at]] == 0 || (search->bytes[at] & 0xc0) == 0x80)) {
        at++;
    }
    return at < search->len || starts[REGEX_TEXT_END] != 0 ? at : search->len + 1;
}

/* The leftmost match from search->at on. */
static tandem_status find(tandem_regex_search *search, bool *found, tandem_error *err) {
    matcher m = {.regex = search->regex,
                 .search = search,
                 .bytes = search->bytes,
                 .len = search->len,
                 .err = err};
    *found = false;
    size_t at = next_start(search, search->at);
    while (at <= search->len) {
        m.program = search->is_careful ? &search->regex->careful : &search->regex->quick;
        outcome result = search->is_careful || spend(search, 1) ? match(&m, 0, at) : OUTCOME_SPENT;
        if (result == OUTCOME_ERROR) {
            return TANDEM_FAIL(err, MEMORY, "no memory for a search");
        }
        if (result == OUTCOME_SPENT) {
            TANDEM_TRY(turn_careful(search, err));
            continue;
        }
        if (result == OUTCOME_MATCH) {
            search->start = at;
            search->end = m.end;
            *found = true;
            return TANDEM_OK;
        }
        at = next_start(search, at + 1);
    }
    return TANDEM_OK;
}

tandem_status tandem__regex_next(tandem_regex_search *search, bool *found, tandem_error *err) {
    for (;;) {
        *found = false;
        if (search->at > search->len) return TANDEM_OK;
        TANDEM_TRY(find(search, found, err));
        if (!*found) {
            search->at = search->len + 1;
            return TANDEM_OK;
        }
        if (search->start < search->end || search->end != search->last_end) break;
        search->at++;
        while (search->at < search->len && (search->bytes[search->at] & 0xc0) == 0x80) search->at++;
    }
    search->at = search->last_end = search->end;
    return TANDEM_OK;
}

void tandem__regex_scratch_deinit(tandem_regex_scratch *scratch) {
    tandem__array_deinit(&scratch->stack);
    tandem__array_deinit(&scratch->failed);
    tandem__array_deinit(&scratch->holds);
    tandem__array_deinit(&scratch->runs);
}
