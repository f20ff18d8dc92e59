/* SPDX-License-Identifier: Apache-2.0 */
/* An engine judges the guide's targets over its whole life. A server lives for weeks, and one bad
 * minute should not show for the rest of them: latency and errors are judged here over the last
 * minute, as callers over HTTP saw them. Throughput is judged only while the lanes are the limit: a
 * server that is asked for ten texts a second does not fail to serve three hundred. */
#include "server/overview.h"

#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/fail.h"

#define BUSY_SHARE 0.5 /* of a lane's time, from which on its rate is what it can do */

static server_minute minute_of(const server_recent_sum *sum) {
    return (server_minute){.count = sum->total,
                           .p50_ms = server_recent_quantile_ms(sum, 0.50),
                           .p95_ms = server_recent_quantile_ms(sum, 0.95),
                           .p99_ms = server_recent_quantile_ms(sum, 0.99)};
}

static void add_sum(server_recent_sum *to, const server_recent_sum *from) {
    to->total += from->total;
    for (size_t b = 0; b < SERVER_RECENT_BUCKETS; b++) to->counts[b] += from->counts[b];
}

static void view_lanes(const server_stats *stats, uint64_t now_ns, server_model_view *view) {
    tandem_lane_info infos[TANDEM_LANES_MAX];
    view->lane_count = tandem_lanes(view->model->engine, infos);
    for (int i = 0; i < view->lane_count; i++) {
        server_lane_view *lane = &view->lanes[i];
        lane->info = infos[i];
        for (int m = 0; m < view->metrics.lane_count; m++) {
            if (strcmp(view->metrics.lanes[m].name, infos[i].name) == 0)
                lane->metrics = view->metrics.lanes[m];
        }
        const int place = server_stats_lane(stats, infos[i].name);
        if (place < 0) continue;
        const server_lane_stats *from = &view->stats->lanes[place];
        server_recent_sum sum = {.total = 0};
        server_recent_read(&from->recent, now_ns, &sum);
        lane->minute = minute_of(&sum);
        lane->requests = server_read(&from->requests);
        lane->fallbacks = server_read(&from->fallbacks);
        lane->total_s = (double)server_read(&from->total_ns) / 1e9;
    }
}

/* Whether the lanes are what limits the rate. */
static bool is_busy(const tandem_metrics *metrics) {
    if (metrics->waiting > 0) return true;
    for (int i = 0; i < metrics->lane_count; i++) {
        if (metrics->lanes[i].utilisation >= BUSY_SHARE) return true;
    }
    return false;
}

static void judge(server_model_view *view) {
    tandem_metrics *metrics = &view->metrics;
    const server_minute *realtime = &view->bands[TANDEM_BAND_REALTIME];
    const server_minute *judged = realtime->count > 0 ? realtime : &view->minute;
    const uint64_t ended = view->minute.count + view->failed;
    for (int i = 0; i < metrics->target_count; i++) {
        tandem_target *target = &metrics->targets[i];
        if (strcmp(target->name, "latency_p95_ms") == 0) {
            target->value = judged->p95_ms;
            target->is_measured = judged->count > 0;
        } else if (strcmp(target->name, "error_percent") == 0) {
            target->value = ended > 0 ? 100 * (double)view->failed / (double)ended : 0;
            target->is_measured = ended > 0;
        } else if (strcmp(target->name, "throughput_per_s") == 0) {
            target->is_measured = is_busy(metrics);
        }
        tandem_target_judge(target);
    }
}

static void view_model(const server_stats *stats, uint64_t now_ns, server_model_view *view) {
    TANDEM_ASSERT(view->model->index < SERVER_MODELS_MAX);
    view->stats = &stats->models[view->model->index];
    tandem_engine_metrics(view->model->engine, &view->metrics);
    view->is_ready = tandem_engine_is_ready(view->model->engine);
    server_recent_sum all = {.total = 0};
    for (int b = 0; b < TANDEM_BANDS; b++) {
        server_recent_sum sum = {.total = 0};
        server_recent_read(&view->stats->recent[b], now_ns, &sum);
        view->bands[b] = minute_of(&sum);
        add_sum(&all, &sum);
    }
    view->minute = minute_of(&all);
    server_recent_sum failed = {.total = 0};
    server_recent_read(&view->stats->failed, now_ns, &failed);
    view->failed = failed.total;
    view_lanes(stats, now_ns, view);
    judge(view);
}

tandem_status server_overview_make(const server_catalog *catalog, tandem_arena *arena,
                                   server_overview *overview, tandem_error *err) {
    TANDEM_ASSERT(catalog->stats != NULL);
    *overview = (server_overview){.catalog = catalog, .stats = catalog->stats};
    overview->models =
        tandem__arena_array(arena, catalog->count, sizeof *overview->models); // all zero
    if (overview->models == NULL)
        return TANDEM_FAIL(err, MEMORY, "no memory to look at %zu models", catalog->count);
    const uint64_t now_ns = tandem__clock_ns();
    for (size_t i = 0; i < catalog->count; i++) {
        overview->models[i].model = &catalog->models[i];
        view_model(catalog->stats, now_ns, &overview->models[i]);
    }
    tandem__process_describe(&overview->process);
    tandem_machine_describe(&overview->machine);
    overview->is_draining = catalog->is_draining != NULL && atomic_load(catalog->is_draining);
    overview->has_ledger = catalog->ledger != NULL;
    if (overview->has_ledger) {
        (void)server_ledger_fault(catalog->ledger, overview->ledger_fault,
                                  sizeof overview->ledger_fault);
        server_ledger_describe(catalog->ledger, &overview->ledger);
    }
    overview->uptime_s = (int64_t)time(NULL) - catalog->stats->started_s;
    return TANDEM_OK;
}

const char *server_band_word(int band) {
    static const char *const words[TANDEM_BANDS] = {"realtime", "standard", "background"};
    return words[band];
}
