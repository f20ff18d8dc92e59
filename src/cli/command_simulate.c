/* SPDX-License-Identifier: Apache-2.0 */
/* The real scheduler over simulated lanes in virtual time, one row a load. A row is printed as soon
 * as its load is done: ten million requests take some seconds each. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/fail.h"
#include "base/json_text.h"
#include "base/number.h"
#include "cli/cli.h"
#include "tandem/simulate.h"

#define AT(field)      offsetof(cli_settings, field)
#define LOADS_MAX      64
#define LOAD_LIMIT     100.0
#define REQUESTS_LIMIT 1000000000
#define BATCH_LIMIT    1024
#define WARMUP_LIMIT   86400000
#define TEXT_BYTES     ((size_t)1 << 16)

/* clang-format off */
static const cli_option options[] = {
    {CLI_PATH, AT(machine), "machine", 0, false, "guide-mac|FILE", "guide-mac", 0, 0,
     "a known machine, or a JSON file of lanes and what a text takes there"},
    {CLI_WORD, AT(policy), "policy", 0, false, "predict|rules|rules-simple", "predict", 0, 0,
     "who decides which lane computes what"},
    {CLI_TEXT, AT(loads), "load", 0, false, "LIST", "0.4,0.8", 0, 0,
     "texts offered, as shares of the lanes' joint capacity; one row each"},
    {CLI_REAL, AT(realtime), "realtime", 0, false, "SHARE", "0.2", 0, 1,
     "of the texts that are realtime, one a request"},
    {CLI_REAL, AT(background), "background", 0, false, "SHARE", "0", 0, 1,
     "of the texts that are background; the rest is standard"},
    {CLI_INT, AT(batch), "batch", 0, false, "N", "1", 1, BATCH_LIMIT,
     "texts of a request that is not realtime"},
    {CLI_SWITCH, AT(is_bursty), "bursty", 0, false, NULL, NULL, 0, 0,
     "arrivals at 3 times the rate for 100 ms, at half of it for 400 ms, by turns"},
    {CLI_PATH, AT(faults), "faults", 0, false, "FILE", NULL, 0, 0,
     "a JSON file that says which lane fails how and when"},
    {CLI_INT, AT(requests), "requests", 0, false, "N", "100000", 1, REQUESTS_LIMIT,
     "to offer at each load"},
    {CLI_INT, AT(seed), "seed", 0, false, "N", "1", 0, INT64_MAX,
     "the same seed gives the same figures"},
    {CLI_REAL, AT(warmup_ms), "warmup-ms", 0, false, "MS", "0", 0, WARMUP_LIMIT,
     "requests of the first MS milliseconds are not measured"},
    {CLI_SWITCH, AT(is_json), "json", 0, false, NULL, NULL, 0, 0,
     "one JSON object a load instead of the table"},
};
/* clang-format on */

static const cli_group simulate_group = CLI_GROUP("Simulation", options);

/* The numbers of "0.4,0.8"; -1 after a message. */
static int read_loads(const char *list, double loads[LOADS_MAX]) {
    int count = 0;
    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        if (*at == ',') at++;
        const tandem_str word = {at, strcspn(at, ",")};
        if (count == LOADS_MAX) {
            (void)cli_usage(&cli_command_simulate, "--load: over %d loads", LOADS_MAX);
            return -1;
        }
        double *load = &loads[count++];
        if (tandem__number_parse_double(word, load) && *load > 0 && *load <= LOAD_LIMIT) continue;
        (void)cli_usage(&cli_command_simulate,
                        "--load: \"%.*s\", expected numbers over 0 to %g with commas between",
                        (int)(word.len < 60 ? word.len : 60), word.ptr, LOAD_LIMIT);
        return -1;
    }
    return count;
}

static tandem_status push_json(const cli_settings *settings, const tandem_simulation_report *report,
                               tandem_buffer *out, tandem_error *err) {
    TANDEM_TRY(tandem__buffer_printf(
        out, err,
        "{\"policy\":\"%s\",\"load\":%.10g,\"offered_per_s\":%.2f,\"answered_per_s\":%.2f,"
        "\"realtime_p95_ms\":%.4f,\"realtime_max_ms\":%.4f,\"standard_p95_ms\":%.4f,"
        "\"background_max_ms\":%.4f,\"all_p95_ms\":%.4f,\"refused\":%" PRId64 ",\"lost\":%" PRId64
        ",\"doubled\":%" PRId64,
        settings->policy, report->load, report->offered_per_s, report->answered_per_s,
        report->realtime_p95_ms, report->realtime_max_ms, report->standard_p95_ms,
        report->background_max_ms, report->all_p95_ms, report->refused, report->lost,
        report->doubled));
    TANDEM_TRY(tandem__buffer_printf(
        out, err,
        ",\"capacity_per_s\":%.2f,\"seconds\":%.3f,\"requests\":%" PRId64 ",\"answered\":%" PRId64
        ",\"expired\":%" PRId64 ",\"dropped\":%" PRId64 ",\"failed\":%" PRId64
        ",\"queue_max\":%" PRId64,
        report->capacity_per_s, report->seconds, report->offered, report->answered, report->expired,
        report->dropped, report->failed, report->queue_max));
    TANDEM_TRY(tandem__buffer_printf(
        out, err,
        ",\"realtime_p50_ms\":%.4f,\"standard_max_ms\":%.4f,\"background_p95_ms\":%.4f,"
        "\"first_quarter_p95_ms\":%.4f,\"last_quarter_p95_ms\":%.4f,\"lanes\":[",
        report->realtime_p50_ms, report->standard_max_ms, report->background_p95_ms,
        report->first_quarter_p95_ms, report->last_quarter_p95_ms));
    for (int i = 0; i < report->lane_count; i++) {
        const tandem_simulation_lane *lane = &report->lanes[i];
        TANDEM_TRY(tandem__buffer_printf(out, err, "%s{\"name\":", i == 0 ? "" : ","));
        TANDEM_TRY(tandem__json_text_string(out, tandem__str(lane->name), err));
        TANDEM_TRY(tandem__buffer_printf(out, err,
                                         ",\"utilisation\":%.4f,\"texts\":%" PRId64
                                         ",\"batches\":%" PRId64 ",\"times_out\":%" PRId64 "}",
                                         lane->utilisation, lane->texts, lane->batches,
                                         lane->times_out));
    }
    return tandem__buffer_printf(out, err, "]}\n");
}

static tandem_status push_head(const cli_settings *settings, const tandem_simulation_report *report,
                               tandem_buffer *out, tandem_error *err) {
    TANDEM_TRY(tandem__buffer_printf(
        out, err, "%s, policy %s, %" PRId64 " requests, %s arrivals, %.4g texts/s at load 1\n\n",
        settings->machine, settings->policy, settings->requests,
        settings->is_bursty ? "bursty" : "Poisson", report->capacity_per_s));
    TANDEM_TRY(tandem__buffer_printf(
        out, err,
        "              texts/s      realtime ms     standard background        all\n"
        "  load  offered answered     p95     max    p95 ms     max ms     p95 ms "
        " refused  lanes busy\n"));
    return TANDEM_OK;
}

static tandem_status push_row(const tandem_simulation_report *report, tandem_buffer *out,
                              tandem_error *err) {
    TANDEM_TRY(tandem__buffer_printf(
        out, err, "%6.4g %8.1f %8.1f %7.2f %7.2f %9.2f %10.1f %10.2f %8" PRId64 " ", report->load,
        report->offered_per_s, report->answered_per_s, report->realtime_p95_ms,
        report->realtime_max_ms, report->standard_p95_ms, report->background_max_ms,
        report->all_p95_ms, report->refused));
    for (int i = 0; i < report->lane_count; i++) {
        const tandem_simulation_lane *lane = &report->lanes[i];
        TANDEM_TRY(
            tandem__buffer_printf(out, err, " %s %.0f%%", lane->name, 100 * lane->utilisation));
    }
    return tandem__buffer_printf(out, err, "\n");
}

static tandem_status simulate(const cli_settings *settings, const double *loads, int count,
                              tandem_buffer *out, tandem_error *err) {
    for (int i = 0; i < count; i++) {
        const tandem_simulation_options made = {.machine = settings->machine,
                                                .policy = settings->policy,
                                                .faults = settings->faults,
                                                .load = loads[i],
                                                .realtime = settings->realtime,
                                                .background = settings->background,
                                                .batch = (int32_t)settings->batch,
                                                .requests = settings->requests,
                                                .seed = (uint64_t)settings->seed,
                                                .warmup_ms = settings->warmup_ms,
                                                .is_bursty = settings->is_bursty};
        tandem_simulation_report report;
        TANDEM_TRY(tandem_simulate(&made, &report, err));
        out->len = 0;
        if (settings->is_json) {
            TANDEM_TRY(push_json(settings, &report, out, err));
        } else {
            if (i == 0) TANDEM_TRY(push_head(settings, &report, out, err));
            TANDEM_TRY(push_row(&report, out, err));
        }
        (void)fwrite(out->ptr, 1, out->len, stdout);
        (void)fflush(stdout);
        if (report.lost > 0 || report.doubled > 0)
            return TANDEM_FAIL(err, DEVICE,
                               "%" PRId64 " requests lost, %" PRId64
                               " answered twice: an error of the scheduler",
                               report.lost, report.doubled);
    }
    return TANDEM_OK;
}

static cli_exit run(const cli_settings *settings) {
    double loads[LOADS_MAX];
    const int count = read_loads(settings->loads, loads);
    if (count < 0) return CLI_USAGE;
    if (settings->realtime + settings->background > 1 + 1e-9)
        return cli_usage(&cli_command_simulate,
                         "--realtime %g and --background %g: expected shares that make at most 1",
                         settings->realtime, settings->background);
    tandem_error err = {0};
    tandem_buffer out;
    tandem__buffer_init(&out, TEXT_BYTES);
    const tandem_status status = simulate(settings, loads, count, &out, &err);
    tandem__buffer_deinit(&out);
    return status == TANDEM_OK ? CLI_DONE : cli_fail(&err);
}

const cli_command cli_command_simulate = {
    .name = "simulate",
    .usage = "[OPTION]...",
    .summary = "Plan a machine: the scheduler over simulated lanes in virtual time",
    .details = "What a machine would answer before it is bought: the scheduler itself, the lanes\n"
               "and the clock simulated. guide-mac has three lanes, for texts of BERT-base: ane\n"
               "2.7 ms, metal 4.7 ms and cpu 11.4 ms a text. FILE is such a machine as JSON:\n"
               "{\"text_tokens\":32,\"lanes\":[{\"name\":\"ane\",\"class\":\"latency\","
               "\"text_ms\":2.7}]}\n"
               "\n"
               "A file of faults: [{\"at_ms\":500,\"for_ms\":2000,\"lane\":\"ane\","
               "\"fault\":\"dead\"}]\n",
    .example = "  tandem simulate --load 0.4,0.8,0.95 --realtime 0.2\n"
               "  tandem simulate --policy rules --batch 8 --bursty --json\n",
    .groups = {&simulate_group, &cli_group_common},
    .run = run,
};
