/* SPDX-License-Identifier: Apache-2.0 */
/* Small random models and batches in memory, for comparing backends without a file. */
#ifndef TANDEM_TESTS_RANDOM_PLAN_H
#define TANDEM_TESTS_RANDOM_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/backend.h"

typedef struct random_shape {
    const char *name;
    int hidden;
    int heads;
    int head_dim;
    int ffn;
    int layers;
    int positions;
    int types;
    int vocab;     /* 0: 97 */
    int embedding; /* width of the tables; 0: hidden */
    int dense;     /* modules after pooling: products, the first with a residual */
    int joined;    /* more poolings: max, then cls */
    tandem_dtype storage;
    tandem_activation activation;
    tandem_pooling pooling;
    tandem_position position;
    int window;
    bool is_norm_first;
    bool has_gate;
    bool lacks_bias;
    bool has_head;
    bool has_steps; /* a norm and a normalisation before the products */
    bool has_lm;    /* a masked-language-model head, tied */
} random_shape;

typedef struct random_plan {
    tandem_plan plan;
    tandem_plan_layer layers[8];
    tandem_plan_dense dense[4];
    void *blocks[256]; /* what the views point into */
    int block_count;
    int64_t released; /* bytes the lane has given back */
    uint64_t state;
} random_plan;

/* Weights have standard deviation about 1/sqrt(K), so that states keep their size. */
random_plan *random_plan_make(const random_shape *shape, uint64_t seed);
void random_plan_free(random_plan *made);

/* Bytes of all views. */
int64_t random_plan_bytes(const random_plan *made);

typedef struct random_batch {
    tandem_batch batch;
    int32_t *ids;
    int32_t *types;
    int32_t *offsets;
    int32_t *skips;
} random_batch;

/* `sequences` lengths from 1 to `length_max`; the first has length_max. Some skip tokens in
 * pooling if `with_skips`. */
random_batch random_batch_make(const tandem_plan *plan, int sequences, int length_max,
                               bool with_skips, uint64_t seed);
void random_batch_free(random_batch *made);

/* Sequence `index` alone, in a batch that borrows from `made`; offsets must hold two numbers. */
tandem_batch random_batch_one(const random_batch *made, int index, int32_t *offsets);

#endif
