/* SPDX-License-Identifier: Apache-2.0 */
#include "text/normalizer.h"

#include <string.h>

#include "base/fail.h"

const tandem_normalizer_type *tandem__normalizer_find(tandem_str name) {
    static const tandem_normalizer_type *const types[] = {&tandem__normalizer_bert_type};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (tandem__str_is(name, types[i]->name)) return types[i];
    }
    return NULL;
}

/* No normaliser: the same bytes. */
static tandem_status copy(tandem_view in, tandem_normalized *out, tandem_error *err) {
    TANDEM_TRY(tandem__normalized_make_explicit(out, 0, err));
    TANDEM_TRY(tandem__normalized_reserve(out, in.len, err));
    if (in.len > 0) memcpy(out->bytes.ptr, in.bytes, in.len);
    out->bytes.count = in.len;
    if (!out->wants_origins) return TANDEM_OK;
    uint32_t *const origins = out->origins.ptr;
    uint32_t start = 0;
    for (size_t i = 0; i < in.len; i++) {
        if ((in.bytes[i] & 0xc0) != 0x80) start = in.base + (uint32_t)i;
        origins[i] = in.origins == NULL ? start : in.origins[i];
    }
    out->origins.count = in.len;
    return TANDEM_OK;
}

tandem_status tandem__normalizer_apply(const tandem_normalizer *normalizer, tandem_view in,
                                       bool wants_origins, tandem_normalized *out,
                                       tandem_marks *marks, tandem_error *err) {
    tandem__normalized_reset(out, in.base, wants_origins);
    TANDEM_TRY(tandem__normalized_reserve(out, 0, err));
    if (normalizer->type == NULL) return copy(in, out, err);
    if (in.origins != NULL) TANDEM_TRY(tandem__normalized_make_explicit(out, 0, err));
    return normalizer->type->apply(normalizer->config, in, out, marks, err);
}
