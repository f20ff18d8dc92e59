/* SPDX-License-Identifier: Apache-2.0 */
/* What the ledger says, for `tandem usage` and GET /usage: sums of its rows, by whatever is asked
 * for. Each call reads through a connection of its own that cannot write; a ledger that a server is
 * writing may be read. Any thread. */
#ifndef TANDEM_SERVER_USAGE_H
#define TANDEM_SERVER_USAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/str.h"
#include "tandem/status.h"

/* What sums are by; a mask. The names are the words "day", "tenant", "model", "lane". */
typedef enum server_usage_by {
    SERVER_USAGE_DAY = 1,
    SERVER_USAGE_TENANT = 2,
    SERVER_USAGE_MODEL = 4,
    SERVER_USAGE_LANE = 8,
} server_usage_by;

#define SERVER_USAGE_BYS      4
#define SERVER_USAGE_OUTCOMES 5 /* answered, cached, refused, cancelled, failed */

typedef struct server_usage_query {
    const char *tenant; /* NULL = all */
    const char *since;  /* days as "2026-11-23", both inclusive; NULL = no bound */
    const char *until;
    uint32_t by;       /* 0 = one sum of all */
    uint64_t limit_ns; /* time that reading may take; 0 = any */
} server_usage_query;

/* Texts are borrowed for the call, "" where the sum is not by them. */
typedef struct server_usage_sum {
    const char *by[SERVER_USAGE_BYS]; /* day, tenant, model, lane */
    int64_t requests;
    int64_t outcomes[SERVER_USAGE_OUTCOMES]; /* requests by how they ended */
    int64_t texts;
    int64_t tokens;
    int64_t cached_texts;
    int64_t amount; /* millionths */
} server_usage_sum;

typedef tandem_status server_usage_visit(void *context, const server_usage_sum *sum,
                                         tandem_error *err);

/* Calls `visit` for each sum in the order of `by`. TANDEM_INVALID for a day that is none,
 * TANDEM_NOT_FOUND without a ledger, TANDEM_TIMEOUT over query->limit_ns. */
tandem_status server_usage_read(const char *path, const server_usage_query *query,
                                server_usage_visit *visit, void *context,
                                tandem_error *err) TANDEM_NODISCARD;

/* Appends {"by":[...],"rows":[{...}],"total":{...}}. */
tandem_status server_usage_json(const char *path, const server_usage_query *query,
                                tandem_buffer *out, tandem_error *err) TANDEM_NODISCARD;

/* Where the ledger is if nobody says: $STATE_DIRECTORY/usage.db (of a systemd unit), else
 * $XDG_STATE_HOME/tandem/usage.db, else ~/.local/state/tandem/usage.db. `is_made`: folders are made
 * that are not there. */
tandem_status server_usage_path(tandem_arena *arena, bool is_made, const char **path,
                                tandem_error *err) TANDEM_NODISCARD;

/* "day,tenant" as a mask; `source` is how the user gave it. TANDEM_INVALID for another word. */
tandem_status server_usage_by_parse(tandem_str words, const char *source, uint32_t *by,
                                    tandem_error *err) TANDEM_NODISCARD;

/* "day" and so on, of bit 1 << i; "answered" and so on. Static. */
const char *server_usage_by_word(int i);
const char *server_usage_outcome_word(int i);

#endif
