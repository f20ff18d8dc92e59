/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of the Neural Engine, held against a finished program: it is read as it will be
 * written, operation by operation, with no knowledge of the encoder that made it. */
#ifndef TANDEM_BACKEND_COREML_ANE_LINT_H
#define TANDEM_BACKEND_COREML_ANE_LINT_H

#include "backend/coreml/mil.h"

/* TANDEM_UNSUPPORTED names the first operation that breaks a rule, and the rule: "l3_h2_scores
 * (einsum): equation: ...". */
tandem_status tandem__ane_lint(const mil_program *program, tandem_error *err) TANDEM_NODISCARD;

#endif
