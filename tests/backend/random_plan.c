/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/random_plan.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/convert/convert.h"

/* splitmix64 */
static uint32_t random_next(uint64_t *state) {
    *state += 0x9e3779b97f4a7c15u;
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)(z >> 32);
}

/* Uniform in [-spread, spread) around centre. */
static float uniform(random_plan *made, float centre, float spread) {
    const float unit = (float)(int32_t)(random_next(&made->state) >> 8) / 8388608.0f - 1.0f;
    return centre + spread * unit;
}

static tandem_view view_of(random_plan *made, tandem_dtype dtype, int64_t rows, int64_t cols,
                           float centre, float spread) {
    const size_t element = dtype == TANDEM_DTYPE_F32 ? 4 : 2;
    /* One byte off alignment, as in files whose header has an odd length. */
    char *block = calloc((size_t)(rows * cols) * element + 1, 1);
    assert_true(made->block_count < (int)(sizeof made->blocks / sizeof made->blocks[0]));
    made->blocks[made->block_count++] = block;
    char *data = block + 1;
    for (int64_t i = 0; i < rows * cols; i++) {
        const float value = uniform(made, centre, spread);
        if (dtype == TANDEM_DTYPE_F32) {
            memcpy(data + 4 * i, &value, 4);
        } else {
            const uint16_t bits = dtype == TANDEM_DTYPE_F16 ? tandem_convert_value_f16(value)
                                                            : tandem_convert_value_bf16(value);
            memcpy(data + 2 * i, &bits, 2);
        }
    }
    return (tandem_view){.data = data, .dtype = dtype, .rows = rows, .cols = cols};
}

static tandem_linear linear_of(random_plan *made, const random_shape *shape, int64_t out,
                               int64_t in) {
    const float spread = 1.7f / sqrtf((float)in);
    tandem_linear linear = {.weight = view_of(made, shape->storage, out, in, 0.0f, spread)};
    if (!shape->lacks_bias) linear.bias = view_of(made, shape->storage, 1, out, 0.0f, 0.2f);
    return linear;
}

static tandem_norm norm_of(random_plan *made, const random_shape *shape, int64_t width) {
    tandem_norm norm = {.gamma = view_of(made, shape->storage, 1, width, 1.0f, 0.3f)};
    if (!shape->lacks_bias) norm.beta = view_of(made, shape->storage, 1, width, 0.0f, 0.2f);
    return norm;
}

static void note_release(void *context, const void *data, size_t bytes) {
    random_plan *made = context;
    (void)data;
    __atomic_fetch_add(&made->released, (int64_t)bytes, __ATOMIC_RELAXED);
}

static void make_layer(random_plan *made, const random_shape *shape, int index) {
    tandem_plan_layer *layer = &made->layers[index];
    const int64_t hidden = shape->hidden;
    const int64_t inner = (int64_t)shape->heads * shape->head_dim;
    layer->query = linear_of(made, shape, inner, hidden);
    layer->key = linear_of(made, shape, inner, hidden);
    layer->value = linear_of(made, shape, inner, hidden);
    layer->output = linear_of(made, shape, hidden, inner);
    /* ModernBERT's first layer has no norm of its own. */
    if (!shape->is_norm_first || index > 0) layer->attention_norm = norm_of(made, shape, hidden);
    layer->up = linear_of(made, shape, shape->ffn, hidden);
    if (shape->has_gate) layer->gate = linear_of(made, shape, shape->ffn, hidden);
    layer->down = linear_of(made, shape, hidden, shape->ffn);
    layer->ffn_norm = norm_of(made, shape, hidden);
    if (shape->position == TANDEM_POSITION_ROPE) layer->rope_theta = index % 2 ? 1e4f : 1.6e5f;
    layer->rope_scale = index == 2 ? 0.25f : 1.0f;
    if (index % 2 == 0) layer->window = shape->window;
    made->plan.parameters = 0;
}

static void make_embeddings(random_plan *made, const random_shape *shape) {
    tandem_plan *plan = &made->plan;
    const int64_t width = shape->embedding > 0 ? shape->embedding : shape->hidden;
    plan->word = view_of(made, shape->storage, made->plan.vocab, width, 0.0f, 1.0f);
    if (shape->position == TANDEM_POSITION_ABSOLUTE ||
        shape->position == TANDEM_POSITION_RELATIVE) {
        plan->position_offset = 2;
        plan->position_rows =
            view_of(made, shape->storage, shape->positions + 2, width, 0.0f, 0.5f);
    }
    if (shape->position == TANDEM_POSITION_RELATIVE) {
        plan->relative_bias = view_of(made, shape->storage, 32, shape->heads, 0.0f, 1.0f);
        plan->relative_distance_max = 128;
    }
    if (shape->types > 0)
        plan->type_rows = view_of(made, shape->storage, shape->types, width, 0.0f, 0.5f);
    plan->embedding_norm = norm_of(made, shape, width);
    if (width != shape->hidden)
        plan->embedding_projection = linear_of(made, shape, shape->hidden, width);
}

static void make_modules(random_plan *made, const random_shape *shape) {
    tandem_plan *plan = &made->plan;
    static const tandem_pooling joined[] = {TANDEM_POOLING_MAX, TANDEM_POOLING_CLS};
    plan->joined_count = shape->joined;
    for (int i = 0; i < shape->joined; i++) plan->joined[i] = joined[i];
    int width = shape->hidden * (1 + shape->joined);
    int count = 0;
    if (shape->has_steps) {
        made->dense[count++] = (tandem_plan_dense){
            .kind = TANDEM_DENSE_NORM, .norm = norm_of(made, shape, width), .norm_eps = 1e-5f};
        made->dense[count++] = (tandem_plan_dense){.kind = TANDEM_DENSE_UNIT};
    }
    for (int i = 0; i < shape->dense; i++) {
        const int out = width / 2 + 3;
        tandem_plan_dense *dense = &made->dense[count++];
        dense->linear = linear_of(made, shape, out, width);
        dense->activation = i % 2 ? TANDEM_ACTIVATION_SOFTPLUS : TANDEM_ACTIVATION_TANH;
        dense->has_residual = i == 0;
        if (i == 0) {
            dense->residual.weight =
                view_of(made, shape->storage, out, width, 0.0f, 1.7f / sqrtf((float)width));
        }
        width = out;
    }
    plan->dense = made->dense;
    plan->dense_count = count;
    plan->dimensions = width;
}

static void make_top(random_plan *made, const random_shape *shape) {
    tandem_plan *plan = &made->plan;
    if (shape->is_norm_first) plan->final_norm = norm_of(made, shape, shape->hidden);
    make_modules(made, shape);
    if (shape->has_lm) {
        const int width = (int)plan->word.cols;
        plan->lm_dense = linear_of(made, shape, width, shape->hidden);
        plan->lm_activation = shape->activation;
        plan->lm_norm = norm_of(made, shape, width);
        plan->lm_decoder.weight = plan->word;
        plan->lm_decoder.bias = view_of(made, shape->storage, 1, plan->vocab, 0.0f, 0.2f);
    }
    if (shape->has_head) {
        plan->labels = 3;
        plan->head_dense = linear_of(made, shape, shape->hidden + 5, shape->hidden);
        plan->head_activation = TANDEM_ACTIVATION_TANH;
        if (shape->is_norm_first) {
            plan->head_pooling = TANDEM_POOLING_MEAN;
            plan->head_norm = norm_of(made, shape, shape->hidden + 5);
        }
        plan->classifier = linear_of(made, shape, 3, shape->hidden + 5);
    }
}

random_plan *random_plan_make(const random_shape *shape, uint64_t seed) {
    random_plan *made = calloc(1, sizeof *made);
    made->state = seed;
    made->plan = (tandem_plan){.family = "random",
                               .hidden = shape->hidden,
                               .heads = shape->heads,
                               .head_dim = shape->head_dim,
                               .ffn = shape->ffn,
                               .vocab = shape->vocab > 0 ? shape->vocab : 97,
                               .positions_max = shape->positions,
                               .types = shape->types,
                               .layer_count = shape->layers,
                               .norm_eps = 1e-12f,
                               .attention_scale = 1.0f / sqrtf((float)shape->head_dim),
                               .is_norm_first = shape->is_norm_first,
                               .activation = shape->activation,
                               .position = shape->position,
                               .layers = made->layers,
                               .pooling = shape->pooling,
                               .release = note_release,
                               .release_context = made};
    make_embeddings(made, shape);
    assert_true(shape->layers <= 8);
    for (int i = 0; i < shape->layers; i++) make_layer(made, shape, i);
    make_top(made, shape);
    return made;
}

void random_plan_free(random_plan *made) {
    for (int i = 0; i < made->block_count; i++) free(made->blocks[i]);
    free(made);
}

static int64_t bytes_of(const tandem_view *view) {
    if (view->data == NULL) return 0;
    return view->rows * view->cols * (view->dtype == TANDEM_DTYPE_F32 ? 4 : 2);
}

static int64_t linear_bytes(const tandem_linear *linear) {
    return bytes_of(&linear->weight) + bytes_of(&linear->bias);
}

static int64_t norm_bytes(const tandem_norm *norm) {
    return bytes_of(&norm->gamma) + bytes_of(&norm->beta);
}

int64_t random_plan_bytes(const random_plan *made) {
    const tandem_plan *plan = &made->plan;
    int64_t bytes = bytes_of(&plan->word) + bytes_of(&plan->position_rows) +
                    bytes_of(&plan->type_rows) + norm_bytes(&plan->embedding_norm) +
                    linear_bytes(&plan->embedding_projection) + norm_bytes(&plan->final_norm) +
                    bytes_of(&plan->relative_bias) + linear_bytes(&plan->head_dense) +
                    norm_bytes(&plan->head_norm) + linear_bytes(&plan->classifier);
    for (int i = 0; i < plan->layer_count; i++) {
        const tandem_plan_layer *layer = &plan->layers[i];
        bytes += linear_bytes(&layer->query) + linear_bytes(&layer->key) +
                 linear_bytes(&layer->value) + linear_bytes(&layer->output) +
                 norm_bytes(&layer->attention_norm) + linear_bytes(&layer->up) +
                 linear_bytes(&layer->gate) + linear_bytes(&layer->down) +
                 norm_bytes(&layer->ffn_norm);
    }
    for (int i = 0; i < plan->dense_count; i++) {
        const tandem_plan_dense *dense = &plan->dense[i];
        bytes += linear_bytes(&dense->linear) + linear_bytes(&dense->residual) +
                 norm_bytes(&dense->norm);
    }
    return bytes + linear_bytes(&plan->lm_dense) + norm_bytes(&plan->lm_norm) +
           linear_bytes(&plan->lm_decoder);
}

random_batch random_batch_make(const tandem_plan *plan, int sequences, int length_max,
                               bool with_skips, uint64_t seed) {
    uint64_t state = seed;
    random_batch made = {.offsets = calloc((size_t)sequences + 1, sizeof(int32_t)),
                         .skips = calloc((size_t)sequences, sizeof(int32_t))};
    for (int b = 0; b < sequences; b++) {
        const int length =
            b == 0 ? length_max : 1 + (int)(random_next(&state) % (uint32_t)length_max);
        made.offsets[b + 1] = made.offsets[b] + length;
        made.skips[b] = (int32_t)(random_next(&state) % (uint32_t)length);
    }
    const int tokens = made.offsets[sequences];
    made.ids = calloc((size_t)tokens, sizeof(int32_t));
    made.types = calloc((size_t)tokens, sizeof(int32_t));
    for (int t = 0; t < tokens; t++) {
        made.ids[t] = (int32_t)(random_next(&state) % (uint32_t)plan->vocab);
        if (plan->types > 0) made.types[t] = (int32_t)(random_next(&state) % (uint32_t)plan->types);
    }
    made.batch = (tandem_batch){.ids = made.ids,
                                .types = made.types,
                                .offsets = made.offsets,
                                .tokens = tokens,
                                .sequences = sequences,
                                .pool_skip = with_skips ? made.skips : NULL};
    return made;
}

void random_batch_free(random_batch *made) {
    free(made->ids);
    free(made->types);
    free(made->offsets);
    free(made->skips);
}

tandem_batch random_batch_one(const random_batch *made, int index, int32_t *offsets) {
    const int32_t first = made->offsets[index];
    offsets[0] = 0;
    offsets[1] = made->offsets[index + 1] - first;
    return (tandem_batch){.ids = made->ids + first,
                          .types = made->types + first,
                          .offsets = offsets,
                          .tokens = offsets[1],
                          .sequences = 1,
                          .pool_skip = made->batch.pool_skip == NULL ? NULL : made->skips + index};
}
