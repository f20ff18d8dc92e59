/* SPDX-License-Identifier: Apache-2.0 */
/* A line on stderr that says how far the work is: only on a terminal, not with -q, and only once
 * it has taken a second. One thread. */
#ifndef TANDEM_CLI_PROGRESS_H
#define TANDEM_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct cli_progress {
    bool is_shown; /* allowed at all */
    bool is_drawn; /* a line stands on the terminal */
    uint64_t start_ns;
    uint64_t drawn_ns;
} cli_progress;

void cli_progress_start(cli_progress *progress, bool is_quiet);

/* `done` of `total` units of work (bytes, texts; total 0 = not known) and `texts` in all. */
void cli_progress_update(cli_progress *progress, uint64_t done, uint64_t total, uint64_t texts);

/* The same for bytes: `done` of `total`, `moved` of them in this run, and a word of what. */
void cli_progress_bytes(cli_progress *progress, const char *what, uint64_t done, uint64_t total,
                        uint64_t moved);

/* Removes the line, so that other words can follow. */
void cli_progress_clear(cli_progress *progress);

#endif
