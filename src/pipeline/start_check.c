/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/start_check.h"

#include <math.h>
#include <string.h>

#include "base/dtype.h"
#include "base/fail.h"
#include "base/mem.h"
#include "pipeline/pipeline_internal.h"

#define TEXTS        3
#define TOKENS       16
#define WAIT_NS      ((uint64_t)60 * 1000000000) /* the first batch of a device may be slow */
#define LENGTH_LEAST 1.0 /* of a row that a distance is told by: logits may be next to nothing */

typedef struct check_input {
    int32_t ids[TOKENS];
    int32_t offsets[TEXTS + 1];
} check_input;

static void make_input(const tandem_plan *plan, check_input *input) {
    static const int32_t lengths[TEXTS] = {3, 5, 8};
    uint32_t random = 20260101;
    int32_t at = 0;
    for (int i = 0; i < TEXTS; i++) {
        const int32_t length = lengths[i] < plan->positions_max ? lengths[i] : plan->positions_max;
        input->offsets[i] = at;
        for (int32_t t = 0; t < length; t++) {
            random = random * 1664525u + 1013904223u;
            input->ids[at++] = (int32_t)((random >> 8) % (uint32_t)plan->vocab);
        }
    }
    input->offsets[TEXTS] = at;
}

/* What the model is for. */
static tandem_output output_of(const tandem_plan *plan) {
    if (tandem__model_embeds(plan)) return TANDEM_OUTPUT_POOLED;
    if (tandem__model_is_sparse(plan)) return TANDEM_OUTPUT_SPARSE;
    return plan->labels > 0 ? TANDEM_OUTPUT_HEAD : TANDEM_OUTPUT_TOKENS;
}

/* Texts [begin, end). */
static tandem_status compute(const tandem_backend *backend, tandem_lane *lane,
                             const check_input *input, int begin, int end, tandem_output output,
                             float *out, tandem_error *err) {
    int32_t offsets[TEXTS + 1];
    const int32_t first = input->offsets[begin];
    for (int i = begin; i <= end; i++) offsets[i - begin] = input->offsets[i] - first;
    const tandem_batch batch = {.ids = input->ids + first,
                                .offsets = offsets,
                                .tokens = offsets[end - begin],
                                .sequences = end - begin};
    tandem_ticket ticket = 0;
    TANDEM_TRY(backend->submit(lane, &batch, output, out, &ticket, err));
    const tandem_status status = backend->wait(lane, ticket, WAIT_NS, err);
    if (status == TANDEM_TIMEOUT) backend->abandon(lane, ticket);
    return status;
}

/* All texts in one batch, or one by one where the lane takes no more. */
static tandem_status compute_all(const tandem_backend *backend, tandem_lane *lane,
                                 const tandem_plan *plan, const check_input *input, float *out,
                                 tandem_error *err) {
    tandem_capabilities has;
    backend->capabilities(lane, &has);
    const tandem_output output = output_of(plan);
    const bool is_one = has.sequences_max >= TEXTS && has.tokens_max >= TOKENS;
    const int step = is_one ? TEXTS : 1;
    for (int i = 0; i < TEXTS; i += step) {
        const int32_t row = output == TANDEM_OUTPUT_TOKENS ? input->offsets[i] : i;
        float *to = out + (size_t)row * (size_t)tandem__output_width(plan, output);
        TANDEM_TRY(compute(backend, lane, input, i, i + step, output, to, err));
    }
    return TANDEM_OK;
}

/* The plan with a word table of the texts' own words: the reference holds its weights as f32, and
 * of a multilingual model the table would be most of them. */
typedef struct small_plan {
    tandem_plan plan;
    const tandem_plan *whole;
    char *words; /* [TOKENS, H], or NULL: the table is the whole one */
    size_t words_bytes;
    check_input input;
} small_plan;

/* What lies in a file is given back to it. */
static void release(void *context, const void *data, size_t bytes) {
    const small_plan *small = context;
    const uintptr_t at = (uintptr_t)data;
    const uintptr_t words = (uintptr_t)small->words;
    if (at >= words && at < words + small->words_bytes) return;
    small->whole->release(small->whole->release_context, data, bytes);
}

static tandem_status make_small(const tandem_plan *plan, const check_input *input,
                                small_plan *small, tandem_error *err) {
    *small = (small_plan){.plan = *plan, .whole = plan, .input = *input};
    if (output_of(plan) == TANDEM_OUTPUT_SPARSE) return TANDEM_OK; /* words are what comes out */
    const size_t row = (size_t)plan->word.cols * tandem__dtype_bytes(plan->word.dtype);
    small->words = tandem__mem_calloc(TOKENS, row);
    if (small->words == NULL) return TANDEM_FAIL(err, MEMORY, "no memory to check a lane");
    small->words_bytes = TOKENS * row;
    for (int32_t t = 0; t < input->offsets[TEXTS]; t++) {
        memcpy(small->words + (size_t)t * row,
               (const char *)plan->word.data + (size_t)input->ids[t] * row, row);
        small->input.ids[t] = t;
    }
    small->plan.word.data = small->words;
    small->plan.word.rows = TOKENS;
    small->plan.vocab = TOKENS;
    small->plan.lm_dense = (tandem_linear){.weight.data = NULL};
    small->plan.lm_norm = (tandem_norm){.gamma.data = NULL};
    small->plan.lm_decoder = (tandem_linear){.weight.data = NULL};
    small->plan.describe = NULL; /* the lane has seen every weight to be finite */
    if (plan->release != NULL) {
        small->plan.release = release;
        small->plan.release_context = small;
    }
    return TANDEM_OK;
}

static tandem_status compute_reference(const start_check_subject *subject, const check_input *input,
                                       float *out, tandem_error *err) {
    const tandem_backend *ref = tandem__backend_find("ref");
    const tandem_backend_options options = {.dtype = TANDEM_DTYPE_F32,
                                            .tokens_max = TOKENS,
                                            .sequences_max = TEXTS,
                                            .in_flight_max = 1,
                                            .pool = subject->pool};
    small_plan small;
    tandem_lane *lane = NULL;
    tandem_status status = make_small(subject->plan, input, &small, err);
    if (status == TANDEM_OK) status = ref->open(&small.plan, &options, &lane, err);
    if (status == TANDEM_OK) status = compute_all(ref, lane, &small.plan, &small.input, out, err);
    ref->close(lane);
    tandem__mem_free(small.words);
    return status;
}

static void compare(const float *expected, const float *got, int32_t rows, int32_t width,
                    start_check *check) {
    check->cosine_min = 2.0;
    for (int32_t row = 0; row < rows; row++) {
        double dot = 0.0;
        double aa = 0.0;
        double bb = 0.0;
        double apart = 0.0;
        for (int32_t i = row * width; i < (row + 1) * width; i++) {
            const double a = (double)expected[i];
            const double b = (double)got[i];
            dot += a * b;
            aa += a * a;
            bb += b * b;
            apart += (a - b) * (a - b);
        }
        /* Of one number a cosine is a sign, which next to 0 says nothing: the distance does. */
        const bool is_sign = width == 1 || (aa == 0.0 && bb == 0.0);
        const double cosine = is_sign && isfinite(bb) ? 1.0 : dot / sqrt(aa * bb);
        const double distance = sqrt(apart) / fmax(sqrt(aa), LENGTH_LEAST);
        check->cosine_mean += cosine / rows;
        if (!(cosine >= check->cosine_min)) check->cosine_min = cosine;
        if (!(distance <= check->distance_max)) check->distance_max = distance;
    }
}

/* Two unit vectors of cosine c are sqrt(2 (1 - c)) apart; some rows are worse than the mean, and
 * lengths differ as well, so four times that. It is there for what a cosine does not see. */
static void judge(tandem_dtype dtype, start_check *check) {
    check->gate_cosine = tandem__gate_cosine(dtype, false);
    check->gate_distance = 4.0 * sqrt(2.0 * (1.0 - check->gate_cosine));
    check->is_passed =
        check->cosine_mean >= check->gate_cosine && check->distance_max <= check->gate_distance;
}

tandem_status tandem__start_check_run(const start_check_subject *subject, tandem_lane *lane,
                                      start_check *check, tandem_error *err) {
    const tandem_plan *plan = subject->plan;
    const int32_t width = tandem__output_width(plan, output_of(plan));
    check_input input;
    tandem_capabilities has;
    make_input(plan, &input);
    subject->backend->capabilities(lane, &has);
    const int32_t rows = output_of(plan) == TANDEM_OUTPUT_TOKENS ? input.offsets[TEXTS] : TEXTS;
    const size_t floats = (size_t)rows * (size_t)width;
    float *both = tandem__mem_calloc(2 * floats, sizeof *both);
    if (both == NULL) return TANDEM_FAIL(err, MEMORY, "no memory to check a lane");
    tandem_status status = compute_all(subject->backend, lane, plan, &input, both + floats, err);
    if (status == TANDEM_OK) status = compute_reference(subject, &input, both, err);
    if (status == TANDEM_OK) {
        *check = (start_check){.is_passed = false};
        compare(both, both + floats, rows, width, check);
        judge(has.dtype, check);
    }
    tandem__mem_free(both);
    return status;
}

tandem_status tandem__start_check_fail(const start_check_subject *subject, const start_check *check,
                                       tandem_error *err) {
    return TANDEM_FAIL(err, NUMERIC,
                       "lane %s is wrong: against ref cosine %.6f (gate %.6g), distance %.3g (gate "
                       "%.3g)%s",
                       subject->backend->name, check->cosine_mean, check->gate_cosine,
                       check->distance_max, check->gate_distance,
                       check->is_kept ? ", found at an earlier start; TANDEM_START_CHECK=again"
                                        " looks anew"
                                      : "");
}
