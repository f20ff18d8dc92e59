/* SPDX-License-Identifier: Apache-2.0 */
/* The lane's parts, a file each:
 *
 *     ane_lane.c      the table, open, close
 *     ane_system.c    is there an engine
 *     ane_encoder.c   the plan as programs; ane_sources.c what their weights are made of
 *     ane_lint.c      the engine's rules, held against each program
 *     ane_packages.c  programs as packages; package.c, mil.c, mil_write.c the format
 *     ane_cache.c     compiled models on disk
 *     ane_predict.c   Core ML's objects: compiling, loading, predicting
 *     ane_work.c      tickets, and the threads that predict
 *     ane_embed.c     the first rows of the network, on the processor
 *     ane_explain.c   where Core ML runs each operation
 *     ane_cost.c      bytes and FLOPs of a program
 *
 * A batch is its sequences, each padded to its bucket. They are dealt to ANE_WORKERS threads, each
 * with models and buffers of its own: Core ML wants a model used by one thread at a time. submit
 * embeds on the caller's thread and wait finishes there, so that the workers, one of which may hang
 * in a prediction for ever, touch neither the plan nor anything of the caller's. */
#ifndef TANDEM_BACKEND_COREML_ANE_INTERNAL_H
#define TANDEM_BACKEND_COREML_ANE_INTERNAL_H

#include <pthread.h>

#include "apple/objc.h"
#include "backend/backend.h"
#include "backend/coreml/ane_encoder.h"
#include "backend/finish.h"
#include "base/file.h"
#include "kernels/kernels.h"

enum { ANE_WORKERS = 2, ANE_TICKETS_MAX = 4, ANE_BLOCK = 16 };

/* A model of one bucket as one worker uses it. */
typedef struct ane_net {
    int32_t length;
    int32_t channels;    /* of hidden */
    int32_t hidden_size; /* H: channels of states */
    bool is_checked;     /* beside the smallest bucket's: ane_work.c */
    objc_id model;
    objc_id features;
    objc_id options;
    char *memory; /* of the three arrays */
    size_t bytes;
    uint16_t *hidden; /* [channels, length] f16 */
    uint16_t *mask;   /* [length] */
    uint16_t *states; /* [H, length] */
    uint16_t *block;  /* [ANE_BLOCK, the wider of channels and H] tokens on their way */
} ane_net;

/* What open copies of the embeddings; the word table stays where the plan has it. */
typedef struct ane_embed {
    char *memory;
    size_t bytes;
    tandem_embed_table position;
    tandem_embed_table type;
    const float *gamma;
    const float *beta;
    int32_t *positions; /* [positions_max] the rows of a sequence's tokens */
} ane_embed;

typedef enum ane_ticket_state {
    ANE_TICKET_FREE = 0,
    ANE_TICKET_OPEN = 1,
    ANE_TICKET_ABANDONED = 2, /* until the last prediction of it is back */
} ane_ticket_state;

/* A batch under way. Under the lane's lock, but for `rows`: each sequence's are its worker's. */
typedef struct ane_job {
    ane_ticket_state state;
    uint64_t serial;
    tandem_batch batch; /* the caller's, for finishing */
    tandem_output output;
    float *out;
    int32_t *offsets; /* [sequences_max + 1] */
    float *rows;      /* [tokens_max, stride]: embeddings, then states */
    int32_t sequences;
    int32_t next;     /* the first that no worker has taken */
    int32_t flying;   /* taken and not back */
    tandem_error err; /* the first one */
} ane_job;

typedef struct ane_lane ane_lane;

typedef struct ane_worker {
    ane_lane *lane;
    pthread_t thread;
    bool is_started;
    ane_net nets[ANE_BUCKETS_MAX];
} ane_worker;

struct ane_lane {
    const tandem_plan *plan; /* not read by workers */
    tandem_capabilities capabilities;
    int32_t buckets[ANE_BUCKETS_MAX];
    int32_t bucket_count;
    int32_t channels;    /* of hidden */
    int32_t embed_width; /* E: the first of them; the others stay 0 */
    int32_t stride;      /* floats of a row of ane_job.rows */
    const tandem_kernels *kernels;
    ane_embed embed;
    tandem_finish *finish;
    char folder[TANDEM_PATH_MAX]; /* of the compiled models */
    ane_worker workers[ANE_WORKERS];
    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t work;  /* there is something to take, or the end */
    pthread_cond_t done;  /* a job or a worker is done */
    ane_job jobs[ANE_TICKETS_MAX];
    uint64_t serial;
    int32_t alive; /* workers */
    bool is_closing;
    bool is_orphan; /* closed with a prediction that hangs: the last worker frees the lane */
};

/* ane_system.c */

/* TANDEM_DEVICE says why there is no engine to use. */
tandem_status tandem__ane_system(tandem_error *err) TANDEM_NODISCARD;

typedef enum ane_device {
    ANE_DEVICE_UNKNOWN = 0,
    ANE_DEVICE_ENGINE = 1,
    ANE_DEVICE_GPU = 2,
    ANE_DEVICE_CPU = 3,
} ane_device;

/* What kind of Core ML's devices an object is; NULL is unknown. */
ane_device tandem__ane_device(objc_id device);

/* ane_cache.c */

/* The folder with a compiled model for each bucket, made where it is not there or not whole, into
 * TANDEM_PATH_MAX bytes. `*is_new` says that it was made now. */
tandem_status tandem__ane_cache_open(const ane_model *model, const char *build, char *folder,
                                     bool *is_new, tandem_error *err) TANDEM_NODISCARD;

/* Removes what could not be loaded. */
void tandem__ane_cache_drop(const char *folder);

/* ane_predict.c: any thread; each opens a pool of its own. */

/* Compiles a package; Core ML chooses where, `compiled` gets the path, TANDEM_PATH_MAX bytes. */
tandem_status tandem__ane_compile(const char *package, char *compiled,
                                  tandem_error *err) TANDEM_NODISCARD;

/* A configuration for the Neural Engine and the processor, the caller's to release. */
objc_id tandem__ane_configuration(void);

/* length, channels and hidden_size are set; close gives back what open had made of it. */
tandem_status tandem__ane_net_open(ane_net *net, const char *folder,
                                   tandem_error *err) TANDEM_NODISCARD;
void tandem__ane_net_close(ane_net *net);

/* states = the network of `hidden` and `mask`, which the caller has filled. Where Core ML gave
 * another array than the one it was offered, its numbers are copied. */
tandem_status tandem__ane_net_run(ane_net *net, tandem_error *err) TANDEM_NODISCARD;

/* ane_embed.c */

tandem_status tandem__ane_embed_open(ane_lane *lane, tandem_error *err) TANDEM_NODISCARD;
void tandem__ane_embed_close(ane_embed *embed);

/* rows [T, stride] = the embeddings of a checked batch. TANDEM_NUMERIC names an element of the word
 * table that is not finite. */
tandem_status tandem__ane_embed_run(const ane_lane *lane, const tandem_batch *batch, float *rows,
                                    tandem_error *err) TANDEM_NODISCARD;

/* ane_work.c */

tandem_status tandem__ane_work_open(ane_lane *lane, tandem_error *err) TANDEM_NODISCARD;

/* Ends the workers. False: one hangs, and the lane is the last worker's to free. */
bool tandem__ane_work_close(ane_lane *lane);

tandem_status tandem__ane_submit(tandem_lane *lane, const tandem_batch *batch, tandem_output output,
                                 float *out, tandem_ticket *ticket, tandem_error *err);
tandem_status tandem__ane_poll(tandem_lane *lane, tandem_ticket ticket, bool *is_done,
                               tandem_error *err);
tandem_status tandem__ane_wait(tandem_lane *lane, tandem_ticket ticket, uint64_t timeout_ns,
                               tandem_error *err);
void tandem__ane_abandon(tandem_lane *lane, tandem_ticket ticket);

/* ane_lane.c: the memory of a lane whose threads have ended. */
void tandem__ane_lane_free(ane_lane *lane);

/* ane_explain.c */
void tandem__ane_explain(const tandem_lane *lane, tandem_step_function *say, void *context);

#endif
