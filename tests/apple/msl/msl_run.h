/* SPDX-License-Identifier: Apache-2.0 */
/* Executes the Metal kernels on the processor, for tests: the very source that ships, compiled by
 * clang over stand_in/metal_stdlib, each thread of a threadgroup a fiber, one threadgroup after the
 * other. A simdgroup has 32 lanes. Linked statically: link the target `msl_run`.
 *
 * Whatever a device would leave undefined stops the dispatch with a message that has the kernel,
 * the threadgroup and file:line of the .metal file:
 *
 *   every build   threads that wait at different barriers or have left before one; simdgroup
 *                 operations in divergent lanes; an argument unbound or too small; a stack overrun
 *   MSL_CHECKED   also a load or store outside every buffer, past the end of one, misaligned, or
 *                 to a const one; a load of memory that nobody has written; two threads of a
 *                 threadgroup, or two threadgroups, that touch the same bytes without a barrier of
 *                 the right kind between them, one of them to store
 *
 * One dispatch at a time; a second thread waits for its turn. */
#ifndef TANDEM_TESTS_MSL_RUN_H
#define TANDEM_TESTS_MSL_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MSL_BUFFERS      31
#define MSL_THREADGROUPS 8

typedef enum msl_build {
    MSL_CHECKED = 0,   /* some 0.02 GFLOP/s */
    MSL_FAST = 1,      /* some GFLOP/s; AVX2 */
    MSL_FAST_MATH = 2, /* MSL_FAST compiled with -ffast-math, as Metal does by default */
} msl_build;

typedef struct msl_buffer {
    void *data; /* NULL: not bound */
    size_t bytes;
    /* [bytes], not 0 where `data` has been written; kernels add to it. NULL: all of it has been. */
    uint8_t *written;
} msl_buffer;

typedef struct msl_dispatch {
    const char *kernel;
    msl_buffer buffers[MSL_BUFFERS];
    size_t threadgroup_bytes[MSL_THREADGROUPS]; /* of [[threadgroup(n)]] arguments */
    uint32_t groups[3];
    uint32_t threads[3]; /* of a threadgroup */
    uint32_t seed;       /* 0: threads take their turns in order, else shuffled by it */
} msl_dispatch;

typedef struct msl_report {
    char message[400]; /* "" when the dispatch was sound */
    size_t
        threadgroup_bytes; /* MSL_CHECKED: static threadgroup memory from first to last touched */
} msl_report;

/* True if sound. */
bool msl_run(msl_build build, const msl_dispatch *dispatch, msl_report *report);

/* Whether the source has this kernel. */
bool msl_has_kernel(const char *kernel);

/* The source that was compiled, for a stand-in that must be given the same: the text of
 * metal_source. */
const char *msl_source(void);

#endif
