/* SPDX-License-Identifier: Apache-2.0 */
/* Characters placed one by one, with the reference's account of what each stands for: a change of
 * 0 replaces the next character of the input, -n replaces one and removes n more behind it, 1 is
 * added and shares the origin of what was replaced last. One thread at a time. */
#ifndef TANDEM_TEXT_TRANSFORM_H
#define TANDEM_TEXT_TRANSFORM_H

#include "base/assert.h"
#include "text/normalized.h"

typedef struct tandem_transform {
    tandem_view in;
    tandem_normalized *out; /* with explicit origins */
    size_t at;              /* byte of `in` that the account has come to */
} tandem_transform;

static inline tandem_status tandem__transform_put(tandem_transform *t, uint32_t code,
                                                  int64_t change, tandem_error *err) {
    TANDEM_ASSERT(change > 0 ? t->at > 0 : t->at < t->in.len);
    const size_t from = change > 0 ? t->at - 1 : t->at;
    const tandem_status status = tandem__normalized_reserve(t->out, 4, err);
    if (status != TANDEM_OK) return status;
    tandem__normalized_put(t->out, code,
                           t->out->wants_origins ? tandem__view_origin(t->in, from) : 0);
    for (int64_t i = change; i <= 0 && t->at < t->in.len; i++) {
        t->at++;
        while (t->at < t->in.len && (t->in.bytes[t->at] & 0xc0) == 0x80) t->at++;
    }
    return TANDEM_OK;
}

#endif
