/* SPDX-License-Identifier: Apache-2.0 */
#include "base/dtype.h"

#include <string.h>

#include "base/assert.h"

static const struct {
    const char *word;
    size_t bytes;
    tandem_dtype dtype;
} formats[] = {
#define TANDEM_DTYPE_ROW(name, value, word, bytes) {word, bytes, TANDEM_DTYPE_##name},
    TANDEM_DTYPE_MAP(TANDEM_DTYPE_ROW)
#undef TANDEM_DTYPE_ROW
};

#define FORMAT_COUNT ((int)(sizeof formats / sizeof formats[0]))

const char *tandem__dtype_word(tandem_dtype dtype) {
    if (dtype == TANDEM_DTYPE_AUTO) return "auto";
    TANDEM_ASSERT((int)dtype >= 0);
    TANDEM_ASSERT((int)dtype < FORMAT_COUNT);
    return formats[dtype].word;
}

size_t tandem__dtype_bytes(tandem_dtype dtype) {
    TANDEM_ASSERT((int)dtype >= 0);
    TANDEM_ASSERT((int)dtype < FORMAT_COUNT);
    return formats[dtype].bytes;
}

bool tandem__dtype_from_word(const char *word, tandem_dtype *dtype) {
    if (strcmp(word, "auto") == 0) {
        *dtype = TANDEM_DTYPE_AUTO;
        return true;
    }
    for (int i = 0; i < FORMAT_COUNT; i++) {
        if (strcmp(word, formats[i].word) != 0) continue;
        *dtype = formats[i].dtype;
        return true;
    }
    return false;
}
