/* SPDX-License-Identifier: Apache-2.0 */
/* What the engines of several models share: the compute threads, and a gate before each processor.
 *
 * A gate lets one batch at a time through, realtime ones first (but no more than eight in a row
 * while others wait), else in the order they came. Since batches are bounded, so is the wait,
 * which counts neither as the lane's time nor towards the time after which a batch is given up. */
#ifndef TANDEM_PIPELINE_SHARE_H
#define TANDEM_PIPELINE_SHARE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/pool.h"
#include "tandem/engine.h"

typedef struct pipeline_gate {
    pthread_mutex_t mutex;
    pthread_cond_t opened;
    bool is_busy;
    uint64_t next_ticket[2]; /* of realtime batches, of others */
    uint64_t serving[2];
    int realtime_run; /* realtime batches since the last other one */
} pipeline_gate;

typedef struct pipeline_share {
    tandem_pool *pool;
    pipeline_gate gates[TANDEM_LANES_MAX]; /* by the lane's index */
    int gates_made;
} pipeline_share;

tandem_status tandem__share_open(int threads, pipeline_share **share,
                                 tandem_error *err) TANDEM_NODISCARD;

/* NULL is allowed. */
void tandem__share_close(pipeline_share *share);

void tandem__gate_enter(pipeline_gate *gate, bool is_realtime);
void tandem__gate_leave(pipeline_gate *gate);

#endif
