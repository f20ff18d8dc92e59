/* SPDX-License-Identifier: Apache-2.0 */
/* The heap. The only place that calls malloc and free, so that tests can count allocations and
 * make the N-th one fail. Sizes of zero are programmer errors. Any thread. */
#ifndef TANDEM_BASE_MEM_H
#define TANDEM_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

#include "tandem/status.h"

#define TANDEM_ALIGNMENT 64 /* bytes: a cache line and an AVX-512 vector */

/* NULL when out of memory. `count * size` is checked for overflow. Zeroed. Free with
 * tandem__mem_free. */
void *tandem__mem_calloc(size_t count, size_t size) TANDEM_NODISCARD;

/* As realloc: new bytes are undefined; on NULL the old block is untouched. */
void *tandem__mem_realloc(void *block, size_t size) TANDEM_NODISCARD;

/* 64-byte aligned, contents undefined; blocks of 2 MB and more are aligned to 2 MB and advised
 * to use huge pages. Free with tandem__mem_free_aligned and the same size. */
void *tandem__mem_alloc_aligned(size_t size) TANDEM_NODISCARD;

/* Zeroed address space, aligned to a page: memory is taken page by page (never huge ones) when it
 * is first written, so that a table of which little is used costs little. Free with
 * tandem__mem_free_sparse and the same size. */
void *tandem__mem_alloc_sparse(size_t size) TANDEM_NODISCARD;

void tandem__mem_free(void *block);
void tandem__mem_free_aligned(void *block, size_t size);
void tandem__mem_free_sparse(void *block, size_t size);

/* Test hooks. The count is of successful allocations since start. With `fail_at` = N > 0 the N-th
 * allocation from now returns NULL, once; 0 disarms. */
uint64_t tandem__mem_count(void);
void tandem__mem_fail_at(uint64_t fail_at);

#endif
