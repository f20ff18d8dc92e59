/* SPDX-License-Identifier: Apache-2.0 */
/* sigtimedwait where the system has it. macOS has only sigwait, which cannot give up: where it has
 * to, what is pending is looked at a hundred times a second. */
#include "base/signal_wait.h"

#include <time.h>

#include "base/clock.h"

#ifdef __APPLE__

#define LOOK_NS 10000000L

static int take_pending(const sigset_t *signals) {
    sigset_t pending;
    int number = 0;
    if (sigpending(&pending) != 0) return 0;
    for (int i = 1; i < NSIG; i++) {
        if (sigismember(signals, i) == 1 && sigismember(&pending, i) == 1)
            return sigwait(signals, &number) == 0 ? number : 0;
    }
    return 0;
}

int tandem__signal_wait(const sigset_t *signals, uint64_t until_ns) {
    const struct timespec look = {.tv_nsec = LOOK_NS};
    int number = 0;
    if (until_ns == UINT64_MAX) return sigwait(signals, &number) == 0 ? number : 0;
    for (;;) {
        number = take_pending(signals);
        if (number != 0 || tandem__clock_ns() >= until_ns) return number;
        (void)nanosleep(&look, NULL);
    }
}

#else

int tandem__signal_wait(const sigset_t *signals, uint64_t until_ns) {
    int number = 0;
    if (until_ns == UINT64_MAX) {
        number = sigwaitinfo(signals, NULL);
    } else {
        const uint64_t now_ns = tandem__clock_ns();
        const uint64_t left_ns = until_ns > now_ns ? until_ns - now_ns : 0;
        const struct timespec left = {.tv_sec = (time_t)(left_ns / 1000000000),
                                      .tv_nsec = (long)(left_ns % 1000000000)};
        number = sigtimedwait(signals, NULL, &left);
    }
    return number > 0 ? number : 0;
}

#endif
