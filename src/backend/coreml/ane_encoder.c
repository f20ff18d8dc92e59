/* SPDX-License-Identifier: Apache-2.0 */
/* The network, operation by operation. Letters: C channels, S tokens, D of a head.
 *
 *     linear     conv 1x1, weight [out, in, 1, 1]; cut by outputs where a weight is over the limit
 *     attention  q, k, v by conv; for each head
 *                    K = transpose (0, 3, 2, 1) of the head's channels of k     (1, S, 1, D)
 *                    scores = einsum bkhc,bchq->bkhq of K and the head's q      (1, S keys, 1, S)
 *                    p = softmax of scores + mask over axis 1
 *                    context = einsum bchk,bkhq->bchq of the head's v and p     (1, D, 1, S)
 *                concat of the contexts on axis 1, conv
 *     ffn        conv, activation, conv; cut by F so that no operand is over the limit, the parts'
 *                results added
 *     norm       layer_norm over axis 1
 *
 * The scale of the scores is in the weights of q. Rotary positions: the convolutions of q and k
 * give first the first halves of all heads and then their second halves, so that turning them is
 * multiplication of whole tensors by constants; a head's halves are put together again before its
 * scores. ALiBi, relative positions and windows are constants (1, S, 1, S) added to the mask, once
 * a program. F, and the width of the embeddings before a projection, are filled up with zeros to
 * multiples of 32. */
#include "backend/coreml/ane_encoder.h"

#include <string.h>

#include "backend/coreml/ane_lint.h"
#include "backend/coreml/ane_sources.h"
#include "base/assert.h"
#include "base/fail.h"
#include "base/mem.h"
#include "kernels/kernels.h"

enum { WINDOWS_MAX = 8, ARENA_BYTES_MAX = 512 << 20 };

/* The smallest epsilon: two of f16's least numbers. Smaller ones would be 0, or 2^-24 rounded
 * away; against a variance it is nothing. */
#define EPSILON_LEAST 1.1920929e-7f

/* Masks of the layers with one window. */
typedef struct ane_masks {
    int32_t window;
    int32_t *by_head; /* [N] values */
} ane_masks;

typedef struct ane_encoder {
    ane_model *model;
    const tandem_plan *plan;
    mil_program *program;
    int32_t length; /* S */
    int32_t layer;
    int32_t mask; /* the input */
    ane_masks masks[WINDOWS_MAX];
    int32_t mask_count;
} ane_encoder;

/* A linear map, or a part of it, as a convolution. */
typedef struct ane_map {
    const tandem_linear *linear;
    const char *slot; /* "query" */
    int32_t first_row;
    int32_t rows; /* outputs */
    int32_t first_col;
    int32_t cols; /* inputs */
    float scale;
    bool is_halved;
    bool lacks_bias;
} ane_map;

#define NAME(e, what) tandem__mil_name((e)->program, "l%d_%s", (int)(e)->layer, what)

static int32_t round_up(int32_t channels) {
    return (channels + ANE_CHANNELS - 1) / ANE_CHANNELS * ANE_CHANNELS;
}

static mil_shape channels(const ane_encoder *e, int32_t count) {
    return (mil_shape){4, {1, count, 1, e->length}};
}

static int32_t unary(ane_encoder *e, const char *type, const char *name, int32_t x,
                     mil_shape shape) {
    const mil_argument arguments[] = {{"x", 1, &x}};
    return tandem__mil_op(e->program, type, name, shape, arguments, 1);
}

static int32_t binary(ane_encoder *e, const char *type, const char *name, const int32_t *xy,
                      mil_shape shape) {
    const mil_argument arguments[] = {{"x", 1, &xy[0]}, {"y", 1, &xy[1]}};
    return tandem__mil_op(e->program, type, name, shape, arguments, 2);
}

static int32_t concat(ane_encoder *e, const char *name, const int32_t *parts, int32_t count,
                      int32_t channel_count) {
    const int32_t axis = tandem__mil_number(e->program, 1);
    const int32_t interleave = tandem__mil_truth(e->program, false);
    const mil_argument arguments[] = {
        {"values", count, parts}, {"axis", 1, &axis}, {"interleave", 1, &interleave}};
    return tandem__mil_op(e->program, "concat", name, channels(e, channel_count), arguments, 3);
}

/* Channels [first, first + count) of x, which has `of`. */
static int32_t slice(ane_encoder *e, const char *name, int32_t x, int32_t first, int32_t count) {
    const int32_t begins[] = {0, first, 0, 0};
    const int32_t sizes[] = {1, count, 1, e->length};
    const int32_t begin = tandem__mil_numbers(e->program, begins, 4);
    const int32_t size = tandem__mil_numbers(e->program, sizes, 4);
    const mil_argument arguments[] = {{"x", 1, &x}, {"begin", 1, &begin}, {"size", 1, &size}};
    return tandem__mil_op(e->program, "slice_by_size", name, channels(e, count), arguments, 3);
}

static int32_t einsum(ane_encoder *e, const char *name, const char *equation, const int32_t *xy,
                      mil_shape shape) {
    const int32_t text = tandem__mil_text(e->program, equation);
    const mil_argument arguments[] = {{"values", 2, xy}, {"equation", 1, &text}};
    return tandem__mil_op(e->program, "einsum", name, shape, arguments, 2);
}

static int32_t blob(ane_encoder *e, const char *name, mil_shape shape, const ane_source *source) {
    if (e->program->status != TANDEM_OK) return -1;
    return tandem__mil_blob(e->program, name, shape, tandem__ane_source(e->model, source));
}

static int32_t vector(ane_encoder *e, const char *name, const ane_source *like,
                      const tandem_view *view, const char *part) {
    ane_source source = *like;
    source.view = *view;
    source.view.rows = view->cols;
    source.view.cols = 1;
    source.first_col = 0;
    source.cols = 1;
    source.part = part;
    return blob(e, name, (mil_shape){1, {source.rows}}, &source);
}

static int32_t convolve(ane_encoder *e, const char *name, int32_t x, const ane_map *map) {
    const ane_source source = {.kind = ANE_SOURCE_TENSOR,
                               .rows = map->rows,
                               .cols = map->cols,
                               .view = map->linear->weight,
                               .first_row = map->first_row,
                               .first_col = map->first_col,
                               .scale = map->scale,
                               .is_halved = map->is_halved,
                               .layer = e->layer,
                               .slot = map->slot,
                               .part = ".weight"};
    static const int32_t ones[] = {1, 1};
    static const int32_t none[] = {0, 0, 0, 0};
    mil_program *p = e->program;
    const bool has_bias = map->linear->bias.data != NULL && !map->lacks_bias;
    const int32_t weight = blob(e, tandem__mil_name(p, "%s_weight", name),
                                (mil_shape){4, {map->rows, map->cols, 1, 1}}, &source);
    const int32_t bias = has_bias ? vector(e, tandem__mil_name(p, "%s_bias", name), &source,
                                           &map->linear->bias, ".bias")
                                  : -1;
    const int32_t strides = tandem__mil_numbers(p, ones, 2);
    const int32_t pad_type = tandem__mil_text(p, "valid");
    const int32_t pad = tandem__mil_numbers(p, none, 4);
    const int32_t groups = tandem__mil_number(p, 1);
    const mil_argument arguments[] = {{"x", 1, &x},
                                      {"weight", 1, &weight},
                                      {"strides", 1, &strides},
                                      {"pad_type", 1, &pad_type},
                                      {"pad", 1, &pad},
                                      {"dilations", 1, &strides},
                                      {"groups", 1, &groups},
                                      {"bias", 1, &bias}};
    return tandem__mil_op(p, "conv", name, channels(e, map->rows), arguments, has_bias ? 8 : 7);
}

/* Most channels of an operand whose other side is `others` long. */
static int32_t channels_most(int32_t others) {
    const int32_t most = ANE_OPERAND_BYTES_MAX / (int32_t)sizeof(uint16_t) / others;
    return most / ANE_CHANNELS * ANE_CHANNELS;
}

/* Parts of at most `most` channels, all but the last of *width. */
static int32_t cut(int32_t total, int32_t most, int32_t *width) {
    const int32_t parts = (total + most - 1) / most;
    *width = round_up((total + parts - 1) / parts);
    return (total + *width - 1) / *width;
}

static int32_t fail_large(ane_encoder *e, const char *slot, int32_t rows, int32_t cols) {
    mil_program *p = e->program;
    if (p->status == TANDEM_OK)
        p->status = TANDEM_FAIL(p->err, UNSUPPORTED,
                                "%s [%d, %d]: too large for the ane lane, operands of %d bytes",
                                slot, (int)rows, (int)cols, ANE_OPERAND_BYTES_MAX);
    return -1;
}

/* y = x Wᵀ + b, by outputs where the weight is too large for one operand. */
static int32_t linear(ane_encoder *e, const char *name, int32_t x, ane_map map) {
    enum { PARTS_MAX = 64 };
    int32_t outputs[PARTS_MAX];
    int32_t width = 0;
    const int32_t most = channels_most(map.cols);
    const int32_t total = map.rows;
    const int32_t parts = most == 0 ? PARTS_MAX + 1 : cut(total, most, &width);
    if (parts > PARTS_MAX) return fail_large(e, map.slot, total, map.cols);
    if (parts == 1) return convolve(e, name, x, &map);
    const int32_t first = map.first_row;
    for (int32_t i = 0; i < parts; i++) {
        map.first_row = first + i * width;
        map.rows = i + 1 < parts ? width : total - i * width;
        outputs[i] = convolve(e, tandem__mil_name(e->program, "%s_%d", name, (int)i), x, &map);
    }
    return concat(e, name, outputs, parts, total);
}

static int32_t norm(ane_encoder *e, const char *name, int32_t x, const tandem_norm *norm_weights,
                    const char *slot) {
    if (norm_weights->gamma.data == NULL) return x;
    mil_program *p = e->program;
    const int32_t width = e->plan->hidden;
    const ane_source like = {
        .rows = width, .cols = 1, .scale = 1.0f, .layer = e->layer, .slot = slot};
    ane_source zeros = {.kind = ANE_SOURCE_ZEROS, .rows = width, .cols = 1};
    const char *beta_name = tandem__mil_name(p, "%s_beta", name);
    const float eps = e->plan->norm_eps > EPSILON_LEAST ? e->plan->norm_eps : EPSILON_LEAST;
    const int32_t one = 1;
    const int32_t axes = tandem__mil_numbers(p, &one, 1);
    const int32_t gamma =
        vector(e, tandem__mil_name(p, "%s_gamma", name), &like, &norm_weights->gamma, ".weight");
    const int32_t beta = norm_weights->beta.data != NULL
                             ? vector(e, beta_name, &like, &norm_weights->beta, ".bias")
                             : blob(e, beta_name, (mil_shape){1, {width}}, &zeros);
    const int32_t epsilon = tandem__mil_half(p, tandem_convert_value_f16(eps));
    const mil_argument arguments[] = {{"x", 1, &x},
                                      {"axes", 1, &axes},
                                      {"gamma", 1, &gamma},
                                      {"beta", 1, &beta},
                                      {"epsilon", 1, &epsilon}};
    return tandem__mil_op(p, "layer_norm", name, channels(e, width), arguments, 5);
}

static int32_t activate(ane_encoder *e, const char *name, int32_t x, int32_t width) {
    const mil_shape shape = channels(e, width);
    const bool is_erf = e->plan->activation == TANDEM_ACTIVATION_GELU_ERF;
    if (is_erf || e->plan->activation == TANDEM_ACTIVATION_GELU_TANH) {
        const int32_t mode = tandem__mil_text(e->program, is_erf ? "EXACT" : "TANH_APPROXIMATION");
        const mil_argument arguments[] = {{"x", 1, &x}, {"mode", 1, &mode}};
        return tandem__mil_op(e->program, "gelu", name, shape, arguments, 2);
    }
    if (e->plan->activation == TANDEM_ACTIVATION_SILU) return unary(e, "silu", name, x, shape);
    if (e->plan->activation == TANDEM_ACTIVATION_RELU) return unary(e, "relu", name, x, shape);
    if (e->plan->activation == TANDEM_ACTIVATION_TANH) return unary(e, "tanh", name, x, shape);
    return x;
}

/* down(act(up(x))), or with a gate down(act(gate(x)) * up(x)), over part `part` of F. */
static int32_t feed_forward_part(ane_encoder *e, int32_t x, int32_t first, int32_t width,
                                 int32_t part) {
    const tandem_plan_layer *layer = &e->plan->layers[e->layer];
    mil_program *p = e->program;
    const int l = e->layer;
    const bool has_gate = layer->gate.weight.data != NULL;
    ane_map map = {.linear = &layer->up,
                   .slot = "ffn.up",
                   .first_row = first,
                   .rows = width,
                   .cols = e->plan->hidden,
                   .scale = 1.0f};
    int32_t y = convolve(e, tandem__mil_name(p, "l%d_up_%d", l, (int)part), x, &map);
    if (has_gate) {
        map.linear = &layer->gate;
        map.slot = "ffn.gate";
        int32_t gate = convolve(e, tandem__mil_name(p, "l%d_gate_%d", l, (int)part), x, &map);
        gate = activate(e, tandem__mil_name(p, "l%d_act_%d", l, (int)part), gate, width);
        y = binary(e, "mul", tandem__mil_name(p, "l%d_gated_%d", l, (int)part),
                   (const int32_t[]){gate, y}, channels(e, width));
    } else {
        y = activate(e, tandem__mil_name(p, "l%d_act_%d", l, (int)part), y, width);
    }
    const ane_map down = {.linear = &layer->down,
                          .slot = "ffn.down",
                          .rows = e->plan->hidden,
                          .first_col = first,
                          .cols = width,
                          .scale = 1.0f,
                          .lacks_bias = part > 0};
    return convolve(e, tandem__mil_name(p, "l%d_down_%d", l, (int)part), y, &down);
}

static int32_t feed_forward(ane_encoder *e, int32_t x) {
    const int32_t longer =
        e->plan->hidden > e->model->longest ? e->plan->hidden : e->model->longest;
    const int32_t most = channels_most(longer);
    const int32_t total = round_up(e->plan->ffn);
    int32_t width = 0;
    if (most == 0) return fail_large(e, "ffn.up", total, e->plan->hidden);
    const int32_t parts = cut(total, most, &width);
    int32_t sum = -1;
    for (int32_t i = 0; i < parts; i++) {
        const int32_t last = total - i * width;
        const int32_t y = feed_forward_part(e, x, i * width, i + 1 < parts ? width : last, i);
        if (i == 0) {
            sum = y;
            continue;
        }
        sum = binary(e, "add", tandem__mil_name(e->program, "l%d_sum_%d", (int)e->layer, (int)i),
                     (const int32_t[]){sum, y}, channels(e, e->plan->hidden));
    }
    return sum;
}

/* q or k: the channels of all heads, or with rotary positions of their halves, turned. */
typedef struct ane_heads {
    int32_t whole;     /* (1, N * D, 1, S) */
    int32_t halves[2]; /* (1, N * D / 2, 1, S), read where `is_turned` */
    bool is_turned;
} ane_heads;

static int32_t angles(ane_encoder *e, ane_source_kind kind) {
    const tandem_plan_layer *layer = &e->plan->layers[e->layer];
    const int32_t rows = e->plan->heads * e->plan->head_dim / 2;
    const char *word = kind == ANE_SOURCE_COSINES ? "cosines" : "sines";
    const ane_source source = {.kind = kind,
                               .rows = rows,
                               .cols = e->length,
                               .rope_theta = layer->rope_theta,
                               .rope_scale = layer->rope_scale};
    return blob(e, NAME(e, word), channels(e, rows), &source);
}

/* a cos - b sin, b cos + a sin */
static void turn(ane_encoder *e, const char *word, const int32_t *angle, ane_heads *heads) {
    static const char *const types[] = {"sub", "add"};
    mil_program *p = e->program;
    const int l = e->layer;
    const mil_shape shape = channels(e, e->plan->heads * e->plan->head_dim / 2);
    int32_t turned[2];
    for (int i = 0; i < 2; i++) {
        const int32_t straight = binary(e, "mul", tandem__mil_name(p, "l%d_%s_cos_%d", l, word, i),
                                        (const int32_t[]){heads->halves[i], angle[0]}, shape);
        const int32_t across = binary(e, "mul", tandem__mil_name(p, "l%d_%s_sin_%d", l, word, i),
                                      (const int32_t[]){heads->halves[1 - i], angle[1]}, shape);
        turned[i] = binary(e, types[i], tandem__mil_name(p, "l%d_%s_turned_%d", l, word, i),
                           (const int32_t[]){straight, across}, shape);
    }
    memcpy(heads->halves, turned, sizeof turned);
}

static ane_heads project(ane_encoder *e, const char *word, int32_t x, ane_map map) {
    ane_heads heads = {.is_turned = e->plan->layers[e->layer].rope_theta > 0.0f};
    const int32_t half = e->plan->heads * e->plan->head_dim / 2;
    map.cols = e->plan->hidden;
    map.rows = e->plan->heads * e->plan->head_dim;
    map.is_halved = heads.is_turned;
    heads.whole = linear(e, NAME(e, word), x, map);
    for (int i = 0; i < 2 && heads.is_turned; i++) {
        heads.halves[i] =
            slice(e, tandem__mil_name(e->program, "l%d_%s_half_%d", (int)e->layer, word, i),
                  heads.whole, i * half, half);
    }
    return heads;
}

/* (1, D, 1, S) of one head. */
static int32_t take_head(ane_encoder *e, const char *word, const ane_heads *heads, int32_t head) {
    mil_program *p = e->program;
    const int l = e->layer;
    const int h = head;
    const int32_t dim = e->plan->head_dim;
    const char *name = tandem__mil_name(p, "l%d_h%d_%s", l, h, word);
    if (!heads->is_turned) return slice(e, name, heads->whole, head * dim, dim);
    int32_t halves[2];
    for (int i = 0; i < 2; i++) {
        halves[i] = slice(e, tandem__mil_name(p, "l%d_h%d_%s_%d", l, h, word, i), heads->halves[i],
                          head * dim / 2, dim / 2);
    }
    return concat(e, name, halves, 2, dim);
}

/* What is added to the scores of each head in layers of this window; NULL after a failure. */
static const int32_t *masks_of(ane_encoder *e, int32_t window) {
    const tandem_plan *plan = e->plan;
    mil_program *p = e->program;
    const bool has_bias =
        plan->position == TANDEM_POSITION_ALIBI || plan->position == TANDEM_POSITION_RELATIVE;
    const mil_shape square = {4, {1, e->length, 1, e->length}};
    if (window >= e->length) window = 0;
    for (int32_t i = 0; i < e->mask_count; i++) {
        if (e->masks[i].window == window) return e->masks[i].by_head;
    }
    int32_t *by_head = tandem__arena_array(p->arena, (size_t)plan->heads, sizeof *by_head);
    if (by_head == NULL || e->mask_count == WINDOWS_MAX) {
        if (p->status == TANDEM_OK)
            p->status =
                TANDEM_FAIL(p->err, UNSUPPORTED,
                            "window: the ane lane takes at most %d different ones", WINDOWS_MAX);
        return NULL;
    }
    for (int32_t head = 0; head < plan->heads; head++) {
        const ane_source source = {.kind = ANE_SOURCE_SCORES,
                                   .rows = e->length,
                                   .cols = e->length,
                                   .head = has_bias ? head : 0,
                                   .window = window};
        by_head[head] = head > 0 && !has_bias ? by_head[0] : e->mask;
        if ((head > 0 && !has_bias) || (!has_bias && window == 0)) continue;
        const int32_t bias =
            blob(e, tandem__mil_name(p, "scores_w%d_h%d", (int)window, (int)head), square, &source);
        by_head[head] =
            binary(e, "add", tandem__mil_name(p, "mask_w%d_h%d", (int)window, (int)head),
                   (const int32_t[]){bias, e->mask}, square);
    }
    e->masks[e->mask_count++] = (ane_masks){window, by_head};
    return by_head;
}

/* (1, D, 1, S): the context of one head. */
static int32_t attend(ane_encoder *e, const ane_heads *q, const ane_heads *k, const ane_heads *v,
                      int32_t head) {
    static const int32_t order[] = {0, 3, 2, 1};
    mil_program *p = e->program;
    const int l = e->layer;
    const int h = head;
    const int32_t dim = e->plan->head_dim;
    const mil_shape square = {4, {1, e->length, 1, e->length}};
    const int32_t *masks = masks_of(e, e->plan->layers[e->layer].window);
    if (masks == NULL) return -1;
    const int32_t query = take_head(e, "q", q, head);
    const int32_t key = take_head(e, "k", k, head);
    const int32_t value = take_head(e, "v", v, head);
    const int32_t perm = tandem__mil_numbers(p, order, 4);
    const int32_t axis = tandem__mil_number(p, 1);
    const mil_argument turned[] = {{"x", 1, &key}, {"perm", 1, &perm}};
    const int32_t keys = tandem__mil_op(p, "transpose", tandem__mil_name(p, "l%d_h%d_kt", l, h),
                                        (mil_shape){4, {1, e->length, 1, dim}}, turned, 2);
    int32_t x = einsum(e, tandem__mil_name(p, "l%d_h%d_scores", l, h), "bkhc,bchq->bkhq",
                       (const int32_t[]){keys, query}, square);
    x = binary(e, "add", tandem__mil_name(p, "l%d_h%d_masked", l, h),
               (const int32_t[]){x, masks[head]}, square);
    const mil_argument softmax[] = {{"x", 1, &x}, {"axis", 1, &axis}};
    const int32_t weights =
        tandem__mil_op(p, "softmax", tandem__mil_name(p, "l%d_h%d_p", l, h), square, softmax, 2);
    return einsum(e, tandem__mil_name(p, "l%d_h%d_context", l, h), "bchk,bkhq->bchq",
                  (const int32_t[]){value, weights}, channels(e, dim));
}

static int32_t attention(ane_encoder *e, int32_t x) {
    const tandem_plan *plan = e->plan;
    const tandem_plan_layer *layer = &plan->layers[e->layer];
    const int32_t inner = plan->heads * plan->head_dim;
    int32_t *contexts =
        tandem__arena_array(e->program->arena, (size_t)plan->heads, sizeof *contexts);
    ane_heads q = project(
        e, "q", x,
        (ane_map){.linear = &layer->query, .slot = "query", .scale = plan->attention_scale});
    ane_heads k =
        project(e, "k", x, (ane_map){.linear = &layer->key, .slot = "key", .scale = 1.0f});
    if (q.is_turned) {
        const int32_t angle[] = {angles(e, ANE_SOURCE_COSINES), angles(e, ANE_SOURCE_SINES)};
        turn(e, "q", angle, &q);
        turn(e, "k", angle, &k);
    }
    const ane_map values = {.linear = &layer->value,
                            .slot = "value",
                            .rows = inner,
                            .cols = plan->hidden,
                            .scale = 1.0f};
    const ane_heads v = {.whole = linear(e, NAME(e, "v"), x, values)};
    if (contexts == NULL || e->program->status != TANDEM_OK) return -1;
    for (int32_t head = 0; head < plan->heads; head++) contexts[head] = attend(e, &q, &k, &v, head);
    if (e->program->status != TANDEM_OK) return -1;
    const int32_t context = concat(e, NAME(e, "context"), contexts, plan->heads, inner);
    return linear(e, NAME(e, "output"), context,
                  (ane_map){.linear = &layer->output,
                            .slot = "attention.output",
                            .rows = plan->hidden,
                            .cols = inner,
                            .scale = 1.0f});
}

static int32_t encode_layer(ane_encoder *e, int32_t x) {
    const tandem_plan_layer *layer = &e->plan->layers[e->layer];
    const mil_shape shape = channels(e, e->plan->hidden);
    const bool is_first = e->plan->is_norm_first;
    int32_t y =
        is_first ? norm(e, NAME(e, "norm_1"), x, &layer->attention_norm, "attention.norm") : x;
    y = attention(e, y);
    x = binary(e, "add", NAME(e, "residual_1"), (const int32_t[]){x, y}, shape);
    if (!is_first) x = norm(e, NAME(e, "norm_1"), x, &layer->attention_norm, "attention.norm");
    y = is_first ? norm(e, NAME(e, "norm_2"), x, &layer->ffn_norm, "ffn.norm") : x;
    y = feed_forward(e, y);
    x = binary(e, "add", NAME(e, "residual_2"), (const int32_t[]){x, y}, shape);
    return is_first ? x : norm(e, NAME(e, "norm_2"), x, &layer->ffn_norm, "ffn.norm");
}

static tandem_status encode(ane_model *model, int32_t index, tandem_error *err) {
    const tandem_plan *plan = model->plan;
    ane_encoder e = {.model = model,
                     .plan = plan,
                     .program = &model->programs[index],
                     .length = model->buckets[index],
                     .layer = -1};
    tandem__mil_init(e.program, &model->arena, &model->weights, err);
    int32_t x = tandem__mil_input(e.program, "hidden", channels(&e, model->channels));
    e.mask = tandem__mil_input(e.program, "mask", (mil_shape){4, {1, e.length, 1, 1}});
    if (plan->embedding_projection.weight.data != NULL) {
        x = linear(&e, "embeddings", x,
                   (ane_map){.linear = &plan->embedding_projection,
                             .slot = "embeddings.projection",
                             .rows = plan->hidden,
                             .cols = model->channels,
                             .scale = 1.0f});
    }
    for (e.layer = 0; e.layer < plan->layer_count; e.layer++) x = encode_layer(&e, x);
    e.layer = -1;
    x = norm(&e, "final", x, &plan->final_norm, "final.norm");
    TANDEM_TRY(e.program->status);
    /* Names of features are part of the interface. */
    e.program->values[x].name = "states";
    e.program->output = x;
    return tandem__ane_lint(e.program, err);
}

static tandem_status check_plan(const tandem_plan *plan, tandem_error *err) {
    const int32_t inner = plan->heads * plan->head_dim;
    if (plan->layer_count < 1)
        return TANDEM_FAIL(err, UNSUPPORTED,
                           "the ane lane has nothing to do for a model of %d layers",
                           (int)plan->layer_count);
    if (plan->hidden % ANE_CHANNELS != 0 || inner % ANE_CHANNELS != 0) {
        return TANDEM_FAIL(err, UNSUPPORTED,
                           "hidden %d, heads x head_dim %d: the ane lane takes multiples of %d",
                           (int)plan->hidden, (int)inner, ANE_CHANNELS);
    }
    return TANDEM_OK;
}

static tandem_status copy_relative(ane_model *model, tandem_error *err) {
    const tandem_view *view = &model->plan->relative_bias;
    if (model->plan->position != TANDEM_POSITION_RELATIVE) return TANDEM_OK;
    const size_t count = (size_t)(view->rows * view->cols);
    float *values = tandem__arena_array(&model->arena, count, sizeof *values);
    if (values == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for %zu biases", count);
    tandem_convert_to_f32(&tandem_kernels_get()->convert, values, view->data, view->dtype, count);
    model->relative = values;
    return TANDEM_OK;
}

int32_t tandem__ane_buckets(int32_t tokens, int32_t *buckets) {
    int32_t count = 0;
    for (int32_t length = ANE_BUCKET_LEAST; length <= ANE_BUCKET_MOST; length *= 2) {
        buckets[count++] = length;
        if (length >= tokens) break;
    }
    return count;
}

tandem_status tandem__ane_model_open(const tandem_plan *plan, const int32_t *buckets,
                                     int32_t bucket_count, ane_model **out, tandem_error *err) {
    TANDEM_ASSERT(bucket_count > 0 && bucket_count <= ANE_BUCKETS_MAX);
    TANDEM_TRY(check_plan(plan, err));
    ane_model *model = tandem__mem_calloc(1, sizeof *model);
    if (model == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for the ane lane's programs");
    const bool is_projected = plan->embedding_projection.weight.data != NULL;
    *model = (ane_model){.plan = plan, .bucket_count = bucket_count};
    model->channels = is_projected ? round_up((int32_t)plan->word.cols) : plan->hidden;
    model->longest = buckets[bucket_count - 1];
    memcpy(model->buckets, buckets, (size_t)bucket_count * sizeof *buckets);
    tandem__arena_init(&model->arena, ARENA_BYTES_MAX);
    tandem__mil_weights_init(&model->weights, &model->arena);
    tandem_status status = copy_relative(model, err);
    for (int32_t i = 0; i < bucket_count && status == TANDEM_OK; i++)
        status = encode(model, i, err);
    if (status != TANDEM_OK) {
        tandem__ane_model_close(model);
        return status;
    }
    *out = model;
    return TANDEM_OK;
}

void tandem__ane_model_close(ane_model *model) {
    if (model == NULL) return;
    tandem__arena_deinit(&model->arena);
    tandem__mem_free(model);
}
