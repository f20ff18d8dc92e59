/* SPDX-License-Identifier: Apache-2.0 */
/* A growable run of bytes with a ceiling that is stated when it is made. One thread at a time. */
#ifndef TANDEM_BASE_BUFFER_H
#define TANDEM_BASE_BUFFER_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "tandem/status.h"

typedef struct tandem_buffer {
    char *ptr; /* NULL until the first byte */
    size_t len;
    size_t capacity;
    size_t bytes_max;
} tandem_buffer;

void tandem__buffer_init(tandem_buffer *buffer, size_t bytes_max);
void tandem__buffer_deinit(tandem_buffer *buffer);

/* Makes room for `more` bytes after `len`: TANDEM_CAPACITY over the ceiling, TANDEM_MEMORY. On
 * failure nothing has changed. */
tandem_status tandem__buffer_reserve(tandem_buffer *buffer, size_t more,
                                     tandem_error *err) TANDEM_NODISCARD;

tandem_status tandem__buffer_push(tandem_buffer *buffer, const void *bytes, size_t len,
                                  tandem_error *err) TANDEM_NODISCARD;

tandem_status tandem__buffer_printf(tandem_buffer *buffer, tandem_error *err, const char *format,
                                    ...) TANDEM_PRINTF(3, 4) TANDEM_NODISCARD;

#endif
