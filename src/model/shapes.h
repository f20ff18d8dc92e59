/* SPDX-License-Identifier: Apache-2.0 */
/* Shapes that can be measured without their weights. Static data; any thread. */
#ifndef TANDEM_MODEL_SHAPES_H
#define TANDEM_MODEL_SHAPES_H

#include <stddef.h>

typedef struct tandem_shape {
    const char *name;
    const char *config; /* the text of a config.json */
} tandem_shape;

/* A NULL name ends the list. */
extern const tandem_shape tandem__shapes[];

#endif
