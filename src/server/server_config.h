/* SPDX-License-Identifier: Apache-2.0 */
/* A server's settings: flags before TANDEM_ variables before one YAML file before defaults.
 *
 *     host: 0.0.0.0
 *     port: 8080
 *     models:
 *       - name: sentence-transformers/all-MiniLM-L6-v2
 *         aliases: [text-embedding-3-small]
 *     tiers: ...          # see tenants.h
 *     tenants: ...
 *
 * Every plain setting has one name: `body_bytes` in the file, --body-bytes, TANDEM_BODY_BYTES. The
 * rows of SERVER_SETTING_MAP are the only list of them. An error names the file and line (or the
 * flag, or the variable), the setting, its value and what was expected. */
#ifndef TANDEM_SERVER_SERVER_CONFIG_H
#define TANDEM_SERVER_SERVER_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "server/catalog.h"
#include "server/tenants.h"

#define SERVER_LANE_WORDS   "auto|ane|metal|cuda|cpu|ref"
#define SERVER_DTYPE_WORDS  "f16|f32|bf16|i8|fp8|auto"
#define SERVER_POLICY_WORDS "predict|rules|rules-simple"
#define SERVER_SIZE_MAX     (INT64_C(1) << 50)

/* X(type, name, KIND, fallback, min, max, words of a WORD or what stands for the value, help) */
/* clang-format off */
#define SERVER_SETTING_MAP(X)                                                                      \
    X(const char *, host, TEXT, "127.0.0.1", 0, 0, "ADDRESS",                                      \
      "address to listen on; any but this machine's own needs keys or --open")                     \
    X(int64_t, port, INT, "8080", 0, 65535, "N",                                                   \
      "port to listen on; 0 is any free one")                                                      \
    X(int64_t, loops, INT, "0", 0, 64, "N",                                                        \
      "threads that read and write; 0 is chosen by the processors")                                \
    X(int64_t, connections, INT, "16384", 1, 1000000, "N",                                         \
      "connections at a time; more wait to be accepted")                                           \
    X(int64_t, body_bytes, BYTES, "32MB", 1024, SERVER_SIZE_MAX, "SIZE",                           \
      "largest body of a request that is no stream")                                               \
    X(int64_t, batch_texts, INT, "2048", 1, 1000000, "N",                                          \
      "most texts of a request that is no stream")                                                 \
    X(int64_t, queue_tokens, INT, "0", 0, SERVER_SIZE_MAX, "N",                                    \
      "tokens that may wait before requests are refused; 0 is 1048576")                            \
    X(int64_t, tenant_tokens, INT, "0", 0, SERVER_SIZE_MAX, "N",                                   \
      "... of one tenant; 0 is all of them")                                                       \
    X(int64_t, cache_bytes, BYTES, "64MB", 0, SERVER_SIZE_MAX, "SIZE",                             \
      "memory for vectors of texts that come again; 0 keeps none")                                 \
    X(bool, refuse_long, SWITCH, "false", 0, 0, "",                                                \
      "a text over the model's length is an error instead of cut, where a request leaves it open") \
    X(int64_t, drain_seconds, INT, "30", 0, 86400, "N",                                            \
      "how long work under way may take after SIGTERM")                                            \
    X(bool, open, SWITCH, "false", 0, 0, "",                                                       \
      "serve anybody without a key on any address")                                                \
    X(const char *, cors_allow_origin, TEXT, NULL, 0, 0, "ORIGIN",                                 \
      "origin whose web pages may call, or *")                                                     \
    X(const char *, keys_file, TEXT, NULL, 0, 0, "FILE",                                           \
      "YAML file with tiers and tenants, read again when it changes")                              \
    X(const char *, ledger, TEXT, NULL, 0, 0, "FILE",                                              \
      "SQLite file for who used what")                                                             \
    X(const char *, log_format, WORD, "text", 0, 0, "text|json",                                   \
      "form of the log's lines on standard error")                                                 \
    X(const char *, lane, WORD, "auto", 0, 0, SERVER_LANE_WORDS,                                   \
      "the processor to work on; one that is missing is replaced by the next")                     \
    X(const char *, dtype, WORD, "f16", 0, 0, SERVER_DTYPE_WORDS,                                  \
      "number format of weights and arithmetic")                                                   \
    X(const char *, policy, WORD, "predict", 0, 0, SERVER_POLICY_WORDS,                            \
      "how requests are spread over lanes")                                                        \
    X(int64_t, threads, INT, "0", 0, 1024, "N",                                                    \
      "compute threads; 0 is the processors that this process may use")                            \
    X(int64_t, max_length, INT, "0", 0, 1 << 20, "N",                                              \
      "longest text in tokens; 0 is the model's own, at most its positions")                       \
    X(int64_t, batch_tokens, INT, "0", 0, 1 << 24, "N",                                            \
      "most tokens of one batch on a lane; 0 is chosen by the engine")
/* clang-format on */

typedef enum server_setting_id {
#define SERVER_SETTING_ENUM(type, name, ...) SERVER_SETTING_##name,
    SERVER_SETTING_MAP(SERVER_SETTING_ENUM)
#undef SERVER_SETTING_ENUM
        SERVER_SETTINGS
} server_setting_id;

/* One model; fields that are NULL or 0 are as the setting of that name. */
typedef struct server_model_config {
    const char *name; /* a Hub name or a folder */
    const char *aliases[SERVER_ALIASES_MAX];
    int32_t alias_count;
    const char *lane;
    const char *dtype;
    const char *policy;
    int64_t threads;
    int64_t max_length;
    int64_t batch_tokens;
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

#endif
