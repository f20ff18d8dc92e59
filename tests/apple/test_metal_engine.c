/* SPDX-License-Identifier: Apache-2.0 */
/* A whole engine with the lane `metal` over the stand-in for Metal: its check at the first start,
 * the self-test, requests, and that whatever goes wrong on it leaves the other lanes serving. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/metal/metal_lane.h"
#include "metal_sim.h"
#include "support/temp_folder.h"
#include "tandem/tandem.h"

#define MODEL "tests/golden/models/tiny-bert"

static char cache[256];

static int make_cache(void **state) {
    (void)state;
    folder_make(cache);
    return setenv("XDG_CACHE_HOME", cache, 1);
}

static int remove_cache(void **state) {
    (void)state;
    folder_remove(cache);
    return 0;
}

static tandem_engine *open_engine(const char *lane) {
    const tandem_engine_options options = {.model = MODEL, .threads = 2, .lane = lane};
    tandem_engine *engine = NULL;
    tandem_error err = {0};
    if (tandem_engine_open(&options, &engine, &err) != TANDEM_OK) fail_msg("%s", err.message);
    return engine;
}

static tandem_lane_info metal_info(const tandem_engine *engine) {
    tandem_lane_info lanes[TANDEM_LANES_MAX];
    const int count = tandem_lanes(engine, lanes);
    int found = 0;
    while (found < count && strcmp(lanes[found].name, "metal") != 0) found++;
    assert_true(found < count);
    return lanes[found];
}

/* The lane that serves a short text for which metal is asked. */
static const char *serving_lane(tandem_engine *engine) {
    const int32_t ids[] = {2, 5, 6, 7, 3};
    const int32_t offsets[] = {0, 5};
    const tandem_request request = {.ids = ids, .id_offsets = offsets, .count = 1, .lane = "metal"};
    tandem_result result = {0};
    tandem_error err = {0};
    if (tandem_engine_infer(engine, &request, &result, &err) != TANDEM_OK)
        fail_msg("%s", err.message);
    const char *lane = result.lane;
    tandem_result_deinit(&result);
    return lane;
}

static void test_first_start_and_next(void **state) {
    (void)state;
    metal_sim_start(&(metal_sim_options){.build = MSL_FAST});
    tandem_engine *engine = open_engine(NULL);
    tandem_lane_info metal = metal_info(engine);
    if (!metal.is_available) fail_msg("%s", metal.reason);
    assert_non_null(strstr(metal.check, ", now"));
    tandem_selftest report;
    tandem_error err = {0};
    if (tandem_engine_selftest(engine, "metal", &report, &err) != TANDEM_OK)
        fail_msg("%s", err.message);
    assert_true(report.is_passed);
    assert_string_equal(serving_lane(engine), "metal");
    tandem_engine_close(engine);
    engine = open_engine("metal");
    metal = metal_info(engine);
    assert_non_null(strstr(metal.check, ", kept"));
    assert_string_equal(serving_lane(engine), "metal");
    tandem_engine_close(engine);
    tandem__metal_forget();
    assert_int_equal(metal_sim_stop(), 0);
}

/* The words of the system are the reason; the processor serves. */
static void check_fault(const metal_sim_options *options, const char *words) {
    metal_sim_start(options);
    tandem_engine *engine = open_engine(NULL);
    const tandem_lane_info metal = metal_info(engine);
    assert_false(metal.is_available);
    assert_false(metal.is_open);
    if (strstr(metal.reason, words) == NULL) fail_msg("%s", metal.reason);
    assert_string_equal(serving_lane(engine), "cpu");
    tandem_engine_close(engine);
    tandem__metal_forget();
    assert_int_equal(metal_sim_stop(), 0);
}

static void test_faults_leave_the_lane_off(void **state) {
    (void)state;
    check_fault(&(metal_sim_options){.compile_error = "program_source:7: no such type"},
                "program_source:7: no such type");
    check_fault(&(metal_sim_options){.pipeline_error = "too many registers"}, "too many registers");
    check_fault(&(metal_sim_options){.no_function = "pool"}, "");
    check_fault(&(metal_sim_options){.working_set = 4096}, "");
    check_fault(&(metal_sim_options){.fail_buffer = 2}, "");
    check_fault(&(metal_sim_options){.has_no_device = true}, "");
    check_fault(&(metal_sim_options){.batch_error = "GPU hang"}, "GPU hang");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_first_start_and_next, make_cache, remove_cache),
        cmocka_unit_test_setup_teardown(test_faults_leave_the_lane_off, make_cache, remove_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
