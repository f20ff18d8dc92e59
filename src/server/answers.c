/* SPDX-License-Identifier: Apache-2.0 */
#include "server/answers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/json_text.h"
#include "server/fields.h"

tandem_status server_push(tandem_buffer *out, const char *text, tandem_error *err) {
    return tandem__buffer_push(out, text, strlen(text), err);
}

tandem_status server_push_int(tandem_buffer *out, int64_t value, tandem_error *err) {
    char digits[24];
    size_t at = sizeof digits;
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        digits[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (value < 0) digits[--at] = '-';
    return tandem__buffer_push(out, digits + at, sizeof digits - at, err);
}

tandem_status server_push_string(tandem_buffer *out, const char *text, tandem_error *err) {
    return tandem__json_text_string(out, tandem__str(text), err);
}

tandem_status server_push_float(tandem_buffer *out, float value, tandem_error *err) {
    return tandem__json_text_join(out, &value, 1, ',', err);
}

tandem_status server_header_int(server_ask *ask, const char *name, int64_t value,
                                tandem_error *err) {
    if (ask->more_headers == NULL) return TANDEM_OK;
    TANDEM_TRY(server_push(ask->more_headers, name, err));
    TANDEM_TRY(server_push(ask->more_headers, ": ", err));
    TANDEM_TRY(server_push_int(ask->more_headers, value, err));
    return server_push(ask->more_headers, "\r\n", err);
}

tandem_status server_header_truncated(server_ask *ask, size_t truncated, tandem_error *err) {
    return truncated == 0 ? TANDEM_OK
                          : server_header_int(ask, "X-Tandem-Truncated", (int64_t)truncated, err);
}

const float *server_vector(const tandem_result *result, size_t i) {
    return result->vectors + i * (size_t)result->dimensions;
}

int64_t server_tokens(const tandem_result *result) {
    int64_t tokens = 0;
    for (size_t i = 0; i < result->count; i++) tokens += result->texts[i].tokens;
    return tokens;
}

typedef struct ranked {
    float score;
    uint32_t index;
} ranked;

static int by_score(const void *a, const void *b) {
    const ranked *one = a;
    const ranked *other = b;
    if (one->score != other->score) return one->score < other->score ? 1 : -1;
    return one->index < other->index ? 1 : -1;
}

tandem_status server_rank(server_ask *ask, const float *scores, size_t count, uint32_t **order,
                          tandem_error *err) {
    ranked *all = server_ask_array(ask, count, sizeof *all, err);
    *order = server_ask_array(ask, count, sizeof **order, err);
    if (all == NULL || *order == NULL) return TANDEM_MEMORY;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(scores[i])) return TANDEM_FAIL(err, NUMERIC, "score %zu is not finite", i);
        all[i] = (ranked){.score = scores[i], .index = (uint32_t)i};
    }
    qsort(all, count, sizeof *all, by_score);
    for (size_t i = 0; i < count; i++) (*order)[i] = all[i].index;
    return TANDEM_OK;
}
