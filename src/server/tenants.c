/* SPDX-License-Identifier: Apache-2.0 */
#include "server/tenants.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/sha.h"
#include "server/new_key.h"

#define COUNT_MAX   1000000000000 /* of tokens: far over any machine's day */
#define HASH_PREFIX "sha256:"
#define HASH_HEX    (2 * SERVER_HASH_BYTES)
#define PATH_BYTES  (SERVER_NAME_BYTES + 32)

const server_tier server_tier_open = {.name = "open", .priority = INT32_MIN};

static const char *const class_words[SERVER_CLASSES] = {"none", "latency", "throughput",
                                                        "background"};

server_lane_class server_lane_class_of(const char *word) {
    for (int i = SERVER_CLASS_LATENCY; i < SERVER_CLASSES; i++) {
        if (strcmp(word, class_words[i]) == 0) return (server_lane_class)i;
    }
    return SERVER_CLASS_NONE;
}

const char *server_lane_class_word(server_lane_class lane_class) {
    return class_words[lane_class];
}

void server_key_hash(const char *key, size_t len, uint8_t hash[SERVER_HASH_BYTES]) {
    char hex[TANDEM_SHA_HEX_MAX];
    tandem_sha sha;
    tandem__sha_init(&sha, TANDEM_SHA_256);
    tandem__sha_update(&sha, key, len);
    tandem__sha_finish(&sha, hex);
    for (size_t i = 0; i < SERVER_HASH_BYTES; i++) {
        const char high = hex[2 * i];
        const char low = hex[2 * i + 1];
        hash[i] = (uint8_t)((high <= '9' ? high - '0' : high - 'a' + 10) << 4 |
                            (low <= '9' ? low - '0' : low - 'a' + 10));
    }
}

/* Names go into headers, logs and tables as they are. */
static tandem_status take_name(const server_file *file, const server_yaml *node, const char *what,
                               const char *name, char out[SERVER_NAME_BYTES], tandem_error *err) {
    if (!server_is_name(name)) {
        return TANDEM_FAIL(
            err, FORMAT, "%s:%u: %s: \"%.70s\", expected 1 to %d letters, digits or - _ . @",
            file->name, node->line, what, name == NULL ? "" : name, SERVER_NAME_BYTES - 1);
    }
    memcpy(out, name, strlen(name) + 1);
    return TANDEM_OK;
}

static tandem_status read_classes(server_file *file, void *object, const server_yaml *node,
                                  tandem_error *err) {
    server_tier *tier = object;
    static const char expected[] = "a list of latency, throughput and background";
    if (node->kind != SERVER_YAML_LIST || node->count == 0)
        return server_file_expected(file, node, "lane_classes", expected, err);
    for (const server_yaml *item = node->first; item != NULL; item = item->next) {
        const bool is_word = item->kind == SERVER_YAML_SCALAR && item->text != NULL;
        const server_lane_class found =
            is_word ? server_lane_class_of(item->text) : SERVER_CLASS_NONE;
        if (found == SERVER_CLASS_NONE)
            return server_file_expected(file, item, "lane_classes", expected, err);
        tier->lane_classes |= UINT32_C(1) << found;
    }
    return TANDEM_OK;
}

static tandem_status read_price(server_file *file, void *object, const server_yaml *node,
                                tandem_error *err) {
    static const server_field fields[] = {
        {"latency", SERVER_FIELD_PRICE, SERVER_CLASS_LATENCY * sizeof(int64_t), 0, 0, NULL},
        {"throughput", SERVER_FIELD_PRICE, SERVER_CLASS_THROUGHPUT * sizeof(int64_t), 0, 0, NULL},
        {"background", SERVER_FIELD_PRICE, SERVER_CLASS_BACKGROUND * sizeof(int64_t), 0, 0, NULL},
    };
    static const server_shape shape = {fields, SERVER_FIELD_COUNT(fields), NULL, 0};
    server_tier *tier = object;
    return server_file_read(file, node, "price", tier->price, &shape, err);
}

static tandem_status read_tier(server_file *file, const server_yaml *node, server_tier *tier,
                               tandem_error *err) {
    static const server_field fields[] = {
        {"priority", SERVER_FIELD_PRIORITY, offsetof(server_tier, priority), 0, 0, NULL},
        {"tokens_per_second", SERVER_FIELD_INT, offsetof(server_tier, tokens_per_second), 0,
         COUNT_MAX, NULL},
        {"burst_tokens", SERVER_FIELD_INT, offsetof(server_tier, burst_tokens), 0, COUNT_MAX, NULL},
        {"concurrency", SERVER_FIELD_INT, offsetof(server_tier, concurrency), 0, 1000000, NULL},
        {"admin", SERVER_FIELD_SWITCH, offsetof(server_tier, is_admin), 0, 0, NULL},
    };
    static const server_part parts[] = {{"lane_classes", read_classes}, {"price", read_price}};
    static const server_shape shape = {fields, SERVER_FIELD_COUNT(fields), parts,
                                       SERVER_FIELD_COUNT(parts)};
    *tier = server_tier_open;
    TANDEM_TRY(take_name(file, node, "tiers", node->key, tier->name, err));
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof path, "tiers.%s", tier->name);
    TANDEM_TRY(server_file_read(file, node, path, tier, &shape, err));
    if (tier->burst_tokens > 0 && tier->tokens_per_second == 0) {
        return TANDEM_FAIL(err, FORMAT, "%s:%u: %s: burst_tokens without tokens_per_second",
                           file->name, node->line, path);
    }
    return TANDEM_OK;
}

static tandem_status read_tiers(server_file *file, const server_yaml *node, server_tenants *tenants,
                                tandem_error *err) {
    if (node->kind != SERVER_YAML_MAP)
        return server_file_expected(file, node, "tiers", "a map of tiers by their names", err);
    if (node->count > SERVER_TIERS_MAX) {
        return TANDEM_FAIL(err, CAPACITY, "%s:%u: %u tiers, at most %d", file->name, node->line,
                           node->count, SERVER_TIERS_MAX);
    }
    tenants->tiers = tandem__arena_array(file->arena, node->count, sizeof *tenants->tiers);
    if (tenants->tiers == NULL) return TANDEM_FAIL(err, MEMORY, "%s: no memory", file->name);
    for (const server_yaml *item = node->first; item != NULL; item = item->next)
        TANDEM_TRY(read_tier(file, item, &tenants->tiers[tenants->tier_count++], err));
    return TANDEM_OK;
}

/* One entry while it is read. */
typedef struct draft {
    const char *name;
    const char *tier;
    const server_yaml *keys;
} draft;

static tandem_status take_keys(server_file *file, void *object, const server_yaml *node,
                               tandem_error *err) {
    if (node->kind != SERVER_YAML_LIST)
        return server_file_expected(file, node, "tenants.keys", "a list of hashes", err);
    ((draft *)object)->keys = node;
    return TANDEM_OK;
}

/* A value that is no hash is perhaps a key: it is not repeated. */
static tandem_status read_key(const server_file *file, const server_yaml *item,
                              uint8_t hash[SERVER_HASH_BYTES], tandem_error *err) {
    const char *text = item->kind == SERVER_YAML_SCALAR ? item->text : NULL;
    const size_t prefix = sizeof HASH_PREFIX - 1;
    bool is_hash = text != NULL && strncmp(text, HASH_PREFIX, prefix) == 0 &&
                   strlen(text) == prefix + HASH_HEX;
    for (size_t i = 0; is_hash && i < HASH_HEX; i++) {
        const char c = text[prefix + i];
        const int lower = c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c;
        const int digit = lower >= '0' && lower <= '9'   ? lower - '0'
                          : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10
                                                         : -1;
        if (digit < 0) is_hash = false;
        hash[i / 2] = (uint8_t)(hash[i / 2] << 4 | (digit & 15));
    }
    if (is_hash) return TANDEM_OK;
    return TANDEM_FAIL(err, FORMAT,
                       "%s:%u: tenants.keys: expected \"sha256:\" and 64 hexadecimal digits, as "
                       "tandem key new prints them",
                       file->name, item->line);
}

static tandem_status read_keys(server_file *file, const server_yaml *list, uint32_t tenant,
                               server_tenants *tenants, tandem_error *err) {
    for (const server_yaml *item = list->first; item != NULL; item = item->next) {
        server_key_entry *key = &tenants->keys[tenants->key_count++];
        key->tenant = tenant;
        TANDEM_TRY(read_key(file, item, key->hash, err));
    }
    return TANDEM_OK;
}

static tandem_status find_tier(const server_file *file, const server_yaml *node, const char *name,
                               const server_tenants *tenants, const server_tier **tier,
                               tandem_error *err) {
    for (size_t i = 0; i < tenants->tier_count; i++) {
        if (strcmp(tenants->tiers[i].name, name) != 0) continue;
        *tier = &tenants->tiers[i];
        return TANDEM_OK;
    }
    char known[200] = "none are configured";
    size_t len = 0;
    for (size_t i = 0; i < tenants->tier_count && len < sizeof known; i++) {
        len += (size_t)snprintf(known + len, sizeof known - len, "%s%s", i == 0 ? "" : ", ",
                                tenants->tiers[i].name);
    }
    return TANDEM_FAIL(err, FORMAT, "%s:%u: tenants.tier: no tier is called \"%.60s\"; tiers: %s",
                       file->name, node->line, name, known);
}

static tandem_status read_entry(server_file *file, const server_yaml *node, server_tenants *tenants,
                                tandem_error *err) {
    static const server_field fields[] = {
        {"name", SERVER_FIELD_TEXT, offsetof(draft, name), 0, 0, NULL},
        {"tier", SERVER_FIELD_TEXT, offsetof(draft, tier), 0, 0, NULL},
    };
    static const server_part parts[] = {{"keys", take_keys}};
    static const server_shape shape = {fields, SERVER_FIELD_COUNT(fields), parts,
                                       SERVER_FIELD_COUNT(parts)};
    draft read = {0};
    TANDEM_TRY(server_file_read(file, node, "tenants", &read, &shape, err));
    server_tenant_entry *entry = &tenants->entries[tenants->count];
    TANDEM_TRY(take_name(file, node, "tenants.name", read.name, entry->name, err));
    entry->tier = &server_tier_open;
    if (read.tier != NULL) TANDEM_TRY(find_tier(file, node, read.tier, tenants, &entry->tier, err));
    if (read.keys != NULL)
        TANDEM_TRY(read_keys(file, read.keys, (uint32_t)tenants->count, tenants, err));
    tenants->count++;
    return TANDEM_OK;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(((const server_tenant_entry *)a)->name, ((const server_tenant_entry *)b)->name);
}

static int compare_hashes(const void *a, const void *b) {
    return memcmp(((const server_key_entry *)a)->hash, ((const server_key_entry *)b)->hash,
                  SERVER_HASH_BYTES);
}

/* A key or a tenant that stands twice would be one of two at random. Works on sorted copies. */
static tandem_status check_twice(const server_file *file, const server_tenants *tenants,
                                 tandem_error *err) {
    server_tenant_entry *names =
        tandem__arena_array(file->arena, tenants->count, sizeof *tenants->entries);
    server_key_entry *keys =
        tandem__arena_array(file->arena, tenants->key_count, sizeof *tenants->keys);
    if (names == NULL || keys == NULL) return TANDEM_FAIL(err, MEMORY, "%s: no memory", file->name);
    memcpy(names, tenants->entries, tenants->count * sizeof *names);
    memcpy(keys, tenants->keys, tenants->key_count * sizeof *keys);
    qsort(names, tenants->count, sizeof *names, compare_names);
    qsort(keys, tenants->key_count, sizeof *keys, compare_hashes);
    for (size_t i = 1; i < tenants->count; i++) {
        if (compare_names(&names[i - 1], &names[i]) != 0) continue;
        return TANDEM_FAIL(err, FORMAT, "%s: tenants: %s stands twice, expected once", file->name,
                           names[i].name);
    }
    for (size_t i = 1; i < tenants->key_count; i++) {
        if (compare_hashes(&keys[i - 1], &keys[i]) != 0) continue;
        return TANDEM_FAIL(err, FORMAT, "%s: tenants: one key of %s and %s, expected one owner",
                           file->name, tenants->entries[keys[i - 1].tenant].name,
                           tenants->entries[keys[i].tenant].name);
    }
    return TANDEM_OK;
}

static size_t count_keys(const server_yaml *entries) {
    size_t count = 0;
    for (const server_yaml *entry = entries->first; entry != NULL; entry = entry->next) {
        if (entry->kind != SERVER_YAML_MAP) continue;
        for (const server_yaml *node = entry->first; node != NULL; node = node->next)
            count += strcmp(node->key, "keys") == 0 ? node->count : 0;
    }
    return count;
}

tandem_status server_tenants_read(server_file *file, const server_yaml *tiers,
                                  const server_yaml *entries, server_tenants *tenants,
                                  tandem_error *err) {
    if (tiers != NULL) TANDEM_TRY(read_tiers(file, tiers, tenants, err));
    if (entries == NULL) return TANDEM_OK;
    if (entries->kind != SERVER_YAML_LIST)
        return server_file_expected(file, entries, "tenants", "a list of tenants", err);
    const size_t key_count = count_keys(entries);
    if (entries->count > SERVER_TENANTS_MAX || key_count > SERVER_KEYS_MAX) {
        return TANDEM_FAIL(err, CAPACITY, "%s:%u: %u tenants with %zu keys, at most %d and %d",
                           file->name, entries->line, entries->count, key_count, SERVER_TENANTS_MAX,
                           SERVER_KEYS_MAX);
    }
    tenants->entries = tandem__arena_array(file->arena, entries->count, sizeof *tenants->entries);
    tenants->keys = tandem__arena_array(file->arena, key_count, sizeof *tenants->keys);
    if (tenants->entries == NULL || tenants->keys == NULL)
        return TANDEM_FAIL(err, MEMORY, "%s: no memory", file->name);
    for (const server_yaml *item = entries->first; item != NULL; item = item->next)
        TANDEM_TRY(read_entry(file, item, tenants, err));
    return check_twice(file, tenants, err);
}
