/* SPDX-License-Identifier: Apache-2.0 */
/* The reference: plain C, f32 storage, double accumulation, every flag of the plan. It defines what
 * the other backends have to give, so it is written to be read and not to be fast. */
#ifndef TANDEM_BACKEND_REF_H
#define TANDEM_BACKEND_REF_H

#include "backend/backend.h"

extern const tandem_backend tandem__backend_ref;

#endif
