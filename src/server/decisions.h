/* SPDX-License-Identifier: Apache-2.0 */
/* The last requests and why they went where they went, for whoever looks at the server.
 *
 * A ring of entries, each guarded by a sequence number that is odd while it is written: writers
 * take an entry by raising it, and leave one that another is still writing; a reader takes what had
 * the same even number before and after. Every word is an atomic, so that this is no race. Any
 * thread. */
#ifndef TANDEM_SERVER_DECISIONS_H
#define TANDEM_SERVER_DECISIONS_H

#include <stddef.h>
#include <stdint.h>

#include "tandem/status.h"

#define SERVER_DECISIONS 16 /* that are kept */

typedef struct server_decision {
    int64_t time_ms; /* Unix time */
    uint64_t total_ns;
    uint64_t texts;
    int32_t http_code;
    int32_t priority;
    uint32_t model_index;
    char lane[28];
    char reason[120];
} server_decision;

typedef struct server_decisions server_decisions;

server_decisions *server_decisions_create(void) TANDEM_NODISCARD; /* NULL: out of memory */
void server_decisions_destroy(server_decisions *decisions);       /* NULL is allowed */

void server_decisions_add(server_decisions *decisions, const server_decision *decision);

/* Newest first, at most SERVER_DECISIONS, into `to`; how many. */
size_t server_decisions_read(const server_decisions *decisions, server_decision *to);

#endif
