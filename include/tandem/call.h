/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that do not block: handed in, told about by a callback or through a queue that has a
 * file descriptor, cancelled if nobody wants them any more.
 *
 *     tandem_queue *queue = NULL;
 *     if (tandem_queue_open(&queue, &err)) ...
 *     if (tandem_queue_submit(queue, engine, &request, tag, NULL, &err)) ...
 *     poll(tandem_queue_fd(queue));              // readable when something is done
 *     for (tandem_call *call; (call = tandem_queue_next(queue)) != NULL; tandem_call_close(call)) {
 *         const tandem_result *result = NULL;
 *         if (tandem_call_result(call, &result, &err)) ... else use(tandem_call_context(call),
 * result);
 *     }
 *
 * Texts are tokenized before submit returns, on the caller's thread, and not read after that. Every
 * call ends exactly once: done, failed, cancelled, or told so when the engine closes. */
#ifndef TANDEM_CALL_H
#define TANDEM_CALL_H

#include "tandem/engine.h"
#include "tandem/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tandem_call tandem_call;

/* Called once for each call: on a thread of the engine, on one that is inside tandem_engine_infer
 * or cancels or drains, or from within submit where there is nothing to compute. It must not block
 * and must not close the engine. */
typedef void tandem_done_function(void *context, tandem_call *call);

/* Hands a request in. `*call` (NULL allowed) is set before `done` can run, and stays until
 * tandem_call_close. On failure there is no call and `done` is not called; *retry_ns (NULL allowed)
 * is when to try again after TANDEM_CAPACITY. Any thread. */
TANDEM_API tandem_status tandem_engine_submit(tandem_engine *engine, const tandem_request *request,
                                              tandem_done_function *done, void *context,
                                              tandem_call **call, uint64_t *retry_ns,
                                              tandem_error *err) TANDEM_NODISCARD;

/* How a call that is done ended: as tandem_engine_infer would have. The result is borrowed until
 * tandem_call_close. */
TANDEM_API tandem_status tandem_call_result(const tandem_call *call, const tandem_result **result,
                                            tandem_error *err) TANDEM_NODISCARD;

/* The same, and the result is the caller's: `result` and the call change memory, so that one that
 * is all zero is filled without a copy and one that was used before is used again by a later call.
 * The caller frees it with tandem_result_deinit, before or after the engine closes. Once a call. */
TANDEM_API tandem_status tandem_call_take(tandem_call *call, tandem_result *result,
                                          tandem_error *err) TANDEM_NODISCARD;

TANDEM_API void *tandem_call_context(const tandem_call *call);

/* Ends it as TANDEM_CANCELLED, and `done` has run when this returns. Nothing happens to a call that
 * has ended: its `done` has run, or runs just now on another thread. Any thread, before
 * tandem_call_close. */
TANDEM_API void tandem_call_cancel(tandem_call *call);

/* Gives the call and its result back, after it is done and before the engine closes; from inside
 * `done` as well. NULL is allowed. */
TANDEM_API void tandem_call_close(tandem_call *call);

/* Calls that are done, in the order they ended. */
typedef struct tandem_queue tandem_queue;

TANDEM_API tandem_status tandem_queue_open(tandem_queue **queue,
                                           tandem_error *err) TANDEM_NODISCARD;

/* NULL is allowed. Every call that was submitted through it must be done and taken with
 * tandem_queue_next. */
TANDEM_API void tandem_queue_close(tandem_queue *queue);

/* Readable while tandem_queue_next has something; for poll and the like, never to be read from. */
TANDEM_API int tandem_queue_fd(const tandem_queue *queue);

/* As tandem_engine_submit, told about through the queue. */
TANDEM_API tandem_status tandem_queue_submit(tandem_queue *queue, tandem_engine *engine,
                                             const tandem_request *request, void *context,
                                             tandem_call **call, uint64_t *retry_ns,
                                             tandem_error *err) TANDEM_NODISCARD;

/* A call that is done, now the caller's to close; NULL if there is none. Does not block. */
TANDEM_API tandem_call *tandem_queue_next(tandem_queue *queue);

/* Waits until nothing is queued or on a lane, for at most `timeout_ms`; then what is left is
 * cancelled and its callers told. Work that comes from now on is refused with TANDEM_CANCELLED:
 * what is left to do is to close the engine. Returns TANDEM_TIMEOUT if something had to be
 * cancelled. tandem_engine_close does this with a second. */
TANDEM_API tandem_status tandem_engine_drain(tandem_engine *engine, double timeout_ms,
                                             tandem_error *err) TANDEM_NODISCARD;

#ifdef __cplusplus
}
#endif
#endif
