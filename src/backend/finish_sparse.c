/* SPDX-License-Identifier: Apache-2.0 */
/* From token vectors to sparse ones: the masked-language-model head and its pooling over the tokens
 * of each sequence.
 *
 * Logits of T tokens over V words would be the largest array of the whole network. They are made
 * ROWS x COLUMNS at a time, in a block of the thread's own that stays in its cache, and go into the
 * sequences' rows at once. Columns are outside, so that a block of the decoder's weights serves all
 * rows of a chunk of FINISH_ROWS a thread. The largest logit gives the largest value, since
 * log(1 + x) rises: the logarithm is taken once a word; a sum takes it for each token, in the order
 * of the tokens. A sequence's row of words is cleared with its first token and finished with its
 * last, so chunks may end anywhere. */
#include <math.h>
#include <string.h>

#include "backend/finish_internal.h"
#include "base/dtype.h"

enum { ROWS = 64, COLUMNS = 256 };

/* Consecutive tokens of a batch. */
typedef struct token_chunk {
    const tandem_finish *finish;
    const tandem_batch *batch;
    int first;
    int rows;
    int sequence;        /* that holds the first of them */
    const float *states; /* [rows, H] */
    size_t stride;
    float *words; /* [rows, E], rows words_stride apart */
    float *out;   /* [B, V] */
} token_chunk;

size_t tandem__finish_logits_bytes(void) {
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
    for (int i = 0; i < count && !how->is_sum; i++) {
        if (to[i] != 0.0f) to[i] = (float)splade(how, (double)to[i]);
    }
}

/* The head's states of rows [begin, end) of the chunk. */
static void compute_states(const token_chunk *chunk, int begin, int end) {
    const tandem_finish *f = chunk->finish;
    const tandem_gemm_args product = {.a = chunk->states,
                                      .lda = chunk->stride,
                                      .w = &f->lm_dense.w,
                                      .bias = f->lm_dense.bias,
                                      .c = chunk->words,
                                      .ldc = f->words_stride,
                                      .act = (tandem_act)f->plan->lm_activation};
    tandem_gemm_run(&f->kernels.gemm, &product, begin, end, 0,
                    tandem_gemm_panel_count(&f->lm_dense.w));
    if (f->lm_norm.gamma == NULL) return;
    const tandem_norm_args args = {.x = chunk->words,
                                   .x_stride = f->words_stride,
                                   .y = chunk->words,
                                   .y_stride = f->words_stride,
                                   .gamma = f->lm_norm.gamma,
                                   .beta = f->lm_norm.beta,
                                   .eps = f->plan->norm_eps,
                                   .hidden = f->lm_dense.w.n};
    f->kernels.norm.layernorm(&args, begin, end);
}

/* Panels [begin, end) of the decoder as a matrix of their own. */
static tandem_packed_linear take_panels(const tandem_packed_linear *decoder, int begin, int end) {
    const tandem_gemm_matrix *w = &decoder->w;
    const int first = begin * w->nr;
    const int past = end * w->nr < w->n ? end * w->nr : w->n;
    const size_t bytes = (size_t)first * (size_t)w->k * tandem__dtype_bytes(w->dtype);
    tandem_packed_linear part = {.w = *w,
                                 .bias = decoder->bias == NULL ? NULL : decoder->bias + first};
    part.w.panels = (char *)w->panels + bytes;
    part.w.n = past - first;
    return part;
}

/* Words [first, first + part->w.n) of the sequences of the chunk. */
static void pool_columns(const token_chunk *chunk, const tandem_packed_linear *part, int first,
                         float *logits) {
    const tandem_finish *f = chunk->finish;
    const tandem_splade *how = &f->plan->splade;
    const int32_t *offsets = chunk->batch->offsets;
    const size_t vocab = (size_t)f->plan->vocab;
    int b = chunk->sequence;
    for (int row = 0; row < chunk->rows; row += ROWS) {
        const int rows = chunk->rows - row < ROWS ? chunk->rows - row : ROWS;
        const tandem_gemm_args args = {.a = chunk->words + (size_t)row * f->words_stride,
                                       .lda = f->words_stride,
                                       .w = &part->w,
                                       .bias = part->bias,
                                       .c = logits,
                                       .ldc = COLUMNS};
        tandem_gemm_run(&f->kernels.gemm, &args, 0, rows, 0, tandem_gemm_panel_count(&part->w));
        for (int i = 0; i < rows; i++) {
            const int token = chunk->first + row + i;
            while (offsets[b + 1] <= token) b++;
            float *to = chunk->out + (size_t)b * vocab + first;
            const float *from = logits + (size_t)i * COLUMNS;
            if (token == offsets[b]) memset(to, 0, (size_t)part->w.n * sizeof *to);
            if (how->is_sum)
                take_sum(how, from, part->w.n, to);
            else
                take_largest(from, part->w.n, to);
            if (token == offsets[b + 1] - 1) finish_row(how, part->w.n, to);
        }
    }
}

static void compute_words(const token_chunk *chunk, int begin, int end, int worker) {
    const tandem_finish *f = chunk->finish;
    const tandem_packed_linear *decoder = &f->lm_decoder;
    const int step = COLUMNS / decoder->w.nr;
    for (int panel = begin; panel < end; panel += step) {
        const int past = panel + step < end ? panel + step : end;
        const tandem_packed_linear part = take_panels(decoder, panel, past);
        pool_columns(chunk, &part, panel * decoder->w.nr,
                     f->logits + (size_t)worker * ROWS * COLUMNS);
    }
}

void tandem__finish_sparse_part(const tandem_finish *finish, const tandem_finish_part *part) {
    const int32_t *offsets = part->batch->offsets;
    const int first = offsets[part->begin];
    const int tokens = offsets[part->end] - first;
    const int panels = tandem_gemm_panel_count(&finish->lm_decoder.w);
    const size_t of_thread = (size_t)part->worker * FINISH_ROWS * finish->words_stride;
    token_chunk now = {.finish = finish,
                       .batch = part->batch,
                       .sequence = part->begin,
                       .stride = part->stride,
                       .words = finish->words + of_thread,
                       .out = part->out};
    for (int row = 0; row < tokens; row += FINISH_ROWS) {
        now.first = first + row;
        now.rows = tokens - row < FINISH_ROWS ? tokens - row : FINISH_ROWS;
        now.states = part->states + (size_t)row * part->stride;
        while (offsets[now.sequence + 1] <= now.first) now.sequence++;
        compute_states(&now, 0, now.rows);
        compute_words(&now, 0, panels, part->worker);
    }
}

static int share(int units, int index, int count) {
    return (int)((int64_t)units * index / count);
}

static void run_states(void *context, int tile, int worker) {
    const token_chunk *now = context;
    const int parts = now->finish->threads;
    (void)worker;
    compute_states(now, share(now->rows, tile, parts), share(now->rows, tile + 1, parts));
}

static void run_words(void *context, int tile, int worker) {
    const token_chunk *now = context;
    const int parts = now->finish->threads;
    const int panels = tandem_gemm_panel_count(&now->finish->lm_decoder.w);
    compute_words(now, share(panels, tile, parts), share(panels, tile + 1, parts), worker);
}

void tandem__finish_sparse(const tandem_finish *finish, const tandem_batch *batch,
                           const float *states, size_t stride, float *out) {
    const int most = finish->threads * FINISH_ROWS;
    token_chunk now = {
        .finish = finish, .batch = batch, .stride = stride, .words = finish->words, .out = out};
    for (int first = 0; first < batch->tokens; first += most) {
        now.first = first;
        now.rows = batch->tokens - first < most ? batch->tokens - first : most;
        now.states = states + (size_t)first * stride;
        while (batch->offsets[now.sequence + 1] <= first) now.sequence++;
        tandem__pool_run(finish->pool, finish->threads, run_states, &now);
        tandem__pool_run(finish->pool, finish->threads, run_words, &now);
    }
}
