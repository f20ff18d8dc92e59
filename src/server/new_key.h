/* SPDX-License-Identifier: Apache-2.0 */
/* New keys, for `tandem key`. Any thread. */
#ifndef TANDEM_SERVER_NEW_KEY_H
#define TANDEM_SERVER_NEW_KEY_H

#include <stdbool.h>
#include <stddef.h>

#include "tandem/status.h"

#define SERVER_KEY_BYTES      48 /* "tdm_", 43 letters and digits, NUL: 256 random bits */
#define SERVER_KEY_HASH_BYTES 72 /* "sha256:", 64 hexadecimal digits, NUL */

/* A key that nobody has, from the system's random numbers. */
tandem_status server_key_make(char key[SERVER_KEY_BYTES], tandem_error *err) TANDEM_NODISCARD;

/* Whether a tenant or a tier may be called so; NULL is no name. */
bool server_is_name(const char *name);

/* What stands for the key in a file. */
void server_key_say_hash(const char *key, size_t len, char hash[SERVER_KEY_HASH_BYTES]);

#endif
