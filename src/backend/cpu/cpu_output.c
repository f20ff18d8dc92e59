/* SPDX-License-Identifier: Apache-2.0 */
/* From token vectors to the vectors of sequences. Pooling is done where the rows are, by the thread
 * that has just computed them; dense modules and the head follow for the whole batch. */
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
    const int left_out = pooling == TANDEM_POOLING_CLS ? 0 : skip;
    tandem_pool_rows((tandem_pool_kind)pooling, x + (size_t)left_out * lane->strides.x,
                     lane->strides.x, rows - left_out, hidden, out);
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
            pooled = run->out + (size_t)b * (size_t)plan->hidden;
        pool_sequence(lane, wants_head ? of_head : plan->pooling, x, rows, skip, pooled);
    }
}

static void apply(const cpu_run *run, const cpu_linear *linear, tandem_act act, const float *x,
                  size_t x_stride, float *y, size_t y_stride) {
    const cpu_span panels = tandem__cpu_panels(linear);
    const tandem_gemm_args args = {.a = x,
                                   .lda = x_stride,
                                   .w = &linear->w,
                                   .bias = linear->bias,
                                   .c = y,
                                   .ldc = y_stride,
                                   .act = act};
    tandem_gemm_run(&run->lane->kernels.gemm, &args, 0, run->batch->sequences, panels.begin,
                    panels.end);
}

static void finish_pooled(const cpu_run *run) {
    const cpu_lane *lane = run->lane;
    const cpu_workspace *ws = &lane->ws;
    const int count = lane->plan->dense_count;
    for (int i = 0; i < count; i++) {
        const cpu_dense *dense = &lane->weights.dense[i];
        const bool is_last = i == count - 1;
        float *y = is_last ? run->out : ws->pooled[(i + 1) % 2];
        const size_t y_stride = is_last ? (size_t)lane->plan->dimensions : ws->pooled_stride;
        apply(run, &dense->linear, dense->activation, ws->pooled[i % 2], ws->pooled_stride, y,
              y_stride);
    }
}

static void finish_head(const cpu_run *run) {
    const cpu_lane *lane = run->lane;
    const cpu_workspace *ws = &lane->ws;
    const cpu_linear *dense = &lane->weights.head_dense;
    const cpu_norm *norm = &lane->weights.head_norm;
    float *x = ws->pooled[0];
    if (dense->w.panels != NULL) {
        apply(run, dense, (tandem_act)lane->plan->head_activation, x, ws->pooled_stride,
              ws->pooled[1], ws->pooled_stride);
        x = ws->pooled[1];
    }
    if (norm->gamma != NULL) {
        const tandem_norm_args args = {.x = x,
                                       .x_stride = ws->pooled_stride,
                                       .y = x,
                                       .y_stride = ws->pooled_stride,
                                       .gamma = norm->gamma,
                                       .beta = norm->beta,
                                       .eps = lane->plan->norm_eps,
                                       .hidden = lane->weights.classifier.w.k};
        lane->kernels.norm.layernorm(&args, 0, run->batch->sequences);
    }
    apply(run, &lane->weights.classifier, TANDEM_ACT_NONE, x, ws->pooled_stride, run->out,
          (size_t)lane->plan->labels);
}

void tandem__cpu_finish(const cpu_run *run) {
    if (run->output == TANDEM_OUTPUT_POOLED) finish_pooled(run);
    if (run->output == TANDEM_OUTPUT_HEAD) finish_head(run);
}
