/* SPDX-License-Identifier: Apache-2.0 */
/* Lines on stderr, one write each. Quiet by default: the level is WARN. Any thread. */
#ifndef TANDEM_BASE_LOG_H
#define TANDEM_BASE_LOG_H

#include "tandem/status.h"

typedef enum tandem_log_level {
    TANDEM_LOG_ERROR = 0,
    TANDEM_LOG_WARN = 1,
    TANDEM_LOG_INFO = 2,
    TANDEM_LOG_DEBUG = 3,
} tandem_log_level;

void tandem__log_set_level(tandem_log_level level);
void tandem__log(tandem_log_level level, const char *format, ...) TANDEM_PRINTF(2, 3);

#endif
