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
 * batches up to tokens_max and sequences_max; computes on options->pool. The plan outlives it. */
tandem_status tandem__finish_open(const tandem_plan *plan, const tandem_backend_options *options,
                                  tandem_finish **finish, tandem_error *err) TANDEM_NODISCARD;

/* NULL is allowed. */
void tandem__finish_close(tandem_finish *finish);

int64_t tandem__finish_bytes(const tandem_finish *finish);

/* The output of a checked batch from its token vectors, `states` [T, H], rows `stride` floats
 * apart: POOLED, TOKENS, HEAD or SPARSE into `out` as tandem_output says. The same text gives the
 * same bits in any batch. Any thread; calls take turns. */
void tandem__finish_states(tandem_finish *finish, const tandem_batch *batch, tandem_output output,
                           const float *states, size_t stride, float *out);

/* POOLED or HEAD from vectors that the device has pooled: [B, H * (1 + joined)] by the plan's
 * poolings for POOLED, [B, H] by its head's for HEAD; rows `stride` floats apart. */
void tandem__finish_pooled(tandem_finish *finish, int32_t sequences, tandem_output output,
                           const float *pooled, size_t stride, float *out);

#endif
