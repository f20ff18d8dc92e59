/* SPDX-License-Identifier: Apache-2.0 */
#include "server/workers.h"

#include <pthread.h>
#include <stdbool.h>

#include "base/fail.h"
#include "base/mem.h"

#define THREADS_MAX 8

struct server_workers {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    server_task *first;
    server_task **end;
    bool is_closing;
    pthread_t threads[THREADS_MAX];
    int32_t count;
};

static void *work(void *arg) {
    server_workers *workers = arg;
    (void)pthread_mutex_lock(&workers->mutex);
    for (;;) {
        server_task *task = workers->first;
        if (task == NULL) {
            if (workers->is_closing) break;
            (void)pthread_cond_wait(&workers->cond, &workers->mutex);
            continue;
        }
        workers->first = task->next;
        if (workers->first == NULL) workers->end = &workers->first;
        (void)pthread_mutex_unlock(&workers->mutex);
        task->run(task);
        (void)pthread_mutex_lock(&workers->mutex);
    }
    (void)pthread_mutex_unlock(&workers->mutex);
    return NULL;
}

tandem_status server_workers_open(int32_t threads, server_workers **workers, tandem_error *err) {
    server_workers *made = tandem__mem_calloc(1, sizeof *made);
    if (made == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for worker threads");
    (void)pthread_mutex_init(&made->mutex, NULL);
    (void)pthread_cond_init(&made->cond, NULL);
    made->end = &made->first;
    const int32_t wanted = threads < 1 ? 1 : threads > THREADS_MAX ? THREADS_MAX : threads;
    while (made->count < wanted &&
           pthread_create(&made->threads[made->count], NULL, work, made) == 0)
        made->count++;
    if (made->count == 0) {
        server_workers_close(made);
        return TANDEM_FAIL(err, MEMORY, "the system gives no worker thread");
    }
    *workers = made;
    return TANDEM_OK;
}

void server_workers_push(server_workers *workers, server_task *task) {
    task->next = NULL;
    (void)pthread_mutex_lock(&workers->mutex);
    *workers->end = task;
    workers->end = &task->next;
    (void)pthread_cond_signal(&workers->cond);
    (void)pthread_mutex_unlock(&workers->mutex);
}

void server_workers_close(server_workers *workers) {
    if (workers == NULL) return;
    (void)pthread_mutex_lock(&workers->mutex);
    workers->is_closing = true;
    (void)pthread_cond_broadcast(&workers->cond);
    (void)pthread_mutex_unlock(&workers->mutex);
    for (int32_t i = 0; i < workers->count; i++) (void)pthread_join(workers->threads[i], NULL);
    (void)pthread_cond_destroy(&workers->cond);
    (void)pthread_mutex_destroy(&workers->mutex);
    tandem__mem_free(workers);
}
