/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that do not block, and queues of those that are done. Calls and their memory are kept by
 * the engine and used again, so that submitting allocates nothing once it has grown. */
#include "tandem/call.h"

#include <pthread.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/fail.h"
#include "base/mem.h"
#include "base/signal_fd.h"
#include "pipeline/pipeline_internal.h"

#define KEPT_CALLS_MAX 256                /* for the next; a crowd's are given back */
#define KEPT_BYTES_MAX ((size_t)64 << 10) /* of a result in a call that is kept for the next */

struct tandem_call {
    pipeline_job job; /* first: the job that is over is a call */
    tandem_result result;
    tandem_error error;
    tandem_status status;
    tandem_done_function *done;
    void *context;
    tandem_queue *queue;
    struct tandem_call *next; /* in its queue, or in the engine's free list */
};

struct tandem_queue {
    pthread_mutex_t mutex;
    tandem_signal_fd signal;
    tandem_call *first;
    tandem_call *last;
};

static tandem_call *call_new(tandem_engine *engine) {
    (void)pthread_mutex_lock(&engine->calls_mutex);
    tandem_call *call = engine->free_calls;
    if (call != NULL) {
        engine->free_calls = call->next;
        engine->free_call_count--;
    }
    (void)pthread_mutex_unlock(&engine->calls_mutex);
    return call != NULL ? call : tandem__mem_calloc(1, sizeof *call);
}

void tandem_call_close(tandem_call *call) {
    if (call == NULL) return;
    tandem_engine *engine = call->job.engine;
    if (tandem__result_bytes(&call->result) > KEPT_BYTES_MAX) tandem_result_deinit(&call->result);
    (void)pthread_mutex_lock(&engine->calls_mutex);
    const bool is_kept = engine->free_call_count < KEPT_CALLS_MAX;
    if (is_kept) {
        call->next = engine->free_calls;
        engine->free_calls = call;
        engine->free_call_count++;
    }
    (void)pthread_mutex_unlock(&engine->calls_mutex);
    if (is_kept) return;
    tandem_result_deinit(&call->result);
    tandem__mem_free(call);
}

void tandem__calls_free(tandem_engine *engine) {
    while (engine->free_calls != NULL) {
        tandem_call *call = engine->free_calls;
        engine->free_calls = call->next;
        tandem_result_deinit(&call->result);
        tandem__mem_free(call);
    }
}

static void queue_push(tandem_queue *queue, tandem_call *call) {
    (void)pthread_mutex_lock(&queue->mutex);
    call->next = NULL;
    const bool was_empty = queue->first == NULL;
    if (was_empty)
        queue->first = call;
    else
        queue->last->next = call;
    queue->last = call;
    if (was_empty) tandem__signal_fd_set(&queue->signal);
    (void)pthread_mutex_unlock(&queue->mutex);
}

static void call_over(pipeline_job *job) {
    tandem_call *call = (tandem_call *)(void *)job;
    tandem_error_clear(&call->error);
    call->status = tandem__job_finish(job, &call->error);
    if (call->queue != NULL)
        queue_push(call->queue, call);
    else
        call->done(call->context, call);
}

/* A request of which nothing is left to compute is over at once. */
static tandem_status start(tandem_call *call, tandem_error *err) {
    if (call->job.sched.unit_count > 0) return tandem__dispatch_start(&call->job, err);
    call_over(&call->job);
    return TANDEM_OK;
}

static tandem_status submit(tandem_engine *engine, const tandem_request *request,
                            const tandem_call *how, tandem_call **out, uint64_t *retry_ns,
                            tandem_error *err) {
    if (retry_ns != NULL) *retry_ns = 0;
    tandem_call *call = call_new(engine);
    if (call == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for a call");
    call->done = how->done;
    call->context = how->context;
    call->queue = how->queue;
    call->job.engine = engine;
    tandem_status status = tandem__job_prepare(engine, request, &call->result, &call->job, err);
    call->job.finished = call_over;
    if (out != NULL) *out = call;
    if (status == TANDEM_OK) status = start(call, err);
    if (status == TANDEM_OK) return TANDEM_OK;
    if (retry_ns != NULL) *retry_ns = call->result.retry_ns;
    if (out != NULL) *out = NULL;
    tandem_call_close(call);
    return status;
}

tandem_status tandem_engine_submit(tandem_engine *engine, const tandem_request *request,
                                   tandem_done_function *done, void *context, tandem_call **call,
                                   uint64_t *retry_ns, tandem_error *err) {
    if (done == NULL) return TANDEM_FAIL(err, INVALID, "done: NULL, expected a function");
    const tandem_call how = {.done = done, .context = context};
    return submit(engine, request, &how, call, retry_ns, err);
}

tandem_status tandem_queue_submit(tandem_queue *queue, tandem_engine *engine,
                                  const tandem_request *request, void *context, tandem_call **call,
                                  uint64_t *retry_ns, tandem_error *err) {
    const tandem_call how = {.queue = queue, .context = context};
    return submit(engine, request, &how, call, retry_ns, err);
}

tandem_status tandem_call_result(const tandem_call *call, const tandem_result **result,
                                 tandem_error *err) {
    if (err != NULL && err->status == TANDEM_OK) *err = call->error;
    *result = call->status == TANDEM_OK ? &call->result : NULL;
    return call->status;
}

tandem_status tandem_call_take(tandem_call *call, tandem_result *result, tandem_error *err) {
    const tandem_result *borrowed = NULL;
    TANDEM_TRY(tandem_call_result(call, &borrowed, err));
    const tandem_result given = *result;
    *result = call->result;
    call->result = given;
    return TANDEM_OK;
}

void *tandem_call_context(const tandem_call *call) {
    return call->context;
}

void tandem_call_cancel(tandem_call *call) {
    tandem__dispatch_cancel(&call->job);
}

tandem_status tandem_queue_open(tandem_queue **queue, tandem_error *err) {
    tandem_queue *made = tandem__mem_calloc(1, sizeof *made);
    if (made == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for a queue");
    tandem_status status = tandem__signal_fd_open(&made->signal, err);
    if (status == TANDEM_OK && pthread_mutex_init(&made->mutex, NULL) != 0) {
        tandem__signal_fd_close(&made->signal);
        status = TANDEM_FAIL(err, MEMORY, "no memory for a mutex");
    }
    if (status == TANDEM_OK)
        *queue = made;
    else
        tandem__mem_free(made);
    return status;
}

void tandem_queue_close(tandem_queue *queue) {
    if (queue == NULL) return;
    TANDEM_ASSERT(queue->first == NULL);
    tandem__signal_fd_close(&queue->signal);
    (void)pthread_mutex_destroy(&queue->mutex);
    tandem__mem_free(queue);
}

int tandem_queue_fd(const tandem_queue *queue) {
    return tandem__signal_fd_get(&queue->signal);
}

tandem_call *tandem_queue_next(tandem_queue *queue) {
    (void)pthread_mutex_lock(&queue->mutex);
    tandem_call *call = queue->first;
    if (call != NULL) {
        queue->first = call->next;
        if (queue->first == NULL) tandem__signal_fd_clear(&queue->signal);
    }
    (void)pthread_mutex_unlock(&queue->mutex);
    return call;
}

tandem_status tandem_engine_drain(tandem_engine *engine, double timeout_ms, tandem_error *err) {
    if (!(timeout_ms >= 0 && timeout_ms <= 1e9))
        return TANDEM_FAIL(err, INVALID, "timeout_ms: %g, expected 0 to 1e9", timeout_ms);
    const uint64_t until_ns = tandem__clock_ns() + (uint64_t)(timeout_ms * 1e6);
    if (tandem__dispatch_drain(engine, until_ns)) return TANDEM_OK;
    return TANDEM_FAIL(err, TIMEOUT, "not done within %g ms: what was left is cancelled",
                       timeout_ms);
}
