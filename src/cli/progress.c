/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/bytes_text.h"
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

static void draw_bar(double share, double left_s) {
    char bar[BAR_CELLS + 1];
    for (int i = 0; i < BAR_CELLS; i++) bar[i] = i < (int)(share * BAR_CELLS) ? '#' : '.';
    bar[BAR_CELLS] = '\0';
    const uint64_t left = left_s < 1e6 ? (uint64_t)(left_s + 0.5) : 1000000;
    (void)fprintf(stderr, "  [%s] %3.0f%%  %" PRIu64 ":%02" PRIu64 " left", bar, share * 100.0,
                  left / 60, left % 60);
}

static double share_of(uint64_t done, uint64_t total) {
    return done >= total ? 1.0 : (double)done / (double)total;
}

/* Seconds since the start if a line is to be drawn now, else 0. */
static double seconds_to_draw(cli_progress *progress) {
    if (!progress->is_shown) return 0.0;
    const uint64_t now = tandem__clock_ns();
    if (now - progress->start_ns < QUIET_NS || now - progress->drawn_ns < REDRAW_NS) return 0.0;
    progress->drawn_ns = now;
    progress->is_drawn = true;
    return (double)(now - progress->start_ns) * 1e-9;
}

void cli_progress_update(cli_progress *progress, uint64_t done, uint64_t total, uint64_t texts) {
    const double seconds = seconds_to_draw(progress);
    if (seconds <= 0.0) return;
    (void)fprintf(stderr, "\r\x1b[K%" PRIu64 " texts, %.0f/s", texts, (double)texts / seconds);
    if (total > 0) {
        const double share = share_of(done, total);
        draw_bar(share, share > 0.0 ? seconds / share - seconds : 0.0);
    }
    (void)fflush(stderr);
}

void cli_progress_bytes(cli_progress *progress, const char *what, uint64_t done, uint64_t total,
                        uint64_t moved) {
    const double seconds = seconds_to_draw(progress);
    if (seconds <= 0.0) return;
    const double rate = (double)moved / seconds;
    (void)fprintf(stderr, "\r\x1b[K%.50s  %s, %s/s", what, tandem__bytes_text((int64_t)done).text,
                  tandem__bytes_text((int64_t)rate).text);
    if (total > 0) {
        const double left = done >= total ? 0.0 : (double)(total - done);
        draw_bar(share_of(done, total), rate > 0.0 ? left / rate : 0.0);
    }
    (void)fflush(stderr);
}

void cli_progress_clear(cli_progress *progress) {
    if (!progress->is_drawn) return;
    (void)fprintf(stderr, "\r\x1b[K");
    (void)fflush(stderr);
    progress->is_drawn = false;
}
