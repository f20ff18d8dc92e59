/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#define LINE_BYTES_MAX 1024

static _Atomic int log_level = TANDEM_LOG_WARN;

void tandem__log_set_level(tandem_log_level level) {
    atomic_store(&log_level, (int)level);
}

static tandem_log_level current_level(void) {
    return (tandem_log_level)atomic_load(&log_level);
}

void tandem__log(tandem_log_level level, const char *format, ...) {
    if (level > current_level()) return;
    static const char *const words[] = {"error", "warning", "info", "debug"};
    char line[LINE_BYTES_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    (void)fprintf(stderr, "tandem: %s: %s\n", words[level], line);
}
