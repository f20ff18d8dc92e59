/* SPDX-License-Identifier: Apache-2.0 */
/* The models that a server has, by the names that requests use. Made once at start, read by any
 * thread. */
#ifndef TANDEM_SERVER_CATALOG_H
#define TANDEM_SERVER_CATALOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "tandem/engine.h"
#include "tandem/status.h"

/* What a route needs a model for. */
typedef enum server_need {
    SERVER_NEED_ANY = 0,
    SERVER_NEED_EMBED = 1,
    SERVER_NEED_SPARSE = 2,
    SERVER_NEED_RERANK = 3,   /* a classifier with one label */
    SERVER_NEED_CLASSIFY = 4, /* ... with labels */
} server_need;

#define SERVER_ALIASES_MAX 8

typedef struct server_model {
    const char *name;                        /* as answers give it */
    const char *id;                          /* the Hub's name or the folder's; NULL = the name */
    const char *aliases[SERVER_ALIASES_MAX]; /* further names that find it */
    int32_t alias_count;
    const char *folder; /* that it was opened from, or NULL: requests may say it, answers do not */
    const char *size;   /* "small", "medium", "large" */
    const char *dtype;
    int64_t created_s; /* Unix time of opening */
    tandem_engine *engine;
    const tandem_tokenizer *tokenizer;
    tandem_model_info info;
    tandem_lane_info lanes[TANDEM_LANES_MAX];
    int32_t lane_count;
    size_t index; /* in the catalog */
} server_model;

#define SERVER_MODELS_MAX 64

/* Limits that answers and checks speak of. */
typedef struct server_limits {
    int64_t body_bytes;  /* of one request that is no stream */
    int64_t batch_texts; /* of one request that is no stream */
    int64_t connections;
    int64_t queue_tokens; /* that may wait */
    bool refuse_long;     /* "truncate": null means an error instead of a cut */
} server_limits;

typedef struct server_catalog {
    server_model models[SERVER_MODELS_MAX];
    size_t count;
    server_limits limits;
    const char *version;
    const atomic_bool *is_draining; /* no longer ready; NULL: never */
    struct server_stats *stats;     /* stats.h: what requests did; never NULL in a server */
    struct server_ledger *ledger;   /* ledger.h: who used what; NULL without keys */
    struct server_keys *keys;       /* keys.h: who may ask; NULL: anybody */
} server_catalog;

/* A classifier is no embedder, though its hidden states are pooled like one's. */
bool server_model_serves(const server_model *model, server_need need);

/* The model of that name, alias, folder's last part, or size word; for an empty name the first that
 * serves the need. TANDEM_NOT_FOUND names what there is; TANDEM_UNSUPPORTED where the model is
 * there but not for that need, and says what it is for. */
tandem_status server_catalog_find(const server_catalog *catalog, tandem_str name, server_need need,
                                  const server_model **model, tandem_error *err) TANDEM_NODISCARD;

#endif
