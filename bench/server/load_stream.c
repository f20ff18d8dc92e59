/* SPDX-License-Identifier: Apache-2.0 */
/* One chunked request of --requests texts, written and read at the same time.
 *
 * A text has gone out when the send that took its last byte returned; its vector is there when its
 * line of the answer is whole. The lines' first bytes are looked at for `"index":N`; an answer that
 * does not number its lines is taken to be in order. At full speed the time of a text includes its
 * wait in the sockets' buffers; with --rate it is the server's own. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json_text.h"
#include "base/mem.h"
#include "load.h"
#include "load_reply.h"

#define LINE_HEAD_MAX 64
#define STAGE_BYTES   ((size_t)32 << 10) /* texts made ready at a time */
#define PATIENCE_MS   30000

typedef struct stream {
    const load_options *options;
    tandem_str *texts;
    size_t text_count;
    size_t wanted; /* texts in all */
    int fd;
    tandem_buffer stage; /* chunks not sent yet, from stage_sent on */
    size_t stage_sent;
    tandem_buffer body;    /* of one chunk */
    uint64_t staged_bytes; /* of the request so far */
    uint64_t sent_bytes;
    size_t staged; /* texts */
    size_t sent;
    bool is_ended;
    uint64_t *ends; /* [wanted] place in the request after each text */
    uint64_t *sent_ns;
    uint64_t start_ns;
    uint64_t first_ns; /* of the first vector */
    size_t lines;
    size_t errors; /* lines that are no vector */
    size_t line_len;
    char line_head[LINE_HEAD_MAX + 1];
    load_reply reply;
    tandem_histogram latency;
} stream;

static char receive_buffer[1 << 18];

static void take_line(stream *self, uint64_t now_ns) {
    const size_t kept = self->line_len < LINE_HEAD_MAX ? self->line_len : LINE_HEAD_MAX;
    self->line_head[kept] = '\0';
    if (self->line_len == 0) return;
    size_t index = self->lines++;
    const char *named = strstr(self->line_head, "\"index\":");
    if (named != NULL) index = (size_t)strtoull(named + 8, NULL, 10);
    if (strstr(self->line_head, "\"error\"") != NULL || index >= self->sent) {
        self->errors++;
        return;
    }
    if (self->first_ns == 0) self->first_ns = now_ns;
    tandem__histogram_add(&self->latency, now_ns - self->sent_ns[index]);
}

static void take_body(void *context, const char *bytes, size_t len) {
    stream *self = context;
    const uint64_t now_ns = tandem__clock_ns();
    for (size_t at = 0; at < len;) {
        const char *end = memchr(bytes + at, '\n', len - at);
        const size_t more = (end != NULL ? (size_t)(end - bytes) : len) - at;
        if (self->line_len < LINE_HEAD_MAX) {
            const size_t room = LINE_HEAD_MAX - self->line_len;
            memcpy(self->line_head + self->line_len, bytes + at, more < room ? more : room);
        }
        self->line_len += more;
        at += more;
        if (end == NULL) return;
        take_line(self, now_ns);
        self->line_len = 0;
        at++;
    }
}

static void must(tandem_status status) {
    if (status != TANDEM_OK) load_die("stream", "out of memory");
}

static void stage_chunk(stream *self) {
    if (self->body.len == 0) return;
    const size_t before = self->stage.len;
    must(tandem__buffer_printf(&self->stage, NULL, "%zx\r\n", self->body.len));
    must(tandem__buffer_push(&self->stage, self->body.ptr, self->body.len, NULL));
    must(tandem__buffer_push(&self->stage, "\r\n", 2, NULL));
    self->staged_bytes += self->stage.len - before;
    self->body.len = 0;
}

static void push_text(stream *self) {
    const bool is_lines = strcmp(self->options->form, "ndjson") == 0;
    const tandem_str text = self->texts[self->staged % self->text_count];
    if (!is_lines && self->staged == 0)
        must(tandem__buffer_push(&self->body, "{\"inputs\":[", 11, NULL));
    if (!is_lines && self->staged > 0) must(tandem__buffer_push(&self->body, ",", 1, NULL));
    must(tandem__json_text_string(&self->body, text, NULL));
    if (is_lines) must(tandem__buffer_push(&self->body, "\n", 1, NULL));
    self->ends[self->staged++] = self->staged_bytes + self->body.len;
}

/* Makes the texts ready that are due: all that fit without --rate. */
static void stage_more(stream *self) {
    const double rate = self->options->rate;
    size_t due = self->wanted;
    if (rate > 0) {
        const double passed_s = (double)(tandem__clock_ns() - self->start_ns) / 1e9;
        const double count = passed_s * rate + 1;
        due = count < (double)self->wanted ? (size_t)count : self->wanted;
    }
    while (self->staged < due && self->body.len < STAGE_BYTES) {
        push_text(self);
        if (rate > 0) stage_chunk(self);
    }
    if (self->staged == self->wanted && !self->is_ended) {
        self->is_ended = true;
        if (strcmp(self->options->form, "json") == 0) {
            must(tandem__buffer_push(&self->body, "]}", 2, NULL));
        }
        stage_chunk(self);
        must(tandem__buffer_push(&self->stage, "0\r\n\r\n", 5, NULL));
        self->staged_bytes += 5;
    }
    stage_chunk(self);
}

static bool send_more(stream *self) {
    while (self->stage_sent < self->stage.len) {
        const ssize_t sent = send(self->fd, self->stage.ptr + self->stage_sent,
                                  self->stage.len - self->stage_sent, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) return errno == EAGAIN;
        self->stage_sent += (size_t)sent;
        self->sent_bytes += (uint64_t)sent;
        const uint64_t now_ns = tandem__clock_ns();
        while (self->sent < self->staged && self->ends[self->sent] <= self->sent_bytes) {
            self->sent_ns[self->sent++] = now_ns;
        }
    }
    self->stage.len = 0;
    self->stage_sent = 0;
    return true;
}

static bool receive(stream *self) {
    const ssize_t got = recv(self->fd, receive_buffer, sizeof receive_buffer, 0);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) return false;
    (void)load_reply_feed(&self->reply, receive_buffer, (size_t)got);
    return self->reply.phase != LOAD_BAD;
}

/* Until the answer is whole; false if the connection broke or nothing came for long. */
static bool exchange(stream *self) {
    uint64_t heard_ns = tandem__clock_ns();
    while (self->reply.phase != LOAD_DONE) {
        if (self->stage.len == 0 && !self->is_ended) stage_more(self);
        if (self->stage.len > 0 && !send_more(self)) return false;
        const bool is_full = self->stage.len > 0;
        struct pollfd wait = {.fd = self->fd,
                              .events = (short)(is_full ? POLLIN | POLLOUT : POLLIN)};
        const bool is_paced = self->options->rate > 0 && !self->is_ended;
        const int count = poll(&wait, 1, is_paced ? 1 : (is_full || self->is_ended ? 1000 : 0));
        if (count > 0 && wait.revents & (POLLIN | POLLERR | POLLHUP)) {
            heard_ns = tandem__clock_ns();
            if (!receive(self)) return false;
        } else if (tandem__clock_ns() - heard_ns > (uint64_t)PATIENCE_MS * 1000000U) {
            return false;
        }
    }
    return true;
}

int load_stream_run(const load_options *options) {
    static stream self;
    self.options = options;
    self.texts = load_texts_read(options->texts, &self.text_count);
    self.wanted = options->requests > 0 ? (size_t)options->requests : self.text_count;
    self.ends = tandem__mem_calloc(self.wanted, sizeof(uint64_t));
    self.sent_ns = tandem__mem_calloc(self.wanted, sizeof(uint64_t));
    if (self.ends == NULL || self.sent_ns == NULL) load_die("start", "out of memory");
    tandem__buffer_init(&self.stage, (size_t)1 << 24);
    tandem__buffer_init(&self.body, (size_t)1 << 24);
    self.reply.body = take_body;
    self.reply.context = &self;
    load_reply_reset(&self.reply);
    self.fd = load_connect(options);
    if (self.fd < 0) load_die("connect", strerror(errno));
    load_head_push(&self.stage, options, -1);
    self.staged_bytes = self.stage.len;
    self.start_ns = tandem__clock_ns();
    stage_more(&self);
    const bool is_whole = exchange(&self);
    const double seconds = (double)(tandem__clock_ns() - self.start_ns) / 1e9;
    (void)printf("{\"mode\":\"stream\",\"form\":\"%s\",\"texts\":%zu,\"sent\":%zu,\"lines\":%zu,"
                 "\"errors\":%zu,\"code\":%d,\"is_whole\":%s,\"first_vector_ms\":%.3f,",
                 options->form, self.wanted, self.sent, self.lines, self.errors, self.reply.code,
                 is_whole ? "true" : "false",
                 self.first_ns > 0 ? (double)(self.first_ns - self.sent_ns[0]) / 1e6 : -1.0);
    load_class_print("vectors", &self.latency, seconds);
    (void)printf(",\"seconds\":%.3f,\"bytes_in\":%llu,\"bytes_out\":%llu,\"processor_s\":%.4f}\n",
                 seconds, (unsigned long long)self.reply.body_bytes,
                 (unsigned long long)self.sent_bytes, load_processor_s());
    return is_whole ? 0 : 1;
}
