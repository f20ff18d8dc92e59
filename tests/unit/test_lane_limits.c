/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that are longer than a lane of fixed shapes takes, on simulated lanes: they go to the next
 * lane, or are refused with the limit where the request forbids that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "support/sim_lanes.h"

enum { LONGEST = 16 };

static int32_t ids[64];
static const int32_t long_text[] = {0, LONGEST + 1};
static const int32_t short_text[] = {0, LONGEST};
static const int32_t both_texts[] = {0, 5, LONGEST + 6};

static tandem_engine *open_engine(const double text_us[SIM_LANES], const char *policy) {
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) ids[i] = 5 + (int32_t)(i % 50);
    sim_engine_longest(LONGEST);
    const tandem_engine_options options = {.threads = 1, .policy = policy};
    return sim_engine_open(text_us, &options);
}

static tandem_request urgent(const int32_t *offsets, size_t count, const char *lane,
                             tandem_fallback fallback) {
    return (tandem_request){.ids = ids,
                            .id_offsets = offsets,
                            .count = count,
                            .lane = lane,
                            .fallback = fallback,
                            .priority = TANDEM_PRIORITY_REALTIME};
}

static void expect(tandem_engine *engine, tandem_request request, const char *lane,
                   const char *reason) {
    tandem_result result = {0};
    tandem_error err = {0};
    if (tandem_engine_infer(engine, &request, &result, &err) != TANDEM_OK)
        fail_msg("%s", err.message);
    assert_string_equal(result.lane, lane);
    assert_string_equal(result.reason, reason);
    assert_int_equal(result.failed, 0);
    tandem_result_deinit(&result);
}

static void test_long_texts_go_to_other_lanes(void **state) {
    (void)state;
    tandem_engine *engine = open_engine((double[]){100, 20000, 200000}, NULL);
    for (int round = 0; round < 3; round++) {
        expect(engine, urgent(short_text, 1, NULL, TANDEM_FALLBACK_NEXT), "ane",
               "earliest predicted finish");
        expect(engine, urgent(long_text, 1, NULL, TANDEM_FALLBACK_NEXT), "metal",
               "lane that takes a text this long");
        expect(engine, urgent(both_texts, 2, NULL, TANDEM_FALLBACK_NEXT), "metal",
               "lane that takes a text this long");
        expect(engine, urgent(short_text, 1, "ane", TANDEM_FALLBACK_NONE), "ane", "asked for");
        expect(engine, urgent(long_text, 1, "ane", TANDEM_FALLBACK_NEXT), "metal",
               "lane that takes a text this long");
    }
    tandem_metrics metrics;
    tandem_engine_metrics(engine, &metrics);
    for (int32_t i = 0; i < metrics.lane_count; i++)
        assert_int_equal(metrics.lanes[i].failed_batches, 0);
    tandem_engine_close(engine);
}

static void test_rules_keep_the_limit(void **state) {
    (void)state;
    tandem_engine *engine = open_engine((double[]){100, 300, 900}, "rules");
    expect(engine, urgent(short_text, 1, NULL, TANDEM_FALLBACK_NEXT), "ane", "selected rule");
    expect(engine, urgent(long_text, 1, NULL, TANDEM_FALLBACK_NEXT), "metal", "selected rule");
    tandem_engine_close(engine);
}

static void refuse(tandem_engine *engine, tandem_request request, const char *message) {
    tandem_result result = {0};
    tandem_error err = {0};
    assert_int_equal(tandem_engine_infer(engine, &request, &result, &err), TANDEM_UNSUPPORTED);
    assert_string_equal(err.message, message);
    tandem_result_deinit(&result);
}

static void test_refused_with_the_limit(void **state) {
    (void)state;
    tandem_engine *engine = open_engine((double[]){100, 300, 900}, NULL);
    refuse(engine, urgent(long_text, 1, "ane", TANDEM_FALLBACK_NONE),
           "lane ane takes texts of up to 16 tokens, one has 17");
    tandem_request latency = urgent(long_text, 1, NULL, TANDEM_FALLBACK_NEXT);
    latency.lane_classes = TANDEM_LANES_LATENCY;
    refuse(engine, latency, "no lane that serves takes a text of 17 tokens");
    tandem_engine_close(engine);
    engine = open_engine((double[]){100, -1, -1}, NULL); /* no other lane at all */
    refuse(engine, urgent(long_text, 1, NULL, TANDEM_FALLBACK_NEXT),
           "no lane that serves takes a text of 17 tokens");
    expect(engine, urgent(short_text, 1, NULL, TANDEM_FALLBACK_NEXT), "ane",
           "only lane that may serve");
    tandem_engine_close(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_long_texts_go_to_other_lanes),
        cmocka_unit_test(test_rules_keep_the_limit),
        cmocka_unit_test(test_refused_with_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
