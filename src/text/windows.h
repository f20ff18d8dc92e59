/* SPDX-License-Identifier: Apache-2.0 */
/* Truncation: which tokens of a text are in which window.
 *
 *     tokens   0 1 2 3 4 5 6 7 8      limit 4, stride 1, from the right
 *     window 0 [0 1 2 3]              the first window is the result,
 *     window 1       [3 4 5 6]        the others are what overflows
 *     window 2             [6 7 8]
 *
 * Pure arithmetic on counts; the reference's rules, its odd cases included. */
#ifndef TANDEM_TEXT_WINDOWS_H
#define TANDEM_TEXT_WINDOWS_H

#include "tandem/tokenizer.h"
#include "text/array.h"
#include "text/pretokenizer.h"

#define TANDEM_WINDOW_NO_LIMIT SIZE_MAX

typedef struct tandem_window_plan {
    size_t limits[2]; /* tokens that a window of each text may hold, or TANDEM_WINDOW_NO_LIMIT */
} tandem_window_plan;

/* `counts` are the tokens of the text and of its pair; `is_pair` says whether there is one;
 * `special_count` tokens are added to them. */
tandem_status tandem__windows_plan(const tandem_encode_options *options, const size_t counts[2],
                                   bool is_pair, size_t special_count, tandem_window_plan *plan,
                                   tandem_error *err) TANDEM_NODISCARD;

/* Replaces `windows` (tandem_split) by those of `count` tokens; at least one. */
tandem_status tandem__windows_cut(const tandem_encode_options *options, size_t count, size_t limit,
                                  tandem_array *windows, tandem_error *err) TANDEM_NODISCARD;

#endif
