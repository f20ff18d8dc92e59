/* SPDX-License-Identifier: Apache-2.0 */
/* A batch by products of the whole batch, for a sgemm of the system that has its own threads:
 *
 *     caller   sgemm QKV          sgemm out            sgemm up (gate)      sgemm down
 *     pool              attention           bias, norm          bias, act            bias, norm
 *
 * A product is one call on the caller's thread, between jobs of the pool and never inside one. What
 * the kernels would do at the end of their tiles follows as a pass of its own over the rows; the
 * residual is what the product is added to. A step whose products the kernels do better at this
 * number of tokens is theirs. */
#include "backend/cpu/cpu_internal.h"

enum {
    PANEL_STEP = 2,     /* as cpu_run.c cuts panels */
    TILES_A_THREAD = 4, /* of attention, whose tiles differ in length */
    ROWS_ALONE = 8,     /* rows of a tile that a thread is worth waking for */
};

typedef struct product_job {
    const cpu_lane *lane;
    tandem_gemm_args args;
    cpu_span rows;
    int blocks;
    int parts;
} product_job;

void tandem__cpu_product_system(const cpu_lane *lane, const cpu_product *product) {
    const tandem_gemm_matrix *w = &product->linear->w;
    lane->sgemm(ACCELERATE_ROW_MAJOR, ACCELERATE_AS_IS, ACCELERATE_TRANSPOSED, product->tokens,
                w->n, w->k, 1.0f, product->a, (int)product->lda, product->linear->rows, w->k,
                product->adds ? 1.0f : 0.0f, product->c, (int)product->ldc);
}

static void run_product(void *context, int tile, int worker) {
    const product_job *job = context;
    const int panels = tandem_gemm_panel_count(job->args.w);
    const cpu_span rows = tandem__cpu_share(job->rows, tile / job->parts, job->blocks);
    const cpu_span steps = tandem__cpu_share((cpu_span){0, (panels + PANEL_STEP - 1) / PANEL_STEP},
                                             tile % job->parts, job->parts);
    const int end = steps.end * PANEL_STEP < panels ? steps.end * PANEL_STEP : panels;
    (void)worker;
    tandem_gemm_run(&job->lane->kernels.gemm, &job->args, rows.begin, rows.end,
                    steps.begin * PANEL_STEP, end);
}

void tandem__cpu_product_kernels(const cpu_lane *lane, const cpu_product *product) {
    const int block = lane->row_block;
    product_job job = {.lane = lane,
                       .args = {.a = product->a,
                                .lda = product->lda,
                                .w = &product->linear->w,
                                .residual = product->adds ? product->c : NULL,
                                .ld_residual = product->ldc,
                                .c = product->c,
                                .ldc = product->ldc},
                       .rows = {0, product->tokens},
                       .blocks = (product->tokens + block - 1) / block};
    job.parts = (lane->threads + job.blocks - 1) / job.blocks;
    tandem__pool_run(lane->pool, job.blocks * job.parts, run_product, &job);
}

static void multiply(const cpu_run *run, const cpu_product *product) {
    const int rows_min = product->linear->rows_min;
    if (rows_min > 0 && product->tokens >= rows_min)
        tandem__cpu_product_system(run->lane, product);
    else
        tandem__cpu_product_kernels(run->lane, product);
}

/* The passes between the products. */

typedef struct whole_job {
    const cpu_run *run;
    cpu_frame frame;
    int layer;
    int groups; /* of sequences */
    int parts;  /* of the heads, or of the rows */
} whole_job;

static cpu_span rows_of(const whole_job *job, int tile) {
    return tandem__cpu_share((cpu_span){0, job->frame.rows}, tile, job->parts);
}

static const cpu_layer *layer_of(const whole_job *job) {
    return &job->run->lane->weights.layers[job->layer];
}

/* Columns [begin, end) of the rows. */
static void add_bias(const float *bias, cpu_span rows, cpu_span columns, float *x, size_t stride) {
    if (bias == NULL) return;
    for (int row = rows.begin; row < rows.end; row++) {
        float *at = x + (size_t)row * stride;
        for (int i = columns.begin; i < columns.end; i++) at[i] += bias[i];
    }
}

static void run_embed(void *context, int tile, int worker) {
    const whole_job *job = context;
    (void)worker;
    tandem__cpu_embed(job->run, &job->frame, rows_of(job, tile));
}

static void run_attention(void *context, int tile, int worker) {
    const whole_job *job = context;
    const cpu_lane *lane = job->run->lane;
    const int32_t *groups = lane->ws.group_offsets + tile / job->parts;
    const int32_t *offsets = job->run->batch->offsets;
    const cpu_span rows = {offsets[groups[0]], offsets[groups[1]]};
    const cpu_span heads =
        tandem__cpu_share((cpu_span){0, lane->plan->heads}, tile % job->parts, job->parts);
    const int columns = 3 * lane->plan->head_dim;
    add_bias(layer_of(job)->qkv.bias, rows, (cpu_span){heads.begin * columns, heads.end * columns},
             job->frame.qkv[job->layer & 1], lane->strides.qkv);
    tandem__cpu_rotate(job->run, &job->frame, job->layer, rows, heads);
    tandem__cpu_attend(job->run, &job->frame, job->layer, rows, heads, worker);
}

static void run_project_norm(void *context, int tile, int worker) {
    const whole_job *job = context;
    const cpu_lane *lane = job->run->lane;
    const cpu_span rows = rows_of(job, tile);
    (void)worker;
    add_bias(layer_of(job)->output.bias, rows, (cpu_span){0, lane->plan->hidden}, job->frame.x,
             lane->strides.x);
    tandem__cpu_project_norm(job->run, &job->frame, job->layer, rows);
}

static void run_activation(void *context, int tile, int worker) {
    const whole_job *job = context;
    const cpu_lane *lane = job->run->lane;
    const cpu_layer *weights = layer_of(job);
    const cpu_span rows = rows_of(job, tile);
    const cpu_span columns = {0, lane->plan->ffn};
    const size_t stride = lane->strides.ffn;
    const bool has_gate = weights->gate.w.n > 0;
    const tandem_act act = (tandem_act)lane->plan->activation;
    float *activated = has_gate ? job->frame.gate : job->frame.ffn;
    (void)worker;
    add_bias(weights->up.bias, rows, columns, job->frame.ffn, stride);
    if (has_gate) add_bias(weights->gate.bias, rows, columns, job->frame.gate, stride);
    for (int row = rows.begin; row < rows.end; row++) {
        float *x = activated + (size_t)row * stride;
        float *up = job->frame.ffn + (size_t)row * stride;
        lane->kernels.activation.apply[act](x, (size_t)columns.end);
        for (int i = 0; i < columns.end && has_gate; i++) up[i] *= x[i];
    }
}

static void run_down_norm(void *context, int tile, int worker) {
    const whole_job *job = context;
    const cpu_lane *lane = job->run->lane;
    const cpu_span rows = rows_of(job, tile);
    (void)worker;
    add_bias(layer_of(job)->down.bias, rows, (cpu_span){0, lane->plan->hidden}, job->frame.x,
             lane->strides.x);
    tandem__cpu_down_norm(job->run, &job->frame, job->layer, rows);
}

static void run_rows(whole_job *job, tandem_pool_function function) {
    const int most = (job->frame.rows + ROWS_ALONE - 1) / ROWS_ALONE;
    job->parts = job->run->lane->threads < most ? job->run->lane->threads : most;
    tandem__pool_run(job->run->lane->pool, job->parts, function, job);
}

static void attend(whole_job *job) {
    const cpu_lane *lane = job->run->lane;
    const int tiles = lane->threads * TILES_A_THREAD;
    const int parts = (tiles + job->groups - 1) / job->groups;
    job->parts = parts < lane->plan->heads ? parts : lane->plan->heads;
    tandem__pool_run(lane->pool, job->groups * job->parts, run_attention, job);
}

static void forward_layer(whole_job *job) {
    const cpu_run *run = job->run;
    const cpu_strides *strides = &run->lane->strides;
    const cpu_layer *weights = layer_of(job);
    const cpu_frame *f = &job->frame;
    const int tokens = f->rows;
    float *qkv = f->qkv[job->layer & 1];
    multiply(run,
             &(cpu_product){&weights->qkv, f->input, strides->x, qkv, strides->qkv, tokens, false});
    attend(job);
    multiply(run, &(cpu_product){&weights->output, f->context, strides->context, f->x, strides->x,
                                 tokens, true});
    run_rows(job, run_project_norm);
    multiply(run, &(cpu_product){&weights->up, f->input, strides->x, f->ffn, strides->ffn, tokens,
                                 false});
    if (weights->gate.w.n > 0) {
        multiply(run, &(cpu_product){&weights->gate, f->input, strides->x, f->gate, strides->ffn,
                                     tokens, false});
    }
    run_rows(job, run_activation);
    multiply(run,
             &(cpu_product){&weights->down, f->ffn, strides->ffn, f->x, strides->x, tokens, true});
    run_rows(job, run_down_norm);
}

void tandem__cpu_forward_whole(const cpu_run *run) {
    const cpu_lane *lane = run->lane;
    whole_job job = {.run = run,
                     .frame = tandem__cpu_frame(lane, lane->ws.frames, 0, run->batch->tokens)};
    job.groups = tandem__cpu_groups(run, lane->threads * TILES_A_THREAD);
    run_rows(&job, run_embed);
    for (; job.layer < lane->plan->layer_count; job.layer++) forward_layer(&job);
    tandem__cpu_finish(run, &job.frame);
}
