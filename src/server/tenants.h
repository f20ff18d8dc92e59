/* SPDX-License-Identifier: Apache-2.0 */
/* Who may use the server and on what terms, as a file says it:
 *
 *     tiers:
 *       premium:
 *         lane_classes: [latency, throughput]     # all without
 *         priority: realtime                      # the highest it may ask for
 *         tokens_per_second: 20000                # 0 = no bound, here and below
 *         burst_tokens: 100000
 *         concurrency: 64                         # requests at a time
 *         price: {latency: 0.40, throughput: 0.10, background: 0.02}   # per million tokens
 *         admin: true                             # sees every tenant's usage
 *     tenants:
 *       - name: acme
 *         tier: premium
 *         keys:
 *           - sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
 *
 * Only hashes of keys are in it; `tandem key new` makes a key and the line to paste. */
#ifndef TANDEM_SERVER_TENANTS_H
#define TANDEM_SERVER_TENANTS_H

#include <stdbool.h>
#include <stdint.h>

#include "server/config_field.h"

/* As the engine's lanes are classed; a mask has bit 1 << class. */
typedef enum server_lane_class {
    SERVER_CLASS_NONE = 0, /* the reference lane */
    SERVER_CLASS_LATENCY = 1,
    SERVER_CLASS_THROUGHPUT = 2,
    SERVER_CLASS_BACKGROUND = 3,
} server_lane_class;

#define SERVER_CLASSES 4

/* "latency" and so on, as tandem_lane_info.lane_class has it. Another word is NONE. */
server_lane_class server_lane_class_of(const char *word);
const char *server_lane_class_word(server_lane_class lane_class);

#define SERVER_NAME_BYTES  64 /* of a tenant's or tier's name, NUL included */
#define SERVER_TIERS_MAX   64
#define SERVER_TENANTS_MAX 10000
#define SERVER_KEYS_MAX    20000
#define SERVER_HASH_BYTES  32 /* SHA-256 */

typedef struct server_tier {
    char name[SERVER_NAME_BYTES];
    uint32_t lane_classes; /* mask; 0 = all */
    int32_t priority;      /* lowest number that its requests may have */
    int64_t tokens_per_second;
    int64_t burst_tokens; /* 0 = ten seconds of tokens_per_second */
    int64_t concurrency;
    int64_t price[SERVER_CLASSES]; /* millionths per million tokens */
    bool is_admin;
} server_tier;

typedef struct server_tenant_entry {
    char name[SERVER_NAME_BYTES];
    const server_tier *tier;
} server_tenant_entry;

typedef struct server_key_entry {
    uint8_t hash[SERVER_HASH_BYTES];
    uint32_t tenant; /* index */
} server_key_entry;

/* All in the arena of the file that it was read from. */
typedef struct server_tenants {
    server_tier *tiers;
    size_t tier_count;
    server_tenant_entry *entries;
    size_t count;
    server_key_entry *keys;
    size_t key_count;
} server_tenants;

/* Reads the values of the members "tiers" and "tenants" of a file, either NULL where it has none.
 */
tandem_status server_tenants_read(server_file *file, const server_yaml *tiers,
                                  const server_yaml *entries, server_tenants *tenants,
                                  tandem_error *err) TANDEM_NODISCARD;

/* The hash of a key, as its entry has it. */
void server_key_hash(const char *key, size_t len, uint8_t hash[SERVER_HASH_BYTES]);

/* The terms of a tenant whose entry names no tier: everything, without bound or price. */
extern const server_tier server_tier_open;

#endif
