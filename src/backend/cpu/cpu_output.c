/* SPDX-License-Identifier: Apache-2.0 */
/* From token vectors to the vectors of sequences. Pooling is done where the rows are, by the thread
 * that has just computed them; dense modules and the head follow for the whole batch. */
#include <string.h>

#include "backend/cpu/cpu_internal.h"

/* Weighted means count positions from the sequence's start, also where the first ones are left out:
 * with s skipped rows, row i of the rest weighs i + 1 + s. */
static void pool_weighted(const float *x, size_t stride, int skip, int rows, int width,
                          float *out) {
    for (int i = 0; i < width; i++) {
        double sum = 0.0;
        double weights = 0.0;
        for (int row = skip; row < rows; row++) {
            sum += (row + 1.0) * (double)x[(size_t)row * stride + (size_t)i];
            weights += row + 1.0;
        }
        out[i] = (float)(sum / weights);
    }
}

static void pool_sequence(const cpu_lane *lane, tandem_pooling pooling, const float *x, int rows,
                          int skip, float *out) {
    const int hidden = lane->plan->hidden;
    if (pooling == TANDEM_POOLING_WEIGHTED_MEAN && skip > 0) {
        pool_weighted(x, lane->strides.x, skip, rows, hidden, out);
        return;
    }
    tandem_pool_rows((tandem_pool_kind)pooling, x + (size_t)skip * lane->strides.x, lane->strides.x,
                     rows - skip, hidden, out);
}

void tandem__cpu_pool(const cpu_run *run, const cpu_frame *frame, int begin, int end) {
    const cpu_lane *lane = run->lane;
    const tandem_plan *plan = lane->plan;
    const tandem_batch *batch = run->batch;
    const bool wants_head = run->output == TANDEM_OUTPUT_HEAD;
    const bool is_mean = plan->head_pooling == TANDEM_POOLING_MEAN;
    const tandem_pooling of_head = is_mean ? TANDEM_POOLING_MEAN : TANDEM_POOLING_CLS;
    if (!wants_head && run->output != TANDEM_OUTPUT_POOLED) return;
    for (int b = begin; b < end; b++) {
        const int first = batch->offsets[b] - frame->first;
        const int rows = batch->offsets[b + 1] - batch->offsets[b];
        const int skip = wants_head || batch->pool_skip == NULL ? 0 : batch->pool_skip[b];
        const float *x = frame->input + (size_t)first * lane->strides.x;
        float *pooled = lane->ws.pooled[0] + (size_t)b * lane->ws.pooled_stride;
        if (!wants_head && plan->dense_count == 0)
            pooled = run->out + (size_t)b * (size_t)plan->dimensions;
        pool_sequence(lane, wants_head ? of_head : plan->pooling, x, rows, skip, pooled);
        for (int i = 1; i <= plan->joined_count && !wants_head; i++) {
            pool_sequence(lane, tandem__plan_pooling(plan, i), x, rows, skip,
                          pooled + (size_t)i * (size_t)plan->hidden);
        }
    }
}

/* y [B, out] = act(x [B, in] Wᵀ + b), plus y itself with `adds`; rows pooled_stride apart. */
static void apply(const cpu_run *run, const cpu_linear *linear, tandem_act act, const float *x,
                  float *y, bool adds) {
    const size_t stride = run->lane->ws.pooled_stride;
    const cpu_span panels = tandem__cpu_panels(linear);
    const tandem_gemm_args args = {.a = x,
                                   .lda = stride,
                                   .w = &linear->w,
                                   .bias = linear->bias,
                                   .residual = adds ? y : NULL,
                                   .ld_residual = stride,
                                   .c = y,
                                   .ldc = stride,
                                   .act = act};
    tandem_gemm_run(&run->lane->kernels.gemm, &args, 0, run->batch->sequences, panels.begin,
                    panels.end);
}

static void norm_pooled(const cpu_run *run, const cpu_norm *norm, float eps, int width, float *x) {
    const size_t stride = run->lane->ws.pooled_stride;
    const tandem_norm_args args = {.x = x,
                                   .x_stride = stride,
                                   .y = x,
                                   .y_stride = stride,
                                   .gamma = norm->gamma,
                                   .beta = norm->beta,
                                   .eps = eps,
                                   .hidden = width};
    run->lane->kernels.norm.layernorm(&args, 0, run->batch->sequences);
}

static void apply_linear(const cpu_run *run, const tandem_plan_dense *module,
                         const cpu_dense *weights, const float *x, float *y) {
    const size_t stride = run->lane->ws.pooled_stride;
    const bool is_late = tandem__activation_is_late(module->activation);
    const tandem_act act = is_late ? TANDEM_ACT_NONE : (tandem_act)module->activation;
    const int out = weights->linear.w.n;
    apply(run, &weights->linear, act, x, y, false);
    for (int b = 0; b < run->batch->sequences && is_late; b++)
        tandem__activate(module->activation, y + (size_t)b * stride, out);
    if (weights->residual.w.panels != NULL) {
        apply(run, &weights->residual, TANDEM_ACT_NONE, x, y, true);
        return;
    }
    for (int b = 0; b < run->batch->sequences && module->has_residual; b++) {
        for (int i = 0; i < out; i++)
            y[(size_t)b * stride + (size_t)i] += x[(size_t)b * stride + (size_t)i];
    }
}

/* The modules after the pooling, from ws->pooled[0] on, and the result without padding. */
static void finish_pooled(const cpu_run *run) {
    const cpu_lane *lane = run->lane;
    const tandem_plan *plan = lane->plan;
    const size_t stride = lane->ws.pooled_stride;
    float *x = lane->ws.pooled[0];
    float *y = lane->ws.pooled[1];
    int width = plan->hidden * (1 + plan->joined_count);
    for (int i = 0; i < plan->dense_count; i++) {
        const tandem_plan_dense *module = &plan->dense[i];
        const cpu_dense *weights = &lane->weights.dense[i];
        if (module->kind == TANDEM_DENSE_NORM) {
            norm_pooled(run, &weights->norm, module->norm_eps, width, x);
        } else if (module->kind == TANDEM_DENSE_UNIT) {
            for (int b = 0; b < run->batch->sequences; b++)
                tandem_pool_normalize(x + (size_t)b * stride, width);
        } else {
            apply_linear(run, module, weights, x, y);
            float *swap = x;
            x = y;
            y = swap;
            width = weights->linear.w.n;
        }
    }
    for (int b = 0; b < run->batch->sequences && plan->dense_count > 0; b++) {
        memcpy(run->out + (size_t)b * (size_t)width, x + (size_t)b * stride,
               (size_t)width * sizeof *x);
    }
}

static void finish_head(const cpu_run *run) {
    const cpu_lane *lane = run->lane;
    const cpu_workspace *ws = &lane->ws;
    const cpu_linear *dense = &lane->weights.head_dense;
    const cpu_linear *classifier = &lane->weights.classifier;
    float *x = ws->pooled[0];
    if (dense->w.panels != NULL) {
        apply(run, dense, (tandem_act)lane->plan->head_activation, x, ws->pooled[1], false);
        x = ws->pooled[1];
    }
    if (lane->weights.head_norm.gamma != NULL)
        norm_pooled(run, &lane->weights.head_norm, lane->plan->norm_eps, classifier->w.k, x);
    const cpu_span panels = tandem__cpu_panels(classifier);
    const tandem_gemm_args args = {.a = x,
                                   .lda = ws->pooled_stride,
                                   .w = &classifier->w,
                                   .bias = classifier->bias,
                                   .c = run->out,
                                   .ldc = (size_t)lane->plan->labels};
    tandem_gemm_run(&lane->kernels.gemm, &args, 0, run->batch->sequences, panels.begin, panels.end);
}

void tandem__cpu_finish(const cpu_run *run) {
    if (run->output == TANDEM_OUTPUT_POOLED) finish_pooled(run);
    if (run->output == TANDEM_OUTPUT_HEAD) finish_head(run);
}
