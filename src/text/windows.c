/* SPDX-License-Identifier: Apache-2.0 */
#include "text/windows.h"

#include "base/assert.h"
#include "base/fail.h"

/* Both texts of a pair give way: the longer one first, then both to half. */
static void plan_longest_first(const size_t counts[2], size_t room, tandem_window_plan *plan) {
    const bool is_swapped = counts[0] > counts[1];
    size_t shorter = is_swapped ? counts[1] : counts[0];
    size_t longer = 0;
    if (shorter > room)
        longer = shorter;
    else
        longer = shorter > room - shorter ? shorter : room - shorter;
    if (shorter + longer > room) {
        shorter = room / 2;
        longer = shorter + room % 2;
    }
    plan->limits[0] = is_swapped ? longer : shorter;
    plan->limits[1] = is_swapped ? shorter : longer;
}

tandem_status tandem__windows_plan(const tandem_encode_options *options, const size_t counts[2],
                                   bool is_pair, size_t special_count, tandem_window_plan *plan,
                                   tandem_error *err) {
    plan->limits[0] = plan->limits[1] = TANDEM_WINDOW_NO_LIMIT;
    if (options->max_length == 0) return TANDEM_OK;
    const size_t max_length = (size_t)options->max_length;
    if (max_length < special_count) {
        return TANDEM_FAIL(err, CAPACITY, "max_length: %d, expected room for %zu special tokens",
                           options->max_length, special_count);
    }
    const size_t room = max_length - special_count;
    const size_t total = counts[0] + counts[1];
    if (room == 0) {
        plan->limits[0] = plan->limits[1] = 0;
        return TANDEM_OK;
    }
    if (total <= room) return TANDEM_OK;
    if (options->truncation == TANDEM_TRUNCATION_LONGEST_FIRST) {
        if (is_pair)
            plan_longest_first(counts, room, plan);
        else
            plan->limits[0] = room;
        return TANDEM_OK;
    }
    const int target = options->truncation == TANDEM_TRUNCATION_ONLY_SECOND;
    if (target == 1 && !is_pair) {
        return TANDEM_FAIL(err, INVALID,
                           "truncation: only_second of one text of %zu tokens, expected a pair",
                           total);
    }
    if (counts[target] <= total - room) {
        return TANDEM_FAIL(err, CAPACITY,
                           "truncation: text %d has %zu tokens, expected over the %zu to remove",
                           target + 1, counts[target], total - room);
    }
    plan->limits[target] = counts[target] - (total - room);
    return TANDEM_OK;
}

static tandem_status push(tandem_array *windows, size_t start, size_t end, tandem_error *err) {
    TANDEM_TRY(tandem__array_reserve(windows, 1, sizeof(tandem_split), err));
    ((tandem_split *)windows->ptr)[windows->count++] =
        (tandem_split){(uint32_t)start, (uint32_t)end};
    return TANDEM_OK;
}

tandem_status tandem__windows_cut(const tandem_encode_options *options, size_t count, size_t limit,
                                  tandem_array *windows, tandem_error *err) {
    windows->count = 0;
    if (limit >= count) return push(windows, 0, count, err);
    if (limit == 0) { /* the result is empty and everything overflows */
        TANDEM_TRY(push(windows, 0, 0, err));
        return options->keep_overflow ? push(windows, 0, count, err) : TANDEM_OK;
    }
    const size_t stride = (size_t)options->stride;
    if (stride >= limit) {
        return TANDEM_FAIL(err, INVALID,
                           "stride: %d, expected less than the %zu tokens of a window",
                           options->stride, limit);
    }
    for (size_t moved = 0;; moved += limit - stride) {
        size_t start = moved;
        size_t end = moved + limit < count ? moved + limit : count;
        if (options->truncate_left) {
            end = count - moved;
            start = end > limit ? end - limit : 0;
        }
        TANDEM_TRY(push(windows, start, end, err));
        const bool is_last = options->truncate_left ? start == 0 : end == count;
        if (is_last || !options->keep_overflow) return TANDEM_OK;
    }
}
