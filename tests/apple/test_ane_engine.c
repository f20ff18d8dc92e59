/* SPDX-License-Identifier: Apache-2.0 */
/* A whole engine with the lane `ane` over the stand-in for Core ML: its check at the first start,
 * the self-test, requests, and that whatever goes wrong on it leaves the other lanes serving. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apple/ane_rig.h"
#include "tandem/tandem.h"

#define MODEL "tests/golden/models/tiny-bert"

static tandem_engine *open_engine(const char *lane) {
    const tandem_engine_options options = {.model = MODEL, .threads = 2, .lane = lane};
    tandem_engine *engine = NULL;
    tandem_error err = {0};
    if (tandem_engine_open(&options, &engine, &err) != TANDEM_OK) fail_msg("%s", err.message);
    return engine;
}

static tandem_lane_info lane_info(const tandem_engine *engine, const char *name) {
    tandem_lane_info lanes[TANDEM_LANES_MAX];
    const int count = tandem_lanes(engine, lanes);
    int found = 0;
    while (found < count && strcmp(lanes[found].name, name) != 0) found++;
    assert_true(found < count);
    return lanes[found];
}

/* The lane that serves a short realtime text. */
static const char *serving_lane(tandem_engine *engine) {
    const int32_t ids[] = {2, 5, 6, 7, 3};
    const int32_t offsets[] = {0, 5};
    const tandem_request request = {
        .ids = ids, .id_offsets = offsets, .count = 1, .priority = TANDEM_PRIORITY_REALTIME};
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
    coreml_sim_start(0);
    tandem_engine *engine = open_engine(NULL);
    tandem_lane_info ane = lane_info(engine, "ane");
    if (!ane.is_available) fail_msg("%s", ane.reason);
    assert_non_null(strstr(ane.check, ", now"));
    tandem_selftest report;
    tandem_error err = {0};
    if (tandem_engine_selftest(engine, "ane", &report, &err) != TANDEM_OK)
        fail_msg("%s", err.message);
    assert_true(report.is_passed);
    assert_true(report.gate_cosine == 0.9995);
    tandem_engine_close(engine);
    engine = open_engine("ane");
    ane = lane_info(engine, "ane");
    assert_non_null(strstr(ane.check, ", kept"));
    assert_string_equal(serving_lane(engine), "ane");
    tandem_engine_close(engine);
    assert_int_equal(coreml_sim_stop(), 0);
}

/* The words of the system are the reason; the processor serves. */
static void check_fault(const coreml_sim_faults *faults, const char *words) {
    coreml_sim_start(0);
    coreml_sim_set_faults(faults);
    tandem_engine *engine = open_engine(NULL);
    const tandem_lane_info ane = lane_info(engine, "ane");
    assert_false(ane.is_available);
    assert_false(ane.is_open);
    if (strstr(ane.reason, words) == NULL) fail_msg("%s", ane.reason);
    assert_string_equal(serving_lane(engine), "cpu");
    tandem_engine_close(engine);
    assert_int_equal(coreml_sim_stop(), 0);
}

static void test_faults_leave_the_lane_off(void **state) {
    (void)state;
    check_fault(&(coreml_sim_faults){.compile_error = "unknown operation"}, "unknown operation");
    check_fault(&(coreml_sim_faults){.load_error = "out of memory"}, "out of memory");
    check_fault(&(coreml_sim_faults){.has_no_engine = true}, "");
    check_fault(&(coreml_sim_faults){.predict_error = "engine is busy"}, "engine is busy");
    check_fault(&(coreml_sim_faults){.writes_nan = true}, "lane ane is wrong: against ref cosine");
    /* That was a verdict: it holds when the fault is gone. */
    check_fault(&(coreml_sim_faults){.has_no_engine = false}, "found at an earlier start");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_first_start_and_next, rig_cache_make,
                                        rig_cache_remove),
        cmocka_unit_test_setup_teardown(test_faults_leave_the_lane_off, rig_cache_make,
                                        rig_cache_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
