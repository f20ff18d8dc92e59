/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger on disk: an SQLite file in WAL mode, so that readers never wait for the writer.
 *
 *     usage   day, tenant, model, lane, class, outcome, price -> requests, texts, tokens,
 *             cached_texts
 *     bill    the same with its amount: a view
 *     writer  id of a process -> the number of its last batch
 *
 * Every commit is flushed to the disk: usage is money, and twice a second is seldom. */
#ifndef TANDEM_SERVER_LEDGER_FILE_H
#define TANDEM_SERVER_LEDGER_FILE_H

#include <sqlite3.h>
#include <stdbool.h>

#include "server/ledger_rows.h"
#include "tandem/status.h"

#define SERVER_LEDGER_VERSION 1

typedef struct server_ledger_file {
    const char *path; /* borrowed */
    sqlite3 *db;      /* NULL: to be opened by the next batch */
    sqlite3_stmt *put;
    char writer[33];  /* random name of this process */
    uint64_t batch;   /* number of the next one */
    bool is_in_doubt; /* that one may have been committed already */
} server_ledger_file;

/* Opens or makes it. TANDEM_CAPACITY where it may pass (locked, disk full); other errors are the
 * file's own. */
tandem_status server_ledger_file_open(server_ledger_file *file, const char *path,
                                      tandem_error *err) TANDEM_NODISCARD;

/* All rows or none; a batch that turns out to be there already is success. On failure the same rows
 * must come next. */
tandem_status server_ledger_file_write(server_ledger_file *file, const server_ledger_rows *rows,
                                       tandem_error *err) TANDEM_NODISCARD;

void server_ledger_file_close(server_ledger_file *file);

/* Raises SQLite's own words, "path: database is locked". Of usage.c, too. */
tandem_status server_ledger_fail(sqlite3 *db, int code, const char *path, tandem_error *err);

/* TANDEM_FORMAT where the open database is no ledger or one of a newer version; `*is_empty` where
 * nothing is in it yet. */
tandem_status server_ledger_check(sqlite3 *db, const char *path, bool *is_empty,
                                  tandem_error *err) TANDEM_NODISCARD;

#endif
