/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sha.h"

#include <string.h>

/* FIPS 180-4, 4.2.2: fractional parts of the cube roots of the first 64 primes. */
/* clang-format off */
static const uint32_t sha256_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};
/* clang-format on */

static inline uint32_t rotate_left(uint32_t x, int count) {
    return (x << count) | (x >> (32 - count));
}

static inline uint32_t rotate_right(uint32_t x, int count) {
    return (x >> count) | (x << (32 - count));
}

static inline uint32_t load_be32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void sha1_block(uint32_t *state, const uint8_t *block) {
    uint32_t w[80];
    for (int t = 0; t < 16; t++) w[t] = load_be32(block + 4 * t);
    for (int t = 16; t < 80; t++) {
        w[t] = rotate_left(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    }
    uint32_t v[5]; /* a to e of the standard */
    memcpy(v, state, sizeof v);
    for (int t = 0; t < 80; t++) {
        uint32_t f = v[1] ^ v[2] ^ v[3];
        uint32_t k = t < 40 ? 0x6ed9eba1 : 0xca62c1d6;
        if (t < 20) {
            f = (v[1] & v[2]) | (~v[1] & v[3]);
            k = 0x5a827999;
        } else if (t >= 40 && t < 60) {
            f = (v[1] & v[2]) | (v[1] & v[3]) | (v[2] & v[3]);
            k = 0x8f1bbcdc;
        }
        const uint32_t next = rotate_left(v[0], 5) + f + v[4] + k + w[t];
        v[4] = v[3];
        v[3] = v[2];
        v[2] = rotate_left(v[1], 30);
        v[1] = v[0];
        v[0] = next;
    }
    for (int i = 0; i < 5; i++) state[i] += v[i];
}

static void sha256_block(uint32_t *state, const uint8_t *block) {
    uint32_t w[64];
    for (int t = 0; t < 16; t++) w[t] = load_be32(block + 4 * t);
    for (int t = 16; t < 64; t++) {
        const uint32_t x = w[t - 15];
        const uint32_t y = w[t - 2];
        const uint32_t s0 = rotate_right(x, 7) ^ rotate_right(x, 18) ^ (x >> 3);
        const uint32_t s1 = rotate_right(y, 17) ^ rotate_right(y, 19) ^ (y >> 10);
        w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }
    uint32_t v[8]; /* a to h of the standard */
    memcpy(v, state, sizeof v);
    for (int t = 0; t < 64; t++) {
        const uint32_t a = v[0];
        const uint32_t e = v[4];
        const uint32_t s1 = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
        const uint32_t s0 = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
        const uint32_t choice = (e & v[5]) ^ (~e & v[6]);
        const uint32_t majority = (a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]);
        const uint32_t t1 = v[7] + s1 + choice + sha256_k[t] + w[t];
        v[7] = v[6];
        v[6] = v[5];
        v[5] = e;
        v[4] = v[3] + t1;
        v[3] = v[2];
        v[2] = v[1];
        v[1] = a;
        v[0] = t1 + s0 + majority;
    }
    for (int i = 0; i < 8; i++) state[i] += v[i];
}

static void take_block(tandem_sha *sha, const uint8_t *block) {
    if (sha->kind == TANDEM_SHA_1)
        sha1_block(sha->state, block);
    else
        sha256_block(sha->state, block);
}

/* FIPS 180-4, 5.3.1 and 5.3.3. */
void tandem__sha_init(tandem_sha *sha, tandem_sha_kind kind) {
    static const uint32_t start1[8] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    static const uint32_t start256[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    *sha = (tandem_sha){.kind = kind};
    memcpy(sha->state, kind == TANDEM_SHA_1 ? start1 : start256, sizeof sha->state);
}

void tandem__sha_update(tandem_sha *sha, const void *bytes, size_t len) {
    const uint8_t *from = bytes;
    const size_t waiting = (size_t)(sha->bytes % 64);
    sha->bytes += len;
    if (waiting > 0) {
        const size_t more = len < 64 - waiting ? len : 64 - waiting;
        memcpy(sha->block + waiting, from, more);
        from += more;
        len -= more;
        if (waiting + more < 64) return;
        take_block(sha, sha->block);
    }
    for (; len >= 64; from += 64, len -= 64) take_block(sha, from);
    if (len > 0) memcpy(sha->block, from, len);
}

void tandem__sha_finish(tandem_sha *sha, char hex[TANDEM_SHA_HEX_MAX]) {
    static const char digits[] = "0123456789abcdef";
    const uint64_t bits = sha->bytes * 8;
    const size_t waiting = (size_t)(sha->bytes % 64);
    uint8_t tail[72] = {0x80}; /* then zeros up to 8 bytes before a block ends, then the length */
    const size_t zeros_end = waiting < 56 ? 56 - waiting : 120 - waiting;
    for (size_t i = 0; i < 8; i++) tail[zeros_end + i] = (uint8_t)(bits >> (56 - 8 * i));
    tandem__sha_update(sha, tail, zeros_end + 8);
    const size_t words = sha->kind == TANDEM_SHA_1 ? 5 : 8;
    for (size_t i = 0; i < 8 * words; i++) {
        hex[i] = digits[(sha->state[i / 8] >> (28 - 4 * (i % 8))) & 15];
    }
    hex[8 * words] = '\0';
}
