/* SPDX-License-Identifier: Apache-2.0 */
/* The server's life: models, loops, signals, the end. */
#include "server/server.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fail.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/signal_wait.h"
#include "server/keys.h"
#include "server/ledger.h"
#include "server/server_internal.h"
#include "tandem/version.h"

#define DEFAULT_MODEL "sentence-transformers/all-MiniLM-L6-v2"
#define TICK_NS       ((uint64_t)20000000)

/* Connections need descriptors: as many as the system lets this process have. */
static void raise_descriptors(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static const server_model_options default_model = {.name = DEFAULT_MODEL};

/* A folder goes by its last part: where it lies is nobody's business. The Hub's names have at most
 * one slash. */
static const char *name_of(const char *given) {
    const char *slash = strrchr(given, '/');
    const bool is_path =
        given[0] == '/' || given[0] == '.' || given[0] == '~' || slash != strchr(given, '/');
    return is_path && slash != NULL && slash[1] != '\0' ? slash + 1 : given;
}

/* A prompt by a name that the model lacks would fail every request: better now. */
static tandem_status check_prompt(const server_options *options, const server_model *model,
                                  tandem_error *err) {
    const char *wanted = options->default_prompt_name;
    if (wanted == NULL || !model->info.has_embedding) return TANDEM_OK;
    for (int32_t i = 0; i < model->info.prompt_count; i++) {
        if (strcmp(model->info.prompt_names[i], wanted) == 0) return TANDEM_OK;
    }
    return TANDEM_FAIL(err, INVALID, "default_prompt_name: model %s has no prompt \"%s\"",
                       model->info.name, wanted);
}

static tandem_status open_models(server_state *server, tandem_error *err) {
    const server_options *options = &server->options;
    const char *names[SERVER_MODELS_MAX];
    if (options->model_count > SERVER_MODELS_MAX)
        return TANDEM_FAIL(err, CAPACITY, "%zu models, at most %d", options->model_count,
                           SERVER_MODELS_MAX);
    for (size_t i = 0; i < options->model_count; i++) names[i] = options->models[i].name;
    TANDEM_TRY(
        tandem_models_open(names, options->model_count, &options->engine, 0, &server->models, err));
    tandem_model_entry entries[SERVER_MODELS_MAX];
    for (size_t i = 0; i < options->model_count; i++) {
        const server_model_options *from = &options->models[i];
        server_model *model = &server->catalog.models[i];
        TANDEM_TRY(tandem_models_get(server->models, from->name, &model->engine, err));
        server->catalog.count = i + 1;
        (void)tandem_models_list(server->models, entries, SERVER_MODELS_MAX);
        model->index = i;
        model->size = tandem_model_size_word(entries[i].size);
        model->created_s = (int64_t)time(NULL);
        model->tokenizer = tandem_engine_tokenizer(model->engine);
        tandem_engine_model(model->engine, &model->info);
        TANDEM_TRY(check_prompt(options, model, err));
        model->id = name_of(from->name);
        model->name = from->served_name != NULL ? from->served_name : model->id;
        if (model->id != from->name)
            model->folder = from->name;
        else if (model->name != model->id)
            model->aliases[model->alias_count++] = model->id;
        for (size_t k = 0; k < from->alias_count && model->alias_count < SERVER_ALIASES_MAX; k++)
            model->aliases[model->alias_count++] = from->aliases[k];
        model->lane_count = tandem_lanes(model->engine, model->lanes);
        for (int k = 0; k < model->lane_count && model->dtype == NULL; k++) {
            if (model->lanes[k].is_open) model->dtype = model->lanes[k].dtype;
        }
        if (model->dtype == NULL) model->dtype = "";
        (void)tandem_engine_is_ready(model->engine); // begins to probe
    }
    return TANDEM_OK;
}

static void close_models(server_state *server) {
    for (size_t i = 0; i < server->catalog.count; i++)
        tandem_models_put(server->models, server->catalog.models[i].engine);
    tandem_models_close(server->models);
}

/* An address that only this machine can reach. */
static bool is_own_machine(const char *host) {
    return strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
           strncmp(host, "127.", 4) == 0;
}

static tandem_status open_keys(server_state *server, tandem_error *err) {
    const server_options *options = &server->options;
    const bool has_keys = options->config != NULL;
    if (has_keys) TANDEM_TRY(server_keys_open(options->config, &server->catalog.keys, err));
    if (!has_keys && !options->is_open && !is_own_machine(options->host))
        return TANDEM_FAIL(err, PERMISSION,
                           "host: \"%s\" can be reached from other machines and no keys are "
                           "configured; give --api-key, --keys-file, or --open to serve anybody",
                           options->host);
    if (options->ledger_path == NULL) return TANDEM_OK;
    return server_ledger_open(options->ledger_path, &server->catalog.ledger, err);
}

static tandem_status open_server(server_state *server, tandem_error *err) {
    const server_options *options = &server->options;
    TANDEM_TRY(server_stats_create(&server->catalog.stats, err));
    TANDEM_TRY(open_keys(server, err));
    TANDEM_TRY(open_models(server, err));
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    const int32_t threads = processors < 8 ? 1 : (int32_t)(processors / 8);
    TANDEM_TRY(
        server_workers_open(processors < 4 ? 1 : (int32_t)(processors / 4), &server->workers, err));
    const http_options http = {.host = options->host,
                               .port = options->port,
                               .path = options->socket_path,
                               .loops = options->http_threads > 0 ? options->http_threads : threads,
                               .connections_max = options->connections_max,
                               .idle_s = options->idle_s};
    const http_handler handler = server_handler(server);
    return http_server_open(&http, &handler, &server->http, err);
}

/* The loops hand work to the workers, and these hand it back: first nothing more is handed out,
 * then what is out comes back, then it is dealt with. */
static void close_server(server_state *server) {
    http_server_stop(server->http);
    server_workers_close(server->workers);
    http_server_close(server->http);
    close_models(server);
    server_keys_close(server->catalog.keys);
    server_ledger_close(server->catalog.ledger);
    server_stats_destroy(server->catalog.stats);
}

static bool is_over(int number) {
    return number == SIGTERM || number == SIGINT;
}

/* Until what is under way is answered, or its time is up, or a second signal says now. */
static void drain(server_state *server, const sigset_t *signals) {
    atomic_store(&server->is_draining, true);
    http_server_drain(server->http);
    const uint64_t end_ns = tandem__clock_ns() + (uint64_t)(server->options.drain_s * 1e9);
    while (http_server_busy(server->http) > 0 && tandem__clock_ns() < end_ns) {
        if (is_over(tandem__signal_wait(signals, tandem__clock_ns() + TICK_NS))) break;
    }
    const int64_t left = http_server_busy(server->http);
    if (left > 0)
        tandem__log(TANDEM_LOG_WARN, "%lld requests were cut off at the end", (long long)left);
}

static const char *name_of_signal(int number) {
    return number == SIGINT ? "SIGINT" : "SIGTERM";
}

/* What serves, and what was asked for and does not. */
static void say_model(const server_model *model, const char *wanted) {
    const tandem_lane_info *open = NULL;
    const tandem_lane_info *asked = NULL;
    for (int32_t i = 0; i < model->lane_count; i++) {
        const tandem_lane_info *lane = &model->lanes[i];
        if (lane->is_open && open == NULL) open = lane;
        if (wanted != NULL && strcmp(lane->name, wanted) == 0) asked = lane;
    }
    if (open == NULL) return;
    tandem__log(TANDEM_LOG_INFO, "model %s on %s, %s, texts of up to %d tokens", model->name,
                open->name, open->dtype, model->info.max_length);
    if (asked != NULL && !asked->is_open)
        tandem__log(TANDEM_LOG_WARN, "model %s: lane %s serves instead of %s: %s", model->name,
                    open->name, asked->name, asked->reason);
}

static tandem_status serve(server_state *server, const sigset_t *signals, tandem_error *err) {
    TANDEM_TRY(open_server(server, err));
    const char *host = server->options.host;
    const bool is_v6 = strchr(host, ':') != NULL;
    tandem__log(TANDEM_LOG_INFO, "listening on http://%s%s%s:%d", is_v6 ? "[" : "", host,
                is_v6 ? "]" : "", http_server_port(server->http));
    if (server->options.socket_path != NULL)
        tandem__log(TANDEM_LOG_INFO, "listening on %s", server->options.socket_path);
    for (size_t i = 0; i < server->catalog.count; i++)
        say_model(&server->catalog.models[i], server->options.engine.lane);
    int number = 0;
    do {
        number = tandem__signal_wait(signals, UINT64_MAX);
        if (number == SIGHUP && server->catalog.keys != NULL)
            server_keys_reload(server->catalog.keys);
    } while (!is_over(number));
    tandem__log(TANDEM_LOG_INFO, "%s: ending, %lld requests under way", name_of_signal(number),
                (long long)http_server_busy(server->http));
    drain(server, signals);
    return TANDEM_OK;
}

tandem_status server_run(const server_options *options, tandem_error *err) {
    server_state *made = tandem__mem_calloc(1, sizeof *made);
    if (made == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for a server");
    made->options = *options;
    if (options->model_count == 0) {
        made->options.models = &default_model;
        made->options.model_count = 1;
    }
    made->catalog.version = tandem_version();
    made->catalog.is_draining = &made->is_draining;
    made->catalog.limits = (server_limits){
        .body_bytes = made->options.body_bytes_max,
        .batch_texts = made->options.batch_texts_max,
        .connections = made->options.connections_max,
        .queue_tokens = made->options.engine.queue_tokens_max,
        .refuse_long = made->options.refuse_long,
    };
    // Before any thread starts, so that all of them leave the signals to this one.
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    raise_descriptors();
    const tandem_status status = serve(made, &signals, err);
    close_server(made);
    tandem__mem_free(made);
    return status;
}
