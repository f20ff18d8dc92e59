/* SPDX-License-Identifier: Apache-2.0 */
/* Every route of the server, and how a path finds one.
 *
 * {model} stands for one or more characters of any kind, slashes as well, since ids of the Hub hold
 * one and clients send it as it is or as %2F. What follows it decides: of two routes that fit, the
 * one that stands first in the table wins, so the longer ones stand first.
 *
 * New route? Also: openapi.json, and docs/server.md. */
#include "server/health.h"
#include "server/kserve.h"
#include "server/metrics.h"
#include "server/routes_cohere.h"
#include "server/routes_openai.h"
#include "server/routes_own.h"
#include "server/routes_tei.h"
#include "server/usage_route.h"

/* clang-format off */
static const server_route routes[] = {
    /* Text Embeddings Inference. */
    {"POST", "/embed",        SERVER_API_TEI, .can_stream = true,
     .read = server_tei_embed_read,      .write = server_tei_embed_write},
    {"POST", "/embed_all",    SERVER_API_TEI, .grows = true,
     .read = server_tei_embed_all_read,  .write = server_tei_embed_all_write},
    {"POST", "/embed_sparse", SERVER_API_TEI,
     .read = server_tei_sparse_read,     .write = server_tei_sparse_write},
    {"POST", "/similarity",   SERVER_API_TEI,
     .read = server_tei_similarity_read, .write = server_tei_similarity_write},
    {"POST", "/rerank",       SERVER_API_TEI,
     .read = server_tei_rerank_read,     .write = server_tei_rerank_write},
    {"POST", "/predict",      SERVER_API_TEI,
     .read = server_tei_predict_read,    .write = server_tei_predict_write},
    {"POST", "/",             SERVER_API_TEI,
     .read = server_tei_task_read,       .write = server_tei_task_write},
    {"POST", "/invocations",  SERVER_API_TEI,
     .read = server_tei_task_read,       .write = server_tei_task_write},
    {"POST", "/embeddings",   SERVER_API_OPENAI,
     .read = server_openai_read_lenient, .write = server_openai_write},
    {"POST", "/tokenize",     SERVER_API_TEI, .grows = true, .answer = server_tei_tokenize_answer},
    {"POST", "/decode",       SERVER_API_TEI, .answer = server_tei_decode_answer},
    {"GET",  "/info",         SERVER_API_TEI, .answer = server_tei_info_answer},
    {"GET",  "/health",       SERVER_API_TEI, .is_public = true,
     .answer = server_tei_health_answer},
    {"GET",  "/ping",         SERVER_API_TEI, .is_public = true,
     .answer = server_tei_health_answer},
    /* OpenAI. */
    {"POST", "/v1/embeddings", SERVER_API_OPENAI,
     .read = server_openai_read,         .write = server_openai_write},
    {"GET",  "/v1/models",         SERVER_API_OPENAI, .answer = server_models_answer},
    {"GET",  "/v1/models/{model}", SERVER_API_OPENAI, .answer = server_model_answer},
    /* Cohere, Jina. */
    {"POST", "/v1/rerank", SERVER_API_COHERE,
     .read = server_cohere_read, .write = server_cohere_write},
    {"POST", "/v2/rerank", SERVER_API_COHERE,
     .read = server_cohere_read, .write = server_cohere_write},
    /* Open Inference Protocol; {model} may go on with /versions/1. */
    {"GET",  "/v2",                        SERVER_API_KSERVE, .answer = kserve_server_answer},
    {"GET",  "/v2/health/live",            SERVER_API_KSERVE, .is_public = true,
     .answer = kserve_live_answer},
    {"GET",  "/v2/health/ready",           SERVER_API_KSERVE, .is_public = true,
     .answer = kserve_ready_answer},
    {"POST", "/v2/repository/index",       SERVER_API_KSERVE, .answer = kserve_index_answer},
    {"POST", "/v2/models/{model}/infer",   SERVER_API_KSERVE,
     .read_bytes = kserve_infer_read,      .write = kserve_infer_write},
    {"GET",  "/v2/models/stats",           SERVER_API_KSERVE, .answer = kserve_stats_answer},
    {"GET",  "/v2/models/{model}/stats",   SERVER_API_KSERVE, .answer = kserve_stats_answer},
    {"GET",  "/v2/models/{model}/config",  SERVER_API_KSERVE, .answer = kserve_config_answer},
    {"GET",  "/v2/models/{model}/ready",   SERVER_API_KSERVE, .answer = kserve_model_ready_answer},
    {"GET",  "/v2/models/{model}",         SERVER_API_KSERVE, .answer = kserve_model_answer},
    /* Ours. */
    {"GET",  "/ready",   SERVER_API_OWN, .is_public = true, .answer = server_ready_answer},
    {"GET",  "/metrics", SERVER_API_OWN, .is_public = true, .is_slow = true,
     .answer = server_metrics_answer},
    {"GET",  "/lanes",   SERVER_API_OWN, .is_slow = true, .answer = server_lanes_answer},
    {"GET",  "/usage",   SERVER_API_OWN, .is_slow = true, .answer = server_usage_answer},
    {"GET",  "/",        SERVER_API_OWN, .is_public = true, .answer = server_dashboard_answer},
    {"GET",  "/openapi.json", SERVER_API_OWN, .is_public = true, .answer = server_openapi_answer},
};
/* clang-format on */

#define ROUTE_COUNT (sizeof routes / sizeof *routes)

/* Whether `path` fits the route's; `*model` is what stands for {model}. */
static bool fits(const char *pattern, tandem_str path, tandem_str *model) {
    static const char mark[] = "{model}";
    *model = (tandem_str){NULL, 0};
    const char *at = strchr(pattern, '{');
    if (at == NULL) return tandem__str_is(path, pattern);
    const size_t before = (size_t)(at - pattern);
    const char *suffix = at + sizeof mark - 1;
    if (path.len <= before + strlen(suffix) || memcmp(path.ptr, pattern, before) != 0 ||
        !tandem__str_ends(path, suffix)) {
        return false;
    }
    *model = (tandem_str){path.ptr + before, path.len - before - strlen(suffix)};
    return true;
}

const server_route *server_route_find(tandem_str method, tandem_str path, tandem_str *path_model,
                                      bool *is_known_path) {
    *is_known_path = false;
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        if (!fits(routes[i].path, path, path_model)) continue;
        *is_known_path = true;
        if (tandem__str_is(method, routes[i].method)) return &routes[i];
    }
    *path_model = (tandem_str){NULL, 0};
    return NULL;
}

const server_route *server_route_at(size_t i) {
    return i < ROUTE_COUNT ? &routes[i] : NULL;
}
