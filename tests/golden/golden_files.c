/* SPDX-License-Identifier: Apache-2.0 */
#include "golden/golden_files.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LINE_MAX_BYTES = 1 << 16, TOKENS_MAX = 1 << 16, PATH_BYTES = 512 };

static FILE *open_file(const char *folder, const char *name, const char *mode) {
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, mode);
    if (file == NULL) fail_msg("%s cannot be opened", path);
    return file;
}

/* Appends the numbers of each line to `values`; offsets of lines to `offsets`, if not NULL. */
static int read_lines(const char *folder, const char *name, int count_max, int32_t *values,
                      int32_t *offsets) {
    static char line[LINE_MAX_BYTES];
    FILE *file = open_file(folder, name, "re");
    int count = 0;
    int lines = 0;
    while (lines < count_max && fgets(line, sizeof line, file) != NULL) {
        char *at = line;
        for (;;) {
            char *end = NULL;
            const long value = strtol(at, &end, 10);
            if (end == at) break;
            assert_true(count < TOKENS_MAX);
            values[count++] = (int32_t)value;
            at = end;
        }
        lines++;
        if (offsets != NULL) offsets[lines] = count;
    }
    (void)fclose(file);
    assert_true(count > 0);
    return lines;
}

golden_texts golden_texts_read(const char *folder, int count_max) {
    golden_texts texts = {.ids = calloc(TOKENS_MAX, sizeof(int32_t)),
                          .types = calloc(TOKENS_MAX, sizeof(int32_t)),
                          .offsets = calloc((size_t)count_max + 1, sizeof(int32_t))};
    texts.count = read_lines(folder, "ids.txt", count_max, texts.ids, texts.offsets);
    texts.tokens = texts.offsets[texts.count];
    assert_int_equal(read_lines(folder, "types.txt", count_max, texts.types, NULL), texts.count);
    return texts;
}

void golden_texts_free(golden_texts *texts) {
    free(texts->ids);
    free(texts->types);
    free(texts->offsets);
}

tandem_batch golden_batch(const golden_texts *texts, int begin, int end) {
    const int32_t first = texts->offsets[begin];
    int32_t *offsets = calloc((size_t)(end - begin) + 1, sizeof *offsets);
    for (int i = begin; i <= end; i++) offsets[i - begin] = texts->offsets[i] - first;
    return (tandem_batch){.ids = texts->ids + first,
                          .types = texts->types + first,
                          .offsets = offsets,
                          .tokens = offsets[end - begin],
                          .sequences = end - begin};
}

void golden_batch_free(tandem_batch *batch) {
    free((void *)(uintptr_t)batch->offsets);
    batch->offsets = NULL;
}

float *golden_floats_read(const char *folder, const char *name, size_t count) {
    char file_name[64];
    (void)snprintf(file_name, sizeof file_name, "%s.f32", name);
    FILE *file = open_file(folder, file_name, "rbe");
    float *values = calloc(count, sizeof *values);
    assert_int_equal(fread(values, sizeof *values, count, file), count);
    (void)fclose(file);
    return values;
}

tandem_lane *golden_lane_open(const tandem_backend *backend, const tandem_plan *plan,
                              tandem_dtype dtype, tandem_pool *pool, int tokens_max,
                              int sequences_max) {
    const tandem_backend_options options = {.dtype = dtype,
                                            .tokens_max = tokens_max,
                                            .sequences_max = sequences_max,
                                            .in_flight_max = 1,
                                            .pool = pool};
    tandem_lane *lane = NULL;
    tandem_error err = {0};
    if (backend->open(plan, &options, &lane, &err) != TANDEM_OK)
        fail_msg("%s: %s", backend->name, err.message);
    return lane;
}

void golden_submit(const tandem_backend *backend, tandem_lane *lane, const tandem_batch *batch,
                   tandem_output output, float *out) {
    tandem_ticket ticket = 0;
    tandem_error err = {0};
    if (backend->submit(lane, batch, output, out, &ticket, &err) != TANDEM_OK)
        fail_msg("%s: %s", backend->name, err.message);
    if (backend->wait(lane, ticket, UINT64_MAX, &err) != TANDEM_OK)
        fail_msg("%s: %s", backend->name, err.message);
}

float *golden_run(const tandem_plan *plan, const char *lane_name, const golden_texts *texts,
                  tandem_output output, size_t count) {
    const tandem_backend *backend = tandem__backend_find(lane_name);
    assert_non_null(backend);
    tandem_lane *lane =
        golden_lane_open(backend, plan, TANDEM_DTYPE_F32, NULL, texts->tokens, texts->count);
    tandem_batch batch = golden_batch(texts, 0, texts->count);
    float *out = calloc(count, sizeof *out);
    golden_submit(backend, lane, &batch, output, out);
    golden_batch_free(&batch);
    backend->close(lane);
    return out;
}

tandem_source *golden_model_open(const char *kind, const char *name, char *folder, size_t size) {
    tandem_source *source = NULL;
    tandem_error err = {0};
    (void)snprintf(folder, size, "tests/golden/%s/%s", kind, name);
    if (tandem__source_open(folder, &source, &err) != TANDEM_OK) fail_msg("%s", err.message);
    return source;
}

static double length_of(const float *row, int width) {
    double sum = 0.0;
    for (int i = 0; i < width; i++) sum += (double)row[i] * (double)row[i];
    return sqrt(sum);
}

golden_difference golden_compare(const float *got, const float *expected, int rows, int width,
                                 int normalize) {
    golden_difference difference = {.cosine_min = 1.0};
    for (int row = 0; row < rows; row++) {
        const float *a = got + (size_t)row * (size_t)width;
        const float *b = expected + (size_t)row * (size_t)width;
        const double length = length_of(a, width);
        const double scale = normalize ? 1.0 / length : 1.0;
        double dot = 0.0;
        for (int i = 0; i < width; i++) {
            const double distance = fabs((double)a[i] * scale - (double)b[i]);
            /* A NaN has no place: it would compare as small. */
            difference.largest = isnan(distance) ? 1e30 : fmax(difference.largest, distance);
            dot += (double)a[i] * (double)b[i];
        }
        const double cosine = dot / (length * length_of(b, width));
        if (!(cosine >= difference.cosine_min)) difference.cosine_min = cosine;
        difference.cosine_mean += cosine / rows;
    }
    return difference;
}
