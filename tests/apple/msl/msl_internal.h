/* SPDX-License-Identifier: Apache-2.0 */
/* Between the runtime (msl_run.c, msl_simd.c) and the checker (msl_check.c). */
#ifndef TANDEM_TESTS_MSL_INTERNAL_H
#define TANDEM_TESTS_MSL_INTERNAL_H

#include "apple/msl/msl_device.h"
#include "apple/msl/msl_run.h"

enum { MSL_LANES = 32 };
enum { MSL_MULTIPLY = 4, MSL_UNIFORM = 5 }; /* operations besides those of msl_device.h */

/* A thread of the threadgroup that runs. */
typedef struct msl_fiber {
    void *sp; /* first: the switch below knows */
    char *stack;
    const void *pc; /* where it waits */
    int line;
    int waits; /* MSL_THREADGROUP_BARRIER, ...; 0: it can run */
    int flags;
    int operation;
    unsigned argument;
    unsigned long values[2];
    const float *in;
    float *out;
    float value;
    uint16_t epoch[2];
    uint16_t sub_epoch[2];
    bool is_done;
    msl_thread thread;
} msl_fiber;

/* Does what all the live ones of `count` lanes wait for; `live` is how many those are. */
void msl__exchange(msl_fiber *lanes, unsigned count, unsigned live);

/* Who touches memory: threadgroup and thread by number, how many barriers that order the kind of
 * memory it has passed, and how many of its simdgroup's since the last of those. */
typedef struct msl_place {
    uint32_t group;
    uint16_t thread;
    uint16_t epoch;
    uint16_t sub_epoch;
} msl_place;

enum { MSL_SPACE_THREADGROUP = 0, MSL_SPACE_DEVICE = 1 };

/* False between dispatches and while the runtime itself runs. */
bool msl__is_running(void);
msl_place msl__place(int space);
/* Whether `at` is the running thread's own stack. */
bool msl__is_private(const void *at);
/* The dispatch's first failure; `pc`, a return address in a kernel, or NULL, becomes file:line. */
void msl__fail(const void *pc, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "gemm.metal:57: " of a return address, "" if the debug information does not lead to a kernel. */
void msl__describe(const void *pc, char *text, size_t size);

/* Memory that threads of the dispatch may touch. */
typedef struct msl_region {
    char *data;
    size_t bytes;
    uint8_t *written; /* as in msl_buffer */
    int space;
    int index; /* of the argument; -1: an array of the kernel's */
    bool is_const;
} msl_region;

void msl__check_begin(void);
void msl__check_add(const msl_region *region);
void msl__check_end(void);

/* Adds to the checker the kernel's own arrays in threadgroup memory, those variables of it that the
 * program's symbols have in [section, section_end); returns their bytes together. */
size_t msl__check_add_arrays(const char *kernel, char *section, const char *section_end);

#endif
