/* SPDX-License-Identifier: Apache-2.0 */
/* The lane, its weights and the steps of a forward pass, one file a step:
 *
 *     ref.c          the table, open, submit         ref_linear.c     y = x Wᵀ + b
 *     ref_weights.c  the plan's views as f32         ref_attention.c  attention and positions
 *     ref_layers.c   embeddings, layers, norms       ref_output.c     pooling, dense, heads
 *
 * Every value that is stored is f32, every sum is double in rising order of its index; no value
 * depends on another sequence of the batch. */
#ifndef TANDEM_BACKEND_REF_INTERNAL_H
#define TANDEM_BACKEND_REF_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "backend/backend.h"

typedef struct ref_linear {
    const float *weight; /* [out, in], NULL: absent */
    const float *bias;   /* [out] or NULL */
    int32_t out;
    int32_t in;
} ref_linear;

typedef struct ref_norm {
    const float *gamma; /* [width], NULL: no norm here */
    const float *beta;  /* [width] or NULL */
} ref_norm;

typedef struct ref_layer {
    ref_linear query;
    ref_linear key;
    ref_linear value;
    ref_linear output;
    ref_norm attention_norm;
    ref_linear up;
    ref_linear gate;
    ref_linear down;
    ref_norm ffn_norm;
} ref_layer;

/* Weights of a module of the plan; the rest is the plan's. */
typedef struct ref_dense {
    ref_linear linear;
    ref_linear residual;
    ref_norm norm;
} ref_dense;

typedef struct ref_weights {
    float *memory; /* all of them, one allocation */
    int64_t bytes;
    const float *word;
    const float *position; /* NULL: absent */
    const float *type;     /* NULL: absent */
    const float *relative; /* NULL: absent */
    ref_norm embedding_norm;
    ref_linear embedding_projection;
    ref_norm final_norm;
    ref_layer *layers; /* [layer_count], NULL if there are none */
    ref_dense *dense;  /* [dense_count], NULL if there are none */
    ref_linear head_dense;
    ref_norm head_norm;
    ref_linear classifier;
    ref_linear lm_dense;
    ref_norm lm_norm;
    ref_linear lm_decoder;
} ref_weights;

/* Rows of tokens_max tokens each; `hidden` of them where the plan's E is wider, E. */
typedef struct ref_workspace {
    float *memory;
    int64_t bytes;
    float *x;        /* [T, H] the residual stream */
    float *normed;   /* [T, H] or, for embeddings, [T, E] */
    float *query;    /* [T, N*D] */
    float *key;      /* [T, N*D] */
    float *value;    /* [T, N*D] */
    float *context;  /* [T, N*D] */
    float *up;       /* [T, F] */
    float *gate;     /* [T, F] */
    float *sum;      /* [T, H] a sublayer's result */
    float *pooled;   /* 3 of [B, widest of the pooled and head vectors] */
    float *lm;       /* [REF_TOKENS, E] */
    float *logits;   /* [REF_TOKENS, V], where there is a masked-language-model head */
    double *scratch; /* [threads, scratch_len] */
    int64_t scratch_len;
    int32_t pooled_width;
} ref_workspace;

typedef struct ref_lane {
    const tandem_plan *plan;
    tandem_pool *pool;
    tandem_capabilities capabilities;
    ref_weights weights;
    ref_workspace ws;
    pthread_mutex_t lock; /* one batch at a time */
    _Atomic uint64_t tickets;
} ref_lane;

/* Tokens that a linear map works on at a time: their sums run side by side. */
enum { REF_TOKENS = 8 };

tandem_status tandem__ref_weights_open(const tandem_plan *plan, ref_weights *weights,
                                       tandem_error *err) TANDEM_NODISCARD;
void tandem__ref_weights_close(ref_weights *weights);

/* y [rows, out] = act(x [rows, in] Wᵀ + b). */
void tandem__ref_linear(ref_lane *lane, const ref_linear *linear, tandem_activation activation,
                        const float *x, int rows, float *y);

/* y [rows, width] = norm(x); a copy where the norm is absent. y may be x. */
void tandem__ref_norm(const ref_norm *norm, float eps, const float *x, int rows, int width,
                      float *y);

/* ws.x = the first rows of the network. */
void tandem__ref_embed(ref_lane *lane, const tandem_batch *batch);

/* ws.x = layer `index` of ws.x. */
void tandem__ref_layer(ref_lane *lane, const tandem_batch *batch, int index);

/* ws.context = attention over ws.query, ws.key and ws.value, positions included. */
void tandem__ref_attention(ref_lane *lane, const tandem_batch *batch, int index);

/* Pooling and dense modules, or the classifier, over ws.x. */
void tandem__ref_pooled(ref_lane *lane, const tandem_batch *batch, float *out);
void tandem__ref_head(ref_lane *lane, const tandem_batch *batch, float *out);

/* out [B, V] = the plan's splade of the logits of ws.x. */
void tandem__ref_sparse(ref_lane *lane, const tandem_batch *batch, float *out);

#endif
