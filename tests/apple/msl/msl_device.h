/* SPDX-License-Identifier: Apache-2.0 */
/* Between the kernels as clang compiles them and the runtime that executes them (msl_run.c), read
 * by both. Calls that take a whole simdgroup or threadgroup block the calling thread until the rest
 * is in the same call at the same line. */
#ifndef TANDEM_TESTS_MSL_DEVICE_H
#define TANDEM_TESTS_MSL_DEVICE_H

#ifdef __OPENCL_CPP_VERSION__
#define MSL_PRIVATE  __private
#define MSL_CONSTANT __constant
extern "C" {
#else
#define MSL_PRIVATE
#define MSL_CONSTANT
#endif

enum { MSL_THREADGROUP_BARRIER = 1, MSL_SIMDGROUP_BARRIER = 2, MSL_EXCHANGE = 3 };
enum { MSL_SUM = 1, MSL_MAX = 2, MSL_SHUFFLE_XOR = 3 };

/* The calling thread's place in its simdgroup. */
unsigned msl__lane(void);
/* flags: 1 orders device memory, 2 threadgroup memory. */
void msl__barrier(int kind, int flags, int line);
float msl__simd(int operation, float value, unsigned argument, int line);
/* Fails unless both values are the same in all lanes. */
void msl__uniform(unsigned long a, unsigned long b, int line);
/* in: two elements of a, of b, of c; out: two of a b + c. */
void msl__multiply(const MSL_PRIVATE float in[6], MSL_PRIVATE float out[2], int line);

/* A thread as its kernel sees it. Addresses are numbers: the thunk gives them their space. */
typedef struct msl_thread {
    const MSL_PRIVATE unsigned long *buffers;
    const MSL_PRIVATE unsigned long *threadgroups;
    unsigned threadgroup_position_in_grid[3];
    unsigned thread_position_in_grid[3];
    unsigned thread_position_in_threadgroup[3];
    unsigned threads_per_threadgroup[3];
    unsigned threadgroups_per_grid[3];
    unsigned thread_index_in_threadgroup;
    unsigned thread_index_in_simdgroup;
    unsigned simdgroup_index_in_threadgroup;
} msl_thread;

/* A kernel's argument: 'i' a buffer it reads, 'o' one it may write, 'r' a struct of `bytes` bytes
 * by reference, 't' threadgroup memory; kind 0 ends the list. */
typedef struct msl_argument {
    int kind;
    int index;
    unsigned long bytes;
} msl_argument;

#ifdef __OPENCL_CPP_VERSION__
}
#endif

#endif
