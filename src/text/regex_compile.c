/* SPDX-License-Identifier: Apache-2.0 */
/* A tree to its two programs, see regex_internal.h. A repeat becomes copies of what it repeats, so
 * a program's size is bounded while it is written. */
#include "base/assert.h"
#include "base/fail.h"
#include "base/utf8.h"
#include "text/regex_internal.h"

#define WORK_BYTES_MAX ((size_t)64 << 20)
#define COPIES_MAX     100000
#define WAY_FIRST      1
#define WAY_SECOND     2
#define WALK_MAX       64 /* choices that may stand open while first bytes are gathered */

typedef struct writer {
    regex_program *program;
    regex_step *steps; /* [REGEX_STEPS_MAX] */
    uint32_t copies;   /* nodes written, the same node again and again counted */
    bool is_quick;
    tandem_error *err;
} writer;

static tandem_status emit(writer *w, regex_node *node);

static tandem_status put(writer *w, regex_step step, uint32_t *at) {
    regex_program *const program = w->program;
    if (program->count == REGEX_STEPS_MAX) {
        return TANDEM_FAIL(w->err, CAPACITY, "pattern of over %d steps", REGEX_STEPS_MAX);
    }
    if (step.op == OP_SPLIT) step.table = program->splits++;
    if (step.op == OP_TAKE) step.b = program->takes++;
    if (at != NULL) *at = program->count;
    w->steps[program->count++] = step;
    return TANDEM_OK;
}

static tandem_status emit_char(writer *w, uint32_t code) {
    uint8_t bytes[4];
    const size_t len = tandem__utf8_encode(code, bytes);
    for (size_t i = 0; i < len; i++) {
        TANDEM_TRY(put(w, (regex_step){.op = OP_BYTE, .a = bytes[i]}, NULL));
    }
    return TANDEM_OK;
}

/* A choice between what comes next and what comes after `*split` is ended by end_choice. */
static tandem_status begin_choice(writer *w, uint32_t *split) {
    return put(w, (regex_step){.op = OP_SPLIT}, split);
}

/* The choice's body is from behind the split to `out`. */
static void end_choice(writer *w, uint32_t split, bool is_lazy, uint32_t out) {
    w->steps[split].a = is_lazy ? out : split + 1;
    w->steps[split].b = is_lazy ? split + 1 : out;
}

static tandem_status emit_any(writer *w, regex_node *node) {
    uint32_t jumps = UINT32_MAX; /* a chain through `a` of those that leave */
    for (regex_node *child = node->first; child != NULL; child = child->next) {
        uint32_t split = 0;
        if (child->next != NULL) TANDEM_TRY(begin_choice(w, &split));
        TANDEM_TRY(emit(w, child));
        if (child->next == NULL) break;
        const uint32_t before = jumps;
        TANDEM_TRY(put(w, (regex_step){.op = OP_JUMP, .a = before}, &jumps));
        end_choice(w, split, false, w->program->count);
    }
    while (jumps != UINT32_MAX) {
        const uint32_t before = w->steps[jumps].a;
        w->steps[jumps].a = w->program->count;
        jumps = before;
    }
    return TANDEM_OK;
}

/* One or more times: the body, then a choice to go back. */
static tandem_status emit_many(writer *w, regex_node *node) {
    const uint32_t start = w->program->count;
    uint32_t split = 0;
    TANDEM_TRY(emit(w, node->first));
    TANDEM_TRY(begin_choice(w, &split));
    w->steps[split].a = node->is_lazy ? split + 1 : start;
    w->steps[split].b = node->is_lazy ? start : split + 1;
    return TANDEM_OK;
}

static tandem_status emit_copies(writer *w, regex_node *node) {
    const bool is_many = node->max == REGEX_MANY;
    const uint32_t fixed = is_many && node->min > 0 ? node->min - 1 : node->min;
    for (uint32_t i = 0; i < fixed; i++) TANDEM_TRY(emit(w, node->first));
    if (is_many && node->min > 0) return emit_many(w, node);
    if (is_many) {
        uint32_t split = 0;
        TANDEM_TRY(begin_choice(w, &split));
        TANDEM_TRY(emit(w, node->first));
        TANDEM_TRY(put(w, (regex_step){.op = OP_JUMP, .a = split}, NULL));
        end_choice(w, split, node->is_lazy, w->program->count);
        return TANDEM_OK;
    }
    const uint32_t first = w->program->count;
    for (uint32_t i = node->min; i < node->max; i++) {
        uint32_t split = 0;
        TANDEM_TRY(begin_choice(w, &split));
        w->steps[split].min = UINT32_MAX; /* one of these, whose way out is not known yet */
        TANDEM_TRY(emit(w, node->first));
    }
    for (uint32_t i = first; i < w->program->count; i++) {
        if (w->steps[i].op != OP_SPLIT || w->steps[i].min != UINT32_MAX) continue;
        w->steps[i].min = 0;
        end_choice(w, i, node->is_lazy, w->program->count);
    }
    return TANDEM_OK;
}

static tandem_status emit_repeat(writer *w, regex_node *node) {
    const bool is_set = node->first->kind == NODE_SET;
    regex_step step = {.a = node->first->value, .min = node->min, .max = node->max};
    if (node->is_possessive) {
        step.op = OP_TAKE;
        return put(w, step, NULL);
    }
    if (w->is_quick && is_set && !node->is_lazy && node->max > 1) {
        step.op = OP_RUN;
        return put(w, step, NULL);
    }
    return emit_copies(w, node);
}

static tandem_status emit_ahead(writer *w, regex_node *node) {
    uint32_t at = 0;
    TANDEM_TRY(put(w, (regex_step){.op = node->is_negative ? OP_ABSENT : OP_AHEAD}, &at));
    TANDEM_TRY(emit(w, node->first));
    TANDEM_TRY(put(w, (regex_step){.op = OP_DONE}, NULL));
    w->steps[at].a = w->program->count;
    return TANDEM_OK;
}

static tandem_status emit(writer *w, regex_node *node) {
    if (++w->copies > COPIES_MAX) {
        return TANDEM_FAIL(w->err, CAPACITY, "pattern of over %d copies of its parts", COPIES_MAX);
    }
    switch (node->kind) {
    case NODE_EMPTY:
        return TANDEM_OK;
    case NODE_SET:
        return put(w, (regex_step){.op = OP_SET, .a = node->value}, NULL);
    case NODE_CHAR:
        return emit_char(w, node->value);
    case NODE_ALL:
        for (regex_node *child = node->first; child != NULL; child = child->next) {
            TANDEM_TRY(emit(w, child));
        }
        return TANDEM_OK;
    case NODE_ANY:
        return emit_any(w, node);
    case NODE_REPEAT:
        return emit_repeat(w, node);
    case NODE_AHEAD:
        return emit_ahead(w, node);
    case NODE_BEHIND:
        return put(w, (regex_step){.op = OP_BEHIND, .a = node->value, .b = node->is_negative},
                   NULL);
    case NODE_PLACE:
        return put(w, (regex_step){.op = OP_PLACE, .a = node->value}, NULL);
    }
    TANDEM_ASSERT(false);
    return TANDEM_OK;
}

/* First bytes. */

static void add_all(regex_first first, uint8_t way) {
    for (int i = 0; i <= REGEX_TEXT_END; i++) first[i] |= way;
}

/* Adds `way` to each byte that can come first from step `at` on. Too large a search, or a way that
 * reads nothing, gives all. */
static void gather(const tandem_regex *regex, const regex_program *program, uint32_t at,
                   uint8_t way, regex_first first) {
    uint32_t open[WALK_MAX] = {at};
    uint32_t count = 1;
    uint32_t budget = 4 * WALK_MAX;
    while (count > 0) {
        const uint32_t here = open[--count];
        const regex_step *const step = &program->steps[here];
        if (budget-- == 0 || count + 2 > WALK_MAX || step->op == OP_DONE) {
            add_all(first, way);
            return;
        }
        const bool is_set = step->op == OP_SET || step->op == OP_RUN || step->op == OP_TAKE;
        for (int i = 0; is_set && i < 256; i++) {
            if (regex->sets[step->a].byte[i] != 0) first[i] |= way;
        }
        if (step->op == OP_BYTE) first[step->a] |= way;
        const bool may_skip = step->op == OP_BEHIND || step->op == OP_PLACE ||
                              ((step->op == OP_RUN || step->op == OP_TAKE) && step->min == 0);
        if (may_skip) open[count++] = here + 1;
        if (step->op == OP_JUMP || step->op == OP_AHEAD || step->op == OP_ABSENT) {
            open[count++] = step->a;
        }
        if (step->op == OP_SPLIT) {
            open[count++] = step->b;
            open[count++] = step->a;
        }
    }
}

static tandem_status make_firsts(tandem_regex *regex, tandem_arena *arena, tandem_error *err) {
    regex_program *const program = &regex->quick;
    program->firsts = tandem__arena_array(arena, program->splits, sizeof *program->firsts);
    if (program->firsts == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for a pattern");
    for (uint32_t i = 0; i < program->count; i++) {
        const regex_step *const step = &program->steps[i];
        if (step->op != OP_SPLIT) continue;
        gather(regex, program, step->a, WAY_FIRST, program->firsts[step->table]);
        gather(regex, program, step->b, WAY_SECOND, program->firsts[step->table]);
    }
    gather(regex, program, 0, WAY_FIRST, regex->starts);
    return TANDEM_OK;
}

static tandem_status write_program(regex_program *program, bool is_quick, regex_node *tree,
                                   const regex_parser *p) {
    writer w = {.program = program, .is_quick = is_quick, .err = p->err};
    w.steps = tandem__arena_array(p->work, REGEX_STEPS_MAX, sizeof *w.steps);
    if (w.steps == NULL) return TANDEM_FAIL(p->err, MEMORY, "no memory for a pattern");
    TANDEM_TRY(emit(&w, tree));
    TANDEM_TRY(put(&w, (regex_step){.op = OP_DONE}, NULL));
    program->steps = tandem__arena_array(p->arena, program->count, sizeof *w.steps);
    if (program->steps == NULL) return TANDEM_FAIL(p->err, MEMORY, "no memory for a pattern");
    memcpy(program->steps, w.steps, program->count * sizeof *w.steps);
    return TANDEM_OK;
}

static tandem_status build(tandem_regex *regex, regex_parser *p) {
    regex_node *tree = NULL;
    p->sets = tandem__arena_array(p->work, REGEX_SETS_MAX, sizeof *p->sets);
    if (p->sets == NULL) return TANDEM_FAIL(p->err, MEMORY, "no memory for a pattern");
    TANDEM_TRY(tandem__regex_parse(p, &tree));
    regex->sets = tandem__arena_array(p->arena, p->sets_count, sizeof *p->sets);
    if (regex->sets == NULL) return TANDEM_FAIL(p->err, MEMORY, "no memory for a pattern");
    memcpy(regex->sets, p->sets, p->sets_count * sizeof *p->sets);
    regex->sets_count = p->sets_count;
    regex->is_nullable = tandem__regex_node_is_nullable(tree);
    TANDEM_TRY(write_program(&regex->quick, true, tree, p));
    TANDEM_TRY(write_program(&regex->careful, false, tree, p));
    return make_firsts(regex, p->arena, p->err);
}

tandem_status tandem__regex_compile(tandem_str pattern, tandem_arena *arena,
                                    const tandem_regex **regex, tandem_error *err) {
    tandem_regex *const made = tandem__arena_alloc(arena, sizeof *made);
    if (made == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for a pattern");
    tandem_arena work;
    tandem__arena_init(&work, WORK_BYTES_MAX);
    regex_parser p = {.pattern = pattern, .arena = arena, .work = &work, .err = err};
    const tandem_status status = build(made, &p);
    tandem__arena_deinit(&work);
    if (status == TANDEM_OK) *regex = made;
    return status;
}

bool tandem__regex_is_nullable(const tandem_regex *regex) {
    return regex->is_nullable;
}
