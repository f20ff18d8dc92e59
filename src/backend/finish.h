/* SPDX-License-Identifier: Apache-2.0 */
/* What follows the last layer, on the processor, for every lane: pooling, the modules after it, the
 * head of a classifier and that of a masked language model. It is some 0.1 % of the work of a
 * network and in f32, so a device's lane hands over its last hidden states, or its pooled vectors,
 * and needs no kernels for any of it. */
#ifndef TANDEM_BACKEND_FINISH_H
#define TANDEM_BACKEND_FINISH_H

#include "backend/backend.h"

typedef struct tandem_finish tandem_finish;

/* Copies the plan's weights after the layers in options->dtype (F32 or F16; others take F16), for
 * batches up to tokens_max and sequences_max; computes on options->pool. The plan outlives it.
 * TANDEM_NUMERIC names a weight that is NaN or infinite. Weights before the end of the layers
 * (a final norm among them) are not read. */
tandem_status tandem__finish_open(const tandem_plan *plan, const tandem_backend_options *options,
                                  tandem_finish **finish, tandem_error *err) TANDEM_NODISCARD;

/* NULL is allowed. */
void tandem__finish_close(tandem_finish *finish);

/* Bytes of weights, and of workspace. */
int64_t tandem__finish_bytes(const tandem_finish *finish);
int64_t tandem__finish_workspace_bytes(const tandem_finish *finish);

/* The output of a checked batch from its token vectors, `states` [T, H], rows `stride` floats
 * apart: POOLED, TOKENS, HEAD or SPARSE into `out` as tandem_output says. The same text gives the
 * same bits in any batch. Any thread but a worker of the pool; calls take turns. */
void tandem__finish_states(tandem_finish *finish, const tandem_batch *batch, tandem_output output,
                           const float *states, size_t stride, float *out);

/* POOLED or HEAD from vectors that the device has pooled: [B, H * (1 + joined)] by the plan's
 * poolings for POOLED, [B, H] by its head's for HEAD; rows `stride` floats apart. */
void tandem__finish_pooled(tandem_finish *finish, int32_t sequences, tandem_output output,
                           const float *pooled, size_t stride, float *out);

/* The same in parts, for a lane whose threads have just computed the states of whole sequences and
 * still hold them in their caches. Parts of one batch alone are under way at a time, and no other
 * call; each sequence is in one part; then finish_parts once. */
typedef struct tandem_finish_part {
    const tandem_batch *batch;
    tandem_output output; /* POOLED, HEAD or SPARSE; others do nothing */
    int32_t begin;        /* sequences [begin, end) of the batch */
    int32_t end;
    const float *states; /* row 0 is the first token of sequence `begin` */
    size_t stride;
    float *out; /* of the whole batch */
    int worker; /* the pool's */
} tandem_finish_part;

void tandem__finish_part(tandem_finish *finish, const tandem_finish_part *part);
void tandem__finish_parts(tandem_finish *finish, const tandem_batch *batch, tandem_output output,
                          float *out);

/* Says the steps from the pooling on: see tandem_backend.explain. */
void tandem__finish_explain(const tandem_finish *finish, tandem_step_function *say, void *context);

#endif
