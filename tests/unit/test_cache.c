/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors that are kept: the table by itself, and behind an engine. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "pipeline/cache.h"
#include "support/sim_lanes.h"

#define WIDTH 8

static pipeline_key key_of(const int32_t *id) {
    return (pipeline_key){.ids = id, .tokens = 1};
}

static void test_keeps_and_forgets(void **state) {
    (void)state;
    pipeline_cache *cache = NULL;
    assert_int_equal(tandem__cache_open((size_t)1 << 16, &cache, NULL), TANDEM_OK);
    for (int32_t i = 0; i < 5000; i++) {
        float row[WIDTH];
        for (int k = 0; k < WIDTH; k++) row[k] = (float)(i * WIDTH + k);
        const pipeline_key key = key_of(&i);
        tandem__cache_put(cache, &key, tandem__cache_hash(&key), row, WIDTH);
        float found[WIDTH];
        assert_true(tandem__cache_get(cache, &key, tandem__cache_hash(&key), found, WIDTH));
        assert_memory_equal(found, row, sizeof row);
        const int32_t first = 0; // asked for all the time: stays
        const pipeline_key old = key_of(&first);
        assert_true(tandem__cache_get(cache, &old, tandem__cache_hash(&old), found, WIDTH));
    }
    pipeline_cache_counters counters;
    tandem__cache_count(cache, &counters);
    assert_true(counters.bytes <= counters.bytes_max);
    assert_true(counters.evicted > 3000);
    assert_int_equal(counters.hits, 10000);
    tandem__cache_limit(cache, 0);
    tandem__cache_count(cache, &counters);
    assert_int_equal(counters.bytes, 0);
    tandem__cache_close(cache);
}

/* Equal hashes do not make equal texts. */
static void test_collisions_are_told_apart(void **state) {
    (void)state;
    pipeline_cache *cache = NULL;
    assert_int_equal(tandem__cache_open((size_t)1 << 16, &cache, NULL), TANDEM_OK);
    const int32_t ids[] = {1, 2};
    const float row[WIDTH] = {3};
    float found[WIDTH];
    const pipeline_key a = key_of(&ids[0]);
    const pipeline_key b = key_of(&ids[1]);
    tandem__cache_put(cache, &a, 77, row, WIDTH);
    assert_false(tandem__cache_get(cache, &b, 77, found, WIDTH));
    pipeline_key other = a;
    other.skip = 1;
    assert_false(tandem__cache_get(cache, &other, 77, found, WIDTH));
    other = a;
    other.types = ids;
    assert_false(tandem__cache_get(cache, &other, 77, found, WIDTH));
    assert_true(tandem__cache_get(cache, &a, 77, found, WIDTH));
    tandem__cache_close(cache);
}

static const int32_t ids[] = {2, 5, 6, 3, 2, 7, 3};
static const int32_t offsets[] = {0, 4, 7};

static const tandem_engine_options with_cache = {.threads = 1, .cache_bytes = 1 << 20};

static void test_engine_hits(void **state) {
    (void)state;
    tandem_engine *engine = sim_engine_open((double[]){-1, -1, 100}, &with_cache);
    tandem_result result = {0};
    tandem_request request = {.ids = ids, .id_offsets = offsets, .count = 1};
    tandem_error err = {0};
    assert_int_equal(tandem_engine_infer(engine, &request, &result, &err), TANDEM_OK);
    assert_int_equal(result.cached, 0);
    const float first = result.vectors[0];
    request.count = 2; // one known, one not
    assert_int_equal(tandem_engine_infer(engine, &request, &result, &err), TANDEM_OK);
    assert_int_equal(result.cached, 1);
    assert_true(result.vectors[0] == first);
    const float second = result.vectors[result.dimensions];
    assert_int_equal(tandem_engine_infer(engine, &request, &result, &err), TANDEM_OK);
    assert_int_equal(result.cached, 2);
    assert_string_equal(result.reason, "cached");
    assert_string_equal(result.lane, "cpu"); // the one that would have served
    assert_true(result.vectors[0] == first && result.vectors[result.dimensions] == second);
    request.lane = "cpu"; // who names a lane wants it to compute
    assert_int_equal(tandem_engine_infer(engine, &request, &result, &err), TANDEM_OK);
    assert_int_equal(result.cached, 0);
    tandem_result_deinit(&result);
    tandem_engine_close(engine);
}

typedef struct asker {
    tandem_engine *engine;
    tandem_status status;
    size_t cached;
} asker;

static void *ask(void *context) {
    asker *self = context;
    tandem_result result = {0};
    const tandem_request request = {.ids = ids, .id_offsets = offsets, .count = 1};
    self->status = tandem_engine_infer(self->engine, &request, &result, NULL);
    self->cached = result.cached;
    tandem_result_deinit(&result);
    return NULL;
}

/* Sixteen callers with one text at the same time: it is computed once. */
static void test_computed_once(void **state) {
    (void)state;
    enum { CALLERS = 16 };
    tandem_engine *engine = sim_engine_open((double[]){-1, -1, 50000}, &with_cache);
    pthread_t threads[CALLERS];
    static asker askers[CALLERS];
    for (int i = 0; i < CALLERS; i++) {
        askers[i] = (asker){.engine = engine};
        assert_int_equal(pthread_create(&threads[i], NULL, ask, &askers[i]), 0);
    }
    size_t cached = 0;
    for (int i = 0; i < CALLERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(askers[i].status, TANDEM_OK);
        cached += askers[i].cached;
    }
    assert_int_equal(cached, CALLERS - 1);
    tandem_engine_close(engine);
}

static void note(void *context, tandem_call *call) {
    const tandem_result *result = NULL;
    *(tandem_status *)context = tandem_call_result(call, &result, NULL);
    tandem_call_close(call);
}

/* The one that computes is cancelled: one of those that waited for it computes instead. */
static void test_leader_is_cancelled(void **state) {
    (void)state;
    enum { CALLS = 4 };
    tandem_engine *engine = sim_engine_open((double[]){-1, -1, 20000}, &with_cache);
    const tandem_request request = {.ids = ids, .id_offsets = offsets, .count = 1};
    tandem_call *calls[CALLS];
    static tandem_status ended[CALLS];
    for (int i = 0; i < CALLS; i++) {
        ended[i] = TANDEM_INVALID;
        assert_int_equal(
            tandem_engine_submit(engine, &request, note, &ended[i], &calls[i], NULL, NULL),
            TANDEM_OK);
    }
    tandem_call_cancel(calls[0]);
    tandem_call_cancel(calls[2]);
    tandem_error err = {0};
    assert_int_equal(tandem_engine_drain(engine, 10000, &err), TANDEM_OK);
    assert_int_equal(ended[0], TANDEM_CANCELLED);
    assert_int_equal(ended[1], TANDEM_OK);
    assert_int_equal(ended[2], TANDEM_CANCELLED);
    assert_int_equal(ended[3], TANDEM_OK);
    tandem_engine_close(engine);
}

/* Who may use every lane does not wait for an equal request that is bound to a slow one. */
static void test_leader_of_other_classes(void **state) {
    (void)state;
    tandem_engine *engine = sim_engine_open((double[]){5000, -1, 300000}, &with_cache);
    tandem_request request = {.ids = ids,
                              .id_offsets = offsets,
                              .count = 1,
                              .priority = TANDEM_PRIORITY_REALTIME,
                              .lane_classes = TANDEM_LANES_BACKGROUND};
    tandem_status ended[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tandem_engine_submit(engine, &request, note, &ended[i], NULL, NULL, NULL),
                         TANDEM_OK);
        request.lane_classes = 0;
    }
    assert_int_equal(tandem_engine_drain(engine, 150, NULL), TANDEM_TIMEOUT);
    assert_int_equal(ended[0], TANDEM_CANCELLED);
    assert_int_equal(ended[1], TANDEM_OK);
    tandem_engine_close(engine);
}

/* Those that wait for an equal request are bounded as well. */
static void test_followers_are_bounded(void **state) {
    (void)state;
    enum { CALLS_MAX = 4000 };
    tandem_engine_options options = with_cache;
    options.queue_tokens_max = 8;
    tandem_engine *engine = sim_engine_open((double[]){-1, -1, 400000}, &options);
    const tandem_request request = {.ids = ids, .id_offsets = offsets, .count = 1};
    static tandem_status ended[CALLS_MAX];
    tandem_status status = TANDEM_OK;
    int calls = 0;
    for (; status == TANDEM_OK && calls < CALLS_MAX; calls++)
        status = tandem_engine_submit(engine, &request, note, &ended[calls], NULL, NULL, NULL);
    assert_int_equal(status, TANDEM_CAPACITY);
    assert_true(calls > 1024);
    assert_int_equal(tandem_engine_drain(engine, 0, NULL), TANDEM_TIMEOUT);
    for (int i = 0; i + 1 < calls; i++) assert_int_equal(ended[i], TANDEM_CANCELLED);
    tandem_engine_close(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keeps_and_forgets),
        cmocka_unit_test(test_collisions_are_told_apart),
        cmocka_unit_test(test_engine_hits),
        cmocka_unit_test(test_computed_once),
        cmocka_unit_test(test_leader_is_cancelled),
        cmocka_unit_test(test_leader_of_other_classes),
        cmocka_unit_test(test_followers_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
