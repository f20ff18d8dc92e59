/* SPDX-License-Identifier: Apache-2.0 */
/* A stand-in for Metal: a device that runs the shipped kernels on the processor (msl_run.h), on a
 * thread of its own, with every rule of the framework that host code can break.
 *
 * From commit until a batch is done the processor's view of the buffers it uses is poison (0xff in
 * every byte): results read too early are NaN, and what is written too early is misuse. Private
 * buffers forget everything from one batch to the next. It is misuse
 *
 *   - to bind at an offset that is no multiple of 256 or beyond the buffer, at an index over 30, or
 *     more than 4096 bytes by setBytes;
 *   - to dispatch no threadgroups, or more threads than the pipeline allows, or without pipeline;
 *   - to encode after endEncoding or commit, to commit before endEncoding or twice, to let go of
 *     an encoder that has not ended;
 *   - to wait for what was not committed;
 *   - to give memory that is not whole pages to newBufferWithBytesNoCopy:, or a deallocator that is
 *     not a global block;
 *   - to look into a private buffer, to hold more than the recommended working set;
 *   - to compile another source than the tests' kernels were made from, for a language newer than
 *     the system's, or with fast maths;
 *   - whatever msl_run finds in a kernel. */
#ifndef TANDEM_TESTS_APPLE_METAL_SIM_H
#define TANDEM_TESTS_APPLE_METAL_SIM_H

#include "msl/msl_run.h"
#include "objc_sim.h"

typedef struct metal_sim_options {
    int version;      /* of macOS; 0: 1400 */
    bool is_counting; /* misuse is counted and does not abort */
    const char *missing;
    msl_build build;
    uint32_t seed;                    /* of the order of threads; 0: natural */
    unsigned long threads_max;        /* of every pipeline; 0: 1024 */
    const char *narrow;               /* a kernel whose pipelines allow 64 threads alone, or NULL */
    unsigned long simd_width;         /* 0: 32 */
    long family;                      /* the newest MTLGPUFamily; 0: Apple9, 1009 */
    unsigned long threadgroup_memory; /* 0: 32768 */
    uint64_t working_set;             /* 0: 8 GB */
    unsigned long buffer_max;         /* 0: 4 GB */
    bool has_no_device;
    const char *compile_error;  /* text that newLibraryWithSource: fails with, or NULL */
    const char *pipeline_error; /* the same of newComputePipelineStateWithFunction: */
    const char *no_function;    /* a kernel that the library lacks, or NULL */
    int fail_buffer;            /* the N-th buffer is nil, from 1 on; 0: none */
    int fail_run;               /* the N-th command buffer that runs fails, from 1 on; 0: none */
    int nil_commands;           /* the N-th command buffer is nil; 0: none */
    const char *batch_error;    /* text that every command buffer fails with, or NULL */
} metal_sim_options;

void metal_sim_start(const metal_sim_options *options);

/* Lets the device end what is committed (or drop it, where it hangs), and returns misuses + leaks:
 * see objc_sim_stop. */
int metal_sim_stop(void);

/* Whether it is started: after a test that failed in the middle. */
bool metal_sim_is_on(void);

/* From now on. */
void metal_sim_hang(bool is_hung); /* no batch goes on until it is false again */

void metal_sim_fail(const char *batch_error); /* NULL: batches are well again */

int metal_sim_compiles(void);   /* libraries made */
int metal_sim_dispatches(void); /* run */
int metal_sim_batches(void);    /* command buffers committed */
uint64_t metal_sim_bytes(void); /* of live buffers */
int metal_sim_pending(void);    /* and not done */

#endif
