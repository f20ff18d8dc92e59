/* SPDX-License-Identifier: Apache-2.0 */
/* From settings to a server. */
#include <stdio.h>

#include "server/server.h"
#include "server/server_config.h"

#define PORT_BYTES 8

tandem_status server_run_config(const server_config *config, tandem_error *err) {
    server_model_options models[SERVER_MODELS_MAX];
    for (size_t i = 0; i < config->model_count; i++) {
        const server_model_config *model = &config->models[i];
        models[i] = (server_model_options){.name = model->name,
                                           .served_name = model->served_name,
                                           .aliases = model->aliases,
                                           .alias_count = model->alias_count};
    }
    char port[PORT_BYTES];
    (void)snprintf(port, sizeof port, "%d", (int)config->port);
    const server_options options = {
        .models = models,
        .model_count = config->model_count,
        .engine = {.lane = config->lane,
                   .dtype = config->dtype,
                   .policy = config->policy,
                   .threads = (int32_t)config->threads,
                   .max_length = (int32_t)config->max_length,
                   .batch_tokens = (int32_t)config->max_batch_tokens,
                   .queue_tokens_max = config->max_queue_tokens,
                   .queue_ms_max = config->max_queue_time * 1e3,
                   .tenant_tokens_max = config->max_tenant_tokens,
                   .cache_bytes = config->cache},
        .host = config->host,
        .port = port,
        .socket_path = config->uds_path,
        .http_threads = (int32_t)config->http_threads,
        .connections_max = config->max_connections,
        .body_bytes_max = config->payload_limit,
        .batch_texts_max = config->max_client_batch_size,
        .idle_s = config->idle_timeout,
        .drain_s = config->drain_timeout,
        .cors_origin = config->cors_allow_origin,
        .refuse_long = !config->auto_truncate,
        .default_prompt = config->default_prompt,
        .default_prompt_name = config->default_prompt_name,
        .config = server_config_has_keys(config) ? config : NULL,
        .ledger_path = config->ledger,
        .is_open = config->open,
    };
    return server_run(&options, err);
}
