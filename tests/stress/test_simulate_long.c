/* SPDX-License-Identifier: Apache-2.0 */
/* Ten million simulated requests over many seeds: policies, loads, mixes, deadlines, cancellations
 * and faults are drawn from the seed; each request ends exactly once, and every invariant of the
 * scheduler is asserted after every event. TANDEM_STRESS_REQUESTS changes the number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/chance.h"
#include "support/temp_folder.h"
#include "tandem/simulate.h"

#define REQUESTS_EACH 20000
#define FAULTS        16
#define TEXT_BYTES    4096

static unsigned draw(tandem_random *random, unsigned below) {
    return (unsigned)(tandem__random_next(random) % below);
}

/* Faults of some seconds on every lane, several at a time. */
static void write_faults(const char *folder, tandem_random *random) {
    static const char *const kinds[] = {
        "\"dead\"", "\"fail\",\"share\":0.3", "\"nan\",\"share\":0.2",
        "\"hang\"", "\"slow\",\"factor\":5",  "\"heat\",\"percent\":60"};
    static const char *const lanes[] = {"ane", "metal", "cpu"};
    char text[TEXT_BYTES];
    size_t at = (size_t)snprintf(text, sizeof text, "[");
    for (int f = 0; f < FAULTS; f++) {
        at += (size_t)snprintf(text + at, sizeof text - at,
                               "%s{\"at_ms\":%u,\"for_ms\":%u,\"lane\":\"%s\",\"fault\":%s}",
                               f == 0 ? "" : ",", draw(random, 60000), 50 + draw(random, 4000),
                               lanes[draw(random, 3)], kinds[draw(random, 6)]);
    }
    (void)snprintf(text + at, sizeof text - at, "]");
    folder_write_text(folder, "faults.json", text);
}

static tandem_simulation_options draw_options(tandem_random *random, const char *faults) {
    static const char *const policies[] = {"predict", "predict", "rules", "rules-simple"};
    static const int32_t batches[] = {1, 1, 2, 8, 40};
    static const double loads[] = {0.1, 0.4, 0.7, 0.9, 1.1, 2};
    return (tandem_simulation_options){.policy = policies[draw(random, 4)],
                                       .faults = draw(random, 4) == 0 ? NULL : faults,
                                       .load = loads[draw(random, 6)],
                                       .realtime = 0.1 * draw(random, 6),
                                       .background = 0.1 * draw(random, 5),
                                       .batch = batches[draw(random, 5)],
                                       .requests = REQUESTS_EACH,
                                       .seed = tandem__random_next(random),
                                       .deadline_ms = draw(random, 3) == 0 ? 25 : 0,
                                       .cancelled = 0.02 * draw(random, 4),
                                       .mistaken = draw(random, 3) == 0 ? 3 : 1,
                                       .tokens_max = 32 * (20 + draw(random, 100)),
                                       .background_age_ms = 500 + draw(random, 5000),
                                       .is_bursty = draw(random, 2) == 0,
                                       .is_checked = true};
}

static void test_everything_ends_once(void **state) {
    (void)state;
    const char *wanted = getenv("TANDEM_STRESS_REQUESTS");
    const int64_t total = wanted == NULL ? 10000000 : strtoll(wanted, NULL, 10);
    char folder[256];
    char path[512];
    folder_make(folder);
    (void)snprintf(path, sizeof path, "%s/faults.json", folder);
    tandem_simulation_report sums = {.offered = 0};
    for (uint64_t seed = 1; sums.offered < total; seed++) {
        tandem_random random;
        tandem__random_init(&random, seed);
        write_faults(folder, &random);
        const tandem_simulation_options options = draw_options(&random, path);
        tandem_simulation_report report;
        tandem_error err = {0};
        if (tandem_simulate(&options, &report, &err) != TANDEM_OK)
            fail_msg("seed %d: %s", (int)seed, err.message);
        if (report.lost != 0 || report.doubled != 0)
            fail_msg("seed %d: %d lost, %d doubled", (int)seed, (int)report.lost,
                     (int)report.doubled);
        if (report.answered + report.refused + report.expired + report.cancelled + report.dropped !=
            report.offered)
            fail_msg("seed %d: what ended does not make what was offered", (int)seed);
        sums.offered += report.offered;
        sums.answered += report.answered;
        sums.refused += report.refused;
        sums.expired += report.expired;
        sums.cancelled += report.cancelled;
        sums.dropped += report.dropped;
    }
    folder_remove(folder);
    print_message("%lld requests: %lld answered, %lld refused, %lld late, %lld cancelled, %lld "
                  "without a lane\n",
                  (long long)sums.offered, (long long)sums.answered, (long long)sums.refused,
                  (long long)sums.expired, (long long)sums.cancelled, (long long)sums.dropped);
    assert_true(sums.answered > sums.offered / 2);
    assert_true(sums.refused > 0 && sums.expired > 0 && sums.cancelled > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_everything_ends_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
