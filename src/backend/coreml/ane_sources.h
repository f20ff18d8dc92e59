/* SPDX-License-Identifier: Apache-2.0 */
/* What the blobs of a weight file are made of: parts of the plan's tensors, and tables. A source
 * that was asked for before is the same blob again, so that the programs of all lengths share the
 * weights. Private to the encoder's files. */
#ifndef TANDEM_BACKEND_COREML_ANE_SOURCES_H
#define TANDEM_BACKEND_COREML_ANE_SOURCES_H

#include "backend/coreml/ane_encoder.h"

typedef enum ane_source_kind {
    ANE_SOURCE_TENSOR = 0,
    ANE_SOURCE_COSINES = 1, /* of rotary angles, [N * D / 2, S] */
    ANE_SOURCE_SINES = 2,
    ANE_SOURCE_SCORES = 3, /* added to scores, [S keys, S queries] */
    ANE_SOURCE_ZEROS = 4,
} ane_source_kind;

/* Fields that a kind does not name are 0. */
typedef struct ane_source {
    ane_source_kind kind;
    int32_t rows; /* of the blob */
    int32_t cols;
    /* TENSOR: rows and columns of a view from (first_row, first_col) on, times `scale`; what lies
     * outside the view is 0. A vector is a view of one column. */
    tandem_view view;
    int32_t first_row;
    int32_t first_col;
    float scale;
    bool is_halved; /* the first halves of all heads' rows, then the second halves */
    int32_t layer;  /* for messages, -1: none */
    const char *slot;
    const char *part;
    /* COSINES, SINES. */
    float rope_theta;
    float rope_scale;
    /* SCORES. */
    int32_t head;
    int32_t window;
    const float *by_distance; /* [2 * S - 1] from key 0 of query S - 1; found, not asked for */
} ane_source;

/* The index of the blob, -1 when out of memory. */
int32_t tandem__ane_source(ane_model *model, const ane_source *source);

#endif
