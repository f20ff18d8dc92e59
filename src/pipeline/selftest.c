/* SPDX-License-Identifier: Apache-2.0 */
/* A lane against the reference, on generated token ids of many lengths.
 *
 * Each text runs alone and then all run in one request. The gates are those of the numeric modes
 * (docs/architecture.md, "Numerics"). */
#include <math.h>
#include <string.h>

#include "base/dtype.h"
#include "base/fail.h"
#include "base/mem.h"
#include "pipeline/engine_lanes.h"
#include "pipeline/pipeline_internal.h"

#define TEXT_COUNT  12
#define LONGEST_MAX 96 /* tokens: the reference is slow by design */

typedef struct selftest_input {
    int32_t ids[TEXT_COUNT * LONGEST_MAX];
    int32_t offsets[TEXT_COUNT + 1];
} selftest_input;

/* xorshift64*, Vigna 2016: any generator will do. */
static uint32_t next_random(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (uint32_t)((*state * 0x2545f4914f6cdd1du) >> 32);
}

static void make_input(const tandem_engine *engine, selftest_input *input) {
    static const int32_t lengths[TEXT_COUNT] = {1, 2, 3, 5, 8, 13, 16, 17, 31, 33, 64, 96};
    const int32_t positions = engine->source->plan->positions_max;
    uint64_t state = 0x9e3779b97f4a7c15u;
    int32_t at = 0;
    for (int i = 0; i < TEXT_COUNT; i++) {
        input->offsets[i] = at;
        const int32_t length = lengths[i] < positions ? lengths[i] : positions;
        for (int32_t t = 0; t < length; t++) {
            input->ids[at++] =
                (int32_t)(next_random(&state) % (uint32_t)engine->source->plan->vocab);
        }
    }
    input->offsets[TEXT_COUNT] = at;
}

/* What is compared: the vector of a text that the model is for. */
static tandem_task task_of(const tandem_plan *plan) {
    if (tandem__model_embeds(plan)) return TANDEM_TASK_EMBED;
    return tandem__model_is_sparse(plan) ? TANDEM_TASK_EMBED_SPARSE : TANDEM_TASK_CLASSIFY;
}

/* The vector of text `i`; a sparse one is written out in `scratch` [dimensions] at length 1. */
static const float *row_of(const tandem_result *result, size_t i, float *scratch) {
    const size_t n = (size_t)result->dimensions;
    if (result->vectors != NULL) return result->vectors + i * n;
    memset(scratch, 0, n * sizeof *scratch);
    double sum = 0.0;
    for (int64_t k = result->sparse_offsets[i]; k < result->sparse_offsets[i + 1]; k++) {
        scratch[result->sparse_ids[k]] = result->sparse_weights[k];
        sum += (double)result->sparse_weights[k] * (double)result->sparse_weights[k];
    }
    for (size_t k = 0; k < n && sum > 0.0; k++)
        scratch[k] = (float)((double)scratch[k] / sqrt(sum));
    return scratch;
}

static tandem_status run(tandem_engine *engine, const char *lane, const selftest_input *input,
                         tandem_result *result, tandem_error *err) {
    const tandem_plan *plan = engine->source->plan;
    const tandem_request request = {
        .ids = input->ids,
        .id_offsets = input->offsets,
        .count = TEXT_COUNT,
        .lane = lane,
        .fallback = TANDEM_FALLBACK_NONE,
        .task = task_of(plan),
        .force_normalize = true,
        .raw_scores = true,
    };
    return tandem_engine_infer(engine, &request, result, err);
}

/* Whether each text alone gives the bits it had in `all`. */
static tandem_status check_alone(tandem_engine *engine, const char *lane,
                                 const selftest_input *input, const tandem_result *all,
                                 float *scratch, bool *is_same, tandem_error *err) {
    tandem_result alone = {0};
    tandem_status status = TANDEM_OK;
    *is_same = true;
    for (int i = 0; i < TEXT_COUNT && status == TANDEM_OK; i++) {
        const int32_t offsets[2] = {0, input->offsets[i + 1] - input->offsets[i]};
        const tandem_request request = {
            .ids = input->ids + input->offsets[i],
            .id_offsets = offsets,
            .count = 1,
            .lane = lane,
            .fallback = TANDEM_FALLBACK_NONE,
            .task = task_of(engine->source->plan),
            .force_normalize = true,
            .raw_scores = true,
        };
        status = tandem_engine_infer(engine, &request, &alone, err);
        if (status != TANDEM_OK) break;
        const size_t n = (size_t)all->dimensions;
        const float *row = row_of(all, (size_t)i, scratch);
        if (memcmp(row_of(&alone, 0, scratch + n), row, n * sizeof *row) != 0) *is_same = false;
    }
    tandem_result_deinit(&alone);
    return status;
}

static void compare(const tandem_result *expected, const tandem_result *got, float *scratch,
                    tandem_selftest *report) {
    const int32_t n = expected->dimensions;
    report->cosine_min = 2.0;
    for (size_t i = 0; i < expected->count; i++) {
        const float *a = row_of(expected, i, scratch);
        const float *b = row_of(got, i, scratch + n);
        double dot = 0.0;
        double aa = 0.0;
        double bb = 0.0;
        for (int32_t k = 0; k < n; k++) {
            const double difference = fabs((double)a[k] - (double)b[k]);
            dot += (double)a[k] * (double)b[k];
            aa += (double)a[k] * (double)a[k];
            bb += (double)b[k] * (double)b[k];
            if (!(difference <= report->difference_max)) report->difference_max = difference;
        }
        const double cosine = dot / sqrt(aa * bb);
        report->cosine_mean += cosine / (double)expected->count;
        if (!(cosine >= report->cosine_min)) report->cosine_min = cosine;
    }
}

double tandem__gate_cosine(tandem_dtype dtype, bool is_own) {
    switch (dtype) {
    case TANDEM_DTYPE_F32:
        return 0.999999;
    case TANDEM_DTYPE_F16:
    case TANDEM_DTYPE_BF16:
        return is_own ? 0.99999 : 0.9995;
    case TANDEM_DTYPE_I8:
    case TANDEM_DTYPE_FP8:
    case TANDEM_DTYPE_AUTO:
    case TANDEM_DTYPE_U8:
    case TANDEM_DTYPE_I64:
    case TANDEM_DTYPE_I32:
    case TANDEM_DTYPE_F64:
    case TANDEM_DTYPE_BOOL:
        break;
    }
    return 0.998;
}

/* Gates of the numeric modes. */
static void judge(const engine_lane *lane, tandem_selftest *report) {
    const tandem_dtype dtype = lane->capabilities.dtype;
    report->gate_cosine = tandem__gate_cosine(dtype, strcmp(lane->backend->name, "cpu") == 0);
    bool is_within = report->cosine_mean >= report->gate_cosine;
    if (dtype == TANDEM_DTYPE_F32)
        is_within = report->cosine_min >= report->gate_cosine && report->difference_max <= 2e-5;
    else if (dtype == TANDEM_DTYPE_I8 || dtype == TANDEM_DTYPE_FP8)
        is_within = is_within && report->cosine_min >= 0.99;
    report->is_passed = is_within && (report->is_batch_invariant || !lane->capabilities.is_exact);
}

static tandem_status selftest_run(tandem_engine *engine, engine_lane *lane,
                                  const selftest_input *input, tandem_selftest *report,
                                  tandem_error *err) {
    const char *name = lane->backend->name;
    tandem_result expected = {0};
    tandem_result got = {0};
    float *scratch = NULL; /* two rows */
    tandem_status status = run(engine, "ref", input, &expected, err);
    if (status == TANDEM_OK) status = run(engine, name, input, &got, err);
    if (status == TANDEM_OK) {
        *report = (tandem_selftest){.lane = name,
                                    .dtype = tandem__dtype_word(lane->capabilities.dtype),
                                    .texts = TEXT_COUNT};
        scratch = tandem__mem_calloc(2 * (size_t)got.dimensions, sizeof *scratch);
        if (scratch == NULL) status = TANDEM_FAIL(err, MEMORY, "no memory for the self-test");
    }
    if (status == TANDEM_OK) {
        status = check_alone(engine, name, input, &got, scratch, &report->is_batch_invariant, err);
    }
    if (status == TANDEM_OK) {
        compare(&expected, &got, scratch, report);
        judge(lane, report);
    }
    tandem__mem_free(scratch);
    tandem_result_deinit(&got);
    tandem_result_deinit(&expected);
    return status;
}

tandem_status tandem_engine_selftest(tandem_engine *engine, const char *lane,
                                     tandem_selftest *report, tandem_error *err) {
    engine_lane *found = NULL;
    char reason[sizeof((tandem_result *)0)->reason];
    TANDEM_TRY(tandem__engine_lane(engine, lane, TANDEM_FALLBACK_NONE, &found, reason, err));
    selftest_input *input = tandem__mem_calloc(1, sizeof *input);
    if (input == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for the self-test");
    make_input(engine, input);
    const tandem_status status = selftest_run(engine, found, input, report, err);
    tandem__mem_free(input);
    return status;
}
