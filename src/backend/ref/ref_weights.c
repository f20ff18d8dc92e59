/* SPDX-License-Identifier: Apache-2.0 */
/* The plan's views copied to f32, all in one allocation: counted in a first pass, filled in a
 * second by the same walk, each tensor checked for NaN and infinity and its pages given back. */
#include <stdio.h>
#include <string.h>

#include "backend/ref/ref_internal.h"
#include "base/assert.h"
#include "base/dtype.h"
#include "base/fail.h"
#include "base/mem.h"
#include "kernels/convert/convert.h"

typedef struct weight_walk {
    const tandem_plan *plan;
    float *memory; /* NULL in the counting pass */
    int64_t used;  /* floats */
    int layer;     /* for messages, -1: none */
    tandem_status status;
    tandem_error *err;
} weight_walk;

static float element(const tandem_view *view, int64_t index) {
    uint16_t bits;
    float value;
    if (view->dtype == TANDEM_DTYPE_F32) {
        memcpy(&value, (const char *)view->data + 4 * index, sizeof value);
        return value;
    }
    memcpy(&bits, (const char *)view->data + 2 * index, sizeof bits);
    return view->dtype == TANDEM_DTYPE_F16 ? tandem_convert_f16_value(bits)
                                           : tandem_convert_bf16_value(bits);
}

static const float *take(weight_walk *walk, const tandem_view *view, const char *slot) {
    if (view->data == NULL) return NULL;
    const int64_t count = view->rows * view->cols;
    float *copy = walk->memory == NULL ? NULL : walk->memory + walk->used;
    walk->used += count;
    if (copy == NULL) return NULL;
    for (int64_t i = 0; i < count; i++) copy[i] = element(view, i);
    if (!tandem__floats_are_finite(copy, (size_t)count) && walk->status == TANDEM_OK) {
        const tandem_weight_part part = {.layer = walk->layer,
                                         .slot = slot,
                                         .data = view->data,
                                         .dtype = view->dtype,
                                         .count = (size_t)count};
        walk->status = tandem__fail_weight(walk->plan, &part, false, walk->err);
    }
    if (walk->plan->release != NULL) {
        walk->plan->release(walk->plan->release_context, view->data,
                            (size_t)count * tandem__dtype_bytes(view->dtype));
    }
    return copy;
}

static ref_linear take_linear(weight_walk *walk, const tandem_linear *linear, const char *slot) {
    char name[64];
    (void)snprintf(name, sizeof name, "%s.weight", slot);
    const float *weight = take(walk, &linear->weight, name);
    (void)snprintf(name, sizeof name, "%s.bias", slot);
    return (ref_linear){.weight = weight,
                        .bias = take(walk, &linear->bias, name),
                        .out = (int32_t)linear->weight.rows,
                        .in = (int32_t)linear->weight.cols};
}

static ref_norm take_norm(weight_walk *walk, const tandem_norm *norm, const char *slot) {
    char name[64];
    (void)snprintf(name, sizeof name, "%s.weight", slot);
    const float *gamma = take(walk, &norm->gamma, name);
    (void)snprintf(name, sizeof name, "%s.bias", slot);
    return (ref_norm){.gamma = gamma, .beta = take(walk, &norm->beta, name)};
}

static void take_layer(weight_walk *walk, const tandem_plan_layer *from, ref_layer *to) {
    to->query = take_linear(walk, &from->query, "query");
    to->key = take_linear(walk, &from->key, "key");
    to->value = take_linear(walk, &from->value, "value");
    to->output = take_linear(walk, &from->output, "attention.output");
    to->attention_norm = take_norm(walk, &from->attention_norm, "attention.norm");
    to->up = take_linear(walk, &from->up, "ffn.up");
    to->gate = take_linear(walk, &from->gate, "ffn.gate");
    to->down = take_linear(walk, &from->down, "ffn.down");
    to->ffn_norm = take_norm(walk, &from->ffn_norm, "ffn.norm");
}

static void take_all(weight_walk *walk, ref_weights *weights) {
    const tandem_plan *plan = walk->plan;
    walk->layer = -1;
    weights->word = take(walk, &plan->word, "embeddings.word");
    if (plan->position_rows.data != NULL)
        weights->position = take(walk, &plan->position_rows, "embeddings.position");
    if (plan->types > 0) weights->type = take(walk, &plan->type_rows, "embeddings.type");
    if (plan->position == TANDEM_POSITION_RELATIVE)
        weights->relative = take(walk, &plan->relative_bias, "relative_bias");
    weights->embedding_norm = take_norm(walk, &plan->embedding_norm, "embeddings.norm");
    weights->embedding_projection =
        take_linear(walk, &plan->embedding_projection, "embeddings.projection");
    for (int i = 0; i < plan->layer_count; i++) {
        walk->layer = i;
        take_layer(walk, &plan->layers[i], &weights->layers[i]);
    }
    walk->layer = -1;
    weights->final_norm = take_norm(walk, &plan->final_norm, "final.norm");
    for (int i = 0; i < plan->dense_count; i++) {
        weights->dense[i].linear = take_linear(walk, &plan->dense[i].linear, "dense");
        weights->dense[i].residual = take_linear(walk, &plan->dense[i].residual, "residual");
        weights->dense[i].norm = take_norm(walk, &plan->dense[i].norm, "module.norm");
    }
    weights->head_dense = take_linear(walk, &plan->head_dense, "head.dense");
    weights->head_norm = take_norm(walk, &plan->head_norm, "head.norm");
    weights->classifier = take_linear(walk, &plan->classifier, "classifier");
    weights->lm_dense = take_linear(walk, &plan->lm_dense, "lm.dense");
    weights->lm_norm = take_norm(walk, &plan->lm_norm, "lm.norm");
    weights->lm_decoder = take_linear(walk, &plan->lm_decoder, "lm.decoder");
}

static tandem_status allocate(const tandem_plan *plan, ref_weights *weights, tandem_error *err) {
    if (plan->layer_count > 0) {
        weights->layers = tandem__mem_calloc((size_t)plan->layer_count, sizeof(ref_layer));
        if (weights->layers == NULL)
            return TANDEM_FAIL(err, MEMORY, "no memory for %d layers", (int)plan->layer_count);
    }
    if (plan->dense_count > 0) {
        weights->dense = tandem__mem_calloc((size_t)plan->dense_count, sizeof(ref_dense));
        if (weights->dense == NULL)
            return TANDEM_FAIL(err, MEMORY, "no memory for %d modules", (int)plan->dense_count);
    }
    weight_walk count = {.plan = plan, .err = err};
    take_all(&count, weights);
    weights->bytes = count.used * (int64_t)sizeof(float);
    weights->memory = tandem__mem_alloc_aligned((size_t)weights->bytes);
    if (weights->memory == NULL) {
        return TANDEM_FAIL(err, MEMORY, "no memory for %lld bytes of weights",
                           (long long)weights->bytes);
    }
    return TANDEM_OK;
}

tandem_status tandem__ref_weights_open(const tandem_plan *plan, ref_weights *weights,
                                       tandem_error *err) {
    *weights = (ref_weights){.memory = NULL};
    tandem_status status = allocate(plan, weights, err);
    if (status == TANDEM_OK) {
        weight_walk walk = {.plan = plan, .memory = weights->memory, .err = err};
        take_all(&walk, weights);
        TANDEM_ASSERT(walk.used * (int64_t)sizeof(float) == weights->bytes);
        status = walk.status;
    }
    if (status != TANDEM_OK) tandem__ref_weights_close(weights);
    return status;
}

void tandem__ref_weights_close(ref_weights *weights) {
    if (weights->memory != NULL) tandem__mem_free_aligned(weights->memory, (size_t)weights->bytes);
    tandem__mem_free(weights->layers);
    tandem__mem_free(weights->dense);
    *weights = (ref_weights){.memory = NULL};
}
