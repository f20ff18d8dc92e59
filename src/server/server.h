/* SPDX-License-Identifier: Apache-2.0 */
/* The server as the program starts it. */
#ifndef TANDEM_SERVER_SERVER_H
#define TANDEM_SERVER_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tandem/engine.h"
#include "tandem/status.h"

typedef struct server_model_options {
    const char *name;           /* a Hub name or a folder */
    const char *served_name;    /* how answers call it; NULL = `name` */
    const char *const *aliases; /* [alias_count] further names that find it */
    size_t alias_count;
} server_model_options;

/* What server_config.h's settings come to; their defaults are there. Texts are borrowed until
 * server_run returns. */
typedef struct server_options {
    const server_model_options *models; /* [model_count]; none: the default model */
    size_t model_count;
    tandem_engine_options engine; /* of every model; its `model` is not looked at */
    const char *host;
    const char *port;        /* "0": the system chooses */
    const char *socket_path; /* of a local socket besides; NULL = none */
    int32_t http_threads;    /* 0 = by the processors */
    int64_t connections_max;
    int64_t body_bytes_max;     /* of a request that is no stream */
    int64_t batch_texts_max;    /* ... texts */
    double idle_s;              /* that a connection may rest */
    double drain_s;             /* what is under way may take after SIGTERM */
    const char *cors_origin;    /* NULL = no cross-origin requests */
    bool refuse_long;           /* a text over the model's length is an error unless asked */
    const char *default_prompt; /* before texts to embed whose request names no prompt */
    const char *default_prompt_name;
    const struct server_config *config; /* tenants and keys; NULL = everybody may ask */
    const char *ledger_path;            /* usage; NULL = not kept */
    bool is_open;                       /* ... from other machines as well */
} server_options;

/* Opens models and sockets, says on stderr where it listens, serves until SIGTERM or SIGINT, and
 * drains. Call it from the main thread, before any other thread is started: signals are waited for
 * there. The error names what could not be opened. */
tandem_status server_run(const server_options *options, tandem_error *err) TANDEM_NODISCARD;

#endif
