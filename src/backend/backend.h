/* SPDX-License-Identifier: Apache-2.0 */
/* The seam between the pipeline and the processors: one table of functions a backend.
 *
 * A backend turns packed batches of token ids into vectors. It sees a plan and this header and
 * nothing of the pipeline. It is asynchronous by nature: submit returns a ticket, poll or wait say
 * when the result is there, abandon leaves a hung batch behind. A CPU lane may finish inside
 * submit, on the caller's thread.
 *
 *     probe ─ open ─┬─ submit ─ poll … wait ─┬─ close
 *                   └─ submit ─ abandon ─────┘         up to capabilities.in_flight_max at once
 *
 * A backend that the build or the machine lacks is still in the table: its probe says why. */
#ifndef TANDEM_BACKEND_BACKEND_H
#define TANDEM_BACKEND_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/pool.h"
#include "model/plan.h"
#include "tandem/dtype.h"
#include "tandem/status.h"

/* T tokens of B sequences in one token axis, no padding. Borrowed for the call of submit and, where
 * that returns before the batch is done, until the ticket is finished or abandoned. */
typedef struct tandem_batch {
    const int32_t *ids;     /* [T], each 0 <= id < V */
    const int32_t *types;   /* [T], or NULL: all zero */
    const int32_t *offsets; /* [B + 1], offsets[0] = 0, offsets[B] = T, strictly rising */
    int32_t tokens;         /* T */
    int32_t sequences;      /* B */
    /* Tokens at the start of each sequence that pooling leaves out (a prompt where the model says
     * so), [B]; NULL: none. */
    const int32_t *pool_skip;
} tandem_batch;

typedef enum tandem_output {
    TANDEM_OUTPUT_POOLED = 0, /* [B, dimensions], before normalisation */
    TANDEM_OUTPUT_TOKENS = 1, /* [T, H], the last hidden states */
    TANDEM_OUTPUT_HEAD = 2,   /* [B, labels], logits */
    TANDEM_OUTPUT_SPARSE = 3, /* [B, V], mostly zeros: plan->splade of the tokens' logits */
    TANDEM_OUTPUT_STATES = 4, /* [layer_count + 1, T, H], after the embeddings and each layer,
                                 before a final norm; for tests, not every backend has it */
} tandem_output;

typedef enum tandem_lane_class {
    TANDEM_CLASS_NONE = 0, /* the reference */
    TANDEM_CLASS_LATENCY = 1,
    TANDEM_CLASS_THROUGHPUT = 2,
    TANDEM_CLASS_BACKGROUND = 3,
} tandem_lane_class;

typedef struct tandem_probe {
    bool is_available;
    char device[96];  /* "AMD EPYC 9555P, 2 threads, avx512"; "" if there is none */
    char reason[200]; /* why it is not available, else "" */
} tandem_probe;

typedef struct tandem_backend_options {
    tandem_dtype dtype;
    int32_t tokens_max; /* most tokens of one batch; at least the plan's longest sequence in use */
    int32_t sequences_max; /* most sequences of one batch */
    int32_t in_flight_max; /* batches at once; backends may have fewer, see capabilities */
    tandem_pool *pool;     /* compute threads, borrowed until close; NULL: the caller's alone */
} tandem_backend_options;

typedef struct tandem_capabilities {
    tandem_dtype dtype; /* the mode in use */
    int32_t tokens_max;
    int32_t sequences_max;
    int32_t in_flight_max;
    const int32_t *buckets; /* rising sequence lengths of a fixed-shape lane; NULL: any length */
    int32_t bucket_count;
    bool is_exact;         /* the same text gives the same bits in any batch, at any thread count */
    bool is_synchronous;   /* submit returns when the batch is done */
    int64_t weights_bytes; /* held by the lane */
    int64_t workspace_bytes; /* held by the lane for in_flight_max batches */
} tandem_capabilities;

/* One step of the network as a lane runs it, for people: what is computed ("query, key, value 1152
 * x 384"), where ("2 threads"), by what ("tandem_gemm_f16_14x32__avx512"). Borrowed for the call.
 */
typedef void tandem_step_function(void *context, const char *op, const char *where,
                                  const char *how);

typedef struct tandem_lane tandem_lane; /* a backend's own type begins with what it likes */
typedef uint64_t tandem_ticket;         /* 0 is no ticket */

typedef struct tandem_backend {
    const char *name; /* "cpu", "ref", "cuda", "metal", "ane" */
    tandem_lane_class lane_class;
    bool is_trusted; /* it computes by the code of this build alone; others are held against the
                        reference before they serve (pipeline/start_check.h) */
    bool (*has_dtype)(tandem_dtype dtype);

    /* Cheap, no model needed; never fails: a missing device is an answer. */
    void (*probe)(tandem_probe *probe);

    /* Copies and packs the plan's weights. The plan outlives the lane, and so does the data of its
     * word table: a lane may copy a row when a batch first needs it, and then say of a bad one at
     * submit. Other views are not read after it returns. TANDEM_UNSUPPORTED names the flag or mode
     * it lacks, TANDEM_NUMERIC a weight that is NaN or infinite, by layer and slot. */
    tandem_status (*open)(const tandem_plan *plan, const tandem_backend_options *options,
                          tandem_lane **lane, tandem_error *err);

    void (*capabilities)(const tandem_lane *lane, tandem_capabilities *capabilities);

    /* `out` is caller-owned, [as tandem_output says] f32 row-major, written until the ticket is
     * finished or abandoned; unspecified on error. TANDEM_CAPACITY over a limit or with
     * in_flight_max tickets open (a synchronous lane waits for its turn instead); TANDEM_INVALID
     * for an id outside the vocabulary or a sequence longer than positions_max; TANDEM_UNSUPPORTED
     * for an output that the plan or the backend lacks. A result that is NaN or infinite is given
     * as it is: its sequence alone is lost, and the pipeline looks. Any thread. */
    tandem_status (*submit)(tandem_lane *lane, const tandem_batch *batch, tandem_output output,
                            float *out, tandem_ticket *ticket, tandem_error *err);

    /* Whether the ticket's batch is done; its error, if it failed. A ticket is finished, and no
     * longer valid, once poll said done or wait returned anything but TANDEM_TIMEOUT. */
    tandem_status (*poll)(tandem_lane *lane, tandem_ticket ticket, bool *is_done,
                          tandem_error *err);
    tandem_status (*wait)(tandem_lane *lane, tandem_ticket ticket, uint64_t timeout_ns,
                          tandem_error *err);

    /* Gives the ticket up: `out` and the batch are not touched after this returns, and what the
     * device still does with the workspace is waited for by nobody. */
    void (*abandon)(tandem_lane *lane, tandem_ticket ticket);

    /* NULL is allowed. Tickets still open are abandoned. */
    void (*close)(tandem_lane *lane);

    /* Says each step of the plan in order, the layers' steps once: they are alike. May be NULL. */
    void (*explain)(const tandem_lane *lane, tandem_step_function *say, void *context);
} tandem_backend;

/* Every backend this build knows of, in the order a user is shown them: ane, metal, cuda, cpu,
 * ref. Static; any thread. */
const tandem_backend *const *tandem__backends(int *count);

/* NULL for an unknown name. */
const tandem_backend *tandem__backend_find(const char *name);

/* What backends have in common (check.c, activate.c). */

/* poll, wait and abandon of a lane whose submit returns when the batch is done. */
tandem_status tandem__synchronous_poll(tandem_lane *lane, tandem_ticket ticket, bool *is_done,
                                       tandem_error *err);
tandem_status tandem__synchronous_wait(tandem_lane *lane, tandem_ticket ticket, uint64_t timeout_ns,
                                       tandem_error *err);
void tandem__synchronous_abandon(tandem_lane *lane, tandem_ticket ticket);

/* Every shape and number of the plan against each other; TANDEM_INVALID names layer and slot. A
 * plan that passes can be run without a further check. */
tandem_status tandem__plan_check(const tandem_plan *plan, tandem_error *err) TANDEM_NODISCARD;

/* The batch against the plan and the lane's limits, as submit promises. */
tandem_status tandem__batch_check(const tandem_plan *plan, const tandem_capabilities *limits,
                                  const tandem_batch *batch, tandem_error *err) TANDEM_NODISCARD;

/* Whether the plan has what the output needs. */
tandem_status tandem__output_check(const tandem_plan *plan, tandem_output output,
                                   tandem_error *err) TANDEM_NODISCARD;

/* Floats of one row of the output, and rows: B, T, or (layer_count + 1) * T. */
int32_t tandem__output_width(const tandem_plan *plan, tandem_output output);
int64_t tandem__output_rows(const tandem_plan *plan, tandem_output output,
                            const tandem_batch *batch);

/* Part of a tensor, as a backend packs it. */
typedef struct tandem_weight_part {
    int layer;        /* -1: outside the layers */
    const char *slot; /* "query.weight" */
    const void *data;
    tandem_dtype dtype;
    size_t first; /* index of its first element in the tensor */
    size_t count;
} tandem_weight_part;

/* TANDEM_NUMERIC that names the part's first element that is not finite, or that f16 cannot hold
 * where `is_narrow`: "model.safetensors: encoder.layer.3...: layer 3 query.weight: element 17 is
 * nan, expected a finite number"; file and tensor where the plan can say them. */
tandem_status tandem__fail_weight(const tandem_plan *plan, const tandem_weight_part *part,
                                  bool is_narrow, tandem_error *err);

bool tandem__floats_are_finite(const float *values, size_t count);

/* What is added to the scaled score of a query and a key `distance` tokens after it (before it:
 * negative) by head `head`: ALiBi, relative positions; 0 in plans that have neither. `relative` is
 * plan->relative_bias as f32. */
float tandem__plan_bias(const tandem_plan *plan, const float *relative, int head, int distance);

/* Pooling `index` of the plan's 1 + joined_count. */
tandem_pooling tandem__plan_pooling(const tandem_plan *plan, int index);

/* The widest vector between pooling and the end of the plan's modules. */
int64_t tandem__plan_pooled_width(const tandem_plan *plan);

/* Activations that are not among the kernels' (plan.h), in double; others are left alone. */
bool tandem__activation_is_late(tandem_activation activation);
void tandem__activate(tandem_activation activation, float *x, int n);

/* "absolute", "rope", ... for messages. */
const char *tandem__position_word(tandem_position position);

#endif
