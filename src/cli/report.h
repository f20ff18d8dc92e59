/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of JSON that doctor, bench and selftest share, and the file of --report. */
#ifndef TANDEM_CLI_REPORT_H
#define TANDEM_CLI_REPORT_H

#include "base/buffer.h"
#include "cli/cli.h"
#include "tandem/engine.h"

/* Appends "machine":{...}. */
tandem_status cli_report_machine(tandem_buffer *out, const tandem_machine *machine,
                                 tandem_error *err) TANDEM_NODISCARD;

/* Appends "lanes":[{...}]. */
tandem_status cli_report_lanes(tandem_buffer *out, const tandem_lane_info *lanes, int count,
                               tandem_error *err) TANDEM_NODISCARD;

/* Appends what `tandem doctor` prints of the machine, a line a thing. */
tandem_status cli_report_machine_text(tandem_buffer *out, const tandem_machine *machine,
                                      tandem_error *err) TANDEM_NODISCARD;

/* Appends a line a lane: name, whether it is there, class, device or why it is missing. */
tandem_status cli_report_lanes_text(tandem_buffer *out, const tandem_lane_info *lanes, int count,
                                    tandem_error *err) TANDEM_NODISCARD;

/* What the file of --report holds beside the machine. */
typedef struct cli_report {
    const char *fallback;      /* its name where none was given, in the current folder */
    tandem_str body;           /* a table as text */
    tandem_str json;           /* the same for programs */
    tandem_engine *engine;     /* whose lanes are told, and what runs where in each; or NULL */
    const tandem_error *error; /* what ended the command, or NULL */
} cli_report;

/* Says on stderr where it is, but for --quiet. */
tandem_status cli_report_write(const cli_settings *settings, const cli_report *report,
                               tandem_error *err) TANDEM_NODISCARD;

#endif
