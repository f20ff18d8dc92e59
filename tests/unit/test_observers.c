/* SPDX-License-Identifier: Apache-2.0 */
/* The observers as functions of what they see, and what they do in simulation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "sched/observers.h"
#include "support/temp_folder.h"
#include "tandem/simulate.h"

#define MS     ((uint64_t)1000000)
#define SECOND (1000 * MS)
#define GIB    ((int64_t)1 << 30)

static sched_machine_view machine_with(int64_t available_bytes, double stall_percent) {
    return (sched_machine_view){.memory_bytes = 16 * GIB,
                                .memory_available_bytes = available_bytes,
                                .memory_stall_percent = stall_percent,
                                .speed_percent = 100};
}

static void test_memory_goes_up_in_order(void **state) {
    (void)state;
    sched_memory_state memory = {0};
    sched_machine_view seen = machine_with(8 * GIB, 0);
    sched_memory_action action = tandem__observe_memory(&seen, SECOND, &memory);
    assert_int_equal(action.level, 0);
    assert_true(action.memory_scale > 0.99);
    seen = machine_with(GIB / 10, 0); /* of 16 GiB a tenth should be left */
    action = tandem__observe_memory(&seen, SECOND, &memory);
    assert_true(action.cache_scale < 0.26 && action.memory_scale > 0.99);
    action = tandem__observe_memory(&seen, SECOND, &memory);
    assert_true(action.memory_scale < 0.26 && !action.is_one_in_flight);
    action = tandem__observe_memory(&seen, SECOND, &memory);
    assert_true(action.memory_scale < 0.26 && action.is_one_in_flight && !action.is_shedding);
    action = tandem__observe_memory(&seen, SECOND, &memory);
    assert_true(action.is_one_in_flight && action.is_shedding);
    assert_int_equal(tandem__observe_memory(&seen, SECOND, &memory).level, 4);
}

static void test_memory_comes_down_slowly(void **state) {
    (void)state;
    sched_memory_state memory = {.level = 4};
    const sched_machine_view seen = machine_with(8 * GIB, 0);
    uint64_t now_ns = SECOND;
    int steps = 0;
    for (; memory.level > 0; steps++, now_ns += 100 * MS) {
        (void)tandem__observe_memory(&seen, now_ns, &memory);
        assert_true(steps < 1000);
    }
    assert_true(steps >= 200); /* 5 s a level */
    /* Just over the threshold is not enough to come down. */
    memory = (sched_memory_state){.level = 1};
    const sched_machine_view close = machine_with(16 * GIB / 10 + GIB / 100, 0);
    for (int i = 0; i < 200; i++)
        (void)tandem__observe_memory(&close, now_ns + (uint64_t)i * 100 * MS, &memory);
    assert_int_equal(memory.level, 1);
    /* A moment of pressure starts the wait anew. */
    memory = (sched_memory_state){.level = 1};
    for (int i = 0; i < 200; i++) {
        const sched_machine_view now = machine_with(i % 40 == 0 ? GIB : 8 * GIB, 0);
        (void)tandem__observe_memory(&now, now_ns + (uint64_t)i * 100 * MS, &memory);
    }
    assert_int_equal(memory.level, 1);
}

static void test_memory_stalls(void **state) {
    (void)state;
    sched_memory_state memory = {0};
    sched_machine_view seen = machine_with(2 * GIB, 70);
    for (int i = 0; i < 5; i++) (void)tandem__observe_memory(&seen, SECOND, &memory);
    assert_int_equal(memory.level, 4);
    memory = (sched_memory_state){0}; /* others' stalls, where there is plenty */
    seen = machine_with(12 * GIB, 70);
    for (int i = 0; i < 5; i++) (void)tandem__observe_memory(&seen, SECOND, &memory);
    assert_int_equal(memory.level, 1);
    memory = (sched_memory_state){0}; /* nothing is known: nothing is done */
    seen = (sched_machine_view){-1, -1, -1, -1};
    assert_int_equal(tandem__observe_memory(&seen, SECOND, &memory).level, 0);
}

static void test_thermal(void **state) {
    (void)state;
    sched_thermal_state thermal = {0};
    assert_int_equal(tandem__observe_thermal(100, SECOND, &thermal), 100);
    assert_int_equal(tandem__observe_thermal(-1, SECOND, &thermal), 100);
    assert_int_equal(tandem__observe_thermal(90, SECOND, &thermal), 90);
    assert_int_equal(tandem__observe_thermal(89, SECOND, &thermal), 89);
    assert_int_equal(tandem__observe_thermal(50, SECOND, &thermal), 50);
    /* It stays throttled until it has been cool for two seconds. */
    assert_int_equal(tandem__observe_thermal(94, 9 * SECOND, &thermal), 89);
    assert_int_equal(tandem__observe_thermal(94, 19 * SECOND, &thermal), 89);
    assert_int_equal(tandem__observe_thermal(100, 20 * SECOND, &thermal), 89);
    assert_int_equal(tandem__observe_thermal(100, 21 * SECOND, &thermal), 89);
    assert_int_equal(tandem__observe_thermal(100, 22 * SECOND, &thermal), 100);
    assert_int_equal(tandem__observe_thermal(94, 23 * SECOND, &thermal), 94);
}

/* What a second of 100 ms steps looks like. */
typedef struct scaler_case {
    double texts_per_s;
    double over_10ms; /* share of the requests */
    double over_5ms;
    int64_t waiting;
    bool is_by_rules;
    bool is_realtime_about;
    int32_t workers_max;
} scaler_case;

static sched_scaler_action scale(const scaler_case *seen, double seconds, uint64_t *now_ns,
                                 sched_scaler_sample *sums, sched_scaler_state *state) {
    sched_scaler_action action = {.workers = 0};
    const int steps = (int)(seconds * 10 + 0.5);
    for (int i = 0; i < steps; i++) {
        *now_ns += 100 * MS;
        const uint64_t texts = (uint64_t)(seen->texts_per_s / 10);
        sums->texts += texts;
        sums->requests += texts;
        sums->over_10ms += (uint64_t)(seen->over_10ms * (double)texts + 0.5);
        sums->over_5ms += (uint64_t)(seen->over_5ms * (double)texts + 0.5);
        sums->at_ns = *now_ns;
        sums->waiting = seen->waiting;
        const sched_scaler_seen made = {.sample = *sums,
                                        .is_by_rules = seen->is_by_rules,
                                        .is_realtime_about = seen->is_realtime_about,
                                        .workers_max = seen->workers_max};
        action = tandem__observe_scaler(&made, state);
    }
    return action;
}

static void check_scale(scaler_case seen, double seconds, int32_t workers, double batch_scale,
                        bool is_open) {
    sched_scaler_state state = {.count = 0};
    sched_scaler_sample sums = {.texts = 0};
    uint64_t now_ns = SECOND;
    const sched_scaler_action action = scale(&seen, seconds, &now_ns, &sums, &state);
    assert_int_equal(action.workers, workers);
    assert_int_equal((int)action.batch_scale, (int)batch_scale);
    assert_int_equal(action.is_everything_open, is_open);
}

static void test_scaler_thresholds(void **state) {
    (void)state;
    const scaler_case well = {.texts_per_s = 400, .is_by_rules = true, .workers_max = 8};
    check_scale(well, 3, 0, 1, false);
    scaler_case seen = well;
    seen.over_10ms = seen.over_5ms = 0.2; /* p95 over 10 ms: two workers a second */
    check_scale(seen, 1, 0, 1, false);    /* less than a second says nothing */
    check_scale(seen, 1.2, 2, 1, false);
    check_scale(seen, 2.2, 4, 1, false);
    check_scale(seen, 20, 8, 1, false);
    seen = well;
    seen.texts_per_s = 150;
    check_scale(seen, 1.2, 0, 1, false); /* nothing waits */
    seen.waiting = 3;
    check_scale(seen, 1.2, 0, 2, false);
    check_scale(seen, 20, 0, 4, false);
    seen = well;
    seen.waiting = 20;
    check_scale(seen, 3, 0, 1, false);
    seen.waiting = 21;
    check_scale(seen, 3, 0, 1, true);
    /* The guide's chain: one branch at a time, the first that holds. */
    seen.over_10ms = seen.over_5ms = 0.2;
    check_scale(seen, 20, 8, 1, false);
    seen.is_by_rules = false; /* predict passes over what can do nothing more */
    check_scale(seen, 20, 8, 1, true);
    seen.is_realtime_about = true; /* and keeps the latency lane for realtime work */
    check_scale(seen, 20, 8, 1, false);
    seen.texts_per_s = 100;
    check_scale(seen, 20, 8, 1, false);
}

static void test_scaler_comes_down(void **state) {
    (void)state;
    sched_scaler_state scaler = {.count = 0};
    sched_scaler_sample sums = {.texts = 0};
    uint64_t now_ns = SECOND;
    const scaler_case busy = {
        .texts_per_s = 150, .over_10ms = 0.2, .over_5ms = 0.2, .waiting = 50, .workers_max = 2};
    sched_scaler_action action = scale(&busy, 5, &now_ns, &sums, &scaler);
    assert_true(action.workers == 2 && action.batch_scale > 3.9 && action.is_everything_open);
    const scaler_case calm = {.texts_per_s = 150, .workers_max = 2};
    action = scale(&calm, 5, &now_ns, &sums, &scaler);
    assert_true(action.workers == 2 && action.batch_scale > 3.9);
    action = scale(&calm, 1.5, &now_ns, &sums, &scaler);
    assert_true(action.workers == 0 && action.batch_scale < 2.1 && !action.is_everything_open);
    action = scale(&calm, 6, &now_ns, &sums, &scaler);
    assert_true(action.batch_scale < 1.1);
    /* Realtime work takes lanes and short batches back at once. */
    (void)scale(&busy, 5, &now_ns, &sums, &scaler);
    scaler_case realtime = busy;
    realtime.is_realtime_about = true;
    action = scale(&realtime, 0.1, &now_ns, &sums, &scaler);
    assert_true(action.batch_scale < 1.1 && !action.is_everything_open && action.workers == 2);
}

static void test_health(void **state) {
    (void)state;
    sched_health_seen seen = {
        .lane_count = 4, .probe_every_ns = 10 * SECOND, .now_ns = 100 * SECOND};
    for (int i = 0; i < 4; i++)
        seen.lanes[i] = (sched_health_lane){.is_up = true,
                                            .is_idle = true,
                                            .last_done_ns = 99 * SECOND,
                                            .last_well_ns = 99 * SECOND};
    seen.lanes[1].last_done_ns = seen.lanes[1].last_well_ns = 90 * SECOND; /* idle for long */
    seen.lanes[2].last_done_ns = 0;                                        /* but busy */
    seen.lanes[2].is_idle = false;
    seen.lanes[3].is_up = false; /* out, and its next probe is due */
    seen.lanes[3].probe_at_ns = 100 * SECOND;
    sched_health_action action = tandem__observe_health(&seen);
    assert_int_equal(action.probe_lanes, 1u << 1 | 1u << 3);
    assert_true(action.is_ready);
    seen.lanes[3].probe_at_ns = 100 * SECOND + 1;
    assert_int_equal(tandem__observe_health(&seen).probe_lanes, 1u << 1);
    for (int i = 0; i < 4; i++) seen.lanes[i].last_well_ns = 0;
    action = tandem__observe_health(&seen);
    assert_false(action.is_ready); /* nothing was ever computed */
    assert_int_equal(action.probe_lanes, 1u << 0 | 1u << 1);
    seen.lanes[0].last_well_ns = 69 * SECOND;
    assert_false(tandem__observe_health(&seen).is_ready);
    seen.lanes[0].last_well_ns = 71 * SECOND;
    assert_true(tandem__observe_health(&seen).is_ready);
    seen.lanes[0].is_up = false;
    assert_false(tandem__observe_health(&seen).is_ready);
}

/* The knobs of a scheduler. */
static void test_knobs(void **state) {
    (void)state;
    sched_options options = {.lane_count = 2};
    for (int i = 0; i < 2; i++) {
        options.lanes[i] = (sched_lane_options){.name = "a lane",
                                                .lane_class = i == 0 ? TANDEM_CLASS_LATENCY
                                                                     : TANDEM_CLASS_THROUGHPUT,
                                                .tokens_max = 64,
                                                .sequences_max = 8,
                                                .slots = 2,
                                                .slots_max = 3,
                                                .rules_limit = 1,
                                                .is_available = true};
        tandem__service_init(&options.lanes[i].service, 1e6, 1e3);
    }
    sched *scheduler = NULL;
    assert_int_equal(tandem__sched_open(&options, &scheduler, NULL), TANDEM_OK);
    sched_observers observers = {.memory_level = 0};
    sched_machine_view machine = machine_with(GIB / 10, 0);
    machine.speed_percent = 70;
    const uint32_t lanes = tandem__observe(&observers, scheduler, &machine, SECOND);
    assert_int_equal(lanes, 3); /* never probed */
    assert_true(scheduler->lanes[0].probe_at_ns > 0);
    assert_int_equal(scheduler->speed_percent, 70);
    assert_int_equal(observers.memory_level, 1);
    assert_int_equal(scheduler->lanes[0].slots, 2);
    for (int i = 0; i < 3; i++) (void)tandem__observe(&observers, scheduler, &machine, SECOND);
    assert_true(observers.cache_scale < 0.01);
    assert_true(scheduler->memory_scale < 0.26);
    assert_true(scheduler->is_shedding);
    assert_int_equal(scheduler->lanes[0].slots, 1);
    assert_int_equal(scheduler->lanes[1].slots, 1);
    observers.memory.level = 0;
    observers.scaler.workers = 2; /* more than slots_max allows */
    machine = machine_with(8 * GIB, 0);
    (void)tandem__observe(&observers, scheduler, &machine, 2 * SECOND);
    assert_int_equal(scheduler->lanes[0].slots, 3);
    assert_int_equal(scheduler->lanes[1].slots, 2);
    assert_false(scheduler->is_shedding);
    assert_false(tandem__sched_is_ready(scheduler, SECOND));
    tandem__sched_close(scheduler);
}

static tandem_simulation_report simulate(const tandem_simulation_options *options) {
    tandem_simulation_report report;
    tandem_error err = {0};
    if (tandem_simulate(options, &report, &err) != TANDEM_OK) fail_msg("%s", err.message);
    assert_int_equal(report.lost + report.doubled, 0);
    return report;
}

/* A latency lane that takes more batches in flight gets them when realtime work is late. */
static void test_workers_in_simulation(void **state) {
    (void)state;
    char folder[256];
    char path[512];
    char text[512];
    double p95_ms[2];
    folder_make(folder);
    (void)snprintf(path, sizeof path, "%s/machine.json", folder);
    for (int i = 0; i < 2; i++) {
        (void)snprintf(text, sizeof text,
                       "{\"lanes\":[{\"name\":\"a\",\"class\":\"latency\",\"text_ms\":4,"
                       "\"texts_max\":1,\"slots\":1,\"slots_max\":%d}]}",
                       i == 0 ? 1 : 3);
        folder_write_text(folder, "machine.json", text);
        const tandem_simulation_options options = {
            .machine = path, .load = 0.9, .realtime = 1, .requests = 20000, .seed = 3};
        p95_ms[i] = simulate(&options).realtime_p95_ms;
    }
    folder_remove(folder);
    print_message("realtime p95 %.1f ms with one worker, %.1f with up to three\n", p95_ms[0],
                  p95_ms[1]);
    assert_true(p95_ms[1] < 0.5 * p95_ms[0]);
}

/* Without realtime work the latency lane is opened when the queue is long. */
static void test_opens_in_simulation(void **state) {
    (void)state;
    const tandem_simulation_options options = {
        .load = 0.9, .requests = 100000, .seed = 1, .warmup_ms = 2000};
    const tandem_simulation_report report = simulate(&options);
    print_message("standard p95 %.1f ms at load 0.9 without realtime work\n",
                  report.standard_p95_ms);
    assert_true(report.standard_p95_ms <= 35); /* 40 without the observer */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_goes_up_in_order),
        cmocka_unit_test(test_memory_comes_down_slowly),
        cmocka_unit_test(test_memory_stalls),
        cmocka_unit_test(test_thermal),
        cmocka_unit_test(test_scaler_thresholds),
        cmocka_unit_test(test_scaler_comes_down),
        cmocka_unit_test(test_health),
        cmocka_unit_test(test_knobs),
        cmocka_unit_test(test_workers_in_simulation),
        cmocka_unit_test(test_opens_in_simulation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
