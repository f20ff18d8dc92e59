/* SPDX-License-Identifier: Apache-2.0 */
/* The loops: a thread each, with its own libevent base, so that nothing of libevent is shared and
 * needs no locks. Other threads hand work in through a list and a file descriptor. */
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/fail.h"
#include "base/mem.h"
#include "server/http_internal.h"

#define SWEEP_US 250000

http_exchange *http_exchange_get(http_loop *loop) {
    http_exchange *exchange = loop->spare;
    if (exchange != NULL) {
        loop->spare = exchange->next_free;
        loop->spare_count--;
    } else {
        exchange = tandem__mem_calloc(1, sizeof *exchange);
        if (exchange == NULL) return NULL;
        tandem__arena_init(&exchange->arena, HTTP_ARENA_BYTES);
    }
    const tandem_arena arena = exchange->arena;
    *exchange = (http_exchange){.loop = loop, .arena = arena};
    return exchange;
}

void http_exchange_release(http_exchange *exchange) {
    http_loop *loop = exchange->loop;
    if (loop->spare_count == HTTP_SPARE_MAX) {
        tandem__arena_deinit(&exchange->arena);
        tandem__mem_free(exchange);
        return;
    }
    tandem__arena_reset(&exchange->arena);
    if (exchange->arena.bytes_used > HTTP_ARENA_KEEP) tandem__arena_deinit(&exchange->arena);
    exchange->next_free = loop->spare;
    loop->spare = exchange;
    loop->spare_count++;
}

bool http_loop_post(http_loop *loop, void (*run)(void *context), void *context) {
    http_post *post = tandem__mem_calloc(1, sizeof *post);
    if (post == NULL) return false;
    *post = (http_post){.run = run, .context = context};
    (void)pthread_mutex_lock(&loop->mutex);
    if (loop->posts == NULL) tandem__signal_fd_set(&loop->signal);
    *loop->posts_end = post;
    loop->posts_end = &post->next;
    (void)pthread_mutex_unlock(&loop->mutex);
    return true;
}

static void run_posts(http_loop *loop) {
    (void)pthread_mutex_lock(&loop->mutex);
    http_post *post = loop->posts;
    loop->posts = NULL;
    loop->posts_end = &loop->posts;
    if (post != NULL) tandem__signal_fd_clear(&loop->signal);
    (void)pthread_mutex_unlock(&loop->mutex);
    while (post != NULL) {
        http_post *next = post->next;
        post->run(post->context);
        tandem__mem_free(post);
        post = next;
    }
}

static void on_post(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    run_posts(arg);
}

static void on_sweep(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    http_loop *loop = arg;
    http_conn_sweep(loop, tandem__clock_ns());
    const http_handler *handler = &loop->server->handler;
    if (handler->tick != NULL) handler->tick(handler->context, loop);
}

void http_loop_set_own(http_loop *loop, void *own) {
    loop->own = own;
}

void *http_loop_own(const http_loop *loop) {
    return loop->own;
}

static void on_watch(evutil_socket_t fd, short what, void *arg) {
    (void)what;
    http_loop *loop = arg;
    for (int32_t i = 0; i < loop->watch_count; i++) {
        if (event_get_fd(loop->watches[i]) == fd) loop->watched[i].ready(loop->watched[i].context);
    }
}

tandem_status http_loop_watch(http_loop *loop, int fd, void (*ready)(void *context), void *context,
                              tandem_error *err) {
    if (loop->watch_count == HTTP_WATCHES_MAX)
        return TANDEM_FAIL(err, CAPACITY, "a loop watches at most %d descriptors",
                           HTTP_WATCHES_MAX);
    struct event *event = event_new(loop->base, fd, EV_READ | EV_PERSIST, on_watch, loop);
    if (event == NULL || event_add(event, NULL) != 0) {
        if (event != NULL) event_free(event);
        return TANDEM_FAIL(err, MEMORY, "no memory for an event");
    }
    loop->watches[loop->watch_count] = event;
    loop->watched[loop->watch_count].ready = ready;
    loop->watched[loop->watch_count].context = context;
    loop->watch_count++;
    return TANDEM_OK;
}

static tandem_status make_base(http_loop *loop, tandem_error *err) {
    struct event_config *config = event_config_new();
    if (config != NULL) {
        (void)event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
        (void)event_config_set_flag(config, EVENT_BASE_FLAG_NO_CACHE_TIME);
        loop->base = event_base_new_with_config(config);
        event_config_free(config);
    }
    if (loop->base == NULL) return TANDEM_FAIL(err, MEMORY, "libevent cannot make an event base");
    loop->tells_leaving = (event_base_get_features(loop->base) & EV_FEATURE_EARLY_CLOSE) != 0;
    return TANDEM_OK;
}

static tandem_status loop_open(http_loop *loop, http_server *server, tandem_error *err) {
    loop->server = server;
    loop->posts_end = &loop->posts;
    loop->scratch = tandem__mem_alloc_aligned(HTTP_SCRATCH_BYTES);
    if (loop->scratch == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for a loop");
    TANDEM_TRY(tandem__signal_fd_open(&loop->signal, err));
    TANDEM_TRY(make_base(loop, err));
    loop->post_event = event_new(loop->base, tandem__signal_fd_get(&loop->signal),
                                 EV_READ | EV_PERSIST, on_post, loop);
    loop->sweep_event = event_new(loop->base, -1, EV_PERSIST, on_sweep, loop);
    const struct timeval every = {.tv_usec = SWEEP_US};
    if (loop->post_event == NULL || loop->sweep_event == NULL ||
        event_add(loop->post_event, NULL) != 0 || event_add(loop->sweep_event, &every) != 0)
        return TANDEM_FAIL(err, MEMORY, "no memory for a loop's events");
    if (server->handler.loop_open == NULL) return TANDEM_OK;
    return server->handler.loop_open(server->handler.context, loop, err);
}

static void *loop_run(void *arg) {
    http_loop *loop = arg;
    const http_handler *handler = &loop->server->handler;
    while (!loop->is_stopped) {
        (void)event_base_loop(loop->base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY);
        const uint64_t rest_ns = handler->rest_ns == NULL ? 0 : handler->rest_ns(handler->context);
        const struct timespec rest = {.tv_nsec = (long)rest_ns};
        if (rest_ns > 0) (void)nanosleep(&rest, NULL);
    }
    return NULL;
}

static void stop(void *context) {
    http_loop *loop = context;
    loop->is_stopped = true;
    (void)event_base_loopbreak(loop->base);
}

static void free_spare(http_loop *loop) {
    for (http_exchange *exchange = loop->spare, *next; exchange != NULL; exchange = next) {
        next = exchange->next_free;
        tandem__arena_deinit(&exchange->arena);
        tandem__mem_free(exchange);
    }
}

/* After its thread has ended, or before it began. */
static void loop_close(http_loop *loop) {
    if (loop->server == NULL) return;
    run_posts(loop);
    while (loop->conns != NULL) http_conn_close(loop->conns);
    if (loop->server->handler.loop_close != NULL)
        loop->server->handler.loop_close(loop->server->handler.context, loop);
    run_posts(loop);
    free_spare(loop);
    for (int32_t i = 0; i < loop->watch_count; i++) event_free(loop->watches[i]);
    if (loop->post_event != NULL) event_free(loop->post_event);
    if (loop->sweep_event != NULL) event_free(loop->sweep_event);
    if (loop->base != NULL) event_base_free(loop->base);
    tandem__signal_fd_close(&loop->signal);
    if (loop->scratch != NULL) tandem__mem_free_aligned(loop->scratch, HTTP_SCRATCH_BYTES);
    (void)pthread_mutex_destroy(&loop->mutex);
}

static void fill_defaults(http_options *options) {
    if (options->host == NULL) options->host = "127.0.0.1";
    if (options->port == NULL) options->port = "8080";
    if (options->loops <= 0) options->loops = 1;
    if (options->loops > HTTP_LOOPS_MAX) options->loops = HTTP_LOOPS_MAX;
    if (options->connections_max <= 0) options->connections_max = 20000;
    if (options->idle_s <= 0) options->idle_s = 300;
    if (options->head_s <= 0) options->head_s = 10;
    if (options->stall_s <= 0) options->stall_s = 30;
}

static tandem_status start(http_server *server, tandem_error *err) {
    for (int32_t i = 0; i < server->loop_count; i++) {
        http_loop *loop = &server->loops[i];
        if (pthread_create(&loop->thread, NULL, loop_run, loop) != 0)
            return TANDEM_FAIL(err, MEMORY, "the system gives no thread for a loop");
        loop->is_started = true;
    }
    return TANDEM_OK;
}

tandem_status http_server_open(const http_options *options, const http_handler *handler,
                               http_server **server, tandem_error *err) {
    http_server *made = tandem__mem_calloc(1, sizeof *made);
    if (made == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for a server");
    made->options = *options;
    made->handler = *handler;
    fill_defaults(&made->options);
    made->loop_count = made->options.loops;
    for (int32_t i = 0; i < made->loop_count; i++) {
        (void)pthread_mutex_init(&made->loops[i].mutex, NULL);
        made->loops[i].signal = (tandem_signal_fd){-1, -1};
    }
    tandem_status status = http_listen_open(made, err);
    for (int32_t i = 0; i < made->loop_count && status == TANDEM_OK; i++)
        status = loop_open(&made->loops[i], made, err);
    if (status == TANDEM_OK) status = http_listen_start(made, err);
    if (status == TANDEM_OK) status = start(made, err);
    if (status != TANDEM_OK) {
        http_server_close(made);
        return status;
    }
    *server = made;
    return TANDEM_OK;
}

int http_server_port(const http_server *server) {
    return server->port;
}

static void drain_loop(void *context) {
    http_loop *loop = context;
    if (loop == &loop->server->loops[0]) http_listen_stop(loop->server);
    http_conn_sweep(loop, tandem__clock_ns());
}

void http_server_drain(http_server *server) {
    if (atomic_exchange(&server->is_draining, true)) return;
    for (int32_t i = 0; i < server->loop_count; i++)
        (void)http_loop_post(&server->loops[i], drain_loop, &server->loops[i]);
}

int64_t http_server_busy(const http_server *server) {
    return atomic_load(&server->busy);
}

void http_server_stop(http_server *server) {
    if (server == NULL) return;
    for (int32_t i = 0; i < server->loop_count; i++) {
        http_loop *loop = &server->loops[i];
        if (!loop->is_started) continue;
        while (!http_loop_post(loop, stop, loop)) continue;
        (void)pthread_join(loop->thread, NULL);
        loop->is_started = false;
    }
}

void http_server_close(http_server *server) {
    if (server == NULL) return;
    http_server_stop(server);
    http_listen_stop(server);
    for (int32_t i = 0; i < server->loop_count; i++) loop_close(&server->loops[i]);
    tandem__mem_free(server);
}
