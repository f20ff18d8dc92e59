/* SPDX-License-Identifier: Apache-2.0 */
/* Operations that move numbers and do not change them. All but concat and reshape read by strides:
 * a result's element at (i, j, ...) is the source's at begin + i * step[0] + j * step[1] + ... */
#include <string.h>

#include "apple/mil_run_internal.h"

typedef struct window {
    int64_t begin;                   /* elements */
    int64_t steps[MIL_RUN_RANK_MAX]; /* elements, by axis of the result */
} window;

static void copy_window(const window *from, const float *x, const mil_run_shape *shape,
                        float *out) {
    int64_t dim[MIL_RUN_RANK_MAX] = {1, 1, 1, 1, 1};
    int64_t step[MIL_RUN_RANK_MAX] = {0};
    const int lead = MIL_RUN_RANK_MAX - shape->rank;
    for (int i = 0; i < shape->rank; i++) {
        dim[lead + i] = shape->dim[i];
        step[lead + i] = from->steps[i];
    }
    for (int64_t i = 0; i < dim[0]; i++)
        for (int64_t j = 0; j < dim[1]; j++)
            for (int64_t k = 0; k < dim[2]; k++)
                for (int64_t l = 0; l < dim[3]; l++) {
                    const float *row =
                        x + from->begin + i * step[0] + j * step[1] + k * step[2] + l * step[3];
                    for (int64_t m = 0; m < dim[4]; m++) *out++ = row[m * step[4]];
                }
}

/* Elements between neighbours along each axis. */
static void strides_of(const mil_run_shape *shape, int64_t strides[MIL_RUN_RANK_MAX]) {
    int64_t stride = 1;
    for (int i = shape->rank - 1; i >= 0; i--) {
        strides[i] = stride;
        stride *= shape->dim[i];
    }
}

/* slice_by_index, slice_by_size: begin, end and step of each axis of x. */

typedef struct slice {
    int64_t begin[MIL_RUN_RANK_MAX];
    int64_t end[MIL_RUN_RANK_MAX];
    int64_t step[MIL_RUN_RANK_MAX];
    bool is_squeezed[MIL_RUN_RANK_MAX];
} slice;

static tandem_status slice_by_index(const mil_run *run, const mil_run_op *op, slice *s,
                                    tandem_error *err) {
    const mil_run_shape *x = &mil_run_argument_of(run, op, "x", 0)->shape;
    int64_t begin_mask[MIL_RUN_RANK_MAX] = {0};
    int64_t end_mask[MIL_RUN_RANK_MAX] = {0};
    int64_t squeeze_mask[MIL_RUN_RANK_MAX] = {0};
    for (int i = 0; i < MIL_RUN_RANK_MAX; i++) s->step[i] = 1;
    const struct {
        const char *name;
        int64_t *numbers;
        bool is_needed;
    } lists[] = {{"begin", s->begin, true},     {"end", s->end, true},
                 {"stride", s->step, false},    {"begin_mask", begin_mask, false},
                 {"end_mask", end_mask, false}, {"squeeze_mask", squeeze_mask, false}};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        const int count =
            mil_run_numbers(run, op, lists[i].name, MIL_RUN_RANK_MAX, lists[i].numbers);
        MIL_RUN_CHECK(count == x->rank || (count == 0 && !lists[i].is_needed),
                      "%s has %d numbers for x %s", lists[i].name, count,
                      mil_run_shape_text(x).text);
    }
    for (int i = 0; i < x->rank; i++) {
        MIL_RUN_CHECK(s->step[i] >= 1, "a stride below 1 is not known here");
        if (s->begin[i] < 0) s->begin[i] += x->dim[i];
        if (s->end[i] < 0) s->end[i] += x->dim[i];
        if (begin_mask[i] != 0) s->begin[i] = 0;
        if (end_mask[i] != 0) s->end[i] = x->dim[i];
        s->is_squeezed[i] = squeeze_mask[i] != 0;
        if (s->is_squeezed[i]) s->end[i] = s->begin[i] + 1;
    }
    return TANDEM_OK;
}

static tandem_status slice_by_size(const mil_run *run, const mil_run_op *op, slice *s,
                                   tandem_error *err) {
    const mil_run_shape *x = &mil_run_argument_of(run, op, "x", 0)->shape;
    int64_t size[MIL_RUN_RANK_MAX];
    MIL_RUN_CHECK(mil_run_numbers(run, op, "begin", MIL_RUN_RANK_MAX, s->begin) == x->rank &&
                      mil_run_numbers(run, op, "size", MIL_RUN_RANK_MAX, size) == x->rank,
                  "begin and size must have a number for each axis of x %s",
                  mil_run_shape_text(x).text);
    for (int i = 0; i < x->rank; i++) {
        s->end[i] = size[i] == -1 ? x->dim[i] : s->begin[i] + size[i];
        s->step[i] = 1;
    }
    return TANDEM_OK;
}

static tandem_status slice_of(const mil_run *run, const mil_run_op *op, slice *s,
                              tandem_error *err) {
    const mil_run_shape *x = &mil_run_argument_of(run, op, "x", 0)->shape;
    *s = (slice){0};
    if (strcmp(op->rule->type, "slice_by_index") == 0)
        TANDEM_TRY(slice_by_index(run, op, s, err));
    else
        TANDEM_TRY(slice_by_size(run, op, s, err));
    for (int i = 0; i < x->rank; i++)
        MIL_RUN_CHECK(s->begin[i] >= 0 && s->begin[i] < s->end[i] && s->end[i] <= x->dim[i],
                      "axis %d: %lld to %lld of x %s", i, (long long)s->begin[i],
                      (long long)s->end[i], mil_run_shape_text(x).text);
    return TANDEM_OK;
}

static tandem_status infer_slice(const mil_run *run, const mil_run_op *op, mil_run_shape *shapes,
                                 mil_run_type *types, tandem_error *err) {
    const mil_run_value *x = mil_run_argument_of(run, op, "x", 0);
    slice s;
    TANDEM_TRY(slice_of(run, op, &s, err));
    for (int i = 0; i < x->shape.rank; i++)
        if (!s.is_squeezed[i])
            shapes[0].dim[shapes[0].rank++] = (s.end[i] - s.begin[i] + s.step[i] - 1) / s.step[i];
    types[0] = x->type;
    return TANDEM_OK;
}

static tandem_status compute_slice(const mil_run_state *state, const mil_run_op *op,
                                   tandem_error *err) {
    const mil_run_value *x = mil_run_argument_of(state->run, op, "x", 0);
    slice s;
    window from = {0};
    int64_t strides[MIL_RUN_RANK_MAX];
    TANDEM_TRY(slice_of(state->run, op, &s, err));
    strides_of(&x->shape, strides);
    for (int i = 0, axis = 0; i < x->shape.rank; i++) {
        from.begin += s.begin[i] * strides[i];
        if (!s.is_squeezed[i]) from.steps[axis++] = s.step[i] * strides[i];
    }
    copy_window(&from, mil_run_floats(state, x), &state->run->values[op->results[0]].shape,
                mil_run_result(state, op, 0));
    return TANDEM_OK;
}

/* split: `num_splits` equal parts, or `split_sizes`. */

static tandem_status split_of(const mil_run *run, const mil_run_op *op, mil_run_axis *axis,
                              int64_t sizes[MIL_RUN_RESULTS_MAX], tandem_error *err) {
    const mil_run_shape *x = &mil_run_argument_of(run, op, "x", 0)->shape;
    const double index = mil_run_number(run, op, "axis", 0);
    MIL_RUN_CHECK(mil_run_axis_of(x, (int64_t)index, axis), "axis %g of x %s", index,
                  mil_run_shape_text(x).text);
    int count = mil_run_numbers(run, op, "split_sizes", MIL_RUN_RESULTS_MAX, sizes);
    if (count == 0) {
        count = (int)mil_run_number(run, op, "num_splits", 0);
        MIL_RUN_CHECK(count >= 1 && count <= MIL_RUN_RESULTS_MAX && axis->length % count == 0,
                      "%d parts of x %s", count, mil_run_shape_text(x).text);
        for (int i = 0; i < count; i++) sizes[i] = axis->length / count;
    }
    int64_t sum = 0;
    for (int i = 0; i < count; i++) sum += sizes[i];
    MIL_RUN_CHECK(count == op->result_count && sum == axis->length,
                  "%d parts of together %lld for %d results of x %s", count, (long long)sum,
                  op->result_count, mil_run_shape_text(x).text);
    return TANDEM_OK;
}

static tandem_status infer_split(const mil_run *run, const mil_run_op *op, mil_run_shape *shapes,
                                 mil_run_type *types, tandem_error *err) {
    const mil_run_value *x = mil_run_argument_of(run, op, "x", 0);
    mil_run_axis axis;
    int64_t sizes[MIL_RUN_RESULTS_MAX];
    TANDEM_TRY(split_of(run, op, &axis, sizes, err));
    for (int i = 0; i < op->result_count; i++) {
        shapes[i] = x->shape;
        shapes[i].dim[axis.index] = sizes[i];
        types[i] = x->type;
    }
    return TANDEM_OK;
}

static tandem_status compute_split(const mil_run_state *state, const mil_run_op *op,
                                   tandem_error *err) {
    const float *x = mil_run_floats(state, mil_run_argument_of(state->run, op, "x", 0));
    mil_run_axis axis;
    int64_t sizes[MIL_RUN_RESULTS_MAX];
    TANDEM_TRY(split_of(state->run, op, &axis, sizes, err));
    int64_t begin = 0;
    for (int i = 0; i < op->result_count; begin += sizes[i++]) {
        float *out = mil_run_result(state, op, i);
        const int64_t run = sizes[i] * axis.inner;
        for (int64_t o = 0; o < axis.outer; o++)
            memcpy(out + o * run, x + (o * axis.length + begin) * axis.inner,
                   (size_t)run * sizeof *out);
    }
    return TANDEM_OK;
}

/* transpose */

static tandem_status infer_transpose(const mil_run *run, const mil_run_op *op,
                                     mil_run_shape *shapes, mil_run_type *types,
                                     tandem_error *err) {
    const mil_run_value *x = mil_run_argument_of(run, op, "x", 0);
    int64_t perm[MIL_RUN_RANK_MAX];
    unsigned seen = 0;
    MIL_RUN_CHECK(mil_run_numbers(run, op, "perm", MIL_RUN_RANK_MAX, perm) == x->shape.rank,
                  "perm must have a number for each axis of x %s",
                  mil_run_shape_text(&x->shape).text);
    shapes[0].rank = x->shape.rank;
    for (int i = 0; i < x->shape.rank; i++) {
        mil_run_axis axis;
        MIL_RUN_CHECK(mil_run_axis_of(&x->shape, perm[i], &axis) && (seen & 1u << axis.index) == 0,
                      "perm names an axis that x has not, or twice");
        seen |= 1u << axis.index;
        shapes[0].dim[i] = axis.length;
    }
    types[0] = x->type;
    return TANDEM_OK;
}

static tandem_status compute_transpose(const mil_run_state *state, const mil_run_op *op,
                                       tandem_error *err) {
    (void)err;
    const mil_run_value *x = mil_run_argument_of(state->run, op, "x", 0);
    window from = {0};
    int64_t perm[MIL_RUN_RANK_MAX];
    (void)mil_run_numbers(state->run, op, "perm", MIL_RUN_RANK_MAX, perm);
    for (int i = 0; i < x->shape.rank; i++) {
        mil_run_axis axis;
        (void)mil_run_axis_of(&x->shape, perm[i], &axis);
        from.steps[i] = axis.inner;
    }
    copy_window(&from, mil_run_floats(state, x), &state->run->values[op->results[0]].shape,
                mil_run_result(state, op, 0));
    return TANDEM_OK;
}

/* reshape, expand_dims, squeeze: the same numbers under another shape. */

static tandem_status infer_reshape(const mil_run *run, const mil_run_op *op, mil_run_shape *shapes,
                                   mil_run_type *types, tandem_error *err) {
    const mil_run_value *x = mil_run_argument_of(run, op, "x", 0);
    mil_run_shape *shape = &shapes[0];
    shape->rank = mil_run_numbers(run, op, "shape", MIL_RUN_RANK_MAX, shape->dim);
    MIL_RUN_CHECK(shape->rank > 0, "shape must have 1 to %d numbers", MIL_RUN_RANK_MAX);
    int64_t known = 1;
    int unknown = -1;
    for (int i = 0; i < shape->rank; i++) {
        MIL_RUN_CHECK(shape->dim[i] >= 1 || (shape->dim[i] == -1 && unknown < 0),
                      "shape %s of x %s", mil_run_shape_text(shape).text,
                      mil_run_shape_text(&x->shape).text);
        if (shape->dim[i] == -1)
            unknown = i;
        else
            known *= shape->dim[i];
    }
    if (unknown >= 0) shape->dim[unknown] = x->count / known;
    MIL_RUN_CHECK(mil_run_shape_count(shape) == x->count, "shape %s of x %s",
                  mil_run_shape_text(shape).text, mil_run_shape_text(&x->shape).text);
    types[0] = x->type;
    return TANDEM_OK;
}

static tandem_status infer_expand_dims(const mil_run *run, const mil_run_op *op,
                                       mil_run_shape *shapes, mil_run_type *types,
                                       tandem_error *err) {
    const mil_run_value *x = mil_run_argument_of(run, op, "x", 0);
    int64_t axes[MIL_RUN_RANK_MAX];
    const int count = mil_run_numbers(run, op, "axes", MIL_RUN_RANK_MAX, axes);
    const int rank = x->shape.rank + count;
    bool is_new[MIL_RUN_RANK_MAX] = {false};
    MIL_RUN_CHECK(count >= 1 && rank <= MIL_RUN_RANK_MAX, "%d axes for x %s", count,
                  mil_run_shape_text(&x->shape).text);
    for (int i = 0; i < count; i++) {
        const int64_t axis = axes[i] < 0 ? axes[i] + rank : axes[i];
        MIL_RUN_CHECK(axis >= 0 && axis < rank && !is_new[axis], "axis %lld of rank %d",
                      (long long)axes[i], rank);
        is_new[axis] = true;
    }
    shapes[0].rank = rank;
    for (int i = 0, from = 0; i < rank; i++)
        shapes[0].dim[i] = is_new[i] ? 1 : x->shape.dim[from++];
    types[0] = x->type;
    return TANDEM_OK;
}

static tandem_status infer_squeeze(const mil_run *run, const mil_run_op *op, mil_run_shape *shapes,
                                   mil_run_type *types, tandem_error *err) {
    const mil_run_value *x = mil_run_argument_of(run, op, "x", 0);
    int64_t axes[MIL_RUN_RANK_MAX];
    const int count = mil_run_numbers(run, op, "axes", MIL_RUN_RANK_MAX, axes);
    bool is_gone[MIL_RUN_RANK_MAX] = {false};
    MIL_RUN_CHECK(count >= 1, "axes must be given");
    for (int i = 0; i < count; i++) {
        mil_run_axis axis;
        MIL_RUN_CHECK(mil_run_axis_of(&x->shape, axes[i], &axis) && axis.length == 1,
                      "axis %lld of x %s", (long long)axes[i], mil_run_shape_text(&x->shape).text);
        is_gone[axis.index] = true;
    }
    for (int i = 0; i < x->shape.rank; i++)
        if (!is_gone[i]) shapes[0].dim[shapes[0].rank++] = x->shape.dim[i];
    types[0] = x->type;
    return TANDEM_OK;
}

static tandem_status compute_same(const mil_run_state *state, const mil_run_op *op,
                                  tandem_error *err) {
    (void)err;
    const mil_run_value *x = mil_run_argument_of(state->run, op, "x", 0);
    memcpy(mil_run_result(state, op, 0), mil_run_floats(state, x),
           (size_t)x->count * sizeof(float));
    return TANDEM_OK;
}

/* concat */

static tandem_status infer_concat(const mil_run *run, const mil_run_op *op, mil_run_shape *shapes,
                                  mil_run_type *types, tandem_error *err) {
    const mil_run_value *first = mil_run_argument_of(run, op, "values", 0);
    mil_run_axis axis;
    MIL_RUN_CHECK(mil_run_number(run, op, "interleave", 0) == 0, "interleave is not known here");
    const int64_t index = (int64_t)mil_run_number(run, op, "axis", 0);
    MIL_RUN_CHECK(mil_run_axis_of(&first->shape, index, &axis), "axis %lld of values %s",
                  (long long)index, mil_run_shape_text(&first->shape).text);
    shapes[0] = first->shape;
    shapes[0].dim[axis.index] = 0;
    for (int i = 0; i < mil_run_argument_count(op, "values"); i++) {
        const mil_run_value *value = mil_run_argument_of(run, op, "values", i);
        mil_run_shape other = value->shape;
        other.dim[axis.index] = axis.length;
        MIL_RUN_CHECK(value->type == first->type && mil_run_shape_equal(&other, &first->shape),
                      "values %s and %s", mil_run_shape_text(&first->shape).text,
                      mil_run_shape_text(&value->shape).text);
        shapes[0].dim[axis.index] += value->shape.dim[axis.index];
    }
    types[0] = first->type;
    return TANDEM_OK;
}

static tandem_status compute_concat(const mil_run_state *state, const mil_run_op *op,
                                    tandem_error *err) {
    (void)err;
    const mil_run_shape *shape = &state->run->values[op->results[0]].shape;
    float *out = mil_run_result(state, op, 0);
    mil_run_axis whole;
    (void)mil_run_axis_of(shape, (int64_t)mil_run_number(state->run, op, "axis", 0), &whole);
    for (int64_t o = 0; o < whole.outer; o++)
        for (int i = 0; i < mil_run_argument_count(op, "values"); i++) {
            const mil_run_value *value = mil_run_argument_of(state->run, op, "values", i);
            const int64_t run = value->shape.dim[whole.index] * whole.inner;
            memcpy(out, mil_run_floats(state, value) + o * run, (size_t)run * sizeof *out);
            out += run;
        }
    return TANDEM_OK;
}

const mil_run_rule mil_run_layout_rules[] = {
    {.type = "slice_by_index",
     .parameters = "x begin! end! stride!? begin_mask!? end_mask!? squeeze_mask!?",
     .infer = infer_slice,
     .compute = compute_slice},
    {.type = "slice_by_size",
     .parameters = "x begin! size!",
     .infer = infer_slice,
     .compute = compute_slice},
    {.type = "split",
     .parameters = "x axis! num_splits!? split_sizes!?",
     .infer = infer_split,
     .compute = compute_split},
    {.type = "transpose",
     .parameters = "x perm!",
     .infer = infer_transpose,
     .compute = compute_transpose},
    {.type = "reshape", .parameters = "x shape!", .infer = infer_reshape, .compute = compute_same},
    {.type = "expand_dims",
     .parameters = "x axes!",
     .infer = infer_expand_dims,
     .compute = compute_same},
    {.type = "squeeze", .parameters = "x axes!", .infer = infer_squeeze, .compute = compute_same},
    {.type = "concat",
     .parameters = "values* axis! interleave!?",
     .infer = infer_concat,
     .compute = compute_concat},
    {0},
};
