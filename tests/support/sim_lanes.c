/* SPDX-License-Identifier: Apache-2.0 */
#include "support/sim_lanes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fail.h"
#include "pipeline/engine_open.h"

#define MODEL "tests/golden/models/tiny-bert"

static double text_ns[SIM_LANES];
static tandem_lane *lanes[SIM_LANES];
static int broken = -1;
static int32_t buckets[2] = {8};

static uint64_t real_clock(void *context) {
    (void)context;
    return tandem__clock_ns();
}

static bool any_dtype(tandem_dtype dtype) {
    (void)dtype;
    return true;
}

static void probe(int lane, tandem_probe *probe) {
    *probe =
        (tandem_probe){.is_available = text_ns[lane] >= 0, .reason = "the test's machine lacks it"};
}

static tandem_status open_lane(int lane, tandem_lane_class lane_class, const tandem_plan *plan,
                               const tandem_backend_options *options, tandem_lane **out,
                               tandem_error *err) {
    static const char *const names[] = {"ane", "metal", "cpu"};
    const tandem_sim_options made = {.name = names[lane],
                                     .lane_class = lane_class,
                                     .text_ns = text_ns[lane],
                                     .tokens_max = options->tokens_max,
                                     .sequences_max = lane == 0 ? 1 : 64,
                                     .in_flight_max = 4,
                                     .buckets = buckets,
                                     .bucket_count = lane == 0 && buckets[1] > 0 ? 2 : 0,
                                     .width = plan->dimensions,
                                     .seed = 1,
                                     .clock = real_clock};
    if (lane == broken)
        return TANDEM_FAIL(err, UNSUPPORTED, "this model is not for lane %s", made.name);
    const tandem_status status = tandem__sim_open(&made, out, err);
    lanes[lane] = *out;
    return status;
}

#define SIM_BACKEND(index, word, kind)                                                             \
    static void probe_##word(tandem_probe *result) {                                               \
        probe(index, result);                                                                      \
    }                                                                                              \
    static tandem_status open_##word(const tandem_plan *plan,                                      \
                                     const tandem_backend_options *options, tandem_lane **lane,    \
                                     tandem_error *err) {                                          \
        return open_lane(index, kind, plan, options, lane, err);                                   \
    }

SIM_BACKEND(0, ane, TANDEM_CLASS_LATENCY)
SIM_BACKEND(1, metal, TANDEM_CLASS_THROUGHPUT)
SIM_BACKEND(2, cpu, TANDEM_CLASS_BACKGROUND)

static tandem_backend backends[SIM_LANES];

static void fill(int index, const char *name, tandem_lane_class lane_class,
                 void (*probe_it)(tandem_probe *),
                 tandem_status (*open_it)(const tandem_plan *, const tandem_backend_options *,
                                          tandem_lane **, tandem_error *)) {
    backends[index] = tandem__backend_sim;
    backends[index].name = name;
    backends[index].lane_class = lane_class;
    backends[index].has_dtype = any_dtype;
    backends[index].probe = probe_it;
    backends[index].open = open_it;
}

tandem_engine *sim_engine_open(const double text_us[SIM_LANES],
                               const tandem_engine_options *options) {
    for (int i = 0; i < SIM_LANES; i++) text_ns[i] = text_us[i] * 1e3;
    fill(0, "ane", TANDEM_CLASS_LATENCY, probe_ane, open_ane);
    fill(1, "metal", TANDEM_CLASS_THROUGHPUT, probe_metal, open_metal);
    fill(2, "cpu", TANDEM_CLASS_BACKGROUND, probe_cpu, open_cpu);
    static const tandem_backend *const table[] = {&backends[0], &backends[1], &backends[2]};
    tandem_engine_options made = {.threads = 1};
    if (options != NULL) made = *options;
    made.model = MODEL;
    tandem_engine *engine = NULL;
    tandem_error err = {0};
    if (tandem__engine_open_with(&made, table, SIM_LANES, NULL, &engine, &err) != TANDEM_OK)
        fail_msg("%s", err.message);
    return engine;
}

void sim_engine_fault(int lane, const tandem_sim_fault *fault) {
    tandem__sim_fault(lanes[lane], fault);
}

void sim_engine_broken(int lane) {
    broken = lane;
}

void sim_engine_longest(int32_t tokens) {
    buckets[1] = tokens;
}
