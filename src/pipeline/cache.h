/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors that were computed before, found by what makes them: the token ids of one unit, their
 * types, how much of a prompt pooling leaves out, and the output. An engine has one model in one
 * numeric mode, so those are the same for all of its cache.
 *
 *     key ─ hash ─┬─ shard ─ table of buckets ─ entries [link|key ids|types|row]
 *                 │          list by use, newest first: the tail goes when the shard is full
 *                 └─ 16 shards, a mutex each
 *
 * The ids themselves are kept and compared, so a hit is never a collision. Rows are as the lane
 * gave them, before truncation and normalisation: one entry serves every `dimensions`. Bounded in
 * bytes, what the entries' bookkeeping takes included. Any thread. */
#ifndef TANDEM_PIPELINE_CACHE_H
#define TANDEM_PIPELINE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tandem/status.h"

typedef struct pipeline_cache pipeline_cache;

/* What makes a row. Borrowed for the call. */
typedef struct pipeline_key {
    const int32_t *ids;   /* [tokens] */
    const int32_t *types; /* [tokens], or NULL: all zero */
    int32_t tokens;
    int32_t skip;
    int32_t output;
} pipeline_key;

typedef struct pipeline_cache_counters {
    uint64_t hits;
    uint64_t misses;
    uint64_t entries;
    uint64_t evicted;
    uint64_t bytes;
    uint64_t bytes_max;
} pipeline_cache_counters;

/* At most `bytes_max` in all. */
tandem_status tandem__cache_open(size_t bytes_max, pipeline_cache **cache,
                                 tandem_error *err) TANDEM_NODISCARD;

/* NULL is allowed. */
void tandem__cache_close(pipeline_cache *cache);

uint64_t tandem__cache_hash(const pipeline_key *key);

/* True, and the row in `row` of [width], if it is known. */
bool tandem__cache_get(pipeline_cache *cache, const pipeline_key *key, uint64_t hash, float *row,
                       int32_t width);

/* Keeps a copy. Without memory, or where the entry is over an eighth of a shard, nothing happens.
 */
void tandem__cache_put(pipeline_cache *cache, const pipeline_key *key, uint64_t hash,
                       const float *row, int32_t width);

/* Gives back all but `bytes` (the memory observer's knob); entries that come later may fill it
 * again up to `bytes`. */
void tandem__cache_limit(pipeline_cache *cache, size_t bytes);

void tandem__cache_count(pipeline_cache *cache, pipeline_cache_counters *counters);

#endif
