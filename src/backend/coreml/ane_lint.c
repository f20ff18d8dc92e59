/* SPDX-License-Identifier: Apache-2.0 */
/* A rule is a line of code that ends in BREAKS. Where they come from: Apple's own form for
 * transformers (apple/ml-ane-transformers), what coremltools says of an operation's parameters, and
 * what others measured on the engine (ane-guide, "Model-design rules"):
 *
 *     every value    f16, rank 4, batch 1, at most 16384 high and wide and 65536 channels, an
 *                    operand of at most 2 MB; the last axis, which is padded to 64 bytes, whole
 *                    (tokens) or a head's width; never a slice of it: on M1 and M2 that clamps
 *     convolutions   1x1, constant weights, stride 1, no padding, one group, channels in 32s
 *     einsum         the two equations that have a path of their own, and no other
 *     softmax, layer_norm, concat   over axis 1
 *
 * The types and shapes that an operation declares are inferred again. */
#include "backend/coreml/ane_lint.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/coreml/ane_encoder.h"
#include "base/fail.h"
#include "kernels/convert/convert.h"

enum { SIDE_MOST = 16384, CHANNELS_MOST = 65536, OPERANDS_MAX = 4 };

/* What a rule looks at: an operation and its operands, found by the table below. */
typedef struct lint {
    const mil_program *program;
    const mil_op *op;
    const mil_value *result;
    const mil_value *operands[OPERANDS_MAX]; /* in the order of its row of the table */
    tandem_error *err;
} lint;

#define BREAKS(l, ...) return fail_rule(l, __VA_ARGS__)

static tandem_status fail_rule(const lint *l, const char *format, ...) TANDEM_PRINTF(2, 3);

static tandem_status fail_rule(const lint *l, const char *format, ...) {
    char rule[160];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(rule, sizeof rule, format, list);
    va_end(list);
    return TANDEM_FAIL(l->err, UNSUPPORTED, "%s (%s): %s", l->result->name, l->op->type, rule);
}

static const mil_value *value_of(const lint *l, const char *argument, int32_t index) {
    const mil_argument *found = tandem__mil_argument(l->op, argument);
    if (found == NULL || index >= found->count) return NULL;
    return &l->program->values[found->values[index]];
}

/* Whether the argument is this vector, or with a count of 0 this scalar. */
static bool is_numbers(const lint *l, const char *argument, const int32_t *numbers, int32_t count) {
    const mil_value *value = value_of(l, argument, 0);
    if (value == NULL || value->kind != MIL_KIND_NUMBERS) return false;
    if (value->shape.rank != (count > 0 ? 1 : 0)) return false;
    if (count > 0 && value->shape.size[0] != count) return false;
    const size_t len = count > 0 ? (size_t)count : 1;
    return memcmp(value->numbers, numbers, len * sizeof *numbers) == 0;
}

static bool is_text(const lint *l, const char *argument, const char *text) {
    const mil_value *value = value_of(l, argument, 0);
    return value != NULL && value->kind == MIL_KIND_TEXT && strcmp(value->text, text) == 0;
}

static bool is_blob(const mil_value *value, mil_shape shape) {
    return value != NULL && value->kind == MIL_KIND_BLOB &&
           tandem__mil_shape_is(value->shape, shape);
}

static mil_shape with(mil_shape shape, int axis, int32_t size) {
    shape.size[axis] = size;
    return shape;
}

static tandem_status expect_shape(const lint *l, mil_shape shape) {
    if (tandem__mil_shape_is(l->result->shape, shape)) return TANDEM_OK;
    const int32_t *is = l->result->shape.size;
    BREAKS(l, "shape: declared (%d, %d, %d, %d), its operands give (%d, %d, %d, %d)", (int)is[0],
           (int)is[1], (int)is[2], (int)is[3], (int)shape.size[0], (int)shape.size[1],
           (int)shape.size[2], (int)shape.size[3]);
}

static tandem_status lint_conv(const lint *l) {
    static const int32_t ones[] = {1, 1};
    static const int32_t none[] = {0, 0, 0, 0};
    const mil_value *x = l->operands[0];
    const mil_value *bias = value_of(l, "bias", 0);
    const int32_t in = x->shape.size[1];
    const int32_t out = l->result->shape.size[1];
    if (!is_blob(l->operands[1], (mil_shape){4, {out, in, 1, 1}}))
        BREAKS(l, "weight: expected a constant [%d, %d, 1, 1]", (int)out, (int)in);
    if (tandem__mil_argument(l->op, "bias") != NULL && !is_blob(bias, (mil_shape){1, {out}}))
        BREAKS(l, "bias: expected a constant [%d]", (int)out);
    if (!is_numbers(l, "strides", ones, 2)) BREAKS(l, "strides: expected 1, 1");
    if (!is_numbers(l, "dilations", ones, 2)) BREAKS(l, "dilations: expected 1, 1");
    if (!is_numbers(l, "pad", none, 4)) BREAKS(l, "pad: expected 0");
    if (!is_numbers(l, "groups", ones, 0)) BREAKS(l, "groups: expected 1");
    if (!is_text(l, "pad_type", "valid")) BREAKS(l, "pad_type: expected valid");
    if (in % ANE_CHANNELS != 0 || out % ANE_CHANNELS != 0)
        BREAKS(l, "channels: %d to %d, expected multiples of %d", (int)in, (int)out, ANE_CHANNELS);
    return expect_shape(l, with(x->shape, 1, out));
}

static tandem_status lint_slice(const lint *l) {
    const mil_value *x = l->operands[0];
    const mil_value *begin = l->operands[1];
    const mil_value *size = l->operands[2];
    mil_shape shape = x->shape;
    if (begin->kind != MIL_KIND_NUMBERS || size->kind != MIL_KIND_NUMBERS ||
        begin->shape.size[0] != MIL_RANK_MAX || size->shape.size[0] != MIL_RANK_MAX)
        BREAKS(l, "begin, size: expected 4 constant numbers each");
    for (int i = 0; i < MIL_RANK_MAX; i++) {
        const int32_t first = begin->numbers[i];
        const int32_t count = size->numbers[i];
        if (i != 1 && (first != 0 || count != x->shape.size[i]))
            BREAKS(l, "axis %d: slices are of axis 1 alone", i);
        if (first < 0 || count < 1 || first + count > x->shape.size[i])
            BREAKS(l, "axis %d: %d from %d of %d", i, (int)count, (int)first,
                   (int)x->shape.size[i]);
        shape.size[i] = count;
    }
    return expect_shape(l, shape);
}

static tandem_status lint_transpose(const lint *l) {
    static const int32_t order[] = {0, 3, 2, 1};
    const mil_shape x = l->operands[0]->shape;
    if (!is_numbers(l, "perm", order, 4)) BREAKS(l, "perm: expected 0, 3, 2, 1");
    return expect_shape(l, (mil_shape){4, {x.size[0], x.size[3], x.size[2], x.size[1]}});
}

/* Core ML has a path for nchw,nwhu->nchu alone, by whatever letters. */
static tandem_status lint_einsum(const lint *l) {
    const mil_value *x = value_of(l, "values", 0);
    const mil_value *y = value_of(l, "values", 1);
    if (!is_text(l, "equation", "bkhc,bchq->bkhq") && !is_text(l, "equation", "bchk,bkhq->bchq"))
        BREAKS(l, "equation: expected bkhc,bchq->bkhq or bchk,bkhq->bchq");
    if (y == NULL || tandem__mil_argument(l->op, "values")->count != 2)
        BREAKS(l, "values: expected two");
    if (x->shape.size[3] != y->shape.size[1] || x->shape.size[2] != y->shape.size[2])
        BREAKS(l, "values: %d summed against %d", (int)x->shape.size[3], (int)y->shape.size[1]);
    return expect_shape(l, with(x->shape, 3, y->shape.size[3]));
}

static tandem_status lint_binary(const lint *l) {
    mil_shape shape = l->operands[0]->shape;
    for (int i = 0; i < MIL_RANK_MAX; i++) {
        const int32_t a = shape.size[i];
        const int32_t b = l->operands[1]->shape.size[i];
        if (a != b && a != 1 && b != 1) BREAKS(l, "axis %d: %d against %d", i, (int)a, (int)b);
        if (b > a) shape.size[i] = b;
    }
    return expect_shape(l, shape);
}

static tandem_status lint_unary(const lint *l) {
    return expect_shape(l, l->operands[0]->shape);
}

static tandem_status lint_gelu(const lint *l) {
    if (!is_text(l, "mode", "EXACT") && !is_text(l, "mode", "TANH_APPROXIMATION"))
        BREAKS(l, "mode: expected EXACT or TANH_APPROXIMATION");
    return lint_unary(l);
}

static tandem_status lint_softmax(const lint *l) {
    const int32_t axis = 1;
    if (!is_numbers(l, "axis", &axis, 0)) BREAKS(l, "axis: expected 1");
    return lint_unary(l);
}

static tandem_status lint_norm(const lint *l) {
    const int32_t axis = 1;
    const mil_shape width = {1, {l->operands[0]->shape.size[1]}};
    const mil_value *epsilon = value_of(l, "epsilon", 0);
    if (!is_numbers(l, "axes", &axis, 1)) BREAKS(l, "axes: expected 1");
    if (!is_blob(l->operands[1], width) || !is_blob(l->operands[2], width))
        BREAKS(l, "gamma, beta: expected constants [%d]", (int)width.size[0]);
    if (epsilon == NULL || epsilon->kind != MIL_KIND_HALF ||
        !(tandem_convert_f16_value(epsilon->half) > 0.0f))
        BREAKS(l, "epsilon: expected more than 0 in f16");
    return lint_unary(l);
}

static tandem_status lint_concat(const lint *l) {
    const mil_argument *values = tandem__mil_argument(l->op, "values");
    const mil_value *interleave = value_of(l, "interleave", 0);
    const int32_t axis = 1;
    mil_shape shape = l->operands[0]->shape;
    int32_t total = 0;
    if (!is_numbers(l, "axis", &axis, 0)) BREAKS(l, "axis: expected 1");
    if (interleave == NULL || interleave->kind != MIL_KIND_TRUTH || interleave->numbers[0] != 0)
        BREAKS(l, "interleave: expected false");
    for (int32_t i = 0; i < values->count; i++) {
        const mil_shape part = l->program->values[values->values[i]].shape;
        if (!tandem__mil_shape_is(with(part, 1, 0), with(shape, 1, 0)))
            BREAKS(l, "values: part %d has other sides", (int)i);
        total += part.size[1];
    }
    shape.size[1] = total;
    return expect_shape(l, shape);
}

/* Every operation that has a path on the engine and a use here, with the parameters that it must
 * have in the order of lint.operands. */
static const struct operation {
    const char *type;
    tandem_status (*check)(const lint *l);
    const char *operands[OPERANDS_MAX];
} operations[] = {
    {"conv", lint_conv, {"x", "weight", NULL, NULL}},
    {"slice_by_size", lint_slice, {"x", "begin", "size", NULL}},
    {"transpose", lint_transpose, {"x", "perm", NULL, NULL}},
    {"einsum", lint_einsum, {"values", "equation", NULL, NULL}},
    {"add", lint_binary, {"x", "y", NULL, NULL}},
    {"sub", lint_binary, {"x", "y", NULL, NULL}},
    {"mul", lint_binary, {"x", "y", NULL, NULL}},
    {"softmax", lint_softmax, {"x", "axis", NULL, NULL}},
    {"layer_norm", lint_norm, {"x", "gamma", "beta", NULL}},
    {"gelu", lint_gelu, {"x", "mode", NULL, NULL}},
    {"silu", lint_unary, {"x", NULL, NULL, NULL}},
    {"relu", lint_unary, {"x", NULL, NULL, NULL}},
    {"tanh", lint_unary, {"x", NULL, NULL, NULL}},
    {"concat", lint_concat, {"values", "axis", NULL, NULL}},
};

static const struct operation *find_operation(const char *type) {
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        if (strcmp(operations[i].type, type) == 0) return &operations[i];
    }
    return NULL;
}

/* Rules of every tensor that an operation reads or makes. */
static tandem_status lint_tensor(const lint *l, const mil_value *value) {
    const mil_shape *shape = &value->shape;
    const bool is_mask = value->kind == MIL_KIND_INPUT && shape->size[3] == 1;
    const bool is_weight = value->kind == MIL_KIND_BLOB;
    const size_t bytes = tandem__mil_elements(*shape) * sizeof(uint16_t);
    if (value->type != MIL_F16) BREAKS(l, "type: %s is not f16", value->name);
    if (bytes > ANE_OPERAND_BYTES_MAX)
        BREAKS(l, "size: %s has %zu bytes, at most %d", value->name, bytes, ANE_OPERAND_BYTES_MAX);
    if (is_weight && (shape->rank == 1 || shape->size[3] == 1)) return TANDEM_OK;
    if (shape->rank != MIL_RANK_MAX || shape->size[0] != 1)
        BREAKS(l, "rank: %s, expected 4 axes and a batch of 1", value->name);
    if (shape->size[1] < 1 || shape->size[1] > CHANNELS_MOST)
        BREAKS(l, "channels: %s has %d", value->name, (int)shape->size[1]);
    if (shape->size[2] != 1 || shape->size[3] > SIDE_MOST)
        BREAKS(l, "sides: %s is %d high and %d wide, expected 1 and at most %d", value->name,
               (int)shape->size[2], (int)shape->size[3], SIDE_MOST);
    /* The transposed keys of a head: tokens for channels, its width for the last axis. */
    const bool is_turned =
        shape->size[1] % ANE_CHANNELS == 0 &&
        (strcmp(l->op->type, "transpose") == 0 || strcmp(l->op->type, "einsum") == 0);
    if (shape->size[3] % ANE_CHANNELS != 0 && !is_mask && !is_turned)
        BREAKS(l, "last axis: %s has %d, expected a multiple of %d", value->name,
               (int)shape->size[3], ANE_CHANNELS);
    return TANDEM_OK;
}

static bool is_constant(const mil_value *value) {
    return value->kind != MIL_KIND_INPUT && value->kind != MIL_KIND_RESULT;
}

/* Arguments: made before they are read, and of the kind that their tensors' rules ask for. */
static tandem_status lint_arguments(const lint *l, const bool *is_made, bool *is_read) {
    for (int32_t i = 0; i < l->op->argument_count; i++) {
        const mil_argument *argument = &l->op->arguments[i];
        for (int32_t k = 0; k < argument->count; k++) {
            const int32_t at = argument->values[k];
            if (at < 0 || at >= l->program->value_count)
                BREAKS(l, "%s: no such value", argument->name);
            const mil_value *value = &l->program->values[at];
            if (!is_constant(value) && !is_made[at])
                BREAKS(l, "%s: %s is read before it is made", argument->name, value->name);
            is_read[at] = true;
            if (!is_constant(value) || value->kind == MIL_KIND_BLOB)
                TANDEM_TRY(lint_tensor(l, value));
        }
    }
    return TANDEM_OK;
}

static tandem_status lint_op(lint *l, const bool *is_made, bool *is_read) {
    const struct operation *operation = find_operation(l->op->type);
    if (operation == NULL) BREAKS(l, "operation: not one that the engine runs");
    TANDEM_TRY(lint_arguments(l, is_made, is_read));
    for (int i = 0; i < OPERANDS_MAX && operation->operands[i] != NULL; i++) {
        l->operands[i] = value_of(l, operation->operands[i], 0);
        if (l->operands[i] == NULL) BREAKS(l, "%s: missing", operation->operands[i]);
    }
    TANDEM_TRY(lint_tensor(l, l->result));
    return operation->check(l);
}

static tandem_status fail_value(const mil_value *value, const char *rule, tandem_error *err) {
    return TANDEM_FAIL(err, UNSUPPORTED, "%s: %s", value->name, rule);
}

static bool is_identifier(const char *name) {
    if (name[0] >= '0' && name[0] <= '9') return false;
    return name[0] != '\0' &&
           name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")] ==
               '\0';
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static tandem_status lint_names(const mil_program *program, tandem_error *err) {
    const size_t count = (size_t)program->value_count;
    const char **names = tandem__arena_array(program->arena, count, sizeof *names);
    if (names == NULL) return TANDEM_FAIL(err, MEMORY, "no memory to judge a program");
    for (size_t i = 0; i < count; i++) names[i] = program->values[i].name;
    qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(names[i - 1], names[i]) == 0)
            return TANDEM_FAIL(err, UNSUPPORTED, "%s: name: two values have it", names[i]);
    }
    return TANDEM_OK;
}

/* Identifiers for names, and blobs that hold what their value says. */
static tandem_status lint_values(const mil_program *program, tandem_error *err) {
    for (int32_t i = 0; i < program->value_count; i++) {
        const mil_value *value = &program->values[i];
        if (!is_identifier(value->name)) return fail_value(value, "name: not an identifier", err);
        if (value->kind != MIL_KIND_BLOB) continue;
        const mil_blob *blob = &program->weights->blobs[value->blob];
        if (blob->rows * blob->cols != tandem__mil_elements(value->shape))
            return fail_value(value, "blob: another number of elements than its shape", err);
        if (blob->offset % 64 != 0) return fail_value(value, "blob: not aligned to 64", err);
    }
    return TANDEM_OK;
}

static tandem_status lint_program(const mil_program *program, bool *is_made, bool *is_read,
                                  tandem_error *err) {
    for (int32_t i = 0; i < program->value_count; i++)
        is_made[i] = program->values[i].kind == MIL_KIND_INPUT;
    for (int32_t i = 0; i < program->op_count; i++) {
        const mil_op *op = &program->ops[i];
        lint l = {.program = program, .op = op, .result = &program->values[op->result], .err = err};
        TANDEM_TRY(lint_op(&l, is_made, is_read));
        is_made[op->result] = true;
    }
    if (program->output < 0 || !is_made[program->output] ||
        program->values[program->output].kind != MIL_KIND_RESULT)
        return TANDEM_FAIL(err, UNSUPPORTED, "output: no operation makes it");
    is_read[program->output] = true;
    for (int32_t i = 0; i < program->value_count; i++) {
        if (!is_read[i]) return fail_value(&program->values[i], "use: nothing reads it", err);
    }
    return TANDEM_OK;
}

tandem_status tandem__ane_lint(const mil_program *program, tandem_error *err) {
    TANDEM_TRY(lint_values(program, err));
    TANDEM_TRY(lint_names(program, err));
    bool *flags =
        tandem__arena_array(program->arena, 2 * (size_t)program->value_count, sizeof *flags);
    if (flags == NULL) return TANDEM_FAIL(err, MEMORY, "no memory to judge a program");
    return lint_program(program, flags, flags + program->value_count, err);
}
