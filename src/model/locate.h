/* SPDX-License-Identifier: Apache-2.0 */
/* Where a model lies: a folder, or the Hub's cache (base/hub_cache.h). Nothing is downloaded here.
 * Any thread. */
#ifndef TANDEM_MODEL_LOCATE_H
#define TANDEM_MODEL_LOCATE_H

#include "base/file.h"
#include "tandem/status.h"

/* The folder of `name` (as tandem__source_open takes it) into TANDEM_PATH_MAX bytes.
 * TANDEM_NOT_FOUND says which places were looked at and what to do. */
tandem_status tandem__model_locate(const char *name, char *folder,
                                   tandem_error *err) TANDEM_NODISCARD;

#endif
