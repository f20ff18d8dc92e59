/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime and the checker themselves: a kernel with every kind of fault in turn (faulty.metal),
 * each of which must be found, threads in order and shuffled, with the line it is in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "apple/msl/msl_run.h"

enum { IN = 64, OUT = 128 };

/* In the order of faulty.metal's enumeration; NULL: sound. */
static const char *const findings[] = {
    NULL,
    "after the end of buffer 0", /* FAULT_PAST_END */
    "outside every buffer",
    "stores to const buffer 0",
    "16 bytes of buffer 0 at byte 4: misaligned",
    "loads unwritten buffer 1",
    "loads unwritten threadgroup memory -1",
    "loads unwritten threadgroup memory 0",
    "threadgroup memory -1", /* FAULT_RACE: unwritten or race, by the order */
    "race on threadgroup memory",
    "race on threadgroup memory",
    "race on buffer 1",
    "race on threadgroup memory", /* FAULT_RACE_LANES */
    "32 of 64 threads do not reach: they have ended",
    "1 of 64 threads do not reach: they have ended",
    "threads wait for ever",
    "a simdgroup's lanes part",
    "takes a value of lane 3, which has ended",
    "give a matrix different addresses",
    "an operation on a matrix with 31 of 32 lanes",
    "0 after the end of threadgroup memory -1", /* FAULT_ARRAY_END */
};

static bool run_fault(msl_build build, int fault, uint32_t seed, msl_report *report) {
    /* Apart, as buffers of a device are: what lies past the end of one is none of another's. */
    static struct {
        _Alignas(64) float in[IN];
        char gap[4096];
        _Alignas(64) float out[OUT];
    } memory;
    static uint8_t written[sizeof memory.out];
    float *in = memory.in;
    float *out = memory.out;
    memset(written, 0, sizeof written);
    for (int i = 0; i < IN; i++) in[i] = (float)i;
    const msl_dispatch dispatch = {.kernel = "faulty",
                                   .buffers = {{in, sizeof memory.in, NULL},
                                               {out, sizeof memory.out, written},
                                               {&fault, sizeof fault, NULL}},
                                   .threadgroup_bytes = {64 * sizeof(float)},
                                   .groups = {2, 1, 1},
                                   .threads = {64, 1, 1},
                                   .seed = seed};
    const bool is_sound = msl_run(build, &dispatch, report);
    if (is_sound && fault == 0) {
        for (int i = 0; i < OUT; i++) assert_true(out[i] == (float)(i % IN ^ 1) + 1.0f);
        for (size_t i = 0; build == MSL_CHECKED && i < sizeof written; i++)
            assert_int_equal(written[i], 1);
    }
    return is_sound;
}

static void test_findings(void **state) {
    (void)state;
    for (uint32_t seed = 0; seed < 3; seed++) {
        for (int fault = 0; fault < (int)(sizeof findings / sizeof findings[0]); fault++) {
            msl_report report;
            const bool is_sound = run_fault(MSL_CHECKED, fault, seed, &report);
            if (findings[fault] == NULL) {
                assert_string_equal(report.message, "");
                assert_true(is_sound);
                assert_int_equal(report.threadgroup_bytes, 64 * sizeof(float));
            } else if (strstr(report.message, findings[fault]) == NULL ||
                       strstr(report.message, "faulty.metal:") == NULL) {
                fail_msg("fault %d: '%s', expected '%s'", fault, report.message, findings[fault]);
            }
        }
    }
}

/* What the fast builds find: all that has to do with waiting. */
static void test_fast(void **state) {
    (void)state;
    msl_report report;
    for (int build = MSL_FAST; build <= MSL_FAST_MATH; build++) {
        assert_true(run_fault((msl_build)build, 0, 0, &report));
        assert_true(run_fault((msl_build)build, 0, 9, &report));
        assert_false(run_fault((msl_build)build, 13, 0, &report));
        assert_false(run_fault((msl_build)build, 14, 0, &report));
        assert_false(run_fault((msl_build)build, 16, 0, &report));
    }
}

static void test_limits(void **state) {
    (void)state;
    msl_report report;
    int fault = 0;
    float data[4] = {0};
    msl_dispatch dispatch = {
        .kernel = "faulty",
        .buffers = {{data, sizeof data, NULL}, {data, sizeof data, NULL}, {&fault, 2, NULL}},
        .groups = {1, 1, 1},
        .threads = {1, 1, 1}};
    assert_false(msl_run(MSL_FAST, &dispatch, &report));
    assert_non_null(strstr(report.message, "buffer 2 has 2 bytes, the kernel reads 4"));
    dispatch.buffers[2].bytes = sizeof fault;
    assert_false(msl_run(MSL_FAST, &dispatch, &report));
    assert_non_null(strstr(report.message, "threadgroup memory 0 has 0 bytes"));
    dispatch.threads[0] = 2048;
    assert_false(msl_run(MSL_FAST, &dispatch, &report));
    assert_non_null(strstr(report.message, "2048 threads in a threadgroup"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_findings),
        cmocka_unit_test(test_fast),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
