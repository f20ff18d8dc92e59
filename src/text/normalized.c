/* SPDX-License-Identifier: Apache-2.0 */
#include "text/normalized.h"

#include <string.h>

#include "base/fail.h"

#define NORMALIZED_BYTES_MAX ((size_t)3 << 30) /* so that 32 bits number them */

tandem_status tandem__normalized_make_explicit(tandem_normalized *text, size_t more,
                                               tandem_error *err) {
    if (!text->is_plain) return TANDEM_OK;
    if (text->wants_origins) {
        const size_t count = text->bytes.count;
        TANDEM_TRY(tandem__array_reserve(&text->origins, count + more, sizeof(uint32_t), err));
        uint32_t *const origins = text->origins.ptr;
        for (size_t i = 0; i < count; i++) origins[i] = text->base + (uint32_t)i;
        text->origins.count = count;
    }
    text->is_plain = false;
    return TANDEM_OK;
}

/* Appends bytes without their origins. */
static tandem_status append_bytes(tandem_normalized *text, const void *bytes, size_t len,
                                  tandem_error *err) {
    if (len > NORMALIZED_BYTES_MAX - text->bytes.count) {
        return TANDEM_FAIL(err, CAPACITY, "normalised text of over %zu bytes",
                           NORMALIZED_BYTES_MAX);
    }
    TANDEM_TRY(tandem__normalized_make_explicit(text, 0, err));
    TANDEM_TRY(tandem__normalized_reserve(text, len, err));
    if (len > 0) memcpy((uint8_t *)text->bytes.ptr + text->bytes.count, bytes, len);
    text->bytes.count += len;
    return TANDEM_OK;
}

tandem_status tandem__normalized_append(tandem_normalized *text, tandem_view in, size_t start,
                                        size_t end, tandem_error *err) {
    if (start == end) return tandem__normalized_make_explicit(text, 0, err);
    TANDEM_TRY(append_bytes(text, in.bytes + start, end - start, err));
    if (!text->wants_origins) return TANDEM_OK;
    uint32_t *const origins = (uint32_t *)text->origins.ptr + text->origins.count;
    uint32_t at = tandem__view_origin(in, start);
    for (size_t i = start; i < end; i++) {
        if ((in.bytes[i] & 0xc0) != 0x80) at = in.base + (uint32_t)i;
        origins[i - start] = in.origins == NULL ? at : in.origins[i];
    }
    text->origins.count += end - start;
    return TANDEM_OK;
}

tandem_status tandem__normalized_insert(tandem_normalized *text, tandem_str bytes, uint32_t origin,
                                        tandem_error *err) {
    TANDEM_TRY(append_bytes(text, bytes.ptr, bytes.len, err));
    if (!text->wants_origins) return TANDEM_OK;
    uint32_t *const origins = (uint32_t *)text->origins.ptr + text->origins.count;
    for (size_t i = 0; i < bytes.len; i++) origins[i] = origin;
    text->origins.count += bytes.len;
    return TANDEM_OK;
}

size_t tandem__bytes_find(const uint8_t *bytes, size_t len, size_t at, tandem_str text) {
    while (len - at >= text.len) {
        const uint8_t *const first =
            memchr(bytes + at, (uint8_t)text.ptr[0], len - at - text.len + 1);
        if (first == NULL) break;
        if (memcmp(first, text.ptr, text.len) == 0) return (size_t)(first - bytes);
        at = (size_t)(first - bytes) + 1;
    }
    return len;
}

void tandem__normalized_deinit(tandem_normalized *text) {
    tandem__array_deinit(&text->bytes);
    tandem__array_deinit(&text->origins);
}
