/* SPDX-License-Identifier: Apache-2.0 */
/* base/signal_fd and base/signal_wait. Built twice: as this system has them, and as macOS does
 * (test_signal_elsewhere). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <time.h>

#include "base/clock.h"
#include "base/signal_fd.h"
#include "base/signal_wait.h"

#define MS UINT64_C(1000000)

static int readable(const tandem_signal_fd *signal) {
    struct pollfd ask = {.fd = tandem__signal_fd_get(signal), .events = POLLIN};
    const int count = poll(&ask, 1, 0);
    assert_true(count >= 0);
    return count > 0 && (ask.revents & POLLIN) != 0;
}

static void test_fd(void **state) {
    (void)state;
    tandem_signal_fd signal;
    assert_int_equal(tandem__signal_fd_open(&signal, NULL), TANDEM_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(readable(&signal), 0);
        tandem__signal_fd_set(&signal);
        assert_int_equal(readable(&signal), 1);
        assert_int_equal(readable(&signal), 1); // until it is cleared
        tandem__signal_fd_clear(&signal);
    }
    assert_int_equal(readable(&signal), 0);
    tandem__signal_fd_close(&signal);
}

static void test_nothing_comes(void **state) {
    const sigset_t *signals = *state;
    const uint64_t start_ns = tandem__clock_ns();
    assert_int_equal(tandem__signal_wait(signals, start_ns + 30 * MS), 0);
    assert_true(tandem__clock_ns() - start_ns >= 30 * MS);
    assert_int_equal(tandem__signal_wait(signals, 0), 0); // a time that is over
}

static void test_pending(void **state) {
    const sigset_t *signals = *state;
    assert_int_equal(pthread_kill(pthread_self(), SIGHUP), 0);
    assert_int_equal(pthread_kill(pthread_self(), SIGTERM), 0);
    const int first = tandem__signal_wait(signals, UINT64_MAX);
    const int second = tandem__signal_wait(signals, tandem__clock_ns() + 1000 * MS);
    assert_true((first == SIGHUP && second == SIGTERM) || (first == SIGTERM && second == SIGHUP));
    assert_int_equal(tandem__signal_wait(signals, tandem__clock_ns()), 0); // each once
}

static void *send_later(void *argument) {
    const pthread_t *to = argument;
    (void)nanosleep(&(struct timespec){.tv_nsec = (long)(30 * MS)}, NULL);
    (void)pthread_kill(*to, SIGTERM);
    return NULL;
}

static void test_one_that_comes(void **state) {
    const sigset_t *signals = *state;
    pthread_t self = pthread_self();
    pthread_t sender;
    assert_int_equal(pthread_create(&sender, NULL, send_later, &self), 0);
    int number = 0;
    while (number == 0) number = tandem__signal_wait(signals, UINT64_MAX);
    assert_int_equal(number, SIGTERM);
    assert_int_equal(pthread_join(sender, NULL), 0);
}

int main(void) {
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fd),
        cmocka_unit_test_prestate(test_nothing_comes, &signals),
        cmocka_unit_test_prestate(test_pending, &signals),
        cmocka_unit_test_prestate(test_one_that_comes, &signals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
