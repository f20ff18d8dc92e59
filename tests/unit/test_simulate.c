/* SPDX-License-Identifier: Apache-2.0 */
/* The scheduler in simulation, against the figures that a good policy attains on the guide's Mac:
 * an independent simulation of the same machine, one text a request, a fifth of them realtime. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tandem/simulate.h"

#include "../support/temp_folder.h"

#define POINTS   7
#define SEEDS    3
#define REQUESTS 100000
#define SLACK    1.08

static const double loads[POINTS] = {0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95};
static const double poisson_p95[POINTS] = {2.70, 3.57, 4.61, 5.1, 5.9, 6.3, 6.5};
static const double bursty_p95[POINTS] = {4.0, 4.9, 6.1, 7.1, 8.0, 8.9, 9.2};

static tandem_simulation_report simulate(tandem_simulation_options options) {
    tandem_simulation_report report;
    tandem_error err = {0};
    if (options.requests == 0) options.requests = REQUESTS;
    if (options.warmup_ms <= 0) options.warmup_ms = 2000;
    if (tandem_simulate(&options, &report, &err) != TANDEM_OK) fail_msg("%s", err.message);
    assert_int_equal(report.lost, 0);
    assert_int_equal(report.doubled, 0);
    return report;
}

static tandem_simulation_options guide(double load, uint64_t seed) {
    return (tandem_simulation_options){.load = load, .realtime = 0.2, .seed = seed};
}

/* One row of the table, for predict that starts with tables wrong by `mistaken`. */
static void check_table(bool is_bursty, double mistaken) {
    for (int p = 0; p < POINTS; p++) {
        const double bound = SLACK * (is_bursty ? bursty_p95[p] : poisson_p95[p]);
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            tandem_simulation_options options = guide(loads[p], seed);
            options.is_bursty = is_bursty;
            options.mistaken = mistaken;
            const tandem_simulation_report report = simulate(options);
            if (report.realtime_p95_ms > bound)
                fail_msg("load %.2f seed %d: realtime p95 %.2f ms, expected at most %.2f", loads[p],
                         (int)seed, report.realtime_p95_ms, bound);
            if (!is_bursty && loads[p] <= 0.9 && report.standard_p95_ms > 60)
                fail_msg("load %.2f seed %d: other p95 %.2f ms, expected at most 60", loads[p],
                         (int)seed, report.standard_p95_ms);
            assert_int_equal(report.refused, 0);
        }
    }
}

static void test_poisson(void **state) {
    (void)state;
    check_table(false, 1);
}

static void test_bursty(void **state) {
    (void)state;
    check_table(true, 1);
}

static void test_mistaken_tables(void **state) {
    (void)state;
    check_table(false, 2);
    check_table(false, 0.5);
}

static void test_sustains(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        tandem_simulation_options options = guide(0.95, seed);
        options.requests = 400000;
        const tandem_simulation_report report = simulate(options);
        assert_int_equal(report.refused, 0);
        assert_true(report.last_quarter_p95_ms <= 1.5 * report.first_quarter_p95_ms);
        assert_true(report.answered_per_s >= 0.99 * report.offered_per_s);
    }
}

static bool is_sustained(tandem_simulation_options options) {
    const tandem_simulation_report report = simulate(options);
    return report.refused == 0 && report.last_quarter_p95_ms <= 1.5 * report.first_quarter_p95_ms;
}

static void test_against_rules(void **state) {
    (void)state;
    static const int batches[] = {1, 8};
    for (int b = 0; b < 2; b++) {
        double best_rules = 0;
        double best_predict = 0;
        for (double load = 0.1; load < 0.96; load += 0.05) {
            tandem_simulation_options options = guide(load, 5);
            options.batch = batches[b];
            options.requests = 30000;
            const bool is_predict_well = is_sustained(options);
            const tandem_simulation_report ours = simulate(options);
            options.policy = "rules";
            const bool is_rules_well = is_sustained(options);
            const tandem_simulation_report theirs = simulate(options);
            if (is_predict_well) best_predict = load;
            if (is_rules_well) best_rules = load;
            if (load > 0.19 && ours.all_p95_ms >= theirs.all_p95_ms)
                fail_msg("batch %d load %.2f: p95 of all %.2f ms, rules have %.2f", batches[b],
                         load, ours.all_p95_ms, theirs.all_p95_ms);
        }
        if (best_predict < 2 * best_rules)
            fail_msg("batch %d: sustains %.2f, rules %.2f", batches[b], best_predict, best_rules);
        print_message("batch %d: predict sustains %.2f, rules %.2f\n", batches[b], best_predict,
                      best_rules);
    }
}

#define GUIDE_CAPACITY (1000 / 2.7 + 1000 / 4.7 + 1000 / 11.4)

/* A fault of one lane from 2 s on, measured from 4 s on, against a machine that was so from the
 * start: one without the lane, or one where it has `text_ms`. */
static void check_fault(const char *folder, int lane, const char *fault, double text_ms) {
    static const char *const names[] = {"ane", "metal", "cpu"};
    static const char *const classes[] = {"latency", "throughput", "background"};
    double service_ms[] = {2.7, 4.7, 11.4};
    char faults_path[512];
    char machine_path[512];
    char text[1024];
    (void)snprintf(text, sizeof text, "[{\"at_ms\":2000,\"lane\":\"%s\",%s}]", names[lane], fault);
    folder_write_text(folder, "faults.json", text);
    (void)snprintf(faults_path, sizeof faults_path, "%s/faults.json", folder);
    if (text_ms > 0) service_ms[lane] = text_ms;
    (void)snprintf(text, sizeof text,
                   "{\"lanes\":[{\"name\":\"%s\",\"class\":\"%s\",\"text_ms\":%g,\"texts_max\":1},"
                   "{\"name\":\"%s\",\"class\":\"%s\",\"text_ms\":%g},"
                   "{\"name\":\"%s\",\"class\":\"%s\",\"text_ms\":%g,\"texts_max\":8}]}",
                   names[0], classes[0], service_ms[0], names[1], classes[1], service_ms[1],
                   names[2], classes[2], service_ms[2]);
    folder_write_text(folder, "machine.json", text);
    (void)snprintf(machine_path, sizeof machine_path, "%s/machine.json", folder);
    const double capacity = 1000 / service_ms[0] + 1000 / service_ms[1] + 1000 / service_ms[2];
    bool out[TANDEM_SIMULATION_LANES] = {false};
    out[lane] = text_ms <= 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        tandem_simulation_options options = guide(0.4, seed);
        options.warmup_ms = 4000;
        options.faults = faults_path;
        const tandem_simulation_report faulty = simulate(options);
        options.faults = NULL;
        options.machine = machine_path;
        options.lanes_out = out;
        options.load = 0.4 * GUIDE_CAPACITY / capacity;
        const tandem_simulation_report same = simulate(options);
        print_message("%s %s: %.2f ms, from the start %.2f\n", names[lane], fault,
                      faulty.realtime_p95_ms, same.realtime_p95_ms);
        if (faulty.realtime_p95_ms > 1.2 * same.realtime_p95_ms)
            fail_msg("%s %s: realtime p95 %.2f ms, %.2f where it was so from the start",
                     names[lane], fault, faulty.realtime_p95_ms, same.realtime_p95_ms);
        assert_int_equal(faulty.failed, 0);
        assert_int_equal(faulty.answered + faulty.refused, faulty.offered);
    }
}

static void test_faults(void **state) {
    (void)state;
    char folder[256];
    folder_make(folder);
    for (int lane = 0; lane < 3; lane++) {
        static const double service_ms[] = {2.7, 4.7, 11.4};
        check_fault(folder, lane, "\"fault\":\"dead\"", 0);
        check_fault(folder, lane, "\"fault\":\"hang\"", 0);
        check_fault(folder, lane, "\"fault\":\"slow\",\"factor\":3", 3 * service_ms[lane]);
        check_fault(folder, lane, "\"fault\":\"heat\",\"percent\":50", 2 * service_ms[lane]);
    }
    folder_remove(folder);
}

/* Realtime work at 90% of all lanes for ever, and background work beside it. */
static void test_background_age(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        tandem_simulation_options options = {.load = 0.95,
                                             .realtime = 0.9 / 0.95,
                                             .background = 0.05 / 0.95,
                                             .background_age_ms = 2000,
                                             .seed = seed};
        const tandem_simulation_report report = simulate(options);
        print_message("background max %.0f ms, realtime p95 %.1f\n", report.background_max_ms,
                      report.realtime_p95_ms);
        assert_true(report.background_max_ms > 0);
        assert_true(report.background_max_ms <= 2000);
    }
}

static void test_overload(void **state) {
    (void)state;
    for (int realtime = 0; realtime < 2; realtime++) {
        tandem_simulation_options options = guide(3, 1);
        options.realtime = realtime == 0 ? 0.2 : 0;
        options.tokens_max = 32 * 2000;
        const tandem_simulation_report report = simulate(options);
        print_message("overload: %.1f of %.1f texts/s, queue %d\n", report.answered_per_s,
                      report.capacity_per_s, (int)report.queue_max);
        assert_true(report.answered_per_s >= 0.95 * report.capacity_per_s);
        assert_true(report.queue_max <= 2000);
        assert_true(report.refused > 0);
    }
}

/* Random faults, cancellations, deadlines and priorities, every invariant asserted at each event.
 */
static void test_chaos(void **state) {
    (void)state;
    char folder[256];
    char path[512];
    char text[4096];
    folder_make(folder);
    (void)snprintf(path, sizeof path, "%s/faults.json", folder);
    static const char *const kinds[] = {
        "\"dead\"", "\"fail\",\"share\":0.3", "\"nan\",\"share\":0.2",
        "\"hang\"", "\"slow\",\"factor\":5",  "\"heat\",\"percent\":60"};
    static const char *const lanes[] = {"ane", "metal", "cpu"};
    for (uint64_t seed = 1; seed <= 12; seed++) {
        size_t at = (size_t)snprintf(text, sizeof text, "[");
        for (int f = 0; f < 12; f++) {
            const unsigned draw = (unsigned)(seed * 7919 + (uint64_t)f * 104729);
            at += (size_t)snprintf(text + at, sizeof text - at,
                                   "%s{\"at_ms\":%u,\"for_ms\":%u,\"lane\":\"%s\",\"fault\":%s}",
                                   f == 0 ? "" : ",", 500 + 700 * (unsigned)f + draw % 500,
                                   100 + draw % 1500, lanes[draw / 7 % 3], kinds[draw / 31 % 6]);
        }
        (void)snprintf(text + at, sizeof text - at, "]");
        folder_write_text(folder, "faults.json", text);
        static const char *const policies[] = {"predict", "rules", "rules-simple"};
        tandem_simulation_options options = guide(seed % 2 == 0 ? 0.5 : 1.2, seed);
        options.policy = policies[seed % 3];
        options.background = 0.2;
        options.requests = 5000;
        options.cancelled = 0.05;
        options.deadline_ms = seed % 4 == 0 ? 20 : 0;
        options.batch = seed % 3 == 0 ? 8 : 1;
        options.tokens_max = 32 * 500;
        options.faults = path;
        options.is_checked = true;
        options.warmup_ms = 1;
        const tandem_simulation_report report = simulate(options);
        assert_int_equal(report.answered + report.refused + report.expired + report.cancelled +
                             report.dropped,
                         report.offered);
    }
    folder_remove(folder);
}

static void test_same_seed(void **state) {
    (void)state;
    const tandem_simulation_report a = simulate(guide(0.7, 9));
    const tandem_simulation_report b = simulate(guide(0.7, 9));
    assert_memory_equal(&a, &b, sizeof a);
}

static void check_refused(tandem_simulation_options options, const char *expected) {
    tandem_simulation_report report;
    tandem_error err = {0};
    assert_int_not_equal(tandem_simulate(&options, &report, &err), TANDEM_OK);
    if (strstr(err.message, expected) == NULL) fail_msg("\"%s\": %s", expected, err.message);
}

static void test_bad_options(void **state) {
    (void)state;
    check_refused(guide(0, 1), "load: 0");
    check_refused((tandem_simulation_options){.load = 1, .realtime = 0.8, .background = 0.3},
                  "background 0.3");
    check_refused((tandem_simulation_options){.load = 1, .policy = "best"}, "policy: \"best\"");
    check_refused((tandem_simulation_options){.load = 1, .batch = -1}, "batch: -1");
    check_refused((tandem_simulation_options){.load = 1, .machine = "/nowhere"}, "/nowhere");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_poisson),         cmocka_unit_test(test_bursty),
        cmocka_unit_test(test_mistaken_tables), cmocka_unit_test(test_sustains),
        cmocka_unit_test(test_against_rules),   cmocka_unit_test(test_faults),
        cmocka_unit_test(test_background_age),  cmocka_unit_test(test_overload),
        cmocka_unit_test(test_chaos),           cmocka_unit_test(test_same_seed),
        cmocka_unit_test(test_bad_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
