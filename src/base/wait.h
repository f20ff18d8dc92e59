/* SPDX-License-Identifier: Apache-2.0 */
/* Condition variables that wait until a time of tandem__clock_ns, which a changed wall clock does
 * not move. */
#ifndef TANDEM_BASE_WAIT_H
#define TANDEM_BASE_WAIT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* False when out of memory. Destroy with pthread_cond_destroy. */
bool tandem__cond_init(pthread_cond_t *cond);

/* Returns when signalled, at `until_ns` (UINT64_MAX = never), or for no reason. */
void tandem__cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t until_ns);

#endif
