/* SPDX-License-Identifier: Apache-2.0 */
/* What admission remembers: how fast the queue drains, and who was told to come back when. */
#ifndef TANDEM_SCHED_ADMISSION_H
#define TANDEM_SCHED_ADMISSION_H

#include <stdint.h>

#include "sched/queue.h"

#define SCHED_PROMISES     32768 /* a power of two */
#define SCHED_PROMISE_WAYS 4     /* places of an identity */

/* A request that was refused for its wait is expected again. */
typedef struct sched_promise {
    uint64_t identity; /* sched_job.identity; 0 = none */
    uint64_t at_ns;
} sched_promise;

typedef struct sched_admission {
    double drain_tokens_per_ns; /* while something waited, smoothed; 0 = not measured yet */
    uint64_t measured_ns;       /* when it last was */
    uint64_t part_ns;           /* start of the sample under way; 0 = at the next completion */
    int64_t part_tokens;
    uint64_t line_ns[SCHED_BANDS]; /* end of the line of those who are expected again */
    sched_promise *promises;       /* [SCHED_PROMISES], NULL without a bound on waiting time */
    uint32_t kept;                 /* came back, of the last hundreds of promises */
    uint32_t missed;               /* did not */
} sched_admission;

#endif
