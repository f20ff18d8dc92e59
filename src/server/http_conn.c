/* SPDX-License-Identifier: Apache-2.0 */
/* A connection: bytes in, exchanges one after the other, bytes out.
 *
 *     HEAD ─ head is there ─ BODY ─ body is whole ─ WAIT ─ answer is out ─ HEAD
 *                              └───── answered early: LINGER, or the rest thrown away ─┘
 *
 * What arrives is read into the loop's scratch memory and worked on there; only what cannot be used
 * yet is kept. While a request waits for its answer the socket is read on, within bounds, so that a
 * client that leaves is noticed; where nothing is read the system is asked to tell (EV_CLOSED; with
 * libevent before 2.2 only epoll can, elsewhere it is noticed once something is read or written).
 *
 * Callbacks may end the connection under the functions that called them: `depth` counts those, and
 * the last one frees it. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"
#include "server/http_internal.h"

#define NEVER        UINT64_MAX
#define SLICES_MAX   4 /* of one answer in one turn, so that the loop's others have theirs */
#define IN_BYTES_MAX (HTTP_HEAD_BYTES_MAX + 2 * HTTP_SCRATCH_BYTES)

static uint64_t after(double seconds) {
    return tandem__clock_ns() + (uint64_t)(seconds * 1e9);
}

static const http_options *options_of(const http_conn *conn) {
    return &conn->loop->server->options;
}

static void conn_free(http_conn *conn) {
    tandem__buffer_deinit(&conn->in);
    tandem__buffer_deinit(&conn->out);
    if (conn->previous != NULL)
        conn->previous->next = conn->next;
    else
        conn->loop->conns = conn->next;
    if (conn->next != NULL) conn->next->previous = conn->previous;
    atomic_fetch_sub(&conn->loop->server->connections, 1);
    http_tell(conn->loop->server, HTTP_EVENT_CLOSED);
    tandem__mem_free(conn);
}

/* How long the client may take from here on: for ever where it is our turn, which is so while
 * nothing of the answer waits to be taken and nothing of the body is read. */
static void set_expiry(http_conn *conn) {
    const bool is_ours = conn->state == HTTP_STATE_WAIT || conn->is_paused;
    conn->expires_ns = is_ours && !conn->is_writing ? NEVER : after(options_of(conn)->stall_s);
}

/* The exchange is over for this connection. */
static void end_exchange(http_conn *conn, bool is_gone) {
    http_exchange *exchange = conn->exchange;
    conn->exchange = NULL;
    exchange->conn = NULL;
    exchange->is_ended = true;
    atomic_fetch_sub(&conn->loop->server->busy, 1);
    if (conn->is_refused)
        http_exchange_release(exchange);
    else
        conn->loop->server->handler.ended(exchange, is_gone);
    conn->is_refused = false;
}

void http_conn_close(http_conn *conn) {
    if (conn->state != HTTP_STATE_DEAD) {
        conn->state = HTTP_STATE_DEAD;
        conn->depth++;
        const http_exchange *exchange = conn->exchange;
        const bool is_out = exchange != NULL && exchange->is_answered && conn->out.len == 0;
        if (exchange != NULL) end_exchange(conn, !is_out);
        conn->depth--;
        if (conn->is_reading) (void)event_del(&conn->read_event);
        if (conn->is_watched) (void)event_del(&conn->leave_event);
        if (conn->is_writing) (void)event_del(&conn->write_event);
        (void)close(conn->fd);
    }
    if (conn->depth == 0) conn_free(conn);
}

static void leave(http_conn *conn) {
    conn->depth--;
    if (conn->state == HTTP_STATE_DEAD && conn->depth == 0) conn_free(conn);
}

/* Reads while something can be done with what comes; else only wants to know if the client left. */
static void update_reading(http_conn *conn) {
    if (conn->state == HTTP_STATE_DEAD) return;
    const bool is_stopped = (conn->is_paused && conn->state == HTTP_STATE_BODY) ||
                            conn->in.len > HTTP_HEAD_BYTES_MAX + HTTP_SCRATCH_BYTES / 2;
    if (conn->is_reading == is_stopped) {
        conn->is_reading = !is_stopped;
        if (is_stopped)
            (void)event_del(&conn->read_event);
        else
            (void)event_add(&conn->read_event, NULL);
    }
    if (conn->is_watched != is_stopped && conn->loop->tells_leaving) {
        conn->is_watched = is_stopped;
        if (is_stopped)
            (void)event_add(&conn->leave_event, NULL);
        else
            (void)event_del(&conn->leave_event);
    }
}

/* The request's body is there. */
static void become_whole(http_conn *conn) {
    http_exchange *exchange = conn->exchange;
    exchange->is_whole = true;
    conn->state = HTTP_STATE_WAIT;
    set_expiry(conn);
    if (!exchange->is_answered) conn->loop->server->handler.whole(exchange);
}

/* After an answer is out and its request whole, or not to be read any more. */
static void finish(http_conn *conn) {
    const bool is_kept = conn->is_keep_alive && conn->exchange->is_whole &&
                         !atomic_load(&conn->loop->server->is_draining);
    end_exchange(conn, false);
    if (conn->state == HTTP_STATE_DEAD) return;
    conn->seen = 0;
    conn->began_ns = 0;
    conn->is_paused = false;
    conn->is_discarding = false;
    tandem__buffer_deinit(&conn->out);
    if (is_kept) {
        conn->state = HTTP_STATE_HEAD;
        conn->expires_ns = after(options_of(conn)->idle_s);
        return;
    }
    conn->state = HTTP_STATE_LINGER;
    conn->discarded = 0;
    conn->expires_ns = tandem__clock_ns() + HTTP_LINGER_NS;
    (void)shutdown(conn->fd, SHUT_WR);
}

static size_t process(http_conn *conn, const char *bytes, size_t len);

static void process_kept(http_conn *conn) {
    const size_t used = process(conn, conn->in.ptr, conn->in.len);
    if (conn->state == HTTP_STATE_DEAD) return;
    memmove(conn->in.ptr, conn->in.ptr + used, conn->in.len - used);
    conn->in.len -= used;
    if (conn->in.len == 0) tandem__buffer_deinit(&conn->in);
}

/* After the exchange's answer is out. */
static void advance(http_conn *conn) {
    if (!conn->exchange->is_whole && conn->is_keep_alive) {
        conn->is_discarding = true; // the rest is short: http_answer has seen to that
        conn->is_paused = false;
    } else {
        finish(conn);
    }
    if (conn->state != HTTP_STATE_DEAD && !conn->is_processing && conn->in.len > 0)
        process_kept(conn);
}

static void on_writable(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    http_conn *conn = arg;
    conn->is_writing = false;
    http_conn_flush(conn);
}

static void await_writable(http_conn *conn) {
    if (conn->is_writing) return;
    (void)event_add(&conn->write_event, NULL);
    conn->is_writing = true;
    set_expiry(conn);
}

/* Sends what is in `out`; true when all is with the system. */
static bool send_all(http_conn *conn) {
    while (conn->out_done < conn->out.len) {
        const ssize_t sent = send(conn->fd, conn->out.ptr + conn->out_done,
                                  conn->out.len - conn->out_done, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            await_writable(conn);
            return false;
        }
        if (sent < 0) {
            http_conn_close(conn);
            return false;
        }
        conn->out_done += (size_t)sent;
        if (conn->exchange != NULL) conn->exchange->sent_bytes += sent;
    }
    conn->out.len = 0;
    conn->out_done = 0;
    if (conn->state == HTTP_STATE_WAIT || conn->is_paused) set_expiry(conn);
    return true;
}

void http_conn_flush(http_conn *conn) {
    if (conn->is_flushing || conn->state == HTTP_STATE_DEAD) return;
    conn->depth++;
    conn->is_flushing = true;
    bool is_answered = false;
    for (int slices = 0; send_all(conn); slices++) {
        http_exchange *exchange = conn->exchange;
        if (exchange == NULL) break;
        is_answered = exchange->is_answered;
        if (is_answered || !exchange->is_begun) break;
        if (slices == SLICES_MAX) {
            await_writable(conn); // it is: the loop comes back after the others
            break;
        }
        conn->loop->server->handler.drained(exchange);
        if (conn->state == HTTP_STATE_DEAD) break;
        if (conn->out.len == 0 && !exchange->is_answered) break;
    }
    conn->is_flushing = false;
    if (is_answered && !conn->is_discarding && conn->state != HTTP_STATE_DEAD) advance(conn);
    update_reading(conn);
    leave(conn);
}

/* A head that cannot be understood: one answer, and the connection ends. */
static void refuse(http_conn *conn, http_exchange *exchange, int code, const char *why) {
    conn->is_refused = true;
    conn->is_keep_alive = false;
    conn->state = HTTP_STATE_WAIT;
    exchange->is_whole = false;
    char body[160];
    const size_t len = strlen(why);
    TANDEM_ASSERT(len < sizeof body);
    memcpy(body, why, len);
    body[len] = '\n';
    http_answer(exchange, code, TANDEM_STR("Content-Type: text/plain\r\n"),
                (tandem_str){body, len + 1});
}

/* The head is whole in [0, len). */
static void begin(http_conn *conn, const char *bytes, size_t len) {
    http_exchange *exchange = http_exchange_get(conn->loop);
    char *copy = exchange == NULL ? NULL : tandem__arena_copy(&exchange->arena, bytes, len);
    if (copy == NULL) {
        if (exchange != NULL) http_exchange_release(exchange);
        http_conn_close(conn);
        return;
    }
    exchange->conn = conn;
    exchange->started_ns = conn->began_ns;
    conn->exchange = exchange;
    atomic_fetch_add(&conn->loop->server->busy, 1);
    const char *why = NULL;
    const int code = http_head_parse(copy, len, &exchange->head, &why);
    if (code != 0) {
        refuse(conn, exchange, code, why);
        return;
    }
    const http_head *head = &exchange->head;
    conn->is_keep_alive = head->is_keep_alive && !atomic_load(&conn->loop->server->is_draining);
    conn->is_chunked = head->is_chunked;
    conn->chunks = (http_chunks){.part = HTTP_CHUNK_SIZE};
    conn->body_left = head->content_length > 0 ? head->content_length : 0;
    const bool has_body = conn->is_chunked || conn->body_left > 0;
    conn->state = HTTP_STATE_BODY;
    conn->expires_ns = after(options_of(conn)->stall_s);
    exchange->is_whole = !has_body;
    if (!has_body) {
        conn->state = HTTP_STATE_WAIT;
        conn->expires_ns = NEVER;
    }
    conn->loop->server->handler.head(conn->loop->server->handler.context, exchange);
    if (conn->state == HTTP_STATE_DEAD || conn->exchange != exchange || exchange->is_answered)
        return;
    if (!has_body) {
        become_whole(conn);
        return;
    }
    if (head->wants_continue && !exchange->is_begun) {
        tandem_str go_on = TANDEM_STR("HTTP/1.1 100 Continue\r\n\r\n");
        if (tandem__buffer_push(&conn->out, go_on.ptr, go_on.len, NULL) != TANDEM_OK)
            http_conn_close(conn);
        else
            http_conn_flush(conn);
    }
}

static void refuse_head(http_conn *conn) {
    http_exchange *exchange = http_exchange_get(conn->loop);
    if (exchange == NULL) {
        http_conn_close(conn);
        return;
    }
    exchange->conn = conn;
    exchange->head = (http_head){.minor = 1, .content_length = -1};
    conn->exchange = exchange;
    atomic_fetch_add(&conn->loop->server->busy, 1);
    refuse(conn, exchange, 431, "the request's head is over 16 KiB");
}

/* Returns the bytes used; 0 where the head is not whole. */
static size_t take_head(http_conn *conn, tandem_str bytes) {
    if (conn->began_ns == 0) {
        // Empty lines before a request are passed over (RFC 9112, 2.2).
        if (bytes.ptr[0] == '\n') return 1;
        if (bytes.ptr[0] == '\r' && bytes.len == 1) return 0;
        if (bytes.ptr[0] == '\r' && bytes.ptr[1] == '\n') return 2;
        conn->began_ns = tandem__clock_ns();
        conn->expires_ns = after(options_of(conn)->head_s);
    }
    const size_t end = http_head_end(bytes.ptr, bytes.len, conn->seen);
    conn->seen = bytes.len;
    if (end > HTTP_HEAD_BYTES_MAX || (end == 0 && bytes.len >= HTTP_HEAD_BYTES_MAX)) {
        refuse_head(conn);
        return bytes.len;
    }
    if (end == 0) return 0;
    begin(conn, bytes.ptr, end);
    return end;
}

static void deliver(http_conn *conn, tandem_str bytes) {
    http_exchange *exchange = conn->exchange;
    exchange->body_bytes += (int64_t)bytes.len;
    conn->expires_ns = after(options_of(conn)->stall_s);
    if (!exchange->is_answered) conn->loop->server->handler.body(exchange, bytes);
}

/* Of a body by Content-Length or in chunks; the next piece of it. */
static size_t take_body(http_conn *conn, tandem_str bytes) {
    http_exchange *exchange = conn->exchange;
    size_t taken = 0;
    tandem_str data = {NULL, 0};
    bool is_whole = false;
    if (conn->is_chunked) {
        const http_chunk_got got = http_chunks_next(&conn->chunks, bytes, &taken, &data);
        if (got == HTTP_CHUNK_WRONG) {
            conn->is_keep_alive = false;
            if (exchange->is_begun)
                http_conn_close(conn);
            else
                http_answer(exchange, 400, TANDEM_STR("Content-Type: text/plain\r\n"),
                            TANDEM_STR("the body's chunks are malformed\n"));
            return bytes.len;
        }
        is_whole = got == HTTP_CHUNK_DONE;
    } else {
        taken = bytes.len < (uint64_t)conn->body_left ? bytes.len : (size_t)conn->body_left;
        data = (tandem_str){bytes.ptr, taken};
        conn->body_left -= (int64_t)taken;
        is_whole = conn->body_left == 0;
    }
    if (data.len > 0) deliver(conn, data);
    if (!is_whole || conn->exchange != exchange) return taken;
    become_whole(conn);
    if (conn->exchange == exchange && conn->is_discarding) finish(conn);
    return taken;
}

/* Works on bytes [0, len); returns how many are used up. */
static size_t process(http_conn *conn, const char *bytes, size_t len) {
    size_t used = 0;
    conn->is_processing = true;
    while (used < len) {
        const tandem_str rest = {bytes + used, len - used};
        size_t taken = 0;
        if (conn->state == HTTP_STATE_HEAD)
            taken = take_head(conn, rest);
        else if (conn->state == HTTP_STATE_BODY && !conn->is_paused)
            taken = take_body(conn, rest);
        else if (conn->state == HTTP_STATE_LINGER)
            taken = rest.len;
        if (taken == 0) break;
        used += taken;
    }
    conn->is_processing = false;
    return used;
}

static void receive(http_conn *conn, const char *bytes, size_t len) {
    if (conn->state == HTTP_STATE_LINGER) {
        conn->discarded += (int64_t)len;
        if (conn->discarded > 4 * HTTP_DISCARD_MAX) http_conn_close(conn);
        return;
    }
    if (conn->in.len == 0) {
        const size_t used = process(conn, bytes, len);
        if (conn->state == HTTP_STATE_DEAD || used == len) return;
        if (tandem__buffer_push(&conn->in, bytes + used, len - used, NULL) != TANDEM_OK)
            http_conn_close(conn);
        return;
    }
    if (tandem__buffer_push(&conn->in, bytes, len, NULL) != TANDEM_OK)
        http_conn_close(conn);
    else if (!conn->is_processing)
        process_kept(conn);
}

static void on_readable(evutil_socket_t fd, short what, void *arg) {
    (void)what;
    http_conn *conn = arg;
    const ssize_t got = recv(fd, conn->loop->scratch, HTTP_SCRATCH_BYTES, 0);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return;
    conn->depth++;
    if (got <= 0)
        http_conn_close(conn);
    else
        receive(conn, conn->loop->scratch, (size_t)got);
    update_reading(conn);
    leave(conn);
}

static void on_left(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    http_conn_close(arg);
}

void http_conn_resume(http_conn *conn) {
    if (conn->state == HTTP_STATE_DEAD) return;
    conn->depth++;
    if (!conn->is_paused && !conn->is_processing && conn->in.len > 0) process_kept(conn);
    if (conn->state == HTTP_STATE_BODY) set_expiry(conn);
    update_reading(conn);
    leave(conn);
}

void http_conn_open(http_loop *loop, int fd) {
    http_conn *conn = tandem__mem_calloc(1, sizeof *conn);
    if (conn == NULL) {
        (void)close(fd);
        atomic_fetch_sub(&loop->server->connections, 1);
        return;
    }
    conn->loop = loop;
    conn->fd = fd;
    conn->expires_ns = after(loop->server->options.idle_s);
    tandem__buffer_init(&conn->in, IN_BYTES_MAX);
    tandem__buffer_init(&conn->out, HTTP_OUT_BYTES_MAX);
    (void)event_assign(&conn->read_event, loop->base, fd, EV_READ | EV_PERSIST, on_readable, conn);
    (void)event_assign(&conn->write_event, loop->base, fd, EV_WRITE, on_writable, conn);
    (void)event_assign(&conn->leave_event, loop->base, fd, EV_CLOSED | EV_PERSIST, on_left, conn);
    conn->next = loop->conns;
    if (conn->next != NULL) conn->next->previous = conn;
    loop->conns = conn;
    http_tell(loop->server, HTTP_EVENT_OPENED);
    update_reading(conn);
}

static void expire(http_conn *conn) {
    http_exchange *exchange = conn->exchange;
    if (conn->state != HTTP_STATE_LINGER) http_tell(conn->loop->server, HTTP_EVENT_TIMED_OUT);
    if (conn->state == HTTP_STATE_BODY && !exchange->is_begun) {
        conn->is_keep_alive = false;
        http_answer(exchange, 408, TANDEM_STR("Content-Type: text/plain\r\n"),
                    TANDEM_STR("the request's body did not come in time\n"));
        return;
    }
    http_conn_close(conn);
}

void http_conn_sweep(http_loop *loop, uint64_t now_ns) {
    const bool is_draining = atomic_load(&loop->server->is_draining);
    for (http_conn *conn = loop->conns, *next; conn != NULL; conn = next) {
        next = conn->next;
        const bool is_resting = conn->state == HTTP_STATE_HEAD && conn->began_ns == 0;
        if (is_draining && is_resting)
            http_conn_close(conn);
        else if (now_ns >= conn->expires_ns)
            expire(conn);
    }
}
