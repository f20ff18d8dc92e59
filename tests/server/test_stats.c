/* SPDX-License-Identifier: Apache-2.0 */
/* The server's statistics: what one request counts as, from many threads at once, and quantiles
 * that forget. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "server/decisions.h"
#include "server/recent.h"
#include "server/stats.h"
#include "server/stats_state.h"

#define THREADS  4
#define REQUESTS 2000 /* of each thread */
#define MS       ((uint64_t)1000000)
#define SECOND   (1000 * MS)

static tandem_status answer_nothing(server_ask *ask, const tandem_json *body, tandem_buffer *out,
                                    tandem_error *err) {
    (void)ask, (void)body, (void)out, (void)err;
    return TANDEM_OK;
}

static const server_route embed = {.method = "POST", .path = "/embed"};
static const server_route rerank = {.method = "POST", .path = "/rerank"};
static const server_route info = {.method = "GET", .path = "/info", .answer = answer_nothing};
static const server_model model = {.name = "org/model", .index = 3};

static server_stats *make(void) {
    server_stats *stats = NULL;
    assert_int_equal(server_stats_create(&stats, NULL), TANDEM_OK);
    return stats;
}

static uint64_t total_of(const server_histogram *histogram) {
    uint64_t total = 0;
    for (int i = 0; i <= SERVER_BUCKETS_MAX; i++) total += server_read(&histogram->counts[i]);
    return total;
}

static uint64_t count_of(const server_stats *stats, const server_route *route, int code) {
    for (size_t r = 0; r < SERVER_ROUTES_MAX; r++) {
        if (atomic_load(&stats->routes[r].route) != route) continue;
        for (size_t c = 0; server_code_at(c) != 0; c++) {
            if (server_code_at(c) == code) return server_read(&stats->routes[r].codes[c]);
        }
    }
    return 0;
}

static void test_one_request(void **state) {
    (void)state;
    server_stats *stats = make();
    tandem_text_result lengths[] = {{.tokens = 7}, {.tokens = 300}};
    tandem_result result = {.texts = lengths,
                            .count = 2,
                            .truncated = 1,
                            .cached = 1,
                            .lane = "cpu",
                            .reason = "fallback: the lane asked for is out of service",
                            .tokenize_ns = 1 * MS,
                            .queue_ns = 2 * MS,
                            .infer_ns = 3 * MS,
                            .tokens = 307};
    server_sample sample = {.route = &embed,
                            .model = &model,
                            .http_code = 200,
                            .priority = -10,
                            .characters = 99,
                            .total_ns = 5 * MS,
                            .bytes_in = 120,
                            .bytes_out = 9000};
    server_sample_of_result(&sample, &result);
    memset(lengths, 0xff, sizeof lengths); // of a stream, they are gone before its end
    memset(result.reason, 'x', sizeof result.reason);
    server_stats_add(stats, &sample);

    assert_int_equal(count_of(stats, &embed, 200), 1);
    assert_int_equal(server_read(&stats->bytes_in), 120);
    assert_int_equal(server_read(&stats->bytes_out), 9000);
    const server_model_stats *of = &stats->models[3];
    assert_int_equal(server_read(&of->requests[TANDEM_BAND_REALTIME]), 1);
    assert_int_equal(server_read(&of->texts), 2);
    assert_int_equal(server_read(&of->characters), 99);
    assert_int_equal(server_read(&of->tokens), 307);
    assert_int_equal(server_read(&of->truncated), 1);
    assert_int_equal(server_read(&of->cached), 1);
    assert_int_equal(server_read(&of->queue[TANDEM_BAND_REALTIME].sum), 2 * MS);
    const int lane = server_stats_lane(stats, "cpu");
    assert_int_equal(lane, 0);
    assert_int_equal(server_stats_lane(stats, "metal"), -1);
    assert_int_equal(server_read(&of->lanes[lane].requests), 1);
    assert_int_equal(server_read(&of->lanes[lane].fallbacks), 1);
    /* Text Embeddings Inference: one request that gave a list, two texts. */
    assert_int_equal(server_read(&stats->tei_requests.count[false]), 1);
    assert_int_equal(server_read(&stats->tei_requests.success[false]), 1);
    assert_int_equal(server_read(&stats->tei_embed.success[false]), 2);
    assert_int_equal(total_of(&stats->tei_embed.stages[SERVER_STAGE_TOTAL]), 2);
    assert_int_equal(total_of(&stats->tei_requests.stages[SERVER_STAGE_INFER]), 1);
    assert_int_equal(server_read(&stats->tei_requests.stages[SERVER_STAGE_INFER].sum), 3 * MS);
    assert_int_equal(server_read(&stats->lengths.counts[3]), 1); // 7 <= 8
    assert_int_equal(server_read(&stats->lengths.counts[9]), 1); // 300 <= 512
    assert_int_equal(total_of(&stats->tei_predict.stages[SERVER_STAGE_TOTAL]), 0);
    assert_int_equal(server_read(&stats->lengths.sum), 307);
    server_decision decision[SERVER_DECISIONS];
    assert_int_equal(server_decisions_read(stats->decisions, decision), 1);
    assert_string_equal(decision[0].reason, "fallback: the lane asked for is out of service");
    /* The guide's 5 ms is a bound, and 5 ms are within it. */
    const server_bounds *bounds = &stats->bounds.time;
    int at = 0;
    while (bounds->counted[at] != 5 * MS) at++;
    assert_int_equal(server_read(&of->total[TANDEM_BAND_REALTIME].counts[at]), 1);
    server_stats_destroy(stats);
}

static void test_faults(void **state) {
    (void)state;
    server_stats *stats = make();
    server_sample sample = {.route = &rerank,
                            .model = &model,
                            .http_code = 429,
                            .fault = SERVER_FAULT_OVERLOADED,
                            .task = TANDEM_TASK_CLASSIFY,
                            .texts = 4};
    server_stats_add(stats, &sample);
    sample = (server_sample){.route = NULL, .http_code = 404, .fault = SERVER_FAULT_NOT_FOUND};
    server_stats_add(stats, &sample);
    sample = (server_sample){.route = &info, .http_code = 401, .fault = SERVER_FAULT_KEY};
    server_stats_add(stats, &sample);
    sample = (server_sample){.route = &info, .http_code = 418};
    server_stats_add(stats, &sample);
    assert_int_equal(server_read(&stats->tei_predict.count[false]), 4);
    assert_int_equal(server_read(&stats->tei_predict.success[false]), 0);
    assert_int_equal(server_read(&stats->faults[SERVER_FAULT_OVERLOADED]), 1);
    assert_int_equal(server_read(&stats->tei_faults[SERVER_FAULT_OVERLOADED]), 1);
    assert_int_equal(server_read(&stats->tei_faults[SERVER_FAULT_KEY]), 0); // GET /info is no work
    assert_int_equal(server_read(&stats->faults[SERVER_FAULT_KEY]), 1);
    assert_int_equal(count_of(stats, NULL, 404), 1);
    assert_int_equal(count_of(stats, &info, 401), 1);
    assert_int_equal(count_of(stats, &info, 599), 1);
    assert_int_equal(total_of(&stats->models[3].total[TANDEM_BAND_STANDARD]), 0);

    server_decision decisions[SERVER_DECISIONS];
    assert_int_equal(server_decisions_read(stats->decisions, decisions), 1);
    assert_string_equal(decisions[0].reason, "overloaded");
    assert_string_equal(decisions[0].lane, "");
    assert_int_equal(decisions[0].http_code, 429);
    server_stats_destroy(stats);
}

static void test_fault_words(void **state) {
    (void)state;
    assert_int_equal(server_fault_of(TANDEM_CAPACITY, 429), SERVER_FAULT_OVERLOADED);
    assert_int_equal(server_fault_of(TANDEM_CAPACITY, 413), SERVER_FAULT_BATCH_SIZE);
    assert_int_equal(server_fault_of(TANDEM_TIMEOUT, 504), SERVER_FAULT_DEADLINE);
    assert_int_equal(server_fault_of(TANDEM_INVALID, 422), SERVER_FAULT_VALIDATION);
    assert_int_equal(server_fault_of(TANDEM_DEVICE, 500), SERVER_FAULT_INFERENCE);
    assert_int_equal(server_fault_of(TANDEM_NUMERIC, 424), SERVER_FAULT_VALIDATION);
    assert_int_equal(server_fault_of(TANDEM_NUMERIC, 500), SERVER_FAULT_MISSING_VALUES);
    assert_int_equal(server_fault_of(TANDEM_PERMISSION, 401), SERVER_FAULT_KEY);
    assert_int_equal(server_fault_of(TANDEM_OK, 200), SERVER_FAULT_NONE);
    for (int f = SERVER_FAULT_NONE + 1; f < SERVER_FAULTS; f++)
        assert_true(strlen(server_fault_word((server_fault)f)) > 0);
}

static void *add_many(void *context) {
    static const server_route *const routes[] = {&embed, &rerank, NULL, &info};
    server_stats *stats = context;
    for (int i = 0; i < REQUESTS; i++) {
        server_stats_change(stats, SERVER_GAUGE_REQUESTS, 1);
        const server_sample sample = {.route = routes[i % 4],
                                      .model = i % 4 < 2 ? &model : NULL,
                                      .http_code = 200,
                                      .lane = i % 8 < 4 ? "cpu" : "metal",
                                      .reason = "earliest predicted finish",
                                      .texts = 3,
                                      .total_ns = (uint64_t)(i % 10) * MS};
        server_stats_add(stats, &sample);
        server_stats_count(stats, SERVER_EVENT_ACCEPTED);
        server_stats_change(stats, SERVER_GAUGE_REQUESTS, -1);
    }
    return NULL;
}

/* Nothing is lost or counted twice, and no decision is read half written. */
static void test_threads(void **state) {
    (void)state;
    server_stats *stats = make();
    pthread_t threads[THREADS];
    const uint64_t allocations = tandem__mem_count();
    for (int t = 0; t < THREADS; t++)
        assert_int_equal(pthread_create(&threads[t], NULL, add_many, stats), 0);
    for (int i = 0; i < 200; i++) {
        server_decision decisions[SERVER_DECISIONS];
        const size_t count = server_decisions_read(stats->decisions, decisions);
        for (size_t d = 0; d < count; d++) {
            assert_string_equal(decisions[d].reason, "earliest predicted finish");
            assert_int_equal(decisions[d].texts, 3);
        }
    }
    for (int t = 0; t < THREADS; t++) assert_int_equal(pthread_join(threads[t], NULL), 0);
    assert_int_equal(tandem__mem_count(), allocations);
    const uint64_t each = THREADS * REQUESTS / 4;
    assert_int_equal(count_of(stats, &embed, 200), each);
    assert_int_equal(count_of(stats, &rerank, 200), each);
    assert_int_equal(count_of(stats, NULL, 200), each);
    assert_int_equal(count_of(stats, &info, 200), each);
    assert_int_equal(server_read(&stats->models[3].texts), 2 * each * 3);
    const int cpu = server_stats_lane(stats, "cpu");
    const int metal = server_stats_lane(stats, "metal");
    assert_int_equal(server_read(&stats->models[3].lanes[cpu].requests), each);
    assert_int_equal(server_read(&stats->models[3].lanes[metal].requests), each);
    assert_int_equal(server_read(&stats->events[SERVER_EVENT_ACCEPTED]), THREADS * REQUESTS);
    assert_int_equal(atomic_load(&stats->gauges[SERVER_GAUGE_REQUESTS]), 0);
    server_stats_destroy(stats);
}

static server_recent_sum read_at(const server_recent *recent, uint64_t now_ns) {
    server_recent_sum sum = {.total = 0};
    server_recent_read(recent, now_ns, &sum);
    return sum;
}

static void near(double value, double expected) {
    if (value < 0.96 * expected || value > 1.04 * expected)
        fail_msg("%g ms, expected %g within 4%%", value, expected);
}

static void test_recent(void **state) {
    (void)state;
    static server_recent recent;
    const uint64_t start = 1000 * SECOND;
    for (uint64_t i = 1; i <= 1000; i++) server_recent_add(&recent, start, i * MS / 10);
    server_recent_sum sum = read_at(&recent, start);
    assert_int_equal(sum.total, 1000);
    near(server_recent_quantile_ms(&sum, 0.50), 50);
    near(server_recent_quantile_ms(&sum, 0.95), 95);
    near(server_recent_quantile_ms(&sum, 0.99), 99);
    /* A minute later the first ten seconds are still there, then they are not. */
    server_recent_add(&recent, start + 59 * SECOND, 7 * MS);
    sum = read_at(&recent, start + 59 * SECOND);
    assert_int_equal(sum.total, 1001);
    sum = read_at(&recent, start + 75 * SECOND);
    assert_int_equal(sum.total, 1);
    near(server_recent_quantile_ms(&sum, 0.95), 7);
    /* The slot of the first is used again. */
    server_recent_add(&recent, start + 70 * SECOND, 3600 * SECOND);
    sum = read_at(&recent, start + 75 * SECOND);
    assert_int_equal(sum.total, 2);
    assert_true(server_recent_quantile_ms(&sum, 1) > 60000);
    sum = read_at(&recent, start + 1000 * SECOND);
    assert_int_equal(sum.total, 0);
    assert_true(server_recent_quantile_ms(&sum, 0.95) == 0);
}

static void test_no_memory(void **state) {
    (void)state;
    for (uint64_t n = 1; n <= 2; n++) {
        server_stats *stats = NULL;
        tandem_error err = {0};
        tandem__mem_fail_at(n);
        assert_int_equal(server_stats_create(&stats, &err), TANDEM_MEMORY);
        assert_null(stats);
    }
    tandem__mem_fail_at(0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_request), cmocka_unit_test(test_faults),
        cmocka_unit_test(test_fault_words), cmocka_unit_test(test_threads),
        cmocka_unit_test(test_recent),      cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
