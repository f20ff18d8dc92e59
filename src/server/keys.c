/* SPDX-License-Identifier: Apache-2.0 */
#include "server/keys.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/fail.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wait.h"
#include "server/bucket.h"

#define CHECK_NS      UINT64_C(1000000000) /* between two looks at the file */
#define YOUNG_SECONDS 2                    /* a file changed so recently may change unseen */
#define DEFAULT_NAME  "default"
#define CHAINS        4096 /* of tenants by name */

struct server_tenant {
    char name[SERVER_NAME_BYTES];
    int64_t holds; /* of requests, and one of each table it is in; under keys->mutex */
    server_keys *keys;
    server_tenant *next;
    pthread_mutex_t mutex; /* of what follows */
    server_tier tier;
    server_bucket bucket;
};

/* Open addressing, at most half full. */
typedef struct slot {
    uint8_t hash[SERVER_HASH_BYTES];
    server_tenant *tenant; /* NULL = free */
} slot;

typedef struct table {
    slot *slots;
    size_t mask; /* slots - 1 */
    server_tenant **tenants;
    size_t count;
} table;

struct server_keys {
    pthread_mutex_t mutex; /* of all below but `watch` */
    pthread_cond_t cond;
    table now;
    server_tenant *chains[CHAINS]; /* all tenants that are held, by name */
    char fault[480];
    bool is_reload_asked;
    bool is_closing;
    pthread_t watcher;
    bool has_watcher;
    char *path;        /* NULL: nothing to watch */
    bool is_keys_file; /* tiers and tenants alone */
    uint8_t api_hash[SERVER_HASH_BYTES];
    bool has_api_key;
    struct stat seen; /* the watcher's */
    bool is_young;
};

static size_t slot_of(const uint8_t hash[SERVER_HASH_BYTES]) {
    uint64_t bits = 0;
    memcpy(&bits, hash, sizeof bits);
    return (size_t)bits;
}

/* In time that depends on nothing. */
static bool is_equal_hash(const uint8_t *a, const uint8_t *b) {
    volatile uint8_t difference = 0;
    for (size_t i = 0; i < SERVER_HASH_BYTES; i++) difference |= a[i] ^ b[i];
    return difference == 0;
}

static size_t chain_of(const char *name) {
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    for (; *name != '\0'; name++) hash = (hash ^ (uint8_t)*name) * UINT64_C(1099511628211);
    return (size_t)(hash % CHAINS);
}

/* Under keys->mutex. */
static void let_go(server_keys *keys, server_tenant *tenant) {
    TANDEM_ASSERT(tenant->holds > 0);
    if (--tenant->holds > 0) return;
    server_tenant **at = &keys->chains[chain_of(tenant->name)];
    while (*at != tenant) at = &(*at)->next;
    *at = tenant->next;
    (void)pthread_mutex_destroy(&tenant->mutex);
    tandem__mem_free(tenant);
}

static void table_deinit(server_keys *keys, table *t) {
    for (size_t i = 0; i < t->count; i++) let_go(keys, t->tenants[i]);
    tandem__mem_free(t->tenants);
    tandem__mem_free(t->slots);
    *t = (table){.slots = NULL};
}

/* The tenant of that name, kept from before or new, with its terms as they are now. */
static server_tenant *take_tenant(server_keys *keys, const char *name, const server_tier *tier) {
    server_tenant **chain = &keys->chains[chain_of(name)];
    server_tenant *tenant = *chain;
    while (tenant != NULL && strcmp(tenant->name, name) != 0) tenant = tenant->next;
    if (tenant == NULL) {
        tenant = tandem__mem_calloc(1, sizeof *tenant);
        if (tenant == NULL) return NULL;
        (void)snprintf(tenant->name, sizeof tenant->name, "%s", name);
        tenant->keys = keys;
        (void)pthread_mutex_init(&tenant->mutex, NULL);
        server_bucket_init(&tenant->bucket);
        tenant->next = *chain;
        *chain = tenant;
    }
    (void)pthread_mutex_lock(&tenant->mutex);
    tenant->tier = *tier;
    (void)pthread_mutex_unlock(&tenant->mutex);
    tenant->holds++;
    return tenant;
}

static void table_put(table *t, const uint8_t hash[SERVER_HASH_BYTES], server_tenant *tenant) {
    size_t at = slot_of(hash) & t->mask;
    while (t->slots[at].tenant != NULL) at = (at + 1) & t->mask;
    memcpy(t->slots[at].hash, hash, SERVER_HASH_BYTES);
    t->slots[at].tenant = tenant;
}

/* The tenant of the one key that stands in no file: one of the file may be called so too. */
static server_tenant *take_default(server_keys *keys, const server_tenants *tenants) {
    for (size_t i = 0; i < tenants->count; i++) {
        if (strcmp(tenants->entries[i].name, DEFAULT_NAME) == 0)
            return take_tenant(keys, DEFAULT_NAME, tenants->entries[i].tier);
    }
    return take_tenant(keys, DEFAULT_NAME, &server_tier_open);
}

/* Under keys->mutex. */
static tandem_status table_make(server_keys *keys, const server_tenants *tenants, table *out,
                                tandem_error *err) {
    size_t slots = 16;
    while (slots < 2 * (tenants->key_count + 1)) slots *= 2;
    table t = {.slots = tandem__mem_calloc(slots, sizeof *t.slots),
               .mask = slots - 1,
               .tenants = tandem__mem_calloc(tenants->count + 1, sizeof(server_tenant *))};
    bool is_enough = t.slots != NULL && t.tenants != NULL;
    for (size_t i = 0; is_enough && i < tenants->count; i++) {
        t.tenants[i] = take_tenant(keys, tenants->entries[i].name, tenants->entries[i].tier);
        is_enough = t.tenants[i] != NULL;
        t.count += is_enough;
    }
    for (size_t i = 0; is_enough && i < tenants->key_count; i++)
        table_put(&t, tenants->keys[i].hash, t.tenants[tenants->keys[i].tenant]);
    if (is_enough && keys->has_api_key) {
        server_tenant *tenant = take_default(keys, tenants);
        is_enough = tenant != NULL;
        if (is_enough) {
            t.tenants[t.count++] = tenant;
            table_put(&t, keys->api_hash, tenant);
        }
    }
    if (!is_enough) {
        table_deinit(keys, &t);
        return TANDEM_FAIL(err, MEMORY, "no memory for %zu keys", tenants->key_count);
    }
    *out = t;
    return TANDEM_OK;
}

static tandem_status replace(server_keys *keys, const server_tenants *tenants, tandem_error *err) {
    table fresh = {.slots = NULL};
    (void)pthread_mutex_lock(&keys->mutex);
    const tandem_status status = table_make(keys, tenants, &fresh, err);
    if (status == TANDEM_OK) {
        table old = keys->now;
        keys->now = fresh;
        table_deinit(keys, &old);
        keys->fault[0] = '\0';
    }
    (void)pthread_mutex_unlock(&keys->mutex);
    return status;
}

static tandem_status read_again(server_keys *keys, size_t *key_count, size_t *tenant_count,
                                tandem_error *err) {
    server_config config;
    server_config_init(&config);
    tandem_status status = TANDEM_OK;
    if (keys->is_keys_file) {
        config.keys_file = keys->path;
        status = server_config_read_keys(&config, err);
    } else {
        status = server_config_read(&config, keys->path, err);
    }
    if (status == TANDEM_OK && config.tenants_path == NULL)
        status = TANDEM_FAIL(err, FORMAT, "%s: tenants are gone from it", keys->path);
    if (status == TANDEM_OK) status = replace(keys, &config.tenants, err);
    *key_count = config.tenants.key_count;
    *tenant_count = config.tenants.count;
    server_config_deinit(&config);
    return status;
}

static bool is_same_time(struct timespec a, struct timespec b) {
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

#ifdef __APPLE__
#define MODIFIED(s) ((s).st_mtimespec)
#define CHANGED(s)  ((s).st_ctimespec)
#else
#define MODIFIED(s) ((s).st_mtim)
#define CHANGED(s)  ((s).st_ctim)
#endif

/* Whether the file is another than the one that was read. Right after a change it counts as
 * another once more: a second change within one tick of its clock leaves no trace. */
static bool is_changed(server_keys *keys) {
    struct stat now;
    memset(&now, 0, sizeof now);
    if (stat(keys->path, &now) != 0) memset(&now, 0, sizeof now); /* gone: reading says so */
    const struct stat *seen = &keys->seen;
    const bool is_other = now.st_ino != seen->st_ino || now.st_size != seen->st_size ||
                          !is_same_time(MODIFIED(now), MODIFIED(*seen)) ||
                          !is_same_time(CHANGED(now), CHANGED(*seen));
    const bool was_young = keys->is_young;
    keys->is_young = time(NULL) - CHANGED(now).tv_sec <= YOUNG_SECONDS;
    keys->seen = now;
    return is_other || (was_young && !keys->is_young);
}

static void reload(server_keys *keys, bool is_said) {
    tandem_error err = {.status = TANDEM_OK};
    size_t key_count = 0;
    size_t tenant_count = 0;
    if (read_again(keys, &key_count, &tenant_count, &err) == TANDEM_OK) {
        if (is_said)
            tandem__log(TANDEM_LOG_INFO, "keys: %s read again: %zu keys of %zu tenants", keys->path,
                        key_count, tenant_count);
        return;
    }
    (void)pthread_mutex_lock(&keys->mutex);
    const bool is_new = strcmp(keys->fault, err.message) != 0;
    (void)snprintf(keys->fault, sizeof keys->fault, "%s", err.message);
    (void)pthread_mutex_unlock(&keys->mutex);
    if (is_new) tandem__log(TANDEM_LOG_ERROR, "keys: the old ones stay in force: %s", err.message);
}

static void *watch(void *context) {
    server_keys *keys = context;
    bool is_said = false; /* the first time is of the start */
    (void)pthread_mutex_lock(&keys->mutex);
    while (!keys->is_closing) {
        const bool is_asked = keys->is_reload_asked;
        keys->is_reload_asked = false;
        (void)pthread_mutex_unlock(&keys->mutex);
        const bool is_other = is_changed(keys);
        if (is_asked || is_other) reload(keys, is_said);
        is_said = true;
        (void)pthread_mutex_lock(&keys->mutex);
        const uint64_t until_ns = tandem__clock_ns() + CHECK_NS;
        while (!keys->is_closing && !keys->is_reload_asked && tandem__clock_ns() < until_ns)
            tandem__cond_wait(&keys->cond, &keys->mutex, until_ns);
    }
    (void)pthread_mutex_unlock(&keys->mutex);
    return NULL;
}

static tandem_status start_watching(server_keys *keys, const server_config *config,
                                    tandem_error *err) {
    const char *path = config->tenants_path;
    if (path == NULL) return TANDEM_OK;
    keys->path = tandem__mem_calloc(strlen(path) + 1, 1);
    if (keys->path == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for the keys");
    memcpy(keys->path, path, strlen(path));
    keys->is_keys_file = config->keys_file != NULL && strcmp(config->keys_file, path) == 0;
    keys->is_reload_asked = true; /* the file may have changed since it was read */
    if (pthread_create(&keys->watcher, NULL, watch, keys) != 0)
        return TANDEM_FAIL(err, MEMORY, "no thread to watch %s", path);
    keys->has_watcher = true;
    return TANDEM_OK;
}

tandem_status server_keys_open(const server_config *config, server_keys **out, tandem_error *err) {
    *out = NULL;
    server_keys *keys = tandem__mem_calloc(1, sizeof *keys);
    if (keys == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for the keys");
    if (!tandem__cond_init(&keys->cond)) {
        tandem__mem_free(keys);
        return TANDEM_FAIL(err, MEMORY, "no memory for the keys");
    }
    (void)pthread_mutex_init(&keys->mutex, NULL);
    if (config->api_key != NULL) {
        server_key_hash(config->api_key, strlen(config->api_key), keys->api_hash);
        keys->has_api_key = true;
    }
    tandem_status status = replace(keys, &config->tenants, err);
    if (status == TANDEM_OK) status = start_watching(keys, config, err);
    if (status != TANDEM_OK) {
        server_keys_close(keys);
        return status;
    }
    *out = keys;
    return TANDEM_OK;
}

void server_keys_close(server_keys *keys) {
    if (keys == NULL) return;
    (void)pthread_mutex_lock(&keys->mutex);
    keys->is_closing = true;
    (void)pthread_cond_signal(&keys->cond);
    (void)pthread_mutex_unlock(&keys->mutex);
    if (keys->has_watcher) (void)pthread_join(keys->watcher, NULL);
    table_deinit(keys, &keys->now);
    for (size_t i = 0; i < CHAINS; i++) TANDEM_ASSERT(keys->chains[i] == NULL);
    tandem__mem_free(keys->path);
    (void)pthread_cond_destroy(&keys->cond);
    (void)pthread_mutex_destroy(&keys->mutex);
    tandem__mem_free(keys);
}

void server_keys_reload(server_keys *keys) {
    (void)pthread_mutex_lock(&keys->mutex);
    keys->is_reload_asked = true;
    (void)pthread_cond_signal(&keys->cond);
    (void)pthread_mutex_unlock(&keys->mutex);
}

bool server_keys_fault(server_keys *keys, char *out, size_t size) {
    (void)pthread_mutex_lock(&keys->mutex);
    (void)snprintf(out, size, "%s", keys->fault);
    (void)pthread_mutex_unlock(&keys->mutex);
    return out[0] != '\0';
}

static bool is_same_letters(const char *text, const char *lower, size_t len) {
    for (size_t i = 0; i < len; i++) {
        const char c = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] - 'A' + 'a') : text[i];
        if (c != lower[i]) return false;
    }
    return true;
}

/* The key without "Bearer " (in any case) and spaces around it. */
static tandem_str key_of(tandem_str credential) {
    static const char scheme[] = "bearer ";
    const size_t len = sizeof scheme - 1;
    while (credential.len > 0 && credential.ptr[0] == ' ') {
        credential.ptr++;
        credential.len--;
    }
    if (credential.len > len && is_same_letters(credential.ptr, scheme, len)) {
        credential.ptr += len;
        credential.len -= len;
        while (credential.len > 0 && credential.ptr[0] == ' ') {
            credential.ptr++;
            credential.len--;
        }
    }
    while (credential.len > 0 && credential.ptr[credential.len - 1] == ' ') credential.len--;
    return credential;
}

server_tenant *server_keys_find(server_keys *keys, tandem_str credential) {
    const tandem_str key = key_of(credential);
    if (key.len == 0) return NULL;
    uint8_t hash[SERVER_HASH_BYTES];
    server_key_hash(key.ptr, key.len, hash);
    server_tenant *found = NULL;
    (void)pthread_mutex_lock(&keys->mutex);
    const table *t = &keys->now;
    for (size_t at = slot_of(hash) & t->mask; t->slots[at].tenant != NULL;
         at = (at + 1) & t->mask) {
        if (!is_equal_hash(hash, t->slots[at].hash)) continue;
        found = t->slots[at].tenant;
        found->holds++;
        break;
    }
    (void)pthread_mutex_unlock(&keys->mutex);
    return found;
}

void server_tenant_put(server_tenant *tenant) {
    server_keys *keys = tenant->keys;
    (void)pthread_mutex_lock(&keys->mutex);
    let_go(keys, tenant);
    (void)pthread_mutex_unlock(&keys->mutex);
}

const char *server_tenant_name(const server_tenant *tenant) {
    return tenant->name;
}

server_tier server_tenant_tier(server_tenant *tenant) {
    (void)pthread_mutex_lock(&tenant->mutex);
    const server_tier tier = tenant->tier;
    (void)pthread_mutex_unlock(&tenant->mutex);
    return tier;
}

static tandem_status take(server_tenant *tenant, int64_t tokens, bool is_first, uint64_t now_ns,
                          uint64_t *retry_ns, tandem_error *err) {
    (void)pthread_mutex_lock(&tenant->mutex);
    const server_tier tier = tenant->tier;
    const server_bucket_answer answer =
        server_bucket_take(&tenant->bucket, &tier, tokens, is_first, now_ns, retry_ns);
    (void)pthread_mutex_unlock(&tenant->mutex);
    switch (answer) {
    case SERVER_BUCKET_TAKEN:
        break;
    case SERVER_BUCKET_BUSY:
        return TANDEM_FAIL(err, CAPACITY,
                           "tenant %s: %lld requests are under way, its tier %s "
                           "allows no more",
                           tenant->name, (long long)tier.concurrency, tier.name);
    case SERVER_BUCKET_EMPTY:
        return TANDEM_FAIL(err, CAPACITY,
                           "tenant %s: over %lld tokens a second, which its tier %s allows",
                           tenant->name, (long long)tier.tokens_per_second, tier.name);
    }
    return TANDEM_OK;
}

tandem_status server_tenant_admit(server_tenant *tenant, int64_t tokens, uint64_t now_ns,
                                  uint64_t *retry_ns, tandem_error *err) {
    return take(tenant, tokens, true, now_ns, retry_ns, err);
}

tandem_status server_tenant_admit_more(server_tenant *tenant, int64_t tokens, uint64_t now_ns,
                                       uint64_t *retry_ns, tandem_error *err) {
    return take(tenant, tokens, false, now_ns, retry_ns, err);
}

void server_tenant_settle(server_tenant *tenant, int64_t estimate, int64_t tokens,
                          uint64_t now_ns) {
    (void)pthread_mutex_lock(&tenant->mutex);
    server_bucket_settle(&tenant->bucket, &tenant->tier, estimate, tokens, now_ns);
    (void)pthread_mutex_unlock(&tenant->mutex);
}

bool server_tenant_bound(server_tenant *tenant, int32_t *priority, uint32_t *lane_classes) {
    const server_tier tier = server_tenant_tier(tenant);
    if (*priority < tier.priority) *priority = tier.priority;
    if (tier.lane_classes == 0) return true;
    const uint32_t asked = *lane_classes == 0 ? UINT32_MAX : *lane_classes;
    const uint32_t left = asked & tier.lane_classes;
    if (left == 0) return false;
    *lane_classes = left;
    return true;
}

int64_t server_tenant_price(server_tenant *tenant, server_lane_class lane_class) {
    return server_tenant_tier(tenant).price[lane_class];
}
