/* SPDX-License-Identifier: Apache-2.0 */
/* One lane, without text: bench_lane MODEL [LANE [DTYPE [THREADS]]]
 *
 * Opens the lane, says how long that took, then reads lines "SEQUENCES TOKENS RUNS" (TOKENS each; a
 * negative number: lengths spread evenly from 2 to twice the mean -TOKENS) and answers each with a
 * line: median, least and 90 % time of a batch in microseconds, and tokens a second at the median.
 * A script that measures something else in turns with it needs no more than a pipe. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/clock.h"
#include "base/dtype.h"
#include "model/model.h"

enum { TOKENS_MAX = 16384, SEQUENCES_MAX = 2048, RUNS_MAX = 10000 };

typedef struct lane_bench {
    tandem_source *source;
    tandem_pool *pool;
    const tandem_backend *backend;
    tandem_lane *lane;
    float *out;
    int32_t ids[TOKENS_MAX];
    int32_t offsets[SEQUENCES_MAX + 1];
    double micros[RUNS_MAX];
} lane_bench;

static int fail(const tandem_error *err) {
    (void)fprintf(stderr, "bench_lane: %s\n", err->message);
    return 1;
}

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

static tandem_batch make_batch(lane_bench *bench, int sequences, int tokens) {
    const int mean = tokens < 0 ? -tokens : tokens;
    uint32_t random = 12345;
    int at = 0;
    int made = 0;
    for (; made < sequences && made < SEQUENCES_MAX; made++) {
        random = random * 1664525u + 1013904223u;
        const int spread =
            2 + (int)((random >> 8) % (uint32_t)(2 * mean - 3 > 0 ? 2 * mean - 3 : 1));
        const int length = tokens < 0 ? spread : mean;
        if (at + length > TOKENS_MAX) break;
        at += length;
        bench->offsets[made + 1] = at;
    }
    for (int t = 0; t < at; t++) {
        random = random * 1664525u + 1013904223u;
        bench->ids[t] = (int32_t)((random >> 8) % (uint32_t)bench->source->plan->vocab);
    }
    return (tandem_batch){
        .ids = bench->ids, .offsets = bench->offsets, .tokens = at, .sequences = made};
}

static tandem_status measure(lane_bench *bench, const tandem_batch *batch, int runs,
                             tandem_error *err) {
    for (int run = -1; run < runs; run++) {
        tandem_ticket ticket = 0;
        const uint64_t start = tandem__clock_ns();
        tandem_status status = bench->backend->submit(bench->lane, batch, TANDEM_OUTPUT_POOLED,
                                                      bench->out, &ticket, err);
        if (status != TANDEM_OK) return status;
        status = bench->backend->wait(bench->lane, ticket, UINT64_MAX, err);
        if (status != TANDEM_OK) return status;
        if (run >= 0) bench->micros[run] = (double)(tandem__clock_ns() - start) * 1e-3;
    }
    qsort(bench->micros, (size_t)runs, sizeof bench->micros[0], compare);
    const double median = bench->micros[runs / 2];
    printf("%.1f %.1f %.1f us, %.0f tokens/s, %d tokens\n", median, bench->micros[0],
           bench->micros[runs * 9 / 10], batch->tokens / median * 1e6, (int)batch->tokens);
    (void)fflush(stdout);
    return TANDEM_OK;
}

static tandem_status open_lane(lane_bench *bench, char **words, int count, tandem_error *err) {
    const char *lane = count > 2 ? words[2] : "cpu";
    tandem_dtype dtype = TANDEM_DTYPE_F16;
    if (count > 3) (void)tandem__dtype_from_word(words[3], &dtype);
    const int threads = count > 4 ? (int)strtol(words[4], NULL, 10) : 0;
    const uint64_t start = tandem__clock_ns();
    tandem_status status = tandem__source_open(words[1], &bench->source, err);
    if (status != TANDEM_OK) return status;
    status = tandem__pool_open(threads, &bench->pool, err);
    if (status != TANDEM_OK) return status;
    const uint64_t opened = tandem__clock_ns();
    const tandem_backend_options options = {.dtype = dtype,
                                            .tokens_max = TOKENS_MAX,
                                            .sequences_max = SEQUENCES_MAX,
                                            .in_flight_max = 1,
                                            .pool = bench->pool};
    bench->backend = tandem__backend_find(lane);
    if (bench->backend == NULL) return TANDEM_NOT_FOUND;
    status = bench->backend->open(bench->source->plan, &options, &bench->lane, err);
    if (status != TANDEM_OK) return status;
    bench->out =
        calloc((size_t)SEQUENCES_MAX * (size_t)bench->source->plan->dimensions, sizeof *bench->out);
    printf("source %.1f ms, lane %.1f ms\n", (double)(opened - start) * 1e-6,
           (double)(tandem__clock_ns() - opened) * 1e-6);
    (void)fflush(stdout);
    return TANDEM_OK;
}

int main(int argc, char **argv) {
    static lane_bench bench;
    tandem_error err = {0};
    if (argc < 2) {
        (void)fprintf(stderr, "usage: bench_lane MODEL [LANE [DTYPE [THREADS]]]\n");
        return 2;
    }
    if (open_lane(&bench, argv, argc, &err) != TANDEM_OK) return fail(&err);
    char line[128];
    while (fgets(line, sizeof line, stdin) != NULL) {
        char *end = line;
        const long sequences = strtol(end, &end, 10);
        const long tokens = strtol(end, &end, 10);
        const long runs = strtol(end, &end, 10);
        if (sequences < 1 || tokens == 0 || runs < 1 || runs > RUNS_MAX) break;
        const tandem_batch batch = make_batch(&bench, (int)sequences, (int)tokens);
        if (measure(&bench, &batch, (int)runs, &err) != TANDEM_OK) return fail(&err);
    }
    bench.backend->close(bench.lane);
    tandem__pool_close(bench.pool);
    tandem__source_close(bench.source);
    free(bench.out);
    return 0;
}
