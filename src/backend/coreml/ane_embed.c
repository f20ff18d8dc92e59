/* SPDX-License-Identifier: Apache-2.0 */
/* word + type + position, and their norm, in f32 as the kernels do it. Rows of the word table are
 * read where the plan has them, in its own type: a batch needs few, and their rounding to f16 comes
 * with the network's input. The other tables are copied. */
#include <string.h>

#include "backend/coreml/ane_internal.h"
#include "base/dtype.h"
#include "base/fail.h"
#include "base/mem.h"

static size_t aligned(size_t bytes) {
    return (bytes + TANDEM_ALIGNMENT - 1) / TANDEM_ALIGNMENT * TANDEM_ALIGNMENT;
}

static size_t f32_bytes(const tandem_view *view) {
    return view->data == NULL ? 0 : aligned((size_t)(view->rows * view->cols) * sizeof(float));
}

/* The view as f32 at *at, which moves on; NULL where there is none. */
static const float *take(const ane_lane *lane, const tandem_view *view, const char *slot, char **at,
                         tandem_status *status, tandem_error *err) {
    if (view->data == NULL || *status != TANDEM_OK) return NULL;
    const size_t count = (size_t)(view->rows * view->cols);
    float *copy = (float *)(void *)*at;
    *at += f32_bytes(view);
    tandem_convert_to_f32(&lane->kernels->convert, copy, view->data, view->dtype, count);
    if (!tandem__floats_are_finite(copy, count)) {
        const tandem_weight_part part = {
            .layer = -1, .slot = slot, .data = view->data, .dtype = view->dtype, .count = count};
        *status = tandem__fail_weight(lane->plan, &part, false, err);
    }
    if (lane->plan->release != NULL) {
        lane->plan->release(lane->plan->release_context, view->data,
                            count * tandem__dtype_bytes(view->dtype));
    }
    return copy;
}

tandem_status tandem__ane_embed_open(ane_lane *lane, tandem_error *err) {
    const tandem_plan *plan = lane->plan;
    const tandem_norm *norm = &plan->embedding_norm;
    const size_t positions = aligned((size_t)plan->positions_max * sizeof(int32_t));
    ane_embed *embed = &lane->embed;
    const tandem_view none = {.data = NULL};
    const tandem_view *types = plan->types > 0 ? &plan->type_rows : &none;
    tandem_status status = TANDEM_OK;
    embed->bytes = positions + f32_bytes(&plan->position_rows) + f32_bytes(types) +
                   f32_bytes(&norm->gamma) + f32_bytes(&norm->beta);
    embed->memory = tandem__mem_alloc_aligned(embed->bytes);
    if (embed->memory == NULL)
        return TANDEM_FAIL(err, MEMORY, "no memory for %zu bytes of embeddings", embed->bytes);
    char *at = embed->memory + positions;
    embed->positions = (int32_t *)(void *)embed->memory;
    for (int32_t i = 0; i < plan->positions_max; i++)
        embed->positions[i] = i + plan->position_offset;
    embed->position = (tandem_embed_table){
        take(lane, &plan->position_rows, "embeddings.position", &at, &status, err),
        TANDEM_DTYPE_F32};
    embed->type = (tandem_embed_table){take(lane, types, "embeddings.type", &at, &status, err),
                                       TANDEM_DTYPE_F32};
    embed->gamma = take(lane, &norm->gamma, "embeddings.norm.weight", &at, &status, err);
    embed->beta = take(lane, &norm->beta, "embeddings.norm.bias", &at, &status, err);
    return status;
}

void tandem__ane_embed_close(ane_embed *embed) {
    if (embed->memory != NULL) tandem__mem_free_aligned(embed->memory, embed->bytes);
    *embed = (ane_embed){.memory = NULL};
}

/* A row of the table that made `row` not finite; TANDEM_OK where it is some other's fault. */
static tandem_status blame(const ane_lane *lane, int32_t id, float *row, tandem_error *err) {
    const tandem_view *word = &lane->plan->word;
    const size_t width = (size_t)word->cols;
    const size_t first = (size_t)id * width;
    const char *data = (const char *)word->data + first * tandem__dtype_bytes(word->dtype);
    tandem_convert_to_f32(&lane->kernels->convert, row, data, word->dtype, width);
    if (tandem__floats_are_finite(row, width)) return TANDEM_OK;
    const tandem_weight_part part = {.layer = -1,
                                     .slot = "embeddings.word",
                                     .data = data,
                                     .dtype = word->dtype,
                                     .first = first,
                                     .count = width};
    return tandem__fail_weight(lane->plan, &part, false, err);
}

tandem_status tandem__ane_embed_run(const ane_lane *lane, const tandem_batch *batch, float *rows,
                                    tandem_error *err) {
    const tandem_plan *plan = lane->plan;
    const ane_embed *embed = &lane->embed;
    const size_t stride = (size_t)lane->stride;
    for (int32_t i = 0; i < batch->sequences; i++) {
        const int32_t first = batch->offsets[i];
        const tandem_embed_args args = {.word = {plan->word.data, plan->word.dtype},
                                        .position = embed->position,
                                        .type = embed->type,
                                        .ids = batch->ids + first,
                                        .positions = embed->positions,
                                        .types = batch->types == NULL ? NULL : batch->types + first,
                                        .out = rows + (size_t)first * stride,
                                        .out_stride = stride,
                                        .gamma = embed->gamma,
                                        .beta = embed->beta,
                                        .eps = plan->norm_eps,
                                        .hidden = (int)plan->word.cols};
        tandem_embed_run(&lane->kernels->embed, &args, 0, batch->offsets[i + 1] - first);
    }
    for (int32_t t = 0; t < batch->tokens; t++) {
        float *row = rows + (size_t)t * stride;
        if (!tandem__floats_are_finite(row, (size_t)plan->word.cols))
            TANDEM_TRY(blame(lane, batch->ids[t], row, err));
    }
    return TANDEM_OK;
}
