/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/coreml/ane_sources.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/assert.h"
#include "base/dtype.h"
#include "base/fail.h"
#include "kernels/kernels.h"

/* A source knows the model whose tensors it reads. */
typedef struct ane_blob_source {
    ane_source source;
    const ane_model *model;
} ane_blob_source;

/* The view's row that becomes row `index` of the blob. */
static int64_t row_of(const ane_blob_source *from, int64_t index) {
    const tandem_plan *plan = from->model->plan;
    const int64_t row = from->source.first_row + index;
    if (!from->source.is_halved) return row;
    const int64_t half = plan->head_dim / 2;
    const int64_t all = half * plan->heads;
    const int64_t pair = row % all;
    return pair / half * 2 * half + pair % half + (row < all ? 0 : half);
}

static bool halves_are_finite(const uint16_t *values, size_t count) {
    uint16_t largest = 0;
    for (size_t i = 0; i < count; i++) {
        const uint16_t exponent = values[i] & 0x7c00u;
        largest = exponent > largest ? exponent : largest;
    }
    return largest != 0x7c00u;
}

enum { CHUNK = 512 };

/* `count` elements of a view's row to f16, times the scale. */
static void convert(const ane_source *source, const char *bytes, size_t count, uint16_t *out) {
    const tandem_kernels *kernels = tandem_kernels_get();
    const size_t size = tandem__dtype_bytes(source->view.dtype);
    float values[CHUNK];
    for (size_t at = 0; at < count; at += CHUNK) {
        const size_t part = count - at < CHUNK ? count - at : CHUNK;
        tandem_convert_to_f32(&kernels->convert, values, bytes + at * size, source->view.dtype,
                              part);
        for (size_t i = 0; i < part && source->scale != 1.0f; i++) values[i] *= source->scale;
        kernels->convert.f32_f16(out + at, values, part);
    }
}

static tandem_status fill_tensor(const ane_blob_source *from, int64_t index, uint16_t *out,
                                 tandem_error *err) {
    const ane_source *source = &from->source;
    const tandem_view *view = &source->view;
    const int64_t row = row_of(from, index);
    const int64_t inside = view->cols - source->first_col;
    const size_t count = (size_t)(inside < source->cols ? inside : source->cols);
    memset(out, 0, (size_t)source->cols * sizeof *out);
    if (row >= view->rows) return TANDEM_OK;
    const size_t first = (size_t)(row * view->cols + source->first_col);
    const char *bytes = (const char *)view->data + first * tandem__dtype_bytes(view->dtype);
    convert(source, bytes, count, out);
    if (halves_are_finite(out, count)) return TANDEM_OK;
    char slot[64];
    (void)snprintf(slot, sizeof slot, "%s%s", source->slot, source->part);
    const tandem_weight_part part = {.layer = source->layer,
                                     .slot = slot,
                                     .data = bytes,
                                     .dtype = view->dtype,
                                     .first = first,
                                     .count = count};
    return tandem__fail_weight(from->model->plan, &part, true, err);
}

/* Row i of cosines or sines is that of channel i of the heads' halves, a column a position; as
 * transformers does, pair i of a head turns by position * theta^(-2i/D). */
static void fill_angles(const ane_blob_source *from, int64_t index, uint16_t *out) {
    const ane_source *source = &from->source;
    const int dim = from->model->plan->head_dim;
    const double turn = pow((double)source->rope_theta, -2.0 * (double)(index % (dim / 2)) / dim) *
                        (double)source->rope_scale;
    for (int position = 0; position < source->cols; position++) {
        const double angle = position * turn;
        const double value = source->kind == ANE_SOURCE_COSINES ? cos(angle) : sin(angle);
        out[position] = tandem_convert_value_f16((float)value);
    }
}

static void fill_scores(const ane_blob_source *from, int64_t key, uint16_t *out) {
    const ane_source *source = &from->source;
    for (int query = 0; query < source->cols; query++) {
        const int64_t at = key - query + source->cols - 1;
        out[query] = tandem_convert_value_f16(source->by_distance[at]);
    }
}

static tandem_status fill(const void *opaque, size_t row, uint16_t *out, tandem_error *err) {
    const ane_blob_source *from = opaque;
    switch (from->source.kind) {
    case ANE_SOURCE_TENSOR:
        return fill_tensor(from, (int64_t)row, out, err);
    case ANE_SOURCE_COSINES:
    case ANE_SOURCE_SINES:
        fill_angles(from, (int64_t)row, out);
        return TANDEM_OK;
    case ANE_SOURCE_SCORES:
        fill_scores(from, (int64_t)row, out);
        return TANDEM_OK;
    case ANE_SOURCE_ZEROS:
        break;
    }
    memset(out, 0, (size_t)from->source.cols * sizeof *out);
    return TANDEM_OK;
}

static bool is_same(const ane_source *a, const ane_source *b) {
    return a->kind == b->kind && a->rows == b->rows && a->cols == b->cols &&
           a->view.data == b->view.data && a->first_row == b->first_row &&
           a->first_col == b->first_col && a->scale == b->scale && a->is_halved == b->is_halved &&
           a->rope_theta == b->rope_theta && a->rope_scale == b->rope_scale && a->head == b->head &&
           a->window == b->window;
}

/* What is added to the score of a key and a query, by their distance. */
static const float *find_scores(ane_model *model, const ane_source *source) {
    const int length = source->rows;
    float *table = tandem__arena_array(&model->arena, (size_t)(2 * length - 1), sizeof *table);
    for (int i = 0; table != NULL && i < 2 * length - 1; i++) {
        const int distance = i - (length - 1);
        const bool is_hidden = source->window > 0 && abs(distance) > source->window;
        table[i] = tandem__plan_bias(model->plan, model->relative, source->head, distance) +
                   (is_hidden ? ANE_MASKED : 0.0f);
    }
    return table;
}

int32_t tandem__ane_source(ane_model *model, const ane_source *source) {
    for (int32_t i = 0; i < model->weights.count; i++) {
        const ane_blob_source *other = model->weights.blobs[i].source;
        if (is_same(&other->source, source)) return i;
    }
    ane_blob_source *from = tandem__arena_alloc(&model->arena, sizeof *from);
    if (from == NULL) return -1;
    *from = (ane_blob_source){.source = *source, .model = model};
    if (source->kind == ANE_SOURCE_SCORES) {
        from->source.by_distance = find_scores(model, source);
        if (from->source.by_distance == NULL) return -1;
    }
    return tandem__mil_weights_add(&model->weights, (mil_blob){.rows = (size_t)source->rows,
                                                               .cols = (size_t)source->cols,
                                                               .fill = fill,
                                                               .source = from});
}

/* Whether a blob before this one is of the same tensor. */
static bool is_seen(const ane_model *model, int32_t index) {
    const ane_blob_source *from = model->weights.blobs[index].source;
    for (int32_t i = 0; i < index; i++) {
        const ane_blob_source *other = model->weights.blobs[i].source;
        if (other->source.view.data == from->source.view.data) return true;
    }
    return false;
}

void tandem__ane_model_release(const ane_model *model) {
    const tandem_plan *plan = model->plan;
    const tandem_view *bias = &plan->relative_bias;
    if (plan->release == NULL) return;
    if (model->relative != NULL)
        plan->release(plan->release_context, bias->data,
                      (size_t)(bias->rows * bias->cols) * tandem__dtype_bytes(bias->dtype));
    for (int32_t i = 0; i < model->weights.count; i++) {
        const ane_blob_source *from = model->weights.blobs[i].source;
        const tandem_view *view = &from->source.view;
        if (view->data == NULL || is_seen(model, i)) continue;
        plan->release(plan->release_context, view->data,
                      (size_t)(view->rows * view->cols) * tandem__dtype_bytes(view->dtype));
    }
}
