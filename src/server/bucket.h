/* SPDX-License-Identifier: Apache-2.0 */
/* A bucket of tokens that fills at a tier's rate, and the requests that are under way. Pure: time
 * comes in, the owner locks. */
#ifndef TANDEM_SERVER_BUCKET_H
#define TANDEM_SERVER_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "server/tenants.h"

typedef struct server_bucket {
    bool is_started;
    double level;           /* tokens; below zero after a request larger than the bucket */
    uint64_t filled_ns;     /* when `level` was true */
    int64_t under_way;      /* requests */
    uint64_t busy_ns;       /* the last end, or the first start after none was under way */
    double settle_every_ns; /* moving average from one end to the next while some are under way */
} server_bucket;

typedef enum server_bucket_answer {
    SERVER_BUCKET_TAKEN = 0,
    SERVER_BUCKET_BUSY = 1,  /* over the tier's concurrency */
    SERVER_BUCKET_EMPTY = 2, /* over its rate */
} server_bucket_answer;

void server_bucket_init(server_bucket *bucket);

/* `is_request` counts one more under way; else it is more of one that is. `*retry_ns` is set where
 * nothing was taken: when as much will be there, or when a request is likely to have ended. */
server_bucket_answer server_bucket_take(server_bucket *bucket, const server_tier *tier,
                                        int64_t tokens, bool is_request, uint64_t now_ns,
                                        uint64_t *retry_ns);

/* A request has ended that was taken as `estimate` tokens and was `tokens`. */
void server_bucket_settle(server_bucket *bucket, const server_tier *tier, int64_t estimate,
                          int64_t tokens, uint64_t now_ns);

#endif
