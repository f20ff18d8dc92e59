/* SPDX-License-Identifier: Apache-2.0 */
#include "base/wait.h"

#include <time.h>

#include "base/clock.h"

#define SECOND_NS ((uint64_t)1000000000)

bool tandem__cond_init(pthread_cond_t *cond) {
#if defined(__APPLE__)
    return pthread_cond_init(cond, NULL) == 0;
#else
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0) return false;
    const bool is_made = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
                         pthread_cond_init(cond, &attributes) == 0;
    (void)pthread_condattr_destroy(&attributes);
    return is_made;
#endif
}

void tandem__cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t until_ns) {
    if (until_ns == UINT64_MAX) {
        (void)pthread_cond_wait(cond, mutex);
        return;
    }
#if defined(__APPLE__)
    const uint64_t now_ns = tandem__clock_ns();
    const uint64_t left_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    const struct timespec left = {.tv_sec = (time_t)(left_ns / SECOND_NS),
                                  .tv_nsec = (long)(left_ns % SECOND_NS)};
    (void)pthread_cond_timedwait_relative_np(cond, mutex, &left);
#else
    const struct timespec until = {.tv_sec = (time_t)(until_ns / SECOND_NS),
                                   .tv_nsec = (long)(until_ns % SECOND_NS)};
    (void)pthread_cond_timedwait(cond, mutex, &until);
#endif
}
