/* SPDX-License-Identifier: Apache-2.0 */
/* The lane `ane`: an encoder on the Neural Engine of a Mac, by way of Core ML. */
#ifndef TANDEM_BACKEND_COREML_ANE_LANE_H
#define TANDEM_BACKEND_COREML_ANE_LANE_H

#include "backend/backend.h"

extern const tandem_backend tandem__backend_ane;

#endif
