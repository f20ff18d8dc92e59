/* SPDX-License-Identifier: Apache-2.0 */
/* Canonical ordering of combining marks (Unicode 3.11, D109), with origins kept as the reference
 * keeps them.
 *
 * Marks after a starter wait here and leave in the stable order of their combining class. The
 * reference pairs the sorted marks with the characters they came from in the order of the text:
 * the k-th mark that begins a decomposition gets the k-th character as its origin, and a mark
 * inside a decomposition the origin of the mark before it. Linear: a run is sorted by counting.
 * One thread at a time. */
#ifndef TANDEM_TEXT_MARKS_H
#define TANDEM_TEXT_MARKS_H

#include <stdbool.h>
#include <stdint.h>

#include "text/array.h"

typedef struct tandem_mark {
    uint32_t code;
    uint8_t rank;  /* of the combining class, > 0 */
    bool is_first; /* of its character's decomposition */
    bool is_kept;  /* by what follows the ordering */
} tandem_mark;

typedef struct tandem_marks {
    tandem_array items;   /* tandem_mark, in the order of the text */
    tandem_array sorted;  /* tandem_mark */
    tandem_array sources; /* uint32_t: origins of the items that are first */
    bool has_kept;
} tandem_marks;

tandem_status tandem__marks_push(tandem_marks *marks, tandem_mark mark, uint32_t origin,
                                 tandem_error *err) TANDEM_NODISCARD;

/* Puts the waiting marks in order; they are then in `sorted`. */
tandem_status tandem__marks_sort(tandem_marks *marks, tandem_error *err) TANDEM_NODISCARD;

static inline void tandem__marks_clear(tandem_marks *marks) {
    marks->items.count = 0;
    marks->sources.count = 0;
    marks->has_kept = false;
}

void tandem__marks_deinit(tandem_marks *marks);

#endif
