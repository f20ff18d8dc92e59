/* SPDX-License-Identifier: Apache-2.0 */
/* The skip list of queue.h. Heads are no nodes, so predecessors are pointers to links. */
#include "sched/queue.h"

#include <stddef.h>

#include "base/assert.h"

bool tandem__piece_before(const sched_piece *a, const sched_piece *b) {
    if (a->priority != b->priority) return a->priority < b->priority;
    if (a->due_ns != b->due_ns) return a->due_ns < b->due_ns;
    if (a->sequence != b->sequence) return a->sequence < b->sequence;
    return a->first < b->first; // of one job: what was taken earlier stands in front
}

/* Mixed as in SplitMix64 (Steele, Lea, Flood 2014), two bits a level. */
uint8_t tandem__queue_level(uint64_t sequence) {
    uint64_t z = sequence + 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    uint8_t level = 1;
    while (level < QUEUE_LEVELS && (z & 3) == 0) {
        level++;
        z >>= 2;
    }
    return level;
}

/* The links that lead to the first piece not before `piece`, one a level. */
static void find_links(sched_queue *queue, const sched_piece *piece,
                       sched_piece **links[QUEUE_LEVELS]) {
    sched_piece **next = queue->head;
    for (int l = QUEUE_LEVELS - 1; l >= 0; l--) {
        while (next[l] != NULL && tandem__piece_before(next[l], piece)) next = next[l]->next;
        links[l] = &next[l];
    }
}

/* Retries are older than what came since, so the search for their place starts at the front. */
static void age_insert(sched_queue *queue, sched_piece *piece) {
    sched_piece *after = queue->youngest;
    if (after != NULL && piece->sequence < after->sequence) {
        after = NULL;
        for (sched_piece *p = queue->oldest; p != NULL && p->sequence < piece->sequence;
             p = p->younger)
            after = p;
    }
    piece->older = after;
    piece->younger = after == NULL ? queue->oldest : after->younger;
    if (piece->older != NULL)
        piece->older->younger = piece;
    else
        queue->oldest = piece;
    if (piece->younger != NULL)
        piece->younger->older = piece;
    else
        queue->youngest = piece;
}

static void age_remove(sched_queue *queue, sched_piece *piece) {
    if (piece->older != NULL)
        piece->older->younger = piece->younger;
    else
        queue->oldest = piece->younger;
    if (piece->younger != NULL)
        piece->younger->older = piece->older;
    else
        queue->youngest = piece->older;
    piece->older = NULL;
    piece->younger = NULL;
}

void tandem__queue_push(sched_queue *queue, sched_piece *piece) {
    TANDEM_ASSERT(!piece->is_queued);
    TANDEM_ASSERT(piece->count > 0);
    TANDEM_ASSERT(piece->level >= 1 && piece->level <= QUEUE_LEVELS);
    sched_piece **links[QUEUE_LEVELS];
    find_links(queue, piece, links);
    for (int l = 0; l < piece->level; l++) {
        piece->next[l] = *links[l];
        *links[l] = piece;
    }
    age_insert(queue, piece);
    piece->is_queued = true;
    queue->pieces++;
    queue->units += piece->count;
    queue->tokens += piece->tokens;
}

void tandem__queue_remove(sched_queue *queue, sched_piece *piece) {
    TANDEM_ASSERT(piece->is_queued);
    sched_piece **links[QUEUE_LEVELS];
    find_links(queue, piece, links);
    for (int l = 0; l < piece->level; l++) {
        TANDEM_ASSERT(*links[l] == piece);
        *links[l] = piece->next[l];
        piece->next[l] = NULL;
    }
    age_remove(queue, piece);
    piece->is_queued = false;
    queue->pieces--;
    queue->units -= piece->count;
    queue->tokens -= piece->tokens;
}

void tandem__queue_shrink(sched_queue *queue, sched_piece *piece, uint32_t units, int64_t tokens) {
    TANDEM_ASSERT(units <= piece->count);
    TANDEM_ASSERT(tokens <= piece->tokens);
    if (units == piece->count) tandem__queue_remove(queue, piece);
    const bool is_left = piece->is_queued;
    piece->first += units;
    piece->count -= units;
    piece->tokens -= tokens;
    if (!is_left) return;
    queue->units -= units;
    queue->tokens -= tokens;
}
