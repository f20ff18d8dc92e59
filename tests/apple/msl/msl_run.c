/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime: each thread of a threadgroup is a fiber with a stack of its own. A fiber runs until
 * it waits in a barrier or an operation of its simdgroup, or ends; when all that have to be there
 * wait at the same line, the operation is done for all of them at once. What cannot go on is a
 * fault of the kernel, and said. */
#define _GNU_SOURCE
#include "apple/msl/msl_run.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "apple/msl/msl_device.h"
#include "apple/msl/msl_internal.h"
#include <metal_source.h>

enum { THREADS_MAX = 1024, STACK_BYTES = 128 << 10, GUARD_BYTES = 4096 };

typedef void msl_thunk(const msl_thread *);
typedef struct msl_kernel {
    const char *name;
    msl_thunk *thunk;
    const msl_argument *arguments;
} msl_kernel;

/* The three builds of the kernels. */
#define MSL_KERNEL(name)                                                                           \
    extern msl_thunk msl_thunk_##name##_checked, msl_thunk_##name##_fast,                          \
        msl_thunk_##name##_fast_math;                                                              \
    extern const msl_argument msl_arguments_##name##_checked[], msl_arguments_##name##_fast[],     \
        msl_arguments_##name##_fast_math[];
#include <msl_names.inc>
#undef MSL_KERNEL
static const msl_kernel kernels_checked[] = {
#define MSL_KERNEL(name) {#name, msl_thunk_##name##_checked, msl_arguments_##name##_checked},
#include <msl_names.inc>
#undef MSL_KERNEL
    {NULL, NULL, NULL}};
static const msl_kernel kernels_fast[] = {
#define MSL_KERNEL(name) {#name, msl_thunk_##name##_fast, msl_arguments_##name##_fast},
#include <msl_names.inc>
#undef MSL_KERNEL
    {NULL, NULL, NULL}};
static const msl_kernel kernels_fast_math[] = {
#define MSL_KERNEL(name) {#name, msl_thunk_##name##_fast_math, msl_arguments_##name##_fast_math},
#include <msl_names.inc>
#undef MSL_KERNEL
    {NULL, NULL, NULL}};

/* Where the linker put their threadgroup memory. */
extern char __start_msl_memory_checked[], __stop_msl_memory_checked[];
extern char __start_msl_memory_fast[], __stop_msl_memory_fast[];
extern char __start_msl_memory_fast_math[], __stop_msl_memory_fast_math[];

typedef struct msl_image {
    const msl_kernel *kernels;
    char *memory;
    char *memory_end;
} msl_image;

static const msl_image images[] = {
    [MSL_CHECKED] = {kernels_checked, __start_msl_memory_checked, __stop_msl_memory_checked},
    [MSL_FAST] = {kernels_fast, __start_msl_memory_fast, __stop_msl_memory_fast},
    [MSL_FAST_MATH] = {kernels_fast_math, __start_msl_memory_fast_math,
                       __stop_msl_memory_fast_math},
};

static struct {
    pthread_mutex_t lock;
    msl_fiber fibers[THREADS_MAX];
    void *caller; /* stack of the scheduler */
    msl_thunk *thunk;
    const char *kernel;
    msl_report *report;
    unsigned threads;
    unsigned group;
    unsigned group_at[3];
    unsigned seed;
    msl_fiber *current; /* NULL: the scheduler runs */
} run = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* msl__switch(from, to): saves what a function must keep on the stack, its pointer in *from, and
 * goes on where `to` was left. */
void msl__switch(void **from, void *to);
__asm__(".text\n.type msl__switch, @function\nmsl__switch:\n"
        "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
        "mov %rsp, (%rdi)\nmov %rsi, %rsp\n"
        "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n"
        ".size msl__switch, . - msl__switch\n");

static void leave(void) {
    msl_fiber *me = run.current;
    run.current = NULL;
    msl__switch(&me->sp, run.caller);
}

void msl__fail(const void *pc, const char *format, ...) {
    if (run.report->message[0] != '\0') return;
    char where[100];
    char what[240];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(what, sizeof what, format, args);
    va_end(args);
    msl__describe(pc, where, sizeof where);
    (void)snprintf(run.report->message, sizeof run.report->message,
                   "%s, threadgroup (%u, %u, %u): %s%s", run.kernel, run.group_at[0],
                   run.group_at[1], run.group_at[2], where, what);
    /* A fiber goes no further: what it was about to do may well be fatal. */
    if (run.current != NULL) leave();
}

static bool has_failed(void) {
    return run.report->message[0] != '\0';
}

/* Called from kernels. */

static unsigned number_of(const msl_fiber *fiber) {
    return (unsigned)(fiber - run.fibers);
}

static void wait_for_others(int kind, int operation, int line, const void *pc) {
    msl_fiber *me = run.current;
    me->waits = kind;
    me->operation = operation;
    me->line = line;
    me->pc = pc;
    leave();
}

unsigned msl__lane(void) {
    return number_of(run.current) % MSL_LANES;
}

void msl__barrier(int kind, int flags, int line) {
    run.current->flags = flags;
    wait_for_others(kind, 0, line, __builtin_return_address(0));
}

float msl__simd(int operation, float value, unsigned argument, int line) {
    msl_fiber *me = run.current;
    me->value = value;
    me->argument = argument;
    wait_for_others(MSL_EXCHANGE, operation, line, __builtin_return_address(0));
    return me->value;
}

void msl__uniform(unsigned long a, unsigned long b, int line) {
    run.current->values[0] = a;
    run.current->values[1] = b;
    wait_for_others(MSL_EXCHANGE, MSL_UNIFORM, line, __builtin_return_address(0));
}

void msl__multiply(const float in[6], float out[2], int line) {
    run.current->in = in;
    run.current->out = out;
    wait_for_others(MSL_EXCHANGE, MSL_MULTIPLY, line, __builtin_return_address(0));
}

/* Asked by the checker. */

bool msl__is_running(void) {
    return run.current != NULL && !has_failed();
}

bool msl__is_private(const void *at) {
    const char *stack = run.current->stack;
    return (const char *)at >= stack && (const char *)at < stack + STACK_BYTES;
}

msl_place msl__place(int space) {
    const msl_fiber *me = run.current;
    return (msl_place){.group = run.group,
                       .thread = (uint16_t)number_of(me),
                       .epoch = me->epoch[space],
                       .sub_epoch = me->sub_epoch[space]};
}

static void pass_barrier(msl_fiber *fiber) {
    const int flag_of[2] = {[MSL_SPACE_THREADGROUP] = 2, [MSL_SPACE_DEVICE] = 1};
    for (int space = 0; space < 2; space++) {
        if ((fiber->flags & flag_of[space]) == 0) continue;
        if (fiber->waits == MSL_THREADGROUP_BARRIER) {
            fiber->epoch[space]++;
            fiber->sub_epoch[space] = 0;
        } else {
            fiber->sub_epoch[space]++;
        }
    }
}

/* Lets a simdgroup go on whose lanes all wait for each other. */
static bool release_simdgroup(unsigned first) {
    msl_fiber *lanes = &run.fibers[first];
    const unsigned count = run.threads - first < MSL_LANES ? run.threads - first : MSL_LANES;
    const msl_fiber *one = NULL;
    unsigned live = 0;
    for (unsigned i = 0; i < count; i++) {
        if (lanes[i].is_done) continue;
        if (lanes[i].waits == 0 || lanes[i].waits == MSL_THREADGROUP_BARRIER) return false;
        if (one == NULL) one = &lanes[i];
        if (lanes[i].waits != one->waits || lanes[i].line != one->line) {
            msl__fail(lanes[i].pc,
                      "a simdgroup's lanes part: lane %u waits at line %d, lane %u at line %d", i,
                      lanes[i].line, (unsigned)(one - lanes), one->line);
            return false;
        }
        live++;
    }
    if (one == NULL) return false;
    if (one->waits == MSL_EXCHANGE) msl__exchange(lanes, count, live);
    for (unsigned i = 0; i < count; i++) {
        if (lanes[i].waits == MSL_SIMDGROUP_BARRIER) pass_barrier(&lanes[i]);
        lanes[i].waits = 0;
    }
    return true;
}

/* Lets the threadgroup go on if all its threads wait at one barrier; what cannot is a failure. */
static void release_threadgroup(unsigned live) {
    const msl_fiber *one = NULL;
    for (unsigned i = 0; i < run.threads; i++) {
        const msl_fiber *fiber = &run.fibers[i];
        if (fiber->is_done) continue;
        if (one == NULL) one = fiber;
        if (fiber->waits != MSL_THREADGROUP_BARRIER || fiber->line != one->line) {
            msl__fail(fiber->pc,
                      "threads wait for ever: thread %u at line %d, thread %u at line %d",
                      number_of(one), one->line, i, fiber->line);
            return;
        }
    }
    if (live != run.threads) {
        msl__fail(one->pc, "a barrier that %u of %u threads do not reach: they have ended",
                  run.threads - live, run.threads);
        return;
    }
    for (unsigned i = 0; i < run.threads; i++) {
        pass_barrier(&run.fibers[i]);
        run.fibers[i].waits = 0;
    }
}

static void fiber_main(void) {
    run.thunk(&run.current->thread);
    run.current->is_done = true;
    leave();
    abort();
}

/* Runs a fiber until it waits or ends. */
static void resume(msl_fiber *fiber) {
    run.current = fiber;
    msl__switch(&run.caller, fiber->sp);
}

static unsigned random_below(unsigned bound) {
    run.seed ^= run.seed << 13;
    run.seed ^= run.seed >> 17;
    run.seed ^= run.seed << 5;
    return run.seed % bound;
}

static void shuffle(uint16_t *order, unsigned count) {
    for (unsigned i = count; i > 1; i--) {
        const unsigned j = random_below(i);
        const uint16_t swap = order[j];
        order[j] = order[i - 1];
        order[i - 1] = swap;
    }
}

/* Every fiber of [first, first + count) in the given order until all wait for something beyond
 * their simdgroup; returns how many ended. */
static unsigned run_until_blocked(uint16_t *order, unsigned count) {
    unsigned ended = 0;
    for (bool is_moving = true; is_moving && !has_failed();) {
        is_moving = false;
        if (run.seed != 0) shuffle(order, count);
        for (unsigned k = 0; k < count && !has_failed(); k++) {
            msl_fiber *fiber = &run.fibers[order[k]];
            if (fiber->is_done || fiber->waits != 0) continue;
            resume(fiber);
            if (fiber->is_done) ended++;
        }
        for (unsigned k = 0; k < count && !has_failed(); k++) {
            if (order[k] % MSL_LANES == 0 && release_simdgroup(order[k])) is_moving = true;
        }
    }
    return ended;
}

static void run_threadgroup(void) {
    uint16_t order[THREADS_MAX];
    for (unsigned i = 0; i < run.threads; i++) {
        msl_fiber *fiber = &run.fibers[i];
        /* As msl__switch left it: six registers, then where to go; 8 below a multiple of 16. */
        void **sp = (void **)(void *)(fiber->stack + STACK_BYTES) - 1;
        void (*const entry)(void) = fiber_main;
        memcpy(--sp, &entry, sizeof entry);
        sp -= 6;
        memset(sp, 0, 6 * sizeof *sp);
        fiber->sp = sp;
        fiber->is_done = false;
        fiber->waits = 0;
        memset(fiber->epoch, 0, sizeof fiber->epoch);
        memset(fiber->sub_epoch, 0, sizeof fiber->sub_epoch);
        order[i] = (uint16_t)i;
    }
    for (unsigned live = run.threads; live > 0 && !has_failed();) {
        /* In order: a simdgroup at a time, whose memory stays in the cache. */
        const unsigned step = run.seed != 0 ? run.threads : MSL_LANES;
        for (unsigned first = 0; first < run.threads && !has_failed(); first += step) {
            const unsigned left = run.threads - first;
            live -= run_until_blocked(order + first, left < step ? left : step);
        }
        if (live > 0 && !has_failed()) release_threadgroup(live);
    }
}

/* A dispatch. */

static const msl_kernel *find_kernel(msl_build build, const char *name) {
    const msl_kernel *kernel = images[build].kernels;
    while (kernel->name != NULL && strcmp(kernel->name, name) != 0) kernel++;
    return kernel->name == NULL ? NULL : kernel;
}

static bool overlaps_written(const msl_kernel *kernel, const msl_dispatch *dispatch, int index) {
    const msl_buffer *buffer = &dispatch->buffers[index];
    for (const msl_argument *arg = kernel->arguments; arg->kind != 0; arg++) {
        const msl_buffer *other = &dispatch->buffers[arg->index];
        const char *data = other->data;
        if (arg->kind == 'o' && data < (const char *)buffer->data + buffer->bytes &&
            (const char *)buffer->data < data + other->bytes)
            return true;
    }
    return false;
}

/* Buffers and dynamic threadgroup memory; what may be written comes first for the checker, which
 * takes the first region that has an address. */
static void bind_arguments(const msl_kernel *kernel, const msl_dispatch *dispatch, bool is_checked,
                           unsigned long *buffers, unsigned long *threadgroups) {
    for (const msl_argument *arg = kernel->arguments; arg->kind != 0; arg++) {
        if (arg->kind == 't') {
            const size_t bytes = dispatch->threadgroup_bytes[arg->index];
            if (bytes == 0 || bytes % 16 != 0) {
                msl__fail(NULL, "threadgroup memory %d has %zu bytes, expected a multiple of 16",
                          arg->index, bytes);
                return;
            }
            threadgroups[arg->index] = (unsigned long)(uintptr_t)malloc(bytes);
        } else if (dispatch->buffers[arg->index].data == NULL) {
            msl__fail(NULL, "buffer %d is not bound", arg->index);
            return;
        } else if (dispatch->buffers[arg->index].bytes < arg->bytes) {
            msl__fail(NULL, "buffer %d has %zu bytes, the kernel reads %lu", arg->index,
                      dispatch->buffers[arg->index].bytes, arg->bytes);
            return;
        } else {
            buffers[arg->index] = (unsigned long)(uintptr_t)dispatch->buffers[arg->index].data;
        }
    }
    for (int is_const = 0; is_checked && is_const < 2; is_const++) {
        for (const msl_argument *arg = kernel->arguments; arg->kind != 0; arg++) {
            if ((arg->kind == 'i' || arg->kind == 'r') != (is_const == 1)) continue;
            msl_region region = {.space = MSL_SPACE_THREADGROUP, .index = arg->index};
            if (arg->kind == 't') {
                region.data = (char *)(uintptr_t)threadgroups[arg->index];
                region.bytes = dispatch->threadgroup_bytes[arg->index];
            } else {
                const msl_buffer *buffer = &dispatch->buffers[arg->index];
                region.space = MSL_SPACE_DEVICE;
                region.data = buffer->data;
                region.bytes = buffer->bytes;
                region.written = buffer->written;
                region.is_const = is_const == 1 && !overlaps_written(kernel, dispatch, arg->index);
            }
            msl__check_add(&region);
        }
    }
}

static bool take_stacks(void) {
    for (unsigned i = 0; i < run.threads; i++) {
        if (run.fibers[i].stack != NULL) continue;
        char *memory = mmap(NULL, GUARD_BYTES + STACK_BYTES, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED || mprotect(memory, GUARD_BYTES, PROT_NONE) != 0) {
            msl__fail(NULL, "no memory for a stack");
            return false;
        }
        run.fibers[i].stack = memory + GUARD_BYTES;
    }
    return true;
}

static void place_threads(const msl_dispatch *dispatch) {
    for (unsigned i = 0; i < run.threads; i++) {
        msl_thread *thread = &run.fibers[i].thread;
        const unsigned in_row = i / dispatch->threads[0];
        const unsigned local[3] = {i % dispatch->threads[0], in_row % dispatch->threads[1],
                                   in_row / dispatch->threads[1]};
        for (int d = 0; d < 3; d++) {
            thread->threadgroup_position_in_grid[d] = run.group_at[d];
            thread->thread_position_in_threadgroup[d] = local[d];
            thread->thread_position_in_grid[d] = run.group_at[d] * dispatch->threads[d] + local[d];
            thread->threads_per_threadgroup[d] = dispatch->threads[d];
            thread->threadgroups_per_grid[d] = dispatch->groups[d];
        }
        thread->thread_index_in_threadgroup = i;
        thread->thread_index_in_simdgroup = i % MSL_LANES;
        thread->simdgroup_index_in_threadgroup = i / MSL_LANES;
    }
}

static void run_grid(msl_build build, const msl_dispatch *dispatch,
                     const unsigned long *threadgroups) {
    const msl_image *image = &images[build];
    const uint32_t *groups = dispatch->groups;
    const unsigned count = groups[0] * groups[1] * groups[2];
    for (run.group = 0; run.group < count && !has_failed(); run.group++) {
        run.group_at[0] = run.group % groups[0];
        run.group_at[1] = run.group / groups[0] % groups[1];
        run.group_at[2] = run.group / groups[0] / groups[1];
        place_threads(dispatch);
        /* What nobody has written is NaN. */
        memset(image->memory, 0xff, (size_t)(image->memory_end - image->memory));
        for (int i = 0; i < MSL_THREADGROUPS; i++) {
            if (threadgroups[i] != 0)
                memset((void *)(uintptr_t)threadgroups[i], 0xff, dispatch->threadgroup_bytes[i]);
        }
        run_threadgroup();
    }
}

static void run_dispatch(msl_build build, const msl_dispatch *dispatch, msl_report *report) {
    unsigned long buffers[MSL_BUFFERS] = {0};
    unsigned long threadgroups[MSL_THREADGROUPS] = {0};
    const msl_kernel *kernel = find_kernel(build, dispatch->kernel);
    run.report = report;
    run.kernel = dispatch->kernel;
    memset(run.group_at, 0, sizeof run.group_at);
    run.seed = dispatch->seed;
    run.threads = dispatch->threads[0] * dispatch->threads[1] * dispatch->threads[2];
    if (kernel == NULL) {
        msl__fail(NULL, "no such kernel");
        return;
    }
    if (run.threads < 1 || run.threads > THREADS_MAX) {
        msl__fail(NULL, "%u threads in a threadgroup", run.threads);
        return;
    }
    run.thunk = kernel->thunk;
    const bool is_checked = build == MSL_CHECKED;
    if (is_checked) {
        const msl_image *image = &images[build];
        msl__check_begin();
        report->threadgroup_bytes =
            msl__check_add_arrays(kernel->name, image->memory, image->memory_end);
    }
    bind_arguments(kernel, dispatch, is_checked, buffers, threadgroups);
    if (!has_failed() && take_stacks()) {
        for (unsigned i = 0; i < run.threads; i++) {
            run.fibers[i].thread.buffers = buffers;
            run.fibers[i].thread.threadgroups = threadgroups;
        }
        run_grid(build, dispatch, threadgroups);
    }
    if (is_checked) msl__check_end();
    for (int i = 0; i < MSL_THREADGROUPS; i++) free((void *)(uintptr_t)threadgroups[i]);
}

bool msl_run(msl_build build, const msl_dispatch *dispatch, msl_report *report) {
    *report = (msl_report){.message = ""};
    (void)pthread_mutex_lock(&run.lock);
    run_dispatch(build, dispatch, report);
    (void)pthread_mutex_unlock(&run.lock);
    return report->message[0] == '\0';
}

bool msl_has_kernel(const char *kernel) {
    return find_kernel(MSL_CHECKED, kernel) != NULL;
}

const char *msl_source(void) {
    return metal_source;
}
