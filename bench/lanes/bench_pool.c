/* SPDX-License-Identifier: Apache-2.0 */
/* Hand-overs of the thread pool: bench_pool THREADS TILES MICROSECONDS [SECONDS]
 *
 * Runs jobs of TILES tiles of about that many microseconds of work each, back to back, and prints
 * jobs a second and their ideal (the work shared evenly, no hand-over). Run it alone, then beside a
 * busy process (docs/perf/log.md, "thread pool"). */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/pool.h"

typedef struct pool_bench {
    int64_t steps;         /* of one tile */
    uint64_t results[256]; /* a cache line apart from each other: [8 * worker] */
} pool_bench;

/* A chain of multiplications: as long as its steps, whatever the memory does. */
static uint64_t work(uint64_t seed, int64_t steps) {
    for (int64_t i = 0; i < steps; i++) seed = seed * 6364136223846793005u + 1442695040888963407u;
    return seed;
}

static void run_tile(void *context, int tile, int worker) {
    pool_bench *bench = context;
    bench->results[8 * (worker % 32)] += work((uint64_t)tile, bench->steps);
}

/* Least of several, so that a neighbour does not lengthen it. */
static double step_ns(pool_bench *bench) {
    double least = 1e9;
    for (int i = 0; i < 20; i++) {
        const uint64_t start = tandem__clock_ns();
        bench->results[0] += work((uint64_t)i, 100000);
        const double each = (double)(tandem__clock_ns() - start) / 100000;
        if (each < least) least = each;
    }
    return least;
}

int main(int argc, char **argv) {
    static pool_bench bench;
    if (argc < 4) {
        (void)fprintf(stderr, "usage: bench_pool THREADS TILES MICROSECONDS [SECONDS]\n");
        return 2;
    }
    const int threads = (int)strtol(argv[1], NULL, 10);
    const int tiles = (int)strtol(argv[2], NULL, 10);
    const double micros = strtod(argv[3], NULL);
    const double seconds = argc > 4 ? strtod(argv[4], NULL) : 3.0;
    tandem_pool *pool = NULL;
    tandem_error err = {0};
    if (tandem__pool_open(threads, &pool, &err) != TANDEM_OK) {
        (void)fprintf(stderr, "bench_pool: %s\n", err.message);
        return 1;
    }
    bench.steps = (int64_t)(micros * 1e3 / step_ns(&bench));
    int64_t jobs = 0;
    const uint64_t start = tandem__clock_ns();
    double elapsed = 0.0;
    for (; elapsed < seconds; jobs++) {
        tandem__pool_run(pool, tiles, run_tile, &bench);
        elapsed = (double)(tandem__clock_ns() - start) * 1e-9;
    }
    const int rounds = (tiles + threads - 1) / threads;
    printf("%.0f jobs/s, ideal %.0f\n", (double)jobs / elapsed, 1e6 / (micros * rounds));
    tandem__pool_close(pool);
    return bench.results[0] == 1; /* the work is used */
}
