/* SPDX-License-Identifier: Apache-2.0 */
/* What an engine measures of itself: counts that add up, alike for both ways to ask; targets. */
#include <math.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "sched/window.h"
#include "support/sim_lanes.h"

#define SECOND ((uint64_t)1000000000)

static const int32_t some_ids[] = {2, 5, 6, 3, 2, 7, 3};
static const int32_t some_offsets[] = {0, 4, 7};

static tandem_request texts(size_t count) {
    return (tandem_request){.ids = some_ids, .id_offsets = some_offsets, .count = count};
}

/* One request, and its end, by a call that blocks or by one that does not. */
static tandem_status ask(tandem_engine *engine, tandem_queue *queue,
                         const tandem_request *request) {
    if (queue == NULL) {
        tandem_result result = {0};
        const tandem_status status = tandem_engine_infer(engine, request, &result, NULL);
        tandem_result_deinit(&result);
        return status;
    }
    tandem_status status = tandem_queue_submit(queue, engine, request, NULL, NULL, NULL, NULL);
    if (status != TANDEM_OK) return status;
    struct pollfd waits = {.fd = tandem_queue_fd(queue), .events = POLLIN};
    while (poll(&waits, 1, -1) != 1) continue;
    tandem_call *call = tandem_queue_next(queue);
    const tandem_result *result = NULL;
    status = tandem_call_result(call, &result, NULL);
    tandem_call_close(call);
    return status;
}

static const tandem_target *target_of(const tandem_metrics *metrics, const char *name) {
    for (int i = 0; i < metrics->target_count; i++) {
        if (strcmp(metrics->targets[i].name, name) == 0) return &metrics->targets[i];
    }
    fail_msg("no target %s", name);
    return NULL;
}

/* Requests of every kind; what the engine counted. */
static tandem_metrics play(bool is_blocking) {
    tandem_engine *engine = sim_engine_open((double[]){300, 600, 1200}, NULL);
    tandem_queue *queue = NULL;
    if (!is_blocking) assert_int_equal(tandem_queue_open(&queue, NULL), TANDEM_OK);
    for (int i = 0; i < 12; i++) {
        tandem_request request = texts(1 + (size_t)i % 2);
        request.priority = i % 3 == 0 ? -10 : i % 3 == 1 ? 0 : 10;
        if (i >= 6) request.lane = i % 2 == 0 ? "ane" : "metal";
        assert_int_equal(ask(engine, queue, &request), TANDEM_OK);
    }
    tandem_request request = texts(1);
    request.lane = "cpu";
    request.deadline_ms = 0.0001;
    assert_int_equal(ask(engine, queue, &request), TANDEM_TIMEOUT); /* cannot be met: refused */
    request = texts(0);
    assert_int_equal(ask(engine, queue, &request), TANDEM_OK);
    request = texts(1);
    request.lane = "gpu"; /* wrong: nobody counts it */
    assert_int_equal(ask(engine, queue, &request), TANDEM_INVALID);
    tandem_metrics metrics;
    tandem_engine_metrics(engine, &metrics);
    tandem_queue_close(queue);
    tandem_engine_close(engine);
    return metrics;
}

static void check_play(const tandem_metrics *metrics) {
    assert_int_equal(metrics->submitted, 12);
    assert_int_equal(metrics->finished, 12);
    assert_int_equal(metrics->late, 1);
    assert_int_equal(metrics->refused + metrics->expired + metrics->cancelled + metrics->failed, 0);
    assert_int_equal(metrics->texts, 18);
    assert_int_equal(metrics->waiting, 0);
    uint64_t lane_texts = 0;
    uint64_t lane_tokens = 0;
    for (int i = 0; i < metrics->lane_count; i++) {
        const tandem_lane_metrics *lane = &metrics->lanes[i];
        lane_texts += lane->texts;
        lane_tokens += lane->tokens;
        assert_string_equal(lane->state, "up");
        assert_int_equal(lane->times_out + lane->failed_batches, 0);
        uint64_t sized[2] = {0, 0};
        for (int s = 0; s < TANDEM_BATCH_SIZES; s++) {
            sized[0] += lane->batch_texts[s];
            sized[1] += lane->batch_tokens[s];
        }
        assert_int_equal(sized[0], lane->batches);
        assert_int_equal(sized[1], lane->batches);
        assert_int_equal(lane->batch_tokens[0] + lane->batch_tokens[1], 0); // 3 tokens at least
        if (lane->batches == 0) continue;
        assert_true(lane->utilisation > 0 && lane->utilisation <= 1);
        assert_true(lane->busy_ms > 0.25 * (double)lane->texts);
        assert_true(fabs(lane->mean_batch * (double)lane->batches - (double)lane->texts) < 1e-6);
    }
    assert_int_equal(lane_texts, 18);
    assert_int_equal(lane_tokens, 12 * 4 + 6 * 3);
    uint64_t reasons = 0;
    for (int r = 0; r < metrics->reason_count; r++) {
        reasons += metrics->reasons[r].requests;
        if (strcmp(metrics->reasons[r].text, "asked for") == 0)
            assert_int_equal(metrics->reasons[r].requests, 6);
    }
    assert_int_equal(reasons, 12);
    for (int b = 0; b < TANDEM_BANDS; b++) {
        const tandem_band_metrics *band = &metrics->bands[b];
        assert_int_equal(band->total.count, 4);
        assert_int_equal(band->tokenize.count, 4);
        assert_int_equal(band->queue.count, 4);
        assert_int_equal(band->infer.count, 4);
        assert_true(band->infer.p50_ms > 0.25);
        assert_true(band->total.max_ms >= band->infer.max_ms * 0.99);
        assert_true(band->total.p50_ms <= band->total.p95_ms);
    }
}

static void test_both_ways_count_alike(void **state) {
    (void)state;
    const tandem_metrics blocking = play(true);
    const tandem_metrics queued = play(false);
    check_play(&blocking);
    check_play(&queued);
    /* The counts of requests stand first, one beside the other. */
    assert_memory_equal(&blocking, &queued, offsetof(tandem_metrics, waiting_p95));
}

static void test_targets(void **state) {
    (void)state;
    tandem_engine *engine = sim_engine_open((double[]){100, -1, -1}, NULL);
    tandem_metrics metrics;
    tandem_engine_metrics(engine, &metrics);
    assert_false(target_of(&metrics, "latency_p95_ms")->is_measured);
    assert_false(target_of(&metrics, "latency_p95_ms")->is_met);
    assert_false(target_of(&metrics, "error_percent")->is_met);
    tandem_request request = texts(1);
    request.priority = TANDEM_PRIORITY_REALTIME;
    const uint64_t start_ns = tandem__clock_ns();
    int count = 0;
    for (; tandem__clock_ns() - start_ns < SECOND / 2; count++)
        assert_int_equal(ask(engine, NULL, &request), TANDEM_OK);
    const double elapsed_s = (double)(tandem__clock_ns() - start_ns) / 1e9;
    tandem_engine_metrics(engine, &metrics);
    const double rate = count / elapsed_s;
    const tandem_target *throughput = target_of(&metrics, "throughput_per_s");
    assert_true(throughput->is_measured && throughput->is_minimum);
    assert_true(fabs(throughput->value - rate) < 0.1 * rate);
    assert_int_equal(throughput->is_met, throughput->value > 300);
    const tandem_target *busy = target_of(&metrics, "utilisation_ane");
    assert_true(busy->value > 30 && busy->value <= 100); /* one caller, a lane of 0.1 ms */
    assert_true(fabs(busy->limit - 80) < 1e-9);
    assert_true(target_of(&metrics, "error_percent")->is_met);
    assert_true(target_of(&metrics, "queue_depth")->is_met);
    const tandem_target *latency = target_of(&metrics, "latency_p95_ms");
    assert_true(latency->is_measured);
    assert_int_equal(latency->is_met, latency->value < 5);
    /* Failures are errors. */
    sim_engine_fault(0, &(tandem_sim_fault){.nan_share = 1});
    for (int i = 0; i < 5; i++) (void)ask(engine, NULL, &request);
    sim_engine_fault(0, &(tandem_sim_fault){.slow = 1});
    tandem_engine_metrics(engine, &metrics);
    assert_int_equal(metrics.failed, 5);
    assert_true(metrics.retried_texts >= 5);
    const tandem_target *errors = target_of(&metrics, "error_percent");
    assert_true(fabs(errors->value - 500.0 / (count + 5)) < 1e-6);
    tandem_engine_close(engine);
}

static void test_judge(void **state) {
    (void)state;
    tandem_target target = {.value = 5, .limit = 5, .is_measured = true};
    tandem_target_judge(&target);
    assert_false(target.is_met);
    target.value = 4.9;
    tandem_target_judge(&target);
    assert_true(target.is_met);
    target.is_minimum = true;
    tandem_target_judge(&target);
    assert_false(target.is_met);
    target.value = 6;
    tandem_target_judge(&target);
    assert_true(target.is_met);
    target.is_measured = false;
    tandem_target_judge(&target);
    assert_false(target.is_met);
}

static void test_cached_requests_count(void **state) {
    (void)state;
    const tandem_engine_options options = {.threads = 1, .cache_bytes = 1 << 20};
    tandem_engine *engine = sim_engine_open((double[]){100, -1, -1}, &options);
    const tandem_request request = texts(2);
    for (int i = 0; i < 4; i++) assert_int_equal(ask(engine, NULL, &request), TANDEM_OK);
    tandem_metrics metrics;
    tandem_engine_metrics(engine, &metrics);
    assert_int_equal(metrics.submitted, 4);
    assert_int_equal(metrics.finished, 4);
    assert_int_equal(metrics.cached, 3);
    assert_int_equal(metrics.texts, 8);
    assert_int_equal(metrics.lanes[0].texts, 2);
    assert_int_equal(metrics.bands[TANDEM_BAND_STANDARD].total.count, 4);
    assert_int_equal(metrics.bands[TANDEM_BAND_STANDARD].infer.count, 1);
    assert_string_equal(metrics.reasons[metrics.reason_count - 1].text, "cached");
    assert_int_equal(metrics.reasons[metrics.reason_count - 1].requests, 3);
    tandem_engine_close(engine);
}

static void test_window(void **state) {
    (void)state;
    sched_window window = {.newest = 0};
    assert_int_equal(tandem__window_sum(&window, 100 * SECOND), 0);
    tandem__window_add(&window, 100 * SECOND, 7);
    tandem__window_add(&window, 101 * SECOND + 1, 5);
    assert_int_equal(tandem__window_sum(&window, 101 * SECOND + 2), 12);
    assert_int_equal(tandem__window_sum(&window, 109 * SECOND), 12);
    assert_int_equal(tandem__window_sum(&window, 110 * SECOND), 5);
    assert_int_equal(tandem__window_sum(&window, 111 * SECOND), 0);
    tandem__window_add(&window, 105 * SECOND, 1);
    assert_int_equal(tandem__window_sum(&window, 109 * SECOND), 13);
    tandem__window_add(&window, 115 * SECOND, 2);
    assert_int_equal(tandem__window_sum(&window, 115 * SECOND), 2); /* 105 is out of its bins */
    tandem__window_add(&window, 104 * SECOND, 9);                   /* too late to count */
    assert_int_equal(tandem__window_sum(&window, 115 * SECOND), 2);
    tandem__window_add(&window, 4000 * SECOND, 3);
    assert_int_equal(tandem__window_sum(&window, 4000 * SECOND), 3);
    /* A span falls where it lies; what is older than the window is lost. */
    window = (sched_window){.newest = 0};
    tandem__window_add_span(&window, 20 * SECOND + SECOND / 2, 22 * SECOND + SECOND / 4);
    assert_int_equal(tandem__window_sum(&window, 23 * SECOND), 7 * SECOND / 4);
    assert_int_equal(tandem__window_sum(&window, 30 * SECOND), 5 * SECOND / 4);
    assert_int_equal(tandem__window_sum(&window, 31 * SECOND), SECOND / 4);
    tandem__window_add_span(&window, 0, 60 * SECOND);
    assert_int_equal(tandem__window_sum(&window, 60 * SECOND), 9 * SECOND);
    assert_int_equal(tandem__window_start_ns(60 * SECOND), 51 * SECOND);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ways_count_alike),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_judge),
        cmocka_unit_test(test_cached_requests_count),
        cmocka_unit_test(test_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
