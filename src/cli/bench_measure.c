/* SPDX-License-Identifier: Apache-2.0 */
/* Rounds: in each, every lane and then the baseline runs once. The ratio is the median over the
 * rounds of baseline / lane, so that what changes slowly (heat, neighbours) cancels. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/fail.h"
#include "base/mem.h"
#include "cli/bench.h"

#define RUNNERS_MAX (TANDEM_LANES_MAX + 1)
#define ROUNDS_MIN  3
#define SETTLE_NS   20000000 /* a BLAS library's idle threads spin for up to 2^26 cycles */
#define NS_PER_S    1e9
#define NS_PER_MS   1e6

typedef struct runner {
    const char *lane; /* NULL = the baseline */
    cli_bench_row *row;
    double *times; /* [CLI_BENCH_RUNS_MAX] ns */
} runner;

typedef struct measurement {
    const cli_bench_plan *plan;
    runner runners[RUNNERS_MAX];
    int count;
    tandem_result result;
    int32_t *ids;     /* [batch * tokens] */
    int32_t *offsets; /* [batch + 1] */
    double *memory;   /* [RUNNERS_MAX + 1, CLI_BENCH_RUNS_MAX] */
    int32_t rounds;
} measurement;

static tandem_status run_once(measurement *m, const runner *one, double *ns, tandem_error *err) {
    const cli_bench_plan *plan = m->plan;
    if (one->lane == NULL) {
        uint64_t took = 0;
        TANDEM_TRY(plan->baseline->run(plan->baseline, plan->tokens, plan->batch, &took, err));
        *ns = (double)took;
        const struct timespec settle = {.tv_nsec = SETTLE_NS};
        (void)nanosleep(&settle, NULL);
        return TANDEM_OK;
    }
    const tandem_request request = {
        .count = (size_t)plan->batch,
        .ids = m->ids,
        .id_offsets = m->offsets,
        .lane = one->lane,
        .fallback = TANDEM_FALLBACK_NONE,
    };
    const uint64_t start = tandem__clock_ns();
    TANDEM_TRY(tandem_engine_infer(plan->engine, &request, &m->result, err));
    *ns = (double)(tandem__clock_ns() - start);
    one->row->dtype = m->result.dtype;
    return TANDEM_OK;
}

static int compare_doubles(const void *a, const void *b) {
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of sorted values, by nearest rank. */
static double percentile(const double *sorted, int32_t count, double share) {
    const int32_t rank = (int32_t)(share * (double)count + 0.9999999);
    return sorted[rank < 1 ? 0 : rank > count ? count - 1 : rank - 1];
}

static void summarize(measurement *m) {
    const runner *last = &m->runners[m->count - 1];
    double *scratch = m->memory + (size_t)RUNNERS_MAX * CLI_BENCH_RUNS_MAX;
    const size_t bytes = (size_t)m->rounds * sizeof(double);
    for (int i = 0; i < m->count; i++) {
        const runner *one = &m->runners[i];
        cli_bench_row *row = one->row;
        if (one->lane != NULL && last->lane == NULL) {
            for (int32_t r = 0; r < m->rounds; r++) scratch[r] = last->times[r] / one->times[r];
            qsort(scratch, (size_t)m->rounds, sizeof *scratch, compare_doubles);
            row->ratio = percentile(scratch, m->rounds, 0.5);
        }
        memcpy(scratch, one->times, bytes);
        qsort(scratch, (size_t)m->rounds, sizeof *scratch, compare_doubles);
        row->runs = m->rounds;
        row->p50_ms = percentile(scratch, m->rounds, 0.50) / NS_PER_MS;
        row->p95_ms = percentile(scratch, m->rounds, 0.95) / NS_PER_MS;
        row->p99_ms = percentile(scratch, m->rounds, 0.99) / NS_PER_MS;
    }
}

/* A lane that does not work is a line of the table that says so. */
static void drop_runner(measurement *m, int index, const char *why) {
    cli_bench_row *row = m->runners[index].row;
    row->kind = CLI_ROW_MISSING;
    (void)snprintf(row->reason, sizeof row->reason, "%.*s", (int)sizeof row->reason - 1, why);
    m->count--;
    for (int i = index; i < m->count; i++) m->runners[i] = m->runners[i + 1];
}

static tandem_status run_rounds(measurement *m, tandem_error *err) {
    const double budget_ns = m->plan->seconds * NS_PER_S;
    double ignored = 0.0;
    double round_ns = 0.0;           /* one round's cost, warm-up included at first */
    for (int i = 0; i < m->count;) { /* packs weights, opens lanes, warms caches */
        tandem_error why = {0};
        const tandem_status status = run_once(m, &m->runners[i], &ignored, &why);
        if (status != TANDEM_OK && (m->runners[i].lane == NULL || m->count == 1))
            return tandem__fail(err, status, __FILE__, __LINE__, "%s", why.message);
        if (status != TANDEM_OK) {
            drop_runner(m, i, why.message);
            continue;
        }
        round_ns += ignored;
        i++;
    }
    const int32_t rounds_min = round_ns > budget_ns ? 1 : ROUNDS_MIN;
    const uint64_t start = tandem__clock_ns();
    for (m->rounds = 0; m->rounds < CLI_BENCH_RUNS_MAX; m->rounds++) {
        const double spent = (double)(tandem__clock_ns() - start);
        if (m->rounds >= rounds_min && spent + spent / m->rounds > budget_ns) break;
        for (int i = 0; i < m->count; i++) {
            TANDEM_TRY(run_once(m, &m->runners[i], &m->runners[i].times[m->rounds], err));
        }
    }
    return TANDEM_OK;
}

static tandem_status open_measurement(measurement *m, tandem_error *err) {
    const cli_bench_plan *plan = m->plan;
    const size_t total = (size_t)plan->batch * (size_t)plan->tokens;
    m->ids = tandem__mem_calloc(total, sizeof *m->ids);
    m->offsets = tandem__mem_calloc((size_t)plan->batch + 1, sizeof *m->offsets);
    m->memory = tandem__mem_calloc((size_t)(RUNNERS_MAX + 1) * CLI_BENCH_RUNS_MAX, sizeof(double));
    if (m->ids == NULL || m->offsets == NULL || m->memory == NULL) {
        return TANDEM_FAIL(err, MEMORY, "no memory for %zu tokens", total);
    }
    uint32_t state = 12345;
    for (size_t i = 0; i < total; i++) {
        state = state * 1664525u + 1013904223u;
        m->ids[i] = (int32_t)((uint64_t)(state) * (uint64_t)plan->vocab >> 32);
    }
    for (int32_t i = 0; i <= plan->batch; i++) m->offsets[i] = i * plan->tokens;
    return TANDEM_OK;
}

static cli_bench_row *add_row(measurement *m, cli_bench_row *rows, int *row_count,
                              cli_row_kind kind, const char *name) {
    cli_bench_row *row = &rows[(*row_count)++];
    *row = (cli_bench_row){.kind = kind,
                           .dtype = "",
                           .tokens = m->plan->tokens,
                           .batch = m->plan->batch,
                           .is_throughput = m->plan->is_throughput};
    (void)snprintf(row->name, sizeof row->name, "%s", name);
    return row;
}

static void add_runner(measurement *m, const char *lane, cli_bench_row *row) {
    m->runners[m->count] = (runner){
        .lane = lane, .row = row, .times = m->memory + (size_t)m->count * CLI_BENCH_RUNS_MAX};
    m->count++;
}

static tandem_status add_rows(measurement *m, cli_bench_row *rows, int *row_count,
                              tandem_error *err) {
    const cli_bench_plan *plan = m->plan;
    const cli_baseline *baseline = plan->baseline;
    const bool is_auto = strcmp(plan->lane, "auto") == 0;
    tandem_lane_info lanes[TANDEM_LANES_MAX];
    const int count = tandem_lanes(plan->engine, lanes);
    for (int i = 0; i < count; i++) {
        if (is_auto ? strcmp(lanes[i].lane_class, "none") == 0
                    : strcmp(lanes[i].name, plan->lane) != 0) {
            continue;
        }
        const cli_row_kind kind = lanes[i].is_available ? CLI_ROW_LANE : CLI_ROW_MISSING;
        cli_bench_row *row = add_row(m, rows, row_count, kind, lanes[i].name);
        (void)snprintf(row->reason, sizeof row->reason, "%s", lanes[i].reason);
        if (lanes[i].is_available) add_runner(m, lanes[i].name, row);
    }
    if (m->count == 0) {
        return TANDEM_FAIL(err, DEVICE, "lane %s: not on this machine, nothing to measure",
                           plan->lane);
    }
    cli_bench_row *row = add_row(m, rows, row_count, CLI_ROW_BASELINE,
                                 baseline->run == NULL ? "baseline" : baseline->name);
    (void)snprintf(row->reason, sizeof row->reason, "%s",
                   baseline->run == NULL ? baseline->reason : baseline->note);
    if (baseline->run != NULL) add_runner(m, NULL, row);
    return TANDEM_OK;
}

tandem_status cli_bench_measure(const cli_bench_plan *plan, cli_bench_row *rows, int *row_count,
                                tandem_error *err) {
    measurement m = {.plan = plan};
    tandem_status status = open_measurement(&m, err);
    if (status == TANDEM_OK) status = add_rows(&m, rows, row_count, err);
    if (status == TANDEM_OK) status = run_rounds(&m, err);
    if (status == TANDEM_OK) summarize(&m);
    tandem_result_deinit(&m.result);
    tandem__mem_free(m.ids);
    tandem__mem_free(m.offsets);
    tandem__mem_free(m.memory);
    return status;
}
