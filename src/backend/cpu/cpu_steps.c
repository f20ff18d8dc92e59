/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of a layer, each over a range of a frame's rows and, where it is a product, of the
 * matrix's panels. With norms after the sublayers (BERT) `input` is `x`:
 *
 *     qkv     = input · Wqkv + b            project_norm: x = norm(x)
 *     context = attention(qkv)              or, norms first: input = norm(x) for the next sublayer
 *     x       = context · Wo + b + x
 *     ffn     = act(input · Wup + b)        down_norm: the same, with the next layer's norm
 *     x       = ffn · Wdown + b + x */
#include <string.h>

#include "backend/cpu/cpu_internal.h"
#include "base/assert.h"

cpu_span tandem__cpu_panels(const tandem_packed_linear *linear) {
    return (cpu_span){0, tandem_gemm_panel_count(&linear->w)};
}

/* Sequence that holds the token. */
static int sequence_of(const tandem_batch *batch, int token) {
    int low = 0;
    int high = batch->sequences;
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (batch->offsets[middle] <= token)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static void norm_rows(const cpu_run *run, const tandem_packed_norm *norm, const float *x, float *y,
                      cpu_span rows) {
    const cpu_lane *lane = run->lane;
    const size_t stride = lane->strides.x;
    const int hidden = lane->plan->hidden;
    if (norm->gamma == NULL) {
        for (int row = rows.begin; row < rows.end && x != y; row++) {
            memcpy(y + (size_t)row * stride, x + (size_t)row * stride, (size_t)hidden * sizeof *y);
        }
        return;
    }
    const tandem_norm_args args = {.x = x,
                                   .x_stride = stride,
                                   .y = y,
                                   .y_stride = stride,
                                   .gamma = norm->gamma,
                                   .beta = norm->beta,
                                   .eps = lane->plan->norm_eps,
                                   .hidden = hidden};
    lane->kernels.norm.layernorm(&args, rows.begin, rows.end);
}

/* Copies rows of x without their padding to dst, whose row 0 is the batch's first token. */
static void copy_out(const cpu_run *run, const cpu_frame *frame, const float *x, cpu_span rows,
                     float *dst) {
    const size_t hidden = (size_t)run->lane->plan->hidden;
    for (int row = rows.begin; row < rows.end; row++) {
        memcpy(dst + (size_t)(frame->first + row) * hidden, x + (size_t)row * run->lane->strides.x,
               hidden * sizeof *dst);
    }
}

static void write_state(const cpu_run *run, const cpu_frame *frame, int state, cpu_span rows) {
    if (run->output != TANDEM_OUTPUT_STATES) return;
    const size_t hidden = (size_t)run->lane->plan->hidden;
    const size_t offset = (size_t)state * (size_t)run->batch->tokens * hidden;
    copy_out(run, frame, frame->x, rows, run->out + offset);
}

/* After the last layer: the final norm, which leaves the token vectors in frame->input. */
static void finish_rows(const cpu_run *run, const cpu_frame *frame, cpu_span rows) {
    norm_rows(run, &run->lane->weights.final_norm, frame->x, frame->input, rows);
    if (run->output == TANDEM_OUTPUT_TOKENS) copy_out(run, frame, frame->input, rows, run->out);
}

/* What stands between state `layer` and the layer itself. */
static void enter_layer(const cpu_run *run, const cpu_frame *frame, int layer, cpu_span rows) {
    const tandem_plan *plan = run->lane->plan;
    write_state(run, frame, layer, rows);
    if (layer == plan->layer_count)
        finish_rows(run, frame, rows);
    else if (plan->is_norm_first)
        norm_rows(run, &run->lane->weights.layers[layer].attention_norm, frame->x, frame->input,
                  rows);
}

void tandem__cpu_embed(const cpu_run *run, const cpu_frame *frame, cpu_span rows) {
    const cpu_lane *lane = run->lane;
    const cpu_weights *weights = &lane->weights;
    const bool is_projected = weights->embedding_projection.w.n > 0;
    const int first = frame->first;
    const tandem_embed_args args = {
        .word = weights->word,
        .position = weights->position,
        .type = weights->type,
        .ids = run->batch->ids + first,
        .positions = lane->ws.positions + first,
        .types = run->batch->types == NULL ? NULL : run->batch->types + first,
        .out = is_projected ? frame->ffn : frame->x,
        .out_stride = is_projected ? lane->strides.ffn : lane->strides.x,
        .gamma = weights->embedding_norm.gamma,
        .beta = weights->embedding_norm.beta,
        .eps = lane->plan->norm_eps,
        .hidden = (int)lane->plan->word.cols};
    tandem_embed_run(&lane->kernels.embed, &args, rows.begin, rows.end);
    if (is_projected) {
        const cpu_span panels = tandem__cpu_panels(&weights->embedding_projection);
        const tandem_gemm_args product = {.a = frame->ffn,
                                          .lda = lane->strides.ffn,
                                          .w = &weights->embedding_projection.w,
                                          .bias = weights->embedding_projection.bias,
                                          .c = frame->x,
                                          .ldc = lane->strides.x};
        tandem__cpu_multiply(lane, &weights->embedding_projection, &product, rows, panels);
    }
    enter_layer(run, frame, 0, rows);
}

void tandem__cpu_qkv(const cpu_run *run, const cpu_frame *frame, int layer, cpu_span rows,
                     cpu_span panels) {
    const cpu_lane *lane = run->lane;
    const tandem_packed_linear *qkv = &lane->weights.layers[layer].qkv;
    const tandem_gemm_args args = {.a = frame->input,
                                   .lda = lane->strides.x,
                                   .w = &qkv->w,
                                   .bias = qkv->bias,
                                   .c = frame->qkv[layer & 1],
                                   .ldc = lane->strides.qkv};
    tandem__cpu_multiply(lane, qkv, &args, rows, panels);
}

/* A sequence in a frame: its first row there, its tokens, and the query rows wanted, counted from
 * its start. */
typedef struct sequence_rows {
    int first;
    int tokens;
    cpu_span queries;
} sequence_rows;

/* Queries of one head over keys [begin, end) of the sequence. */
static void attend_head(const cpu_run *run, const cpu_frame *frame, int layer,
                        const sequence_rows *rows, cpu_span keys, int head, float *scratch) {
    const cpu_lane *lane = run->lane;
    const cpu_layer *weights = &lane->weights.layers[layer];
    const size_t dim = (size_t)lane->plan->head_dim;
    const size_t row = (size_t)(rows->first + keys.begin);
    const float *q = frame->qkv[layer & 1] + row * lane->strides.qkv + 3 * dim * (size_t)head;
    const float *bias = weights->bias;
    if (bias != NULL) bias += (size_t)head * lane->bias_stride;
    const tandem_attention_args args = {.q = q,
                                        .k = q + dim,
                                        .v = q + 2 * dim,
                                        .stride = lane->strides.qkv,
                                        .context = frame->context + row * lane->strides.context +
                                                   dim * (size_t)head,
                                        .context_stride = lane->strides.context,
                                        .bias = bias,
                                        .bias_stride = -1,
                                        .scale = lane->plan->attention_scale,
                                        .tokens = keys.end - keys.begin,
                                        .head_dim = (int)dim};
    lane->kernels.attention.run(&args, rows->queries.begin - keys.begin,
                                rows->queries.end - keys.begin, scratch);
}

/* With a window, queries are taken a few at a time and see only the keys that some of them may. The
 * range begins at a multiple of the kernels' 16 lanes, so that sums keep their order; what the
 * table of biases hides adds exact zeros to them. */
static void attend_sequence(const cpu_run *run, const cpu_frame *frame, int layer,
                            const sequence_rows *rows, cpu_span heads, float *scratch) {
    enum { QUERIES = 64, LANES = 16 };
    const int window = run->lane->plan->layers[layer].window;
    const cpu_span all = {0, rows->tokens};
    for (int head = heads.begin; head < heads.end; head++) {
        if (window == 0) {
            attend_head(run, frame, layer, rows, all, head, scratch);
            continue;
        }
        for (int query = rows->queries.begin; query < rows->queries.end; query += QUERIES) {
            sequence_rows part = *rows;
            part.queries.begin = query;
            if (query + QUERIES < part.queries.end) part.queries.end = query + QUERIES;
            const int low = query - window > 0 ? (query - window) / LANES * LANES : 0;
            const int left = rows->tokens - part.queries.end;
            const cpu_span keys = {low, left > window ? part.queries.end + window : rows->tokens};
            attend_head(run, frame, layer, &part, keys, head, scratch);
        }
    }
}

void tandem__cpu_attend(const cpu_run *run, const cpu_frame *frame, int layer, cpu_span rows,
                        cpu_span heads, int worker) {
    const tandem_batch *batch = run->batch;
    const cpu_workspace *ws = &run->lane->ws;
    float *scratch = (float *)(void *)(ws->scratch + (size_t)worker * ws->scratch_bytes);
    int row = rows.begin;
    int sequence = sequence_of(batch, frame->first + row);
    for (; row < rows.end; sequence++) {
        const int first = batch->offsets[sequence] - frame->first;
        const int end = batch->offsets[sequence + 1] - frame->first;
        TANDEM_ASSERT(first >= 0 && end <= frame->rows);
        const int stop = end < rows.end ? end : rows.end;
        const sequence_rows part = {first, end - first, {row - first, stop - first}};
        attend_sequence(run, frame, layer, &part, heads, scratch);
        row = stop;
    }
}

void tandem__cpu_project(const cpu_run *run, const cpu_frame *frame, int layer, cpu_span rows,
                         cpu_span panels) {
    const cpu_lane *lane = run->lane;
    const tandem_packed_linear *output = &lane->weights.layers[layer].output;
    const tandem_gemm_args args = {.a = frame->context,
                                   .lda = lane->strides.context,
                                   .w = &output->w,
                                   .bias = output->bias,
                                   .residual = frame->x,
                                   .ld_residual = lane->strides.x,
                                   .c = frame->x,
                                   .ldc = lane->strides.x};
    tandem__cpu_multiply(lane, output, &args, rows, panels);
}

void tandem__cpu_project_norm(const cpu_run *run, const cpu_frame *frame, int layer,
                              cpu_span rows) {
    const cpu_layer *weights = &run->lane->weights.layers[layer];
    const bool is_first = run->lane->plan->is_norm_first;
    norm_rows(run, is_first ? &weights->ffn_norm : &weights->attention_norm, frame->x, frame->input,
              rows);
}

void tandem__cpu_up(const cpu_run *run, const cpu_frame *frame, int layer, cpu_span rows,
                    cpu_span panels) {
    const cpu_lane *lane = run->lane;
    const cpu_layer *weights = &lane->weights.layers[layer];
    const bool has_gate = weights->gate.w.n > 0;
    const tandem_act activation = (tandem_act)lane->plan->activation;
    tandem_gemm_args args = {.a = frame->input,
                             .lda = lane->strides.x,
                             .w = &weights->up.w,
                             .bias = weights->up.bias,
                             .c = frame->ffn,
                             .ldc = lane->strides.ffn,
                             .act = has_gate ? TANDEM_ACT_NONE : activation};
    tandem__cpu_multiply(lane, &weights->up, &args, rows, panels);
    if (!has_gate) return;
    args.w = &weights->gate.w;
    args.bias = weights->gate.bias;
    args.c = frame->gate;
    args.act = activation;
    tandem__cpu_multiply(lane, &weights->gate, &args, rows, panels);
    const int begin = panels.begin * weights->up.w.nr;
    const int end = panels.end * weights->up.w.nr < lane->plan->ffn ? panels.end * weights->up.w.nr
                                                                    : lane->plan->ffn;
    for (int row = rows.begin; row < rows.end; row++) {
        float *up = frame->ffn + (size_t)row * lane->strides.ffn;
        const float *gate = frame->gate + (size_t)row * lane->strides.ffn;
        for (int i = begin; i < end; i++) up[i] *= gate[i];
    }
}

void tandem__cpu_down(const cpu_run *run, const cpu_frame *frame, int layer, cpu_span rows,
                      cpu_span panels) {
    const cpu_lane *lane = run->lane;
    const tandem_packed_linear *down = &lane->weights.layers[layer].down;
    const tandem_gemm_args args = {.a = frame->ffn,
                                   .lda = lane->strides.ffn,
                                   .w = &down->w,
                                   .bias = down->bias,
                                   .residual = frame->x,
                                   .ld_residual = lane->strides.x,
                                   .c = frame->x,
                                   .ldc = lane->strides.x};
    tandem__cpu_multiply(lane, down, &args, rows, panels);
}

void tandem__cpu_down_norm(const cpu_run *run, const cpu_frame *frame, int layer, cpu_span rows) {
    if (!run->lane->plan->is_norm_first)
        norm_rows(run, &run->lane->weights.layers[layer].ffn_norm, frame->x, frame->x, rows);
    enter_layer(run, frame, layer + 1, rows);
}

void tandem__cpu_rest(const cpu_run *run, const cpu_frame *frame, int layer, cpu_span rows) {
    const cpu_layer *weights = &run->lane->weights.layers[layer];
    const int count = rows.end - rows.begin;
    const int blocks = (count + run->lane->row_block - 1) / run->lane->row_block;
    for (int block = 0; block < blocks; block++) {
        const cpu_span part = tandem__cpu_share(rows, block, blocks);
        tandem__cpu_project(run, frame, layer, part, tandem__cpu_panels(&weights->output));
        tandem__cpu_project_norm(run, frame, layer, part);
        tandem__cpu_up(run, frame, layer, part, tandem__cpu_panels(&weights->up));
        tandem__cpu_down(run, frame, layer, part, tandem__cpu_panels(&weights->down));
        tandem__cpu_down_norm(run, frame, layer, part);
    }
}
