/* SPDX-License-Identifier: Apache-2.0 */
/* From token vectors to sparse ones: the masked-language-model head and its pooling over the tokens
 * of each sequence.
 *
 * Logits of T tokens over V words would be the largest array of the whole network. They are made
 * ROWS x COLUMNS at a time, in a block of the thread's own that stays in its cache, and go into the
 * sequences' rows at once. Columns are outside, so that a block of the decoder's weights serves all
 * rows. The largest logit gives the largest value, since log(1 + x) rises: the logarithm is taken
 * once a word; a sum takes it for each token, in the order of the tokens. */
#include <math.h>
#include <string.h>

#include "backend/cpu/cpu_internal.h"
#include "base/dtype.h"

enum { ROWS = 64, COLUMNS = 256 };

size_t tandem__cpu_logits_bytes(void) {
    return ROWS * COLUMNS * sizeof(float);
}

static double splade(const tandem_splade *how, double logit) {
    const double value = log1p(logit);
    return how->is_log_twice ? log1p(value) : value;
}

static void take_largest(const float *logits, int count, float *to) {
    for (int i = 0; i < count; i++) {
        const float logit = logits[i];
        to[i] = ((logit > to[i]) | (logit != logit)) ? logit : to[i]; /* a NaN stays */
    }
}

static void take_sum(const tandem_splade *how, const float *logits, int count, float *to) {
    for (int i = 0; i < count; i++) {
        if (!(logits[i] <= 0.0f)) to[i] += (float)splade(how, (double)logits[i]);
    }
}

static void finish_row(const tandem_splade *how, int count, float *to) {
    for (int i = 0; i < count; i++) {
        if (to[i] != 0.0f) to[i] = (float)splade(how, (double)to[i]);
    }
}

void tandem__cpu_lm_states(const cpu_run *run, const cpu_frame *frame, cpu_span rows) {
    const cpu_lane *lane = run->lane;
    const cpu_linear *dense = &lane->weights.lm_dense;
    const cpu_norm *norm = &lane->weights.lm_norm;
    const cpu_span panels = tandem__cpu_panels(dense);
    const tandem_gemm_args product = {.a = frame->input,
                                      .lda = lane->strides.x,
                                      .w = &dense->w,
                                      .bias = dense->bias,
                                      .c = frame->ffn,
                                      .ldc = lane->strides.ffn,
                                      .act = (tandem_act)lane->plan->lm_activation};
    tandem_gemm_run(&lane->kernels.gemm, &product, rows.begin, rows.end, panels.begin, panels.end);
    if (norm->gamma == NULL) return;
    const tandem_norm_args args = {.x = frame->ffn,
                                   .x_stride = lane->strides.ffn,
                                   .y = frame->ffn,
                                   .y_stride = lane->strides.ffn,
                                   .gamma = norm->gamma,
                                   .beta = norm->beta,
                                   .eps = lane->plan->norm_eps,
                                   .hidden = dense->w.n};
    lane->kernels.norm.layernorm(&args, rows.begin, rows.end);
}

/* Some panels of the decoder as a matrix of their own. */
static cpu_linear take_panels(const cpu_linear *decoder, cpu_span panels) {
    const tandem_gemm_matrix *w = &decoder->w;
    const int first = panels.begin * w->nr;
    const int past = panels.end * w->nr < w->n ? panels.end * w->nr : w->n;
    const size_t bytes = (size_t)first * (size_t)w->k * tandem__dtype_bytes(w->dtype);
    cpu_linear part = {.w = *w, .bias = decoder->bias == NULL ? NULL : decoder->bias + first};
    part.w.panels = (char *)w->panels + bytes;
    part.w.n = past - first;
    return part;
}

/* Words [first, first + part->w.n) of the sequences, all their rows. */
static void pool_columns(const cpu_run *run, const cpu_frame *frame, cpu_span sequences,
                         const cpu_linear *part, int first, float *logits) {
    const cpu_lane *lane = run->lane;
    const tandem_splade *how = &lane->plan->splade;
    const size_t vocab = (size_t)lane->plan->vocab;
    const int32_t *offsets = run->batch->offsets;
    const int stop = offsets[sequences.end] - frame->first;
    int b = sequences.begin;
    for (int row = offsets[b] - frame->first; row < stop; row += ROWS) {
        const int rows = stop - row < ROWS ? stop - row : ROWS;
        const tandem_gemm_args args = {.a = frame->ffn + (size_t)row * lane->strides.ffn,
                                       .lda = lane->strides.ffn,
                                       .w = &part->w,
                                       .bias = part->bias,
                                       .c = logits,
                                       .ldc = COLUMNS};
        tandem_gemm_run(&lane->kernels.gemm, &args, 0, rows, 0, tandem_gemm_panel_count(&part->w));
        for (int i = 0; i < rows; i++) {
            while (offsets[b + 1] - frame->first <= row + i) b++;
            float *to = run->out + (size_t)b * vocab + first;
            const float *from = logits + (size_t)i * COLUMNS;
            if (how->is_sum)
                take_sum(how, from, part->w.n, to);
            else
                take_largest(from, part->w.n, to);
        }
    }
}

void tandem__cpu_sparse(const cpu_run *run, const cpu_frame *frame, cpu_span sequences,
                        cpu_span panels, int worker) {
    const cpu_lane *lane = run->lane;
    const cpu_linear *decoder = &lane->weights.lm_decoder;
    const tandem_splade *how = &lane->plan->splade;
    const size_t vocab = (size_t)lane->plan->vocab;
    float *logits = lane->ws.logits + (size_t)worker * ROWS * COLUMNS;
    const int step = COLUMNS / decoder->w.nr;
    for (int panel = panels.begin; panel < panels.end; panel += step) {
        const int end = panel + step < panels.end ? panel + step : panels.end;
        const cpu_linear part = take_panels(decoder, (cpu_span){panel, end});
        const int first = panel * decoder->w.nr;
        float *out = run->out + first;
        for (int b = sequences.begin; b < sequences.end; b++)
            memset(out + (size_t)b * vocab, 0, (size_t)part.w.n * sizeof *out);
        pool_columns(run, frame, sequences, &part, first, logits);
        for (int b = sequences.begin; b < sequences.end && !how->is_sum; b++)
            finish_row(how, part.w.n, out + (size_t)b * vocab);
    }
}

typedef struct sparse_job {
    const cpu_run *run;
    const cpu_frame *frame;
    int parts;
} sparse_job;

static void run_states(void *context, int tile, int worker) {
    const sparse_job *job = context;
    const cpu_span rows = {0, job->frame->rows};
    (void)worker;
    tandem__cpu_lm_states(job->run, job->frame, tandem__cpu_share(rows, tile, job->parts));
}

static void run_words(void *context, int tile, int worker) {
    const sparse_job *job = context;
    const cpu_span all = tandem__cpu_panels(&job->run->lane->weights.lm_decoder);
    tandem__cpu_sparse(job->run, job->frame, (cpu_span){0, job->run->batch->sequences},
                       tandem__cpu_share(all, tile, job->parts), worker);
}

void tandem__cpu_sparse_batch(const cpu_run *run, const cpu_frame *frame) {
    sparse_job job = {.run = run, .frame = frame, .parts = run->lane->threads};
    tandem__pool_run(run->lane->pool, job.parts, run_states, &job);
    tandem__pool_run(run->lane->pool, job.parts, run_words, &job);
}
