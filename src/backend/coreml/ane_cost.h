/* SPDX-License-Identifier: Apache-2.0 */
/* What a program of the lane `ane` costs, counted from its own list of operations, without a
 * device. What the engine fuses, or keeps on the chip, is not known here: the sums are of the
 * operations one by one. */
#ifndef TANDEM_BACKEND_COREML_ANE_COST_H
#define TANDEM_BACKEND_COREML_ANE_COST_H

#include <stdbool.h>

#include "model/plan.h"
#include "tandem/status.h"

typedef struct tandem_ane_cost {
    const char *op;   /* "conv" */
    const char *name; /* "l3_h0_scores" */
    int layer;        /* -1: outside the layers */
    bool is_matrix;   /* conv and einsum: products, for the engine's multipliers */
    double flops;
    double weight_bytes; /* constants in the weight file */
    double bytes_read;   /* activations */
    double bytes_written;
    double operand_bytes; /* of the largest operand, weights included */
} tandem_ane_cost;

typedef void tandem_ane_cost_visit(void *context, const tandem_ane_cost *cost);

/* Says each operation of the program for sequences of `bucket` tokens (32, 64, ... 512) in order:
 * the very program that the lane compiles where that is its largest bucket. TANDEM_UNSUPPORTED as
 * when the lane is opened. */
tandem_status tandem__ane_cost(const tandem_plan *plan, int32_t bucket,
                               tandem_ane_cost_visit *visit, void *context,
                               tandem_error *err) TANDEM_NODISCARD;

#endif
