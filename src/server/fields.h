/* SPDX-License-Identifier: Apache-2.0 */
/* Typed reads of a request body's members.
 *
 * Each takes the object and the member's name as errors give it: "truncate", or with the way to it
 * "parameters.truncate", of which what follows the last dot is the key. A member that is absent or
 * null leaves the value as it is (the default). Anything else that does not fit is TANDEM_INVALID
 * with ask->field set and a message of one form, "truncate: 12, expected true or false", which
 * every API puts into its own error body. Pure functions; any thread, one ask each. */
#ifndef TANDEM_SERVER_FIELDS_H
#define TANDEM_SERVER_FIELDS_H

#include "server/ask.h"

/* The member, NULL where it is absent or null. */
const tandem_json *server_field(const tandem_json *object, const char *name);

/* "name[index]", in the ask's arena; `name` itself without memory. */
const char *server_field_item(server_ask *ask, const char *name, size_t index);

/* Raises the error above. `name` is borrowed for as long as the ask. */
tandem_status server_field_fail(server_ask *ask, const char *name, const tandem_json *value,
                                const char *expected, tandem_error *err);

/* ... of a field that has to be there: "query: missing, expected a string". */
tandem_status server_field_missing(server_ask *ask, const char *name, const char *expected,
                                   tandem_error *err);

/* ... of one that holds nothing: "`inputs` cannot be empty", which is 400 in every API. */
tandem_status server_field_empty(server_ask *ask, const char *name, tandem_error *err);

tandem_status server_field_bool(server_ask *ask, const tandem_json *object, const char *name,
                                bool *value, tandem_error *err) TANDEM_NODISCARD;
tandem_status server_field_str(server_ask *ask, const tandem_json *object, const char *name,
                               tandem_str *value, tandem_error *err) TANDEM_NODISCARD;

/* The value of a number that is whole, however it is written: 2, 2.0 and 2e0 are the same to JSON.
 * False for anything else, and beyond 2^53 for what is not written as an integer. */
bool server_json_int(const tandem_json *node, int64_t *value);

typedef struct server_range {
    int64_t min;
    int64_t max;
} server_range;
tandem_status server_field_int(server_ask *ask, const tandem_json *object, const char *name,
                               server_range range, int64_t *value,
                               tandem_error *err) TANDEM_NODISCARD;

/* The NUL-terminated text of a member, in the ask's arena. */
tandem_status server_field_word(server_ask *ask, const tandem_json *object, const char *name,
                                const char **value, tandem_error *err) TANDEM_NODISCARD;

/* Memory of the ask; the error says that there is none. `count * size` is checked. */
void *server_ask_array(server_ask *ask, size_t count, size_t size, tandem_error *err);

/* The body's JSON; what is none is 400, what needs more memory than a request may have 413. */
tandem_status server_body_parse(server_ask *ask, tandem_str body, const tandem_json **root,
                                tandem_error *err) TANDEM_NODISCARD;

/* TANDEM_INVALID unless the body is an object. */
tandem_status server_body_object(server_ask *ask, const tandem_json *body,
                                 tandem_error *err) TANDEM_NODISCARD;

/* `lane`, `priority` (a word or an integer, lower first), `deadline_ms` and `fallback`. */
tandem_status server_read_common(server_ask *ask, const tandem_json *object,
                                 tandem_error *err) TANDEM_NODISCARD;

/* `model`, or the path's, or the first that serves `need`: into ask->model. */
tandem_status server_read_model(server_ask *ask, const tandem_json *object, server_need need,
                                tandem_error *err) TANDEM_NODISCARD;

/* The model that the route's path names, percent-encoded or not; into ask->model. */
tandem_status server_read_path_model(server_ask *ask, tandem_str name, server_need need,
                                     tandem_error *err) TANDEM_NODISCARD;

/* `dimensions`: 1 to the model's own, into ask->request. */
tandem_status server_read_dimensions(server_ask *ask, const tandem_json *object,
                                     tandem_error *err) TANDEM_NODISCARD;

/* TEI's words for too many texts in one request. */
tandem_status server_check_batch(server_ask *ask, const char *name, size_t count,
                                 tandem_error *err) TANDEM_NODISCARD;

#endif
