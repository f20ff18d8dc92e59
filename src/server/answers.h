/* SPDX-License-Identifier: Apache-2.0 */
/* What the writers of several APIs share. */
#ifndef TANDEM_SERVER_ANSWERS_H
#define TANDEM_SERVER_ANSWERS_H

#include "server/ask.h"

/* The bytes of a literal or text, without their NUL. */
tandem_status server_push(tandem_buffer *out, const char *text, tandem_error *err) TANDEM_NODISCARD;

/* A number in decimal. */
tandem_status server_push_int(tandem_buffer *out, int64_t value,
                              tandem_error *err) TANDEM_NODISCARD;

/* A JSON string of a NUL-terminated text. */
tandem_status server_push_string(tandem_buffer *out, const char *text,
                                 tandem_error *err) TANDEM_NODISCARD;

/* One value; TANDEM_NUMERIC where it is not finite. */
tandem_status server_push_float(tandem_buffer *out, float value,
                                tandem_error *err) TANDEM_NODISCARD;

/* A tree as text again. */
tandem_status server_push_json(tandem_buffer *out, const tandem_json *node,
                               tandem_error *err) TANDEM_NODISCARD;

/* `name: value` among the answer's headers. */
tandem_status server_header_int(server_ask *ask, const char *name, int64_t value,
                                tandem_error *err) TANDEM_NODISCARD;

/* X-Tandem-Truncated where lists of token ids have been cut, if any. Of texts the engine knows it,
 * and the server says it. */
tandem_status server_header_cut(server_ask *ask, size_t cut, tandem_error *err) TANDEM_NODISCARD;

/* Vector `i` of the result. */
const float *server_vector(const tandem_result *result, size_t i);

/* Of all its texts, whether computed now or known before. */
int64_t server_tokens(const tandem_result *result);

/* Whether a lane has computed for the model of late, and the server takes work. */
bool server_model_is_ready(const server_catalog *catalog, const server_model *model);

/* Whether a writer should hand over what it has. */
static inline bool server_slice_is_full(const tandem_buffer *out) {
    return out->len >= SERVER_SLICE_BYTES;
}

/* Indices of `count` scores, highest first; of equal ones the later first, as TEI's sort and
 * reverse leave them. In the ask's arena. */
tandem_status server_rank(server_ask *ask, const float *scores, size_t count, uint32_t **order,
                          tandem_error *err) TANDEM_NODISCARD;

#endif
