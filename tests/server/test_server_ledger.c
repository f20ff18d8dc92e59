/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger: that nothing is counted twice or lost, whatever the disk, other processes or a kill
 * do. Sums are read back by SQLite itself. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/mem.h"
#include "server/ledger.h"
#include "server/ledger_rows.h"
#include "support/temp_folder.h"

static char folder[256];
static char path[300];

static int setup(void **state) {
    (void)state;
    folder_make(folder);
    (void)snprintf(path, sizeof path, "%s/usage.db", folder);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    folder_remove(folder);
    return 0;
}

static void pause_ms(int ms) {
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&pause, NULL);
}

static int64_t ask(const char *sql) {
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    const int64_t value = sqlite3_column_int64(statement, 0);
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(db);
    return value;
}

static sqlite3 *execute(const char *sql) {
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    return db;
}

static const server_usage one = {.tenant = "acme",
                                 .model = "org/m",
                                 .lane = "cpu",
                                 .lane_class = SERVER_CLASS_BACKGROUND,
                                 .requests = 1,
                                 .texts = 2,
                                 .tokens = 30,
                                 .cached_texts = 1,
                                 .price = 20000};

static server_ledger *open_ledger(void) {
    server_ledger *ledger = NULL;
    tandem_error err = {0};
    assert_int_equal(server_ledger_open(path, &ledger, &err), TANDEM_OK);
    assert_string_equal(err.message, "");
    return ledger;
}

static void add(server_ledger *ledger, int count) {
    for (int i = 0; i < count; i++) server_ledger_add(ledger, &one);
}

static void test_sums(void **state) {
    (void)state;
    server_ledger *ledger = open_ledger();
    add(ledger, 100);
    server_usage other = one;
    other.price = 40000; /* the price changed: what was used before keeps the old one */
    server_ledger_add(ledger, &other);
    other.outcome = SERVER_OUTCOME_REFUSED;
    other.tokens = 0;
    server_ledger_add(ledger, &other);
    server_ledger_close(ledger);
    ledger = open_ledger(); /* and again, over what is there */
    add(ledger, 11);
    server_ledger_close(ledger);
    assert_int_equal(ask("SELECT count(*) FROM usage"), 3);
    assert_int_equal(ask("SELECT sum(requests) FROM usage"), 113);
    assert_int_equal(ask("SELECT texts FROM usage WHERE price = 20000"), 222);
    assert_int_equal(ask("SELECT tokens FROM usage WHERE price = 20000"), 3330);
    assert_int_equal(ask("SELECT cached_texts FROM usage WHERE price = 20000"), 111);
    assert_int_equal(ask("SELECT amount FROM bill WHERE price = 20000"), 67); /* 66.6 millionths */
    assert_int_equal(ask("SELECT requests FROM usage WHERE outcome = 'refused'"), 1);
    assert_int_equal(ask("SELECT day = date('now') OR day = date('now', '-1 second') FROM usage"),
                     1);
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
}

/* What was added more than a second before a kill is there. */
static void test_kill(void **state) {
    (void)state;
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        server_ledger *ledger = NULL;
        if (server_ledger_open(path, &ledger, NULL) != TANDEM_OK) _exit(1);
        add(ledger, 1000);
        (void)!write(ready[1], "", 1);
        for (;;) add(ledger, 1), pause_ms(1);
    }
    char byte = 0;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    pause_ms(1000);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    (void)close(ready[0]);
    (void)close(ready[1]);
    assert_true(ask("SELECT sum(requests) FROM usage") >= 1000);
    assert_int_equal(ask("SELECT sum(tokens) = 30 * sum(requests) FROM usage"), 1);
}

static void test_locked(void **state) {
    (void)state;
    char fault[480];
    server_ledger_state now;
    server_ledger *ledger = open_ledger();
    sqlite3 *other = execute("BEGIN IMMEDIATE");
    add(ledger, 10);
    for (int i = 0; i < 300 && !server_ledger_fault(ledger, fault, sizeof fault); i++) pause_ms(10);
    assert_non_null(strstr(fault, "usage.db: locked by another process"));
    add(ledger, 10); /* at once */
    server_ledger_describe(ledger, &now);
    assert_int_equal(now.entered, 20);
    assert_int_equal(now.written, 0);
    assert_int_equal(now.rows, 2);
    assert_true(now.failures >= 1);
    (void)sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL);
    (void)sqlite3_close(other);
    for (int i = 0; i < 500 && server_ledger_fault(ledger, fault, sizeof fault); i++) pause_ms(10);
    assert_string_equal(fault, "");
    server_ledger_close(ledger);
    assert_int_equal(ask("SELECT sum(requests) FROM usage"), 20);
}

/* A disk that takes no more, as a limit on the size of files: no SIGXFSZ, as in the server. */
static void test_full(void **state) {
    (void)state;
    char fault[480];
    server_ledger *ledger = open_ledger();
    add(ledger, 5);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    const struct rlimit none = {.rlim_cur = 64, .rlim_max = before.rlim_max};
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    for (int i = 0; i < 300 && !server_ledger_fault(ledger, fault, sizeof fault); i++) pause_ms(10);
    assert_non_null(strstr(fault, "usage.db: "));
    for (int i = 0; i < 3000; i++) { /* bounded, whoever comes */
        char tenant[16];
        (void)snprintf(tenant, sizeof tenant, "t%d", i);
        server_usage usage = one;
        usage.tenant = tenant;
        server_ledger_add(ledger, &usage);
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    for (int i = 0; i < 800 && server_ledger_fault(ledger, fault, sizeof fault); i++) pause_ms(10);
    assert_string_equal(fault, "");
    server_ledger_close(ledger);
    assert_int_equal(ask("SELECT sum(requests) FROM usage"), 3005);
}

/* The file is overwritten while it is open; an operator then moves it away. */
static void test_damaged(void **state) {
    (void)state;
    char fault[480];
    char aside[320];
    server_ledger *ledger = open_ledger();
    char rubbish[8192];
    memset(rubbish, 'x', sizeof rubbish);
    (void)snprintf(aside, sizeof aside, "%s-wal", path);
    (void)unlink(aside);
    folder_write(folder, "usage.db", rubbish, sizeof rubbish);
    add(ledger, 5);
    for (int i = 0; i < 300 && !server_ledger_fault(ledger, fault, sizeof fault); i++) pause_ms(10);
    assert_true(fault[0] != '\0');
    (void)snprintf(aside, sizeof aside, "%s.damaged", path);
    assert_int_equal(rename(path, aside), 0);
    for (int i = 0; i < 800 && server_ledger_fault(ledger, fault, sizeof fault); i++) pause_ms(10);
    assert_string_equal(fault, "");
    server_ledger_close(ledger);
    assert_int_equal(ask("SELECT sum(requests) FROM usage"), 5);
}

static void refuses(const char *words) {
    server_ledger *ledger = NULL;
    tandem_error err = {0};
    assert_int_equal(server_ledger_open(path, &ledger, &err), TANDEM_INVALID);
    assert_non_null(strstr(err.message, words));
    assert_null(ledger);
}

static void test_refused_files(void **state) {
    (void)state;
    folder_write_text(folder, "usage.db",
                      "this is no database, but text that is long enough for "
                      "a header of a hundred bytes, which SQLite would read");
    refuses("usage.db: not a ledger, or a damaged one: file is not a database");
    assert_int_equal(unlink(path), 0);
    (void)sqlite3_close(execute("CREATE TABLE mine (x)"));
    refuses("usage.db: an SQLite database of another program");
    assert_int_equal(unlink(path), 0);
    server_ledger_close(open_ledger());
    (void)sqlite3_close(execute("PRAGMA user_version = 2"));
    refuses("usage.db: a ledger of version 2; this tandem knows versions up to 1");
    (void)snprintf(path, sizeof path, "%s/none/usage.db", folder);
    refuses("usage.db: no such file or directory");
}

/* Two processes on one file: both are counted in full. */
static void test_two_processes(void **state) {
    (void)state;
    pid_t children[2];
    for (int i = 0; i < 2; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] != 0) continue;
        server_ledger *ledger = NULL;
        if (server_ledger_open(path, &ledger, NULL) != TANDEM_OK) _exit(1);
        for (int k = 0; k < 12; k++) add(ledger, 100), pause_ms(100);
        server_ledger_close(ledger);
        _exit(0);
    }
    for (int i = 0; i < 2; i++) {
        int status = 1;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(ask("SELECT sum(requests) FROM usage"), 2400);
    assert_int_equal(ask("SELECT count(*) FROM writer"), 2);
}

static void test_rows_bound(void **state) {
    (void)state;
    static server_ledger_rows rows;
    assert_true(server_ledger_rows_init(&rows));
    int64_t merged = 0;
    const int count = SERVER_LEDGER_ROWS + 5000;
    for (int i = 0; i < count; i++) {
        char model[300];
        (void)snprintf(model, sizeof model, "%0200d", i);
        server_usage usage = one;
        usage.model = model;
        usage.price = i % 500;
        merged += !server_ledger_rows_add(&rows, &usage, 20000 + i % 3);
    }
    assert_int_equal(rows.count, SERVER_LEDGER_ROWS);
    assert_int_equal(merged, 5000 + 256);
    int64_t requests = 0;
    for (size_t i = 0; i < rows.count; i++) requests += rows.rows[i].requests;
    assert_int_equal(requests, count);
    server_ledger_rows_clear(&rows);
    assert_true(server_ledger_rows_add(&rows, &one, 1));
    assert_int_equal(rows.count, 1);
    server_ledger_rows_deinit(&rows);
}

static void *hammer(void *context) {
    for (int i = 0; i < 5000; i++) {
        add(context, 1);
        if (i % 1000 == 0) pause_ms(50);
    }
    return NULL;
}

static void test_threads(void **state) {
    (void)state;
    server_ledger *ledger = open_ledger();
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, ledger), 0);
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    server_ledger_close(ledger);
    assert_int_equal(ask("SELECT sum(requests) FROM usage"), 20000);
}

static void test_no_memory(void **state) {
    (void)state;
    for (uint64_t n = 1; n < 10; n++) {
        server_ledger *ledger = NULL;
        tandem_error err = {0};
        tandem__mem_fail_at(n);
        const tandem_status status = server_ledger_open(path, &ledger, &err);
        tandem__mem_fail_at(0);
        assert_true(status == TANDEM_OK || status == TANDEM_MEMORY);
        if (status == TANDEM_OK) add(ledger, 1);
        server_ledger_close(ledger);
    }
    assert_true(ask("SELECT sum(requests) FROM usage") >= 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sums, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kill, setup, teardown),
        cmocka_unit_test_setup_teardown(test_locked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_processes, setup, teardown),
        cmocka_unit_test(test_rows_bound),
        cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
