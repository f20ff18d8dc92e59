/* SPDX-License-Identifier: Apache-2.0 */
/* Who used what: a sum a day for each tenant, model, lane, outcome and price, kept in memory and
 * written to SQLite twice a second.
 *
 *     server_ledger_add ─ filling ─┐            (mutex, 140 ns)
 *                                  │ swapped by the writer when `writing` is empty
 *                         writing ─┴─ one transaction ─ committed: emptied
 *                                                     └ failed: kept, tried again
 *
 * Adding never waits for the disk and never fails. A batch is emptied when its commit is certain,
 * and has a number that is committed with it, so that one whose commit was in doubt is not counted
 * twice. While the file cannot be written (disk full, locked, damaged) the sums go on growing in
 * number only as new keys come, up to SERVER_LEDGER_ROWS; over that, usage is entered under
 * "(other)". After a kill at most what the last half second brought is missing.
 *
 * Any thread, but for opening and closing. */
#ifndef TANDEM_SERVER_LEDGER_H
#define TANDEM_SERVER_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/tenants.h"
#include "tandem/status.h"

#define SERVER_LEDGER_ROWS 16384 /* of each of the two tables: 4 MB where all are used */

typedef enum server_outcome {
    SERVER_OUTCOME_ANSWERED = 0,
    SERVER_OUTCOME_CACHED = 1, /* every vector was known */
    SERVER_OUTCOME_REFUSED = 2,
    SERVER_OUTCOME_CANCELLED = 3,
    SERVER_OUTCOME_FAILED = 4,
} server_outcome;

#define SERVER_OUTCOMES 5

/* "answered" and so on. Static. */
const char *server_outcome_word(server_outcome outcome);

/* Texts are borrowed for the call; NULL is "". */
typedef struct server_usage {
    const char *tenant;
    const char *model;
    const char *lane; /* "" where none served */
    server_lane_class lane_class;
    server_outcome outcome;
    int64_t requests;
    int64_t texts;
    int64_t tokens;       /* of the texts, special ones included */
    int64_t cached_texts; /* of `texts`, those whose vectors were known */
    int64_t price;        /* at this time: millionths per million tokens */
} server_usage;

typedef struct server_ledger server_ledger;

/* Opens or makes the file (for its owner alone) and starts the writer. A file that is no ledger, or
 * one of a newer version, is an error here; one that is locked or on a full disk is a fault that
 * passes. */
tandem_status server_ledger_open(const char *path, server_ledger **ledger,
                                 tandem_error *err) TANDEM_NODISCARD;

/* Writes what is there and closes; waits at most two seconds for the file. NULL is allowed. */
void server_ledger_close(server_ledger *ledger);

void server_ledger_add(server_ledger *ledger, const server_usage *usage);

/* Why the file cannot be written, into `out`; false and "" where all is well. */
bool server_ledger_fault(server_ledger *ledger, char *out, size_t size);

typedef struct server_ledger_state {
    uint64_t entered;  /* requests since the start */
    uint64_t written;  /* ... that are in the file */
    uint64_t merged;   /* ... whose tenant and model were lost: see SERVER_LEDGER_ROWS */
    uint64_t batches;  /* committed */
    uint64_t failures; /* batches that could not be, tries counted */
    uint64_t rows;     /* waiting in memory */
} server_ledger_state;

void server_ledger_describe(server_ledger *ledger, server_ledger_state *state);

/* The file, as it was given. Borrowed until the ledger closes. */
const char *server_ledger_path(const server_ledger *ledger);

#endif
