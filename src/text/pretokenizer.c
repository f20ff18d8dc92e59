/* SPDX-License-Identifier: Apache-2.0 */
#include "text/pretokenizer.h"

const tandem_pretokenizer_type *tandem__pretokenizer_find(tandem_str name) {
    static const tandem_pretokenizer_type *const types[] = {&tandem__pretokenizer_bert_type};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (tandem__str_is(name, types[i]->name)) return types[i];
    }
    return NULL;
}

size_t tandem__pretokenizer_split(const tandem_pretokenizer *pretokenizer, const uint8_t *bytes,
                                  size_t end, size_t *at, tandem_split *splits, size_t max) {
    if (*at == end) return 0;
    if (pretokenizer->type != NULL) {
        return pretokenizer->type->split(pretokenizer->config, bytes, end, at, splits, max);
    }
    splits[0] = (tandem_split){(uint32_t)*at, (uint32_t)end};
    *at = end;
    return 1;
}
