/* SPDX-License-Identifier: Apache-2.0 */
#include "server/new_key.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/file.h"
#include "server/tenants.h"

#define PREFIX       "tdm_" /* for tools that look for secrets in what is about to be published */
#define PREFIX_BYTES (sizeof PREFIX - 1)
#define POOL_BYTES   64 /* random bytes taken at a time */

static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

#define LETTERS (sizeof letters - 1)

bool server_is_name(const char *name) {
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@";
    const size_t len = name == NULL ? 0 : strlen(name);
    return len > 0 && len < SERVER_NAME_BYTES && strspn(name, allowed) == len;
}

tandem_status server_key_make(char key[SERVER_KEY_BYTES], tandem_error *err) {
    uint8_t pool[POOL_BYTES];
    size_t left = 0;
    memcpy(key, PREFIX, PREFIX_BYTES);
    for (size_t i = PREFIX_BYTES; i < SERVER_KEY_BYTES - 1;) {
        if (left == 0) {
            if (getentropy(pool, sizeof pool) != 0)
                return tandem__fail_errno(err, "a new key", "no random bytes");
            left = sizeof pool;
        }
        const uint8_t byte = pool[--left];
        if (byte >= 256 / LETTERS * LETTERS) continue; /* else the first letters were likelier */
        key[i++] = letters[byte % LETTERS];
    }
    key[SERVER_KEY_BYTES - 1] = '\0';
    return TANDEM_OK;
}

void server_key_say_hash(const char *key, size_t len, char hash[SERVER_KEY_HASH_BYTES]) {
    uint8_t bytes[SERVER_HASH_BYTES];
    server_key_hash(key, len, bytes);
    size_t used = (size_t)snprintf(hash, SERVER_KEY_HASH_BYTES, "sha256:");
    for (size_t i = 0; i < sizeof bytes; i++)
        used += (size_t)snprintf(hash + used, SERVER_KEY_HASH_BYTES - used, "%02x", bytes[i]);
}
