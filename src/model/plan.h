/* SPDX-License-Identifier: Apache-2.0 */
/* What a model computes, as data: hyperparameters, flags and views of its weights. A backend needs
 * nothing else to run it, and no backend knows a family's name.
 *
 * Views point into mapped files (or generated weights) that outlive the plan's use; backends copy
 * what they need when they open and give the pages back. Immutable once made; any thread. */
#ifndef TANDEM_MODEL_PLAN_H
#define TANDEM_MODEL_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tandem/dtype.h"

/* [rows, cols] row-major; a vector is [1, n]. data == NULL: the model has none. */
typedef struct tandem_view {
    const void *data;
    tandem_dtype dtype; /* F32, F16 or BF16 */
    int64_t rows;
    int64_t cols;
} tandem_view;

typedef struct tandem_linear {
    tandem_view weight; /* [out, in]: y = x Wᵀ + b */
    tandem_view bias;   /* [1, out] or none */
} tandem_linear;

typedef struct tandem_norm {
    tandem_view gamma; /* [1, H]; none = the norm itself is absent */
    tandem_view beta;  /* [1, H] or none */
} tandem_norm;

typedef enum tandem_activation {
    TANDEM_ACTIVATION_NONE = 0,
    TANDEM_ACTIVATION_GELU_ERF = 1,
    TANDEM_ACTIVATION_GELU_TANH = 2,
    TANDEM_ACTIVATION_SILU = 3,
    TANDEM_ACTIVATION_RELU = 4,
    TANDEM_ACTIVATION_TANH = 5,
    /* These follow a Dense module alone, in plain C: tandem__activate. */
    TANDEM_ACTIVATION_SIGMOID = 6,
    TANDEM_ACTIVATION_LEAKY_RELU = 7, /* slope 0.01 below zero */
    TANDEM_ACTIVATION_ELU = 8,
    TANDEM_ACTIVATION_SELU = 9,
    TANDEM_ACTIVATION_MISH = 10,
    TANDEM_ACTIVATION_SOFTPLUS = 11,
} tandem_activation;

/* How attention learns of positions. A table of absolute ones is beside it: position_rows. */
typedef enum tandem_position {
    TANDEM_POSITION_NONE = 0,
    TANDEM_POSITION_ABSOLUTE = 1, /* by the table alone */
    TANDEM_POSITION_ROPE = 2,
    TANDEM_POSITION_ALIBI = 3,
    TANDEM_POSITION_RELATIVE = 4, /* T5-style buckets, one bias per head, shared by all layers */
} tandem_position;

typedef enum tandem_pooling {
    TANDEM_POOLING_NONE = 0, /* token vectors only */
    TANDEM_POOLING_MEAN = 1,
    TANDEM_POOLING_CLS = 2,
    TANDEM_POOLING_MAX = 3,
    TANDEM_POOLING_LAST = 4,
    TANDEM_POOLING_WEIGHTED_MEAN = 5, /* token i (from 0) weighs i + 1 */
    TANDEM_POOLING_MEAN_SQRT = 6,     /* sum / sqrt(tokens) */
    TANDEM_POOLING_SPLADE = 7,        /* none but the sparse vectors of tandem_splade */
} tandem_pooling;

typedef struct tandem_plan_layer {
    tandem_linear query; /* [N*D, H] */
    tandem_linear key;
    tandem_linear value;
    tandem_linear output; /* [H, N*D] */
    tandem_norm attention_norm;
    tandem_linear up;   /* [F, H] */
    tandem_linear gate; /* [F, H], or none: y = act(x gateᵀ) * (x upᵀ) */
    tandem_linear down; /* [H, F] */
    tandem_norm ffn_norm;
    float rope_theta; /* base of the rotary angles; 0 = no rotation in this layer */
    float rope_scale; /* every angle is multiplied by this; 1 except in stretched models */
    int32_t window;   /* a token sees others at distance <= window; 0 = all */
} tandem_plan_layer;

typedef enum tandem_dense_kind {
    TANDEM_DENSE_LINEAR = 0, /* y = act(x Wᵀ + b), and the residual */
    TANDEM_DENSE_NORM = 1,   /* y = norm(x) */
    TANDEM_DENSE_UNIT = 2,   /* y = x / |x| */
} tandem_dense_kind;

/* What follows the pooling, in order. */
typedef struct tandem_plan_dense {
    tandem_dense_kind kind;
    tandem_linear linear;
    tandem_activation activation;
    bool has_residual;      /* y gets x added, or x times `residual` where there is one */
    tandem_linear residual; /* [out, in], no bias */
    tandem_norm norm;
    float norm_eps;
} tandem_plan_dense;

#define TANDEM_POOLINGS_MAX 6

/* How logits of tokens become one sparse vector [V]: f = log(1 + x) once or twice over relu(logit),
 * then the largest of the tokens or their sum. */
typedef struct tandem_splade {
    bool is_sum;
    bool is_log_twice;
} tandem_splade;

/* H hidden, N heads, D head dim, F ffn, V vocabulary. */
typedef struct tandem_plan {
    const char *family; /* "bert"; for messages and reports */
    int32_t hidden;
    int32_t heads;
    int32_t head_dim;
    int32_t ffn;
    int32_t vocab;
    int32_t positions_max; /* longest sequence in tokens, special ones included */
    int32_t types;         /* token types; 0 = the model has none */
    int32_t layer_count;
    float norm_eps;
    float attention_scale; /* scores are q·k times this: 1/sqrt(D) */
    bool is_norm_first;    /* norms before the sublayers (pre-LN) instead of after the residual */
    tandem_activation activation;
    tandem_position position;
    int32_t position_offset;       /* RoBERTa: padding_idx + 1 */
    int32_t relative_distance_max; /* of TANDEM_POSITION_RELATIVE */
    tandem_view relative_bias;     /* [buckets, N] */

    tandem_view word;          /* [V, H] */
    tandem_view position_rows; /* [positions, H] or none: row position + position_offset is added
                                  to the token's; MPNet has it beside RELATIVE */
    tandem_view type_rows;     /* [types, H] or none */
    tandem_norm embedding_norm;
    tandem_linear embedding_projection; /* [H, E] where the tables have another width; or none */
    tandem_norm final_norm;             /* after the last layer, where is_norm_first */
    const tandem_plan_layer *layers;    /* [layer_count] */

    tandem_pooling pooling;
    tandem_pooling joined[TANDEM_POOLINGS_MAX - 1]; /* others, whose vectors follow the first's */
    int32_t joined_count;
    bool is_normalized;             /* the model's own last step is L2 normalisation */
    const tandem_plan_dense *dense; /* [dense_count] */
    int32_t dense_count;
    int32_t dimensions; /* of the pooled vectors, joined, after `dense` */

    /* Sequence-classification head: classifier(norm(act(dense(x)))), x the first token's state or
     * the mean of all. */
    tandem_pooling head_pooling; /* MEAN, else the first token */
    tandem_linear head_dense;    /* none in some families */
    tandem_activation head_activation;
    tandem_norm head_norm;    /* none in most */
    tandem_linear classifier; /* [labels, H]; none = not a classifier */
    int32_t labels;

    /* Masked-language-model head of every token: decoder(norm(act(dense(x)))), E wide between. */
    tandem_linear lm_dense; /* [E, H] */
    tandem_activation lm_activation;
    tandem_norm lm_norm;
    tandem_linear lm_decoder; /* [V, E], its weight often that of `word`; none = no such head */
    tandem_splade splade;

    int64_t parameters; /* in all tensors that are used */

    /* Called when [data, data + bytes) of a view has been copied for the last time; may be NULL. */
    void (*release)(void *context, const void *data, size_t bytes);
    /* For messages: what a view's data is, "folder/model.safetensors: name"; `text` has `size`
     * bytes and becomes "" where it is not known. May be NULL. */
    void (*describe)(void *context, const void *data, char *text, size_t size);
    void *release_context; /* of both */
} tandem_plan;

#endif
