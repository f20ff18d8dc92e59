/* SPDX-License-Identifier: Apache-2.0 */
/* Reading of the golden files (README.md), a lane opened on a model, and the comparison. Whatever
 * is missing or malformed fails the test that asks. */
#ifndef TANDEM_TESTS_GOLDEN_FILES_H
#define TANDEM_TESTS_GOLDEN_FILES_H

#include <stdint.h>

#include "backend/backend.h"
#include "model/model.h"

typedef struct golden_texts {
    int32_t *ids;
    int32_t *types;
    int32_t *offsets; /* [count + 1] */
    int32_t count;
    int32_t tokens;
} golden_texts;

/* Reads `folder`/ids.txt and types.txt; at most `count_max` texts. */
golden_texts golden_texts_read(const char *folder, int count_max);
void golden_texts_free(golden_texts *texts);

/* Texts [begin, end) as a batch; its offsets stay the caller's to free. */
tandem_batch golden_batch(const golden_texts *texts, int begin, int end);
void golden_batch_free(tandem_batch *batch);

/* `folder`/`name`.f32, which must hold at least `count` floats; caller frees. */
float *golden_floats_read(const char *folder, const char *name, size_t count);

/* Opens the lane for the plan; fails the test with the lane's own message. */
tandem_lane *golden_lane_open(const tandem_backend *backend, const tandem_plan *plan,
                              tandem_dtype dtype, tandem_pool *pool, int tokens_max,
                              int sequences_max);

void golden_submit(const tandem_backend *backend, tandem_lane *lane, const tandem_batch *batch,
                   tandem_output output, float *out);

/* The f32 answer of a lane that is opened for it, all texts in one batch: `count` floats; caller
 * frees. */
float *golden_run(const tandem_plan *plan, const char *lane, const golden_texts *texts,
                  tandem_output output, size_t count);

/* Opens the model `kind`/`name` ("families", "lm"), whose path goes to `folder` of `size` bytes. */
tandem_source *golden_model_open(const char *kind, const char *name, char *folder, size_t size);

typedef struct golden_difference {
    double cosine_min;
    double cosine_mean;
    double largest; /* absolute, of the vectors as they are given */
} golden_difference;

/* Rows of `got` are first divided by their length if `normalize`. */
golden_difference golden_compare(const float *got, const float *expected, int rows, int width,
                                 int normalize);

#endif
