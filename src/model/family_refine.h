/* SPDX-License-Identifier: Apache-2.0 */
/* What a family's config.json says beyond sizes: offsets, rotary angles, local layers. Each reads
 * after the sizes are in the plan; messages name the field. */
#ifndef TANDEM_MODEL_FAMILY_REFINE_H
#define TANDEM_MODEL_FAMILY_REFINE_H

#include "model/family.h"

/* Words of config.json for the functions that tandem has, such as "gelu_new". */
tandem_status tandem__activation_from_word(const char *key, tandem_str word,
                                           tandem_activation *activation,
                                           tandem_error *err) TANDEM_NODISCARD;

#define TANDEM_REFINE(name)                                                                        \
    tandem_status tandem__refine_##name(const tandem_json *root, tandem_plan *plan,                \
                                        tandem_config *config, tandem_error *err) TANDEM_NODISCARD

TANDEM_REFINE(roberta);
TANDEM_REFINE(mpnet);
TANDEM_REFINE(nomic);
TANDEM_REFINE(gte);
TANDEM_REFINE(modernbert);

#undef TANDEM_REFINE

#endif
