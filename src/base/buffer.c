/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/fail.h"
#include "base/mem.h"

#define CAPACITY_MIN 256 /* bytes */

void tandem__buffer_init(tandem_buffer *buffer, size_t bytes_max) {
    TANDEM_ASSERT(bytes_max > 0);
    *buffer = (tandem_buffer){.bytes_max = bytes_max};
}

void tandem__buffer_deinit(tandem_buffer *buffer) {
    tandem__mem_free(buffer->ptr);
    *buffer = (tandem_buffer){.bytes_max = buffer->bytes_max};
}

tandem_status tandem__buffer_reserve(tandem_buffer *buffer, size_t more, tandem_error *err) {
    TANDEM_ASSERT(buffer->len <= buffer->capacity);
    if (more <= buffer->capacity - buffer->len) return TANDEM_OK;
    if (more > buffer->bytes_max - buffer->len) {
        return TANDEM_FAIL(err, CAPACITY, "buffer of %zu bytes needs %zu more, limit %zu",
                           buffer->len, more, buffer->bytes_max);
    }
    size_t capacity = buffer->capacity < CAPACITY_MIN ? CAPACITY_MIN : buffer->capacity;
    while (capacity < buffer->len + more) {
        capacity = capacity > buffer->bytes_max / 2 ? buffer->bytes_max : capacity * 2;
    }
    char *ptr = tandem__mem_realloc(buffer->ptr, capacity);
    if (ptr == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for %zu bytes", capacity);
    buffer->ptr = ptr;
    buffer->capacity = capacity;
    return TANDEM_OK;
}

tandem_status tandem__buffer_push(tandem_buffer *buffer, const void *bytes, size_t len,
                                  tandem_error *err) {
    if (len == 0) return TANDEM_OK;
    TANDEM_TRY(tandem__buffer_reserve(buffer, len, err));
    memcpy(buffer->ptr + buffer->len, bytes, len);
    buffer->len += len;
    return TANDEM_OK;
}

tandem_status tandem__buffer_printf(tandem_buffer *buffer, tandem_error *err, const char *format,
                                    ...) {
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    const int need = vsnprintf(NULL, 0, format, args);
    va_end(args);
    tandem_status status = TANDEM_OK;
    if (need < 0) {
        status = TANDEM_FAIL(err, INVALID, "text cannot be formatted: %s", format);
    } else {
        status = tandem__buffer_reserve(buffer, (size_t)need + 1, err);
    }
    if (status == TANDEM_OK) {
        (void)vsnprintf(buffer->ptr + buffer->len, (size_t)need + 1, format, again);
        buffer->len += (size_t)need;
    }
    va_end(again);
    return status;
}
