/* SPDX-License-Identifier: Apache-2.0 */
/* The file of `tandem bench --report`. */
#ifndef TANDEM_CLI_BENCH_REPORT_H
#define TANDEM_CLI_BENCH_REPORT_H

#include "base/buffer.h"
#include "cli/cli.h"
#include "tandem/engine.h"

/* Appends to both what each lane takes for BERT-base at 128 tokens, random weights, and what runs
 * where in it: the figures that lanes are designed for. Where it cannot be measured `text` says
 * why. Nothing where the settings name another model or shape: then that is what was wanted. */
tandem_status cli_bench_report_add(const cli_settings *settings, tandem_buffer *text,
                                   tandem_buffer *json, tandem_error *err) TANDEM_NODISCARD;

#endif
