/* SPDX-License-Identifier: Apache-2.0 */
/* Everything below a folder, without following links. */
#ifndef TANDEM_HUB_WALK_H
#define TANDEM_HUB_WALK_H

#include <sys/stat.h>

#include "tandem/status.h"

typedef struct tandem_hub_found {
    const char *path;        /* the folder's own, then `name` */
    const char *name;        /* below the folder: "1_Pooling/config.json" */
    const struct stat *info; /* of the link itself where it is one */
} tandem_hub_found;

typedef tandem_status (*tandem_hub_visitor)(void *context, const tandem_hub_found *found,
                                            tandem_error *err);

typedef enum tandem_hub_walk_kind {
    TANDEM_HUB_WALK_FILES = 0, /* files and links, in no order */
    TANDEM_HUB_WALK_ALL = 1,   /* folders too, each after what is in it */
    TANDEM_HUB_WALK_TOP = 2,   /* files, links and folders, not what is in those */
} tandem_hub_walk_kind;

/* A folder that is not there is an empty one. Deeper than ten levels is TANDEM_FORMAT. A visitor
 * may remove what it is shown. */
tandem_status tandem__hub_walk(const char *folder, tandem_hub_walk_kind kind,
                               tandem_hub_visitor visitor, void *context,
                               tandem_error *err) TANDEM_NODISCARD;

#endif
