/* SPDX-License-Identifier: Apache-2.0 */
/* The network as a list of dispatches. With norms after the sublayers (BERT) the input of a
 * sublayer is x itself, with norms before (ModernBERT) y = norm(x):
 *
 *     embed                    ->  x, or ffn and then gemm -> x where the tables are narrower
 *     gemm    input . Wqkv     ->  qkv             norm   x -> x, or x -> y
 *     rope    qkv              ->  qkv             gemm   act(input . Wgate) -> ffn
 *     attention qkv            ->  context         gemm   input . Wup (* ffn) -> ffn
 *     gemm    context . Wo + x ->  x               gemm   ffn . Wdown + x -> x
 *
 * A sublayer's sum goes into x in place: a tile reads and writes the same elements. Steps are made
 * one at a time and handed on, so no list is kept; the encoder, explain and the cost model are
 * three visitors, and what one shows is what the other runs. */
#include <string.h>

#include "backend/metal/metal_internal.h"
#include "base/fail.h"

enum {
    HEAD_DIM_MAX = 128,
    FEW_ROWS = 16,      /* of the product for a few rows */
    GROUPS_WANTED = 80, /* two threadgroups a core of the largest GPU known, 40 cores */
};

#define FACT(name, threads, tile_m, tile_n, bytes) {#name, threads, tile_m, tile_n, bytes},
const metal_kernel_fact tandem__metal_kernels[METAL_KERNEL_COUNT] = {METAL_KERNELS(FACT)};

typedef struct walk {
    const metal_program *program;
    const tandem_plan *plan;
    const metal_weights *weights;
    int layer;
    int tokens;
    int inner;  /* N*D */
    int blocks; /* of queries */
} walk;

static int ceil_div(int a, int b) {
    return (a + b - 1) / b;
}

int tandem__metal_block_count(int tokens) {
    return ceil_div(tokens, METAL_QUERIES);
}

static int embedding_width(const tandem_plan *plan) {
    return (int)plan->word.cols;
}

static bool is_projected(const tandem_plan *plan) {
    return plan->embedding_projection.weight.data != NULL;
}

int64_t tandem__metal_place_bytes(const tandem_plan *plan, metal_place place, int64_t tokens,
                                  int64_t sequences) {
    const int64_t inner = (int64_t)plan->heads * plan->head_dim;
    int64_t wide = plan->ffn;
    switch (place) {
    case METAL_IDS:
    case METAL_POSITIONS:
    case METAL_TYPES:
        return tokens * 4;
    case METAL_OFFSETS:
        return (sequences + 1) * 4;
    case METAL_SKIPS:
        return sequences * 4;
    case METAL_BLOCKS:
        return (tokens / METAL_QUERIES + sequences) * (int64_t)sizeof(struct metal_block);
    case METAL_X:
        return tokens * plan->hidden * 2;
    case METAL_POOLED:
        return sequences * plan->hidden * (1 + plan->joined_count) * 4;
    case METAL_Y:
        return plan->is_norm_first ? tokens * plan->hidden * 2 : 0;
    case METAL_QKV:
        return tokens * 3 * inner * 2;
    case METAL_CONTEXT:
        return tokens * inner * 2;
    case METAL_FFN:
        if (is_projected(plan) && plan->word.cols > wide) wide = plan->word.cols;
        return tokens * wide * 2;
    case METAL_WEIGHTS:
    case METAL_PLACE_COUNT:
        break;
    }
    return 0;
}

static tandem_status check_multiple(const char *what, int64_t value, tandem_error *err) {
    if (value % 8 == 0) return TANDEM_OK;
    return TANDEM_FAIL(err, UNSUPPORTED, "the metal lane needs a multiple of 8 as %s, not %lld",
                       what, (long long)value);
}

tandem_status tandem__metal_program_check(const tandem_plan *plan, tandem_error *err) {
    TANDEM_TRY(check_multiple("head_dim", plan->head_dim, err));
    if (plan->head_dim > HEAD_DIM_MAX) {
        return TANDEM_FAIL(err, UNSUPPORTED, "the metal lane has heads of up to %d, not %d",
                           HEAD_DIM_MAX, (int)plan->head_dim);
    }
    TANDEM_TRY(check_multiple("hidden", plan->hidden, err));
    TANDEM_TRY(check_multiple("ffn", plan->ffn, err));
    TANDEM_TRY(check_multiple("the width of the word table", plan->word.cols, err));
    if (plan->word.rows * plan->word.cols <= INT32_MAX) return TANDEM_OK;
    return TANDEM_FAIL(err, UNSUPPORTED,
                       "the metal lane has tables of up to 2^31 elements, not %lld",
                       (long long)(plan->word.rows * plan->word.cols));
}

/* Which attention kernel a head of this size takes: the first that is wide enough. */
static metal_kernel attention_kernel(int head_dim) {
    if (head_dim <= tandem__metal_kernels[METAL_AT_attention_32].tile_n)
        return METAL_AT_attention_32;
    if (head_dim <= tandem__metal_kernels[METAL_AT_attention_64].tile_n)
        return METAL_AT_attention_64;
    return METAL_AT_attention_128;
}

tandem_status tandem__metal_kernels_check(const tandem_plan *plan, const bool *has_kernel,
                                          tandem_error *err) {
    const metal_kernel needed[] = {METAL_AT_embed, METAL_AT_gemm_16x32,
                                   METAL_AT_norm,  METAL_AT_rope,
                                   METAL_AT_pool,  attention_kernel(plan->head_dim)};
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) {
        if (has_kernel[needed[i]]) continue;
        return TANDEM_FAIL(err, DEVICE, "metal: this GPU gives kernel %s fewer than its %d threads",
                           tandem__metal_kernels[needed[i]].name,
                           tandem__metal_kernels[needed[i]].threads);
    }
    return TANDEM_OK;
}

/* Steps. */

static metal_step begin_step(const walk *w, metal_kernel kernel, const char *op) {
    return (metal_step){.kernel = kernel, .op = op, .layer = w->layer, .groups = {1, 1, 1}};
}

static void bind(metal_step *step, metal_place place, int64_t offset) {
    step->bindings[step->binding_count++] = (metal_binding){place, offset};
}

/* A weight, or, where it is absent and its flag 0, what was bound last. */
static void bind_weight(metal_step *step, int64_t offset) {
    const metal_binding last =
        step->bindings[step->binding_count == 0 ? 0 : step->binding_count - 1];
    if (offset == METAL_ABSENT)
        bind(step, last.place, last.offset);
    else
        bind(step, METAL_WEIGHTS, offset);
}

static void end_step(const walk *w, metal_step *step, size_t args_bytes) {
    step->args_bytes = args_bytes;
    w->program->visit(w->program->context, step);
}

static void walk_embed(const walk *w) {
    const tandem_plan *plan = w->plan;
    const metal_weights *weights = w->weights;
    const int width = embedding_width(plan);
    metal_step step = begin_step(w, METAL_AT_embed, "embeddings");
    bind(&step, METAL_WEIGHTS, weights->word);
    bind_weight(&step, weights->position);
    bind_weight(&step, weights->type);
    bind(&step, METAL_IDS, 0);
    bind(&step, METAL_POSITIONS, 0);
    bind(&step, METAL_TYPES, 0);
    bind_weight(&step, weights->embedding_norm.gamma);
    bind_weight(&step, weights->embedding_norm.beta);
    bind(&step, is_projected(plan) ? METAL_FFN : METAL_X, 0);
    step.args.embed =
        (struct metal_embed_args){.width = width,
                                  .has_position = weights->position != METAL_ABSENT,
                                  .has_type = weights->type != METAL_ABSENT,
                                  .has_norm = weights->embedding_norm.gamma != METAL_ABSENT,
                                  .has_beta = weights->embedding_norm.beta != METAL_ABSENT,
                                  .eps = plan->norm_eps};
    step.groups[0] = w->tokens;
    const int tables = 1 + step.args.embed.has_position + step.args.embed.has_type;
    step.bytes_read = (double)w->tokens * (tables * width * 2 + 12);
    step.bytes_written = (double)w->tokens * width * 2;
    step.flops = (double)w->tokens * width * (tables + 8);
    end_step(w, &step, sizeof step.args.embed);
}

/* Large tiles where they still fill the device, the narrow one for a few rows. */
static metal_kernel product_kernel(const walk *w, int m, int n) {
    const metal_kernel_fact *large = &tandem__metal_kernels[METAL_AT_gemm_64x64];
    const bool *has = w->program->has_kernel;
    const int groups = ceil_div(m, large->tile_m) * ceil_div(n, large->tile_n);
    if (m > FEW_ROWS && groups >= GROUPS_WANTED && has[METAL_AT_gemm_64x64])
        return METAL_AT_gemm_64x64;
    if (m > FEW_ROWS && has[METAL_AT_gemm_32x32]) return METAL_AT_gemm_32x32;
    return METAL_AT_gemm_16x32;
}

typedef struct product {
    const char *op;
    const metal_linear *linear;
    metal_place from;
    metal_place to; /* also what is added or multiplied */
    int activation;
    int other;
} product;

static void walk_product(const walk *w, const product *p) {
    const int m = w->tokens;
    const int n = p->linear->n;
    const int k = p->linear->k;
    const metal_kernel kernel = product_kernel(w, m, n);
    const metal_kernel_fact *fact = &tandem__metal_kernels[kernel];
    metal_step step = begin_step(w, kernel, p->op);
    bind(&step, p->from, 0);
    bind(&step, METAL_WEIGHTS, p->linear->weight);
    bind_weight(&step, p->linear->bias);
    bind(&step, p->to, 0);
    bind(&step, p->to, 0);
    step.args.gemm = (struct metal_gemm_args){.m = m,
                                              .n = n,
                                              .k = k,
                                              .lda = k,
                                              .ldc = n,
                                              .ld_other = n,
                                              .has_bias = p->linear->bias != METAL_ABSENT,
                                              .activation = p->activation,
                                              .other = p->other};
    step.groups[0] = ceil_div(n, fact->tile_n);
    step.groups[1] = ceil_div(m, fact->tile_m);
    const double others = p->other == METAL_OTHER_NONE ? 0 : 1;
    step.flops = 2.0 * m * n * k;
    step.bytes_read = 2.0 * ((double)m * k + (double)n * k + others * m * n) + 4.0 * n;
    step.bytes_written = 2.0 * m * n;
    end_step(w, &step, sizeof step.args.gemm);
}

/* Nothing where the plan has no such norm. */
static void walk_norm(const walk *w, const metal_norm *norm, metal_place to, const char *op) {
    if (norm->gamma == METAL_ABSENT) return;
    metal_step step = begin_step(w, METAL_AT_norm, op);
    bind(&step, METAL_X, 0);
    bind(&step, METAL_WEIGHTS, norm->gamma);
    bind_weight(&step, norm->beta);
    bind(&step, to, 0);
    step.args.norm = (struct metal_norm_args){.rows = w->tokens,
                                              .width = w->plan->hidden,
                                              .has_beta = norm->beta != METAL_ABSENT,
                                              .eps = w->plan->norm_eps};
    step.groups[0] = ceil_div(w->tokens, tandem__metal_kernels[METAL_AT_norm].tile_m);
    step.bytes_written = 2.0 * w->tokens * w->plan->hidden;
    step.bytes_read = step.bytes_written + 8.0 * w->plan->hidden;
    step.flops = 8.0 * w->tokens * w->plan->hidden;
    end_step(w, &step, sizeof step.args.norm);
}

static void walk_rope(const walk *w, const metal_layer *layer) {
    if (layer->angles == METAL_ABSENT) return;
    metal_step step = begin_step(w, METAL_AT_rope, "rotary positions");
    bind(&step, METAL_QKV, 0);
    bind(&step, METAL_WEIGHTS, layer->angles);
    bind(&step, METAL_POSITIONS, 0);
    step.args.rope = (struct metal_rope_args){
        .heads = w->plan->heads, .head_dim = w->plan->head_dim, .stride = 3 * w->inner};
    step.groups[0] = ceil_div(w->inner, tandem__metal_kernels[METAL_AT_rope].tile_n);
    step.groups[1] = w->tokens;
    step.bytes_written = 2.0 * w->tokens * 2 * w->inner;
    step.bytes_read = step.bytes_written + 4.0 * w->tokens * (w->plan->head_dim + 1);
    step.flops = 3.0 * w->tokens * 2 * w->inner;
    end_step(w, &step, sizeof step.args.rope);
}

/* Pairs of query and key that see each other, in all sequences. */
static double pairs_of(const walk *w, int window) {
    double pairs = 0;
    for (int b = 0; b < w->program->sequences; b++) {
        const double length = w->program->offsets[b + 1] - w->program->offsets[b];
        const double reach = window > 0 && window < length ? window : length - 1;
        pairs += length * (2 * reach + 1) - reach * (reach + 1);
    }
    return pairs;
}

static void walk_attention(const walk *w, const metal_layer *layer) {
    metal_step step = begin_step(w, attention_kernel(w->plan->head_dim), "attention");
    bind(&step, METAL_QKV, 0);
    bind(&step, METAL_BLOCKS, 0);
    bind_weight(&step, w->weights->bias);
    bind(&step, METAL_CONTEXT, 0);
    step.args.attention =
        (struct metal_attention_args){.heads = w->plan->heads,
                                      .head_dim = w->plan->head_dim,
                                      .stride = 3 * w->inner,
                                      .has_bias = w->weights->bias != METAL_ABSENT,
                                      .bias_reach = w->weights->longest - 1,
                                      .window = layer->window,
                                      .scale = w->plan->attention_scale};
    step.groups[0] = w->blocks;
    step.groups[1] = w->plan->heads;
    step.flops = pairs_of(w, layer->window) * (4.0 * w->inner + 5.0 * w->plan->heads);
    step.bytes_read = 2.0 * w->tokens * 3 * w->inner;
    step.bytes_written = 2.0 * w->tokens * w->inner;
    end_step(w, &step, sizeof step.args.attention);
}

static void walk_ffn(const walk *w, const metal_layer *layer, metal_place input) {
    const bool has_gate = layer->gate.weight != METAL_ABSENT;
    const int activation = (int)w->plan->activation;
    if (has_gate) {
        walk_product(w, &(product){"feed forward, gate", &layer->gate, input, METAL_FFN, activation,
                                   METAL_OTHER_NONE});
        walk_product(w, &(product){"feed forward, up", &layer->up, input, METAL_FFN,
                                   TANDEM_ACTIVATION_NONE, METAL_OTHER_MULTIPLY});
    } else {
        walk_product(w, &(product){"feed forward, up", &layer->up, input, METAL_FFN, activation,
                                   METAL_OTHER_NONE});
    }
    walk_product(w, &(product){"feed forward, down", &layer->down, METAL_FFN, METAL_X,
                               TANDEM_ACTIVATION_NONE, METAL_OTHER_ADD});
}

static void walk_layer(const walk *w, const metal_layer *layer) {
    const bool is_first = w->plan->is_norm_first;
    metal_place input = METAL_X;
    if (is_first && layer->attention_norm.gamma != METAL_ABSENT) {
        walk_norm(w, &layer->attention_norm, METAL_Y, "norm before attention");
        input = METAL_Y;
    }
    walk_product(w, &(product){"query, key, value", &layer->qkv, input, METAL_QKV,
                               TANDEM_ACTIVATION_NONE, METAL_OTHER_NONE});
    walk_rope(w, layer);
    walk_attention(w, layer);
    walk_product(w, &(product){"attention, output", &layer->output, METAL_CONTEXT, METAL_X,
                               TANDEM_ACTIVATION_NONE, METAL_OTHER_ADD});
    input = METAL_X;
    if (!is_first) walk_norm(w, &layer->attention_norm, METAL_X, "norm after attention");
    if (is_first && layer->ffn_norm.gamma != METAL_ABSENT) {
        walk_norm(w, &layer->ffn_norm, METAL_Y, "norm before feed forward");
        input = METAL_Y;
    }
    walk_ffn(w, layer, input);
    if (!is_first) walk_norm(w, &layer->ffn_norm, METAL_X, "norm after feed forward");
}

static void walk_pool(const walk *w, tandem_pooling pooling, int index, int count) {
    const int hidden = w->plan->hidden;
    const int sequences = w->program->sequences;
    metal_step step = begin_step(w, METAL_AT_pool, "pooling");
    bind(&step, METAL_X, 0);
    bind(&step, METAL_OFFSETS, 0);
    bind(&step, METAL_SKIPS, 0);
    bind(&step, METAL_POOLED, 0);
    step.args.pool = (struct metal_pool_args){.width = hidden,
                                              .kind = (int)pooling,
                                              .out_stride = count * hidden,
                                              .out_first = index * hidden};
    step.groups[0] = sequences;
    step.groups[1] = ceil_div(hidden, tandem__metal_kernels[METAL_AT_pool].tile_n);
    step.bytes_read = 2.0 * w->tokens * hidden;
    step.bytes_written = 4.0 * sequences * hidden;
    step.flops = (double)w->tokens * hidden;
    end_step(w, &step, sizeof step.args.pool);
}

static void walk_output(const walk *w) {
    const tandem_plan *plan = w->plan;
    if (w->program->output == TANDEM_OUTPUT_HEAD) {
        const bool is_mean = plan->head_pooling == TANDEM_POOLING_MEAN;
        walk_pool(w, is_mean ? TANDEM_POOLING_MEAN : TANDEM_POOLING_CLS, 0, 1);
    }
    if (w->program->output != TANDEM_OUTPUT_POOLED) return;
    for (int i = 0; i <= plan->joined_count; i++)
        walk_pool(w, tandem__plan_pooling(plan, i), i, 1 + plan->joined_count);
}

void tandem__metal_program_walk(const metal_program *program) {
    const tandem_plan *plan = program->plan;
    walk w = {.program = program,
              .plan = plan,
              .weights = program->weights,
              .layer = -1,
              .tokens = program->offsets[program->sequences],
              .inner = plan->heads * plan->head_dim};
    for (int b = 0; b < program->sequences; b++)
        w.blocks += tandem__metal_block_count(program->offsets[b + 1] - program->offsets[b]);
    walk_embed(&w);
    if (is_projected(plan)) {
        walk_product(&w, &(product){"embeddings, projection", &w.weights->projection, METAL_FFN,
                                    METAL_X, TANDEM_ACTIVATION_NONE, METAL_OTHER_NONE});
    }
    for (w.layer = 0; w.layer < plan->layer_count; w.layer++)
        walk_layer(&w, &w.weights->layers[w.layer]);
    w.layer = -1;
    walk_norm(&w, &w.weights->final_norm, METAL_X, "final norm");
    walk_output(&w);
}
