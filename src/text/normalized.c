/* SPDX-License-Identifier: Apache-2.0 */
#include "text/normalized.h"

#include "base/fail.h"

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

void tandem__normalized_deinit(tandem_normalized *text) {
    tandem__array_deinit(&text->bytes);
    tandem__array_deinit(&text->origins);
}
