/* SPDX-License-Identifier: Apache-2.0 */
#include "text/marks.h"

#include "base/assert.h"
#include "base/fail.h"
#include "text/unicode.h"

tandem_status tandem__marks_push(tandem_marks *marks, tandem_mark mark, uint32_t origin,
                                 tandem_error *err) {
    TANDEM_ASSERT(mark.rank > 0 && mark.rank < UNICODE_CLASS_COUNT);
    TANDEM_TRY(tandem__array_reserve(&marks->items, 1, sizeof mark, err));
    if (mark.is_first) {
        TANDEM_TRY(tandem__array_reserve(&marks->sources, 1, sizeof origin, err));
        ((uint32_t *)marks->sources.ptr)[marks->sources.count++] = origin;
    }
    ((tandem_mark *)marks->items.ptr)[marks->items.count++] = mark;
    marks->has_kept |= mark.is_kept;
    return TANDEM_OK;
}

tandem_status tandem__marks_sort(tandem_marks *marks, tandem_error *err) {
    const size_t count = marks->items.count;
    marks->sorted.count = 0;
    TANDEM_TRY(tandem__array_reserve(&marks->sorted, count, sizeof(tandem_mark), err));
    const tandem_mark *const items = marks->items.ptr;
    tandem_mark *const sorted = marks->sorted.ptr;
    size_t place[UNICODE_CLASS_COUNT + 1] = {0};
    for (size_t i = 0; i < count; i++) place[items[i].rank + 1]++;
    for (size_t rank = 1; rank <= UNICODE_CLASS_COUNT; rank++) place[rank] += place[rank - 1];
    for (size_t i = 0; i < count; i++) sorted[place[items[i].rank]++] = items[i];
    marks->sorted.count = count;
    return TANDEM_OK;
}

void tandem__marks_deinit(tandem_marks *marks) {
    tandem__array_deinit(&marks->items);
    tandem__array_deinit(&marks->sorted);
    tandem__array_deinit(&marks->sources);
}
