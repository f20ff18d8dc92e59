/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the pipeline share: the engine, its lanes, and the memory of one request. */
#ifndef TANDEM_PIPELINE_INTERNAL_H
#define TANDEM_PIPELINE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "backend/backend.h"
#include "base/buffer.h"
#include "base/pool.h"
#include "base/wait.h"
#include "model/model.h"
#include "pipeline/cache.h"
#include "pipeline/measure.h"
#include "pipeline/share.h"
#include "pipeline/start_check.h"
#include "pipeline/watch.h"
#include "sched/classes.h"
#include "sched/sched.h"
#include "tandem/engine.h"

/* A backend of the table and, once it serves, its lane. */
typedef struct engine_lane {
    const tandem_backend *backend;
    tandem_probe probe;
    tandem_lane *lane; /* written once, under the engine's mutex; read after is_open */
    _Atomic bool is_open;
    _Atomic bool is_off; /* it could not be opened, for good; `off` says why, read after is_off */
    tandem_error off;
    start_check check; /* of a lane that is not trusted; read after is_open */
    tandem_capabilities capabilities;
    pthread_cond_t wake; /* for its workers, with the dispatch mutex */
} engine_lane;

/* Memory of one batch in flight. */
typedef struct pipeline_slot {
    tandem_buffer pack; /* int32_t: offsets, skips, ids, types */
    tandem_buffer raw;  /* float: what the lane gave */
    bool failed[SCHED_UNITS_MAX];
} pipeline_slot;

#define PIPELINE_LEADERS_MAX 1024 /* a power of two */

struct pipeline_job;

/* The thread of one slot of a lane. */
typedef struct pipeline_worker {
    tandem_engine *engine;
    int32_t lane;
    bool is_started;
    bool is_asleep;
    pthread_t thread;
} pipeline_worker;

/* What runs the scheduler in real time (dispatch.c). */
typedef struct pipeline_dispatch {
    pthread_mutex_t mutex; /* of everything here, and of the lanes' `wake` */
    sched *scheduler;
    pipeline_slot *slots;                /* [lanes * SCHED_SLOTS_MAX] */
    pipeline_worker *workers;            /* [lanes * SCHED_SLOTS_MAX] */
    uint64_t tick_ns;                    /* when the scheduler wants to be called */
    int32_t telling;                     /* threads that are calling `finished` functions */
    pthread_cond_t drained;              /* nothing is queued or on a lane */
    uint64_t tenants[SCHED_TENANTS_MAX]; /* hashes of their names; 0 = free */
    struct pipeline_job *leaders[PIPELINE_LEADERS_MAX]; /* by the hash of their one unit */
    struct pipeline_job *over; /* ended without the scheduler, to be told */
    bool is_refusing;
    bool is_closing;
    pipeline_watch watch;
} pipeline_dispatch;

struct tandem_engine {
    tandem_source *source;
    tandem_tokenizer *tokenizer; /* NULL for a shape */
    pipeline_share *share;       /* with the engines of other models, or NULL */
    tandem_pool *pool;           /* the share's, if there is one */
    pthread_mutex_t open_mutex;  /* lanes are opened one at a time */
    engine_lane lanes[TANDEM_LANES_MAX];
    int lane_count;
    tandem_dtype dtype;
    const char *const *prompt_names; /* [source->prompt_count] */
    char poolings[128];              /* "mean", or "max+cls" where vectors are joined */
    int32_t max_length;
    int32_t batch_tokens; /* one batch holds at most this many, or one longer sequence */
    sched_policy policy;
    int64_t queue_tokens_max;
    int64_t tenant_tokens_max;
    uint64_t queue_ns_max;
    bool is_lane_named;    /* "auto" means one lane alone */
    const char *lane_name; /* ... this */
    pipeline_dispatch dispatch;
    pipeline_cache *cache; /* NULL = off */
    size_t cache_bytes;
    pipeline_metrics *metrics;
    struct tandem_call *free_calls;
    int32_t free_call_count;
    pthread_mutex_t calls_mutex; /* of both */
};

#define PIPELINE_WARMUP_NS    ((uint64_t)30 * 1000000000) /* a lane that takes longer is hung */
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
    tandem_buffer unit_tokens;    /* int32_t, as the scheduler wants them */
    tandem_buffer unit_status;    /* uint8_t */
    tandem_buffer unit_map;       /* uint32_t: units that the cache did not have */
    tandem_buffer row;            /* float: one row of the cache */
    tandem_buffer row_ids;        /* int32_t: tokens of the rows, with TANDEM_TASK_EMBED_ALL */
    tandem_buffer sparse_offsets; /* int64_t */
    tandem_buffer sparse_ids;     /* int32_t */
    tandem_buffer sparse_weights; /* float */
    tandem_buffer sparse_places;  /* pipeline_entries, one a text */
    tandem_buffer sorted_ids;     /* entries that came in another order than the texts' */
    tandem_buffer sorted_weights;
    pthread_cond_t over; /* a blocking caller waits for its job */
};

/* Entries of one text of a sparse result. */
typedef struct pipeline_entries {
    size_t first;
    size_t count;
} pipeline_entries;

/* A request on its way. */
typedef struct pipeline_job {
    sched_job sched; /* first: a job of the scheduler is one of these */
    tandem_engine *engine;
    tandem_request request; /* its texts and names are not read once it is tokenized */
    tandem_result *result;
    tandem_output output;
    int32_t width;      /* floats of one row as the lane gives it */
    int32_t dimensions; /* ... and as the result keeps it */
    int32_t lane;       /* index that was asked for, or SCHED_NO_LANE */
    int32_t home;       /* index of a lane that it would be served by */
    bool is_normalized;
    bool is_cached;              /* the cache may serve it and keep its rows */
    bool is_over;                /* with the dispatch mutex */
    uint64_t hash;               /* of its only unit, where it may share that with equal requests */
    struct pipeline_job *leader; /* that computes the same, while it waits for it */
    struct pipeline_job *followers; /* that wait for it */
    uint32_t follower_count;
    uint64_t start_ns;
    uint64_t tokenized_ns;
    tandem_error error;                         /* of the last batch with its units that failed */
    void (*finished)(struct pipeline_job *job); /* instead of a waiting caller; without the mutex */
    struct pipeline_job *next_over;             /* or the next follower of the same leader */
} pipeline_job;

/* result.c: the result's memory, made on its first use. */
tandem_status tandem__result_memory(tandem_engine *engine, tandem_result *result,
                                    tandem_error *err) TANDEM_NODISCARD;

/* What its memory holds. */
size_t tandem__result_bytes(const tandem_result *result);

/* infer.c: everything before the scheduler, with the request's texts; everything after it. */
tandem_status tandem__job_prepare(tandem_engine *engine, const tandem_request *request,
                                  tandem_result *result, pipeline_job *job,
                                  tandem_error *err) TANDEM_NODISCARD;
tandem_status tandem__job_finish(pipeline_job *job, tandem_error *err) TANDEM_NODISCARD;

/* dispatch.c */
tandem_status tandem__dispatch_open(tandem_engine *engine, tandem_error *err) TANDEM_NODISCARD;
void tandem__dispatch_close(tandem_engine *engine);

/* warmup.c: fills the scheduler's tables where there are lanes to choose from; a lane that fails is
 * left out. Before requests. TANDEM_DEVICE where none is left. */
tandem_status tandem__dispatch_warm(tandem_engine *engine, tandem_error *err) TANDEM_NODISCARD;

/* Hands the job in and returns when it is over; computes on this thread where a lane is idle. */
tandem_status tandem__dispatch_run(pipeline_job *job, tandem_error *err) TANDEM_NODISCARD;

/* Hands the job in; job->finished is called when it is over. */
tandem_status tandem__dispatch_start(pipeline_job *job, tandem_error *err) TANDEM_NODISCARD;

void tandem__dispatch_cancel(pipeline_job *job);

/* A lane that has been opened may serve. */
void tandem__dispatch_lane_open(tandem_engine *engine, int32_t lane);

/* ... and one that has failed at the warm-up may not. */
void tandem__dispatch_lane_lost(tandem_engine *engine, int32_t lane);

/* Lets a worker of the lane ask the scheduler; with the dispatch mutex. */
void tandem__dispatch_wake_lane(tandem_engine *engine, int32_t lane);

/* True if nothing was left at `until_ns`. */
bool tandem__dispatch_drain(tandem_engine *engine, uint64_t until_ns);

/* call.c: the memory of calls that are not in use. */
void tandem__calls_free(tandem_engine *engine);

/* "earliest predicted finish" and so on; static. */
const char *tandem__reason_text(sched_reason reason);

/* batch.c: ids of the batch's units; with the dispatch mutex. */
tandem_status tandem__batch_pack(const tandem_engine *engine, const sched_batch *batch,
                                 pipeline_slot *slot, tandem_batch *packed,
                                 tandem_error *err) TANDEM_NODISCARD;

/* Floats that the lane gives for the batch. */
size_t tandem__batch_floats(const tandem_engine *engine, const sched_batch *batch);

/* Marks units whose rows are not finite in slot->failed; true if there is one. */
bool tandem__batch_look(const tandem_engine *engine, const sched_batch *batch,
                        const tandem_batch *packed, pipeline_slot *slot);

/* The unit of the request that the scheduler knows as unit `index` of its job. */
uint32_t tandem__job_unit(const pipeline_job *job, uint32_t index);

/* Adds rows to a result. */
void tandem__rows_add(const pipeline_job *job, const pipeline_unit *unit, int32_t rows,
                      const float *raw);

/* What makes the row of a unit. Borrowed from the job. */
pipeline_key tandem__unit_key(const pipeline_job *job, const pipeline_unit *unit);

/* Rows to the results of their requests; units that cannot be taken are marked as well. With the
 * dispatch mutex. */
bool tandem__batch_scatter(const tandem_engine *engine, const sched_batch *batch,
                           const tandem_batch *packed, pipeline_slot *slot);

/* Fills the words of info that name the plan's choices, but for the pooling. */
void tandem__plan_words(const tandem_plan *plan, tandem_model_info *info);

/* The names of all poolings with + between them, into `text` of `size` bytes. */
void tandem__pooling_words(const tandem_plan *plan, char *text, size_t size);

/* Fills memory->units and the result's texts from the request's texts, on all threads. */
tandem_status tandem__pipeline_tokenize(tandem_engine *engine, const tandem_request *request,
                                        tandem_result *result, tandem_error *err) TANDEM_NODISCARD;

/* Puts the failure of the earliest text that could not be encoded into the caller's record. */
void tandem__pipeline_report(tandem_result *result, tandem_error *err);

/* Logits to scores, in place (outputs.c). */
void tandem__pipeline_score(const tandem_source *source, const tandem_request *request,
                            tandem_result *result);
const char *tandem__score_word(tandem_score score);

/* Entries of the rows of a sparse result, in any order; a text that was left out has none. */
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
