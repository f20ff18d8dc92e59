/* SPDX-License-Identifier: Apache-2.0 */
/* What each lane takes, before the first request: a short and a longer text, the quicker of two
 * runs each, as a straight line into the scheduler's table. Only where there are lanes to choose
 * from: a machine with one starts without it. A lane that fails here is left out. */
#include "base/clock.h"
#include "base/fail.h"
#include "base/mem.h"
#include "pipeline/engine_lanes.h"
#include "pipeline/pipeline_internal.h"

#define SHORT_TOKENS 8
#define LONG_TOKENS  128
#define RUNS         2

/* Nanoseconds of one sequence of `tokens`. */
static tandem_status time_lane(const engine_lane *lane, const int32_t *ids, int32_t tokens,
                               float *out, double *ns, tandem_error *err) {
    const int32_t offsets[] = {0, tokens};
    const tandem_batch batch = {.ids = ids, .offsets = offsets, .tokens = tokens, .sequences = 1};
    for (int run = 0; run < RUNS; run++) {
        const uint64_t start_ns = tandem__clock_ns();
        tandem_ticket ticket = 0;
        TANDEM_TRY(
            lane->backend->submit(lane->lane, &batch, TANDEM_OUTPUT_TOKENS, out, &ticket, err));
        const tandem_status status =
            lane->backend->wait(lane->lane, ticket, PIPELINE_WARMUP_NS, err);
        if (status == TANDEM_TIMEOUT) lane->backend->abandon(lane->lane, ticket);
        if (status != TANDEM_OK) return status;
        const double took_ns = (double)(tandem__clock_ns() - start_ns);
        if (run == 0 || took_ns < *ns) *ns = took_ns;
    }
    return TANDEM_OK;
}

/* Of a text that the lane takes. */
static int32_t longest_of(const tandem_engine *engine, const engine_lane *lane) {
    const tandem_capabilities *has = &lane->capabilities;
    int32_t longest = engine->source->plan->positions_max;
    if (has->bucket_count > 0 && has->buckets[has->bucket_count - 1] < longest)
        longest = has->buckets[has->bucket_count - 1];
    return has->tokens_max < longest ? has->tokens_max : longest;
}

static tandem_status measure(tandem_engine *engine, int32_t index, const int32_t *ids, float *out,
                             tandem_error *err) {
    const engine_lane *lane = &engine->lanes[index];
    const int32_t most = longest_of(engine, lane);
    const int32_t few = most < SHORT_TOKENS ? most : SHORT_TOKENS;
    const int32_t many = most < LONG_TOKENS ? most : LONG_TOKENS;
    double few_ns = 0;
    double many_ns = 0;
    TANDEM_TRY(time_lane(lane, ids, few, out, &few_ns, err));
    TANDEM_TRY(time_lane(lane, ids, many, out, &many_ns, err));
    double token_ns = many > few ? (many_ns - few_ns) / (many - few) : few_ns / few;
    if (token_ns < 0) token_ns = 0;
    const double base_ns = few_ns - few * token_ns;
    service_table *table = &engine->dispatch.scheduler->lanes[index].service;
    const int64_t largest = table->largest;
    tandem__service_init(table, base_ns > 0 ? base_ns : 0, token_ns);
    table->largest = largest;
    return TANDEM_OK;
}

tandem_status tandem__dispatch_warm(tandem_engine *engine, tandem_error *err) {
    const size_t floats = LONG_TOKENS * (size_t)engine->source->plan->hidden;
    int32_t *ids = tandem__mem_calloc(LONG_TOKENS, sizeof *ids);
    float *out = tandem__mem_calloc(floats, sizeof *out);
    tandem_status status = TANDEM_OK;
    if (ids == NULL || out == NULL) status = TANDEM_FAIL(err, MEMORY, "no memory to warm up");
    tandem_error first = {.status = TANDEM_OK};
    int32_t left = 0;
    for (int32_t i = 0; i < engine->lane_count && status == TANDEM_OK; i++) {
        engine_lane *lane = &engine->lanes[i];
        if (lane->lane == NULL || lane->backend->lane_class == TANDEM_CLASS_NONE) continue;
        tandem_error why = {.status = TANDEM_OK};
        if (measure(engine, i, ids, out, &why) == TANDEM_OK) {
            left++;
            continue;
        }
        tandem__lane_lost(engine, lane, &why);
        if (first.status == TANDEM_OK) first = why;
    }
    if (status == TANDEM_OK && left == 0) {
        status = first.status;
        if (err != NULL && err->status == TANDEM_OK) *err = first;
    }
    tandem__mem_free(ids);
    tandem__mem_free(out);
    return status;
}
