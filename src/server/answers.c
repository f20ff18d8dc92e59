/* SPDX-License-Identifier: Apache-2.0 */
#include "server/answers.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/json_text.h"
#include "server/fields.h"
#include "tandem/metrics.h"

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

static tandem_status push_children(tandem_buffer *out, const tandem_json *node, tandem_error *err) {
    const bool is_object = node->kind == TANDEM_JSON_OBJECT;
    TANDEM_TRY(server_push(out, is_object ? "{" : "[", err));
    for (const tandem_json *child = node->first; child != NULL; child = child->next) {
        if (child != node->first) TANDEM_TRY(server_push(out, ",", err));
        if (is_object) {
            TANDEM_TRY(tandem__json_text_string(out, child->key, err));
            TANDEM_TRY(server_push(out, ":", err));
        }
        TANDEM_TRY(server_push_json(out, child, err)); // as deep as TANDEM_JSON_DEPTH_MAX
    }
    return server_push(out, is_object ? "}" : "]", err);
}

tandem_status server_push_json(tandem_buffer *out, const tandem_json *node, tandem_error *err) {
    switch (node->kind) {
    case TANDEM_JSON_NULL:
        return server_push(out, "null", err);
    case TANDEM_JSON_BOOL:
        return server_push(out, node->count != 0 ? "true" : "false", err);
    case TANDEM_JSON_NUMBER:
        return tandem__buffer_push(out, node->text.ptr, node->text.len, err);
    case TANDEM_JSON_STRING:
        return tandem__json_text_string(out, node->text, err);
    case TANDEM_JSON_ARRAY:
    case TANDEM_JSON_OBJECT:
        return push_children(out, node, err);
    }
    return TANDEM_OK;
}

tandem_status server_header_int(server_ask *ask, const char *name, int64_t value,
                                tandem_error *err) {
    if (ask->more_headers == NULL) return TANDEM_OK;
    TANDEM_TRY(server_push(ask->more_headers, name, err));
    TANDEM_TRY(server_push(ask->more_headers, ": ", err));
    TANDEM_TRY(server_push_int(ask->more_headers, value, err));
    return server_push(ask->more_headers, "\r\n", err);
}

tandem_status server_header_cut(server_ask *ask, size_t cut, tandem_error *err) {
    return cut == 0 ? TANDEM_OK : server_header_int(ask, "X-Tandem-Truncated", (int64_t)cut, err);
}

const float *server_vector(const tandem_result *result, size_t i) {
    return result->vectors + i * (size_t)result->dimensions;
}

int64_t server_tokens(const tandem_result *result) {
    int64_t tokens = 0;
    for (size_t i = 0; i < result->count; i++) tokens += result->texts[i].tokens;
    return tokens;
}

bool server_model_is_ready(const server_catalog *catalog, const server_model *model) {
    if (catalog->is_draining != NULL && atomic_load(catalog->is_draining)) return false;
    return model->engine != NULL && tandem_engine_is_ready(model->engine);
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
