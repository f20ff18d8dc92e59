/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of JSON that doctor, bench and selftest share, and the file of --report. */
#ifndef TANDEM_CLI_REPORT_H
#define TANDEM_CLI_REPORT_H

#include "base/buffer.h"
#include "tandem/engine.h"

/* Appends "machine":{...}. */
tandem_status cli_report_machine(tandem_buffer *out, const tandem_machine *machine,
                                 tandem_error *err) TANDEM_NODISCARD;

/* Appends "lanes":[{...}]. */
tandem_status cli_report_lanes(tandem_buffer *out, const tandem_lane_info *lanes, int count,
                               tandem_error *err) TANDEM_NODISCARD;

/* Writes a report: what doctor says, then `body` (a table as text), then `json` in a fence. `path`
 * may be "": then `fallback`, in the current folder. Says on stderr where it is. */
tandem_status cli_report_write(const char *path, const char *fallback, tandem_str body,
                               tandem_str json, tandem_error *err) TANDEM_NODISCARD;

#endif
