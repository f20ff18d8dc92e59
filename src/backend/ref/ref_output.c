/* SPDX-License-Identifier: Apache-2.0 */
/* From token vectors to the vector of a sequence: pooling and dense modules, or a classifier on
 * the first token or the mean, or a masked language model's logits into a sparse vector. Pooling
 * leaves out the batch's `pool_skip` first tokens; a weighted mean counts positions from the
 * sequence's start all the same, as sentence-transformers does. */
#include <math.h>
#include <string.h>

#include "backend/ref/ref_internal.h"
#include "base/assert.h"
#include "kernels/pooling/pooling.h"

/* One column of a sequence's rows [begin, end). */
static double pool_column(tandem_pooling pooling, const float *x, int64_t stride, int begin,
                          int end) {
    if (pooling == TANDEM_POOLING_CLS) return (double)x[begin * stride];
    if (pooling == TANDEM_POOLING_LAST) return (double)x[(end - 1) * stride];
    if (pooling == TANDEM_POOLING_MAX) {
        double largest = (double)x[begin * stride];
        for (int t = begin + 1; t < end; t++) largest = fmax(largest, (double)x[t * stride]);
        return largest;
    }
    double sum = 0.0;
    double weights = 0.0;
    for (int t = begin; t < end; t++) {
        const double weight = pooling == TANDEM_POOLING_WEIGHTED_MEAN ? t + 1.0 : 1.0;
        sum += weight * (double)x[t * stride];
        weights += weight;
    }
    return pooling == TANDEM_POOLING_MEAN_SQRT ? sum / sqrt(weights) : sum / weights;
}

/* pooled [B, H], rows `stride` apart; `skips` [B] or NULL: tokens at the start that are left out.
 */
static void pool_sequences(const ref_lane *lane, const tandem_batch *batch, tandem_pooling pooling,
                           const int32_t *skips, float *pooled, int64_t stride) {
    const tandem_plan *plan = lane->plan;
    const int64_t hidden = plan->hidden;
    for (int b = 0; b < batch->sequences; b++) {
        const int64_t first = batch->offsets[b];
        const int length = (int)(batch->offsets[b + 1] - first);
        const int skip = skips == NULL ? 0 : skips[b];
        const float *x = lane->ws.x + first * hidden;
        for (int64_t i = 0; i < hidden; i++) {
            pooled[b * stride + i] = (float)pool_column(pooling, x + i, hidden, skip, length);
        }
    }
}

/* Module `index` from x [B, in] to y [B, out]; `spare` is as large as they are. */
static int apply_module(ref_lane *lane, int index, const float *x, int rows, int width, float *y,
                        float *spare) {
    const tandem_plan_dense *module = &lane->plan->dense[index];
    const ref_dense *weights = &lane->weights.dense[index];
    if (module->kind == TANDEM_DENSE_NORM) {
        tandem__ref_norm(&weights->norm, module->norm_eps, x, rows, width, y);
        return width;
    }
    if (module->kind == TANDEM_DENSE_UNIT) {
        memcpy(y, x, (size_t)rows * (size_t)width * sizeof *y);
        for (int b = 0; b < rows; b++) tandem_pool_normalize(y + (int64_t)b * width, width);
        return width;
    }
    const bool is_late = tandem__activation_is_late(module->activation);
    const int out = weights->linear.out;
    tandem__ref_linear(lane, &weights->linear,
                       is_late ? TANDEM_ACTIVATION_NONE : module->activation, x, rows, y);
    tandem__activate(module->activation, y, rows * out);
    if (!module->has_residual) return out;
    if (weights->residual.weight != NULL)
        tandem__ref_linear(lane, &weights->residual, TANDEM_ACTIVATION_NONE, x, rows, spare);
    const float *residual = weights->residual.weight != NULL ? spare : x;
    for (int i = 0; i < rows * out; i++) y[i] += residual[i];
    return out;
}

void tandem__ref_pooled(ref_lane *lane, const tandem_batch *batch, float *out) {
    const tandem_plan *plan = lane->plan;
    const int64_t part = (int64_t)lane->capabilities.sequences_max * lane->ws.pooled_width;
    float *from = lane->ws.pooled;
    float *to = from + part;
    int width = plan->hidden * (1 + plan->joined_count);
    for (int i = 0; i <= plan->joined_count; i++) {
        pool_sequences(lane, batch, tandem__plan_pooling(plan, i), batch->pool_skip,
                       from + (int64_t)i * plan->hidden, width);
    }
    for (int i = 0; i < plan->dense_count; i++) {
        width =
            apply_module(lane, i, from, batch->sequences, width, to, lane->ws.pooled + 2 * part);
        float *swap = from;
        from = to;
        to = swap;
    }
    memcpy(out, from, (size_t)batch->sequences * (size_t)plan->dimensions * sizeof *out);
}

void tandem__ref_head(ref_lane *lane, const tandem_batch *batch, float *out) {
    const tandem_plan *plan = lane->plan;
    float *from = lane->ws.pooled;
    float *to = from + (int64_t)lane->capabilities.sequences_max * lane->ws.pooled_width;
    const bool is_mean = plan->head_pooling == TANDEM_POOLING_MEAN;
    pool_sequences(lane, batch, is_mean ? TANDEM_POOLING_MEAN : TANDEM_POOLING_CLS, NULL, from,
                   plan->hidden);
    const ref_linear *dense = &lane->weights.head_dense;
    if (dense->weight != NULL) {
        tandem__ref_linear(lane, dense, plan->head_activation, from, batch->sequences, to);
        from = to;
    }
    const int width = (int)(dense->weight != NULL ? plan->head_dense.weight.rows : plan->hidden);
    tandem__ref_norm(&lane->weights.head_norm, plan->norm_eps, from, batch->sequences, width, from);
    TANDEM_ASSERT(lane->weights.classifier.weight != NULL);
    tandem__ref_linear(lane, &lane->weights.classifier, TANDEM_ACTIVATION_NONE, from,
                       batch->sequences, out);
}

/* log(1 + x) of what is over zero, once or twice; NaN stays. */
static double splade(const tandem_splade *how, double logit) {
    if (logit <= 0.0) return 0.0;
    const double value = log1p(logit);
    return how->is_log_twice ? log1p(value) : value;
}

/* A few tokens at a time: their logits are never there for more. */
void tandem__ref_sparse(ref_lane *lane, const tandem_batch *batch, float *out) {
    const tandem_plan *plan = lane->plan;
    const ref_weights *weights = &lane->weights;
    const int64_t vocab = plan->vocab;
    memset(out, 0, (size_t)(batch->sequences * vocab) * sizeof *out);
    int b = 0;
    for (int first = 0; first < batch->tokens; first += REF_TOKENS) {
        const int left = batch->tokens - first;
        const int rows = left < REF_TOKENS ? left : REF_TOKENS;
        const float *x = lane->ws.x + (int64_t)first * plan->hidden;
        tandem__ref_linear(lane, &weights->lm_dense, plan->lm_activation, x, rows, lane->ws.lm);
        tandem__ref_norm(&weights->lm_norm, plan->norm_eps, lane->ws.lm, rows,
                         weights->lm_dense.out, lane->ws.lm);
        tandem__ref_linear(lane, &weights->lm_decoder, TANDEM_ACTIVATION_NONE, lane->ws.lm, rows,
                           lane->ws.logits);
        for (int row = 0; row < rows; row++) {
            while (batch->offsets[b + 1] <= first + row) b++;
            float *to = out + b * vocab;
            for (int64_t v = 0; v < vocab; v++) {
                const double value =
                    splade(&plan->splade, (double)lane->ws.logits[row * vocab + v]);
                const double have = (double)to[v];
                if (plan->splade.is_sum)
                    to[v] = (float)(have + value);
                else if (value > have || isnan(value))
                    to[v] = (float)value;
            }
        }
    }
}
