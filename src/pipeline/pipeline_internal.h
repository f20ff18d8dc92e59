/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the pipeline share: the engine, its lanes, and the memory of one request. */
#ifndef TANDEM_PIPELINE_INTERNAL_H
#define TANDEM_PIPELINE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "backend/backend.h"
#include "base/buffer.h"
#include "base/pool.h"
#include "model/model.h"
#include "tandem/engine.h"
#include "tandem/tokenizer.h"

/* A backend of the table and, once it serves, its lane. */
typedef struct engine_lane {
    const tandem_backend *backend;
    tandem_probe probe;
    tandem_lane *lane; /* written once, under the engine's mutex; read after is_open */
    _Atomic bool is_open;
    tandem_capabilities capabilities;
} engine_lane;

struct tandem_engine {
    tandem_source *source;
    tandem_tokenizer *tokenizer; /* NULL for a shape */
    tandem_pool *pool;
    pthread_mutex_t open_mutex; /* lanes are opened one at a time */
    engine_lane lanes[TANDEM_LANES_MAX];
    int lane_count;
    tandem_dtype dtype;
    const char *const *prompt_names; /* [source->prompt_count] */
    int32_t max_length;
    int32_t batch_tokens; /* one batch holds at most this many, or one longer sequence */
};

#define PIPELINE_REASON_BYTES sizeof(((tandem_result *)0)->reason)
#define STORE_BYTES_MAX       ((size_t)1 << 36) /* of each growable buffer of one worker */

/* Most sequences of one batch, for bounded arrays. */
#define PIPELINE_SEQUENCES_MAX 512

/* A run of ids that a lane computes as one sequence: a text, or one window of a long one. */
typedef struct pipeline_unit {
    uint32_t text;   /* index in the request */
    uint32_t store;  /* which id store holds it */
    size_t id_start; /* index in that store */
    int32_t tokens;
    int32_t skip; /* tokens at its start that pooling leaves out */
    size_t row;   /* of the output; with TANDEM_TASK_EMBED_ALL its first */
} pipeline_unit;

/* Where a text's units stand in the store of the worker that encoded it. */
typedef struct pipeline_place {
    uint32_t store;
    uint32_t units;
    size_t first_unit;
} pipeline_place;

/* Ids that one worker made, text after text. */
typedef struct pipeline_store {
    tandem_encoding encoding; /* scratch */
    tandem_buffer text[2];    /* scratch: prompt + text, or the text repaired; its lower case */
    tandem_buffer pair[2];    /* ... of the second text of a pair */
    tandem_buffer ids;        /* int32_t */
    tandem_buffer types;      /* int32_t; empty unless the request has pairs */
    tandem_buffer units;      /* pipeline_unit, in the order they were made */
    tandem_error error;       /* first failure of this worker */
    uint32_t error_text;      /* ... and the text it was in */
} pipeline_store;

/* Memory of one result, kept while the caller reuses it: after the first calls of a kind the hot
 * path allocates nothing. */
struct tandem_result_memory {
    pipeline_store *stores; /* [store_count], one a worker */
    int store_count;
    tandem_buffer vectors;        /* float */
    tandem_buffer texts;          /* tandem_text_result */
    tandem_buffer places;         /* pipeline_place, one a text */
    tandem_buffer units;          /* pipeline_unit, in the order of the texts */
    tandem_buffer batch;          /* int32_t: offsets, skips, ids, types of the batch being made */
    tandem_buffer raw;            /* float: what a lane gave for one batch */
    tandem_buffer row_ids;        /* int32_t: tokens of the rows, with TANDEM_TASK_EMBED_ALL */
    tandem_buffer sparse_offsets; /* int64_t */
    tandem_buffer sparse_ids;     /* int32_t */
    tandem_buffer sparse_weights; /* float */
};

/* The lane that serves `name` ("auto", NULL or a backend's), opened if need be. `reason` of 120
 * bytes is filled. TANDEM_NOT_FOUND for an unknown name, TANDEM_DEVICE where it is missing and
 * `fallback` forbids another. */
tandem_status tandem__engine_lane(tandem_engine *engine, const char *name, tandem_fallback fallback,
                                  engine_lane **lane, char *reason,
                                  tandem_error *err) TANDEM_NODISCARD;

/* Fills the words of info that name the plan's choices. */
void tandem__plan_words(const tandem_plan *plan, tandem_model_info *info);

/* Fills memory->units and the result's texts from the request's texts, on all threads. */
tandem_status tandem__pipeline_tokenize(tandem_engine *engine, const tandem_request *request,
                                        tandem_result *result, tandem_error *err) TANDEM_NODISCARD;

/* Puts the failure of the earliest text that could not be encoded into the caller's record. */
void tandem__pipeline_report(tandem_result *result, tandem_error *err);

/* Logits to scores, in place (outputs.c). */
void tandem__pipeline_score(const tandem_source *source, const tandem_request *request,
                            tandem_result *result);
const char *tandem__score_word(tandem_score score);

/* Entries of the rows of a sparse result, in the order of the texts; one that was left out has
 * none. A row that is not finite makes its text TANDEM_NUMERIC. */
tandem_status tandem__sparse_begin(tandem_result *result, tandem_error *err) TANDEM_NODISCARD;
tandem_status tandem__sparse_add(tandem_result *result, size_t text, const float *row,
                                 int32_t width, tandem_error *err) TANDEM_NODISCARD;
tandem_status tandem__sparse_end(tandem_result *result, tandem_error *err) TANDEM_NODISCARD;

bool tandem__model_embeds(const tandem_plan *plan);
bool tandem__model_is_sparse(const tandem_plan *plan);

/* TANDEM_UNSUPPORTED that says what the model has instead of `wanted`. */
tandem_status tandem__fail_task(const tandem_source *source, const char *wanted,
                                tandem_error *err) TANDEM_NODISCARD;

#endif
