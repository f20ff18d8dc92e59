/* SPDX-License-Identifier: Apache-2.0 */
/* `tandem doctor --explain`: the plan of a model, and what each lane runs for each step of it. */
#ifndef TANDEM_CLI_DOCTOR_EXPLAIN_H
#define TANDEM_CLI_DOCTOR_EXPLAIN_H

#include <stdbool.h>

#include "base/buffer.h"
#include "tandem/engine.h"

/* Appends what the engine says of its plan and of every lane that the machine has, as text or,
 * where `is_json`, as ,"explain":{...}. A lane that cannot run the model says why instead. */
tandem_status cli_explain_engine(tandem_engine *engine, bool is_json, tandem_buffer *out,
                                 tandem_error *err) TANDEM_NODISCARD;

/* The same of `model`, opened for it. */
tandem_status cli_doctor_explain(const char *model, bool is_json, tandem_buffer *out,
                                 tandem_error *err) TANDEM_NODISCARD;

#endif
