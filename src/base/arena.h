/* SPDX-License-Identifier: Apache-2.0 */
/* An arena: many small objects with one lifetime.
 *
 *     chunk 0                         chunk 1
 *     [header][obj obj obj ... free]  [header][obj ... free]      each chunk 64-byte aligned
 *
 * Objects are never freed alone. The bound `bytes_max` covers all chunks, so that a hostile file
 * cannot make a parser take the machine's memory. One thread at a time. Under AddressSanitizer
 * free space is poisoned. */
#ifndef TANDEM_BASE_ARENA_H
#define TANDEM_BASE_ARENA_H

#include <stddef.h>

#include "tandem/status.h"

typedef struct tandem_arena_chunk tandem_arena_chunk;

typedef struct tandem_arena {
    tandem_arena_chunk *head; /* newest chunk */
    size_t bytes_used;        /* taken from the heap so far, all chunks */
    size_t bytes_max;
} tandem_arena;

void tandem__arena_init(tandem_arena *arena, size_t bytes_max);
void tandem__arena_deinit(tandem_arena *arena);

/* Empties it and keeps its first chunk, for the next objects. */
void tandem__arena_reset(tandem_arena *arena);

/* `size` zeroed bytes, aligned to 16 (to 64 if size >= 64); NULL over the bound or when the heap
 * is empty. A size of zero gives a valid pointer. */
void *tandem__arena_alloc(tandem_arena *arena, size_t size) TANDEM_NODISCARD;

/* count * size with the overflow checked. */
void *tandem__arena_array(tandem_arena *arena, size_t count, size_t size) TANDEM_NODISCARD;

/* A NUL-terminated copy of `len` bytes; NULL as above. */
char *tandem__arena_copy(tandem_arena *arena, const char *bytes, size_t len) TANDEM_NODISCARD;

#endif
