/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif

#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(address, bytes)   ASAN_POISON_MEMORY_REGION((address), (bytes))
#define UNPOISON(address, bytes) ASAN_UNPOISON_MEMORY_REGION((address), (bytes))
#define REDZONE_BYTES            16
#else
#define POISON(address, bytes)   ((void)(address), (void)(bytes))
#define UNPOISON(address, bytes) ((void)(address), (void)(bytes))
#define REDZONE_BYTES            0
#endif

#define CHUNK_BYTES_MIN ((size_t)64 << 10)
#define CHUNK_BYTES_MAX ((size_t)4 << 20)

struct tandem_arena_chunk {
    tandem_arena_chunk *previous;
    size_t size; /* bytes, this header included */
    size_t used; /* bytes, this header included */
    uint8_t padding[TANDEM_ALIGNMENT - sizeof(void *) - 2 * sizeof(size_t)];
};
_Static_assert(sizeof(tandem_arena_chunk) == TANDEM_ALIGNMENT, "objects start aligned");

void tandem__arena_init(tandem_arena *arena, size_t bytes_max) {
    TANDEM_ASSERT(bytes_max > 0);
    *arena = (tandem_arena){.bytes_max = bytes_max};
}

void tandem__arena_deinit(tandem_arena *arena) {
    tandem_arena_chunk *chunk = arena->head;
    while (chunk != NULL) {
        tandem_arena_chunk *previous = chunk->previous;
        UNPOISON(chunk, chunk->size);
        tandem__mem_free_aligned(chunk, chunk->size);
        chunk = previous;
    }
    *arena = (tandem_arena){.bytes_max = arena->bytes_max};
}

void tandem__arena_reset(tandem_arena *arena) {
    tandem_arena_chunk *first = arena->head;
    while (first != NULL && first->previous != NULL) {
        tandem_arena_chunk *previous = first->previous;
        UNPOISON(first, first->size);
        tandem__mem_free_aligned(first, first->size);
        first = previous;
    }
    if (first != NULL) {
        first->used = sizeof *first;
        POISON((uint8_t *)first + first->used, first->size - first->used);
    }
    arena->head = first;
    arena->bytes_used = first == NULL ? 0 : first->size;
}

static size_t round_up(size_t value, size_t alignment) {
    return (value + alignment - 1) & ~(alignment - 1);
}

static int chunk_push(tandem_arena *arena, size_t need) {
    size_t size = arena->head == NULL ? CHUNK_BYTES_MIN : arena->head->size * 2;
    if (size > CHUNK_BYTES_MAX) size = CHUNK_BYTES_MAX;
    if (need > SIZE_MAX - 2 * TANDEM_ALIGNMENT) return 0;
    const size_t least = round_up(need + sizeof(tandem_arena_chunk), TANDEM_ALIGNMENT);
    if (size < least) size = least;
    const size_t left = arena->bytes_max - arena->bytes_used;
    if (size > left) size = least; /* near the bound, take only what is needed */
    if (size > left) return 0;
    tandem_arena_chunk *chunk = tandem__mem_alloc_aligned(size);
    if (chunk == NULL) return 0;
    chunk->previous = arena->head;
    chunk->size = size;
    chunk->used = sizeof *chunk;
    POISON((uint8_t *)chunk + chunk->used, size - chunk->used);
    arena->head = chunk;
    arena->bytes_used += size;
    return 1;
}

void *tandem__arena_alloc(tandem_arena *arena, size_t size) {
    if (size > SIZE_MAX / 2) return NULL;
    const size_t alignment = size >= TANDEM_ALIGNMENT ? TANDEM_ALIGNMENT : 16;
    tandem_arena_chunk *chunk = arena->head;
    size_t start = chunk == NULL ? 0 : round_up(chunk->used, alignment);
    if (chunk == NULL || start > chunk->size || chunk->size - start < size + REDZONE_BYTES) {
        if (!chunk_push(arena, size + REDZONE_BYTES)) return NULL;
        chunk = arena->head;
        start = chunk->used;
    }
    uint8_t *object = (uint8_t *)chunk + start;
    UNPOISON(object, size);
    memset(object, 0, size);
    chunk->used = start + size + REDZONE_BYTES;
    return object;
}

void *tandem__arena_array(tandem_arena *arena, size_t count, size_t size) {
    if (size != 0 && count > SIZE_MAX / size) return NULL;
    return tandem__arena_alloc(arena, count * size);
}

char *tandem__arena_copy(tandem_arena *arena, const char *bytes, size_t len) {
    if (len == SIZE_MAX) return NULL;
    char *copy = tandem__arena_alloc(arena, len + 1);
    if (copy == NULL) return NULL;
    if (len > 0) memcpy(copy, bytes, len);
    return copy;
}
