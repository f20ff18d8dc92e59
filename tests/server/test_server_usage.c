/* SPDX-License-Identifier: Apache-2.0 */
/* What the ledger says, while a server writes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "server/keys.h"
#include "server/ledger.h"
#include "server/usage.h"
#include "server/usage_route.h"
#include "support/temp_folder.h"

static char folder[256];
static char path[300];
static server_ledger *ledger;

static void execute(const char *sql) {
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    (void)sqlite3_busy_timeout(db, 2000);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    (void)sqlite3_close(db);
}

/* A ledger that stays open for writing. */
static int setup(void **state) {
    (void)state;
    folder_make(folder);
    (void)snprintf(path, sizeof path, "%s/usage.db", folder);
    assert_int_equal(server_ledger_open(path, &ledger, NULL), TANDEM_OK);
    execute("INSERT INTO usage VALUES"
            "('2026-11-21','acme','org/m','cpu','background','answered',2000000,3,30,1500000,1),"
            "('2026-11-21','acme','org/m','cuda','throughput','answered',500000,1,1,3,0),"
            "('2026-11-22','acme','org/m','','none','refused',0,7,7,0,0),"
            "('2026-11-22','b\"b','org/n','cpu','background','cached',1000000,2,2,0,2)");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    server_ledger_close(ledger);
    folder_remove(folder);
    return 0;
}

static void says(const server_usage_query *query, const char *expected) {
    tandem_buffer out;
    tandem_error err = {0};
    tandem__buffer_init(&out, 1 << 20);
    assert_int_equal(server_usage_json(path, query, &out, &err), TANDEM_OK);
    assert_int_equal(tandem__buffer_push(&out, "", 1, &err), TANDEM_OK);
    assert_string_equal(out.ptr, expected);
    tandem__buffer_deinit(&out);
}

static void test_sums(void **state) {
    (void)state;
    says(&(server_usage_query){.by = 0},
         "{\"by\":[],\"rows\":[{\"requests\":13,\"answered\":4,\"cached\":2,\"refused\":7,"
         "\"cancelled\":0,\"failed\":0,\"texts\":40,\"tokens\":1500003,\"cached_texts\":3,"
         "\"amount\":3.000002}],\"total\":{\"requests\":13,\"answered\":4,\"cached\":2,"
         "\"refused\":7,\"cancelled\":0,\"failed\":0,\"texts\":40,\"tokens\":1500003,"
         "\"cached_texts\":3,\"amount\":3.000002}}");
    says(&(server_usage_query){.by = SERVER_USAGE_TENANT | SERVER_USAGE_DAY,
                               .since = "2026-11-22",
                               .until = "2026-11-22"},
         "{\"by\":[\"day\",\"tenant\"],\"rows\":[{\"day\":\"2026-11-22\",\"tenant\":\"acme\","
         "\"requests\":7,\"answered\":0,\"cached\":0,\"refused\":7,\"cancelled\":0,\"failed\":0,"
         "\"texts\":7,\"tokens\":0,\"cached_texts\":0,\"amount\":0.000000},{\"day\":\"2026-11-22\","
         "\"tenant\":\"b\\\"b\",\"requests\":2,\"answered\":0,\"cached\":2,\"refused\":0,"
         "\"cancelled\":0,\"failed\":0,\"texts\":2,\"tokens\":0,\"cached_texts\":2,"
         "\"amount\":0.000000}],\"total\":{\"requests\":9,\"answered\":0,\"cached\":2,"
         "\"refused\":7,\"cancelled\":0,\"failed\":0,\"texts\":9,\"tokens\":0,\"cached_texts\":2,"
         "\"amount\":0.000000}}");
    says(&(server_usage_query){.tenant = "nobody", .by = 0},
         "{\"by\":[],\"rows\":[],\"total\":{\"requests\":0,\"answered\":0,\"cached\":0,"
         "\"refused\":0,\"cancelled\":0,\"failed\":0,\"texts\":0,\"tokens\":0,\"cached_texts\":0,"
         "\"amount\":0.000000}}");
}

static tandem_status count_rows(void *context, const server_usage_sum *sum, tandem_error *err) {
    (void)err;
    (*(int *)context)++;
    assert_true(sum->by[3][0] != '\0' || sum->outcomes[2] == 7);
    return TANDEM_OK;
}

static void test_lanes(void **state) {
    (void)state;
    int rows = 0;
    const server_usage_query query = {.by = SERVER_USAGE_LANE, .limit_ns = UINT64_C(60000000000)};
    assert_int_equal(server_usage_read(path, &query, count_rows, &rows, NULL), TANDEM_OK);
    assert_int_equal(rows, 3);
}

static void refuses(const char *file, const server_usage_query *query, tandem_status status,
                    const char *words) {
    tandem_error err = {0};
    int rows = 0;
    assert_int_equal(server_usage_read(file, query, count_rows, &rows, &err), status);
    assert_non_null(strstr(err.message, words));
}

static void test_mistakes(void **state) {
    (void)state;
    refuses(path, &(server_usage_query){.since = "yesterday"}, TANDEM_INVALID,
            "since: \"yesterday\", expected a day such as 2026-11-23");
    refuses(path, &(server_usage_query){.until = "2026-13-01"}, TANDEM_INVALID, "until: ");
    refuses("/nowhere/usage.db", &(server_usage_query){.by = 0}, TANDEM_NOT_FOUND,
            "no ledger at /nowhere/usage.db");
    execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
            " INSERT INTO usage SELECT '2026-01-01', 't' || i, '', '', '', '', 0, 1, 1, 1, 1"
            " FROM n");
    refuses(path, &(server_usage_query){.by = SERVER_USAGE_TENANT, .limit_ns = 1}, TANDEM_TIMEOUT,
            "ask for fewer days");
}

static void test_by(void **state) {
    (void)state;
    uint32_t by = 0;
    tandem_error err = {0};
    assert_int_equal(server_usage_by_parse(TANDEM_STR("lane,day"), "--by", &by, &err), TANDEM_OK);
    assert_int_equal(by, SERVER_USAGE_LANE | SERVER_USAGE_DAY);
    assert_int_equal(server_usage_by_parse(TANDEM_STR(""), "--by", &by, &err), TANDEM_OK);
    assert_int_equal(by, 0);
    assert_string_equal(server_usage_by_word(3), "lane");
    assert_string_equal(server_usage_outcome_word(2), "refused");
    assert_int_equal(server_usage_by_parse(TANDEM_STR("day,week"), "--by", &by, &err),
                     TANDEM_INVALID);
    assert_string_equal(err.message, "--by: \"week\", expected day, tenant, model, lane or several "
                                     "of them with commas");
    assert_int_equal(server_lane_class_of("throughput"), SERVER_CLASS_THROUGHPUT);
    assert_int_equal(server_lane_class_of("?"), SERVER_CLASS_NONE);
}

/* The route: `query` asked by `tenant` (NULL = nobody in particular). */
static tandem_status answers(server_tenant *tenant, const char *query, tandem_buffer *out,
                             int *http_code, tandem_error *err) {
    static server_catalog catalog;
    tandem_arena arena;
    catalog.ledger = ledger;
    tandem__arena_init(&arena, 1 << 16);
    server_ask ask = {
        .arena = &arena, .catalog = &catalog, .tenant = tenant, .query = tandem__str(query)};
    out->len = 0;
    tandem_status status = server_usage_answer(&ask, NULL, out, err);
    if (status == TANDEM_OK) status = tandem__buffer_push(out, "", 1, err);
    *http_code = ask.http_code;
    tandem__arena_deinit(&arena);
    return status;
}

static void test_route(void **state) {
    (void)state;
    static const char config_text[] = /* the keys are "test" and "foo" */
        "tiers: {boss: {admin: true}}\n"
        "tenants:\n"
        "  - {name: acme, keys: "
        "['sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00"
        "a08']}\n"
        "  - {name: chief, tier: boss, keys: "
        "['sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae']}\n";
    server_config config;
    server_keys *keys = NULL;
    tandem_error err = {0};
    tandem_buffer out;
    int code = 0;
    server_config_init(&config);
    assert_int_equal(server_config_parse(&config, TANDEM_STR(config_text), "t", &err), TANDEM_OK);
    assert_int_equal(server_keys_open(&config, &keys, &err), TANDEM_OK);
    server_tenant *acme = server_keys_find(keys, TANDEM_STR("test"));
    server_tenant *chief = server_keys_find(keys, TANDEM_STR("foo"));
    tandem__buffer_init(&out, 1 << 20);

    assert_int_equal(answers(acme, "", &out, &code, &err), TANDEM_OK);
    assert_non_null(strstr(out.ptr, "\"tenant\":\"acme\""));
    assert_null(strstr(out.ptr, "b\\\"b"));
    assert_int_equal(answers(chief, "tenant=b%22b&by=model&since=2026-11-22&until=2026-11-30", &out,
                             &code, &err),
                     TANDEM_OK);
    assert_non_null(strstr(out.ptr, "\"rows\":[{\"model\":\"org/n\",\"requests\":2"));
    assert_int_equal(answers(NULL, "by=", &out, &code, &err), TANDEM_OK);
    assert_non_null(strstr(out.ptr, "\"rows\":[{\"requests\":13"));
    assert_int_equal(answers(acme, "tenant=chief", &out, &code, &err), TANDEM_PERMISSION);
    assert_int_equal(code, 403);
    assert_string_equal(err.message, "tenant: \"chief\", this key sees acme alone");
    tandem_error_clear(&err);
    assert_int_equal(answers(acme, "tenants=x", &out, &code, &err), TANDEM_INVALID);
    assert_string_equal(err.message, "tenants: expected by, tenant, since or until");
    tandem_error_clear(&err);
    assert_int_equal(answers(chief, "tenant=%zz", &out, &code, &err), TANDEM_INVALID);
    assert_int_equal(answers(chief, "since=%00", &out, &code, &err), TANDEM_INVALID);
    tandem__buffer_deinit(&out);
    server_tenant_put(acme);
    server_tenant_put(chief);
    server_keys_close(keys);
    server_config_deinit(&config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sums, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lanes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mistakes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_route, setup, teardown),
        cmocka_unit_test(test_by),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
