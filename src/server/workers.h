/* SPDX-License-Identifier: Apache-2.0 */
/* A few threads for what would hold up a loop: reading large bodies, tokenizing long texts. */
#ifndef TANDEM_SERVER_WORKERS_H
#define TANDEM_SERVER_WORKERS_H

#include <stdint.h>

#include "tandem/status.h"

typedef struct server_workers server_workers;

/* A piece of work; the caller's memory, until it has run. */
typedef struct server_task {
    void (*run)(struct server_task *task);
    struct server_task *next;
} server_task;

tandem_status server_workers_open(int32_t threads, server_workers **workers,
                                  tandem_error *err) TANDEM_NODISCARD;

/* Any thread. In the order of the calls, several at a time. */
void server_workers_push(server_workers *workers, server_task *task);

/* Runs what is left, ends the threads. NULL is allowed. */
void server_workers_close(server_workers *workers);

#endif
