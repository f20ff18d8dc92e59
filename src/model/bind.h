/* SPDX-License-Identifier: Apache-2.0 */
/* Fills a plan's views from a family's list of bindings. Where a tensor comes from is a supply:
 * weights on disk, or generated ones (random.c). */
#ifndef TANDEM_MODEL_BIND_H
#define TANDEM_MODEL_BIND_H

#include "format/safetensors.h"
#include "model/family.h"
#include "model/plan.h"

typedef enum tandem_role {
    TANDEM_ROLE_MATRIX = 0, /* stem.weight [rows, cols] */
    TANDEM_ROLE_BIAS = 1,   /* stem.bias [cols] */
    TANDEM_ROLE_GAIN = 2,   /* stem.weight [cols], of a norm; stem.gamma in old files */
    TANDEM_ROLE_SHIFT = 3,  /* stem.bias [cols], of a norm; stem.beta in old files */
} tandem_role;

typedef struct tandem_want {
    const char *stem; /* "encoder.layer.3.attention.self.query" */
    tandem_role role;
    int64_t rows; /* 1 for a vector */
    int64_t cols;
    int part;         /* of a tensor of `parts` such ones stacked: which, from 0 */
    int parts;        /* 1 = all of it */
    bool is_optional; /* absent: no data, and no error */
} tandem_want;

typedef struct tandem_supply {
    tandem_status (*take)(void *context, const tandem_want *want, tandem_view *view,
                          tandem_error *err);
    void *context;
} tandem_supply;

/* A supply from files: each name as it is, or with one of `prefixes` before it. */
typedef struct tandem_supply_files {
    const tandem_weights *weights;
    const char *const *prefixes; /* [TANDEM_FAMILY_PREFIXES_MAX], NULL where unused */
} tandem_supply_files;

tandem_supply tandem__supply_from_files(tandem_supply_files *files);

/* Binds everything: plan's own tensors, `layers` [plan->layer_count], and the head of a classifier.
 * Adds the elements bound to plan->parameters. */
tandem_status tandem__bind_plan(const tandem_config *config, tandem_supply supply,
                                tandem_plan_layer *layers, tandem_plan *plan,
                                tandem_error *err) TANDEM_NODISCARD;

/* One linear layer by its stem; counted in `parameters`. */
tandem_status tandem__bind_linear(tandem_supply supply, const char *stem, int64_t rows,
                                  int64_t cols, bool has_bias, tandem_linear *linear,
                                  int64_t *parameters, tandem_error *err) TANDEM_NODISCARD;

/* The same of a norm [width] with its shift. */
tandem_status tandem__bind_norm(tandem_supply supply, const char *stem, int64_t width,
                                tandem_norm *norm, int64_t *parameters,
                                tandem_error *err) TANDEM_NODISCARD;

#endif
