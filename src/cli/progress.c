/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

#define QUIET_NS  ((uint64_t)1000000000)
#define REDRAW_NS ((uint64_t)100000000)
#define BAR_CELLS 24

void cli_progress_start(cli_progress *progress, bool is_quiet) {
    *progress = (cli_progress){
        .is_shown = !is_quiet && isatty(STDERR_FILENO) != 0,
        .start_ns = tandem__clock_ns(),
    };
}

static void draw_bar(uint64_t done, uint64_t total, double seconds) {
    const double share = done >= total ? 1.0 : (double)done / (double)total;
    char bar[BAR_CELLS + 1];
    for (int i = 0; i < BAR_CELLS; i++) bar[i] = i < (int)(share * BAR_CELLS) ? '#' : '.';
    bar[BAR_CELLS] = '\0';
    const uint64_t left = share > 0.0 ? (uint64_t)(seconds / share - seconds + 0.5) : 0;
    (void)fprintf(stderr, "  [%s] %3.0f%%  %" PRIu64 ":%02" PRIu64 " left", bar, share * 100.0,
                  left / 60, left % 60);
}

void cli_progress_update(cli_progress *progress, uint64_t done, uint64_t total, uint64_t texts) {
    if (!progress->is_shown) return;
    const uint64_t now = tandem__clock_ns();
    if (now - progress->start_ns < QUIET_NS || now - progress->drawn_ns < REDRAW_NS) return;
    progress->drawn_ns = now;
    progress->is_drawn = true;
    const double seconds = (double)(now - progress->start_ns) * 1e-9;
    (void)fprintf(stderr, "\r\x1b[K%" PRIu64 " texts, %.0f/s", texts, (double)texts / seconds);
    if (total > 0) draw_bar(done, total, seconds);
    (void)fflush(stderr);
}

void cli_progress_clear(cli_progress *progress) {
    if (!progress->is_drawn) return;
    (void)fprintf(stderr, "\r\x1b[K");
    (void)fflush(stderr);
    progress->is_drawn = false;
}
