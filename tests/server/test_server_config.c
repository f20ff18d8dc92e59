/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file: what it sets, and each way in which it can be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/mem.h"
#include "server/server_config.h"
#include "support/temp_folder.h"

#define HASH       "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
#define OTHER_HASH "sha256:60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"

static void parse(server_config *config, const char *text) {
    tandem_error err = {0};
    server_config_init(config);
    const tandem_status status = server_config_parse(config, tandem__str(text), "t.yaml", &err);
    assert_string_equal(err.message, "");
    assert_int_equal(status, TANDEM_OK);
}

static void test_defaults(void **state) {
    (void)state;
    server_config config;
    parse(&config, "");
    assert_string_equal(config.host, "127.0.0.1");
    assert_int_equal(config.port, 8080);
    assert_string_equal(config.dtype, "f16");
    assert_false(config.open);
    assert_null(config.ledger);
    assert_null(config.tenants_path);
    assert_int_equal(config.model_count, 0);
    server_config_deinit(&config);
    parse(&config, "# nothing but a comment\n");
    assert_int_equal(config.port, 8080);
    server_config_deinit(&config);
}

static void test_settings(void **state) {
    (void)state;
    server_config config;
    parse(&config, "host: 0.0.0.0\n"
                   "port: 0\n"
                   "payload_limit: 64MiB\n"
                   "cache: 2 GB\n"
                   "open: yes\n"
                   "log_format: \"json\"\n"
                   "ledger: /var/lib/tandem/usage.db\n"
                   "lane: cpu\n"
                   "models:\n"
                   "  - org/one\n"
                   "  - name: org/two\n"
                   "    aliases: [two, zwei]\n"
                   "    served_name: second\n");
    assert_string_equal(config.host, "0.0.0.0");
    assert_int_equal(config.port, 0);
    assert_int_equal(config.payload_limit, 64 << 20);
    assert_int_equal(config.cache, 2000000000);
    assert_true(config.open);
    assert_string_equal(config.log_format, "json");
    assert_string_equal(config.ledger, "/var/lib/tandem/usage.db");
    assert_string_equal(config.lane, "cpu");
    assert_int_equal(config.model_count, 2);
    assert_string_equal(config.models[0].name, "org/one");
    assert_null(config.models[0].served_name);
    assert_string_equal(config.models[1].aliases[1], "zwei");
    assert_string_equal(config.models[1].served_name, "second");
    server_config_deinit(&config);
}

static void test_tenants(void **state) {
    (void)state;
    server_config config;
    parse(&config, "tenants:\n" /* before the tiers that they name */
                   "  - name: acme\n"
                   "    tier: gold\n"
                   "    keys: [" HASH "]\n"
                   "  - name: other\n"
                   "tiers:\n"
                   "  gold:\n"
                   "    lane_classes: [latency, background]\n"
                   "    priority: realtime\n"
                   "    tokens_per_second: 20000\n"
                   "    burst_tokens: 100000\n"
                   "    concurrency: 64\n"
                   "    price: {latency: 0.40, throughput: 1, background: 0.000001}\n"
                   "    admin: true\n");
    assert_string_equal(config.tenants_path, "t.yaml");
    assert_int_equal(config.tenants.count, 2);
    assert_int_equal(config.tenants.key_count, 1);
    assert_int_equal(config.tenants.keys[0].hash[0], 0x9f);
    assert_int_equal(config.tenants.keys[0].hash[31], 0x08);
    uint8_t hash[SERVER_HASH_BYTES];
    server_key_hash("test", 4, hash);
    assert_memory_equal(config.tenants.keys[0].hash, hash, sizeof hash);
    const server_tier *tier = config.tenants.entries[0].tier;
    assert_string_equal(tier->name, "gold");
    assert_int_equal(tier->lane_classes, 1 << SERVER_CLASS_LATENCY | 1 << SERVER_CLASS_BACKGROUND);
    assert_int_equal(tier->priority, TANDEM_PRIORITY_REALTIME);
    assert_int_equal(tier->tokens_per_second, 20000);
    assert_int_equal(tier->burst_tokens, 100000);
    assert_int_equal(tier->concurrency, 64);
    assert_int_equal(tier->price[SERVER_CLASS_LATENCY], 400000);
    assert_int_equal(tier->price[SERVER_CLASS_THROUGHPUT], 1000000);
    assert_int_equal(tier->price[SERVER_CLASS_BACKGROUND], 1);
    assert_true(tier->is_admin);
    assert_ptr_equal(config.tenants.entries[1].tier, &server_tier_open);
    server_config_deinit(&config);
}

/* text -> message, each as a reader meets it. */
static const struct mistake {
    const char *text;
    const char *message;
} mistakes[] = {
    {"port: http", "t.yaml:1: port: \"http\", expected a whole number from 0 to 65535"},
    {"host: a\nport: 65536", "t.yaml:2: port: \"65536\", expected a whole number from 0 to 65535"},
    {"port: 8080.0", "t.yaml:1: port: \"8080.0\", expected a whole number from 0 to 65535"},
    {"port:", "t.yaml:1: port: nothing, expected a value"},
    {"port: [1]", "t.yaml:1: port: a list, expected a value"},
    {"host: ''", "t.yaml:1: host: empty, expected a text"},
    {"open: maybe", "t.yaml:1: open: \"maybe\", expected true or false"},
    {"log_format: xml", "t.yaml:1: log_format: \"xml\", expected one of text|json"},
    {"payload_limit: 2 apples",
     "t.yaml:1: payload_limit: \"2 apples\", expected a size, such as 2MB or "
     "64MiB, from 1 to 1073741824"},
    {"payload_limit: -1",
     "t.yaml:1: payload_limit: \"-1\", expected a size, such as 2MB or 64MiB, from "
     "1 to 1073741824"},
    {"cache: 9223372036854775807GB",
     "t.yaml:1: cache: \"9223372036854775807GB\", expected a size, such as 2MB or 64MiB, "
     "from 0 to 1099511627776"},
    {"prot: 80", "t.yaml:1: prot: no such setting, the nearest is port"},
    {"model: a", "t.yaml:1: model: no such setting, the nearest is models"},
    {"port: 1\nhost: b\nport: 2", "t.yaml:3: port stands here and on line 1, expected once"},
    {"- a", "t.yaml:1: the file: a list, expected a map of settings"},
    {"just text", "t.yaml:1: the file: \"just text\", expected a map of settings"},
    {"models: a", "t.yaml:1: models: \"a\", expected a list of models"},
    {"models: [[a]]", "t.yaml:1: models: a list, expected a map of settings"},
    {"models:\n  - served_name: a",
     "t.yaml:2: models: a map, expected a name or a map with a name"},
    {"models:\n  -", "t.yaml:2: models: nothing, expected a name or a map with a name"},
    {"models: [a, a]", "t.yaml:1: models: model a is given twice"},
    {"models:\n  - name: a\n    alias: b",
     "t.yaml:3: alias: no such setting in models, the nearest is aliases"},
    {"lane: gpu", "t.yaml:1: lane: \"gpu\", expected one of auto|ane|metal|cuda|cpu|ref"},
    {"idle_timeout: 0",
     "t.yaml:1: idle_timeout: \"0\", expected a number of seconds from 1 to 86400"},
    {"models:\n  - name: a\n    aliases: b",
     "t.yaml:3: models.aliases: \"b\", expected a list of at most 8 names"},
    {"models:\n  - name: a\n    aliases: [{}]", "t.yaml:3: models.aliases: a map, expected a name"},
    {"tiers: [a]", "t.yaml:1: tiers: a list, expected a map of tiers by their names"},
    {"tiers:\n  a b: {}", "t.yaml:2: tiers: \"a b\", expected 1 to 63 letters, digits or - _ . @"},
    {"tiers:\n  a: 1", "t.yaml:2: tiers.a: \"1\", expected a map of settings"},
    {"tiers:\n  a:\n    prise: 1",
     "t.yaml:3: prise: no such setting in tiers.a, the nearest is price"},
    {"tiers:\n  a:\n    price: 1", "t.yaml:3: price: \"1\", expected a map of settings"},
    {"tiers:\n  a:\n    price: {latency: -1}",
     "t.yaml:3: price.latency: \"-1\", expected a price per million tokens such as 0.25, at most "
     "1000000000 with six decimals"},
    {"tiers:\n  a:\n    price: {latency: 0.1234567}",
     "t.yaml:3: price.latency: \"0.1234567\", expected a price per million tokens such as 0.25, at "
     "most 1000000000 with six decimals"},
    {"tiers:\n  a:\n    priority: high", "t.yaml:3: tiers.a.priority: \"high\", expected realtime, "
                                         "standard, background or a whole number"},
    {"tiers:\n  a:\n    lane_classes: [fast]",
     "t.yaml:3: lane_classes: \"fast\", expected a list of latency, throughput and background"},
    {"tiers:\n  a:\n    lane_classes: []",
     "t.yaml:3: lane_classes: a list, expected a list of latency, throughput and background"},
    {"tiers:\n  a:\n    burst_tokens: 5",
     "t.yaml:2: tiers.a: burst_tokens without tokens_per_second"},
    {"tenants: {a: b}", "t.yaml:1: tenants: a map, expected a list of tenants"},
    {"tenants: [a]", "t.yaml:1: tenants: \"a\", expected a map of settings"},
    {"tenants:\n  - tier: x", "t.yaml:2: tenants.name: \"\", expected 1 to 63 letters, digits or - "
                              "_ . @"},
    {"tiers: {b: {}, c: {}}\ntenants:\n  - name: a\n    tier: x",
     "t.yaml:3: tenants.tier: no tier is called \"x\"; tiers: b, c"},
    {"tenants:\n  - name: a\n    tier: x",
     "t.yaml:2: tenants.tier: no tier is called \"x\"; tiers: none are configured"},
    {"tenants:\n  - name: a\n    keys: abc",
     "t.yaml:3: tenants.keys: \"abc\", expected a list of hashes"},
    {"tenants:\n  - name: a\n    keys:\n      - tdm_secret",
     "t.yaml:4: tenants.keys: expected \"sha256:\" and 64 hexadecimal digits, as tandem key new "
     "prints them"},
    {"tenants:\n  - name: a\n  - name: a", "t.yaml: tenants: a stands twice, expected once"},
    {"tenants:\n  - {name: a, keys: [" HASH "]}\n  - {name: b, keys: [" HASH "]}",
     "t.yaml: tenants: one key of a and b, expected one owner"},
    {"host: &a b", "t.yaml:1: an anchor or tag (& or !), expected a plain value"},
    {"host: !!str b", "t.yaml:1: an anchor or tag (& or !), expected a plain value"},
    {"models: &a []", "t.yaml:1: an anchor or tag (& or !), expected a plain list"},
    {"tiers: !x {}", "t.yaml:1: an anchor or tag (& or !), expected a plain map"},
    {"host: *a", "t.yaml:1: an alias (*), expected the value itself"},
    {"[a]: b", "t.yaml:1: a map or list as a key, expected a name"},
    {"port: 1\n---\nport: 2", "t.yaml:2: a second document, expected one"},
    {"a: [[[[[[[[1]]]]]]]]", "t.yaml:1: nested deeper than 8 levels"},
    {"host: \"a\\0b\"", "t.yaml:1: a NUL character"},
    {"host: \xff", "t.yaml: byte 6 is not UTF-8"},
    {"host: [a", "t.yaml:2: column 1: while parsing a flow sequence, did not find expected ',' or "
                 "']'"},
    {"a: b: c", "t.yaml:1: column 5: mapping values are not allowed in this context"},
};

static void test_mistakes(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        server_config config;
        tandem_error err = {0};
        server_config_init(&config);
        assert_int_not_equal(
            server_config_parse(&config, tandem__str(mistakes[i].text), "t.yaml", &err), TANDEM_OK);
        assert_string_equal(err.message, mistakes[i].message);
        server_config_deinit(&config);
    }
}

static void test_set(void **state) {
    (void)state;
    server_config config;
    tandem_error err = {0};
    parse(&config, "port: 1");
    assert_int_equal(server_config_set(&config, SERVER_SETTING_port, "2", "--port", &err), 0);
    assert_int_equal(config.port, 2);
    assert_int_equal(server_config_set(&config, SERVER_SETTING_port, "x", "TANDEM_PORT", &err),
                     TANDEM_INVALID);
    assert_string_equal(err.message, "TANDEM_PORT: \"x\", expected a whole number from 0 to 65535");
    tandem_error_clear(&err);
    assert_int_equal(server_config_add_model(&config, "m", &err), 0);
    assert_int_equal(server_config_add_model(&config, "m", &err), TANDEM_INVALID);
    assert_string_equal(err.message, "--model: model m is given twice");
    server_config_deinit(&config);
}

static void test_files(void **state) {
    (void)state;
    char folder[256];
    char path[300];
    char keys[300];
    char text[700];
    tandem_error err = {0};
    server_config config;
    folder_make(folder);
    (void)snprintf(path, sizeof path, "%s/tandem.yaml", folder);
    (void)snprintf(keys, sizeof keys, "%s/keys.yaml", folder);
    (void)snprintf(text, sizeof text, "port: 99\nkeys_file: %s\n", keys);
    folder_write_text(folder, "tandem.yaml", text);
    folder_write_text(folder, "keys.yaml", "tenants: [{name: a, keys: [" HASH "]}]\n");
    server_config_init(&config);
    assert_int_equal(server_config_read(&config, path, &err), 0);
    assert_int_equal(config.port, 99);
    assert_null(config.tenants_path);
    assert_int_equal(server_config_read_keys(&config, &err), 0);
    assert_string_equal(config.tenants_path, keys);
    assert_int_equal(config.tenants.count, 1);
    server_config_deinit(&config);

    /* Both: which of them holds would be a guess. Settings do not belong into a keys file. */
    (void)snprintf(text, sizeof text,
                   "keys_file: %s\ntenants: [{name: b, keys: [" OTHER_HASH "]}]\n", keys);
    folder_write_text(folder, "tandem.yaml", text);
    server_config_init(&config);
    assert_int_equal(server_config_read(&config, path, &err), 0);
    assert_int_equal(server_config_read_keys(&config, &err), TANDEM_FORMAT);
    assert_non_null(strstr(err.message, "expected one of them"));
    server_config_deinit(&config);

    tandem_error_clear(&err);
    folder_write_text(folder, "keys.yaml", "port: 1\n");
    server_config_init(&config);
    config.keys_file = keys;
    assert_int_equal(server_config_read_keys(&config, &err), TANDEM_FORMAT);
    assert_non_null(strstr(err.message, "keys.yaml:1: port: no such setting, the nearest is"));
    server_config_deinit(&config);

    tandem_error_clear(&err);
    server_config_init(&config);
    folder_remove(folder);
    assert_int_equal(server_config_read(&config, path, &err), TANDEM_NOT_FOUND);
    server_config_deinit(&config);
}

/* Memory that fails at any place is an error, not a crash. */
static void test_no_memory(void **state) {
    (void)state;
    static const char text[] = "models: [{name: a, aliases: [b]}]\n"
                               "tiers: {t: {price: {latency: 1}}}\n"
                               "tenants: [{name: a, tier: t, keys: [" HASH "]}]\n";
    for (uint64_t n = 1; n < 20; n++) {
        server_config config;
        server_config_init(&config);
        tandem_error err = {0};
        tandem__mem_fail_at(n);
        const tandem_status status = server_config_parse(&config, TANDEM_STR(text), "t", &err);
        tandem__mem_fail_at(0);
        assert_true(status == TANDEM_OK || status == TANDEM_MEMORY || status == TANDEM_CAPACITY);
        assert_true(status == TANDEM_OK || err.message[0] != '\0');
        server_config_deinit(&config);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),  cmocka_unit_test(test_settings),
        cmocka_unit_test(test_tenants),   cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_set),       cmocka_unit_test(test_files),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
