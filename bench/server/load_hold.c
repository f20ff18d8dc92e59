/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that cost a server memory and patience instead of work.
 *
 * idle: each asks for /health once; "ready" on stderr says that all stand; after --seconds, or
 * SIGTERM, each asks again. loris and trickle: each sends one byte every --interval seconds, of a
 * head without an end or of a body. What the server does about them is counted: answered, closed,
 * kept. One that is closed is opened anew. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "load.h"
#include "load_reply.h"

#define PATIENCE_MS 10000
#define STEPS_MAX   50 /* shares of the connections that send in turn within an interval */

static char receive_buffer[1 << 16];
static volatile sig_atomic_t is_over; /* SIGTERM: report now */

typedef struct hold {
    const load_options *options;
    int *fds; /* [connections], -1 = gone */
    size_t *sent;
    int64_t opened;
    int64_t closed;
    double first_closed_s;
    int64_t answers[6]; /* by hundreds of the code */
} hold;

static void end(int signal) {
    (void)signal;
    is_over = 1;
}

static void sleep_until(uint64_t until_ns) {
    const struct timespec until = {.tv_sec = (time_t)(until_ns / 1000000000U),
                                   .tv_nsec = (long)(until_ns % 1000000000U)};
    (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

/* The code of the answer to one GET; 0 if there was none in time. */
static int ask(int fd) {
    static const char request[] = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    static load_reply reply;
    load_reply_reset(&reply);
    if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) != (ssize_t)sizeof request - 1)
        return 0;
    while (reply.phase != LOAD_DONE) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (poll(&wait, 1, PATIENCE_MS) <= 0) return 0;
        const ssize_t got = recv(fd, receive_buffer, sizeof receive_buffer, 0);
        if (got <= 0) return 0;
        (void)load_reply_feed(&reply, receive_buffer, (size_t)got);
        if (reply.phase == LOAD_BAD) return 0;
    }
    return reply.code;
}

static int64_t ask_all(hold *self, double *slowest_ms) {
    int64_t served = 0;
    *slowest_ms = 0;
    for (int64_t i = 0; i < self->options->connections; i++) {
        if (self->fds[i] < 0) continue;
        const uint64_t start_ns = tandem__clock_ns();
        served += ask(self->fds[i]) == 200;
        const double ms = (double)(tandem__clock_ns() - start_ns) / 1e6;
        if (ms > *slowest_ms) *slowest_ms = ms;
    }
    return served;
}

static void say_ready(void) {
    (void)fprintf(stderr, "ready\n");
    (void)fflush(stderr);
}

static void idle(hold *self) {
    double slowest_ms = 0;
    const int64_t before = ask_all(self, &slowest_ms);
    say_ready();
    sleep_until(tandem__clock_ns() + (uint64_t)(self->options->seconds * 1e9));
    const int64_t after = ask_all(self, &slowest_ms);
    (void)printf("{\"mode\":\"idle\",\"connections\":%lld,\"opened\":%lld,\"served_before\":%lld,"
                 "\"served_after\":%lld,\"slowest_ms\":%.3f,\"processor_s\":%.4f}\n",
                 (long long)self->options->connections, (long long)self->opened, (long long)before,
                 (long long)after, slowest_ms, load_processor_s());
}

/* The server has closed it: another takes its place, as an attacker's would. */
static void drop(hold *self, int64_t i, double now_s) {
    (void)close(self->fds[i]);
    self->fds[i] = load_connect(self->options);
    self->sent[i] = 0;
    if (self->closed++ == 0) self->first_closed_s = now_s;
}

/* What the server said on a connection; false if it has closed it. */
static bool listen_to(hold *self, int64_t i) {
    const ssize_t got = recv(self->fds[i], receive_buffer, sizeof receive_buffer, 0);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got > 9 && memcmp(receive_buffer, "HTTP/1.", 7) == 0) {
        const int hundreds = receive_buffer[9] - '0';
        if (hundreds >= 0 && hundreds < 6) self->answers[hundreds]++;
    }
    return got > 0;
}

/* The next byte of a head that never ends, or of a body; the whole head at first for a body. */
static bool send_byte(hold *self, int64_t i, tandem_str head, tandem_str more) {
    const bool is_body = strcmp(self->options->mode, "trickle") == 0;
    const size_t at = self->sent[i];
    const char *from = at < head.len ? head.ptr + at : more.ptr + (at - head.len) % more.len;
    const size_t len = is_body && at == 0 ? head.len : 1;
    if (is_body && at == head.len + more.len) return true; // waits for the answer
    const ssize_t sent = send(self->fds[i], from, len, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN || errno == EINTR;
    self->sent[i] += (size_t)sent;
    return true;
}

static void drip(hold *self, tandem_str head, tandem_str more) {
    const load_options *options = self->options;
    const uint64_t start_ns = tandem__clock_ns();
    const uint64_t end_ns = start_ns + (uint64_t)(options->seconds * 1e9);
    uint64_t next_ns = start_ns;
    say_ready();
    for (int64_t step = 0; tandem__clock_ns() < end_ns && !is_over; step++) {
        for (int64_t i = step % STEPS_MAX; i < options->connections; i += STEPS_MAX) {
            if (self->fds[i] < 0) continue; // not even taken
            if (!listen_to(self, i) || !send_byte(self, i, head, more)) {
                drop(self, i, (double)(tandem__clock_ns() - start_ns) / 1e9);
            }
        }
        next_ns += (uint64_t)(options->interval_s * 1e9 / STEPS_MAX);
        sleep_until(next_ns);
    }
    (void)printf("{\"mode\":\"%s\",\"connections\":%lld,\"opened\":%lld,\"closed\":%lld,"
                 "\"first_closed_s\":%.3f,\"answers_2xx\":%lld,\"answers_4xx\":%lld,"
                 "\"answers_5xx\":%lld,\"processor_s\":%.4f}\n",
                 options->mode, (long long)options->connections, (long long)self->opened,
                 (long long)self->closed, self->first_closed_s, (long long)self->answers[2],
                 (long long)self->answers[4], (long long)self->answers[5], load_processor_s());
}

int load_hold_run(const load_options *options) {
    static hold self;
    self.options = options;
    self.fds = tandem__mem_calloc((size_t)options->connections, sizeof(int));
    self.sent = tandem__mem_calloc((size_t)options->connections, sizeof(size_t));
    if (self.fds == NULL || self.sent == NULL) load_die("start", "out of memory");
    const struct sigaction action = {.sa_handler = end};
    (void)sigaction(SIGTERM, &action, NULL);
    for (int64_t i = 0; i < options->connections; i++) {
        self.fds[i] = load_connect(options);
        self.opened += self.fds[i] >= 0;
    }
    if (self.opened == 0) load_die("connect", strerror(errno));
    if (strcmp(options->mode, "idle") == 0) {
        idle(&self);
        return 0;
    }
    load_requests requests = {0};
    load_requests_make(&requests, options);
    const char *request = requests.bytes.ptr;
    const char *body = memmem(request, requests.offsets[1], "\r\n\r\n", 4);
    if (strcmp(options->mode, "trickle") == 0) {
        const size_t head = (size_t)(body + 4 - request);
        drip(&self, (tandem_str){request, head},
             (tandem_str){request + head, requests.offsets[1] - head});
    } else {
        drip(&self, (tandem_str){request, (size_t)(body + 2 - request)},
             TANDEM_STR("X-Slow: 1\r\n"));
    }
    return 0;
}
