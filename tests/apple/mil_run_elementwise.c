/* SPDX-License-Identifier: Apache-2.0 */
/* Operations element by element: of one operand, and of two that are broadcast to one shape. */
#include <math.h>
#include <string.h>

#include "apple/mil_run_internal.h"

static float relu(float x) {
    return x > 0 ? x : 0;
}
static float sigmoid(float x) {
    return 1 / (1 + expf(-x));
}
static float silu(float x) {
    return x / (1 + expf(-x));
}
static float softplus(float x) {
    return x > 20 ? x : log1pf(expf(x));
}
static float square(float x) {
    return x * x;
}
static float gelu_exact(float x) {
    return 0.5F * x * (1 + erff(x * 0.70710678F));
}
static float gelu_tanh(float x) {
    return 0.5F * x * (1 + tanhf(0.79788456F * (x + 0.044715F * x * x * x)));
}
static float gelu_sigmoid(float x) {
    return x * sigmoid(1.702F * x);
}
static float same(float x) {
    return x;
}

static tandem_status infer_unary(const mil_run *run, const mil_run_op *op, mil_run_shape *shapes,
                                 mil_run_type *types, tandem_error *err) {
    const mil_run_value *x = mil_run_argument_of(run, op, "x", 0);
    MIL_RUN_CHECK(x->type == MIL_RUN_F16 || x->type == MIL_RUN_F32, "x is not of floats");
    shapes[0] = x->shape;
    types[0] = x->type;
    return TANDEM_OK;
}

static void map(const mil_run_state *state, const mil_run_op *op, float (*function)(float)) {
    const mil_run_value *x = mil_run_argument_of(state->run, op, "x", 0);
    const float *from = mil_run_floats(state, x);
    float *to = mil_run_result(state, op, 0);
    for (int64_t i = 0; i < x->count; i++) to[i] = function(from[i]);
}

static tandem_status compute_unary(const mil_run_state *state, const mil_run_op *op,
                                   tandem_error *err) {
    (void)err;
    map(state, op, op->rule->unary);
    return TANDEM_OK;
}

/* gelu */

static float (*gelu_of(const mil_run *run, const mil_run_op *op))(float) {
    if (mil_run_argument_count(op, "mode") == 0 || mil_run_text_is(run, op, "mode", "EXACT"))
        return gelu_exact;
    if (mil_run_text_is(run, op, "mode", "TANH_APPROXIMATION")) return gelu_tanh;
    if (mil_run_text_is(run, op, "mode", "SIGMOID_APPROXIMATION")) return gelu_sigmoid;
    return NULL;
}

static tandem_status infer_gelu(const mil_run *run, const mil_run_op *op, mil_run_shape *shapes,
                                mil_run_type *types, tandem_error *err) {
    MIL_RUN_CHECK(gelu_of(run, op) != NULL, "no such mode");
    return infer_unary(run, op, shapes, types, err);
}

static tandem_status compute_gelu(const mil_run_state *state, const mil_run_op *op,
                                  tandem_error *err) {
    (void)err;
    map(state, op, gelu_of(state->run, op));
    return TANDEM_OK;
}

/* cast */

static mil_run_type cast_type(const mil_run *run, const mil_run_op *op) {
    if (mil_run_text_is(run, op, "dtype", "fp16")) return MIL_RUN_F16;
    if (mil_run_text_is(run, op, "dtype", "fp32")) return MIL_RUN_F32;
    if (mil_run_text_is(run, op, "dtype", "int32")) return MIL_RUN_I32;
    return mil_run_text_is(run, op, "dtype", "bool") ? MIL_RUN_BOOL : MIL_RUN_NONE;
}

static tandem_status infer_cast(const mil_run *run, const mil_run_op *op, mil_run_shape *shapes,
                                mil_run_type *types, tandem_error *err) {
    types[0] = cast_type(run, op);
    MIL_RUN_CHECK(types[0] != MIL_RUN_NONE, "no such dtype");
    shapes[0] = mil_run_argument_of(run, op, "x", 0)->shape;
    return TANDEM_OK;
}

static float is_not_zero(float x) {
    return x != 0 ? 1 : 0;
}

static tandem_status compute_cast(const mil_run_state *state, const mil_run_op *op,
                                  tandem_error *err) {
    (void)err;
    const mil_run_type type = cast_type(state->run, op);
    map(state, op, type == MIL_RUN_I32 ? truncf : type == MIL_RUN_BOOL ? is_not_zero : same);
    return TANDEM_OK;
}

/* Two operands. */

/* Elements between neighbours along each axis of the result, in an operand of fewer or of broadcast
 * axes: 0 there. */
static void strides_in(const mil_run_shape *shape, int64_t strides[MIL_RUN_RANK_MAX]) {
    int64_t stride = 1;
    memset(strides, 0, sizeof(int64_t[MIL_RUN_RANK_MAX]));
    for (int i = shape->rank - 1; i >= 0; i--) {
        if (shape->dim[i] > 1) strides[i + MIL_RUN_RANK_MAX - shape->rank] = stride;
        stride *= shape->dim[i];
    }
}

static tandem_status infer_binary(const mil_run *run, const mil_run_op *op, mil_run_shape *shapes,
                                  mil_run_type *types, tandem_error *err) {
    const mil_run_value *x = mil_run_argument_of(run, op, "x", 0);
    const mil_run_value *y = mil_run_argument_of(run, op, "y", 0);
    MIL_RUN_CHECK(x->type == y->type, "x has type %d, y %d", x->type, y->type);
    MIL_RUN_CHECK(x->type == MIL_RUN_F16 || x->type == MIL_RUN_F32 || x->type == MIL_RUN_I32,
                  "x is not of numbers");
    const mil_run_shape *wide = x->shape.rank >= y->shape.rank ? &x->shape : &y->shape;
    const mil_run_shape *thin = wide == &x->shape ? &y->shape : &x->shape;
    shapes[0] = *wide;
    for (int i = 0; i < thin->rank; i++) {
        int64_t *dim = &shapes[0].dim[wide->rank - thin->rank + i];
        MIL_RUN_CHECK(*dim == thin->dim[i] || *dim == 1 || thin->dim[i] == 1, "x %s, y %s",
                      mil_run_shape_text(&x->shape).text, mil_run_shape_text(&y->shape).text);
        if (*dim == 1) *dim = thin->dim[i];
    }
    types[0] = x->type;
    return TANDEM_OK;
}

static tandem_status compute_binary(const mil_run_state *state, const mil_run_op *op,
                                    tandem_error *err) {
    (void)err;
    const mil_run_value *x = mil_run_argument_of(state->run, op, "x", 0);
    const mil_run_value *y = mil_run_argument_of(state->run, op, "y", 0);
    const mil_run_shape *shape = &state->run->values[op->results[0]].shape;
    const float *a = mil_run_floats(state, x);
    const float *b = mil_run_floats(state, y);
    float *out = mil_run_result(state, op, 0);
    int64_t in_x[MIL_RUN_RANK_MAX];
    int64_t in_y[MIL_RUN_RANK_MAX];
    int64_t dim[MIL_RUN_RANK_MAX] = {1, 1, 1, 1, 1};
    strides_in(&x->shape, in_x);
    strides_in(&y->shape, in_y);
    for (int i = 0; i < shape->rank; i++) dim[MIL_RUN_RANK_MAX - shape->rank + i] = shape->dim[i];
    for (int64_t i = 0; i < dim[0]; i++)
        for (int64_t j = 0; j < dim[1]; j++)
            for (int64_t k = 0; k < dim[2]; k++)
                for (int64_t l = 0; l < dim[3]; l++) {
                    const float *p = a + i * in_x[0] + j * in_x[1] + k * in_x[2] + l * in_x[3];
                    const float *q = b + i * in_y[0] + j * in_y[1] + k * in_y[2] + l * in_y[3];
                    for (int64_t m = 0; m < dim[4]; m++)
                        *out++ = op->rule->binary(p[m * in_x[4]], q[m * in_y[4]]);
                }
    return TANDEM_OK;
}

static float add(float x, float y) {
    return x + y;
}
static float sub(float x, float y) {
    return x - y;
}
static float mul(float x, float y) {
    return x * y;
}
static float real_div(float x, float y) {
    return x / y;
}

#define UNARY(name, function)                                                                      \
    {                                                                                              \
        .type = name, .parameters = "x", .infer = infer_unary, .compute = compute_unary,           \
        .unary = function                                                                          \
    }
#define BINARY(name, function)                                                                     \
    {                                                                                              \
        .type = name, .parameters = "x y", .infer = infer_binary, .compute = compute_binary,       \
        .binary = function                                                                         \
    }

const mil_run_rule mil_run_elementwise_rules[] = {
    UNARY("relu", relu),
    UNARY("silu", silu),
    UNARY("sigmoid", sigmoid),
    UNARY("softplus", softplus),
    UNARY("tanh", tanhf),
    UNARY("erf", erff),
    UNARY("exp", expf),
    UNARY("sqrt", sqrtf),
    UNARY("square", square),
    UNARY("abs", fabsf),
    UNARY("identity", same),
    BINARY("add", add),
    BINARY("sub", sub),
    BINARY("mul", mul),
    BINARY("real_div", real_div),
    BINARY("maximum", fmaxf),
    BINARY("minimum", fminf),
    {.type = "gelu", .parameters = "x mode!?", .infer = infer_gelu, .compute = compute_gelu},
    {.type = "cast", .parameters = "x dtype!", .infer = infer_cast, .compute = compute_cast},
    {0},
};
