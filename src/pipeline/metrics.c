/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine measures of itself.
 *
 * Counts are the scheduler's, kept under the lock that a request takes anyway; times of the stages
 * go into lock-free histograms when a request is finished (four relaxed adds each, some 80 ns a
 * request). All is put together when somebody asks. */
#include "tandem/metrics.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "pipeline/pipeline_internal.h"

#define LATENCY_LIMIT_MS       5.0
#define THROUGHPUT_LIMIT       300.0
#define ERROR_LIMIT_PERCENT    0.1
#define QUEUE_LIMIT            10.0
#define UTILISATION_LATENCY    80.0
#define UTILISATION_THROUGHPUT 90.0
#define UTILISATION_BACKGROUND 70.0

_Static_assert(TANDEM_BANDS == (int)SCHED_BANDS, "bands of the API are the scheduler's");
_Static_assert(TANDEM_BATCH_SIZES == SCHED_BATCH_SIZES, "sizes of the API are the scheduler's");
_Static_assert(TANDEM_REASONS_MAX >= SCHED_REASONS, "every reason has room");

void tandem__metrics_answered(const pipeline_job *job) {
    const sched_job *done = &job->sched;
    const int band = done->priority < 0    ? TANDEM_BAND_REALTIME
                     : done->priority == 0 ? TANDEM_BAND_STANDARD
                                           : TANDEM_BAND_BACKGROUND;
    pipeline_metrics *metrics = job->engine->metrics;
    tandem_histogram *stages = metrics->stages[band];
    const bool is_computed = done->started_ns > 0;
    const uint64_t end_ns = is_computed ? done->finished_ns : tandem__clock_ns();
    tandem__histogram_add(&stages[PIPELINE_TOKENIZE], job->tokenized_ns - job->start_ns);
    tandem__histogram_add(&stages[PIPELINE_TOTAL], end_ns - job->start_ns);
    tandem__histogram_add(&metrics->all, end_ns - job->start_ns);
    if (is_computed) {
        tandem__histogram_add(&stages[PIPELINE_QUEUE], done->started_ns - done->submitted_ns);
        tandem__histogram_add(&stages[PIPELINE_INFER], end_ns - done->started_ns);
    } else {
        const bool is_cached = job->result->cached > 0; // else its texts have no token
        atomic_fetch_add_explicit(&metrics->laneless, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&metrics->cached, is_cached, memory_order_relaxed);
        atomic_fetch_add_explicit(&metrics->laneless_texts, job->request.count,
                                  memory_order_relaxed);
    }
}

static tandem_quantiles quantiles_of(const tandem_histogram *histogram) {
    const uint64_t count = atomic_load_explicit(&histogram->total, memory_order_relaxed);
    if (count == 0) return (tandem_quantiles){.count = 0};
    const uint64_t sum = atomic_load_explicit(&histogram->sum, memory_order_relaxed);
    return (tandem_quantiles){
        .count = count,
        .mean_ms = (double)sum / (double)count / 1e6,
        .p50_ms = (double)tandem__histogram_quantile(histogram, 0.50) / 1e6,
        .p95_ms = (double)tandem__histogram_quantile(histogram, 0.95) / 1e6,
        .p99_ms = (double)tandem__histogram_quantile(histogram, 0.99) / 1e6,
        .max_ms = (double)tandem__histogram_quantile(histogram, 1) / 1e6,
    };
}

static double part_of(uint64_t part, uint64_t whole) {
    return whole > 0 ? (double)part / (double)whole : 0;
}

/* What the sliding windows cover; at least a millisecond. */
static uint64_t window_ns(const sched *scheduler, uint64_t now_ns) {
    uint64_t start_ns = tandem__window_start_ns(now_ns);
    if (scheduler->first_ns > start_ns) start_ns = scheduler->first_ns;
    return now_ns > start_ns + 1000000 ? now_ns - start_ns : 1000000;
}

/* Busy time within the window, batches that are still running included. */
static uint64_t recent_busy_ns(const sched_lane *lane, uint64_t now_ns) {
    const uint64_t start_ns = tandem__window_start_ns(now_ns);
    uint64_t busy_ns = tandem__window_sum(&lane->busy, now_ns);
    for (int i = 0; i < SCHED_SLOTS_MAX; i++) {
        const sched_batch *batch = &lane->batches[i];
        if (batch->state != SCHED_SLOT_RUNNING || batch->started_ns >= now_ns) continue;
        busy_ns += now_ns - (batch->started_ns > start_ns ? batch->started_ns : start_ns);
    }
    return busy_ns;
}

static void fill_lane(const sched *scheduler, int index, uint64_t now_ns, tandem_lane_metrics *to) {
    static const char *const states[] = {"up", "out", "closed"};
    static const char *const classes[] = {"none", "latency", "throughput", "background"};
    const sched_lane *lane = &scheduler->lanes[index];
    *to = (tandem_lane_metrics){.name = lane->options.name,
                                .lane_class = classes[lane->options.lane_class],
                                .state = states[lane->state],
                                .busy_ms = (double)lane->busy_ns / 1e6,
                                .batches = lane->batches_done,
                                .texts = lane->units_done,
                                .tokens = lane->tokens_done,
                                .mean_batch = part_of(lane->units_done, lane->batches_done),
                                .failed_batches = lane->failures_total,
                                .times_out = lane->times_out,
                                .in_flight = lane->running,
                                .in_flight_max = lane->slots};
    memcpy(to->batch_texts, lane->sizes.units, sizeof to->batch_texts);
    memcpy(to->batch_tokens, lane->sizes.tokens, sizeof to->batch_tokens);
    const double busy = part_of(recent_busy_ns(lane, now_ns), window_ns(scheduler, now_ns));
    to->utilisation = busy / lane->slots < 1 ? busy / lane->slots : 1;
}

static void fill_counts(const sched *scheduler, uint64_t now_ns, tandem_metrics *metrics) {
    const sched_counters *counters = &scheduler->counters;
    metrics->submitted = counters->submitted;
    metrics->finished = counters->finished;
    metrics->refused = counters->refused_capacity;
    metrics->late = counters->refused_deadline;
    metrics->expired = counters->expired;
    metrics->cancelled = counters->cancelled;
    metrics->failed = counters->failed;
    metrics->retried_texts = counters->retried_units;
    metrics->hung_batches = counters->hung_batches;
    metrics->waiting = scheduler->waiting_jobs;
    metrics->waiting_tokens = scheduler->waiting_tokens;
    for (int b = 0; b < TANDEM_BANDS; b++) metrics->texts += scheduler->answered[b].texts;
    metrics->texts_per_s =
        part_of(tandem__window_sum(&scheduler->texts, now_ns), window_ns(scheduler, now_ns)) * 1e9;
    for (int r = 0; r < SCHED_REASONS; r++) {
        if (counters->reasons[r] == 0) continue;
        metrics->reasons[metrics->reason_count++] = (tandem_reason_metrics){
            .text = tandem__reason_text((sched_reason)r), .requests = counters->reasons[r]};
    }
    metrics->speed_percent = scheduler->speed_percent;
    metrics->batch_scale = scheduler->batch_scale;
    metrics->is_everything_open = scheduler->is_everything_open;
    metrics->is_ready = tandem__sched_is_ready(scheduler, now_ns);
}

void tandem_target_judge(tandem_target *target) {
    target->is_met = target->is_measured && (target->is_minimum ? target->value > target->limit
                                                                : target->value < target->limit);
}

static tandem_target *add_target(tandem_metrics *metrics, const char *name, double value,
                                 double limit, bool is_measured) {
    tandem_target *target = &metrics->targets[metrics->target_count++];
    *target = (tandem_target){.value = value, .limit = limit, .is_measured = is_measured};
    (void)snprintf(target->name, sizeof target->name, "%s", name);
    tandem_target_judge(target);
    return target;
}

static double utilisation_limit(const sched_lane *lane) {
    switch (lane->options.lane_class) {
    case TANDEM_CLASS_LATENCY:
        return UTILISATION_LATENCY;
    case TANDEM_CLASS_THROUGHPUT:
        return UTILISATION_THROUGHPUT;
    case TANDEM_CLASS_BACKGROUND:
        return UTILISATION_BACKGROUND;
    case TANDEM_CLASS_NONE:
        break;
    }
    return 0;
}

static void fill_targets(const sched *scheduler, const tandem_histogram *all,
                         tandem_metrics *metrics) {
    const tandem_quantiles *realtime = &metrics->bands[TANDEM_BAND_REALTIME].total;
    const uint64_t ended = metrics->finished - metrics->cancelled;
    const double p95_ms = realtime->count > 0 ? realtime->p95_ms
                                              : (double)tandem__histogram_quantile(all, 0.95) / 1e6;
    (void)add_target(metrics, "latency_p95_ms", p95_ms, LATENCY_LIMIT_MS, metrics->texts > 0);
    tandem_target *throughput = add_target(metrics, "throughput_per_s", metrics->texts_per_s,
                                           THROUGHPUT_LIMIT, metrics->texts > 0);
    throughput->is_minimum = true;
    tandem_target_judge(throughput);
    for (int i = 0; i < metrics->lane_count; i++) {
        const sched_lane *lane = &scheduler->lanes[i];
        const double limit = utilisation_limit(lane);
        if (limit <= 0 || lane->state == SCHED_LANE_MISSING) continue;
        char name[32];
        (void)snprintf(name, sizeof name, "utilisation_%.18s", lane->options.name);
        (void)add_target(metrics, name, 100 * metrics->lanes[i].utilisation, limit,
                         lane->batches_done > 0);
    }
    (void)add_target(metrics, "error_percent",
                     100 * part_of(metrics->failed + metrics->expired, ended), ERROR_LIMIT_PERCENT,
                     ended > 0);
    (void)add_target(metrics, "queue_depth", metrics->waiting_p95, QUEUE_LIMIT,
                     metrics->submitted > 0);
}

/* Requests that needed no lane count as any other. */
static void add_laneless(const pipeline_metrics *measured, tandem_metrics *metrics) {
    const uint64_t laneless = atomic_load_explicit(&measured->laneless, memory_order_relaxed);
    const uint64_t cached = atomic_load_explicit(&measured->cached, memory_order_relaxed);
    metrics->submitted += laneless;
    metrics->finished += laneless;
    metrics->cached = cached;
    metrics->texts += atomic_load_explicit(&measured->laneless_texts, memory_order_relaxed);
    if (cached == 0) return;
    metrics->reasons[metrics->reason_count++] = (tandem_reason_metrics){
        .text = tandem__reason_text(SCHED_REASON_CACHE), .requests = cached};
}

void tandem_engine_metrics(tandem_engine *engine, tandem_metrics *metrics) {
    pipeline_dispatch *dispatch = &engine->dispatch;
    const pipeline_metrics *measured = engine->metrics;
    *metrics = (tandem_metrics){.lane_count = engine->lane_count};
    for (int b = 0; b < TANDEM_BANDS; b++) {
        const tandem_histogram *stages = measured->stages[b];
        metrics->bands[b] =
            (tandem_band_metrics){.tokenize = quantiles_of(&stages[PIPELINE_TOKENIZE]),
                                  .queue = quantiles_of(&stages[PIPELINE_QUEUE]),
                                  .infer = quantiles_of(&stages[PIPELINE_INFER]),
                                  .total = quantiles_of(&stages[PIPELINE_TOTAL])};
    }
    metrics->waiting_p95 = (double)tandem__histogram_quantile(&measured->queue_depth, 0.95);
    (void)pthread_mutex_lock(&dispatch->mutex);
    const uint64_t now_ns = tandem__clock_ns();
    fill_counts(dispatch->scheduler, now_ns, metrics);
    for (int i = 0; i < engine->lane_count; i++)
        fill_lane(dispatch->scheduler, i, now_ns, &metrics->lanes[i]);
    add_laneless(measured, metrics);
    metrics->memory_level = dispatch->watch.observers.memory_level;
    fill_targets(dispatch->scheduler, &measured->all, metrics);
    (void)pthread_mutex_unlock(&dispatch->mutex);
}
