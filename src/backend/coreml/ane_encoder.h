/* SPDX-License-Identifier: Apache-2.0 */
/* An encoder as programs for the Neural Engine, one for each fixed length ("bucket"):
 *
 *     hidden (1, H, 1, S) f16 ─ layers ─ states (1, H, 1, S) f16          S = 32, 64, ... 512
 *     mask   (1, S, 1, 1) f16: 0 for a token, -1e4 for padding
 *
 * The form is the one that Apple found to stay on the engine (apple/ml-ane-transformers): channels
 * on axis 1, tokens on the last axis, linear maps as 1x1 convolutions with constant weights, heads
 * one by one, everything in f16. Embeddings, pooling and heads are left to the processor. What
 * cannot be said by these rules is refused; ane_lint.c holds each program against them again. */
#ifndef TANDEM_BACKEND_COREML_ANE_ENCODER_H
#define TANDEM_BACKEND_COREML_ANE_ENCODER_H

#include "backend/coreml/mil.h"
#include "model/plan.h"

enum {
    ANE_BUCKETS_MAX = 5,
    ANE_BUCKET_LEAST = 32,
    ANE_BUCKET_MOST = 512,
    ANE_CHANNELS = 32, /* channels come in multiples of it */
    /* An operand above this is cut in pieces by the engine of an M1 and fetched from memory again
     * (ane-guide, "Model-design rules"). */
    ANE_OPERAND_BYTES_MAX = 2 << 20,
};

#define ANE_MASKED (-1e4f) /* added to the scores of keys that are not seen */

typedef struct ane_model {
    const tandem_plan *plan;
    tandem_arena arena;
    mil_weights weights;   /* of all programs */
    const float *relative; /* [buckets, N] the plan's relative_bias as f32, or NULL */
    int32_t
        channels;    /* of `hidden`: H, or E in whole multiples of 32 where there is a projection */
    int32_t longest; /* the largest bucket, by which operands are cut */
    int32_t bucket_count;
    int32_t buckets[ANE_BUCKETS_MAX]; /* rising */
    mil_program programs[ANE_BUCKETS_MAX];
} ane_model;

/* The buckets for sequences up to `tokens`, rising, into buckets[ANE_BUCKETS_MAX]; returns their
 * number. */
int32_t tandem__ane_buckets(int32_t tokens, int32_t *buckets);

/* Programs of a checked plan for the given buckets, each judged by tandem__ane_lint. The plan's
 * weights are read only when the weight file is written. TANDEM_UNSUPPORTED names the flag that
 * cannot be expressed. Free with tandem__ane_model_close. */
tandem_status tandem__ane_model_open(const tandem_plan *plan, const int32_t *buckets,
                                     int32_t bucket_count, ane_model **model,
                                     tandem_error *err) TANDEM_NODISCARD;

/* NULL is allowed. */
void tandem__ane_model_close(ane_model *model);

/* Calls plan->release for every tensor that the weight file is made of. */
void tandem__ane_model_release(const ane_model *model);

#endif
