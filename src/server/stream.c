/* SPDX-License-Identifier: Apache-2.0 */
/* A request whose texts are computed while it is still being read, and answered line by line as
 * they are done:
 *
 *     body ─ pieces ─ at most FLYING_MAX calls ─ lines ─ answer
 *
 * Memory is bounded on both sides. While the client does not take the answer, no text is started;
 * while many texts wait, the body is not read. A client that sends everything before it reads
 * anything is served as long as its texts fit WAITING_BYTES_MAX.
 *
 * Each piece is read as a request of its own, by the route's own reader, so that a streamed text is
 * checked and computed exactly as one that comes alone. */
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/json_text.h"
#include "base/mem.h"
#include "server/pieces.h"
#include "server/server_internal.h"

#define FLYING_MAX        128
#define FLYING_FIRST      4 /* at first: the first vectors should not wait for a large batch */
#define WAITING_BYTES_MAX ((size_t)32 << 20)
#define ALL_BYTES_MAX     ((int64_t)128 << 20) /* ... in all streams; beyond that, of each: */
#define WAITING_BYTES_LOW (4 * SERVER_PIECE_BYTES_MAX) /* its half holds a piece in the making */
#define PENDING_BYTES_MAX ((size_t)256 << 10)          /* of lines that the client has not taken */
#define ARENA_BYTES_MAX   ((size_t)32 << 20)

typedef struct stream_item {
    server_flight flight; /* first */
    server_work *work;
    tandem_call *call;
    uint64_t index;
    struct stream_item *next; /* free ones */
} stream_item;

struct server_stream {
    server_pieces pieces;
    size_t counted;     /* bytes of them in the server's stream_bytes */
    tandem_arena arena; /* of the piece being read */
    tandem_buffer text; /* ... its JSON */
    tandem_buffer held; /* a piece that the engine had no room for */
    bool is_paid;       /* ... its tenant's bucket had */
    stream_item items[FLYING_MAX];
    stream_item *free_items;
    bool is_item_flying[FLYING_MAX];
    int32_t flying;
    int32_t flying_max; /* one more with each that is done */
    uint64_t next_index;
    const char *lane; /* that the answer's head names */
    bool is_empty;    /* ... and has no text more */
    bool is_failed;   /* nothing more is read of it */
    bool is_dirty;    /* in the loop's list: a call was done, or may be tried again */
    server_work *next_dirty;
    server_work *next; /* of the loop's streams */
};

bool server_stream_wanted(const server_work *work) {
    return work->ask.route->can_stream &&
           (http_list_has(work->ask.accept, "application/x-ndjson") ||
            http_list_has(work->ask.content_type, "application/x-ndjson") ||
            http_list_has(work->ask.content_type, "application/jsonl"));
}

void server_stream_open(server_work *work) {
    server_stream *stream = tandem__mem_calloc(1, sizeof *stream);
    if (stream == NULL) return; // it is served as a request that is no stream
    const tandem_str type = work->ask.content_type;
    const bool is_lines =
        http_list_has(type, "application/x-ndjson") || http_list_has(type, "application/jsonl");
    server_pieces_init(&stream->pieces, is_lines, WAITING_BYTES_MAX + ((size_t)1 << 20));
    tandem__arena_init(&stream->arena, ARENA_BYTES_MAX);
    stream->flying_max = FLYING_FIRST;
    tandem__buffer_init(&stream->text, 2 * SERVER_PIECE_BYTES_MAX);
    tandem__buffer_init(&stream->held, SERVER_PIECE_BYTES_MAX);
    for (int i = FLYING_MAX - 1; i >= 0; i--) {
        stream->items[i].work = work;
        stream->items[i].next = stream->free_items;
        stream->free_items = &stream->items[i];
    }
    work->stream = stream;
    server_stats_change(work->loop->server->catalog.stats, SERVER_GAUGE_STREAMS, 1);
    stream->next = work->loop->streams;
    work->loop->streams = work;
}

void server_stream_close(server_work *work) {
    server_stream *stream = work->stream;
    server_work **at = &work->loop->streams;
    while (*at != work) at = &(*at)->stream->next;
    *at = stream->next;
    atomic_fetch_sub(&work->loop->server->stream_bytes, (int64_t)stream->counted);
    server_pieces_deinit(&stream->pieces);
    tandem__arena_deinit(&stream->arena);
    tandem__buffer_deinit(&stream->text);
    tandem__buffer_deinit(&stream->held);
    tandem__mem_free(stream);
    work->stream = NULL;
}

bool server_stream_is_flying(const server_work *work) {
    const server_stream *stream = work->stream;
    return stream->flying > 0 || stream->is_dirty;
}

/* The lines go out together, after all calls that were done have been looked at. */
static void mark_dirty(server_work *work) {
    if (work->stream->is_dirty) return;
    work->stream->is_dirty = true;
    work->stream->next_dirty = work->loop->dirty;
    work->loop->dirty = work;
}

static const char *error_type(tandem_status status) {
    switch (status) {
    case TANDEM_CAPACITY:
    case TANDEM_CANCELLED:
    case TANDEM_TIMEOUT:
        return "Overloaded";
    case TANDEM_IO:
    case TANDEM_MEMORY:
    case TANDEM_DEVICE:
    case TANDEM_NUMERIC:
        return "Backend";
    case TANDEM_OK:
    case TANDEM_INVALID:
    case TANDEM_UNSUPPORTED:
    case TANDEM_NOT_FOUND:
    case TANDEM_FORMAT:
    case TANDEM_PERMISSION:
        break;
    }
    return "Validation";
}

static tandem_status write_error(tandem_buffer *out, uint64_t index, const tandem_error *err) {
    TANDEM_TRY(
        tandem__buffer_printf(out, NULL, "{\"index\":%llu,\"error\":", (unsigned long long)index));
    TANDEM_TRY(tandem__json_text_string(out, tandem__str(err->message), NULL));
    return tandem__buffer_printf(out, NULL, ",\"error_type\":\"%s\"}\n", error_type(err->status));
}

static tandem_status write_vector(const server_stream *stream, tandem_buffer *out, uint64_t index,
                                  const tandem_result *result, tandem_error *err) {
    TANDEM_TRY(tandem__buffer_printf(out, err,
                                     "{\"index\":%llu,\"embedding\":", (unsigned long long)index));
    TANDEM_TRY(tandem__json_text_floats(out, result->vectors, (size_t)result->dimensions, err));
    if (result->truncated > 0) TANDEM_TRY(tandem__buffer_printf(out, err, ",\"truncated\":true"));
    if (strcmp(result->lane, stream->lane) != 0)
        TANDEM_TRY(tandem__buffer_printf(out, err, ",\"lane\":\"%s\"", result->lane));
    return tandem__buffer_push(out, "}\n", 2, err);
}

/* Without memory for a line the answer cannot be made good: a list with a hole is worse. */
static void push_error(server_work *work, uint64_t index, const tandem_error *err) {
    if (write_error(&work->out, index, err) != TANDEM_OK) http_answer_break(work->exchange);
}

static void push_vector(server_work *work, uint64_t index, const tandem_result *result) {
    const size_t before = work->out.len;
    tandem_error err = {0};
    if (write_vector(work->stream, &work->out, index, result, &err) != TANDEM_OK) {
        work->out.len = before;
        push_error(work, index, &err);
    }
}

static void begin(server_work *work, const tandem_result *result) {
    if (work->exchange->is_begun) return;
    work->result = result; // for the head alone: the lane and times of the first text
    work->stream->lane = result == NULL ? "none" : result->lane;
    const tandem_status status = server_work_fields(work, "application/x-ndjson");
    work->result = NULL;
    if (status != TANDEM_OK)
        http_answer_break(work->exchange);
    else
        http_answer_begin(work->exchange, 200, (tandem_str){work->fields.ptr, work->fields.len});
}

static void on_item(server_flight *flight, tandem_call *call) {
    stream_item *item = (stream_item *)(void *)flight;
    server_work *work = item->work;
    server_stream *stream = work->stream;
    const tandem_result *result = NULL;
    tandem_error err = {0};
    const tandem_status status = tandem_call_result(call, &result, &err);
    server_work_enter(work);
    stream->is_item_flying[item - stream->items] = false;
    stream->flying--;
    if (stream->flying_max < FLYING_MAX) stream->flying_max++;
    if (status == TANDEM_OK) server_sample_of_result(&work->sample, result);
    if (!work->exchange->is_ended) {
        begin(work, status == TANDEM_OK ? result : NULL);
        if (status == TANDEM_OK && result->failed == 0)
            push_vector(work, item->index, result);
        else
            push_error(work, item->index, &err);
    }
    tandem_call_close(call);
    item->next = stream->free_items;
    stream->free_items = item;
    mark_dirty(work);
    server_work_leave(work);
}

/* The JSON of a request with this one text. */
static tandem_status wrap(server_stream *stream, tandem_str piece, tandem_error *err) {
    tandem_buffer *text = &stream->text;
    const tandem_buffer *options = &stream->pieces.options;
    text->len = 0;
    if (stream->pieces.is_lines && piece.ptr[0] == '{')
        return tandem__buffer_push(text, piece.ptr, piece.len, err);
    TANDEM_TRY(tandem__buffer_push(text, "{\"inputs\":", 10, err));
    TANDEM_TRY(tandem__buffer_push(text, piece.ptr, piece.len, err));
    if (options->len > 0) {
        TANDEM_TRY(tandem__buffer_push(text, ",", 1, err));
        TANDEM_TRY(tandem__buffer_push(text, options->ptr, options->len, err));
    }
    return tandem__buffer_push(text, "}", 1, err);
}

static tandem_status read_piece(server_work *work, tandem_str piece, tandem_error *err) {
    server_stream *stream = work->stream;
    server_ask *ask = &work->ask;
    tandem__arena_reset(&stream->arena);
    ask->arena = &stream->arena;
    ask->model = NULL;
    ask->request = (tandem_request){0};
    ask->has_priority = false;
    ask->field = NULL;
    TANDEM_TRY(wrap(stream, piece, err));
    const tandem_json *root = NULL;
    TANDEM_TRY(tandem__json_parse_strict((tandem_str){stream->text.ptr, stream->text.len},
                                         ask->arena, &root, err));
    TANDEM_TRY(ask->route->read(ask, root, err));
    TANDEM_TRY(server_work_options(work, err));
    if (ask->request.count != 1)
        return TANDEM_FAIL(err, INVALID, "%zu texts in one piece of a stream, expected one",
                           ask->request.count);
    return TANDEM_OK;
}

/* False: the engine has no room, the piece is to be tried again. */
static bool start(server_work *work, tandem_str piece) {
    server_stream *stream = work->stream;
    stream_item *item = stream->free_items;
    const ptrdiff_t place = item - stream->items;
    tandem_error err = {0};
    uint64_t retry_ns = 0;
    tandem_status status = read_piece(work, piece, &err);
    item->flight.done = on_item;
    item->index = stream->next_index;
    const bool is_read = status == TANDEM_OK;
    if (is_read && !stream->is_paid) status = server_work_admit(work, &retry_ns, &err);
    stream->is_paid = status == TANDEM_OK;
    if (stream->is_paid)
        status = server_work_submit(work, &item->flight, &item->call, &retry_ns, &err);
    if (is_read && status == TANDEM_CAPACITY && retry_ns > 0) return false;
    stream->is_paid = false;
    stream->next_index++;
    if (status != TANDEM_OK) {
        begin(work, NULL);
        push_error(work, item->index, &err);
        return true;
    }
    stream->free_items = item->next;
    stream->is_item_flying[place] = true;
    stream->flying++;
    return true;
}

/* The structure is broken: an answer of its own if nothing was said yet, else a last line. */
static void fail(server_work *work) {
    server_stream *stream = work->stream;
    stream->is_failed = true;
    if (!work->exchange->is_begun && stream->flying == 0) {
        work->ask.http_code = work->err.status == TANDEM_CAPACITY ? 413 : 400;
        server_work_fail(work);
        return;
    }
    begin(work, NULL);
    push_error(work, stream->next_index, &work->err);
}

/* The piece that was held, else the next one; false: there is none for now. */
static bool next_piece(server_work *work, tandem_str *piece) {
    server_stream *stream = work->stream;
    *piece = (tandem_str){stream->held.ptr, stream->held.len};
    if (piece->len > 0) return true;
    if (stream->is_failed) return false;
    if (server_pieces_next(&stream->pieces, piece, &work->err) != TANDEM_OK) {
        fail(work);
        return false;
    }
    if (piece->len == 0 && stream->pieces.is_whole) stream->is_empty = true;
    return piece->len > 0;
}

static void hold(server_work *work, tandem_str piece) {
    server_stream *stream = work->stream;
    if (piece.ptr == stream->held.ptr) return;
    if (tandem__buffer_push(&stream->held, piece.ptr, piece.len, NULL) != TANDEM_OK)
        http_answer_break(work->exchange); // a list that ends too soon is worse
}

/* Reads on or not: by what waits here, and in the streams of all clients. */
static void settle_reading(server_work *work) {
    server_stream *stream = work->stream;
    const size_t waiting = server_pieces_waiting(&stream->pieces);
    const int64_t more = (int64_t)waiting - (int64_t)stream->counted;
    const int64_t all = atomic_fetch_add(&work->loop->server->stream_bytes, more) + more;
    stream->counted = waiting;
    const size_t waiting_max = all > ALL_BYTES_MAX ? WAITING_BYTES_LOW : WAITING_BYTES_MAX;
    if (waiting > waiting_max) http_body_pause(work->exchange);
    if (waiting < waiting_max / 2) http_body_resume(work->exchange);
}

/* Starts what may be started, and ends the answer where all is done. */
static void pump(server_work *work) {
    server_stream *stream = work->stream;
    http_exchange *exchange = work->exchange;
    while (!exchange->is_ended && stream->flying < stream->flying_max &&
           http_answer_pending(exchange) + work->out.len < PENDING_BYTES_MAX) {
        tandem_str piece;
        if (!next_piece(work, &piece)) break;
        if (!start(work, piece)) {
            hold(work, piece);
            break;
        }
        stream->held.len = 0;
    }
    if (!exchange->is_ended && !exchange->is_answered) settle_reading(work);
}

/* True once nothing is left to do but to say so. */
static bool is_complete(const server_work *work) {
    const server_stream *stream = work->stream;
    return stream->flying == 0 && stream->held.len == 0 && work->out.len == 0 &&
           (stream->is_failed || stream->is_empty);
}

static void end_if_complete(server_work *work) {
    http_exchange *exchange = work->exchange;
    if (exchange->is_ended || exchange->is_answered || !is_complete(work)) return;
    begin(work, NULL);
    http_answer_end(exchange);
}

/* One turn: lines out, texts in, the end. */
static void turn(server_work *work) {
    http_exchange *exchange = work->exchange;
    server_work_enter(work);
    pump(work);
    if (!exchange->is_answered) http_answer_push(exchange, &work->out);
    end_if_complete(work);
    server_work_leave(work);
}

void server_streams_flush(server_loop *loop) {
    while (loop->dirty != NULL) {
        server_work *work = loop->dirty;
        loop->dirty = work->stream->next_dirty;
        work->stream->is_dirty = false;
        turn(work);
    }
}

void server_streams_tick(server_loop *loop) {
    for (server_work *work = loop->streams; work != NULL; work = work->stream->next) {
        if (work->stream->held.len > 0) mark_dirty(work);
    }
    server_streams_flush(loop);
}

void server_stream_body(server_work *work, tandem_str bytes) {
    server_stream *stream = work->stream;
    if (!stream->is_failed && server_pieces_push(&stream->pieces, bytes, &work->err) != TANDEM_OK)
        fail(work);
    turn(work);
}

void server_stream_whole(server_work *work) {
    work->stream->pieces.is_whole = true;
    turn(work);
}

void server_stream_drained(server_work *work) {
    turn(work);
}

void server_stream_ended(server_work *work) {
    server_stream *stream = work->stream;
    for (int i = 0; i < FLYING_MAX; i++) {
        if (stream->is_item_flying[i]) tandem_call_cancel(stream->items[i].call);
    }
}
