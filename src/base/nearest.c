/* SPDX-License-Identifier: Apache-2.0 */
#include "base/nearest.h"

#include <string.h>

#define DISTANCE_CHARS_MAX 32

int tandem__edit_distance(const char *a, const char *b) {
    int row[DISTANCE_CHARS_MAX + 1];
    const size_t a_len = strnlen(a, DISTANCE_CHARS_MAX);
    const size_t b_len = strnlen(b, DISTANCE_CHARS_MAX);
    for (size_t j = 0; j <= b_len; j++) row[j] = (int)j;
    for (size_t i = 1; i <= a_len; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= b_len; j++) {
            const int above = row[j];
            int best = diagonal + (a[i - 1] != b[j - 1]);
            if (above + 1 < best) best = above + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            diagonal = above;
            row[j] = best;
        }
    }
    return row[b_len];
}
