/* SPDX-License-Identifier: Apache-2.0 */
/* Connections whose clients are slow, in the middle of an answer that is as long as the test says:
 * who is cut, and who is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "server/http.h"

#define STALL_S      0.6
#define SLICE_BYTES  ((size_t)64 << 10)
#define ANSWER_BYTES ((size_t)64 << 20) /* more than the system's buffers take */

typedef struct server_of_test {
    http_server *http;
    tandem_buffer slice;
    size_t left;      /* of the answer */
    size_t left_min;  /* ... held back until the test ends */
    bool is_refusing; /* answers by the head */
    _Atomic int ended;
    _Atomic int gone;
} server_of_test;

static server_of_test state;

static void on_event(void *context, http_event event) {
    (void)context;
    (void)event;
}

static void push_slice(http_exchange *exchange) {
    if (state.left <= state.left_min) return;
    static const char zeros[SLICE_BYTES];
    assert_int_equal(TANDEM_OK, tandem__buffer_push(&state.slice, zeros, sizeof zeros, NULL));
    state.left -= sizeof zeros;
    http_answer_push(exchange, &state.slice);
}

static void on_head(void *context, http_exchange *exchange) {
    (void)context;
    if (state.is_refusing) {
        http_answer(exchange, 404, TANDEM_STR(""), TANDEM_STR("no"));
        return;
    }
    http_answer_begin(exchange, 200, TANDEM_STR("Content-Type: text/plain\r\n"));
    http_body_pause(exchange);
    push_slice(exchange);
    // As a stream does it: texts in memory are enough for now, lines are under way.
    http_body_resume(exchange);
    http_body_pause(exchange);
}

static void on_body(http_exchange *exchange, tandem_str bytes) {
    (void)exchange;
    (void)bytes;
}

static void on_whole(http_exchange *exchange) {
    (void)exchange;
}

static void on_ended(http_exchange *exchange, bool is_gone) {
    atomic_fetch_add(&state.ended, 1);
    atomic_fetch_add(&state.gone, is_gone);
    http_exchange_release(exchange);
}

static int set_up(void **unused) {
    (void)unused;
    const http_handler handler = {.event = on_event,
                                  .head = on_head,
                                  .body = on_body,
                                  .whole = on_whole,
                                  .drained = push_slice,
                                  .ended = on_ended};
    const http_options options = {.port = "0", .stall_s = STALL_S};
    memset(&state, 0, sizeof state);
    tandem__buffer_init(&state.slice, SLICE_BYTES);
    state.left = ANSWER_BYTES;
    return http_server_open(&options, &handler, &state.http, NULL) == TANDEM_OK ? 0 : -1;
}

static int tear_down(void **unused) {
    (void)unused;
    http_server_close(state.http);
    tandem__buffer_deinit(&state.slice);
    return 0;
}

static int client(void) {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)http_server_port(state.http)),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    assert_int_equal(0, connect(fd, (const struct sockaddr *)&address, sizeof address));
    static const char request[] = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345";
    assert_int_equal(sizeof request - 1, send(fd, request, sizeof request - 1, 0));
    return fd;
}

static void sleep_s(double seconds) {
    const struct timespec time = {.tv_sec = (time_t)seconds,
                                  .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    (void)nanosleep(&time, NULL);
}

/* Nothing of its body is read, and it takes nothing of the answer. */
static void test_one_that_takes_nothing_is_cut(void **unused) {
    (void)unused;
    const int fd = client();
    for (int i = 0; i < 50 && atomic_load(&state.ended) == 0; i++) sleep_s(0.1);
    assert_int_equal(1, atomic_load(&state.gone));
    (void)close(fd);
}

/* It has taken all there is, some of it late; what is missing is ours to make. */
static void test_one_that_waits_for_us_is_kept(void **unused) {
    (void)unused;
    static char bytes[SLICE_BYTES];
    state.left_min = ANSWER_BYTES / 2;
    const int fd = client();
    sleep_s(0.2); // the socket is full by now
    size_t got = 0;
    while (got < ANSWER_BYTES / 2) {
        const ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        assert_true(n > 0);
        got += (size_t)n;
        if (got % (4 * SLICE_BYTES) < SLICE_BYTES) sleep_s(0.001); // it is slower than we are
    }
    sleep_s(4 * STALL_S);
    assert_int_equal(0, atomic_load(&state.ended));
    (void)close(fd);
}

/* Its body never comes, but it has the answer. */
static void test_one_that_is_refused_has_not_left(void **unused) {
    (void)unused;
    char bytes[256];
    state.is_refusing = true;
    const int fd = client();
    assert_true(recv(fd, bytes, sizeof bytes, 0) > 0);
    (void)close(fd);
    for (int i = 0; i < 50 && atomic_load(&state.ended) == 0; i++) sleep_s(0.1);
    assert_int_equal(1, atomic_load(&state.ended));
    assert_int_equal(0, atomic_load(&state.gone));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_that_takes_nothing_is_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_that_is_refused_has_not_left, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_that_waits_for_us_is_kept, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
