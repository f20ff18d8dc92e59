/* SPDX-License-Identifier: Apache-2.0 */
/* Each lane against the reference on the loaded model. */
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/json_text.h"
#include "cli/cli.h"
#include "cli/report.h"
#include "cli/session.h"

#define AT(field)   offsetof(cli_settings, field)
#define TEXT_BYTES  ((size_t)1 << 20)
#define REPORT_FILE "tandem-selftest.md"

/* clang-format off */
static const cli_option options[] = {
    {CLI_SWITCH, AT(is_json), "json", 0, false, NULL, NULL, 0, 0,
     "one JSON object instead of the table"},
    {CLI_MAYBE, AT(report), "report", 0, false, "FILE", NULL, 0, 0,
     "also write a file to attach to a report (" REPORT_FILE " without a name)"},
    {CLI_TEXT, AT(shape), "shape", 0, false, "NAME|DIR", NULL, 0, 0,
     "random weights of a shape instead of a model"},
};
/* clang-format on */

static const cli_group selftest_group = CLI_GROUP("Self-test", options);

typedef struct selftest_job {
    const cli_settings *settings;
    cli_session session;
    tandem_buffer table;
    tandem_buffer json;
    int run_count;
    int failed_count;
} selftest_job;

static tandem_status push_result(selftest_job *job, const tandem_selftest *report,
                                 tandem_error *err) {
    TANDEM_TRY(tandem__buffer_printf(
        &job->table, err, "%-6s %-5s %5d  %.9f  %.9f  %.3g  %.9g  %-9s  %s\n", report->lane,
        report->dtype, report->texts, report->cosine_mean, report->cosine_min,
        report->difference_max, report->gate_cosine,
        report->is_batch_invariant ? "same bits" : "no", report->is_passed ? "passed" : "FAILED"));
    return tandem__buffer_printf(
        &job->json, err,
        "%s{\"lane\":\"%s\",\"dtype\":\"%s\",\"texts\":%d,\"cosine_mean\":%.12g,"
        "\"cosine_min\":%.12g,\"difference_max\":%.6g,\"gate_cosine\":%.12g,"
        "\"batch_invariant\":%s,\"passed\":%s}",
        job->run_count == 0 ? "" : ",", report->lane, report->dtype, report->texts,
        report->cosine_mean, report->cosine_min, report->difference_max, report->gate_cosine,
        report->is_batch_invariant ? "true" : "false", report->is_passed ? "true" : "false");
}

/* A lane that could not even be asked: the others are. */
static tandem_status push_failure(selftest_job *job, const char *lane, const tandem_error *why,
                                  tandem_error *err) {
    TANDEM_TRY(tandem__buffer_printf(&job->table, err, "%-6s FAILED: %s\n", lane, why->message));
    TANDEM_TRY(tandem__buffer_printf(
        &job->json, err, "%s{\"lane\":\"%s\",\"error\":", job->run_count == 0 ? "" : ",", lane));
    TANDEM_TRY(tandem__json_text_string(&job->json, tandem__str(why->message), err));
    job->run_count++;
    job->failed_count++;
    return tandem__buffer_printf(&job->json, err, ",\"passed\":false}");
}

static tandem_status test_lane(selftest_job *job, const tandem_lane_info *lane, tandem_error *err) {
    const char *wanted = job->settings->lane;
    const bool is_named = strcmp(wanted, lane->name) == 0;
    if (strcmp(wanted, "auto") != 0 && !is_named) return TANDEM_OK;
    if (!lane->is_available && is_named) {
        return TANDEM_FAIL(err, DEVICE, "lane %s is not available: %s", lane->name, lane->reason);
    }
    if (!lane->is_available) {
        return tandem__buffer_printf(&job->table, err, "%-6s missing: %s\n", lane->name,
                                     lane->reason);
    }
    if (strcmp(lane->lane_class, "none") == 0 && !is_named) return TANDEM_OK;
    tandem_selftest report = {0};
    tandem_error why = {0};
    if (tandem_engine_selftest(job->session.engine, lane->name, &report, &why) != TANDEM_OK)
        return push_failure(job, lane->name, &why, err);
    TANDEM_TRY(push_result(job, &report, err));
    job->run_count++;
    job->failed_count += report.is_passed ? 0 : 1;
    return TANDEM_OK;
}

static tandem_status selftest(selftest_job *job, tandem_error *err) {
    TANDEM_TRY(cli_session_open(&job->session, job->settings, err));
    tandem_model_info model;
    tandem_engine_model(job->session.engine, &model);
    TANDEM_TRY(tandem__buffer_printf(&job->table, err,
                                     "%s\n%-6s %-5s %5s  %-11s  %-11s  %-7s  %-8s  %-9s  %s\n",
                                     model.name, "lane", "dtype", "texts", "cosine mean",
                                     "cosine min", "largest", "gate", "batched", "result"));
    TANDEM_TRY(tandem__buffer_printf(&job->json, err, "{\"model\":"));
    TANDEM_TRY(tandem__json_text_string(&job->json, tandem__str(model.name), err));
    TANDEM_TRY(tandem__buffer_printf(&job->json, err, ",\"tests\":["));
    tandem_lane_info lanes[TANDEM_LANES_MAX];
    const int count = tandem_lanes(job->session.engine, lanes);
    for (int i = 0; i < count; i++) TANDEM_TRY(test_lane(job, &lanes[i], err));
    if (job->run_count == 0) {
        return TANDEM_FAIL(err, DEVICE, "lane %s: not in this build, nothing to test",
                           job->settings->lane);
    }
    return tandem__buffer_printf(&job->json, err, "]}\n");
}

static cli_exit run(const cli_settings *settings) {
    selftest_job job = {.settings = settings};
    tandem_error err = {0};
    tandem__buffer_init(&job.table, TEXT_BYTES);
    tandem__buffer_init(&job.json, TEXT_BYTES);
    const tandem_status status = selftest(&job, &err);
    const tandem_str table = {job.table.ptr, job.table.len};
    const tandem_str json = {job.json.ptr, job.json.len};
    if (status == TANDEM_OK) {
        const tandem_str *text = settings->is_json ? &json : &table;
        (void)fwrite(text->ptr, 1, text->len, stdout);
    }
    tandem_error report_err = {0};
    tandem_status written = TANDEM_OK;
    if (settings->report != NULL) {
        const cli_report report = {.fallback = REPORT_FILE,
                                   .body = table,
                                   .json = status == TANDEM_OK ? json : (tandem_str){0},
                                   .engine = job.session.engine,
                                   .error = &err};
        written = cli_report_write(settings, &report, &report_err);
    }
    tandem__buffer_deinit(&job.table);
    tandem__buffer_deinit(&job.json);
    cli_session_close(&job.session);
    if (status != TANDEM_OK) return cli_fail(&err);
    if (written != TANDEM_OK) return cli_fail(&report_err);
    if (job.failed_count == 0) return CLI_DONE;
    cli_note("%d of %d lanes outside their gate; --dtype f32 is the strict mode", job.failed_count,
             job.run_count);
    return CLI_FAILED;
}

const cli_command cli_command_selftest = {
    .name = "selftest",
    .usage = "[OPTION]...",
    .summary = "Compare each lane with the reference on the loaded model",
    .details = "Exit status 1 if a lane is outside the gate of its number format, or fails.\n"
               "--report writes one file with the machine, the lanes and why one is missing,\n"
               "what runs where, these figures and what went wrong: attach it to a report.\n",
    .example = "  tandem selftest --dtype f32\n",
    .groups = {&selftest_group, &cli_group_model, &cli_group_common},
    .run = run,
};
