/* SPDX-License-Identifier: Apache-2.0 */
#include "server/ledger_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/file.h"

#define BUSY_MS        200
#define DAY_BYTES      11         /* "2026-11-23" and NUL */
#define APPLICATION_ID 0x746e646d /* "tndm" */
#define WRITER_LIFE    "-30 days"
#define TEXT_OF(x)     TEXT_OF_(x)
#define TEXT_OF_(x)    #x
#define DAY_SECONDS    86400

static const char schema[] =
    "CREATE TABLE usage ("
    "  day TEXT NOT NULL, tenant TEXT NOT NULL, model TEXT NOT NULL, lane TEXT NOT NULL,"
    "  class TEXT NOT NULL, outcome TEXT NOT NULL,"
    "  price INTEGER NOT NULL," /* millionths per million tokens */
    "  requests INTEGER NOT NULL, texts INTEGER NOT NULL, tokens INTEGER NOT NULL,"
    "  cached_texts INTEGER NOT NULL,"
    "  PRIMARY KEY (day, tenant, model, lane, class, outcome, price)) WITHOUT ROWID;"
    "CREATE TABLE writer (id TEXT PRIMARY KEY, batch INTEGER NOT NULL, day TEXT NOT NULL)"
    "  WITHOUT ROWID;"
    "CREATE VIEW bill AS SELECT *, (tokens * price + 500000) / 1000000 AS amount FROM usage;"
    "PRAGMA application_id = " TEXT_OF(APPLICATION_ID) ";"
                                                       "PRAGMA user_version = " TEXT_OF(
                                                           SERVER_LEDGER_VERSION) ";";

static const char put_sql[] =
    "INSERT INTO usage VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
    " ON CONFLICT DO UPDATE SET requests = requests + excluded.requests,"
    " texts = texts + excluded.texts, tokens = tokens + excluded.tokens,"
    " cached_texts = cached_texts + excluded.cached_texts";

tandem_status server_ledger_fail(sqlite3 *db, int code, const char *path, tandem_error *err) {
    const char *words = db == NULL ? sqlite3_errstr(code) : sqlite3_errmsg(db);
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return TANDEM_FAIL(err, CAPACITY, "%s: locked by another process", path);
    case SQLITE_FULL:
        return TANDEM_FAIL(err, CAPACITY, "%s: the disk is full", path);
    case SQLITE_NOMEM:
        return TANDEM_FAIL(err, MEMORY, "%s: no memory", path);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return TANDEM_FAIL(err, FORMAT, "%s: not a ledger, or a damaged one: %s", path, words);
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return TANDEM_FAIL(err, PERMISSION, "%s: %s", path, words);
    default:
        return TANDEM_FAIL(err, IO, "%s: %s", path, words);
    }
}

static tandem_status execute(sqlite3 *db, const char *sql, const char *path, tandem_error *err) {
    const int code = sqlite3_exec(db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? TANDEM_OK : server_ledger_fail(db, code, path, err);
}

/* The one number that a query gives. */
static tandem_status ask(sqlite3 *db, const char *sql, const char *path, int64_t *value,
                         tandem_error *err) {
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (code == SQLITE_OK) code = sqlite3_step(statement);
    if (code == SQLITE_ROW) *value = sqlite3_column_int64(statement, 0);
    const tandem_status status = code == SQLITE_ROW || code == SQLITE_DONE
                                     ? TANDEM_OK
                                     : server_ledger_fail(db, code, path, err);
    (void)sqlite3_finalize(statement);
    return status;
}

tandem_status server_ledger_check(sqlite3 *db, const char *path, bool *is_empty,
                                  tandem_error *err) {
    int64_t application = 0;
    int64_t version = 0;
    int64_t tables = 0;
    TANDEM_TRY(ask(db, "PRAGMA application_id", path, &application, err));
    TANDEM_TRY(ask(db, "PRAGMA user_version", path, &version, err));
    TANDEM_TRY(ask(db, "SELECT count(*) FROM sqlite_master", path, &tables, err));
    *is_empty = tables == 0 && version == 0;
    if (*is_empty) return TANDEM_OK;
    if (application != APPLICATION_ID) {
        return TANDEM_FAIL(err, FORMAT, "%s: an SQLite database of another program", path);
    }
    if (version > SERVER_LEDGER_VERSION) {
        return TANDEM_FAIL(err, FORMAT,
                           "%s: a ledger of version %lld; this tandem knows versions up to %d",
                           path, (long long)version, SERVER_LEDGER_VERSION);
    }
    return TANDEM_OK;
}

/* Two processes may do this at a time: the second finds it done. */
static tandem_status make_schema(sqlite3 *db, const char *path, tandem_error *err) {
    bool is_empty = false;
    TANDEM_TRY(server_ledger_check(db, path, &is_empty, err));
    if (!is_empty) return TANDEM_OK;
    TANDEM_TRY(execute(db, "BEGIN IMMEDIATE", path, err));
    tandem_status status = server_ledger_check(db, path, &is_empty, err);
    if (status == TANDEM_OK && is_empty) status = execute(db, schema, path, err);
    if (status == TANDEM_OK) status = execute(db, "COMMIT", path, err);
    if (status != TANDEM_OK) (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return status;
}

/* SQLite would make it readable by everybody whom the umask lets. */
static tandem_status make_file(const char *path, tandem_error *err) {
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return tandem__fail_errno(err, path, "cannot open the ledger");
    (void)close(fd);
    return TANDEM_OK;
}

static void hang_up(server_ledger_file *file) {
    (void)sqlite3_finalize(file->put);
    (void)sqlite3_close(file->db);
    file->put = NULL;
    file->db = NULL;
}

static tandem_status prepare(server_ledger_file *file, tandem_error *err) {
    const int code =
        sqlite3_prepare_v3(file->db, put_sql, -1, SQLITE_PREPARE_PERSISTENT, &file->put, NULL);
    return code == SQLITE_OK ? TANDEM_OK : server_ledger_fail(file->db, code, file->path, err);
}

static tandem_status connect(server_ledger_file *file, tandem_error *err) {
    TANDEM_TRY(make_file(file->path, err));
    const int code =
        sqlite3_open_v2(file->path, &file->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    tandem_status status =
        code == SQLITE_OK ? TANDEM_OK : server_ledger_fail(file->db, code, file->path, err);
    if (status == TANDEM_OK) {
        (void)sqlite3_extended_result_codes(file->db, 1);
        (void)sqlite3_busy_timeout(file->db, BUSY_MS);
        status = execute(file->db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL",
                         file->path, err);
    }
    if (status == TANDEM_OK) status = make_schema(file->db, file->path, err);
    if (status == TANDEM_OK) status = prepare(file, err);
    if (status != TANDEM_OK) hang_up(file);
    return status;
}

static tandem_status name_writer(server_ledger_file *file, tandem_error *err) {
    uint8_t bytes[(sizeof file->writer - 1) / 2];
    if (getentropy(bytes, sizeof bytes) != 0)
        return tandem__fail_errno(err, file->path, "no random bytes");
    for (size_t i = 0; i < sizeof bytes; i++)
        (void)snprintf(file->writer + 2 * i, 3, "%02x", bytes[i]);
    return TANDEM_OK;
}

tandem_status server_ledger_file_open(server_ledger_file *file, const char *path,
                                      tandem_error *err) {
    *file = (server_ledger_file){.path = path, .batch = 1};
    TANDEM_TRY(name_writer(file, err));
    return connect(file, err);
}

void server_ledger_file_close(server_ledger_file *file) {
    hang_up(file);
}

static void day_text(int32_t day, char text[DAY_BYTES]) {
    const time_t seconds = (time_t)day * DAY_SECONDS;
    struct tm date;
    (void)gmtime_r(&seconds, &date);
    (void)strftime(text, DAY_BYTES, "%Y-%m-%d", &date);
}

static tandem_status put_row(server_ledger_file *file, const server_ledger_row *row,
                             tandem_error *err) {
    const server_ledger_key *key = &row->key;
    sqlite3_stmt *put = file->put;
    char day[DAY_BYTES];
    day_text(key->day, day);
    const char *const texts[] = {day,
                                 key->tenant,
                                 key->model,
                                 key->lane,
                                 server_lane_class_word((server_lane_class)key->lane_class),
                                 server_outcome_word((server_outcome)key->outcome)};
    const int64_t numbers[] = {key->price, row->requests, row->texts, row->tokens,
                               row->cached_texts};
    const int text_count = (int)(sizeof texts / sizeof *texts);
    int code = SQLITE_OK;
    for (int i = 0; i < text_count && code == SQLITE_OK; i++)
        code = sqlite3_bind_text(put, i + 1, texts[i], -1, SQLITE_STATIC);
    for (int i = 0; i < (int)(sizeof numbers / sizeof *numbers) && code == SQLITE_OK; i++)
        code = sqlite3_bind_int64(put, text_count + i + 1, numbers[i]);
    if (code == SQLITE_OK) code = sqlite3_step(put);
    const tandem_status status =
        code == SQLITE_DONE ? TANDEM_OK : server_ledger_fail(file->db, code, file->path, err);
    (void)sqlite3_reset(put);
    return status;
}

/* Enters the batch's number; the first time it clears those of processes long gone. */
static tandem_status put_number(server_ledger_file *file, tandem_error *err) {
    char sql[240];
    if (file->batch == 1) {
        TANDEM_TRY(execute(file->db,
                           "DELETE FROM writer WHERE day < date('now', '" WRITER_LIFE "')",
                           file->path, err));
    }
    (void)snprintf(sql, sizeof sql,
                   "INSERT OR REPLACE INTO writer VALUES ('%s', %llu, date('now'))", file->writer,
                   (unsigned long long)file->batch);
    return execute(file->db, sql, file->path, err);
}

/* Whether the batch whose commit failed is there nevertheless. */
static tandem_status is_there(server_ledger_file *file, bool *is_written, tandem_error *err) {
    char sql[120];
    int64_t last = 0;
    (void)snprintf(sql, sizeof sql, "SELECT batch FROM writer WHERE id = '%s'", file->writer);
    TANDEM_TRY(ask(file->db, sql, file->path, &last, err));
    *is_written = last >= (int64_t)file->batch;
    return TANDEM_OK;
}

static tandem_status put_batch(server_ledger_file *file, const server_ledger_rows *rows,
                               tandem_error *err) {
    bool is_written = false;
    TANDEM_TRY(execute(file->db, "BEGIN IMMEDIATE", file->path, err));
    if (file->is_in_doubt) TANDEM_TRY(is_there(file, &is_written, err));
    if (is_written) return execute(file->db, "ROLLBACK", file->path, err);
    for (size_t i = 0; i < rows->count; i++) TANDEM_TRY(put_row(file, &rows->rows[i], err));
    TANDEM_TRY(put_number(file, err));
    file->is_in_doubt = true;
    return execute(file->db, "COMMIT", file->path, err);
}

/* Somebody took the file away: what is written to it now would be lost. */
static bool is_moved(sqlite3 *db) {
    int moved = 0;
    return sqlite3_file_control(db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK &&
           moved != 0;
}

tandem_status server_ledger_file_write(server_ledger_file *file, const server_ledger_rows *rows,
                                       tandem_error *err) {
    if (file->db != NULL && is_moved(file->db)) hang_up(file);
    if (file->db == NULL) TANDEM_TRY(connect(file, err));
    const tandem_status status = put_batch(file, rows, err);
    if (status != TANDEM_OK) {
        if (sqlite3_get_autocommit(file->db) == 0)
            (void)sqlite3_exec(file->db, "ROLLBACK", NULL, NULL, NULL);
        if (status != TANDEM_CAPACITY) hang_up(file);
        return status;
    }
    file->is_in_doubt = false;
    file->batch++;
    return TANDEM_OK;
}
