/* SPDX-License-Identifier: Apache-2.0 */
/* The scheduler: which lane computes what, and when. A state machine without threads, clocks or
 * devices: every function takes the time, so that production (threads, real time) and simulation
 * (one thread, virtual time) run the same code and a run can be replayed from its seed.
 *
 *     submit ─ admission ─┬─ shared queues: realtime │ standard │ background ─┐
 *                         └─ pinned queues of each lane ──────────────────────┴─ take ─ done
 *
 * Late binding: nothing is assigned to a lane before the lane asks. A lane that is free calls take
 * and gets a batch or nothing; the driver computes it and calls done. A job is a request; its units
 * are the sequences that lanes compute. A run of units of one job is a piece: a job waits as one
 * piece that shrinks from its front as batches take from it, and units of a failed batch come back
 * as further pieces.
 *
 * One caller at a time: the owner locks. Nothing is allocated after open. */
#ifndef TANDEM_SCHED_SCHED_H
#define TANDEM_SCHED_SCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/backend.h"
#include "sched/admission.h"
#include "sched/queue.h"
#include "sched/service.h"
#include "sched/window.h"
#include "tandem/status.h"

#define SCHED_LANES_MAX   8
#define SCHED_SLOTS_MAX   16  /* batches in flight of one lane */
#define SCHED_UNITS_MAX   512 /* sequences of one batch */
#define SCHED_TENANTS_MAX 1024
#define SCHED_NO_LANE     (-1)

/* Realtime work is expected for this long after the last. */
#define SCHED_REALTIME_MEMORY_NS ((uint64_t)10000000000)

typedef enum sched_policy {
    SCHED_PREDICT = 0,      /* earliest predicted finish, latency lanes kept for realtime work */
    SCHED_RULES = 1,        /* the guide's SmartBackendSelector */
    SCHED_RULES_SIMPLE = 2, /* the guide's select_backend; its "auto" is SCHED_PREDICT's */
} sched_policy;

/* Why a job went where it went. */
typedef enum sched_reason {
    SCHED_REASON_NONE = 0,
    SCHED_REASON_ASKED = 1,    /* the request named the lane */
    SCHED_REASON_FALLBACK = 2, /* ... which may not serve: the next of the class order */
    SCHED_REASON_EARLIEST = 3, /* earliest predicted finish */
    SCHED_REASON_OVERFLOW = 4, /* a latency lane took it to keep the bound of other work */
    SCHED_REASON_AGED = 5,     /* it had waited for its age limit */
    SCHED_REASON_ONLY = 6,     /* no other lane may serve */
    SCHED_REASON_SPREAD = 7,   /* heat: in proportion to the lanes' rates */
    SCHED_REASON_RULE = 8,     /* what the selected rule says */
    SCHED_REASON_RETRY = 9,    /* another lane had failed on it */
    SCHED_REASON_CACHE = 10,   /* no lane: the vector was known */
    SCHED_REASON_CLASS = 11,   /* earliest of the lanes whose classes the request may use */
    SCHED_REASON_LENGTH = 12,  /* earliest of the lanes that take a text this long */
} sched_reason;

#define SCHED_REASONS 13

typedef enum sched_job_state {
    SCHED_JOB_IDLE = 0,     /* the submitter's */
    SCHED_JOB_QUEUED = 1,   /* the scheduler's */
    SCHED_JOB_FINISHED = 2, /* in the list of finished jobs, until it is taken from there */
} sched_job_state;

/* One request. The memory is the submitter's and must stay until the job is finished; the first
 * fields are set by the submitter, the rest is zero before submit. */
typedef struct sched_job {
    const int32_t *unit_tokens; /* [unit_count], each > 0; borrowed until finished */
    uint8_t *unit_status;       /* [unit_count] tandem_status of units that fail, or NULL; others
                                   are left alone */
    uint32_t unit_count;        /* > 0 */
    uint32_t texts;             /* what the rules call the batch size */
    int32_t priority;           /* < 0 realtime, 0 standard, > 0 background; lower first */
    int32_t lane;               /* index, or SCHED_NO_LANE: the policy's choice */
    uint32_t tenant;            /* < SCHED_TENANTS_MAX */
    uint64_t deadline_ns;       /* 0 = none */
    uint64_t identity;          /* the same for a request that is tried again; 0 = not known */
    bool is_fallback_forbidden;
    uint8_t classes; /* bits 1 << tandem_lane_class of the lanes that may serve it; 0 = all */
    uint8_t kind;    /* units of different kinds never share a batch (task, model) */
    uint32_t batch_units_max; /* of its units in one batch, 0 = as the lane */

    tandem_status status; /* TANDEM_OK although units failed: see failed_units */
    sched_reason reason;
    int32_t served_lane; /* that computed its last unit */
    uint32_t failed_units;
    uint32_t retries;
    uint64_t submitted_ns;
    uint64_t started_ns; /* first unit on a lane; 0 if none was */
    uint64_t finished_ns;

    sched_job_state state;
    int32_t longest; /* tokens of its longest unit */
    uint32_t waiting_units;
    uint32_t flying_units;
    int64_t waiting_tokens;
    int32_t home; /* lane that it is bound to, or SCHED_NO_LANE; retries may be elsewhere */
    sched_piece piece;
    sched_piece *retry_pieces; /* list of its further pieces */
    struct sched_job *next_finished;
    struct sched_job *previous_alive;
    struct sched_job *next_alive;
} sched_job;

/* A run of units in a batch. `job` becomes NULL when it was cancelled or the batch given up. */
typedef struct sched_item {
    sched_job *job;
    uint32_t first;
    uint32_t count;
    uint8_t failed_on; /* bits 1 << lane of those that failed with these units before */
} sched_item;

typedef enum sched_slot_state {
    SCHED_SLOT_FREE = 0,
    SCHED_SLOT_RUNNING = 1,
    SCHED_SLOT_HUNG = 2, /* given up: its units are elsewhere, the driver has not come back */
} sched_slot_state;

/* One batch in flight. */
typedef struct sched_batch {
    sched_item items[SCHED_UNITS_MAX];
    uint32_t item_count; /* 0: a probe, one token that the driver makes up */
    uint32_t units;
    int32_t tokens;
    int32_t lane;
    uint8_t kind;
    bool is_realtime;
    bool is_shared; /* other lanes were busy when it started */
    sched_slot_state state;
    uint64_t started_ns;
    uint64_t expected_ns;
    uint64_t give_up_ns;
} sched_batch;

typedef struct sched_lane_options {
    const char *name; /* borrowed; for nothing but messages and rules */
    tandem_lane_class lane_class;
    int32_t tokens_max; /* of one batch */
    int32_t sequences_max;
    int32_t unit_tokens_max; /* longest unit that it takes; 0 = any */
    int32_t slots;           /* batches in flight to begin with */
    int32_t slots_max;       /* ... that the scaler may go up to */
    int32_t rules_limit;     /* sequences of one batch under the guide's rules: 1, 32, 8 */
    int32_t batch_tokens;    /* that a batch should hold while no realtime work is about, even if
                                fewer would have the lane's rate; 0 = as few as have it */
    service_table service;
    uint64_t hang_min_ns; /* a batch is given up after 20 times its prediction, or this if longer */
    bool is_available;
} sched_lane_options;

typedef struct sched_options { /* all zero means the default of each */
    sched_policy policy;
    sched_lane_options lanes[SCHED_LANES_MAX];
    int32_t lane_count;
    int64_t tokens_max;         /* waiting, in all; default 1 << 20 */
    int64_t tenant_tokens_max;  /* waiting, of one tenant; default tokens_max */
    uint64_t queue_ns_max;      /* longest wait at the rate of the lanes; 0 = no such bound */
    uint64_t standard_bound_ns; /* what standard work may wait before a latency lane helps */
    uint64_t standard_age_ns;   /* most that standard work should wait behind realtime work;
                                   default 30 s */
    uint64_t background_age_ns; /* ... background work behind all; default 60 s */
    uint64_t batch_ns;          /* longest batch where realtime work may come; default 25 ms */
    uint64_t probe_every_ns;    /* of an idle lane; default 10 s, UINT64_MAX = never */
} sched_options;

typedef enum sched_lane_state {
    SCHED_LANE_UP = 0,
    SCHED_LANE_OUT = 1,     /* failed; probed from time to time */
    SCHED_LANE_MISSING = 2, /* the machine has it not */
} sched_lane_state;

typedef struct sched_lane {
    sched_lane_options options;
    service_table service;
    sched_lane_state state;
    int32_t slots;   /* that may be used now */
    int32_t running; /* slots in use, hung ones not counted */
    int32_t hung;
    uint32_t failures; /* in a row */
    uint32_t probes_passed;
    uint64_t probe_at_ns;
    uint64_t probe_wait_ns;
    uint64_t last_done_ns;
    uint64_t last_well_ns; /* a batch or probe that did not fail; 0 = none yet */
    uint64_t heat_units;   /* given to it while the load is spread */
    bool was_aged;         /* its last batch went before realtime work for its age */
    sched_queue pinned[SCHED_BANDS];
    sched_batch *batches; /* [SCHED_SLOTS_MAX] */
    uint64_t busy_ns;     /* sum over batches */
    sched_window busy;    /* ... of the last seconds */
    uint64_t batches_done;
    sched_sizes sizes; /* of them */
    uint64_t units_done;
    uint64_t tokens_done;
    uint64_t failures_total;
    uint64_t times_out;
} sched_lane;

typedef struct sched_counters {
    uint64_t submitted; /* admitted jobs */
    uint64_t finished;
    uint64_t refused_capacity;
    uint64_t refused_deadline;
    uint64_t expired;
    uint64_t cancelled;
    uint64_t failed; /* jobs that ended with an error */
    uint64_t retried_units;
    uint64_t hung_batches;
    uint64_t reasons[SCHED_REASONS]; /* jobs that were started, by why there */
} sched_counters;

/* Jobs of a band that ended well, and how late: sums that never fall. */
typedef struct sched_answered {
    uint64_t requests;
    uint64_t texts;
    uint64_t over_5ms; /* from submit to end */
    uint64_t over_10ms;
} sched_answered;

typedef struct sched {
    sched_options options;
    sched_lane lanes[SCHED_LANES_MAX];
    int32_t lane_count;
    sched_queue shared[SCHED_BANDS];
    sched_batch *batches; /* [lane_count * SCHED_SLOTS_MAX] */
    sched_piece *pieces;  /* the retries' memory */
    sched_piece *free_pieces;
    size_t pieces_used;      /* the rest was never touched */
    sched_job *alive;        /* every job that is queued or flying */
    int64_t alive_deadlines; /* ... of them with one */
    sched_job *finished_head;
    sched_job *finished_tail;
    int64_t waiting_tokens;
    int64_t waiting_jobs;
    int64_t tenant_tokens[SCHED_TENANTS_MAX];
    sched_admission admission;
    uint64_t sequence;
    uint64_t realtime_seen_ns;
    int32_t speed_percent;   /* 100 = cool */
    double batch_scale;      /* the scaler's: 1 .. 4 */
    double memory_scale;     /* the memory observer's: 1/4 .. 1, of a batch's tokens */
    bool is_everything_open; /* the scaler's: no lane is kept for realtime work */
    bool is_shedding;        /* the memory observer's: background work is refused */
    sched_answered answered[SCHED_BANDS];
    sched_window texts; /* answered in the last seconds */
    uint64_t first_ns;  /* first submit */
    sched_counters counters;
} sched;

/* Copies the options. TANDEM_INVALID names a limit out of range. */
tandem_status tandem__sched_open(const sched_options *options, sched **scheduler,
                                 tandem_error *err) TANDEM_NODISCARD;

void tandem__sched_close(sched *scheduler); /* or NULL; no job may be queued or flying */

/* Admits the job or refuses it: TANDEM_CAPACITY over a bound, with the time after which to try
 * again in *retry_ns; TANDEM_TIMEOUT where its deadline cannot be met; TANDEM_PERMISSION where it
 * names a lane outside of its classes; TANDEM_UNSUPPORTED where its longest unit is too long;
 * TANDEM_DEVICE where no lane may serve it. A refused job was never the scheduler's. */
tandem_status tandem__sched_submit(sched *scheduler, sched_job *job, uint64_t now_ns,
                                   uint64_t *retry_ns, tandem_error *err) TANDEM_NODISCARD;

/* Ends a job at once as TANDEM_CANCELLED: it is in the finished list when this returns, and no
 * batch in flight holds it any more. Nothing happens to one that is finished already. */
void tandem__sched_cancel(sched *scheduler, sched_job *job, uint64_t now_ns);

/* What `lane` should compute now, or NULL. *wake_ns is lowered to the time at which the answer
 * may change without anybody calling submit or done. The batch stays the driver's until done. */
sched_batch *tandem__sched_take(sched *scheduler, int32_t lane, uint64_t now_ns, uint64_t *wake_ns);

/* The same without probes: for a caller's own thread, which should not wait for one. */
sched_batch *tandem__sched_take_work(sched *scheduler, int32_t lane, uint64_t now_ns,
                                     uint64_t *wake_ns);

/* The batch waited for its processor until now: its times count from here. */
void tandem__sched_started(sched_batch *batch, uint64_t now_ns);

/* The batch is over. `status` is the device's; with TANDEM_OK `failed` [batch->units], or NULL,
 * marks units whose result is not finite. */
void tandem__sched_done(sched *scheduler, sched_batch *batch, uint64_t now_ns, tandem_status status,
                        const bool *failed);

/* Gives up hung batches and drops work that is too late. Returns when to call again. */
uint64_t tandem__sched_tick(sched *scheduler, uint64_t now_ns);

/* A lane that was missing serves from now on. */
void tandem__sched_lane_found(sched *scheduler, int32_t lane, uint64_t now_ns);

/* The next finished job, or NULL: now the submitter's again. */
sched_job *tandem__sched_finished(sched *scheduler);

/* Every invariant that holds between calls, asserted: for tests and simulations, O(everything). */
void tandem__sched_check(const sched *scheduler);

#endif
