/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of a lane's numbers where they are no embedding: logits to scores, rows of the whole
 * vocabulary to the few words that weigh something. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/fail.h"
#include "pipeline/pipeline_internal.h"

static void apply_sigmoid(float *row, int32_t n) {
    for (int32_t i = 0; i < n; i++) row[i] = (float)(1.0 / (1.0 + exp(-(double)row[i])));
}

static void apply_softmax(float *row, int32_t n) {
    double largest = (double)row[0];
    for (int32_t i = 1; i < n; i++) largest = fmax(largest, (double)row[i]);
    double sum = 0.0;
    for (int32_t i = 0; i < n; i++) sum += exp((double)row[i] - largest);
    for (int32_t i = 0; i < n; i++) row[i] = (float)(exp((double)row[i] - largest) / sum);
}

void tandem__pipeline_score(const tandem_source *source, const tandem_request *request,
                            tandem_result *result) {
    tandem_score score = source->score;
    if (request->scoring == TANDEM_SCORING_SIGMOID) score = TANDEM_SCORE_SIGMOID;
    if (request->scoring == TANDEM_SCORING_SOFTMAX) score = TANDEM_SCORE_SOFTMAX;
    if (request->raw_scores || score == TANDEM_SCORE_IDENTITY) return;
    for (size_t i = 0; i < result->count; i++) {
        float *row = result->vectors + i * (size_t)result->dimensions;
        if (result->texts[i].status != TANDEM_OK) continue;
        if (score == TANDEM_SCORE_SIGMOID)
            apply_sigmoid(row, result->dimensions);
        else
            apply_softmax(row, result->dimensions);
    }
}

const char *tandem__score_word(tandem_score score) {
    switch (score) {
    case TANDEM_SCORE_IDENTITY:
        return "none";
    case TANDEM_SCORE_SIGMOID:
        return "sigmoid";
    case TANDEM_SCORE_SOFTMAX:
        return "softmax";
    }
    return "unknown";
}

tandem_status tandem__sparse_begin(tandem_result *result, tandem_error *err) {
    struct tandem_result_memory *memory = result->memory;
    memory->sparse_ids.len = 0;
    memory->sparse_weights.len = 0;
    memory->sparse_offsets.len = 0;
    memory->sparse_places.len = 0;
    const size_t bytes = result->count * sizeof(pipeline_entries);
    TANDEM_TRY(tandem__buffer_reserve(&memory->sparse_places, bytes + 1, err));
    memset(memory->sparse_places.ptr, 0, bytes);
    return tandem__buffer_reserve(&memory->sparse_offsets, (result->count + 1) * sizeof(int64_t),
                                  err);
}

tandem_status tandem__sparse_add(tandem_result *result, size_t text, const float *row,
                                 int32_t width, tandem_error *err) {
    struct tandem_result_memory *memory = result->memory;
    size_t count = 0;
    for (int32_t i = 0; i < width; i++) count += row[i] != 0.0f;
    TANDEM_TRY(tandem__buffer_reserve(&memory->sparse_ids, count * sizeof(int32_t), err));
    TANDEM_TRY(tandem__buffer_reserve(&memory->sparse_weights, count * sizeof(float), err));
    int32_t *ids = (void *)(memory->sparse_ids.ptr + memory->sparse_ids.len);
    float *weights = (void *)(memory->sparse_weights.ptr + memory->sparse_weights.len);
    pipeline_entries *places = (void *)memory->sparse_places.ptr;
    places[text] =
        (pipeline_entries){.first = memory->sparse_ids.len / sizeof *ids, .count = count};
    size_t at = 0;
    for (int32_t i = 0; i < width && at < count; i++) {
        if (row[i] == 0.0f) continue;
        ids[at] = i;
        weights[at++] = row[i];
    }
    TANDEM_ASSERT(at == count);
    memory->sparse_ids.len += count * sizeof *ids;
    memory->sparse_weights.len += count * sizeof *weights;
    return TANDEM_OK;
}

/* Puts the entries in the order of the texts: batches may have been done in another. */
static tandem_status sort_entries(tandem_result *result, tandem_error *err) {
    struct tandem_result_memory *memory = result->memory;
    const pipeline_entries *places = (const void *)memory->sparse_places.ptr;
    memory->sorted_ids.len = 0;
    memory->sorted_weights.len = 0;
    for (size_t i = 0; i < result->count; i++) {
        const size_t first = places[i].first * sizeof(float);
        const size_t bytes = places[i].count * sizeof(float);
        TANDEM_TRY(
            tandem__buffer_push(&memory->sorted_ids, memory->sparse_ids.ptr + first, bytes, err));
        TANDEM_TRY(tandem__buffer_push(&memory->sorted_weights, memory->sparse_weights.ptr + first,
                                       bytes, err));
    }
    const tandem_buffer ids = memory->sparse_ids;
    const tandem_buffer weights = memory->sparse_weights;
    memory->sparse_ids = memory->sorted_ids;
    memory->sparse_weights = memory->sorted_weights;
    memory->sorted_ids = ids;
    memory->sorted_weights = weights;
    return TANDEM_OK;
}

tandem_status tandem__sparse_end(tandem_result *result, tandem_error *err) {
    struct tandem_result_memory *memory = result->memory;
    /* Not NULL, even if no text has an entry. */
    TANDEM_TRY(tandem__buffer_reserve(&memory->sparse_ids, sizeof(int32_t), err));
    TANDEM_TRY(tandem__buffer_reserve(&memory->sparse_weights, sizeof(float), err));
    const pipeline_entries *places = (const void *)memory->sparse_places.ptr;
    int64_t *offsets = (void *)memory->sparse_offsets.ptr;
    size_t at = 0;
    bool is_sorted = true;
    for (size_t i = 0; i < result->count; i++) {
        offsets[i] = (int64_t)at;
        is_sorted = is_sorted && (places[i].count == 0 || places[i].first == at);
        at += places[i].count;
    }
    offsets[result->count] = (int64_t)at;
    if (!is_sorted) TANDEM_TRY(sort_entries(result, err));
    result->sparse_offsets = offsets;
    result->sparse_ids = (void *)memory->sparse_ids.ptr;
    result->sparse_weights = (void *)memory->sparse_weights.ptr;
    return TANDEM_OK;
}

bool tandem__model_embeds(const tandem_plan *plan) {
    return plan->pooling != TANDEM_POOLING_NONE && plan->pooling != TANDEM_POOLING_SPLADE;
}

bool tandem__model_is_sparse(const tandem_plan *plan) {
    return plan->lm_decoder.weight.data != NULL;
}

tandem_status tandem__fail_task(const tandem_source *source, const char *wanted,
                                tandem_error *err) {
    const tandem_plan *plan = source->plan;
    char has[120];
    (void)snprintf(has, sizeof has, "token vectors%s%s%s",
                   tandem__model_embeds(plan) ? ", embeddings" : "",
                   tandem__model_is_sparse(plan) ? ", sparse embeddings" : "",
                   plan->labels > 0 ? ", a sequence classifier" : "");
    return TANDEM_FAIL(err, UNSUPPORTED, "model %s has no %s, it has %s", source->name, wanted,
                       has);
}
