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

static size_t entry_count(const struct tandem_result_memory *memory) {
    return memory->sparse_ids.len / sizeof(int32_t);
}

tandem_status tandem__sparse_begin(tandem_result *result, tandem_error *err) {
    struct tandem_result_memory *memory = result->memory;
    memory->sparse_ids.len = 0;
    memory->sparse_weights.len = 0;
    memory->sparse_offsets.len = 0;
    return tandem__buffer_reserve(&memory->sparse_offsets, (result->count + 1) * sizeof(int64_t),
                                  err);
}

/* Texts before `text` that have no offset yet end where the entries end now. */
static void offsets_until(struct tandem_result_memory *memory, size_t text) {
    int64_t *offsets = (void *)memory->sparse_offsets.ptr;
    size_t at = memory->sparse_offsets.len / sizeof *offsets;
    for (; at <= text; at++) offsets[at] = (int64_t)entry_count(memory);
    memory->sparse_offsets.len = at * sizeof *offsets;
}

tandem_status tandem__sparse_add(tandem_result *result, size_t text, const float *row,
                                 int32_t width, tandem_error *err) {
    struct tandem_result_memory *memory = result->memory;
    offsets_until(memory, text);
    size_t count = 0;
    bool is_finite = true;
    for (int32_t i = 0; i < width; i++) {
        count += row[i] != 0.0f;
        is_finite = is_finite && isfinite(row[i]);
    }
    if (!is_finite) {
        result->texts[text].status = TANDEM_NUMERIC;
        return TANDEM_OK;
    }
    TANDEM_TRY(tandem__buffer_reserve(&memory->sparse_ids, count * sizeof(int32_t), err));
    TANDEM_TRY(tandem__buffer_reserve(&memory->sparse_weights, count * sizeof(float), err));
    int32_t *ids = (void *)(memory->sparse_ids.ptr + memory->sparse_ids.len);
    float *weights = (void *)(memory->sparse_weights.ptr + memory->sparse_weights.len);
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

tandem_status tandem__sparse_end(tandem_result *result, tandem_error *err) {
    struct tandem_result_memory *memory = result->memory;
    offsets_until(memory, result->count);
    /* Not NULL, even if no text has an entry. */
    TANDEM_TRY(tandem__buffer_reserve(&memory->sparse_ids, sizeof(int32_t), err));
    TANDEM_TRY(tandem__buffer_reserve(&memory->sparse_weights, sizeof(float), err));
    result->sparse_offsets = (void *)memory->sparse_offsets.ptr;
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
