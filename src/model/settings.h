/* SPDX-License-Identifier: Apache-2.0 */
/* What sentence-transformers keeps beside the transformer: the modules that follow it, prompts,
 * lengths. Read as its release 6.2 does; where that would go on with a surprise (a module it does
 * not know, two poolings at once), this refuses and names the file and the field. */
#ifndef TANDEM_MODEL_SETTINGS_H
#define TANDEM_MODEL_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "model/folder.h"
#include "model/model.h"

#define TANDEM_DENSE_MAX 16
#define TANDEM_INNER_MAX 256 /* bytes of a module's folder name, the NUL included */

typedef struct tandem_dense_module {
    tandem_dense_kind kind;
    bool has_residual;
    char inner[TANDEM_INNER_MAX];
    int32_t in_features;
    int32_t out_features;
    bool has_bias;
    tandem_activation activation;
} tandem_dense_module;

typedef struct tandem_modules {
    bool is_listed;               /* there is a modules.json that holds for this use */
    char inner[TANDEM_INNER_MAX]; /* folder of config.json and the transformer's weights */
    tandem_pooling pooling;
    tandem_pooling joined[TANDEM_POOLINGS_MAX - 1];
    int32_t joined_count;
    bool is_prompt_pooled;
    bool is_normalized;
    bool is_masked_lm; /* the transformer's module says that it gives logits of the vocabulary */
    tandem_splade splade;
    tandem_str score_name; /* of a cross-encoder's logits, "" = what config.json says; borrowed */
    tandem_dense_module dense[TANDEM_DENSE_MAX];
    int32_t dense_count;
} tandem_modules;

/* modules.json and the modules' own documents. Without it: the transformer and mean pooling. */
tandem_status tandem__modules_read(const tandem_folder *folder, tandem_modules *modules,
                                   tandem_error *err) TANDEM_NODISCARD;

/* Prompts, similarity, truncate_dim and the default length into `source`; strings are copied to
 * `arena`. `plan` holds config.json's numbers already. */
tandem_status tandem__settings_read(const tandem_folder *folder, const tandem_modules *modules,
                                    const tandem_plan *plan, tandem_arena *arena,
                                    tandem_source *source, tandem_error *err) TANDEM_NODISCARD;

#endif
