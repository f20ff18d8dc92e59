/* SPDX-License-Identifier: Apache-2.0 */
/* From token vectors to the vectors of sequences; finish_sparse.c has the sparse ones. Pooling is
 * plain C in double (kernels/pooling); the modules and heads are the kernels' products in f32. Rows
 * of different sequences never meet, so any cut by sequences gives the same bits. */
#include "backend/finish.h"

#include <stdio.h>
#include <string.h>

#include "backend/finish_internal.h"
#include "base/cpu.h"
#include "base/fail.h"
#include "base/mem.h"

enum { ALONE_FLOATS = 64 * 1024, ALONE_ROWS = 16 }; /* up to so much other threads do not help */

/* Open. */

static void visit_weights(tandem_packing *packing, void *context) {
    tandem_finish *f = context;
    const tandem_plan *plan = f->plan;
    for (int i = 0; i < plan->dense_count; i++) {
        finish_dense *dense = &f->dense[i];
        tandem__packing_linear(packing, &plan->dense[i].linear, &dense->linear, "dense");
        tandem__packing_linear(packing, &plan->dense[i].residual, &dense->residual, "residual");
        dense->norm = tandem__packing_norm(packing, &plan->dense[i].norm, "module.norm");
    }
    tandem__packing_linear(packing, &plan->head_dense, &f->head_dense, "head.dense");
    f->head_norm = tandem__packing_norm(packing, &plan->head_norm, "head.norm");
    tandem__packing_linear(packing, &plan->classifier, &f->classifier, "classifier");
    tandem__packing_linear(packing, &plan->lm_dense, &f->lm_dense, "lm.dense");
    f->lm_norm = tandem__packing_norm(packing, &plan->lm_norm, "lm.norm");
    tandem__packing_linear(packing, &plan->lm_decoder, &f->lm_decoder, "lm.decoder");
}

static tandem_status open_weights(tandem_finish *f, tandem_dtype dtype, tandem_error *err) {
    if (f->plan->dense_count > 0) {
        f->dense = tandem__mem_calloc((size_t)f->plan->dense_count, sizeof *f->dense);
        if (f->dense == NULL)
            return TANDEM_FAIL(err, MEMORY, "no memory for %d modules", (int)f->plan->dense_count);
    }
    tandem_packing packing = {
        .plan = f->plan, .kernels = &f->kernels, .pool = f->pool, .dtype = dtype};
    return tandem__packing_run(&packing, visit_weights, f, &f->weights, &f->weights_bytes, err);
}

/* [pooled 2x][words 1..threads][logits 1..threads] */
static tandem_status open_workspace(tandem_finish *f, int32_t sequences_max, tandem_error *err) {
    const tandem_plan *plan = f->plan;
    const bool has_words = plan->lm_decoder.weight.data != NULL;
    const size_t threads = (size_t)f->threads;
    const size_t pooled = (size_t)tandem__plan_pooled_width(plan);
    const size_t head = (size_t)plan->head_dense.weight.rows;
    f->pooled_stride = tandem__row_stride(pooled > head ? pooled : head);
    f->words_stride = tandem__row_stride((size_t)plan->lm_dense.weight.rows);
    const size_t pooled_floats = (size_t)sequences_max * f->pooled_stride;
    const size_t words_floats = has_words ? threads * FINISH_ROWS * f->words_stride : 0;
    const size_t logits_bytes = has_words ? threads * tandem__finish_logits_bytes() : 0;
    f->memory_bytes = (2 * pooled_floats + words_floats) * sizeof(float) + logits_bytes;
    f->memory = tandem__mem_alloc_aligned(f->memory_bytes);
    if (f->memory == NULL)
        return TANDEM_FAIL(err, MEMORY, "no memory for pooling, %zu bytes", f->memory_bytes);
    f->pooled[0] = (float *)(void *)f->memory;
    f->pooled[1] = f->pooled[0] + pooled_floats;
    f->words = f->pooled[1] + pooled_floats;
    f->logits = f->words + words_floats;
    return TANDEM_OK;
}

tandem_status tandem__finish_open(const tandem_plan *plan, const tandem_backend_options *options,
                                  tandem_finish **finish, tandem_error *err) {
    tandem_finish *f = tandem__mem_calloc(1, sizeof *f);
    if (f == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for what follows the layers");
    (void)pthread_mutex_init(&f->lock, NULL);
    f->plan = plan;
    f->pool = options->pool;
    f->threads = tandem__pool_threads(options->pool);
    tandem_kernels_fill(&f->kernels, tandem__cpu_flags());
    const bool is_f32 = options->dtype == TANDEM_DTYPE_F32;
    tandem_status status = open_workspace(f, options->sequences_max, err);
    if (status == TANDEM_OK)
        status = open_weights(f, is_f32 ? TANDEM_DTYPE_F32 : TANDEM_DTYPE_F16, err);
    if (status != TANDEM_OK) {
        tandem__finish_close(f);
        return status;
    }
    *finish = f;
    return TANDEM_OK;
}

void tandem__finish_close(tandem_finish *f) {
    if (f == NULL) return;
    if (f->memory != NULL) tandem__mem_free_aligned(f->memory, f->memory_bytes);
    if (f->weights != NULL) tandem__mem_free_aligned(f->weights, f->weights_bytes);
    tandem__mem_free(f->dense);
    (void)pthread_mutex_destroy(&f->lock);
    tandem__mem_free(f);
}

int64_t tandem__finish_bytes(const tandem_finish *finish) {
    return (int64_t)finish->weights_bytes;
}

int64_t tandem__finish_workspace_bytes(const tandem_finish *finish) {
    return (int64_t)finish->memory_bytes;
}

/* Pooling. */

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

/* The rows of a sequence, the first `skip` of them left out. */
typedef struct sequence_rows {
    const float *x;
    size_t stride;
    int rows;
    int skip;
    int width;
} sequence_rows;

static void pool_sequence(tandem_pooling pooling, const sequence_rows *s, float *out) {
    if (pooling == TANDEM_POOLING_WEIGHTED_MEAN && s->skip > 0) {
        pool_weighted(s->x, s->stride, s->skip, s->rows, s->width, out);
        return;
    }
    tandem_pool_rows((tandem_pool_kind)pooling, s->x + (size_t)s->skip * s->stride, s->stride,
                     s->rows - s->skip, s->width, out);
}

static void pool_part(tandem_finish *f, const tandem_finish_part *part) {
    const tandem_plan *plan = f->plan;
    const tandem_batch *batch = part->batch;
    const bool wants_head = part->output == TANDEM_OUTPUT_HEAD;
    const bool is_mean = plan->head_pooling == TANDEM_POOLING_MEAN;
    const tandem_pooling of_head = is_mean ? TANDEM_POOLING_MEAN : TANDEM_POOLING_CLS;
    const int32_t first = batch->offsets[part->begin];
    for (int32_t b = part->begin; b < part->end; b++) {
        const sequence_rows rows = {
            .x = part->states + (size_t)(batch->offsets[b] - first) * part->stride,
            .stride = part->stride,
            .rows = batch->offsets[b + 1] - batch->offsets[b],
            .skip = wants_head || batch->pool_skip == NULL ? 0 : batch->pool_skip[b],
            .width = plan->hidden};
        float *pooled = f->pooled[0] + (size_t)b * f->pooled_stride;
        if (!wants_head && plan->dense_count == 0)
            pooled = part->out + (size_t)b * (size_t)plan->dimensions;
        pool_sequence(wants_head ? of_head : plan->pooling, &rows, pooled);
        for (int i = 1; i <= plan->joined_count && !wants_head; i++) {
            pool_sequence(tandem__plan_pooling(plan, i), &rows,
                          pooled + (size_t)i * (size_t)plan->hidden);
        }
    }
}

void tandem__finish_part(tandem_finish *finish, const tandem_finish_part *part) {
    if (part->output == TANDEM_OUTPUT_SPARSE)
        tandem__finish_sparse_part(finish, part);
    else if (part->output == TANDEM_OUTPUT_POOLED || part->output == TANDEM_OUTPUT_HEAD)
        pool_part(finish, part);
}

/* Modules and head, from pooled[0] on. */

/* Some of the pooled rows, and where their results go. */
typedef struct pooled_rows {
    tandem_finish *finish;
    tandem_output output;
    int sequences;
    int begin;
    int end;
    float *out;
} pooled_rows;

/* y = act(x Wᵀ + b), plus y itself with `adds`; rows pooled_stride apart. */
static void apply(const pooled_rows *rows, const tandem_packed_linear *linear, tandem_act act,
                  const float *x, float *y, bool adds) {
    const tandem_finish *f = rows->finish;
    const tandem_gemm_args args = {.a = x,
                                   .lda = f->pooled_stride,
                                   .w = &linear->w,
                                   .bias = linear->bias,
                                   .residual = adds ? y : NULL,
                                   .ld_residual = f->pooled_stride,
                                   .c = y,
                                   .ldc = f->pooled_stride,
                                   .act = act};
    tandem_gemm_run(&f->kernels.gemm, &args, rows->begin, rows->end, 0,
                    tandem_gemm_panel_count(&linear->w));
}

static void norm_pooled(const pooled_rows *rows, const tandem_packed_norm *norm, float eps,
                        int width, float *x) {
    const tandem_finish *f = rows->finish;
    const tandem_norm_args args = {.x = x,
                                   .x_stride = f->pooled_stride,
                                   .y = x,
                                   .y_stride = f->pooled_stride,
                                   .gamma = norm->gamma,
                                   .beta = norm->beta,
                                   .eps = eps,
                                   .hidden = width};
    f->kernels.norm.layernorm(&args, rows->begin, rows->end);
}

static void apply_linear(const pooled_rows *rows, const tandem_plan_dense *module,
                         const finish_dense *weights, const float *x, float *y) {
    const size_t stride = rows->finish->pooled_stride;
    const bool is_late = tandem__activation_is_late(module->activation);
    const tandem_act act = is_late ? TANDEM_ACT_NONE : (tandem_act)module->activation;
    const int out = weights->linear.w.n;
    apply(rows, &weights->linear, act, x, y, false);
    for (int b = rows->begin; b < rows->end && is_late; b++)
        tandem__activate(module->activation, y + (size_t)b * stride, out);
    if (weights->residual.w.n > 0) {
        apply(rows, &weights->residual, TANDEM_ACT_NONE, x, y, true);
        return;
    }
    for (int b = rows->begin; b < rows->end && module->has_residual; b++) {
        for (int i = 0; i < out; i++)
            y[(size_t)b * stride + (size_t)i] += x[(size_t)b * stride + (size_t)i];
    }
}

/* The modules after the pooling, and the result without padding. */
static void finish_vectors(const pooled_rows *rows) {
    const tandem_finish *f = rows->finish;
    const tandem_plan *plan = f->plan;
    const size_t stride = f->pooled_stride;
    float *x = f->pooled[0];
    float *y = f->pooled[1];
    int width = plan->hidden * (1 + plan->joined_count);
    for (int i = 0; i < plan->dense_count; i++) {
        const tandem_plan_dense *module = &plan->dense[i];
        const finish_dense *weights = &f->dense[i];
        if (module->kind == TANDEM_DENSE_NORM) {
            norm_pooled(rows, &weights->norm, module->norm_eps, width, x);
        } else if (module->kind == TANDEM_DENSE_UNIT) {
            for (int b = rows->begin; b < rows->end; b++)
                tandem_pool_normalize(x + (size_t)b * stride, width);
        } else {
            apply_linear(rows, module, weights, x, y);
            float *swap = x;
            x = y;
            y = swap;
            width = weights->linear.w.n;
        }
    }
    for (int b = rows->begin; b < rows->end; b++) {
        memcpy(rows->out + (size_t)b * (size_t)width, x + (size_t)b * stride,
               (size_t)width * sizeof *x);
    }
}

static void finish_head(const pooled_rows *rows) {
    const tandem_finish *f = rows->finish;
    float *x = f->pooled[0];
    if (f->head_dense.w.n > 0) {
        apply(rows, &f->head_dense, (tandem_act)f->plan->head_activation, x, f->pooled[1], false);
        x = f->pooled[1];
    }
    if (f->head_norm.gamma != NULL)
        norm_pooled(rows, &f->head_norm, f->plan->norm_eps, f->classifier.w.k, x);
    const tandem_gemm_args args = {.a = x,
                                   .lda = f->pooled_stride,
                                   .w = &f->classifier.w,
                                   .bias = f->classifier.bias,
                                   .c = rows->out,
                                   .ldc = (size_t)f->plan->labels};
    tandem_gemm_run(&f->kernels.gemm, &args, rows->begin, rows->end, 0,
                    tandem_gemm_panel_count(&f->classifier.w));
}

static void run_modules(void *context, int tile, int worker) {
    pooled_rows rows = *(const pooled_rows *)context;
    const int parts = rows.finish->threads;
    (void)worker;
    rows.begin = (int)((int64_t)rows.sequences * tile / parts);
    rows.end = (int)((int64_t)rows.sequences * (tile + 1) / parts);
    if (rows.begin == rows.end) return;
    if (rows.output == TANDEM_OUTPUT_HEAD)
        finish_head(&rows);
    else
        finish_vectors(&rows);
}

static void compute_modules(tandem_finish *f, int sequences, tandem_output output, float *out) {
    pooled_rows rows = {.finish = f, .output = output, .sequences = sequences, .out = out};
    if (sequences > ALONE_ROWS) {
        tandem__pool_run(f->pool, f->threads, run_modules, &rows);
        return;
    }
    rows.end = sequences;
    if (output == TANDEM_OUTPUT_HEAD)
        finish_head(&rows);
    else
        finish_vectors(&rows);
}

void tandem__finish_parts(tandem_finish *finish, const tandem_batch *batch, tandem_output output,
                          float *out) {
    const bool has_modules = output == TANDEM_OUTPUT_HEAD ||
                             (output == TANDEM_OUTPUT_POOLED && finish->plan->dense_count > 0);
    if (has_modules) compute_modules(finish, batch->sequences, output, out);
}

/* Whole batches. */

typedef struct pool_job {
    tandem_finish *finish;
    tandem_finish_part all;
} pool_job;

static void run_pooling(void *context, int tile, int worker) {
    const pool_job *job = context;
    const int parts = job->finish->threads;
    const tandem_batch *batch = job->all.batch;
    tandem_finish_part part = job->all;
    part.worker = worker;
    part.begin = (int32_t)((int64_t)batch->sequences * tile / parts);
    part.end = (int32_t)((int64_t)batch->sequences * (tile + 1) / parts);
    part.states += (size_t)batch->offsets[part.begin] * part.stride;
    pool_part(job->finish, &part);
}

static void copy_rows(const float *from, size_t stride, size_t rows, size_t width, float *to,
                      size_t to_stride) {
    for (size_t row = 0; row < rows; row++)
        memcpy(to + row * to_stride, from + row * stride, width * sizeof *to);
}

static void pool_batch(tandem_finish *f, const tandem_finish_part *all) {
    pool_job job = {.finish = f, .all = *all};
    if ((int64_t)all->batch->tokens * f->plan->hidden > ALONE_FLOATS)
        tandem__pool_run(f->pool, f->threads, run_pooling, &job);
    else
        pool_part(f, all);
    tandem__finish_parts(f, all->batch, all->output, all->out);
}

void tandem__finish_states(tandem_finish *finish, const tandem_batch *batch, tandem_output output,
                           const float *states, size_t stride, float *out) {
    const tandem_finish_part all = {.batch = batch,
                                    .output = output,
                                    .end = batch->sequences,
                                    .states = states,
                                    .stride = stride,
                                    .out = out};
    const size_t hidden = (size_t)finish->plan->hidden;
    (void)pthread_mutex_lock(&finish->lock);
    if (output == TANDEM_OUTPUT_SPARSE)
        tandem__finish_sparse(finish, batch, states, stride, out);
    else if (output == TANDEM_OUTPUT_TOKENS)
        copy_rows(states, stride, (size_t)batch->tokens, hidden, out, hidden);
    else
        pool_batch(finish, &all);
    (void)pthread_mutex_unlock(&finish->lock);
}

void tandem__finish_pooled(tandem_finish *finish, int32_t sequences, tandem_output output,
                           const float *pooled, size_t stride, float *out) {
    const tandem_plan *plan = finish->plan;
    const int parts = output == TANDEM_OUTPUT_HEAD ? 1 : 1 + plan->joined_count;
    const size_t width = (size_t)(plan->hidden * parts);
    (void)pthread_mutex_lock(&finish->lock);
    copy_rows(pooled, stride, (size_t)sequences, width, finish->pooled[0], finish->pooled_stride);
    compute_modules(finish, sequences, output, out);
    (void)pthread_mutex_unlock(&finish->lock);
}

/* Words. */

static void say_module(const tandem_explanation *e, const tandem_plan_dense *module,
                       const finish_dense *weights) {
    const bool is_late = tandem__activation_is_late(module->activation);
    const tandem_act act = is_late ? TANDEM_ACT_NONE : (tandem_act)module->activation;
    tandem__explain_product(e, "dense", &weights->linear, act,
                            is_late ? ", activation in plain C" : "");
    tandem__explain_product(e, "residual", &weights->residual, TANDEM_ACT_NONE, "");
    tandem__explain_norm(e, "module norm", &weights->norm);
    if (module->kind == TANDEM_DENSE_UNIT) e->say(e->context, "normalize", e->where, "plain C");
}

void tandem__finish_explain(const tandem_finish *finish, tandem_step_function *say, void *context) {
    const tandem_plan *plan = finish->plan;
    tandem_explanation e = {.kernels = &finish->kernels, .say = say, .context = context};
    (void)snprintf(e.where, sizeof e.where, "%d thread%s", finish->threads,
                   finish->threads == 1 ? "" : "s");
    if (plan->pooling != TANDEM_POOLING_NONE) say(context, "pooling", e.where, "plain C");
    for (int i = 0; i < plan->dense_count; i++) say_module(&e, &plan->dense[i], &finish->dense[i]);
    tandem__explain_product(&e, "head", &finish->head_dense, (tandem_act)plan->head_activation, "");
    tandem__explain_product(&e, "classifier", &finish->classifier, TANDEM_ACT_NONE, "");
    tandem__explain_product(&e, "language model head", &finish->lm_dense,
                            (tandem_act)plan->lm_activation, "");
    tandem__explain_product(&e, "words", &finish->lm_decoder, TANDEM_ACT_NONE,
                            ", pooling in plain C");
}
