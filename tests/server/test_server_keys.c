/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and their tenants: who is found, what survives a reload, what a bad file does, and how a
 * tier's bounds hold, alone and from many threads. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "server/bucket.h"
#include "server/keys.h"
#include "support/temp_folder.h"

#define SECOND_NS  UINT64_C(1000000000)
#define FILE_BYTES 4096

typedef struct fixture {
    char folder[256];
    char path[300];
    server_keys *keys;
} fixture;

static fixture shared;

/* "sha256:..." of a key, as a line of a list. */
static const char *hash_of(const char *key) {
    static char line[2][80];
    static int at = 0;
    uint8_t hash[SERVER_HASH_BYTES];
    at = 1 - at;
    server_key_hash(key, strlen(key), hash);
    int len = snprintf(line[at], sizeof line[at], "sha256:");
    for (size_t i = 0; i < sizeof hash; i++)
        len += snprintf(line[at] + len, sizeof line[at] - (size_t)len, "%02x", hash[i]);
    return line[at];
}

static void write_keys(const char *tier, const char *first, const char *second) {
    char text[FILE_BYTES];
    (void)snprintf(text, sizeof text,
                   "tiers:\n  t: {%s}\n"
                   "tenants:\n"
                   "  - {name: acme, tier: t, keys: [%s]}\n"
                   "  - {name: other, keys: [%s]}\n",
                   tier, hash_of(first), hash_of(second));
    folder_write_text(shared.folder, "keys.yaml", text);
}

static void open_keys(const char *api_key) {
    tandem_error err = {0};
    server_config config;
    server_config_init(&config);
    config.keys_file = shared.path;
    config.api_key = api_key;
    assert_int_equal(server_config_read_keys(&config, &err), TANDEM_OK);
    assert_int_equal(server_keys_open(&config, &shared.keys, &err), TANDEM_OK);
    server_config_deinit(&config);
}

static int setup(void **state) {
    (void)state;
    folder_make(shared.folder);
    (void)snprintf(shared.path, sizeof shared.path, "%s/keys.yaml", shared.folder);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    server_keys_close(shared.keys);
    shared.keys = NULL;
    folder_remove(shared.folder);
    return 0;
}

static server_tenant *find(const char *credential) {
    return server_keys_find(shared.keys, tandem__str(credential));
}

static void finds(const char *credential, const char *name) {
    server_tenant *tenant = find(credential);
    assert_non_null(tenant);
    assert_string_equal(server_tenant_name(tenant), name);
    server_tenant_put(tenant);
}

/* Until the watcher has seen the file: within its second. */
static bool becomes(const char *credential, bool is_known) {
    for (int i = 0; i < 500; i++) {
        server_tenant *tenant = find(credential);
        if (tenant != NULL) server_tenant_put(tenant);
        if ((tenant != NULL) == is_known) return true;
        const struct timespec pause = {.tv_nsec = 10000000};
        (void)nanosleep(&pause, NULL);
    }
    return false;
}

static void test_find(void **state) {
    (void)state;
    write_keys("", "tdm_one", "tdm_two");
    open_keys("plain");
    finds("Bearer tdm_one", "acme");
    finds("bearer   tdm_one ", "acme");
    finds("tdm_two", "other");
    finds("Bearer plain", "default");
    assert_null(find(""));
    assert_null(find("Bearer "));
    assert_null(find("Bearer tdm_on"));
    assert_null(find("Bearer tdm_onee"));
    assert_null(find("Basic tdm_one"));
    assert_null(find(hash_of("tdm_one"))); /* what is in the file is no key */
}

static void test_reload(void **state) {
    (void)state;
    write_keys("concurrency: 2", "one", "two");
    open_keys(NULL);
    uint64_t retry_ns = 0;
    tandem_error err = {0};
    server_tenant *held = find("one");
    assert_int_equal(server_tenant_admit(held, 1, 1, &retry_ns, &err), TANDEM_OK);

    write_keys("concurrency: 1", "new", "two");
    assert_true(becomes("new", true));
    assert_null(find("one"));
    server_tenant *again = find("new");
    assert_ptr_equal(again, held); /* the same tenant, one request under way ... */
    assert_int_equal(server_tenant_admit(again, 1, 2, &retry_ns, &err), TANDEM_CAPACITY);
    assert_string_equal(err.message, "tenant acme: 1 requests are under way, its tier t allows no "
                                     "more"); /* ... under the new terms */
    assert_int_equal(server_tenant_admit_more(again, 1, 2, &retry_ns, NULL), TANDEM_OK);
    server_tenant_settle(held, 2, 2, 3);
    server_tenant_put(held);
    server_tenant_put(again);
}

static void test_gone_tenant(void **state) {
    (void)state;
    write_keys("", "one", "two");
    open_keys(NULL);
    server_tenant *held = find("one");
    folder_write_text(shared.folder, "keys.yaml", "tenants: []\n");
    server_keys_reload(shared.keys);
    assert_true(becomes("one", false));
    assert_string_equal(server_tenant_name(held), "acme"); /* as long as it is held */
    server_tenant_put(held);
}

static void test_bad_file(void **state) {
    (void)state;
    char fault[480];
    write_keys("", "one", "two");
    open_keys(NULL);
    assert_false(server_keys_fault(shared.keys, fault, sizeof fault));
    folder_write_text(shared.folder, "keys.yaml", "tenants:\n  - nmae: x\n");
    for (int i = 0; i < 500 && !server_keys_fault(shared.keys, fault, sizeof fault); i++) {
        const struct timespec pause = {.tv_nsec = 10000000};
        (void)nanosleep(&pause, NULL);
    }
    assert_non_null(strstr(fault, "keys.yaml:2: nmae: no such setting in tenants, the nearest is "
                                  "name"));
    finds("one", "acme");
    write_keys("", "one", "three");
    assert_true(becomes("three", true));
    assert_false(server_keys_fault(shared.keys, fault, sizeof fault));
    assert_string_equal(fault, "");
}

static void test_bound(void **state) {
    (void)state;
    write_keys("priority: standard, lane_classes: [throughput, background], price: {throughput: 2}",
               "one", "two");
    open_keys(NULL);
    server_tenant *acme = find("one");
    server_tenant *other = find("two");
    int32_t priority = TANDEM_PRIORITY_REALTIME;
    uint32_t classes = 0;
    assert_true(server_tenant_bound(acme, &priority, &classes));
    assert_int_equal(priority, TANDEM_PRIORITY_STANDARD);
    assert_int_equal(classes, 1 << SERVER_CLASS_THROUGHPUT | 1 << SERVER_CLASS_BACKGROUND);
    priority = 7;
    classes = 1 << SERVER_CLASS_BACKGROUND | 1 << SERVER_CLASS_LATENCY;
    assert_true(server_tenant_bound(acme, &priority, &classes));
    assert_int_equal(priority, 7);
    assert_int_equal(classes, 1 << SERVER_CLASS_BACKGROUND);
    classes = 1 << SERVER_CLASS_LATENCY;
    assert_false(server_tenant_bound(acme, &priority, &classes));
    priority = -1000;
    classes = 0;
    assert_true(server_tenant_bound(other, &priority, &classes));
    assert_int_equal(priority, -1000);
    assert_int_equal(classes, 0);
    assert_int_equal(server_tenant_price(acme, SERVER_CLASS_THROUGHPUT), 2000000);
    assert_int_equal(server_tenant_price(other, SERVER_CLASS_THROUGHPUT), 0);
    server_tenant_put(acme);
    server_tenant_put(other);
}

static void test_rate(void **state) {
    (void)state;
    const server_tier tier = {.tokens_per_second = 100, .burst_tokens = 200};
    server_bucket bucket;
    server_bucket_init(&bucket);
    uint64_t retry_ns = 0;
    const uint64_t t = 5 * SECOND_NS;
    assert_int_equal(server_bucket_take(&bucket, &tier, 150, true, t, &retry_ns), 0);
    assert_int_equal(server_bucket_take(&bucket, &tier, 100, true, t, &retry_ns),
                     SERVER_BUCKET_EMPTY);
    assert_in_range(retry_ns, SECOND_NS / 2, SECOND_NS / 2 + 10); /* 50 are missing */
    assert_int_equal(bucket.under_way, 1);
    assert_int_equal(server_bucket_take(&bucket, &tier, 100, true, t + retry_ns, &retry_ns), 0);
    /* The first was but 50 tokens: 100 come back. The second was 130: 30 more go. */
    server_bucket_settle(&bucket, &tier, 150, 50, t + SECOND_NS / 2);
    server_bucket_settle(&bucket, &tier, 100, 130, t + SECOND_NS / 2);
    assert_int_equal(bucket.under_way, 0);
    assert_int_equal(server_bucket_take(&bucket, &tier, 70, true, t + SECOND_NS / 2, &retry_ns), 0);
    assert_int_equal(server_bucket_take(&bucket, &tier, 1, false, t + SECOND_NS / 2, &retry_ns),
                     SERVER_BUCKET_EMPTY);
}

/* Larger than the bucket: taken when it is full, and paid back before anything else. */
static void test_large(void **state) {
    (void)state;
    const server_tier tier = {.tokens_per_second = 100};
    server_bucket bucket;
    server_bucket_init(&bucket);
    uint64_t retry_ns = 0;
    assert_int_equal(server_bucket_take(&bucket, &tier, 5000, true, SECOND_NS, &retry_ns), 0);
    assert_int_equal(server_bucket_take(&bucket, &tier, 100, true, SECOND_NS, &retry_ns),
                     SERVER_BUCKET_EMPTY);
    assert_in_range(retry_ns, 41 * SECOND_NS, 41 * SECOND_NS + 10); /* 4000 + 100 at 100 a second */
    assert_int_equal(server_bucket_take(&bucket, &tier, 100, true, SECOND_NS + retry_ns, &retry_ns),
                     0);
}

static void test_concurrency(void **state) {
    (void)state;
    const server_tier tier = {.concurrency = 1};
    server_bucket bucket;
    server_bucket_init(&bucket);
    uint64_t retry_ns = 0;
    uint64_t t = SECOND_NS;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(server_bucket_take(&bucket, &tier, 9, true, t, &retry_ns), 0);
        assert_int_equal(server_bucket_take(&bucket, &tier, 9, true, t, &retry_ns),
                         SERVER_BUCKET_BUSY);
        t += 20000000; /* each takes 20 ms, then nothing for 3 s */
        server_bucket_settle(&bucket, &tier, 9, 9, t);
        t += 3 * SECOND_NS;
    }
    assert_in_range(retry_ns, 19900000, 21000000);
}

static void *hammer(void *context) {
    (void)context;
    for (int i = 0; i < 2000; i++) {
        server_tenant *tenant = find(i % 2 == 0 ? "one" : "two");
        if (tenant == NULL) return (void *)1;
        uint64_t retry_ns = 0;
        if (server_tenant_admit(tenant, 10, tandem__clock_ns(), &retry_ns, NULL) == TANDEM_OK)
            server_tenant_settle(tenant, 10, 12, tandem__clock_ns());
        server_tenant_put(tenant);
        if (i % 500 == 0) server_keys_reload(shared.keys);
    }
    return NULL;
}

static void test_threads(void **state) {
    (void)state;
    write_keys("concurrency: 2, tokens_per_second: 1000", "one", "two");
    open_keys(NULL);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, NULL), 0);
    for (int i = 0; i < 4; i++) {
        void *failed = NULL;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    server_tenant *tenant = find("one");
    uint64_t retry_ns = 0;
    const uint64_t later_ns = tandem__clock_ns() + 100 * SECOND_NS;
    assert_int_equal(server_tenant_admit(tenant, 1, later_ns, &retry_ns, NULL), TANDEM_OK);
    assert_int_equal(server_tenant_admit(tenant, 1, later_ns, &retry_ns, NULL), TANDEM_OK);
    assert_int_equal(server_tenant_admit(tenant, 1, later_ns, &retry_ns, NULL), TANDEM_CAPACITY);
    server_tenant_settle(tenant, 1, 1, later_ns);
    server_tenant_settle(tenant, 1, 1, later_ns);
    server_tenant_put(tenant);
}

/* Memory that fails at any place is an error, and nothing is left behind. */
static void test_no_memory(void **state) {
    (void)state;
    write_keys("", "one", "two");
    for (uint64_t n = 1; n < 12; n++) {
        tandem_error err = {0};
        server_config config;
        server_config_init(&config);
        config.keys_file = shared.path;
        config.api_key = "plain";
        assert_int_equal(server_config_read_keys(&config, &err), TANDEM_OK);
        tandem__mem_fail_at(n);
        const tandem_status status = server_keys_open(&config, &shared.keys, &err);
        tandem__mem_fail_at(0);
        assert_true(status == TANDEM_OK || status == TANDEM_MEMORY);
        assert_true(status == TANDEM_OK || shared.keys == NULL);
        if (status == TANDEM_OK) finds("one", "acme");
        server_keys_close(shared.keys);
        shared.keys = NULL;
        server_config_deinit(&config);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_find, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reload, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gone_tenant, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bound, setup, teardown),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_concurrency),
        cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
