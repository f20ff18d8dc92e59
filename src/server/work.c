/* SPDX-License-Identifier: Apache-2.0 */
/* A request's way from its head to the engine. */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/clock.h"
#include "base/fail.h"
#include "base/mem.h"
#include "base/number.h"
#include "server/fields.h"
#include "server/server_internal.h"

#define INLINE_BYTES_MAX ((size_t)16 << 10)   /* of a body that is read on the loop's thread */
#define LARGE_BYTES_MAX  ((int64_t)256 << 20) /* of larger bodies together */
#define LARGE_ANSWER_MIN ((size_t)1 << 20)    /* what is smaller is not counted */
#define OUT_BYTES_MAX    ((size_t)1 << 30)
#define WHOLE_BYTES_MAX  ((size_t)1 << 20) /* of an answer that is sent as a whole */
#define REST_NS          ((uint64_t)1000000)
#define GATE_NS          ((uint64_t)4000000)
#define BODY_WORD        "the request's body"

static void fail_now(server_work *work, int code) {
    work->ask.http_code = code;
    server_work_fail(work);
}

static bool has_read(const server_route *route) {
    return route->read != NULL || route->read_bytes != NULL;
}

/* "application/json" of "application/json; charset=utf-8". */
static bool is_type(tandem_str value, const char *type) {
    return http_list_has(value, type);
}

static bool is_type_wrong(const server_work *work) {
    const server_ask *ask = &work->ask;
    if (ask->content_type.len == 0) return false;
    if (ask->route->read_bytes != NULL && is_type(ask->content_type, "application/octet-stream"))
        return false;
    if (ask->route->can_stream && (is_type(ask->content_type, "application/x-ndjson") ||
                                   is_type(ask->content_type, "application/jsonl")))
        return false;
    return !is_type(ask->content_type, "application/json");
}

static bool has_memory(server_work *work) {
    if (atomic_load(&work->loop->server->large_bytes) <= LARGE_BYTES_MAX) return true;
    work->retry_ns = 1000000000;
    return TANDEM_FAIL(&work->err, CAPACITY, "large requests fill %lld bytes of memory",
                       (long long)LARGE_BYTES_MAX) == TANDEM_OK;
}

void server_work_count(server_work *work, size_t bytes) {
    if (bytes < LARGE_ANSWER_MIN || work->exchange->is_ended) return;
    work->large_bytes += (int64_t)bytes;
    atomic_fetch_add(&work->loop->server->large_bytes, (int64_t)bytes);
}

/* What the head alone can be refused for. */
static void check_head(server_work *work) {
    server_state *server = work->loop->server;
    const http_head *head = &work->exchange->head;
    const int64_t limit = server->catalog.limits.body_bytes;
    if (is_type_wrong(work)) {
        (void)TANDEM_FAIL(&work->err, FORMAT, "Content-Type is \"%.*s\", expected application/json",
                          TANDEM_STR_ARG(work->ask.content_type));
        fail_now(work, 415);
        return;
    }
    const tandem_str coding = http_head_get(head, "Content-Encoding");
    if (coding.len > 0 && !http_list_has(coding, "identity")) {
        (void)TANDEM_FAIL(&work->err, FORMAT, "Content-Encoding is \"%.*s\", expected none",
                          TANDEM_STR_ARG(coding));
        fail_now(work, 415);
        return;
    }
    if (work->stream == NULL && head->content_length > limit) {
        (void)TANDEM_FAIL(&work->err, CAPACITY, BODY_WORD " has %lld bytes, limit %lld",
                          (long long)head->content_length, (long long)limit);
        fail_now(work, 413);
    } else if (work->ask.route->grows && !has_memory(work)) {
        fail_now(work, 429);
    }
}

static tandem_band band_of(int32_t priority) {
    return priority < 0   ? TANDEM_BAND_REALTIME
           : priority > 0 ? TANDEM_BAND_BACKGROUND
                          : TANDEM_BAND_STANDARD;
}

/* For some milliseconds after the engine had no room, the next of the same band are refused by
 * their heads: under overload a refusal must cost next to nothing, or refusing eats what serving
 * needs. */
static bool is_gate_shut(server_work *work) {
    int32_t priority = 0;
    const tandem_str word = http_head_get(&work->exchange->head, "X-Tandem-Priority");
    if (word.len > 0 && tandem_priority_parse(word.ptr, word.len, &priority, NULL) != TANDEM_OK)
        return false;
    const server_state *server = work->loop->server;
    const tandem_band band = band_of(priority);
    const uint64_t now_ns = tandem__clock_ns();
    if (now_ns >= atomic_load_explicit(&server->gates_ns[band], memory_order_relaxed)) return false;
    const uint64_t again_ns = atomic_load_explicit(&server->again_ns[band], memory_order_relaxed);
    work->retry_ns = again_ns > now_ns ? again_ns - now_ns : 1;
    (void)TANDEM_FAIL(&work->err, CAPACITY, "the server is at its capacity, try again in %.3f s",
                      (double)work->retry_ns / 1e9);
    return true;
}

/* A refusal that says something of its own tenant, lane or model alone is no reason to refuse the
 * requests of others. */
static bool is_everybodys(const server_work *work) {
    const server_state *server = work->loop->server;
    const tandem_request *request = &work->ask.request;
    const bool has_own_bound =
        work->ask.tenant != NULL && server->options.engine.tenant_tokens_max > 0;
    const bool is_any_lane = request->lane == NULL || strcmp(request->lane, "auto") == 0;
    return server->catalog.count == 1 && is_any_lane && request->lane_classes == 0 &&
           !has_own_bound && !work->is_over_rate;
}

static void shut_gate(const server_work *work) {
    server_state *server = work->loop->server;
    const tandem_band band = band_of(work->ask.request.priority);
    const uint64_t now_ns = tandem__clock_ns();
    const uint64_t wait_ns = work->retry_ns < GATE_NS ? work->retry_ns : GATE_NS;
    atomic_store_explicit(&server->again_ns[band], now_ns + work->retry_ns, memory_order_relaxed);
    atomic_store_explicit(&server->gates_ns[band], now_ns + wait_ns, memory_order_relaxed);
}

void server_work_enter(server_work *work) {
    work->busy++;
}

void server_work_leave(server_work *work) {
    http_exchange *exchange = work->exchange;
    work->busy--;
    if (work->busy > 0 || !exchange->is_ended || work->is_flying || work->is_working) return;
    if (work->stream != NULL && server_stream_is_flying(work)) return;
    if (work->has_call) tandem_call_close(work->call);
    if (work->stream != NULL) server_stream_close(work);
    tandem__buffer_deinit(&work->body);
    tandem__buffer_deinit(&work->out);
    tandem__buffer_deinit(&work->fields);
    http_exchange_release(exchange);
}

static tandem_status write_refusal_fields(server_work *work, int code) {
    TANDEM_TRY(server_work_fields(work, work->ask.answer_type));
    if (code == 401)
        return tandem__buffer_printf(&work->fields, NULL, "WWW-Authenticate: Bearer\r\n");
    if (code == 405) return server_work_allow(work);
    if (code != 429 && code != 503) return TANDEM_OK;
    // When to come again, whoever refused; openai's client reads the second line.
    const uint64_t ms = work->retry_ns / 1000000 + 1;
    return tandem__buffer_printf(&work->fields, NULL,
                                 "Retry-After: %llu\r\nretry-after-ms: %llu\r\n",
                                 (unsigned long long)((ms + 999) / 1000), (unsigned long long)ms);
}

void server_work_fail(server_work *work) {
    work->out.len = 0;
    work->fields.len = 0;
    const int code = server_error_write(&work->ask, &work->err, &work->out);
    if (work->exchange->is_begun || write_refusal_fields(work, code) != TANDEM_OK) {
        http_answer_break(work->exchange);
        return;
    }
    http_answer(work->exchange, code, (tandem_str){work->fields.ptr, work->fields.len},
                (tandem_str){work->out.ptr, work->out.len});
}

static tandem_status read_deadline(tandem_str text, double *deadline_ms, tandem_error *err) {
    if (!tandem__number_parse_double(text, deadline_ms) || *deadline_ms <= 0)
        return TANDEM_FAIL(err, INVALID,
                           "X-Tandem-Deadline-Ms is \"%.*s\", expected a number over 0",
                           TANDEM_STR_ARG(text));
    return TANDEM_OK;
}

static tandem_status read_fallback(tandem_str text, tandem_fallback *fallback, tandem_error *err) {
    if (tandem__str_is(text, "none"))
        *fallback = TANDEM_FALLBACK_NONE;
    else if (!tandem__str_is(text, "next"))
        return TANDEM_FAIL(err, INVALID, "X-Tandem-Fallback is \"%.*s\", expected none or next",
                           TANDEM_STR_ARG(text));
    return TANDEM_OK;
}

tandem_status server_work_options(server_work *work, tandem_error *err) {
    const http_head *head = &work->exchange->head;
    server_ask *ask = &work->ask;
    tandem_request *request = &ask->request;
    const tandem_str lane = http_head_get(head, "X-Tandem-Lane");
    const tandem_str priority = http_head_get(head, "X-Tandem-Priority");
    const tandem_str deadline = http_head_get(head, "X-Tandem-Deadline-Ms");
    const tandem_str fallback = http_head_get(head, "X-Tandem-Fallback");
    if (lane.len > 0 && request->lane == NULL) {
        ask->field = "X-Tandem-Lane";
        request->lane = tandem__arena_copy(ask->arena, lane.ptr, lane.len);
        if (request->lane == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for a request");
    }
    if (priority.len > 0 && !ask->has_priority) {
        ask->field = "X-Tandem-Priority";
        TANDEM_TRY(tandem_priority_parse(priority.ptr, priority.len, &request->priority, err));
    }
    if (deadline.len > 0 && request->deadline_ms == 0) {
        ask->field = "X-Tandem-Deadline-Ms";
        TANDEM_TRY(read_deadline(deadline, &request->deadline_ms, err));
    }
    if (fallback.len > 0 && request->fallback == TANDEM_FALLBACK_NEXT) {
        ask->field = "X-Tandem-Fallback";
        TANDEM_TRY(read_fallback(fallback, &request->fallback, err));
    }
    ask->field = NULL;
    const server_options *options = &work->loop->server->options;
    const bool is_embedding =
        request->task == TANDEM_TASK_EMBED || request->task == TANDEM_TASK_EMBED_ALL;
    if (is_embedding && request->texts != NULL && request->prompt == NULL &&
        request->prompt_name == NULL) {
        request->prompt = options->default_prompt;
        request->prompt_name = options->default_prompt_name;
    }
    return TANDEM_OK;
}

static tandem_status read_body(server_work *work) {
    server_ask *ask = &work->ask;
    const tandem_str body = {work->body.ptr == NULL ? "" : work->body.ptr, work->body.len};
    if (ask->route->read_bytes != NULL) return ask->route->read_bytes(ask, body, &work->err);
    const tandem_json *root = NULL;
    TANDEM_TRY(server_body_parse(ask, body, &root, &work->err));
    return ask->route->read(ask, root, &work->err);
}

tandem_status server_work_submit(server_work *work, server_flight *flight, tandem_call **call,
                                 uint64_t *retry_ns, tandem_error *err) {
    server_loop *loop = work->loop;
    atomic_fetch_add(&loop->flights, 1);
    const tandem_status status = tandem_queue_submit(
        loop->queue, work->ask.model->engine, &work->ask.request, flight, call, retry_ns, err);
    if (status != TANDEM_OK) atomic_fetch_sub(&loop->flights, 1);
    return status;
}

/* Reads the body and hands it to the engine; any thread. */
static tandem_status read_and_submit(server_work *work) {
    TANDEM_TRY(read_body(work));
    TANDEM_TRY(server_work_options(work, &work->err));
    TANDEM_TRY(server_work_admit(work, &work->retry_ns, &work->err));
    return server_work_submit(work, &work->flight, &work->call, &work->retry_ns, &work->err);
}

static void submitted(server_work *work, tandem_status status) {
    if (status == TANDEM_OK) {
        work->is_flying = !work->is_over;
        if (work->is_flying && work->exchange->is_ended) tandem_call_cancel(work->call);
        return;
    }
    const bool is_server_full = status == TANDEM_CAPACITY && work->retry_ns > 0;
    if (is_server_full && is_everybodys(work)) shut_gate(work);
    if (work->is_over_rate) work->ask.http_code = 429; // what a full server is, its API says
    if (!work->exchange->is_ended) server_work_fail(work);
}

/* A worker is done with it. What its exchange's end left to do is done now: until here the worker
 * might have looked at the tenant, or admitted the request. */
static void come_back(server_work *work) {
    work->is_working = false;
    if (work->exchange->is_ended) server_work_account(work, work->is_gone);
}

static void on_worked(void *context) {
    server_work *work = context;
    server_work_enter(work);
    come_back(work);
    submitted(work, work->status);
    server_work_leave(work);
}

static void run_task(server_task *task) {
    server_work *work = (server_work *)(void *)((char *)task - offsetof(server_work, task));
    work->status = read_and_submit(work);
    while (!http_loop_post(work->loop->http, on_worked, work)) continue; // memory will come
}

static void on_done(server_flight *flight, tandem_call *call) {
    server_work *work = (server_work *)(void *)flight;
    server_work_enter(work);
    work->is_flying = false;
    work->is_over = true;
    work->has_call = true;
    const tandem_status status = tandem_call_result(call, &work->result, &work->err);
    const bool is_wanted = !work->exchange->is_ended;
    if (is_wanted && status == TANDEM_OK) server_work_answer(work);
    if (is_wanted && status != TANDEM_OK) server_work_fail(work);
    server_work_leave(work);
}

/* Makes the answer of a route that needs no lane; any thread. */
static tandem_status make_answer(server_work *work) {
    server_ask *ask = &work->ask;
    const tandem_json *root = NULL;
    if (work->body.len > 0) {
        TANDEM_TRY(server_body_parse(ask, (tandem_str){work->body.ptr, work->body.len}, &root,
                                     &work->err));
    }
    return ask->route->answer(ask, root, &work->out, &work->err);
}

static void send_answer(server_work *work, tandem_status status) {
    if (status != TANDEM_OK) {
        server_work_fail(work);
        return;
    }
    if (server_work_fields(work, work->ask.answer_type) != TANDEM_OK) {
        http_answer_break(work->exchange);
        return;
    }
    server_work_count(work, work->out.len + work->ask.arena->bytes_used);
    const int code = work->ask.http_code == 0 ? 200 : work->ask.http_code;
    const tandem_str fields = {work->fields.ptr, work->fields.len};
    if (work->out.len > WHOLE_BYTES_MAX) {
        http_answer_begin(work->exchange, code, fields);
        server_work_more(work);
        return;
    }
    http_answer(work->exchange, code, fields, (tandem_str){work->out.ptr, work->out.len});
}

static void on_made(void *context) {
    server_work *work = context;
    server_work_enter(work);
    come_back(work);
    if (!work->exchange->is_ended) send_answer(work, work->status);
    server_work_leave(work);
}

static void run_answer(server_task *task) {
    server_work *work = (server_work *)(void *)((char *)task - offsetof(server_work, task));
    work->status = make_answer(work);
    while (!http_loop_post(work->loop->http, on_made, work)) continue; // memory will come
}

static void hand_over(server_work *work, void (*run)(server_task *task)) {
    work->is_working = true;
    work->task.run = run;
    server_workers_push(work->loop->server->workers, &work->task);
}

static void take_body(server_work *work, tandem_str bytes) {
    if (work->stream != NULL) {
        server_stream_body(work, bytes);
        return;
    }
    // What a large body has brought so far counts, not what it says will come: a client that
    // trickles must not take the room of those that send.
    const int64_t len = (int64_t)(work->body.len + bytes.len);
    if (len > (int64_t)INLINE_BYTES_MAX) {
        const bool has_room = has_memory(work);
        atomic_fetch_add(&work->loop->server->large_bytes, len - work->large_bytes);
        work->large_bytes = len;
        if (!has_room) {
            fail_now(work, 429);
            return;
        }
    }
    if (tandem__buffer_push(&work->body, bytes.ptr, bytes.len, NULL) == TANDEM_OK) return;
    (void)TANDEM_FAIL(&work->err, CAPACITY, BODY_WORD " has over %lld bytes, which is the limit",
                      (long long)work->loop->server->catalog.limits.body_bytes);
    fail_now(work, 413);
}

static void on_body(http_exchange *exchange, tandem_str bytes) {
    server_work *work = exchange->own;
    server_work_enter(work);
    take_body(work, bytes);
    server_work_leave(work);
}

static void on_whole(http_exchange *exchange) {
    server_work *work = exchange->own;
    server_work_enter(work);
    if (work->stream != NULL) {
        server_stream_whole(work);
    } else if (work->ask.route->is_slow || work->body.len > INLINE_BYTES_MAX) {
        hand_over(work, has_read(work->ask.route) ? run_task : run_answer);
    } else if (!has_read(work->ask.route)) {
        send_answer(work, make_answer(work));
    } else {
        submitted(work, read_and_submit(work));
    }
    server_work_leave(work);
}

static void on_drained(http_exchange *exchange) {
    server_work *work = exchange->own;
    server_work_enter(work);
    if (work->stream != NULL)
        server_stream_drained(work);
    else
        server_work_more(work);
    server_work_leave(work);
}

static void on_event(void *context, http_event event) {
    const server_state *server = context;
    server_stats *stats = server->catalog.stats;
    switch (event) {
    case HTTP_EVENT_OPENED:
        server_stats_count(stats, SERVER_EVENT_ACCEPTED);
        server_stats_change(stats, SERVER_GAUGE_CONNECTIONS, 1);
        break;
    case HTTP_EVENT_CLOSED:
        server_stats_change(stats, SERVER_GAUGE_CONNECTIONS, -1);
        break;
    case HTTP_EVENT_TURNED_AWAY:
        server_stats_count(stats, SERVER_EVENT_TURNED_AWAY);
        break;
    case HTTP_EVENT_TIMED_OUT:
        server_stats_count(stats, SERVER_EVENT_TIMED_OUT);
        break;
    }
}

static void on_ended(http_exchange *exchange, bool is_gone) {
    server_work *work = exchange->own;
    if (work == NULL) {
        http_exchange_release(exchange);
        return;
    }
    server_work_enter(work);
    work->is_gone = is_gone;
    if (!work->is_working) server_work_account(work, is_gone);
    if (work->large_bytes > 0)
        atomic_fetch_sub(&work->loop->server->large_bytes, work->large_bytes);
    if (work->stream != NULL) server_stream_ended(work);
    if (work->is_flying) tandem_call_cancel(work->call);
    server_work_leave(work);
}

static void admit(server_work *work) {
    if (!server_work_route(work)) return;
    if (!server_work_identify(work)) {
        server_work_fail(work);
        return;
    }
    if (has_read(work->ask.route) && is_gate_shut(work)) {
        server_work_fail(work);
        return;
    }
    if (server_stream_wanted(work)) server_stream_open(work);
    check_head(work);
}

static void on_head(void *context, http_exchange *exchange) {
    server_state *server = context;
    server_work *work = tandem__arena_alloc(&exchange->arena, sizeof *work);
    if (work == NULL) {
        http_answer(exchange, 503, TANDEM_STR("Retry-After: 1\r\n"), (tandem_str){NULL, 0});
        return;
    }
    const http_head *head = &exchange->head;
    exchange->own = work;
    work->exchange = exchange;
    work->loop = http_loop_own(exchange->loop);
    work->flight.done = on_done;
    work->ask = (server_ask){.arena = &exchange->arena,
                             .catalog = &server->catalog,
                             .query = head->query,
                             .accept = http_head_get(head, "Accept"),
                             .content_type = http_head_get(head, "Content-Type"),
                             .inference_header_length =
                                 http_head_get(head, "Inference-Header-Content-Length"),
                             .more_headers = &work->fields};
    tandem__buffer_init(&work->body, (size_t)server->catalog.limits.body_bytes);
    tandem__buffer_init(&work->out, OUT_BYTES_MAX);
    tandem__buffer_init(&work->fields, (size_t)64 << 10);
    server_work_name(work);
    server_stats_change(server->catalog.stats, SERVER_GAUGE_REQUESTS, 1);
    server_work_enter(work);
    admit(work);
    server_work_leave(work);
}

static void on_queue(void *context) {
    server_loop *loop = context;
    for (tandem_call *call; (call = tandem_queue_next(loop->queue)) != NULL;) {
        server_flight *flight = tandem_call_context(call);
        atomic_fetch_sub(&loop->flights, 1);
        flight->done(flight, call);
    }
    server_streams_flush(loop);
}

/* While a gate is shut requests come faster than they can be served, and each wake-up of a loop
 * takes a processor from the lanes in the middle of a batch: they are answered some together. */
static uint64_t rest_ns(void *context) {
    const server_state *server = context;
    const uint64_t now_ns = tandem__clock_ns();
    for (int band = 0; band < TANDEM_BANDS; band++) {
        if (now_ns < atomic_load_explicit(&server->gates_ns[band], memory_order_relaxed))
            return REST_NS;
    }
    return 0;
}

static void on_tick(void *context, http_loop *http) {
    (void)context;
    server_streams_tick(http_loop_own(http));
}

static tandem_status loop_open(void *context, http_loop *http, tandem_error *err) {
    server_loop *loop = tandem__mem_calloc(1, sizeof *loop);
    if (loop == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for a loop");
    loop->server = context;
    loop->http = http;
    http_loop_set_own(http, loop);
    uint64_t seed = 0;
    if (getentropy(&seed, sizeof seed) != 0) seed = tandem__clock_ns();
    tandem__random_init(&loop->random, seed);
    TANDEM_TRY(tandem_queue_open(&loop->queue, err));
    return http_loop_watch(http, tandem_queue_fd(loop->queue), on_queue, loop, err);
}

/* Its connections are closed, so that every call was cancelled and is in the queue, or ends just
 * now on a thread of the engine. */
static void loop_close(void *context, http_loop *http) {
    (void)context;
    server_loop *loop = http_loop_own(http);
    if (loop == NULL) return;
    const struct timespec moment = {.tv_nsec = 100000};
    if (loop->queue != NULL) on_queue(loop);
    while (atomic_load(&loop->flights) > 0) {
        (void)nanosleep(&moment, NULL);
        on_queue(loop);
    }
    tandem_queue_close(loop->queue);
    tandem__mem_free(loop);
}

http_handler server_handler(server_state *server) {
    return (http_handler){
        .context = server,
        .event = on_event,
        .head = on_head,
        .body = on_body,
        .whole = on_whole,
        .drained = on_drained,
        .ended = on_ended,
        .tick = on_tick,
        .rest_ns = rest_ns,
        .loop_open = loop_open,
        .loop_close = loop_close,
    };
}
