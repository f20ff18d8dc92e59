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
#include "model/model.h"
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
    TANDEM_DIM_EMBEDDING = 8, /* width of the embedding tables */
    TANDEM_DIM_BUCKETS = 9,   /* of relative distances */
    TANDEM_DIM_HEADS = 10,
    TANDEM_DIM_COUNT = 11,
} tandem_dim;

typedef enum tandem_binding_kind {
    TANDEM_BINDING_TABLE = 0,  /* a tandem_view: name.weight [rows, cols] */
    TANDEM_BINDING_LINEAR = 1, /* a tandem_linear: name.weight [rows, cols], name.bias [rows] */
    TANDEM_BINDING_NORM = 2,   /* a tandem_norm: name.weight [cols], name.bias [cols] */
} tandem_binding_kind;

typedef enum tandem_binding_flag {
    TANDEM_BINDING_NO_BIAS = 1,
    TANDEM_BINDING_MAY_BIAS = 2,  /* as the file has it */
    TANDEM_BINDING_NOT_FIRST = 4, /* layer 0 has none */
    TANDEM_BINDING_WIDENING = 8,  /* only where the embeddings are not H wide */
} tandem_binding_flag;

typedef struct tandem_binding {
    const char *name;
    uint16_t slot; /* offsetof in tandem_plan, or in tandem_plan_layer */
    uint8_t kind;  /* tandem_binding_kind */
    uint8_t rows;  /* tandem_dim; of one part */
    uint8_t cols;  /* tandem_dim */
    uint8_t part;  /* a tensor of `parts` stacked ones: which of them, from 0 */
    uint8_t parts; /* 1 = the whole tensor */
    uint8_t flags; /* tandem_binding_flag */
} tandem_binding;

/* A key of config.json, another that means the same, and the value where both are absent. */
typedef struct tandem_config_int {
    const char *key;
    const char *other;
    int32_t fallback;
} tandem_config_int;

/* A masked-language-model head. The decoder's weight is that of the word embeddings where the file
 * has none of its own; its bias stands beside it or, from older releases, at `bias`. */
typedef struct tandem_lm_head {
    const tandem_binding *tensors; /* dense and norm */
    const char *decoder;
    const char *bias;             /* another stem, or NULL */
    bool may_lack_bias;           /* the decoder may have none at all */
    tandem_activation activation; /* NONE: the model's own */
} tandem_lm_head;

typedef struct tandem_config_keys {
    tandem_config_int hidden;
    tandem_config_int layers;
    tandem_config_int heads;
    tandem_config_int ffn;
    tandem_config_int vocab;
    tandem_config_int positions;
    tandem_config_int types;
    tandem_config_int embedding; /* width of the tables; without a key it is H */
    const char *activation;
    const char *activation_fallback;
    const char *norm_eps;
    const char *norm_eps_other;
    double norm_eps_fallback;
} tandem_config_keys;

#define TANDEM_FAMILY_TYPES_MAX    4
#define TANDEM_FAMILY_PREFIXES_MAX 2
#define TANDEM_LAYERS_MAX          512

typedef struct tandem_family tandem_family;

typedef enum tandem_need {
    TANDEM_NEED_NONE = 0,
    TANDEM_NEED_MAY = 1, /* where the file has it */
    TANDEM_NEED_MUST = 2,
} tandem_need;

/* What config.json says beside the plan. */
typedef struct tandem_config {
    const tandem_family *family;
    int64_t dims[TANDEM_DIM_COUNT]; /* by tandem_dim */
    bool is_classifier;             /* "architectures" names a ...ForSequenceClassification */
    tandem_need lm_head;            /* of a masked language model */
    const char *const *labels;      /* [plan->labels] */
    tandem_score score;
    float rope_theta; /* of layers that see all tokens */
    float rope_theta_local;
    float rope_scale;
    int32_t window;                   /* of local layers */
    bool is_local[TANDEM_LAYERS_MAX]; /* by layer */
} tandem_config;

struct tandem_family {
    const char *name;
    const char *model_types[TANDEM_FAMILY_TYPES_MAX];    /* config.json's model_type; NULL ends */
    const char *class_prefixes[TANDEM_FAMILY_TYPES_MAX]; /* of "architectures": "Bert" */
    /* Before every name in files of models with a head: "bert." */
    const char *prefixes[TANDEM_FAMILY_PREFIXES_MAX];
    tandem_config_keys keys;
    tandem_position position;
    bool is_norm_first;
    const tandem_binding *tensors; /* of the plan; a NULL name ends each list */
    const tandem_binding *layer;   /* of each layer */
    const tandem_binding *head;    /* of a sequence classifier */
    tandem_activation head_activation;
    tandem_lm_head lm_head;
    /* Whatever the keys cannot say: reads more of config.json. May be NULL. */
    tandem_status (*refine)(const tandem_json *root, tandem_plan *plan, tandem_config *config,
                            tandem_error *err);
};

/* A NULL name ends the list. */
extern const tandem_family tandem__families[];

/* The entry for a config.json, or TANDEM_UNSUPPORTED with the list of those that are known. */
tandem_status tandem__family_find(const tandem_json *config, const tandem_family **family,
                                  tandem_error *err) TANDEM_NODISCARD;

#endif
