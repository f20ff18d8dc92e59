/* SPDX-License-Identifier: Apache-2.0 */
/* See cache.h. A shard's table of buckets is allocated once for its bytes; entries come from the
 * heap one by one, since their sizes differ by the text. */
#include "pipeline/cache.h"

#include <pthread.h>
#include <string.h>

#include "base/assert.h"
#include "base/fail.h"
#include "base/mem.h"

#define SHARDS         16
#define ENTRY_TYPICAL  1024 /* bytes, to size the tables */
#define BUCKETS_MIN    16
#define ENTRY_PART_MAX 8 /* an entry takes at most this part of its shard */

typedef struct cache_entry {
    struct cache_entry *next_in_bucket;
    struct cache_entry *newer;
    struct cache_entry *older;
    uint64_t hash;
    size_t bytes;
    int32_t tokens;
    int32_t skip;
    int32_t output;
    int32_t width;
    bool has_types;
    int32_t words[]; /* ids, types if there are any, then the row's floats */
} cache_entry;

typedef struct cache_shard {
    pthread_mutex_t mutex;
    cache_entry **buckets; /* [bucket_count] */
    size_t bucket_count;   /* a power of two */
    cache_entry *newest;
    cache_entry *oldest;
    size_t bytes;
    size_t bytes_max;
    uint64_t hits;
    uint64_t misses;
    uint64_t entries;
    uint64_t evicted;
} cache_shard;

struct pipeline_cache {
    cache_shard shards[SHARDS];
    int made; /* shards whose mutex is */
};

tandem_status tandem__cache_open(size_t bytes_max, pipeline_cache **cache, tandem_error *err) {
    pipeline_cache *made = tandem__mem_calloc(1, sizeof *made);
    if (made == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for a cache");
    for (int i = 0; i < SHARDS; i++) {
        cache_shard *shard = &made->shards[i];
        shard->bytes_max = bytes_max / SHARDS;
        shard->bucket_count = BUCKETS_MIN;
        while (shard->bucket_count < shard->bytes_max / ENTRY_TYPICAL) shard->bucket_count *= 2;
        shard->buckets = tandem__mem_calloc(shard->bucket_count, sizeof *shard->buckets);
        if (shard->buckets == NULL || pthread_mutex_init(&shard->mutex, NULL) != 0) {
            tandem__mem_free(shard->buckets);
            tandem__cache_close(made);
            return TANDEM_FAIL(err, MEMORY, "no memory for a cache of %zu bytes", bytes_max);
        }
        made->made++;
    }
    *cache = made;
    return TANDEM_OK;
}

/* Takes an entry out of its list, not out of its bucket. */
static void unlink_entry(cache_shard *shard, cache_entry *entry) {
    if (entry->newer != NULL)
        entry->newer->older = entry->older;
    else
        shard->newest = entry->older;
    if (entry->older != NULL)
        entry->older->newer = entry->newer;
    else
        shard->oldest = entry->newer;
}

static void link_newest(cache_shard *shard, cache_entry *entry) {
    entry->newer = NULL;
    entry->older = shard->newest;
    if (shard->newest != NULL)
        shard->newest->newer = entry;
    else
        shard->oldest = entry;
    shard->newest = entry;
}

static cache_entry **bucket_of(const cache_shard *shard, uint64_t hash) {
    return &shard->buckets[(hash >> 8) & (shard->bucket_count - 1)];
}

static void evict(cache_shard *shard, cache_entry *entry) {
    cache_entry **link = bucket_of(shard, entry->hash);
    while (*link != entry) link = &(*link)->next_in_bucket;
    *link = entry->next_in_bucket;
    unlink_entry(shard, entry);
    TANDEM_ASSERT(shard->bytes >= entry->bytes);
    shard->bytes -= entry->bytes;
    shard->entries--;
    shard->evicted++;
    tandem__mem_free(entry);
}

void tandem__cache_close(pipeline_cache *cache) {
    if (cache == NULL) return;
    for (int i = 0; i < cache->made; i++) {
        cache_shard *shard = &cache->shards[i];
        while (shard->oldest != NULL) evict(shard, shard->oldest);
        tandem__mem_free(shard->buckets);
        (void)pthread_mutex_destroy(&shard->mutex);
    }
    tandem__mem_free(cache);
}

/* One round of the mixer of MurmurHash3 (Appleby, public domain) for each id. */
static uint64_t mix(uint64_t hash, uint64_t value) {
    hash = (hash ^ value) * 0xff51afd7ed558ccdu;
    return hash ^ (hash >> 32);
}

uint64_t tandem__cache_hash(const pipeline_key *key) {
    uint64_t hash =
        mix(0x9e3779b97f4a7c15u, (uint64_t)(uint32_t)key->output << 32 | (uint32_t)key->skip);
    for (int32_t t = 0; t < key->tokens; t++) hash = mix(hash, (uint32_t)key->ids[t]);
    for (int32_t t = 0; key->types != NULL && t < key->tokens; t++)
        hash = mix(hash, (uint32_t)key->types[t]);
    return mix(hash, (uint32_t)key->tokens);
}

static bool is_same(const cache_entry *entry, const pipeline_key *key, uint64_t hash,
                    int32_t width) {
    if (entry->hash != hash || entry->tokens != key->tokens || entry->skip != key->skip ||
        entry->output != key->output || entry->width != width ||
        entry->has_types != (key->types != NULL))
        return false;
    const size_t bytes = (size_t)key->tokens * sizeof(int32_t);
    if (memcmp(entry->words, key->ids, bytes) != 0) return false;
    return key->types == NULL || memcmp(entry->words + key->tokens, key->types, bytes) == 0;
}

static const int32_t *row_of(const cache_entry *entry) {
    return entry->words + (size_t)entry->tokens * (entry->has_types ? 2 : 1);
}

static cache_entry *find(const cache_shard *shard, const pipeline_key *key, uint64_t hash,
                         int32_t width) {
    cache_entry *entry = *bucket_of(shard, hash);
    while (entry != NULL && !is_same(entry, key, hash, width)) entry = entry->next_in_bucket;
    return entry;
}

bool tandem__cache_get(pipeline_cache *cache, const pipeline_key *key, uint64_t hash, float *row,
                       int32_t width) {
    cache_shard *shard = &cache->shards[hash % SHARDS];
    (void)pthread_mutex_lock(&shard->mutex);
    cache_entry *entry = find(shard, key, hash, width);
    if (entry != NULL) {
        shard->hits++;
        unlink_entry(shard, entry);
        link_newest(shard, entry);
        memcpy(row, row_of(entry), (size_t)width * sizeof *row);
    } else {
        shard->misses++;
    }
    (void)pthread_mutex_unlock(&shard->mutex);
    return entry != NULL;
}

static cache_entry *entry_new(const pipeline_key *key, uint64_t hash, const float *row,
                              int32_t width, size_t bytes) {
    cache_entry *entry = tandem__mem_calloc(1, bytes);
    if (entry == NULL) return NULL;
    entry->hash = hash;
    entry->bytes = bytes;
    entry->tokens = key->tokens;
    entry->skip = key->skip;
    entry->output = key->output;
    entry->width = width;
    entry->has_types = key->types != NULL;
    const size_t ids = (size_t)key->tokens * sizeof(int32_t);
    memcpy(entry->words, key->ids, ids);
    if (key->types != NULL) memcpy(entry->words + key->tokens, key->types, ids);
    memcpy(entry->words + (size_t)key->tokens * (entry->has_types ? 2 : 1), row,
           (size_t)width * sizeof *row);
    return entry;
}

void tandem__cache_put(pipeline_cache *cache, const pipeline_key *key, uint64_t hash,
                       const float *row, int32_t width) {
    cache_shard *shard = &cache->shards[hash % SHARDS];
    const size_t ids = (size_t)key->tokens * (key->types != NULL ? 2 : 1);
    const size_t bytes = sizeof(cache_entry) + (ids + (size_t)width) * sizeof(int32_t);
    (void)pthread_mutex_lock(&shard->mutex);
    if (bytes <= shard->bytes_max / ENTRY_PART_MAX && find(shard, key, hash, width) == NULL) {
        while (shard->bytes + bytes > shard->bytes_max) evict(shard, shard->oldest);
        cache_entry *entry = entry_new(key, hash, row, width, bytes);
        if (entry != NULL) {
            cache_entry **bucket = bucket_of(shard, hash);
            entry->next_in_bucket = *bucket;
            *bucket = entry;
            link_newest(shard, entry);
            shard->bytes += bytes;
            shard->entries++;
        }
    }
    (void)pthread_mutex_unlock(&shard->mutex);
}

void tandem__cache_limit(pipeline_cache *cache, size_t bytes) {
    for (int i = 0; i < SHARDS; i++) {
        cache_shard *shard = &cache->shards[i];
        (void)pthread_mutex_lock(&shard->mutex);
        shard->bytes_max = bytes / SHARDS;
        while (shard->bytes > shard->bytes_max) evict(shard, shard->oldest);
        (void)pthread_mutex_unlock(&shard->mutex);
    }
}

void tandem__cache_count(pipeline_cache *cache, pipeline_cache_counters *counters) {
    *counters = (pipeline_cache_counters){.hits = 0};
    for (int i = 0; i < SHARDS; i++) {
        cache_shard *shard = &cache->shards[i];
        (void)pthread_mutex_lock(&shard->mutex);
        counters->hits += shard->hits;
        counters->misses += shard->misses;
        counters->entries += shard->entries;
        counters->evicted += shard->evicted;
        counters->bytes += shard->bytes;
        counters->bytes_max += shard->bytes_max;
        (void)pthread_mutex_unlock(&shard->mutex);
    }
}
