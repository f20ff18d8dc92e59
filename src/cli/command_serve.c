/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server. */
#include "base/log.h"
#include "cli/cli.h"
#include "server/server.h"

#define AT(field)       offsetof(cli_settings, field)
#define LANE_WORDS      "auto|ane|metal|cuda|cpu|ref"
#define DTYPE_WORDS     "f16|f32|bf16|i8|fp8|auto"
#define BODY_BYTES_MAX  ((int64_t)1 << 30)
#define CONNECTIONS_MAX 1000000
#define SECONDS_MAX     86400

/* clang-format off */
static const cli_option model_options[] = {
    {CLI_LIST, AT(models), "model", 'm', false, "NAME|PATH", NULL, 0, 0,
     "a Hub name that is in the cache, or a folder; may be given several times"},
    {CLI_WORD, AT(lane), "lane", 0, false, LANE_WORDS, "auto", 0, 0,
     "the processor to work on; auto is all that the machine has"},
    {CLI_WORD, AT(dtype), "dtype", 0, false, DTYPE_WORDS, "f16", 0, 0,
     "number format of weights and arithmetic"},
    {CLI_INT, AT(threads), "threads", 0, false, "N", "0", 0, 1024,
     "compute threads; 0 is the processors that this process may use"},
    {CLI_INT, AT(max_length), "max-length", 0, false, "N", "0", 0, 1 << 20,
     "longest text in tokens; 0 is the model's own, at most its positions"},
    {CLI_INT, AT(cache_mb), "cache", 0, false, "MB", "64", 0, 1 << 20,
     "memory for vectors of texts that came before; 0 keeps none"},
};

static const cli_option serve_options[] = {
    {CLI_TEXT, AT(host), "host", 0, false, "ADDRESS", "127.0.0.1", 0, 0,
     "where to listen; 0.0.0.0 is every network"},
    {CLI_TEXT, AT(port), "port", 'p', false, "N", "8080", 0, 0,
     "TCP port; 0 lets the system choose, the log says which"},
    {CLI_PATH, AT(uds_path), "uds-path", 0, false, "FILE", NULL, 0, 0,
     "listen on this local socket as well"},
    {CLI_INT, AT(http_threads), "http-threads", 0, false, "N", "0", 0, 16,
     "threads for connections; 0 is by the processors"},
    {CLI_INT, AT(connections), "max-connections", 0, false, "N", "20000", 1, CONNECTIONS_MAX,
     "connections at a time; more are answered 503"},
    {CLI_INT, AT(body_bytes), "payload-limit", 0, false, "BYTES", "16777216", 1, BODY_BYTES_MAX,
     "largest request that is no stream; a larger one is answered 413"},
    {CLI_INT, AT(batch_texts), "max-client-batch-size", 0, false, "N", "2048", 1, 1 << 20,
     "texts of a request that is no stream"},
    {CLI_INT, AT(queue_tokens), "max-queue-tokens", 0, false, "N", "0", 0, INT32_MAX,
     "tokens that may wait, over which requests are answered 429; 0 is a second's work"},
    {CLI_REAL, AT(idle_s), "idle-timeout", 0, false, "SECONDS", "300", 1, SECONDS_MAX,
     "how long a connection may rest between requests"},
    {CLI_REAL, AT(drain_s), "drain-timeout", 0, false, "SECONDS", "30", 1, SECONDS_MAX,
     "how long requests under way may take after SIGTERM"},
    {CLI_TEXT, AT(cors_origin), "cors-allow-origin", 0, false, "ORIGIN", NULL, 0, 0,
     "web pages of this origin may ask; * is any"},
    {CLI_SWITCH, AT(refuse_long), "no-auto-truncate", 0, false, NULL, NULL, 0, 0,
     "a text over the model's length is an error, unless its request says truncate"},
};
/* clang-format on */

static const cli_group model_group = CLI_GROUP("Models and lanes", model_options);
static const cli_group serve_group = CLI_GROUP("Server", serve_options);

static cli_exit run(const cli_settings *settings) {
    server_model_options models[CLI_LIST_MAX];
    for (int i = 0; i < settings->models.count; i++)
        models[i] = (server_model_options){.name = settings->models.items[i]};
    const server_options options = {
        .models = models,
        .model_count = (size_t)settings->models.count,
        .engine = {.lane = settings->lane,
                   .dtype = settings->dtype,
                   .threads = (int32_t)settings->threads,
                   .max_length = (int32_t)settings->max_length,
                   .queue_tokens_max = settings->queue_tokens,
                   .cache_bytes = settings->cache_mb == 0 ? -1 : settings->cache_mb * 1000000},
        .host = settings->host,
        .port = settings->port,
        .socket_path = settings->uds_path,
        .http_threads = (int32_t)settings->http_threads,
        .connections_max = settings->connections,
        .body_bytes_max = settings->body_bytes,
        .batch_texts_max = settings->batch_texts,
        .idle_s = settings->idle_s,
        .drain_s = settings->drain_s,
        .cors_origin = settings->cors_origin,
        .refuse_long = settings->refuse_long,
    };
    if (!settings->is_quiet) tandem__log_set_level(TANDEM_LOG_INFO);
    tandem_error err = {0};
    return server_run(&options, &err) == TANDEM_OK ? CLI_DONE : cli_fail(&err);
}

const cli_command cli_command_serve = {
    .name = "serve",
    .usage = "[OPTION]...",
    .summary = "Answer requests over HTTP",
    .details =
        "Speaks the APIs of Text Embeddings Inference, OpenAI (/v1/embeddings), Cohere and\n"
        "Jina (/v1/rerank, /v2/rerank) and KServe (/v2/models/...). GET /openapi.json lists\n"
        "all routes, GET / is a page that shows what the lanes do, GET /ready says whether\n"
        "inference works. A route whose request names no model uses the first one given\n"
        "that is for its task.\n",
    .example = "  tandem serve -m sentence-transformers/all-MiniLM-L6-v2 --port 8080\n"
               "  curl -s localhost:8080/embed -H 'Content-Type: application/json' \\\n"
               "       -d '{\"inputs\":\"What a day!\"}'\n",
    .args_max = 0,
    .groups = {&model_group, &serve_group, &cli_group_common},
    .run = run,
};
