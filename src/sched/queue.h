/* SPDX-License-Identifier: Apache-2.0 */
/* Queues of pieces: ordered by priority, then deadline, then arrival, and by age as well.
 *
 * A skip list whose nodes are the pieces themselves, so that nothing is allocated: insertion and
 * removal O(log n), the order read along level 0. A second, plain list through the same pieces
 * keeps the order of arrival, whose head is the oldest. A balanced tree would do as well; this is
 * shorter. */
#ifndef TANDEM_SCHED_QUEUE_H
#define TANDEM_SCHED_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#define QUEUE_LEVELS 8

/* Bands of priority: what a lane serves first. */
typedef enum sched_band {
    SCHED_REALTIME = 0,
    SCHED_STANDARD = 1,
    SCHED_BACKGROUND = 2,
    SCHED_BANDS = 3,
} sched_band;

struct sched_job;

/* A run of units of one job that waits. */
typedef struct sched_piece {
    struct sched_job *job;
    uint32_t first;
    uint32_t count;
    int64_t tokens;    /* of its units */
    uint8_t failed_on; /* bits 1 << lane of those that failed on it */
    int32_t home;      /* lane whose pinned queue it waits in, or SCHED_NO_LANE: the shared one */
    bool is_queued;
    uint8_t level;
    int32_t priority;
    uint64_t due_ns; /* deadline, UINT64_MAX without one */
    uint64_t arrived_ns;
    uint64_t sequence; /* of its job's arrival */
    struct sched_piece *next[QUEUE_LEVELS];
    struct sched_piece *older;
    struct sched_piece *younger;
    struct sched_piece *next_of_job; /* among its job's retries, or in the free list */
} sched_piece;

typedef struct sched_queue {
    sched_piece *head[QUEUE_LEVELS];
    sched_piece *oldest;
    sched_piece *youngest;
    int64_t pieces;
    int64_t units;
    int64_t tokens;
} sched_queue;

/* The piece's order fields and level must be set; it is in no queue. */
void tandem__queue_push(sched_queue *queue, sched_piece *piece);

void tandem__queue_remove(sched_queue *queue, sched_piece *piece);

/* Takes `units` of `tokens` in all from the piece's front; removes it when none is left. */
void tandem__queue_shrink(sched_queue *queue, sched_piece *piece, uint32_t units, int64_t tokens);

/* A level with probability 1/4 for each step up, from the sequence number: replayable. */
uint8_t tandem__queue_level(uint64_t sequence);

/* a before b. */
bool tandem__piece_before(const sched_piece *a, const sched_piece *b);

#endif
