/* SPDX-License-Identifier: Apache-2.0 */
/* The process's device. It is found, asked for what the kernels need and its pipelines are compiled
 * once, by whoever comes first; a lane opened later, or again, finds them. What fails is tried
 * again at the next call, since a user may have freed memory in between.
 *
 * Maths is "safe": what Metal may do by default (reorder, assume finite) would make results differ
 * from what the tests proved. */
#include <metal_source.h>
#include <pthread.h>
#include <stdio.h>

#include "apple/symbols.h"
#include "backend/metal/metal_internal.h"
#include "backend/metal/metal_lane.h"
#include "base/fail.h"
#include "base/mem.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static metal_device shared; /* under the lock until it is open, read only after */
static bool is_open;        /* pipelines and all */

static void free_arena(objc_block *block, void *memory, objc_uint bytes) {
    (void)block;
    tandem__mem_free_sparse(memory, bytes);
}

static objc_block *arena_block(void) {
    enum { BLOCK_IS_GLOBAL = 1 << 28 };
    static const objc_block_layout layout = {.bytes = sizeof(objc_block)};
    static objc_block block;
    block = (objc_block){.isa = tandem__objc.global_block,
                         .flags = BLOCK_IS_GLOBAL,
                         .invoke = (void (*)(void))free_arena,
                         .layout = &layout};
    return &block;
}

static tandem_status check_system(tandem_error *err) {
    const objc_version needed = {OBJC_SINCE_MIN / 100, OBJC_SINCE_MIN % 100, 0};
    objc_id process = ns_process_info(objc_class("NSProcessInfo"));
    if (ns_is_version(process, needed)) return TANDEM_OK;
    return TANDEM_FAIL(err, DEVICE, "needs macOS %d.%d or newer", (int)needed.major,
                       (int)needed.minor);
}

static tandem_status check_device(objc_id device, tandem_error *err) {
    const char *name = ns_utf8(mtl_device_name(device));
    if (!mtl_supports_family(device, MTL_FAMILY_APPLE7)) {
        return TANDEM_FAIL(err, DEVICE,
                           "needs a GPU of family Apple7 or newer (M1), %s is none: the kernels "
                           "multiply simdgroup matrices",
                           name);
    }
    size_t most = 0;
    for (int i = 0; i < METAL_KERNEL_COUNT; i++) {
        const size_t bytes = (size_t)tandem__metal_kernels[i].bytes;
        if (bytes > most) most = bytes;
    }
    const objc_uint memory = mtl_threadgroup_memory_max(device);
    if (memory >= most) return TANDEM_OK;
    return TANDEM_FAIL(err, DEVICE, "needs %zu bytes of threadgroup memory, %s has %lu", most, name,
                       memory);
}

/* Finds the device and what it is; under the lock and in a pool. */
static tandem_status look(tandem_error *err) {
    void *library = NULL;
    tandem_error ignored = {0};
    if (shared.device != NULL) return TANDEM_OK;
    TANDEM_TRY(tandem__objc_open("Metal", &library, err));
    /* A command-line tool has no default device before this framework is loaded. */
    void *graphics = NULL;
    (void)!tandem__objc_open("CoreGraphics", &graphics, &ignored);
    MTLCreateSystemDefaultDevice_function *find = NULL;
    *(void **)(void *)&find = tandem__objc_symbol(library, "MTLCreateSystemDefaultDevice");
    if (find == NULL)
        return TANDEM_FAIL(err, DEVICE, "this Metal has no MTLCreateSystemDefaultDevice");
    void *pool = tandem__objc.pool_push();
    tandem_status status = check_system(err);
    objc_id device = status == TANDEM_OK ? find() : NULL;
    if (status == TANDEM_OK && device == NULL)
        status = TANDEM_FAIL(err, DEVICE, "Metal finds no GPU on this system");
    if (status == TANDEM_OK) status = check_device(device, err);
    if (status == TANDEM_OK) {
        shared = (metal_device){.device = device,
                                .working_set_max = mtl_working_set_max(device),
                                .buffer_max = mtl_buffer_max(device),
                                .free_arena = arena_block()};
    } else {
        ns_release(device);
    }
    tandem__objc.pool_pop(pool);
    return status;
}

tandem_status tandem__metal_device_look(char *name, size_t size, tandem_error *err) {
    (void)pthread_mutex_lock(&lock);
    const tandem_status status = look(err);
    if (status == TANDEM_OK) {
        void *pool = tandem__objc.pool_push();
        (void)snprintf(name, size, "%s", ns_utf8(mtl_device_name(shared.device)));
        tandem__objc.pool_pop(pool);
    }
    (void)pthread_mutex_unlock(&lock);
    return status;
}

/* Owned by the caller. macOS 15 has two settings where there was one: its safe mode alone leaves
 * exp and its like the fast ones. */
static objc_id compile_options(void) {
    objc_id options = ns_init(ns_alloc(objc_class("MTLCompileOptions")));
    mtl_set_language(options, MTL_LANGUAGE_3_1);
    if (objc_responds(options, "setMathMode:"))
        mtl_set_math_mode(options, MTL_MATH_SAFE);
    else
        mtl_set_fast_math(options, false);
    if (objc_responds(options, "setMathFloatingPointFunctions:"))
        mtl_set_math_functions(options, MTL_MATH_PRECISE);
    return options;
}

static tandem_status make_pipeline(objc_id library, int index, tandem_error *err) {
    const metal_kernel_fact *fact = &tandem__metal_kernels[index];
    char what[96];
    objc_id error = NULL;
    objc_id function = mtl_new_function(library, objc_text(fact->name));
    if (function == NULL)
        return TANDEM_FAIL(err, DEVICE, "metal: the library has no kernel %s", fact->name);
    objc_id pipeline = mtl_new_pipeline(shared.device, function, &error);
    ns_release(function);
    if (pipeline == NULL) {
        (void)snprintf(what, sizeof what, "metal: no pipeline for kernel %s", fact->name);
        return tandem__objc_fail(err, what, error);
    }
    const objc_uint width = mtl_simd_width(pipeline);
    if (width != METAL_LANES) {
        ns_release(pipeline);
        return TANDEM_FAIL(err, DEVICE, "metal: simdgroups of %lu threads, expected %d", width,
                           METAL_LANES);
    }
    /* One that allows fewer threads is left out; the program does with smaller tiles. */
    if (mtl_threads_max(pipeline) >= (objc_uint)fact->threads)
        shared.pipelines[index] = pipeline;
    else
        ns_release(pipeline);
    return TANDEM_OK;
}

static void release_pipelines(void) {
    for (int i = 0; i < METAL_KERNEL_COUNT; i++) {
        ns_release(shared.pipelines[i]);
        shared.pipelines[i] = NULL;
    }
    ns_release(shared.queue);
    shared.queue = NULL;
}

/* Under the lock and in a pool. */
static tandem_status open_pipelines(tandem_error *err) {
    objc_id error = NULL;
    objc_id options = compile_options();
    objc_id library = mtl_new_library(shared.device, objc_text(metal_source), options, &error);
    ns_release(options);
    if (library == NULL) return tandem__objc_fail(err, "metal: the kernels do not compile", error);
    tandem_status status = TANDEM_OK;
    for (int i = 0; i < METAL_KERNEL_COUNT && status == TANDEM_OK; i++)
        status = make_pipeline(library, i, err);
    ns_release(library);
    if (status == TANDEM_OK) {
        shared.queue = mtl_new_queue(shared.device);
        if (shared.queue == NULL) status = TANDEM_FAIL(err, DEVICE, "metal: no command queue");
    }
    if (status != TANDEM_OK) release_pipelines();
    return status;
}

tandem_status tandem__metal_device_open(const metal_device **device, tandem_error *err) {
    (void)pthread_mutex_lock(&lock);
    tandem_status status = look(err);
    if (status == TANDEM_OK && !is_open) {
        void *pool = tandem__objc.pool_push();
        status = open_pipelines(err);
        tandem__objc.pool_pop(pool);
        is_open = status == TANDEM_OK;
    }
    if (status == TANDEM_OK) *device = &shared;
    (void)pthread_mutex_unlock(&lock);
    return status;
}

void tandem__metal_forget(void) {
    (void)pthread_mutex_lock(&lock);
    if (shared.device != NULL) {
        release_pipelines();
        ns_release(shared.device);
    }
    shared = (metal_device){.device = NULL};
    is_open = false;
    (void)pthread_mutex_unlock(&lock);
}
