/* SPDX-License-Identifier: Apache-2.0 */
/* All of tandem's public API. */
#ifndef TANDEM_TANDEM_H
#define TANDEM_TANDEM_H

#include "tandem/call.h"
#include "tandem/dtype.h"
#include "tandem/engine.h"
#include "tandem/metrics.h"
#include "tandem/models.h"
#include "tandem/simulate.h"
#include "tandem/status.h"
#include "tandem/tokenizer.h"
#include "tandem/version.h"

#endif
