/* SPDX-License-Identifier: Apache-2.0 */
/* Operations along an axis: softmax, layer_norm, and the reductions. The loops go over the elements
 * behind the axis in the inner turn, because the axis of these programs is the channels. */
#include <math.h>
#include <string.h>

#include "apple/mil_run_internal.h"

static tandem_status infer_same(const mil_run *run, const mil_run_op *op, mil_run_shape *shapes,
                                mil_run_type *types, tandem_error *err) {
    const mil_run_value *x = mil_run_argument_of(run, op, "x", 0);
    MIL_RUN_CHECK(x->type == MIL_RUN_F16 || x->type == MIL_RUN_F32, "x is not of floats");
    shapes[0] = x->shape;
    types[0] = x->type;
    return TANDEM_OK;
}

static tandem_status infer_softmax(const mil_run *run, const mil_run_op *op, mil_run_shape *shapes,
                                   mil_run_type *types, tandem_error *err) {
    mil_run_axis axis;
    TANDEM_TRY(infer_same(run, op, shapes, types, err));
    MIL_RUN_CHECK(mil_run_axis_of(&shapes[0], (int64_t)mil_run_number(run, op, "axis", -1), &axis),
                  "axis %g of x %s", mil_run_number(run, op, "axis", -1),
                  mil_run_shape_text(&shapes[0]).text);
    return TANDEM_OK;
}

/* One row of `n` numbers, `stride` apart. */
static void softmax_row(const float *x, float *out, int64_t n, int64_t stride) {
    float largest = -INFINITY;
    float sum = 0;
    for (int64_t i = 0; i < n; i++) largest = fmaxf(largest, x[i * stride]);
    for (int64_t i = 0; i < n; i++) {
        out[i * stride] = expf(x[i * stride] - largest);
        sum += out[i * stride];
    }
    for (int64_t i = 0; i < n; i++) out[i * stride] /= sum;
}

static tandem_status compute_softmax(const mil_run_state *state, const mil_run_op *op,
                                     tandem_error *err) {
    (void)err;
    const mil_run_value *x = mil_run_argument_of(state->run, op, "x", 0);
    const float *from = mil_run_floats(state, x);
    float *to = mil_run_result(state, op, 0);
    mil_run_axis axis;
    (void)mil_run_axis_of(&x->shape, (int64_t)mil_run_number(state->run, op, "axis", -1), &axis);
    for (int64_t o = 0; o < axis.outer; o++)
        for (int64_t i = 0; i < axis.inner; i++) {
            const int64_t at = o * axis.length * axis.inner + i;
            softmax_row(from + at, to + at, axis.length, axis.inner);
        }
    return TANDEM_OK;
}

/* layer_norm over axes that lie side by side: they are one axis. */
static bool norm_axis(const mil_run *run, const mil_run_op *op, mil_run_axis *axis,
                      mil_run_shape *normed) {
    const mil_run_shape *shape = &mil_run_argument_of(run, op, "x", 0)->shape;
    int64_t axes[MIL_RUN_RANK_MAX];
    const int count = mil_run_numbers(run, op, "axes", MIL_RUN_RANK_MAX, axes);
    *normed = (mil_run_shape){0};
    if (count <= 0) return false;
    for (int i = 0; i < count; i++) {
        mil_run_axis next;
        if (!mil_run_axis_of(shape, axes[i], &next)) return false;
        normed->dim[normed->rank++] = next.length;
        if (i == 0) {
            *axis = next;
        } else {
            if (next.index != axis->index + i) return false;
            axis->length *= next.length;
            axis->inner = next.inner;
        }
    }
    return true;
}

static tandem_status infer_layer_norm(const mil_run *run, const mil_run_op *op,
                                      mil_run_shape *shapes, mil_run_type *types,
                                      tandem_error *err) {
    static const char *const names[] = {"gamma", "beta"};
    mil_run_axis axis;
    mil_run_shape normed;
    TANDEM_TRY(infer_same(run, op, shapes, types, err));
    MIL_RUN_CHECK(norm_axis(run, op, &axis, &normed),
                  "axes must be given, of x, and side by side: x %s",
                  mil_run_shape_text(&shapes[0]).text);
    for (int i = 0; i < 2; i++) {
        const mil_run_value *value = mil_run_argument_of(run, op, names[i], 0);
        if (value == NULL) continue;
        MIL_RUN_CHECK(value->type == types[0] && mil_run_shape_equal(&value->shape, &normed),
                      "%s %s, expected %s", names[i], mil_run_shape_text(&value->shape).text,
                      mil_run_shape_text(&normed).text);
    }
    const mil_run_value *epsilon = mil_run_argument_of(run, op, "epsilon", 0);
    if (epsilon != NULL)
        MIL_RUN_CHECK(epsilon->type == types[0] && epsilon->shape.rank == 0 &&
                          epsilon->numbers[0] > 0,
                      "epsilon must be a number of x's type, above 0");
    return TANDEM_OK;
}

typedef struct norm_row {
    const float *gamma; /* NULL: ones */
    const float *beta;
    float epsilon;
} norm_row;

static void layer_norm_row(const norm_row *norm, const float *x, float *out,
                           const mil_run_axis *axis) {
    const int64_t n = axis->length;
    double mean = 0;
    double variance = 0;
    for (int64_t i = 0; i < n; i++) mean += (double)x[i * axis->inner];
    mean /= (double)n;
    for (int64_t i = 0; i < n; i++) {
        const double off = (double)x[i * axis->inner] - mean;
        variance += off * off;
    }
    const double scale = 1 / sqrt(variance / (double)n + (double)norm->epsilon);
    for (int64_t i = 0; i < n; i++) {
        const double y = ((double)x[i * axis->inner] - mean) * scale;
        out[i * axis->inner] = (float)y * (norm->gamma == NULL ? 1 : norm->gamma[i]) +
                               (norm->beta == NULL ? 0 : norm->beta[i]);
    }
}

static tandem_status compute_layer_norm(const mil_run_state *state, const mil_run_op *op,
                                        tandem_error *err) {
    (void)err;
    const mil_run_value *gamma = mil_run_argument_of(state->run, op, "gamma", 0);
    const mil_run_value *beta = mil_run_argument_of(state->run, op, "beta", 0);
    const float *x = mil_run_floats(state, mil_run_argument_of(state->run, op, "x", 0));
    float *out = mil_run_result(state, op, 0);
    const norm_row norm = {
        .gamma = gamma == NULL ? NULL : mil_run_floats(state, gamma),
        .beta = beta == NULL ? NULL : mil_run_floats(state, beta),
        .epsilon = (float)mil_run_number(state->run, op, "epsilon", 1e-5),
    };
    mil_run_axis axis;
    mil_run_shape normed;
    (void)norm_axis(state->run, op, &axis, &normed);
    for (int64_t o = 0; o < axis.outer; o++)
        for (int64_t i = 0; i < axis.inner; i++) {
            const int64_t at = o * axis.length * axis.inner + i;
            layer_norm_row(&norm, x + at, out + at, &axis);
        }
    return TANDEM_OK;
}

/* reduce_sum, reduce_mean, reduce_max over one axis. */

static tandem_status infer_reduce(const mil_run *run, const mil_run_op *op, mil_run_shape *shapes,
                                  mil_run_type *types, tandem_error *err) {
    int64_t axes[1];
    mil_run_axis axis;
    TANDEM_TRY(infer_same(run, op, shapes, types, err));
    MIL_RUN_CHECK(mil_run_numbers(run, op, "axes", 1, axes) == 1 &&
                      mil_run_axis_of(&shapes[0], axes[0], &axis),
                  "one axis of x %s is all that is known here",
                  mil_run_shape_text(&shapes[0]).text);
    shapes[0].dim[axis.index] = 1;
    if (mil_run_number(run, op, "keep_dims", 0) != 0) return TANDEM_OK;
    for (int i = axis.index; i + 1 < shapes[0].rank; i++) shapes[0].dim[i] = shapes[0].dim[i + 1];
    shapes[0].dim[--shapes[0].rank] = 0;
    return TANDEM_OK;
}

static tandem_status compute_reduce(const mil_run_state *state, const mil_run_op *op,
                                    tandem_error *err) {
    (void)err;
    const mil_run_value *x = mil_run_argument_of(state->run, op, "x", 0);
    const float *from = mil_run_floats(state, x);
    float *to = mil_run_result(state, op, 0);
    int64_t axes[1];
    mil_run_axis axis;
    (void)mil_run_numbers(state->run, op, "axes", 1, axes);
    (void)mil_run_axis_of(&x->shape, axes[0], &axis);
    for (int64_t o = 0; o < axis.outer; o++)
        for (int64_t i = 0; i < axis.inner; i++) {
            const float *row = from + o * axis.length * axis.inner + i;
            float sum = row[0];
            for (int64_t j = 1; j < axis.length; j++)
                sum = op->rule->binary(sum, row[j * axis.inner]);
            if (strcmp(op->rule->type, "reduce_mean") == 0) sum /= (float)axis.length;
            to[o * axis.inner + i] = sum;
        }
    return TANDEM_OK;
}

static float plus(float x, float y) {
    return x + y;
}

#define REDUCE(name, function)                                                                     \
    {                                                                                              \
        .type = name, .parameters = "x axes! keep_dims!?", .infer = infer_reduce,                  \
        .compute = compute_reduce, .binary = function                                              \
    }

const mil_run_rule mil_run_norm_rules[] = {
    {.type = "softmax",
     .parameters = "x axis!?",
     .infer = infer_softmax,
     .compute = compute_softmax},
    {.type = "layer_norm",
     .parameters = "x axes! gamma!? beta!? epsilon!?",
     .infer = infer_layer_norm,
     .compute = compute_layer_norm},
    REDUCE("reduce_sum", plus),
    REDUCE("reduce_mean", plus),
    REDUCE("reduce_max", fmaxf),
    {0},
};
