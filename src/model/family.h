/* SPDX-License-Identifier: Apache-2.0 */
/* Families of models, as data. An entry says which config.json it is for, which of its keys hold
 * the sizes, and which tensors fill which slots of the plan. docs/models/ shows each with its layer
 * diagram and tells how to add one: an entry in family.c, a test and a page.
 *
 * Names of tensors are written without ".weight" and ".bias"; '#' stands for the layer's number.
 * Immutable; any thread. */
#ifndef TANDEM_MODEL_FAMILY_H
#define TANDEM_MODEL_FAMILY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "model/plan.h"
#include "tandem/status.h"

/* A size of a tensor, found in config.json. */
typedef enum tandem_dim {
    TANDEM_DIM_ONE = 0,
    TANDEM_DIM_HIDDEN = 1,
    TANDEM_DIM_ATTENTION = 2, /* N * D */
    TANDEM_DIM_FFN = 3,
    TANDEM_DIM_VOCAB = 4,
    TANDEM_DIM_POSITIONS = 5, /* rows of the table: positions_max + position_offset */
    TANDEM_DIM_TYPES = 6,
    TANDEM_DIM_LABELS = 7,
    TANDEM_DIM_COUNT = 8,
} tandem_dim;

typedef struct tandem_dims {
    int64_t of[TANDEM_DIM_COUNT];
} tandem_dims;

typedef enum tandem_binding_kind {
    TANDEM_BINDING_TABLE = 0,  /* a tandem_view: name.weight [rows, cols] */
    TANDEM_BINDING_LINEAR = 1, /* a tandem_linear: name.weight [rows, cols], name.bias [rows] */
    TANDEM_BINDING_NORM = 2,   /* a tandem_norm: name.weight [cols], name.bias [cols] */
} tandem_binding_kind;

typedef struct tandem_binding {
    const char *name;
    uint16_t slot; /* offsetof in tandem_plan, or in tandem_plan_layer */
    uint8_t kind;  /* tandem_binding_kind */
    uint8_t rows;  /* tandem_dim; of one part */
    uint8_t cols;  /* tandem_dim */
} tandem_binding;

/* A key of config.json and the value that transformers takes where it is absent. */
typedef struct tandem_config_int {
    const char *key;
    int32_t fallback;
} tandem_config_int;

typedef struct tandem_config_keys {
    tandem_config_int hidden;
    tandem_config_int layers;
    tandem_config_int heads;
    tandem_config_int ffn;
    tandem_config_int vocab;
    tandem_config_int positions;
    tandem_config_int types;
    const char *activation;
    const char *activation_fallback;
    const char *norm_eps;
    double norm_eps_fallback;
} tandem_config_keys;

#define TANDEM_FAMILY_TYPES_MAX 4

typedef struct tandem_family {
    const char *name;
    const char *model_types[TANDEM_FAMILY_TYPES_MAX]; /* config.json's model_type; NULL ends */
    const char *class_prefix; /* of "architectures", where there is no model_type: "Bert" */
    const char *prefix;       /* before every name in files of models with a head: "bert." */
    tandem_config_keys keys;
    tandem_position position;
    const tandem_binding *tensors; /* of the plan; a NULL name ends each list */
    const tandem_binding *layer;   /* of each layer */
    const tandem_binding *head;    /* of a sequence classifier */
    tandem_activation head_activation;
    /* Whatever the keys cannot say: reads more of config.json into the plan. May be NULL. */
    tandem_status (*refine)(const tandem_json *config, tandem_plan *plan, tandem_error *err);
} tandem_family;

/* The entry for a config.json, or TANDEM_UNSUPPORTED with the list of those that are known. */
tandem_status tandem__family_find(const tandem_json *config, const tandem_family **family,
                                  tandem_error *err) TANDEM_NODISCARD;

#endif
