/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/report.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/fail.h"
#include "base/file.h"
#include "base/json_text.h"
#include "cli/cli.h"
#include "cli/doctor_explain.h"
#include "tandem/version.h"

#define REPORT_BYTES ((size_t)16 << 20)

static tandem_status push_member(tandem_buffer *out, const char *name, const char *value,
                                 tandem_error *err) {
    TANDEM_TRY(tandem__buffer_printf(out, err, "\"%s\":", name));
    return tandem__json_text_string(out, tandem__str(value), err);
}

tandem_status cli_report_machine(tandem_buffer *out, const tandem_machine *machine,
                                 tandem_error *err) {
    TANDEM_TRY(tandem__buffer_printf(out, err, "\"machine\":{"));
    TANDEM_TRY(push_member(out, "processor", machine->processor, err));
    TANDEM_TRY(tandem__buffer_push(out, ",", 1, err));
    TANDEM_TRY(push_member(out, "kernels", machine->kernels, err));
    TANDEM_TRY(tandem__buffer_push(out, ",", 1, err));
    TANDEM_TRY(push_member(out, "system", machine->system, err));
    TANDEM_TRY(tandem__buffer_printf(
        out, err,
        ",\"processors\":%d,\"performance_cores\":%d,"
        "\"efficiency_cores\":%d,\"memory_bytes\":%" PRId64 ",\"memory_available_bytes\":%" PRId64
        ",\"speed_limit_percent\":%d,",
        machine->processors, machine->performance_cores, machine->efficiency_cores,
        machine->memory_bytes, machine->memory_available_bytes, machine->speed_limit_percent));
    TANDEM_TRY(push_member(out, "model_cache", machine->model_cache, err));
    return tandem__buffer_push(out, "}", 1, err);
}

tandem_status cli_report_lanes(tandem_buffer *out, const tandem_lane_info *lanes, int count,
                               tandem_error *err) {
    TANDEM_TRY(tandem__buffer_printf(out, err, "\"lanes\":["));
    for (int i = 0; i < count; i++) {
        TANDEM_TRY(tandem__buffer_printf(out, err, "%s{", i == 0 ? "" : ","));
        TANDEM_TRY(push_member(out, "name", lanes[i].name, err));
        TANDEM_TRY(tandem__buffer_push(out, ",", 1, err));
        TANDEM_TRY(push_member(out, "class", lanes[i].lane_class, err));
        TANDEM_TRY(tandem__buffer_printf(out, err, ",\"available\":%s,",
                                         lanes[i].is_available ? "true" : "false"));
        TANDEM_TRY(push_member(out, "device", lanes[i].device, err));
        TANDEM_TRY(tandem__buffer_push(out, ",", 1, err));
        TANDEM_TRY(push_member(out, "reason", lanes[i].reason, err));
        TANDEM_TRY(tandem__buffer_push(out, ",", 1, err));
        TANDEM_TRY(push_member(out, "check", lanes[i].check, err));
        TANDEM_TRY(tandem__buffer_push(out, "}", 1, err));
    }
    return tandem__buffer_push(out, "]", 1, err);
}

static tandem_status push_memory(tandem_buffer *out, const tandem_machine *machine,
                                 tandem_error *err) {
    if (machine->memory_bytes < 0)
        return tandem__buffer_printf(out, err, "memory     the system does not say\n");
    const double gib = 1.0 / (double)((int64_t)1 << 30);
    TANDEM_TRY(tandem__buffer_printf(out, err, "memory     %.1f GiB",
                                     (double)machine->memory_bytes * gib));
    if (machine->memory_available_bytes >= 0) {
        TANDEM_TRY(tandem__buffer_printf(out, err, ", %.1f GiB available",
                                         (double)machine->memory_available_bytes * gib));
    }
    return tandem__buffer_printf(out, err, "\n");
}

tandem_status cli_report_machine_text(tandem_buffer *out, const tandem_machine *machine,
                                      tandem_error *err) {
    char cores[64] = "";
    if (machine->performance_cores > 0) {
        (void)snprintf(cores, sizeof cores, " (%d performance, %d efficiency)",
                       machine->performance_cores, machine->efficiency_cores);
    }
    TANDEM_TRY(tandem__buffer_printf(
        out, err, "tandem     %s\nprocessor  %s, %d usable%s, kernels %s\nsystem     %s\n",
        tandem_version(), machine->processor, machine->processors, cores, machine->kernels,
        machine->system));
    TANDEM_TRY(push_memory(out, machine, err));
    if (machine->speed_limit_percent < 0)
        return tandem__buffer_printf(out, err, "thermal    the system does not say\n");
    return tandem__buffer_printf(out, err, "thermal    speed limit %d%%, %s\n",
                                 machine->speed_limit_percent,
                                 machine->speed_limit_percent < 90 ? "throttled" : "not throttled");
}

tandem_status cli_report_lanes_text(tandem_buffer *out, const tandem_lane_info *lanes, int count,
                                    tandem_error *err) {
    for (int i = 0; i < count; i++) {
        TANDEM_TRY(tandem__buffer_printf(
            out, err, "  %-6s %-10s %-11s %s%s%s\n", lanes[i].name,
            lanes[i].is_available ? "available" : "missing", lanes[i].lane_class,
            lanes[i].is_available ? lanes[i].device : lanes[i].reason,
            lanes[i].check[0] == '\0' ? "" : "; checked: ", lanes[i].check));
    }
    return TANDEM_OK;
}

static tandem_status push_fence(tandem_buffer *out, const char *kind, tandem_str text,
                                tandem_error *err) {
    if (text.len == 0) return TANDEM_OK;
    TANDEM_TRY(tandem__buffer_printf(out, err, "\n```%s\n", kind));
    TANDEM_TRY(tandem__buffer_push(out, text.ptr, text.len, err));
    return tandem__buffer_printf(out, err, "%s```\n", text.ptr[text.len - 1] == '\n' ? "" : "\n");
}

static tandem_status push_explanation(tandem_buffer *out, tandem_engine *engine,
                                      tandem_error *err) {
    TANDEM_TRY(tandem__buffer_printf(out, err, "\n## What runs where\n\n```\n"));
    TANDEM_TRY(cli_explain_engine(engine, false, out, err));
    return tandem__buffer_printf(out, err, "```\n");
}

static tandem_status push_report(tandem_buffer *out, const cli_report *report, tandem_error *err) {
    tandem_machine machine;
    tandem_lane_info lanes[TANDEM_LANES_MAX];
    tandem_machine_describe(&machine);
    const int count = tandem_lanes(report->engine, lanes);
    TANDEM_TRY(tandem__buffer_printf(out, err, "# tandem %s\n\n```\n", tandem_version()));
    TANDEM_TRY(cli_report_machine_text(out, &machine, err));
    TANDEM_TRY(tandem__buffer_printf(out, err, "lanes\n"));
    TANDEM_TRY(cli_report_lanes_text(out, lanes, count, err));
    TANDEM_TRY(tandem__buffer_printf(out, err, "```\n"));
    if (report->error != NULL && report->error->status != TANDEM_OK) {
        TANDEM_TRY(tandem__buffer_printf(out, err, "\n## Error\n"));
        TANDEM_TRY(push_fence(out, "", tandem__str(report->error->message), err));
    }
    TANDEM_TRY(push_fence(out, "", report->body, err));
    if (report->engine != NULL) TANDEM_TRY(push_explanation(out, report->engine, err));
    return push_fence(out, "json", report->json, err);
}

tandem_status cli_report_write(const cli_settings *settings, const cli_report *report,
                               tandem_error *err) {
    const char *target = settings->report[0] == '\0' ? report->fallback : settings->report;
    tandem_buffer out;
    tandem__buffer_init(&out, REPORT_BYTES);
    tandem_status status = push_report(&out, report, err);
    if (status == TANDEM_OK) status = tandem__file_write(target, out.ptr, out.len, err);
    tandem__buffer_deinit(&out);
    if (status == TANDEM_OK && !settings->is_quiet) cli_note("report written to %s", target);
    return status;
}
