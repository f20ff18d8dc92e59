/* SPDX-License-Identifier: Apache-2.0 */
/* Who is asking, and how much they may ask for.
 *
 *     credential ─ SHA-256 ─ table of hashes ─ tenant ─ tier: classes, priority, price
 *                            │ replaced whole  │ lives on: bucket of tokens, requests under way
 *     file ─ once a second ──┘
 *
 * The table is immutable and replaced as a whole when its file changes. Tenants are found again by
 * name, so that what they have under way and what is left in their bucket survive a reload. A file
 * that has become bad changes nothing: the old keys go on and server_keys_fault says why.
 *
 * Keys are 256 random bits, so their plain SHA-256 says nothing about them and a slow hash would
 * only slow us down. The table is probed by bits of the hash, which nobody can steer towards those
 * of a stored one; each candidate is compared whole, in constant time.
 *
 * Any thread. */
#ifndef TANDEM_SERVER_KEYS_H
#define TANDEM_SERVER_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "server/server_config.h"
#include "server/tenants.h"
#include "tandem/status.h"

typedef struct server_keys server_keys;
typedef struct server_tenant server_tenant;

/* Of the tenants in `config` and its api_key, whose tenant is called "default". Starts the thread
 * that watches config->tenants_path. `config` is borrowed for the call. */
tandem_status server_keys_open(const server_config *config, server_keys **keys,
                               tandem_error *err) TANDEM_NODISCARD;

/* NULL is allowed. Every tenant must have been put back. */
void server_keys_close(server_keys *keys);

/* Reads the file again now, whether or not it has changed: for SIGHUP. Returns at once; what is
 * wrong with the file shows in server_keys_fault and the log. */
void server_keys_reload(server_keys *keys);

/* Why the file could not be read again, into `out`; false and "" where all is well. */
bool server_keys_fault(server_keys *keys, char *out, size_t size);

/* The owner of a key, to be put back; NULL for an unknown one. `credential` is an Authorization
 * header's value ("Bearer KEY", "Basic ..." is none) or a key. */
server_tenant *server_keys_find(server_keys *keys, tandem_str credential);
void server_tenant_put(server_tenant *tenant);

/* As long as the tenant is held. */
const char *server_tenant_name(const server_tenant *tenant);

/* The tenant's terms now. */
server_tier server_tenant_tier(server_tenant *tenant);

/* Takes `tokens` (an estimate: bytes / 4) from the bucket and counts one request under way. A
 * request larger than the bucket is admitted when the bucket is full, and paid back before the
 * next: the rate holds for it too. TANDEM_CAPACITY with `*retry_ns` until it will fit. */
tandem_status server_tenant_admit(server_tenant *tenant, int64_t tokens, uint64_t now_ns,
                                  uint64_t *retry_ns, tandem_error *err) TANDEM_NODISCARD;

/* More of a request that was admitted: a stream as it comes in. The same bound, nothing counted as
 * under way; settle with the sum of the estimates. */
tandem_status server_tenant_admit_more(server_tenant *tenant, int64_t tokens, uint64_t now_ns,
                                       uint64_t *retry_ns, tandem_error *err) TANDEM_NODISCARD;

/* The end of an admitted request: puts right what was estimated. */
void server_tenant_settle(server_tenant *tenant, int64_t estimate, int64_t tokens, uint64_t now_ns);

/* Lowers `*priority` to what the tier allows and narrows `*lane_classes` (a mask, 0 = all) to its
 * classes. False where none is left: the request asked for a class that its tier has not. */
bool server_tenant_bound(server_tenant *tenant, int32_t *priority, uint32_t *lane_classes);

/* Millionths per million tokens of that class, now. */
int64_t server_tenant_price(server_tenant *tenant, server_lane_class lane_class);

#endif
