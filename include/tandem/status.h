/* SPDX-License-Identifier: Apache-2.0 */
/* Status codes and the error record that every fallible function fills.
 *
 * A function that can fail returns tandem_status and takes a tandem_error pointer last. The
 * pointer may be NULL. The first failure wins: a record that holds an error is not overwritten,
 * so a caller sees the cause and not its consequences. Clear one with tandem_error_clear before
 * it is used again.
 *
 * Numbers are stable: a code keeps its value for ever, new ones take free numbers. */
#ifndef TANDEM_STATUS_H
#define TANDEM_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) || defined(__clang__)
#define TANDEM_API               __attribute__((visibility("default")))
#define TANDEM_NODISCARD         __attribute__((warn_unused_result))
#define TANDEM_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define TANDEM_API
#define TANDEM_NODISCARD
#define TANDEM_PRINTF(fmt, args)
#endif

/* clang-format off */
#define TANDEM_STATUS_MAP(X)                                                                       \
    X(OK,          0,  "ok")                                                                       \
    X(INVALID,     1,  "invalid argument")                                                         \
    X(UNSUPPORTED, 2,  "not supported")                                                            \
    X(NOT_FOUND,   3,  "not found")                                                                \
    X(FORMAT,      10, "malformed file or input")                                                  \
    X(IO,          11, "input or output failed")                                                   \
    X(PERMISSION,  12, "permission denied")                                                        \
    X(CAPACITY,    20, "request exceeds a configured limit")                                       \
    X(TIMEOUT,     21, "deadline not met")                                                         \
    X(CANCELLED,   22, "cancelled")                                                                \
    X(MEMORY,      30, "out of memory")                                                            \
    X(DEVICE,      40, "device failure")                                                           \
    X(NUMERIC,     41, "result is not a number or outside its bound")
/* clang-format on */

typedef enum tandem_status {
#define TANDEM_STATUS_ENUM(name, value, text) TANDEM_##name = value,
    TANDEM_STATUS_MAP(TANDEM_STATUS_ENUM)
#undef TANDEM_STATUS_ENUM
} tandem_status;

/* Owned by the caller. `message` is one line without a full stop; it names the thing, its value
 * and what was expected. `file` and `line` say where in tandem the error was raised. */
typedef struct tandem_error {
    tandem_status status;
    int line;
    const char *file;
    char message[480];
} tandem_error;

/* Static text of a code, "unknown status" for a number that is none. Any thread. */
TANDEM_API const char *tandem_status_text(tandem_status status);

/* Makes `err` empty. NULL is allowed. */
TANDEM_API void tandem_error_clear(tandem_error *err);

#ifdef __cplusplus
}
#endif
#endif
