/* SPDX-License-Identifier: Apache-2.0 */
/* Where a model lies: a folder, or the Hub's cache as Python's huggingface_hub lays it out,
 *
 *     <cache>/models--<org>--<name>/refs/<revision>             one line: the commit
 *     <cache>/models--<org>--<name>/snapshots/<commit>/<file>   links into ../../blobs
 *
 * <cache> is HF_HUB_CACHE, else HF_HOME/hub, else XDG_CACHE_HOME/huggingface/hub, else
 * ~/.cache/huggingface/hub. Nothing is downloaded here. Any thread. */
#ifndef TANDEM_MODEL_LOCATE_H
#define TANDEM_MODEL_LOCATE_H

#include "base/file.h"
#include "tandem/status.h"

/* The cache folder, whether or not it exists, into TANDEM_PATH_MAX bytes. */
tandem_status tandem__model_cache(char *folder, tandem_error *err) TANDEM_NODISCARD;

/* The folder of `name` (as tandem__source_open takes it) into TANDEM_PATH_MAX bytes.
 * TANDEM_NOT_FOUND says which places were looked at and what to do. */
tandem_status tandem__model_locate(const char *name, char *folder,
                                   tandem_error *err) TANDEM_NODISCARD;

#endif
