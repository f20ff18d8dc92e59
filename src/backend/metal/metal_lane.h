/* SPDX-License-Identifier: Apache-2.0 */
/* The metal lane: Apple's GPUs, f16 weights and activations with f32 sums. Up to three
 * batches are in flight. Nothing here is known to be fast: no Mac has run it yet. */
#ifndef TANDEM_BACKEND_METAL_LANE_H
#define TANDEM_BACKEND_METAL_LANE_H

#include "backend/backend.h"

extern const tandem_backend tandem__backend_metal;

/* Gives back the process's device, queue and pipelines, which else stay for the next lane. No lane
 * may be open. For tests, which count objects. */
void tandem__metal_forget(void);

/* A command buffer is ended after `flops` floating-point operations; 0: after as many as the lane
 * holds right. For tests, with no batch under way. */
void tandem__metal_cut(double flops);

/* The work of one dispatch as the cost model sees it: every array it touches goes through memory
 * once. */
typedef struct tandem_metal_cost {
    const char *op;     /* "query, key, value" */
    const char *kernel; /* "gemm_64x64" */
    int layer;          /* -1: outside the layers */
    int groups;         /* threadgroups */
    double flops;
    double bytes_read;
    double bytes_written;
} tandem_metal_cost;

typedef void tandem_metal_cost_visit(void *context, const tandem_metal_cost *cost);

/* Says each dispatch of a batch of `sequences` texts, `lengths` tokens each, in order, POOLED where
 * the plan pools, else TOKENS: the very list that the lane encodes. Needs no device.
 * TANDEM_UNSUPPORTED as when the lane is opened. */
tandem_status tandem__metal_cost(const tandem_plan *plan, const int32_t *lengths, int sequences,
                                 tandem_metal_cost_visit *visit, void *context,
                                 tandem_error *err) TANDEM_NODISCARD;

#endif
