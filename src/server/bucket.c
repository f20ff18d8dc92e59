/* SPDX-License-Identifier: Apache-2.0 */
#include "server/bucket.h"

#include "base/assert.h"

#define SECOND_NS       1e9
#define BURST_SECONDS   10    /* of the rate, where the tier says nothing */
#define FIRST_GUESS_NS  100e6 /* until a request has ended */
#define RETRY_NS_MIN    1e6
#define RETRY_NS_MAX    3600e9
#define AVERAGE_PORTION 0.1 /* of the newest in the moving average */

static double capacity(const server_tier *tier) {
    const double burst = tier->burst_tokens > 0 ? (double)tier->burst_tokens
                                                : (double)tier->tokens_per_second * BURST_SECONDS;
    return burst < 1.0 ? 1.0 : burst;
}

void server_bucket_init(server_bucket *bucket) {
    *bucket = (server_bucket){.settle_every_ns = FIRST_GUESS_NS};
}

static void fill(server_bucket *bucket, const server_tier *tier, uint64_t now_ns) {
    const double full = capacity(tier);
    if (!bucket->is_started) {
        bucket->is_started = true;
        bucket->level = full;
        bucket->filled_ns = now_ns;
        return;
    }
    if (now_ns > bucket->filled_ns) {
        const double passed_ns = (double)(now_ns - bucket->filled_ns);
        bucket->level += (double)tier->tokens_per_second * passed_ns / SECOND_NS;
        bucket->filled_ns = now_ns;
    }
    if (bucket->level > full) bucket->level = full;
}

static uint64_t bounded(double ns) {
    if (ns < RETRY_NS_MIN) ns = RETRY_NS_MIN;
    if (ns > RETRY_NS_MAX) ns = RETRY_NS_MAX;
    return (uint64_t)ns;
}

server_bucket_answer server_bucket_take(server_bucket *bucket, const server_tier *tier,
                                        int64_t tokens, bool is_request, uint64_t now_ns,
                                        uint64_t *retry_ns) {
    TANDEM_ASSERT(tokens >= 0);
    *retry_ns = 0;
    if (is_request && tier->concurrency > 0 && bucket->under_way >= tier->concurrency) {
        *retry_ns = bounded(bucket->settle_every_ns);
        return SERVER_BUCKET_BUSY;
    }
    if (tier->tokens_per_second > 0) {
        fill(bucket, tier, now_ns);
        const double full = capacity(tier);
        const double wanted = (double)tokens < full ? (double)tokens : full;
        if (bucket->level < wanted) {
            const double missing = wanted - bucket->level;
            *retry_ns = bounded(missing / (double)tier->tokens_per_second * SECOND_NS + 1.0);
            return SERVER_BUCKET_EMPTY;
        }
        bucket->level -= (double)tokens;
    }
    if (is_request && bucket->under_way++ == 0) bucket->busy_ns = now_ns;
    return SERVER_BUCKET_TAKEN;
}

void server_bucket_settle(server_bucket *bucket, const server_tier *tier, int64_t estimate,
                          int64_t tokens, uint64_t now_ns) {
    TANDEM_ASSERT(bucket->under_way > 0);
    if (now_ns > bucket->busy_ns) {
        const double passed_ns = (double)(now_ns - bucket->busy_ns);
        bucket->settle_every_ns += AVERAGE_PORTION * (passed_ns - bucket->settle_every_ns);
    }
    bucket->busy_ns = now_ns;
    bucket->under_way--;
    if (tier->tokens_per_second == 0 || !bucket->is_started) return;
    fill(bucket, tier, now_ns);
    bucket->level += (double)(estimate - tokens);
    const double full = capacity(tier);
    if (bucket->level > full) bucket->level = full;
}
