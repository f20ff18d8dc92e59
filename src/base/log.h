/* SPDX-License-Identifier: Apache-2.0 */
/* Lines on stderr, one write each. Quiet by default: the level is WARN. Any thread. */
#ifndef TANDEM_BASE_LOG_H
#define TANDEM_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"
#include "tandem/status.h"

typedef enum tandem_log_level {
    TANDEM_LOG_ERROR = 0,
    TANDEM_LOG_WARN = 1,
    TANDEM_LOG_INFO = 2,
    TANDEM_LOG_DEBUG = 3,
} tandem_log_level;

void tandem__log_set_level(tandem_log_level level);

/* Lines as {"time":"2026-11-23T06:19:10.123Z","level":"info","message":"..."} from now on. */
void tandem__log_set_json(bool is_json);

void tandem__log(tandem_log_level level, const char *format, ...) TANDEM_PRINTF(2, 3);

typedef struct tandem_log_field {
    const char *name; /* a word */
    tandem_str text;  /* ptr NULL: the number */
    double number;
} tandem_log_field;

/* A line of named values: `message name=value ...`, or members of the line's object. A value that
 * makes the line too long is left out; no value has more than 1023 bytes. */
void tandem__log_fields(tandem_log_level level, const char *message, const tandem_log_field *fields,
                        size_t count);

#endif
