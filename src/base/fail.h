/* SPDX-License-Identifier: Apache-2.0 */
/* How an operating error is raised and passed on.
 *
 *     if (n > limit) return TANDEM_FAIL(err, CAPACITY, "%d tokens, limit %d", n, limit);
 *     TANDEM_TRY(tandem__file_map(path, &map, err));
 *
 * TANDEM_FAIL is an expression so that the `return` stays visible; TANDEM_TRY is the only macro
 * that hides one. Functions that hold resources use `status = ...; if (status) goto fail;`. */
#ifndef TANDEM_BASE_FAIL_H
#define TANDEM_BASE_FAIL_H

#include "tandem/status.h"

#define TANDEM_FAIL(err, code, ...)                                                                \
    tandem__fail((err), TANDEM_##code, __FILE__, __LINE__, __VA_ARGS__)

#define TANDEM_TRY(expression)                                                                     \
    do {                                                                                           \
        const tandem_status tandem_try_status = (expression);                                      \
        if (tandem_try_status != TANDEM_OK) return tandem_try_status;                              \
    } while (0)

/* Fills `err` unless it is NULL or holds an error already; returns `status`. Bytes of the message
 * that are control characters or not UTF-8 are replaced, so that it stays one printable line. */
tandem_status tandem__fail(tandem_error *err, tandem_status status, const char *file, int line,
                           const char *format, ...) TANDEM_PRINTF(5, 6);

/* Puts "prefix: " before the message of an error already raised (to name the file that a parser
 * further down does not know). Returns `status`. Does nothing if `err` is NULL or empty. */
tandem_status tandem__fail_prefix(tandem_error *err, tandem_status status, const char *prefix);

#endif
