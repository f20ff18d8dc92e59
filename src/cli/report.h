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

/* Writes the file of --report: machine, lanes, then `body` (a table as text), then `json` in a
 * fence. Without a name it is `fallback`, in the current folder. Says on stderr where it is, but
 * for --quiet. */
tandem_status cli_report_write(const cli_settings *settings, const char *fallback, tandem_str body,
                               tandem_str json, tandem_error *err) TANDEM_NODISCARD;

#endif
