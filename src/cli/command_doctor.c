/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine has, and why something is missing. Opens no lane and loads no model, but for
 * --explain. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/file.h"
#include "base/json_text.h"
#include "cli/cli.h"
#include "cli/doctor_explain.h"
#include "cli/report.h"
#include "tandem/engine.h"
#include "tandem/version.h"

#define AT(field)  offsetof(cli_settings, field)
#define TEXT_BYTES ((size_t)1 << 20)

/* clang-format off */
static const cli_option options[] = {
    {CLI_SWITCH, AT(is_json), "json", 0, false, NULL, NULL, 0, 0,
     "one JSON object"},
    {CLI_SWITCH, AT(is_explained), "explain", 0, false, NULL, NULL, 0, 0,
     "open the model and say what each lane runs for each step of it"},
    {CLI_TEXT, AT(model), "model", 'm', false, "NAME|PATH", CLI_DEFAULT_MODEL, 0, 0,
     "the model to look for"},
};
/* clang-format on */

static const cli_group doctor_group = CLI_GROUP("Doctor", options);

typedef struct examination {
    tandem_machine machine;
    tandem_lane_info lanes[TANDEM_LANES_MAX];
    int lane_count;
    const char *model;
    bool is_model_found;
    bool is_explained;
    char folder[TANDEM_PATH_MAX];
    tandem_error why; /* the model is not there */
} examination;

static void examine(const cli_settings *settings, examination *found) {
    *found = (examination){.model = settings->model, .is_explained = settings->is_explained};
    tandem_machine_describe(&found->machine);
    found->lane_count = tandem_lanes(NULL, found->lanes);
    found->is_model_found = tandem_model_locate(settings->model, found->folder,
                                                sizeof found->folder, &found->why) == TANDEM_OK;
}

static tandem_status push_text(const examination *found, tandem_buffer *out, tandem_error *err) {
    TANDEM_TRY(cli_report_machine_text(out, &found->machine, err));
    TANDEM_TRY(tandem__buffer_printf(out, err, "models     %s\nmodel      %s: %s\nlanes\n",
                                     found->machine.model_cache, found->model,
                                     found->is_model_found ? found->folder : found->why.message));
    TANDEM_TRY(cli_report_lanes_text(out, found->lanes, found->lane_count, err));
    return found->is_explained ? cli_doctor_explain(found->model, false, out, err) : TANDEM_OK;
}

static tandem_status push_json(const examination *found, tandem_buffer *out, tandem_error *err) {
    TANDEM_TRY(tandem__buffer_printf(out, err, "{\"version\":\"%s\",", tandem_version()));
    TANDEM_TRY(cli_report_machine(out, &found->machine, err));
    TANDEM_TRY(tandem__buffer_printf(out, err, ",\"model\":{\"name\":"));
    TANDEM_TRY(tandem__json_text_string(out, tandem__str(found->model), err));
    TANDEM_TRY(tandem__buffer_printf(
        out, err, ",\"found\":%s,\"%s\":", found->is_model_found ? "true" : "false",
        found->is_model_found ? "folder" : "reason"));
    TANDEM_TRY(tandem__json_text_string(
        out, tandem__str(found->is_model_found ? found->folder : found->why.message), err));
    TANDEM_TRY(tandem__buffer_printf(out, err, "},"));
    TANDEM_TRY(cli_report_lanes(out, found->lanes, found->lane_count, err));
    if (found->is_explained) TANDEM_TRY(cli_doctor_explain(found->model, true, out, err));
    return tandem__buffer_printf(out, err, "}\n");
}

static cli_exit run(const cli_settings *settings) {
    static examination found;
    examine(settings, &found);
    tandem_buffer out;
    tandem_error err = {0};
    tandem__buffer_init(&out, TEXT_BYTES);
    const tandem_status status =
        settings->is_json ? push_json(&found, &out, &err) : push_text(&found, &out, &err);
    if (status == TANDEM_OK) (void)fwrite(out.ptr, 1, out.len, stdout);
    tandem__buffer_deinit(&out);
    return status == TANDEM_OK ? CLI_DONE : cli_fail(&err);
}

const cli_command cli_command_doctor = {
    .name = "doctor",
    .usage = "[OPTION]...",
    .summary = "Say what this machine has and why something is missing",
    .details = "Processors, memory, heat, lanes, and where models are.\n",
    .example = "  tandem doctor --explain\n",
    .groups = {&doctor_group, &cli_group_common},
    .run = run,
};
