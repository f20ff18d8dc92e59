/* SPDX-License-Identifier: Apache-2.0 */
/* What tandem_hub_list, _verify and _remove share. */
#ifndef TANDEM_HUB_INVENTORY_H
#define TANDEM_HUB_INVENTORY_H

#include "hub/hub_settings.h"

/* Where a model that the user names lies: `folder` of TANDEM_PATH_MAX bytes, whether or not it
 * exists, and `commit` of TANDEM_HUB_NAME_MAX bytes, "" where no revision was said. A name without
 * owner may be a model that Python put there without one. */
tandem_status tandem__hub_find(const char *cache, const char *name, const char *revision,
                               char *folder, char *commit, tandem_error *err) TANDEM_NODISCARD;

/* The blob that the link at `path` points to, by its name alone, into TANDEM_HUB_NAME_MAX bytes;
 * "" for what is no link into a blobs folder. */
void tandem__hub_link_blob(const char *path, char *blob);

#endif
