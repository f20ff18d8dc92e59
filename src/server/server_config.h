/* SPDX-License-Identifier: Apache-2.0 */
/* A server's settings: flags before TANDEM_ variables before one YAML file before defaults.
 *
 *     host: 0.0.0.0
 *     port: 8080
 *     models:
 *       - name: sentence-transformers/all-MiniLM-L6-v2
 *         served_name: minilm
 *         aliases: [text-embedding-3-small]
 *     tiers: ...          # see tenants.h
 *     tenants: ...
 *
 * Every plain setting has one name: `payload_limit` in the file, --payload-limit,
 * TANDEM_PAYLOAD_LIMIT. The rows of SERVER_SETTING_MAP are the only list of them. An error names
 * the file and line (or the flag, or the variable), the setting, its value and what was expected.
 */
#ifndef TANDEM_SERVER_SERVER_CONFIG_H
#define TANDEM_SERVER_SERVER_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "server/catalog.h"
#include "server/tenants.h"

/* X(type, name, flag, KIND, fallback, min, max, words of a WORD or what stands for the value, help)
 */
/* clang-format off */
#define SERVER_SETTING_MAP(X)                                                                      \
    X(const char *, host, "host", TEXT, "127.0.0.1", 0, 0, "ADDRESS",                              \
      "where to listen; 0.0.0.0 is every network, which needs keys or --open")                     \
    X(int64_t, port, "port", INT, "8080", 0, 65535, "N",                                           \
      "TCP port; 0 lets the system choose, the log says which")                                    \
    X(const char *, uds_path, "uds-path", TEXT, NULL, 0, 0, "FILE",                                \
      "listen on this local socket as well")                                                       \
    X(bool, open, "open", SWITCH, "false", 0, 0, "true|false",                                     \
      "serve anybody without a key, on whatever address")                                          \
    X(const char *, keys_file, "keys-file", TEXT, NULL, 0, 0, "FILE",                              \
      "YAML file with tiers, tenants and hashes of their keys; read again when it changes")        \
    X(const char *, ledger, "ledger", TEXT, NULL, 0, 0, "FILE",                                    \
      "SQLite file of who used what; where there are keys it is kept in any case")                 \
    X(const char *, cors_allow_origin, "cors-allow-origin", TEXT, NULL, 0, 0, "ORIGIN",            \
      "web pages of this origin may ask; * is any")                                                \
    X(const char *, log_format, "log-format", WORD, "text", 0, 0, "text|json",                     \
      "form of the lines on standard error")                                                       \
    X(int64_t, http_threads, "http-threads", INT, "0", 0, 16, "N",                                 \
      "threads for connections; 0 is by the processors")                                           \
    X(int64_t, max_connections, "max-connections", INT, "20000", 1, 1000000, "N",                  \
      "connections at a time; more are answered 503")                                              \
    X(int64_t, payload_limit, "payload-limit", BYTES, "16MiB", 1, INT64_C(1) << 30, "SIZE",        \
      "largest request that is no stream; a larger one is answered 413")                           \
    X(int64_t, max_client_batch_size, "max-client-batch-size", INT, "2048", 1, 1 << 20, "N",       \
      "texts of a request that is no stream")                                                      \
    X(int64_t, max_queue_tokens, "max-queue-tokens", INT, "0", 0, INT32_MAX, "N",                  \
      "tokens that may wait, over which requests are answered 429; 0 is chosen by the engine")     \
    X(double, max_queue_time, "max-queue-time", SECONDS, "2", 0, 86400, "SECONDS",                 \
      "work that would wait longer is answered 429 with the time to come again; 0 is no bound")    \
    X(int64_t, max_tenant_tokens, "max-tenant-tokens", INT, "0", 0, INT32_MAX, "N",                \
      "... of one tenant; 0 is no less than all")                                                  \
    X(double, idle_timeout, "idle-timeout", SECONDS, "300", 1, 86400, "SECONDS",                   \
      "how long a connection may rest between requests")                                           \
    X(double, drain_timeout, "drain-timeout", SECONDS, "30", 1, 86400, "SECONDS",                  \
      "how long requests under way may take after SIGTERM")                                        \
    X(const char *, lane, "lane", WORD, "auto", 0, 0, "auto|ane|metal|cuda|cpu|ref",               \
      "the processor to work on; auto is all that the machine has")                                \
    X(const char *, dtype, "dtype", WORD, "f16", 0, 0, "f16|f32|bf16|i8|fp8|auto",                 \
      "number format of weights and arithmetic")                                                   \
    X(const char *, policy, "policy", WORD, "predict", 0, 0, "predict|rules|rules-simple",         \
      "how requests are spread over lanes")                                                        \
    X(int64_t, threads, "threads", INT, "0", 0, 1024, "N",                                         \
      "compute threads; 0 is the processors that this process may use")                            \
    X(int64_t, max_length, "max-length", INT, "0", 0, 1 << 20, "N",                                \
      "longest text in tokens; 0 is the model's own, at most its positions")                       \
    X(int64_t, max_batch_tokens, "max-batch-tokens", INT, "0", 0, 1 << 24, "N",                    \
      "most tokens of one batch on a lane; 0 is chosen by the engine")                             \
    X(int64_t, cache, "cache", BYTES, "64MB", 0, INT64_C(1) << 40, "SIZE",                         \
      "memory for vectors of texts that came before; 0 keeps none")                                \
    X(bool, auto_truncate, "auto-truncate", SWITCH, "true", 0, 0, "true|false",                    \
      "cut texts over the model's length; false answers an error where the request leaves it open")\
    X(const char *, default_prompt_name, "default-prompt-name", TEXT, NULL, 0, 0, "NAME",          \
      "the model's prompt for embeddings whose request names none")                                \
    X(const char *, default_prompt, "default-prompt", TEXT, NULL, 0, 0, "TEXT",                    \
      "text put before each text to embed whose request names no prompt")
/* clang-format on */

typedef enum server_setting_id {
#define SERVER_SETTING_ENUM(type, name, ...) SERVER_SETTING_##name,
    SERVER_SETTING_MAP(SERVER_SETTING_ENUM)
#undef SERVER_SETTING_ENUM
        SERVER_SETTINGS
} server_setting_id;

typedef struct server_model_config {
    const char *name;        /* a Hub name or a folder */
    const char *served_name; /* how answers call it; NULL = `name` */
    const char *aliases[SERVER_ALIASES_MAX];
    size_t alias_count;
} server_model_config;

typedef struct server_config {
#define SERVER_SETTING_FIELD(type, name, ...) type name;
    SERVER_SETTING_MAP(SERVER_SETTING_FIELD)
#undef SERVER_SETTING_FIELD
    server_model_config models[SERVER_MODELS_MAX];
    size_t model_count;
    server_tenants tenants;
    const char *tenants_path; /* where they were read, NULL = nowhere */
    const char *api_key;      /* one key without tiers, never from a file; NULL = none */
    tandem_arena arena;       /* of all texts */
} server_config;

/* The defaults. To be freed by server_config_deinit in any case. */
void server_config_init(server_config *config);
void server_config_deinit(server_config *config);

/* Reads a file over what is there. TANDEM_FORMAT, TANDEM_INVALID, TANDEM_CAPACITY name file and
 * line; TANDEM_NOT_FOUND and others are the system's. */
tandem_status server_config_read(server_config *config, const char *path,
                                 tandem_error *err) TANDEM_NODISCARD;

/* The same of text, called `name` in errors. */
tandem_status server_config_parse(server_config *config, tandem_str text, const char *name,
                                  tandem_error *err) TANDEM_NODISCARD;

/* One plain setting; `source` is how the user gave it: "--port", "TANDEM_PORT". */
tandem_status server_config_set(server_config *config, server_setting_id id, const char *value,
                                const char *source, tandem_error *err) TANDEM_NODISCARD;

/* One more model by its name. */
tandem_status server_config_add_model(server_config *config, const char *name,
                                      tandem_error *err) TANDEM_NODISCARD;

/* Reads the tiers and tenants of config->keys_file, where it is set. */
tandem_status server_config_read_keys(server_config *config, tandem_error *err) TANDEM_NODISCARD;

/* Whether requests need a key. */
bool server_config_has_keys(const server_config *config);

/* server_run with these settings. */
tandem_status server_run_config(const server_config *config, tandem_error *err) TANDEM_NODISCARD;

#endif
