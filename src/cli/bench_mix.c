/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of latency by priority, and the guide's targets, for each lane and for all lanes together
 * where there are several. Each replay has an engine of its own, so that none inherits what another
 * has measured or learnt. */
#include "cli/bench_mix.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/json_text.h"
#include "base/mem.h"
#include "cli/report.h"
#include "tandem/version.h"

#define NS_PER_MS  1e6
#define NAME_CELLS 24

/* What the command writes to and counts with. */
typedef struct mix_report {
    const cli_settings *settings;
    cli_session *session;
    cli_replay replay;
    bool is_used;     /* the session has served a replay */
    const char *name; /* of the lane, or "auto" */
    double *sorted;   /* [mix->count] scratch */
    tandem_buffer *text;
    tandem_buffer *json;
    tandem_buffer targets; /* JSON objects with commas between */
} mix_report;

/* Which requests a row counts. */
static const struct {
    const char *word;
    int32_t min;
    int32_t max;
} classes[] = {
    {"all", INT32_MIN, INT32_MAX},
    {"realtime", INT32_MIN, -1},
    {"standard", 0, 0},
    {"background", 1, INT32_MAX},
};
#define CLASS_COUNT (sizeof classes / sizeof *classes)

/* How the requests of a class ended. */
typedef struct mix_class {
    size_t requests;
    size_t answered;
    size_t refused; /* over a bound, or the deadline could not be met */
    size_t failed;  /* or their deadline passed while they waited */
    int64_t tokens; /* of those answered */
    double p50_ms;
    double p95_ms;
    double p99_ms;
    double max_ms;
} mix_class;

static int compare_doubles(const void *a, const void *b) {
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of `count` sorted values, by nearest rank. */
static double percentile(const double *sorted, size_t count, double share) {
    if (count == 0) return 0;
    const size_t rank = (size_t)(share * (double)count + 0.9999999);
    return sorted[rank < 1 ? 0 : rank > count ? count - 1 : rank - 1];
}

static mix_class count_class(const mix_report *report, size_t class) {
    const cli_replay *replay = &report->replay;
    mix_class found = {.requests = 0};
    for (size_t i = 0; i < replay->mix->count; i++) {
        const cli_mix_request *request = &replay->mix->requests[i];
        const cli_mix_answer *answer = &replay->answers[i];
        if (request->priority < classes[class].min || request->priority > classes[class].max)
            continue;
        found.requests++;
        if (answer->status == TANDEM_OK) {
            report->sorted[found.answered++] = answer->latency_ms;
            found.tokens += request->tokens;
        } else if (!answer->is_taken &&
                   (answer->status == TANDEM_CAPACITY || answer->status == TANDEM_TIMEOUT)) {
            found.refused++;
        } else {
            found.failed++;
        }
    }
    qsort(report->sorted, found.answered, sizeof *report->sorted, compare_doubles);
    found.p50_ms = percentile(report->sorted, found.answered, 0.50);
    found.p95_ms = percentile(report->sorted, found.answered, 0.95);
    found.p99_ms = percentile(report->sorted, found.answered, 0.99);
    found.max_ms = percentile(report->sorted, found.answered, 1);
    return found;
}

static double took_ms(const cli_replay *replay) {
    const double ms = (double)(replay->end_ns - replay->start_ns) / NS_PER_MS;
    return ms > 0 ? ms : 1e-3;
}

/* The row of one class of requests; nothing where the file has none, or no other. */
static tandem_status push_row(const mix_report *report, size_t class, tandem_error *err) {
    const cli_replay *replay = &report->replay;
    const mix_class found = count_class(report, class);
    if (found.requests == 0 || (class > 0 && found.requests == replay->mix->count))
        return TANDEM_OK;
    const double texts_per_s = (double)found.answered / took_ms(replay) * 1e3;
    const double tokens_per_s = (double)found.tokens / took_ms(replay) * 1e3;
    char label[80];
    char lost[64] = "";
    (void)snprintf(label, sizeof label, "%s %s%s%s:", report->name, replay->dtype,
                   class > 0 ? " " : "", class > 0 ? classes[class].word : "");
    if (found.refused + found.failed > 0)
        (void)snprintf(lost, sizeof lost, "  %zu refused, %zu failed or late", found.refused,
                       found.failed);
    TANDEM_TRY(tandem__buffer_printf(
        report->text, err,
        "  %-*s%9.2f ms  p95 %.2f  p99 %.2f  max %.2f  %9.1f texts/s %9.0f tokens/s%s\n",
        NAME_CELLS, label, found.p50_ms, found.p95_ms, found.p99_ms, found.max_ms, texts_per_s,
        tokens_per_s, lost));
    const char last = report->json->ptr[report->json->len - 1];
    return tandem__buffer_printf(
        report->json, err,
        "%s{\"name\":\"%s\",\"dtype\":\"%s\",\"priority\":\"%s\",\"requests\":%zu,"
        "\"p50_ms\":%.4f,\"p95_ms\":%.4f,\"p99_ms\":%.4f,\"max_ms\":%.4f,"
        "\"texts_per_s\":%.2f,\"tokens_per_s\":%.1f,\"refused\":%zu,\"failed\":%zu}",
        last == '[' ? "" : ",", report->name, replay->dtype, classes[class].word, found.requests,
        found.p50_ms, found.p95_ms, found.p99_ms, found.max_ms, texts_per_s, tokens_per_s,
        found.refused, found.failed);
}

/* The engine's own targets, measured over this replay alone and as the client saw them. */
static void measure_targets(const mix_report *report, tandem_metrics *metrics) {
    const cli_replay *replay = &report->replay;
    const mix_class realtime = count_class(report, 1);
    const mix_class all = count_class(report, 0);
    for (int i = 0; i < metrics->target_count; i++) {
        tandem_target *target = &metrics->targets[i];
        for (int l = 0; l < metrics->lane_count; l++) {
            const tandem_lane_metrics *lane = &metrics->lanes[l];
            char name[sizeof target->name];
            (void)snprintf(name, sizeof name, "utilisation_%.18s", lane->name);
            if (strcmp(target->name, name) != 0) continue;
            const double busy_ms = lane->busy_ms - replay->before.lanes[l].busy_ms;
            target->value = 100 * busy_ms / took_ms(replay) / lane->in_flight_max;
            target->is_measured = lane->batches > replay->before.lanes[l].batches;
        }
        if (strcmp(target->name, "latency_p95_ms") == 0) {
            target->value = realtime.answered > 0 ? realtime.p95_ms : all.p95_ms;
            target->is_measured = all.answered > 0;
        } else if (strcmp(target->name, "throughput_per_s") == 0) {
            target->value = (double)all.answered / took_ms(replay) * 1e3;
        } else if (strcmp(target->name, "error_percent") == 0) {
            target->value = 100 * (double)all.failed / (double)all.requests;
        }
        tandem_target_judge(target);
    }
}

static tandem_status push_targets(mix_report *report, tandem_error *err) {
    tandem_metrics metrics = report->replay.after;
    measure_targets(report, &metrics);
    TANDEM_TRY(tandem__buffer_printf(report->text, err, "  Targets (%s):\n", report->name));
    for (int i = 0; i < metrics.target_count; i++) {
        const tandem_target *target = &metrics.targets[i];
        const char *verdict = !target->is_measured ? "not measured"
                              : target->is_met     ? "pass"
                                                   : "fail";
        TANDEM_TRY(tandem__buffer_printf(report->text, err, "    %-22s%10.4g  %s %-6g %s\n",
                                         target->name, target->value,
                                         target->is_minimum ? ">" : "<", target->limit, verdict));
        TANDEM_TRY(tandem__buffer_printf(
            &report->targets, err,
            "%s{\"lane\":\"%s\",\"name\":\"%s\",\"value\":%.4f,\"limit\":%g,\"minimum\":%s,"
            "\"measured\":%s,\"met\":%s}",
            report->targets.len == 0 ? "" : ",", report->name, target->name, target->value,
            target->limit, target->is_minimum ? "true" : "false",
            target->is_measured ? "true" : "false", target->is_met ? "true" : "false"));
    }
    return TANDEM_OK;
}

/* One replay, on `lane` or, with NULL, wherever the engine sends each request. */
static tandem_status push_replay(mix_report *report, const char *lane, tandem_error *err) {
    cli_replay *replay = &report->replay;
    if (report->is_used) {
        cli_session_close(report->session);
        TANDEM_TRY(cli_session_open(report->session, report->settings, err));
    }
    report->is_used = true;
    replay->engine = report->session->engine;
    replay->lane = lane;
    report->name = lane == NULL ? "auto" : lane;
    TANDEM_TRY(cli_mix_replay(replay, err));
    for (size_t class = 0; class < CLASS_COUNT; class ++) TANDEM_TRY(push_row(report, class, err));
    const mix_class all = count_class(report, 0);
    if (all.answered == 0)
        return tandem__fail(err, replay->failure.status, __FILE__, __LINE__, "%s",
                            replay->failure.message);
    return push_targets(report, err);
}

static tandem_status push_lane(mix_report *report, const tandem_lane_info *lane,
                               tandem_error *err) {
    const char *wanted = report->settings->lane;
    const bool is_auto = strcmp(wanted, "auto") == 0;
    if (is_auto ? strcmp(lane->lane_class, "none") == 0 : strcmp(lane->name, wanted) != 0)
        return TANDEM_OK;
    if (!lane->is_available && !is_auto) {
        return TANDEM_FAIL(err, DEVICE, "lane %s is not available: %s", lane->name, lane->reason);
    }
    if (!lane->is_available) {
        return tandem__buffer_printf(report->text, err, "  %s:%*s %s\n", lane->name,
                                     NAME_CELLS - 1 - (int)strlen(lane->name), "", lane->reason);
    }
    return push_replay(report, lane->name, err);
}

static tandem_status push_head(const mix_report *report, const tandem_model_info *model,
                               tandem_error *err) {
    const cli_mix *mix = report->replay.mix;
    const double span_ms = mix->requests[mix->count - 1].at_ms;
    tandem_machine machine;
    tandem_lane_info lanes[TANDEM_LANES_MAX];
    tandem_machine_describe(&machine);
    const int count = tandem_lanes(NULL, lanes);
    tandem_buffer *json = report->json;
    TANDEM_TRY(tandem__buffer_printf(
        report->text, err, "Replay of %s (%s, %zu requests of %" PRId64 " tokens over %.1f s):\n",
        mix->path, model->name, mix->count, mix->tokens, span_ms * 1e-3));
    TANDEM_TRY(tandem__buffer_printf(json, err,
                                     "{\"version\":\"%s\",\"model\":{\"name\":", tandem_version()));
    TANDEM_TRY(tandem__json_text_string(json, tandem__str(model->name), err));
    TANDEM_TRY(tandem__buffer_printf(json, err, "},\"mix\":{\"file\":"));
    TANDEM_TRY(tandem__json_text_string(json, tandem__str(mix->path), err));
    TANDEM_TRY(tandem__buffer_printf(json, err,
                                     ",\"requests\":%zu,\"tokens\":%" PRId64 ",\"span_ms\":%.3f},",
                                     mix->count, mix->tokens, span_ms));
    TANDEM_TRY(cli_report_machine(json, &machine, err));
    TANDEM_TRY(tandem__buffer_printf(json, err, ","));
    TANDEM_TRY(cli_report_lanes(json, lanes, count, err));
    return tandem__buffer_printf(json, err, ",\"rows\":[");
}

/* Random ids, the same each time. */
static tandem_status make_ids(const cli_mix *mix, int32_t vocab, int32_t **ids, tandem_error *err) {
    int32_t *made = tandem__mem_calloc((size_t)mix->tokens_max, sizeof *made);
    if (made == NULL)
        return TANDEM_FAIL(err, MEMORY, "--mix: no memory for %d tokens", mix->tokens_max);
    uint32_t state = 12345;
    for (int32_t i = 0; i < mix->tokens_max; i++) {
        state = state * 1664525u + 1013904223u;
        made[i] = (int32_t)((uint64_t)state * (uint64_t)vocab >> 32);
    }
    *ids = made;
    return TANDEM_OK;
}

static tandem_status replay_all(mix_report *report, const tandem_model_info *model,
                                tandem_error *err) {
    const cli_mix *mix = report->replay.mix;
    report->replay.answers = tandem__mem_calloc(mix->count, sizeof *report->replay.answers);
    report->sorted = tandem__mem_calloc(mix->count, sizeof *report->sorted);
    if (report->replay.answers == NULL || report->sorted == NULL)
        return TANDEM_FAIL(err, MEMORY, "--mix: no memory for %zu requests", mix->count);
    TANDEM_TRY(push_head(report, model, err));
    tandem_lane_info lanes[TANDEM_LANES_MAX];
    const int count = tandem_lanes(NULL, lanes);
    int serving = 0;
    for (int i = 0; i < count; i++)
        serving += lanes[i].is_available && strcmp(lanes[i].lane_class, "none") != 0;
    if (serving > 1 && strcmp(report->settings->lane, "auto") == 0)
        TANDEM_TRY(push_replay(report, NULL, err));
    for (int i = 0; i < count; i++) TANDEM_TRY(push_lane(report, &lanes[i], err));
    return tandem__buffer_printf(report->json, err, "],\"targets\":[%.*s]}\n",
                                 (int)report->targets.len, report->targets.ptr);
}

tandem_status cli_bench_mix(cli_session *session, const cli_settings *settings, tandem_buffer *text,
                            tandem_buffer *json, tandem_error *err) {
    tandem_model_info model;
    cli_mix mix;
    TANDEM_TRY(cli_session_open(session, settings, err));
    tandem_engine_model(session->engine, &model);
    mix_report report = {.settings = settings,
                         .session = session,
                         .replay = {.mix = &mix,
                                    .mutex = PTHREAD_MUTEX_INITIALIZER,
                                    .done = PTHREAD_COND_INITIALIZER},
                         .text = text,
                         .json = json};
    int32_t *ids = NULL;
    tandem__buffer_init(&report.targets, (size_t)1 << 20);
    tandem_status status = cli_mix_load(settings->mix, model.positions_max, &mix, err);
    if (status == TANDEM_OK) status = make_ids(&mix, model.vocab, &ids, err);
    report.replay.ids = ids;
    if (status == TANDEM_OK) status = replay_all(&report, &model, err);
    tandem__mem_free(ids);
    tandem__mem_free(report.replay.answers);
    tandem__mem_free(report.sorted);
    tandem__buffer_deinit(&report.targets);
    cli_mix_deinit(&mix);
    return status;
}
