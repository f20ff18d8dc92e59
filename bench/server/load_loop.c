/* SPDX-License-Identifier: Apache-2.0 */
/* Closed and open loops over kept connections.
 *
 * A connection is free or waits for one answer. In the open loop requests are due at times drawn in
 * advance of everything the server does; a free connection takes the earliest that is due, so the
 * line of requests that nobody could send yet needs no memory: it is the times between `due_ns` and
 * now. Sockets are watched edge-triggered and registered once; a request costs one send, one recv
 * and its share of an epoll_wait. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/chance.h"
#include "base/clock.h"
#include "base/mem.h"
#include "load.h"
#include "load_reply.h"

#define EVENTS_MAX 256

typedef struct connection {
    int fd; /* -1 = lost for good */
    bool is_waiting;
    const char *to_send; /* of its request */
    size_t left;
    uint64_t due_ns;
    uint64_t sent_ns;
    load_reply reply;
} connection;

typedef struct class_figures {
    tandem_histogram latency;   /* since due */
    tandem_histogram from_send; /* since it was sent */
} class_figures;

typedef struct loop {
    const load_options *options;
    load_requests requests;
    tandem_random random;
    int epoll;
    connection *connections;
    int64_t *free; /* stack of connections without a request */
    int64_t free_count;
    bool is_open;
    bool is_counting;
    uint64_t next_due_ns;
    uint64_t start_ns; /* of counting */
    uint64_t end_ns;
    class_figures ok;
    class_figures refused;
    class_figures other;
    int64_t retry_after_missing;
    int64_t retry_after_max_s;
    int64_t lost; /* connections that broke with a request under way */
    int64_t reconnects;
    int64_t bad;
    uint64_t bytes_in;
    uint64_t bytes_out;
    double processor_s;
} loop;

static char receive_buffer[1 << 18];

static void watch(loop *self, int64_t index) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.u64 = (uint64_t)index};
    if (epoll_ctl(self->epoll, EPOLL_CTL_ADD, self->connections[index].fd, &event) != 0) {
        load_die("epoll_ctl", strerror(errno));
    }
}

static void reconnect(loop *self, int64_t index) {
    connection *c = &self->connections[index];
    (void)close(c->fd);
    c->is_waiting = false;
    c->left = 0;
    self->reconnects++;
    c->fd = load_connect(self->options);
    if (c->fd < 0) return;
    watch(self, index);
    self->free[self->free_count++] = index;
}

static void send_rest(loop *self, int64_t index) {
    connection *c = &self->connections[index];
    while (c->left > 0) {
        const ssize_t sent = send(c->fd, c->to_send, c->left, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) return; // an event follows: room to write, or the end of the connection
        c->to_send += sent;
        c->left -= (size_t)sent;
        self->bytes_out += (uint64_t)sent;
    }
}

static void start_request(loop *self, int64_t index, uint64_t due_ns, uint64_t now_ns) {
    connection *c = &self->connections[index];
    const size_t i = (size_t)(tandem__random_next(&self->random) % self->requests.count);
    c->to_send = self->requests.bytes.ptr + self->requests.offsets[i];
    c->left = self->requests.offsets[i + 1] - self->requests.offsets[i];
    c->due_ns = due_ns;
    c->sent_ns = now_ns;
    c->is_waiting = true;
    load_reply_reset(&c->reply);
    send_rest(self, index);
}

static void start_what_is_due(loop *self) {
    const uint64_t now_ns = tandem__clock_ns();
    while (self->free_count > 0 && now_ns < self->end_ns) {
        if (self->is_open && self->next_due_ns > now_ns) break;
        const uint64_t due_ns = self->is_open ? self->next_due_ns : now_ns;
        start_request(self, self->free[--self->free_count], due_ns, now_ns);
        if (self->is_open) {
            self->next_due_ns +=
                (uint64_t)tandem__random_exponential(&self->random, 1e9 / self->options->rate);
        }
    }
}

static void finish(loop *self, connection *c) {
    const uint64_t now_ns = tandem__clock_ns();
    c->is_waiting = false;
    self->bytes_in += c->reply.head_len + c->reply.body_bytes;
    if (!self->is_counting) return; // what was due before that and is done now counts
    const int code = c->reply.code;
    class_figures *figures =
        code == 200 ? &self->ok : (code == 429 ? &self->refused : &self->other);
    tandem__histogram_add(&figures->latency, now_ns - c->due_ns);
    tandem__histogram_add(&figures->from_send, now_ns - c->sent_ns);
    if (code != 429) return;
    if (c->reply.retry_after_s < 0) self->retry_after_missing++;
    if (c->reply.retry_after_s > self->retry_after_max_s) {
        self->retry_after_max_s = c->reply.retry_after_s;
    }
}

/* Reads what is there. False when the connection is of no more use. */
static bool receive(loop *self, int64_t index) {
    connection *c = &self->connections[index];
    for (;;) {
        const ssize_t got = recv(c->fd, receive_buffer, sizeof receive_buffer, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && errno == EAGAIN) return true;
        if (got <= 0) {
            if (c->is_waiting) self->lost++;
            return false;
        }
        if (!c->is_waiting) return false; // bytes that nobody asked for
        const size_t used = load_reply_feed(&c->reply, receive_buffer, (size_t)got);
        if (c->reply.phase == LOAD_DONE && used == (size_t)got) {
            finish(self, c);
            if (c->reply.is_last) return false;
            self->free[self->free_count++] = index;
        } else if (c->reply.phase == LOAD_BAD || used != (size_t)got) {
            self->bad++;
            return false;
        }
        if ((size_t)got < sizeof receive_buffer) return true; // more is another edge
    }
}

static void wait_and_handle(loop *self) {
    struct epoll_event events[EVENTS_MAX];
    struct timespec wait = {.tv_nsec = 50000000};
    if (self->is_open && self->free_count > 0) {
        const uint64_t now_ns = tandem__clock_ns();
        const uint64_t ns = self->next_due_ns > now_ns ? self->next_due_ns - now_ns : 0;
        if (ns < (uint64_t)wait.tv_nsec) wait.tv_nsec = (long)ns;
    }
    const int count = epoll_pwait2(self->epoll, events, EVENTS_MAX, &wait, NULL);
    if (count < 0 && errno != EINTR) load_die("epoll_pwait2", strerror(errno));
    for (int i = 0; i < count; i++) {
        const int64_t index = (int64_t)events[i].data.u64;
        connection *c = &self->connections[index];
        if (events[i].events & EPOLLOUT && c->left > 0) send_rest(self, index);
        if (events[i].events & ~(uint32_t)EPOLLOUT && !receive(self, index)) {
            for (int64_t k = 0; k < self->free_count; k++) { // a free one that was closed
                if (self->free[k] == index) self->free[k] = self->free[--self->free_count];
            }
            reconnect(self, index);
        }
    }
}

static void run_until(loop *self, uint64_t until_ns) {
    const uint64_t enough = (uint64_t)self->options->requests;
    while (tandem__clock_ns() < until_ns) {
        start_what_is_due(self);
        wait_and_handle(self);
        if (enough > 0 && atomic_load(&self->ok.latency.total) >= enough) return;
    }
}

static void report(loop *self, double seconds) {
    int64_t waiting = 0;
    for (int64_t i = 0; i < self->options->connections; i++) {
        waiting += self->connections[i].is_waiting;
    }
    (void)printf("{\"mode\":\"%s\",\"route\":\"%s\",\"connections\":%lld,\"batch\":%lld,"
                 "\"rate\":%.1f,\"seconds\":%.3f,",
                 self->options->mode, self->options->route, (long long)self->options->connections,
                 (long long)self->options->batch, self->options->rate, seconds);
    load_class_print("ok", &self->ok.latency, seconds);
    (void)printf(",");
    load_class_print("ok_from_send", &self->ok.from_send, seconds);
    (void)printf(",");
    load_class_print("refused", &self->refused.latency, seconds);
    (void)printf(",");
    load_class_print("refused_from_send", &self->refused.from_send, seconds);
    (void)printf(",");
    load_class_print("other", &self->other.latency, seconds);
    (void)printf(",\"retry_after_missing\":%lld,\"retry_after_max_s\":%lld,\"lost\":%lld,"
                 "\"reconnects\":%lld,\"bad\":%lld,\"waiting\":%lld,\"behind_s\":%.3f,"
                 "\"bytes_in\":%llu,\"bytes_out\":%llu,\"processor_s\":%.4f}\n",
                 (long long)self->retry_after_missing, (long long)self->retry_after_max_s,
                 (long long)self->lost, (long long)self->reconnects, (long long)self->bad,
                 (long long)waiting,
                 self->is_open && self->next_due_ns < self->end_ns
                     ? (double)(self->end_ns - self->next_due_ns) / 1e9
                     : 0,
                 (unsigned long long)self->bytes_in, (unsigned long long)self->bytes_out,
                 self->processor_s);
}

int load_loop_run(const load_options *options) {
    static loop self;
    self.options = options;
    self.is_open = strcmp(options->mode, "open") == 0;
    load_requests_make(&self.requests, options);
    tandem__random_init(&self.random, (uint64_t)options->seed);
    self.epoll = epoll_create1(EPOLL_CLOEXEC);
    self.connections = tandem__mem_calloc((size_t)options->connections, sizeof(connection));
    self.free = tandem__mem_calloc((size_t)options->connections, sizeof(int64_t));
    if (self.epoll < 0 || self.connections == NULL || self.free == NULL) {
        load_die("start", "out of memory");
    }
    for (int64_t i = 0; i < options->connections; i++) {
        self.connections[i].fd = load_connect(options);
        if (self.connections[i].fd < 0) load_die("connect", strerror(errno));
        watch(&self, i);
        self.free[self.free_count++] = i;
    }
    const uint64_t begin_ns = tandem__clock_ns();
    self.next_due_ns = begin_ns;
    self.end_ns = UINT64_MAX;
    run_until(&self, begin_ns + (uint64_t)(options->warmup_s * 1e9));
    self.bytes_in = 0;
    self.bytes_out = 0;
    const double processor_s = load_processor_s();
    self.start_ns = tandem__clock_ns();
    self.is_counting = true;
    self.end_ns = self.start_ns + (uint64_t)(options->seconds * 1e9);
    run_until(&self, self.end_ns);
    const double seconds = (double)(tandem__clock_ns() - self.start_ns) / 1e9;
    self.processor_s = load_processor_s() - processor_s;
    report(&self, seconds);
    return atomic_load(&self.ok.latency.total) > 0 || atomic_load(&self.refused.latency.total) > 0
               ? 0
               : 1;
}
