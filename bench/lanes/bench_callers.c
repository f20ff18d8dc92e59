/* SPDX-License-Identifier: Apache-2.0 */
/* Many callers of one text each against one request of the same texts: how much of a lane's rate
 * the way through the scheduler leaves, and what a caller waits.
 *
 *     bench_callers MODEL [callers] [seconds]
 *
 * Both sides by turns, medians of the rounds. Texts are of mixed lengths, 4 to 60 words. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/chance.h"
#include "base/clock.h"
#include "base/histogram.h"
#include "tandem/tandem.h"

#define TEXTS       512
#define ROUNDS      5
#define CALLERS_MAX 1024
#define TEXT_BYTES  512

static char bytes[TEXTS][TEXT_BYTES];
static tandem_text texts[TEXTS];
static tandem_histogram waits;
static _Atomic int64_t tokens_done;
static _Atomic bool is_over;

static void make_texts(void) {
    static const char *const words[] = {"river", "table",   "seven",   "walked", "under",
                                        "blue",  "machine", "because", "small",  "paper"};
    tandem_random random;
    tandem__random_init(&random, 3);
    for (int i = 0; i < TEXTS; i++) {
        const int count = 4 + (int)(tandem__random_next(&random) % 57);
        size_t at = 0;
        for (int w = 0; w < count; w++) {
            const char *word = words[tandem__random_next(&random) % 10];
            at += (size_t)snprintf(bytes[i] + at, TEXT_BYTES - at, "%s ", word);
        }
        texts[i] = (tandem_text){bytes[i], at};
    }
}

typedef struct caller {
    tandem_engine *engine;
    uint64_t seed;
    int failed;
} caller;

static void *call(void *context) {
    caller *self = context;
    tandem_random random;
    tandem__random_init(&random, self->seed);
    tandem_result result = {0};
    while (!atomic_load(&is_over)) {
        const tandem_request request = {.texts = &texts[tandem__random_next(&random) % TEXTS],
                                        .count = 1};
        const uint64_t start_ns = tandem__clock_ns();
        if (tandem_engine_infer(self->engine, &request, &result, NULL) != TANDEM_OK) self->failed++;
        tandem__histogram_add(&waits, tandem__clock_ns() - start_ns);
        atomic_fetch_add(&tokens_done, result.tokens);
    }
    tandem_result_deinit(&result);
    return NULL;
}

static double many(tandem_engine *engine, int count, double seconds) {
    static caller callers[CALLERS_MAX];
    static pthread_t threads[CALLERS_MAX];
    atomic_store(&is_over, false);
    const uint64_t start_ns = tandem__clock_ns();
    atomic_store(&tokens_done, 0);
    for (int i = 0; i < count; i++) {
        callers[i] = (caller){.engine = engine, .seed = (uint64_t)i};
        if (pthread_create(&threads[i], NULL, call, &callers[i]) != 0) exit(1);
    }
    const struct timespec wait = {.tv_sec = (time_t)seconds,
                                  .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    (void)nanosleep(&wait, NULL);
    const int64_t tokens = atomic_load(&tokens_done);
    const double rate = (double)tokens * 1e9 / (double)(tandem__clock_ns() - start_ns);
    atomic_store(&is_over, true);
    for (int i = 0; i < count; i++) {
        (void)pthread_join(threads[i], NULL);
        if (callers[i].failed > 0) exit(1);
    }
    return rate;
}

static double packed(tandem_engine *engine, double seconds) {
    tandem_result result = {0};
    const tandem_request request = {.texts = texts, .count = TEXTS};
    const uint64_t start_ns = tandem__clock_ns();
    int64_t tokens = 0;
    uint64_t now_ns = start_ns;
    while ((double)(now_ns - start_ns) < seconds * 1e9) {
        if (tandem_engine_infer(engine, &request, &result, NULL) != TANDEM_OK) exit(1);
        tokens += result.tokens;
        now_ns = tandem__clock_ns();
    }
    tandem_result_deinit(&result);
    return (double)tokens * 1e9 / (double)(now_ns - start_ns);
}

/* Processor time of the process so far, in seconds. */
static double processor_s(void) {
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    const int callers = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 64;
    const double seconds = argc > 3 ? strtod(argv[3], NULL) : 1;
    if (argc < 2 || callers < 1 || callers > CALLERS_MAX) {
        (void)fprintf(stderr, "usage: bench_callers MODEL [callers] [seconds]\n");
        return 2;
    }
    make_texts();
    const tandem_engine_options options = {.model = argv[1]};
    tandem_engine *engine = NULL;
    tandem_error err = {0};
    if (tandem_engine_open(&options, &engine, &err) != TANDEM_OK) {
        (void)fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    double one[ROUNDS];
    double all[ROUNDS];
    double ratios[ROUNDS];
    double costs[ROUNDS]; /* processor time of a token, many callers over packed */
    (void)packed(engine, seconds / 4);
    for (int r = 0; r < ROUNDS; r++) {
        const double start_s = processor_s();
        one[r] = packed(engine, seconds);
        const double middle_s = processor_s();
        all[r] = many(engine, callers, seconds);
        ratios[r] = all[r] / one[r];
        costs[r] = (processor_s() - middle_s) / (double)atomic_load(&tokens_done) /
                   ((middle_s - start_s) / (one[r] * seconds));
    }
    qsort(one, ROUNDS, sizeof one[0], by_size);
    qsort(all, ROUNDS, sizeof all[0], by_size);
    qsort(ratios, ROUNDS, sizeof ratios[0], by_size);
    qsort(costs, ROUNDS, sizeof costs[0], by_size);
    (void)printf("packed %.0f tokens/s, %d callers %.0f tokens/s, ratio %.3f (%.3f to %.3f), "
                 "processor time a token %.3f, wait p50 %.1f ms p95 %.1f ms\n",
                 one[ROUNDS / 2], callers, all[ROUNDS / 2], ratios[ROUNDS / 2], ratios[0],
                 ratios[ROUNDS - 1], costs[ROUNDS / 2],
                 (double)tandem__histogram_quantile(&waits, 0.5) / 1e6,
                 (double)tandem__histogram_quantile(&waits, 0.95) / 1e6);
    tandem_engine_close(engine);
    return 0;
}
