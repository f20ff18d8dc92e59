/* SPDX-License-Identifier: Apache-2.0 */
/* The plan's weights in one arena of whole pages that the device reads where it lies
 * (newBufferWithBytesNoCopy): matrices and tables f16 as they are in the file, [out, in] row-major;
 * vectors, and what is computed of positions here, f32. Each begins at a multiple of 256 bytes, as
 * setBuffer:offset: may demand.
 *
 * One visitor says where everything goes (backend/packing.h). It runs alone to make the layout, for
 * which no memory is needed, and again to pack.
 *
 * The arena is the device's to free, when the buffer's last user is done: after an abandoned batch
 * that may be long after the lane was closed. */
#include <math.h>
#include <unistd.h>

#include "apple/symbols.h"
#include "backend/metal/metal_internal.h"
#include "backend/packing.h"
#include "base/assert.h"
#include "base/cpu.h"
#include "base/fail.h"
#include "base/mem.h"

enum { ALIGNMENT = 256 };

/* Layout. */

typedef struct weight_walk {
    const tandem_plan *plan;
    metal_weights *weights;
} weight_walk;

static int64_t reserve(tandem_packing *packing, int64_t elements, size_t element_bytes) {
    const int64_t offset = (int64_t)packing->bytes;
    const size_t bytes = (size_t)elements * element_bytes;
    (void)tandem__packing_reserve(packing, (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
    return offset;
}

static void *place_at(const tandem_packing *packing, int64_t offset) {
    return packing->memory == NULL ? NULL : packing->memory + offset;
}

static int64_t take_vector(tandem_packing *packing, const tandem_view *view, const char *part) {
    if (view->data == NULL) return METAL_ABSENT;
    const int64_t offset = reserve(packing, view->cols, sizeof(float));
    tandem__packing_copy(packing, view, 0, 1, place_at(packing, offset), TANDEM_DTYPE_F32, part);
    return offset;
}

static metal_norm take_norm(tandem_packing *packing, const tandem_norm *norm, const char *slot) {
    packing->slot = slot;
    metal_norm taken = {.gamma = take_vector(packing, &norm->gamma, ".weight")};
    taken.beta = take_vector(packing, &norm->beta, ".bias");
    return taken;
}

/* All rows of the view as f16, in pieces that threads share, to `offset`. */
static void copy_rows(tandem_packing *packing, const tandem_view *view, int64_t offset,
                      const char *part) {
    enum { ROWS = 256 };
    for (int64_t row = 0; row < view->rows; row += ROWS) {
        const int64_t rows = view->rows - row < ROWS ? view->rows - row : ROWS;
        tandem__packing_copy(packing, view, row, rows,
                             place_at(packing, offset + row * view->cols * 2), TANDEM_DTYPE_F16,
                             part);
    }
}

static int64_t take_table(tandem_packing *packing, const tandem_view *view, const char *slot) {
    packing->slot = slot;
    const int64_t offset = reserve(packing, view->rows * view->cols, 2);
    copy_rows(packing, view, offset, "");
    return offset;
}

static metal_linear take_linear(tandem_packing *packing, const tandem_linear *from,
                                const char *slot) {
    const tandem_view *view = &from->weight;
    if (view->data == NULL) return (metal_linear){.weight = METAL_ABSENT, .bias = METAL_ABSENT};
    packing->slot = slot;
    metal_linear taken = {.n = (int)view->rows, .k = (int)view->cols};
    taken.weight = reserve(packing, view->rows * view->cols, 2);
    copy_rows(packing, view, taken.weight, ".weight");
    taken.bias = take_vector(packing, &from->bias, ".bias");
    return taken;
}

/* The three under each other; zeros where one has no bias and another has. */
static metal_linear take_qkv(tandem_packing *packing, const tandem_plan_layer *from) {
    static const char *const slots[3] = {"query", "key", "value"};
    const tandem_linear *parts[3] = {&from->query, &from->key, &from->value};
    const int64_t inner = from->query.weight.rows;
    const int64_t depth = from->query.weight.cols;
    metal_linear taken = {.n = (int)(3 * inner), .k = (int)depth, .bias = METAL_ABSENT};
    taken.weight = reserve(packing, 3 * inner * depth, 2);
    for (int p = 0; p < 3; p++) {
        packing->slot = slots[p];
        copy_rows(packing, &parts[p]->weight, taken.weight + p * inner * depth * 2, ".weight");
        if (parts[p]->bias.data == NULL) continue;
        if (taken.bias == METAL_ABSENT) taken.bias = reserve(packing, 3 * inner, sizeof(float));
        tandem__packing_copy(packing, &parts[p]->bias, 0, 1,
                             place_at(packing, taken.bias + p * inner * (int64_t)sizeof(float)),
                             TANDEM_DTYPE_F32, ".bias");
    }
    return taken;
}

static void take_layer(tandem_packing *packing, const tandem_plan_layer *from, metal_layer *to) {
    to->qkv = take_qkv(packing, from);
    to->output = take_linear(packing, &from->output, "attention.output");
    to->attention_norm = take_norm(packing, &from->attention_norm, "attention.norm");
    to->up = take_linear(packing, &from->up, "ffn.up");
    to->gate = take_linear(packing, &from->gate, "ffn.gate");
    to->down = take_linear(packing, &from->down, "ffn.down");
    to->ffn_norm = take_norm(packing, &from->ffn_norm, "ffn.norm");
    to->window = from->window;
}

/* The earlier layer that turns by the same angles, or the layer itself. */
static int angles_owner(const tandem_plan *plan, int layer) {
    const tandem_plan_layer *layers = plan->layers;
    for (int i = 0; i < layer; i++) {
        if (layers[i].rope_theta == layers[layer].rope_theta &&
            layers[i].rope_scale == layers[layer].rope_scale) {
            return i;
        }
    }
    return layer;
}

static bool has_bias(const tandem_plan *plan) {
    return plan->position == TANDEM_POSITION_ALIBI || plan->position == TANDEM_POSITION_RELATIVE;
}

static void take_positions(tandem_packing *packing, const tandem_plan *plan,
                           metal_weights *weights) {
    const int64_t rows = weights->longest + plan->position_offset;
    weights->relative = METAL_ABSENT;
    weights->bias = METAL_ABSENT;
    if (plan->position == TANDEM_POSITION_RELATIVE) {
        const tandem_view *view = &plan->relative_bias;
        packing->slot = "relative_bias";
        weights->relative = reserve(packing, view->rows * view->cols, sizeof(float));
        tandem__packing_copy(packing, view, 0, view->rows, place_at(packing, weights->relative),
                             TANDEM_DTYPE_F32, "");
    }
    if (has_bias(plan)) {
        weights->bias =
            reserve(packing, plan->heads * (2 * (int64_t)weights->longest - 1), sizeof(float));
    }
    for (int i = 0; i < plan->layer_count; i++) {
        const int owner = angles_owner(plan, i);
        metal_layer *layer = &weights->layers[i];
        if (!(plan->layers[i].rope_theta > 0.0f))
            layer->angles = METAL_ABSENT;
        else if (owner < i)
            layer->angles = weights->layers[owner].angles;
        else
            layer->angles = reserve(packing, rows * plan->head_dim, sizeof(float));
    }
}

static void visit_weights(tandem_packing *packing, void *context) {
    const weight_walk *walk = context;
    const tandem_plan *plan = walk->plan;
    metal_weights *weights = walk->weights;
    weights->word = take_table(packing, &plan->word, "embeddings.word");
    weights->position = METAL_ABSENT;
    weights->type = METAL_ABSENT;
    if (plan->position_rows.data != NULL)
        weights->position = take_table(packing, &plan->position_rows, "embeddings.position");
    if (plan->types > 0) weights->type = take_table(packing, &plan->type_rows, "embeddings.type");
    weights->embedding_norm = take_norm(packing, &plan->embedding_norm, "embeddings.norm");
    weights->projection =
        take_linear(packing, &plan->embedding_projection, "embeddings.projection");
    for (int i = 0; i < plan->layer_count; i++) {
        packing->layer = i;
        take_layer(packing, &plan->layers[i], &weights->layers[i]);
    }
    packing->layer = -1;
    weights->final_norm = take_norm(packing, &plan->final_norm, "final.norm");
    take_positions(packing, plan, weights);
}

tandem_status tandem__metal_weights_layout(const tandem_plan *plan, int longest,
                                           metal_weights *weights, tandem_error *err) {
    *weights = (metal_weights){.longest = longest};
    if (plan->layer_count > 0) {
        weights->layers = tandem__mem_calloc((size_t)plan->layer_count, sizeof *weights->layers);
        if (weights->layers == NULL)
            return TANDEM_FAIL(err, MEMORY, "no memory for %d layers", (int)plan->layer_count);
    }
    weight_walk walk = {plan, weights};
    tandem_packing packing = {.plan = plan, .layer = -1};
    visit_weights(&packing, &walk);
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    weights->bytes = (packing.bytes + page - 1) / page * page;
    return TANDEM_OK;
}

/* Tables of positions. */

static float *floats_at(const metal_weights *weights, int64_t offset) {
    return (float *)(void *)(weights->memory + offset);
}

static void fill_angles(const tandem_plan *plan, const metal_weights *weights, int layer) {
    const int half = plan->head_dim / 2;
    const double theta = (double)plan->layers[layer].rope_theta;
    const double scale = (double)plan->layers[layer].rope_scale;
    float *table = floats_at(weights, weights->layers[layer].angles);
    for (int i = 0; i < half; i++) {
        const double step = pow(theta, -2.0 * i / plan->head_dim) * scale;
        for (int position = 0; position < weights->longest; position++) {
            const int row = position + plan->position_offset;
            float *pair = table + ((size_t)row * (size_t)half + (size_t)i) * 2;
            pair[0] = (float)cos(position * step);
            pair[1] = (float)sin(position * step);
        }
    }
}

static void fill_bias(const tandem_plan *plan, const metal_weights *weights) {
    const int longest = weights->longest;
    const float *relative =
        weights->relative == METAL_ABSENT ? NULL : floats_at(weights, weights->relative);
    float *table = floats_at(weights, weights->bias);
    for (int head = 0; head < plan->heads; head++) {
        for (int distance = 1 - longest; distance < longest; distance++)
            *table++ = tandem__plan_bias(plan, relative, head, distance);
    }
}

static void fill_positions(const tandem_plan *plan, const metal_weights *weights) {
    if (weights->bias != METAL_ABSENT) fill_bias(plan, weights);
    for (int i = 0; i < plan->layer_count; i++) {
        if (weights->layers[i].angles != METAL_ABSENT && angles_owner(plan, i) == i)
            fill_angles(plan, weights, i);
    }
}

static tandem_status give_arena(const metal_device *device, metal_weights *weights,
                                tandem_error *err) {
    weights->buffer = mtl_new_buffer_no_copy(device->device, weights->memory, weights->bytes,
                                             MTL_STORAGE_SHARED, device->free_arena);
    if (weights->buffer != NULL) return TANDEM_OK;
    return TANDEM_FAIL(err, MEMORY, "metal: no buffer for %zu bytes of weights", weights->bytes);
}

tandem_status tandem__metal_weights_open(const tandem_plan *plan, const metal_device *device,
                                         tandem_pool *pool, metal_weights *weights,
                                         tandem_error *err) {
    tandem_kernels kernels;
    tandem_kernels_fill(&kernels, tandem__cpu_flags());
    weight_walk walk = {plan, weights};
    tandem_packing packing = {.plan = plan,
                              .kernels = &kernels,
                              .pool = pool,
                              .dtype = TANDEM_DTYPE_F16,
                              .is_paged = true};
    const size_t expected = weights->bytes;
    TANDEM_TRY(tandem__packing_run(&packing, visit_weights, &walk, &weights->memory,
                                   &weights->bytes, err));
    TANDEM_ASSERT(weights->bytes == expected);
    fill_positions(plan, weights);
    return give_arena(device, weights, err);
}

void tandem__metal_weights_close(metal_weights *weights) {
    if (weights->buffer != NULL)
        ns_release(weights->buffer);
    else
        tandem__mem_free_sparse(weights->memory, weights->bytes);
    tandem__mem_free(weights->layers);
    *weights = (metal_weights){.memory = NULL};
}
