/* SPDX-License-Identifier: Apache-2.0 */
/* The checker: what clang's thread sanitizer calls at every load and store of the checked build,
 * under other names (see CMakeLists.txt), so that this and not the sanitizer's library answers.
 *
 * A cell for every 2 bytes that may be written remembers the last store and the last load. Two
 * touches of the same bytes are in order if the same thread made them or a barrier of the right
 * kind lies between: one of the threadgroup, or for lanes of one simdgroup one of theirs. The rules
 * of the language judge, not luck: a race is found in whatever order the threads ran. */
#include <stdlib.h>
#include <string.h>

#include "apple/msl/msl_internal.h"

enum { CELL = 2, REGIONS_MAX = 48 };

/* Stores and loads by "group + 1"; 0: none yet. */
typedef struct check_cell {
    uint32_t store_group;
    uint32_t load_group;
    uint16_t store_thread;
    uint16_t load_thread;
    uint16_t store_epoch;
    uint16_t load_epoch;
    uint16_t store_sub;
    uint16_t load_sub;
    bool is_by_many;  /* lanes of load_thread's simdgroup have loaded it since their barrier */
    bool is_by_simds; /* simdgroups have loaded it since the threadgroup's barrier */
} check_cell;

typedef struct check_region {
    msl_region at;
    check_cell *cells; /* NULL: const */
} check_region;

static check_region regions[REGIONS_MAX];
static int region_count;

void msl__check_begin(void) {
    region_count = 0;
}

void msl__check_add(const msl_region *region) {
    check_region *to = &regions[region_count++];
    *to = (check_region){.at = *region};
    if (!region->is_const) to->cells = calloc(region->bytes / CELL + 1, sizeof *to->cells);
}

void msl__check_end(void) {
    for (int i = 0; i < region_count; i++) free(regions[i].cells);
    region_count = 0;
}

static const char *name_of(const msl_region *region) {
    return region->space == MSL_SPACE_DEVICE ? "buffer" : "threadgroup memory";
}

static bool is_store_before(const check_cell *cell, msl_place me) {
    if (cell->store_group == 0) return true;
    if (cell->store_group != me.group + 1) return false;
    if (cell->store_thread == me.thread || cell->store_epoch != me.epoch) return true;
    return cell->store_thread / MSL_LANES == me.thread / MSL_LANES &&
           cell->store_sub != me.sub_epoch;
}

static bool is_load_before(const check_cell *cell, msl_place me) {
    if (cell->load_group == 0) return true;
    if (cell->load_group != me.group + 1) return false;
    if (cell->load_epoch != me.epoch) return true;
    if (cell->is_by_simds || cell->load_thread / MSL_LANES != me.thread / MSL_LANES) return false;
    if (cell->load_sub != me.sub_epoch) return true;
    return !cell->is_by_many && cell->load_thread == me.thread;
}

static void note_store(check_cell *cell, msl_place me) {
    cell->store_group = me.group + 1;
    cell->store_thread = me.thread;
    cell->store_epoch = me.epoch;
    cell->store_sub = me.sub_epoch;
    cell->load_group = 0;
}

static void note_load(check_cell *cell, msl_place me) {
    const bool is_since_barrier = cell->load_group == me.group + 1 && cell->load_epoch == me.epoch;
    const bool is_same_simd = cell->load_thread / MSL_LANES == me.thread / MSL_LANES;
    if (!is_since_barrier) {
        cell->is_by_simds = cell->is_by_many = false;
    } else if (!is_same_simd) {
        cell->is_by_simds = true;
    } else if (cell->load_sub != me.sub_epoch) {
        cell->is_by_many = false;
    } else if (cell->load_thread != me.thread) {
        cell->is_by_many = true;
    }
    cell->load_group = me.group + 1;
    cell->load_thread = me.thread;
    cell->load_epoch = me.epoch;
    cell->load_sub = me.sub_epoch;
}

static bool is_written(const check_region *region, size_t offset, const check_cell *cell,
                       msl_place me) {
    if (region->at.space == MSL_SPACE_THREADGROUP) return cell->store_group == me.group + 1;
    if (region->at.written == NULL) return true;
    return region->at.written[offset] != 0;
}

/* One cell's worth of an access; false when it was a fault. */
static bool check_cell_access(check_region *region, size_t offset, bool is_store, const void *pc) {
    const msl_region *at = &region->at;
    const msl_place me = msl__place(at->space);
    check_cell none = {0};
    check_cell *cell = region->cells == NULL ? &none : &region->cells[offset / CELL];
    /* Every threadgroup has memory of its own. */
    if (at->space == MSL_SPACE_THREADGROUP && cell->store_group != me.group + 1) *cell = none;
    if (!is_store && !is_written(region, offset, cell, me)) {
        msl__fail(pc, "thread %u loads unwritten %s %d at byte %zu", me.thread, name_of(at),
                  at->index, offset);
        return false;
    }
    if (region->cells == NULL) return true;
    if (!is_store_before(cell, me)) {
        msl__fail(pc,
                  "race on %s %d byte %zu: thread %u of threadgroup %u %s after the store of "
                  "thread %u of threadgroup %u",
                  name_of(at), at->index, offset, me.thread, me.group,
                  is_store ? "stores" : "loads", cell->store_thread, cell->store_group - 1);
        return false;
    }
    if (!is_store) {
        note_load(cell, me);
        return true;
    }
    if (!is_load_before(cell, me)) {
        msl__fail(pc,
                  "race on %s %d byte %zu: thread %u of threadgroup %u stores after the load "
                  "of thread %u of threadgroup %u",
                  name_of(at), at->index, offset, me.thread, me.group, cell->load_thread,
                  cell->load_group - 1);
        return false;
    }
    note_store(cell, me);
    if (at->written != NULL) memset(at->written + offset, 1, CELL);
    return true;
}

static check_region *find_region(const char *data) {
    for (int i = 0; i < region_count; i++) {
        if (data >= regions[i].at.data && data < regions[i].at.data + regions[i].at.bytes)
            return &regions[i];
    }
    return NULL;
}

/* For people: which region an address is behind. */
static void fail_outside(const char *address, size_t bytes, const char *verb, const void *pc) {
    const unsigned thread = msl__place(0).thread;
    const check_region *nearest = NULL;
    size_t after = SIZE_MAX;
    for (int i = 0; i < region_count; i++) {
        const char *end = regions[i].at.data + regions[i].at.bytes;
        if (address < end || (size_t)(address - end) >= after) continue;
        after = (size_t)(address - end);
        nearest = &regions[i];
    }
    if (nearest == NULL) {
        msl__fail(pc, "thread %u %s %zu bytes outside every buffer", thread, verb, bytes);
        return;
    }
    msl__fail(pc, "thread %u %s %zu bytes outside every buffer, %zu after the end of %s %d", thread,
              verb, bytes, after, name_of(&nearest->at), nearest->at.index);
}

static void check_access(const void *address, size_t bytes, size_t align, bool is_store,
                         const void *pc) {
    if (!msl__is_running() || msl__is_private(address)) return;
    const char *verb = is_store ? "stores" : "loads";
    const unsigned thread = msl__place(0).thread;
    check_region *region = find_region(address);
    if (region == NULL) {
        fail_outside(address, bytes, verb, pc);
        return;
    }
    const msl_region *at = &region->at;
    const size_t offset = (size_t)((const char *)address - at->data);
    if (offset + bytes > at->bytes) {
        msl__fail(pc, "thread %u %s past the end of %s %d, byte %zu of %zu", thread, verb,
                  name_of(at), at->index, offset + bytes - 1, at->bytes);
    } else if ((uintptr_t)address % align != 0 || bytes % CELL != 0) {
        msl__fail(pc, "thread %u %s %zu bytes of %s %d at byte %zu: misaligned", thread, verb,
                  bytes, name_of(at), at->index, offset);
    } else if (at->is_const && is_store) {
        msl__fail(pc, "thread %u stores to const %s %d", thread, name_of(at), at->index);
    } else {
        for (size_t i = 0; i < bytes; i += CELL) {
            if (!check_cell_access(region, offset + i, is_store, pc)) return;
        }
    }
}

/* The sanitizer's calls. */

#define PC __builtin_return_address(0)
#define MSL_HOOK(bytes)                                                                            \
    void msl__tsan_read##bytes(void *at);                                                          \
    void msl__tsan_write##bytes(void *at);                                                         \
    void msl__tsan_unaligned_read##bytes(void *at);                                                \
    void msl__tsan_unaligned_write##bytes(void *at);                                               \
    void msl__tsan_read##bytes(void *at) {                                                         \
        check_access(at, bytes, bytes, false, PC);                                                 \
    }                                                                                              \
    void msl__tsan_write##bytes(void *at) {                                                        \
        check_access(at, bytes, bytes, true, PC);                                                  \
    }                                                                                              \
    void msl__tsan_unaligned_read##bytes(void *at) {                                               \
        check_access(at, bytes, CELL, false, PC);                                                  \
    }                                                                                              \
    void msl__tsan_unaligned_write##bytes(void *at) {                                              \
        check_access(at, bytes, CELL, true, PC);                                                   \
    }
MSL_HOOK(1)
MSL_HOOK(2)
MSL_HOOK(4)
MSL_HOOK(8)
MSL_HOOK(16)

/* The others, by a macro as well, for it is the renamed object that calls them. */
#define MSL_OTHER_HOOKS                                                                            \
    void msl__tsan_init(void);                                                                     \
    void *msl__tsan_memcpy(void *to, const void *from, size_t bytes);                              \
    void *msl__tsan_memset(void *to, int value, size_t bytes);                                     \
    void msl__tsan_init(void) {}                                                                   \
    void *msl__tsan_memcpy(void *to, const void *from, size_t bytes) {                             \
        check_access(from, bytes, CELL, false, PC);                                                \
        check_access(to, bytes, CELL, true, PC);                                                   \
        return memcpy(to, from, bytes);                                                            \
    }                                                                                              \
    void *msl__tsan_memset(void *to, int value, size_t bytes) {                                    \
        check_access(to, bytes, CELL, true, PC);                                                   \
        return memset(to, value, bytes);                                                           \
    }
MSL_OTHER_HOOKS
