/* SPDX-License-Identifier: Apache-2.0 */
/* config.json into the numbers and flags of a plan: everything but the weights' views. Each number
 * is bounded here, so that what is allocated from it later is bounded too. */
#ifndef TANDEM_MODEL_CONFIG_H
#define TANDEM_MODEL_CONFIG_H

#include "base/arena.h"
#include "base/json.h"
#include "model/family.h"
#include "model/plan.h"

#define TANDEM_LABELS_MAX 65536

/* Labels are copied to `arena`. Messages name the field. */
tandem_status tandem__config_read(const tandem_json *root, tandem_arena *arena, tandem_plan *plan,
                                  tandem_config *config, tandem_error *err) TANDEM_NODISCARD;

/* The function of a classifier's logits by its class in torch; others leave `score` as it is, as
 * sentence-transformers passes over what is not torch's. */
tandem_status tandem__score_from_name(tandem_str name, tandem_score *score,
                                      tandem_error *err) TANDEM_NODISCARD;

#endif
