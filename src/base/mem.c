/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/assert.h"

#define HUGE_PAGE_BYTES ((size_t)2 << 20)

static _Atomic uint64_t allocation_count;
static _Atomic uint64_t allocation_fail_at; /* 0 = disarmed, else how many allocations from now */

static int may_allocate(void) {
    if (atomic_load_explicit(&allocation_fail_at, memory_order_relaxed) != 0 &&
        atomic_fetch_sub_explicit(&allocation_fail_at, 1, memory_order_relaxed) == 1) {
        return 0;
    }
    return 1;
}

static void *counted(void *block) {
    if (block != NULL) atomic_fetch_add_explicit(&allocation_count, 1, memory_order_relaxed);
    return block;
}

void *tandem__mem_calloc(size_t count, size_t size) {
    TANDEM_ASSERT(count > 0);
    TANDEM_ASSERT(size > 0);
    if (!may_allocate()) return NULL;
    return counted(calloc(count, size));
}

void *tandem__mem_realloc(void *block, size_t size) {
    TANDEM_ASSERT(size > 0);
    if (!may_allocate()) return NULL;
    return counted(realloc(block, size));
}

void *tandem__mem_alloc_aligned(size_t size) {
    TANDEM_ASSERT(size > 0);
    if (!may_allocate()) return NULL;
    if (size > SIZE_MAX - HUGE_PAGE_BYTES) return NULL;
    const size_t alignment = size >= HUGE_PAGE_BYTES ? HUGE_PAGE_BYTES : TANDEM_ALIGNMENT;
    void *block = NULL;
    if (posix_memalign(&block, alignment, size) != 0) return NULL;
#ifdef MADV_HUGEPAGE
    if (size >= HUGE_PAGE_BYTES) (void)madvise(block, size & ~(HUGE_PAGE_BYTES - 1), MADV_HUGEPAGE);
#endif
    return counted(block);
}

void *tandem__mem_alloc_sparse(size_t size) {
    TANDEM_ASSERT(size > 0);
    if (!may_allocate()) return NULL;
    void *block = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED) return NULL;
#ifdef MADV_NOHUGEPAGE
    (void)madvise(block, size, MADV_NOHUGEPAGE);
#endif
    return counted(block);
}

void tandem__mem_free_sparse(void *block, size_t size) {
    if (block != NULL) (void)munmap(block, size);
}

void tandem__mem_free(void *block) {
    free(block);
}

void tandem__mem_free_aligned(void *block, size_t size) {
    (void)size; /* part of the contract: a later allocator may unmap */
    free(block);
}

uint64_t tandem__mem_count(void) {
    return atomic_load_explicit(&allocation_count, memory_order_relaxed);
}

void tandem__mem_fail_at(uint64_t fail_at) {
    atomic_store_explicit(&allocation_fail_at, fail_at, memory_order_relaxed);
}
