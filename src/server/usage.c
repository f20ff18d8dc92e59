/* SPDX-License-Identifier: Apache-2.0 */
#include "server/usage.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fail.h"
#include "base/file.h"
#include "base/json_text.h"
#include "server/ledger_file.h"

#define BUSY_MS      500
#define STEPS_A_LOOK 1000 /* of SQLite's machine between two looks at the clock */
#define SQL_BYTES    1200
#define MICROS       1000000
#define FIRST_NUMBER SERVER_USAGE_BYS

static const char *const by_words[SERVER_USAGE_BYS] = {"day", "tenant", "model", "lane"};

const char *server_usage_by_word(int i) {
    return by_words[i];
}

const char *server_usage_outcome_word(int i) {
    return server_outcome_word((server_outcome)i);
}

_Static_assert(SERVER_USAGE_OUTCOMES == SERVER_OUTCOMES, "a sum has every outcome");

tandem_status server_usage_by_parse(tandem_str words, const char *source, uint32_t *by,
                                    tandem_error *err) {
    *by = 0;
    while (words.len > 0) {
        const char *comma = memchr(words.ptr, ',', words.len);
        const size_t len = comma == NULL ? words.len : (size_t)(comma - words.ptr);
        const tandem_str word = {words.ptr, len};
        int i = 0;
        while (i < SERVER_USAGE_BYS && !tandem__str_is(word, by_words[i])) i++;
        if (i == SERVER_USAGE_BYS) {
            return TANDEM_FAIL(err, INVALID,
                               "%s: \"%.*s\", expected day, tenant, model, lane or several of them "
                               "with commas",
                               source, TANDEM_STR_ARG(word));
        }
        *by |= UINT32_C(1) << i;
        const size_t used = comma == NULL ? len : len + 1;
        words = (tandem_str){words.ptr + used, words.len - used};
    }
    return TANDEM_OK;
}

/* Makes the folders of `path` that are not there, for their owner alone. Whether it worked shows
 * when the file is opened. */
static void make_folders(char *path) {
    for (char *at = path + 1; *at != '\0'; at++) {
        if (*at != '/') continue;
        *at = '\0';
        (void)mkdir(path, 0700);
        *at = '/';
    }
}

tandem_status server_usage_path(tandem_arena *arena, bool is_made, const char **path,
                                tandem_error *err) {
    char text[TANDEM_PATH_MAX];
    const char *state = getenv("STATE_DIRECTORY");
    const char *xdg = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int len = 0;
    if (state != NULL && state[0] == '/')
        len = snprintf(text, sizeof text, "%.*s/usage.db", (int)strcspn(state, ":"), state);
    else if (xdg != NULL && xdg[0] == '/')
        len = snprintf(text, sizeof text, "%s/tandem/usage.db", xdg);
    else if (home != NULL && home[0] == '/')
        len = snprintf(text, sizeof text, "%s/.local/state/tandem/usage.db", home);
    else
        return TANDEM_FAIL(err, INVALID, "no place for the ledger: give --ledger FILE");
    if (len >= (int)sizeof text)
        return TANDEM_FAIL(err, CAPACITY, "the ledger's path is too long: give --ledger FILE");
    if (is_made) make_folders(text);
    *path = tandem__arena_copy(arena, text, strlen(text));
    return *path == NULL ? TANDEM_FAIL(err, MEMORY, "no memory for a path") : TANDEM_OK;
}

static bool is_day(const char *text) {
    static const char form[] = "dddd-dd-dd";
    if (strlen(text) != sizeof form - 1) return false;
    for (size_t i = 0; i < sizeof form - 1; i++) {
        if (form[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != '-') return false;
    }
    const int month = (text[5] - '0') * 10 + text[6] - '0';
    const int day = (text[8] - '0') * 10 + text[9] - '0';
    return month >= 1 && month <= 12 && day >= 1 && day <= 31;
}

static tandem_status check_day(const char *name, const char *text, tandem_error *err) {
    if (text == NULL || is_day(text)) return TANDEM_OK;
    return TANDEM_FAIL(err, INVALID, "%s: \"%.40s\", expected a day such as 2026-11-23", name,
                       text);
}

/* The parameters are ?1 tenant, ?2 since, ?3 until; all words are ours. */
static void write_sql(const server_usage_query *query, char sql[SQL_BYTES]) {
    size_t len = (size_t)snprintf(sql, SQL_BYTES, "SELECT");
    for (int i = 0; i < SERVER_USAGE_BYS; i++) {
        len += (size_t)snprintf(sql + len, SQL_BYTES - len, " %s,",
                                (query->by & 1U << i) != 0 ? by_words[i] : "''");
    }
    len += (size_t)snprintf(sql + len, SQL_BYTES - len, " sum(requests),");
    for (int i = 0; i < SERVER_USAGE_OUTCOMES; i++) {
        len += (size_t)snprintf(sql + len, SQL_BYTES - len,
                                " sum(CASE outcome WHEN '%s' THEN requests ELSE 0 END),",
                                server_usage_outcome_word(i));
    }
    len += (size_t)snprintf(sql + len, SQL_BYTES - len,
                            " sum(texts), sum(tokens), sum(cached_texts), sum(amount) FROM bill"
                            " WHERE (?1 IS NULL OR tenant = ?1) AND day >= coalesce(?2, '')"
                            " AND day <= coalesce(?3, '9999-12-31')");
    const char *before = " GROUP BY ";
    for (int i = 0; i < SERVER_USAGE_BYS; i++) {
        if ((query->by & 1U << i) == 0) continue;
        len += (size_t)snprintf(sql + len, SQL_BYTES - len, "%s%d", before, i + 1);
        before = ", ";
    }
    before = " ORDER BY ";
    for (int i = 0; i < SERVER_USAGE_BYS; i++) {
        if ((query->by & 1U << i) == 0) continue;
        len += (size_t)snprintf(sql + len, SQL_BYTES - len, "%s%d", before, i + 1);
        before = ", ";
    }
    if (query->by == 0) (void)snprintf(sql + len, SQL_BYTES - len, " HAVING count(*) > 0");
}

static int is_late(void *until_ns) {
    return tandem__clock_ns() > *(const uint64_t *)until_ns;
}

static tandem_status fail(sqlite3 *db, int code, const char *path, tandem_error *err) {
    if (code != SQLITE_INTERRUPT) return server_ledger_fail(db, code, path, err);
    return TANDEM_FAIL(err, TIMEOUT, "usage: too much to read at once; ask for fewer days");
}

static tandem_status visit_row(sqlite3_stmt *statement, server_usage_visit *visit, void *context,
                               tandem_error *err) {
    server_usage_sum sum = {.requests = 0};
    for (int i = 0; i < SERVER_USAGE_BYS; i++) {
        const char *text = (const char *)sqlite3_column_text(statement, i);
        if (text == NULL) return TANDEM_FAIL(err, MEMORY, "no memory to read the ledger");
        sum.by[i] = text;
    }
    int at = FIRST_NUMBER;
    sum.requests = sqlite3_column_int64(statement, at++);
    for (int i = 0; i < SERVER_USAGE_OUTCOMES; i++)
        sum.outcomes[i] = sqlite3_column_int64(statement, at++);
    sum.texts = sqlite3_column_int64(statement, at++);
    sum.tokens = sqlite3_column_int64(statement, at++);
    sum.cached_texts = sqlite3_column_int64(statement, at++);
    sum.amount = sqlite3_column_int64(statement, at);
    return visit(context, &sum, err);
}

static int bind(sqlite3_stmt *statement, const server_usage_query *query) {
    const char *const texts[] = {query->tenant, query->since, query->until};
    for (int i = 0; i < (int)(sizeof texts / sizeof *texts); i++) {
        const int code = texts[i] == NULL
                             ? sqlite3_bind_null(statement, i + 1)
                             : sqlite3_bind_text(statement, i + 1, texts[i], -1, SQLITE_STATIC);
        if (code != SQLITE_OK) return code;
    }
    return SQLITE_OK;
}

static tandem_status read_sums(sqlite3 *db, const char *path, const server_usage_query *query,
                               server_usage_visit *visit, void *context, tandem_error *err) {
    char sql[SQL_BYTES];
    sqlite3_stmt *statement = NULL;
    write_sql(query, sql);
    int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (code == SQLITE_OK) code = bind(statement, query);
    tandem_status status = TANDEM_OK;
    if (code == SQLITE_OK) code = SQLITE_ROW;
    while (code == SQLITE_ROW && status == TANDEM_OK) {
        code = sqlite3_step(statement);
        if (code == SQLITE_ROW) status = visit_row(statement, visit, context, err);
    }
    if (status == TANDEM_OK && code != SQLITE_DONE) status = fail(db, code, path, err);
    (void)sqlite3_finalize(statement);
    return status;
}

tandem_status server_usage_read(const char *path, const server_usage_query *query,
                                server_usage_visit *visit, void *context, tandem_error *err) {
    TANDEM_TRY(check_day("since", query->since, err));
    TANDEM_TRY(check_day("until", query->until, err));
    if (!tandem__file_exists(path)) return TANDEM_FAIL(err, NOT_FOUND, "no ledger at %s", path);
    sqlite3 *db = NULL;
    uint64_t until_ns = tandem__clock_ns() + query->limit_ns;
    const int code = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
    tandem_status status = code == SQLITE_OK ? TANDEM_OK : fail(db, code, path, err);
    bool is_empty = false;
    if (status == TANDEM_OK) {
        (void)sqlite3_busy_timeout(db, BUSY_MS);
        if (query->limit_ns > 0) sqlite3_progress_handler(db, STEPS_A_LOOK, is_late, &until_ns);
        status = server_ledger_check(db, path, &is_empty, err);
    }
    if (status == TANDEM_OK && !is_empty) status = read_sums(db, path, query, visit, context, err);
    (void)sqlite3_close(db);
    return status;
}

typedef struct json_rows {
    tandem_buffer *out;
    uint32_t by;
    size_t count;
    server_usage_sum total;
} json_rows;

static tandem_status push_numbers(tandem_buffer *out, const server_usage_sum *sum,
                                  tandem_error *err) {
    TANDEM_TRY(tandem__buffer_printf(out, err, "\"requests\":%lld", (long long)sum->requests));
    for (int i = 0; i < SERVER_USAGE_OUTCOMES; i++) {
        TANDEM_TRY(tandem__buffer_printf(out, err, ",\"%s\":%lld", server_usage_outcome_word(i),
                                         (long long)sum->outcomes[i]));
    }
    return tandem__buffer_printf(
        out, err, ",\"texts\":%lld,\"tokens\":%lld,\"cached_texts\":%lld,\"amount\":%lld.%06lld}",
        (long long)sum->texts, (long long)sum->tokens, (long long)sum->cached_texts,
        (long long)(sum->amount / MICROS), (long long)(sum->amount % MICROS));
}

static tandem_status push_row(void *context, const server_usage_sum *sum, tandem_error *err) {
    json_rows *rows = context;
    TANDEM_TRY(tandem__buffer_printf(rows->out, err, "%s{", rows->count++ == 0 ? "" : ","));
    for (int i = 0; i < SERVER_USAGE_BYS; i++) {
        if ((rows->by & 1U << i) == 0) continue;
        TANDEM_TRY(tandem__buffer_printf(rows->out, err, "\"%s\":", by_words[i]));
        TANDEM_TRY(tandem__json_text_string(rows->out, tandem__str(sum->by[i]), err));
        TANDEM_TRY(tandem__buffer_push(rows->out, ",", 1, err));
    }
    rows->total.requests += sum->requests;
    for (int i = 0; i < SERVER_USAGE_OUTCOMES; i++) rows->total.outcomes[i] += sum->outcomes[i];
    rows->total.texts += sum->texts;
    rows->total.tokens += sum->tokens;
    rows->total.cached_texts += sum->cached_texts;
    rows->total.amount += sum->amount;
    return push_numbers(rows->out, sum, err);
}

tandem_status server_usage_json(const char *path, const server_usage_query *query,
                                tandem_buffer *out, tandem_error *err) {
    json_rows rows = {.out = out, .by = query->by};
    TANDEM_TRY(tandem__buffer_printf(out, err, "{\"by\":["));
    const char *before = "";
    for (int i = 0; i < SERVER_USAGE_BYS; i++) {
        if ((query->by & 1U << i) == 0) continue;
        TANDEM_TRY(tandem__buffer_printf(out, err, "%s\"%s\"", before, by_words[i]));
        before = ",";
    }
    TANDEM_TRY(tandem__buffer_printf(out, err, "],\"rows\":["));
    TANDEM_TRY(server_usage_read(path, query, push_row, &rows, err));
    TANDEM_TRY(tandem__buffer_printf(out, err, "],\"total\":{"));
    TANDEM_TRY(push_numbers(out, &rows.total, err));
    return tandem__buffer_push(out, "}", 1, err);
}
