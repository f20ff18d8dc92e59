/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-1 and SHA-256 (FIPS 180-4) of bytes that come in pieces: the Hub names large files by the
 * one and small files, as git does, by the other. For checking what was downloaded, not for
 * secrets: SHA-1 withstands accidents only.
 *
 * Plain C, no library: the one under libcurl is not the same on every system. About 0.3 GB/s,
 * more than most networks give. One thread at a time on one state. */
#ifndef TANDEM_BASE_SHA_H
#define TANDEM_BASE_SHA_H

#include <stddef.h>
#include <stdint.h>

typedef enum tandem_sha_kind {
    TANDEM_SHA_1 = 1,
    TANDEM_SHA_256 = 256,
} tandem_sha_kind;

#define TANDEM_SHA_HEX_MAX 65 /* characters of SHA-256 in hexadecimal, and the NUL */

typedef struct tandem_sha {
    tandem_sha_kind kind;
    uint32_t state[8]; /* SHA-1 uses five */
    uint64_t bytes;    /* taken so far */
    uint8_t block[64]; /* the first bytes % 64 of it wait here */
} tandem_sha;

void tandem__sha_init(tandem_sha *sha, tandem_sha_kind kind);
void tandem__sha_update(tandem_sha *sha, const void *bytes, size_t len);

/* Ends the message and writes its hash in lower-case hexadecimal: 40 or 64 characters and NUL. */
void tandem__sha_finish(tandem_sha *sha, char hex[TANDEM_SHA_HEX_MAX]);

#endif
