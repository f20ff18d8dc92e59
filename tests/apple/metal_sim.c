/* SPDX-License-Identifier: Apache-2.0 */
#include "metal_sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "metal_sim_internal.h"

metal_sim_options metal_sim;

static bool is_on;
static int compiles;
static int buffers_made;
static _Atomic uint64_t bytes_held;

/* MTLBuffer. */

static const objc_sim_class resource_class = {
    .name = "MTLResource", .parent = &objc_sim_nsobject, .is_protocol = true};

/* Bytes after a buffer's end that nobody may write. */
enum { GUARD = 64, GUARD_BYTE = 0xa5 };

static void drop_buffer(objc_id object) {
    sim_buffer *buffer = objc_sim_data(object);
    for (size_t i = 0; i < GUARD && !buffer->is_given; i++) {
        if (buffer->memory[buffer->bytes + i] != GUARD_BYTE) {
            objc_sim_misuse("a buffer of %zu bytes is written past its end", buffer->bytes);
            break;
        }
    }
    bytes_held -= buffer->bytes;
    if (buffer->deallocator != NULL) {
        void (*call)(objc_block *, void *, objc_uint) =
            (void (*)(objc_block *, void *, objc_uint))buffer->deallocator->invoke;
        call(buffer->deallocator, buffer->memory, buffer->bytes);
        unsigned char residence = 0;
        if (mincore(buffer->memory, 1, &residence) == 0)
            objc_sim_misuse("a deallocator that leaves its memory mapped");
    }
    if (!buffer->is_given) free(buffer->memory);
    free(buffer->written);
    free(buffer->shadow);
}

static void *buffer_contents(objc_id self, objc_sel selector) {
    const sim_buffer *buffer = objc_sim_data(self);
    (void)selector;
    if (!buffer->is_private) return buffer->memory;
    objc_sim_misuse("contents of a private buffer");
    return NULL;
}

static const objc_sim_method buffer_methods[] = {OBJC_SIM_METHOD(mtl_contents, buffer_contents)};

static const objc_sim_class buffer_class = {
    .name = "MTLBuffer",
    .parent = &resource_class,
    .is_protocol = true,
    .data_bytes = sizeof(sim_buffer),
    .drop = drop_buffer,
    .methods = buffer_methods,
    .method_count = METAL_SIM_COUNT(buffer_methods),
};

static bool may_make(objc_uint bytes) {
    buffers_made++;
    return buffers_made != metal_sim.fail_buffer && bytes <= metal_sim.buffer_max;
}

static objc_id keep_buffer(const sim_buffer *made) {
    objc_id object = objc_sim_new(&buffer_class);
    *(sim_buffer *)objc_sim_data(object) = *made;
    bytes_held += made->bytes;
    if (bytes_held > metal_sim.working_set) {
        objc_sim_misuse("%llu bytes of buffers, the working set is %llu",
                        (unsigned long long)bytes_held, (unsigned long long)metal_sim.working_set);
    }
    return object;
}

static objc_id device_buffer(objc_id self, objc_sel selector, objc_uint bytes, objc_uint options) {
    enum { PRIVATE = 2 << 4 };
    (void)self;
    (void)selector;
    if (bytes == 0) objc_sim_misuse("newBufferWithLength: 0");
    if (options != 0 && options != PRIVATE) objc_sim_misuse("buffer options %lu", options);
    if (!may_make(bytes)) return NULL;
    sim_buffer made = {.bytes = bytes, .is_private = options == PRIVATE};
    made.memory = malloc(bytes + GUARD);
    if (made.memory == NULL) return NULL;
    memset(made.memory + bytes, GUARD_BYTE, GUARD);
    memset(made.memory, 0xff, bytes);
    if (made.is_private && metal_sim.build == MSL_CHECKED) made.written = calloc(1, bytes);
    return keep_buffer(&made);
}

static void check_deallocator(const objc_block *block) {
    enum { BLOCK_IS_GLOBAL = 1 << 28 };
    if (block == NULL) return;
    if (block->isa != tandem__objc.global_block || (block->flags & BLOCK_IS_GLOBAL) == 0)
        objc_sim_misuse("a deallocator that is no global block");
    if (block->invoke == NULL || block->layout == NULL || block->layout->bytes < sizeof(objc_block))
        objc_sim_misuse("a deallocator without function or layout");
}

static objc_id device_no_copy(objc_id self, objc_sel selector, void *memory, objc_uint bytes,
                              objc_uint options, objc_block *deallocator) {
    const objc_uint page = (objc_uint)sysconf(_SC_PAGESIZE);
    (void)self;
    (void)selector;
    if ((uintptr_t)memory % page != 0 || bytes % page != 0 || bytes == 0)
        objc_sim_misuse("newBufferWithBytesNoCopy: %p, %lu bytes: not whole pages", memory, bytes);
    if (options != 0) objc_sim_misuse("newBufferWithBytesNoCopy: options %lu", options);
    check_deallocator(deallocator);
    if (!may_make(bytes)) return NULL;
    return keep_buffer(&(sim_buffer){
        .memory = memory, .bytes = bytes, .is_given = true, .deallocator = deallocator});
}

/* MTLCompileOptions, MTLLibrary, MTLFunction, MTLComputePipelineState. */

typedef struct sim_compile_options {
    objc_uint language;
    bool is_safe;    /* order and infinities are kept */
    bool is_precise; /* functions of f32 are not the fast ones, which macOS 15 has by default */
} sim_compile_options;

static void options_language(objc_id self, objc_sel selector, objc_uint language) {
    (void)selector;
    ((sim_compile_options *)objc_sim_data(self))->language = language;
}

static void options_fast_math(objc_id self, objc_sel selector, objc_bool is_fast) {
    (void)selector;
    sim_compile_options *options = objc_sim_data(self);
    options->is_safe = !is_fast;
    options->is_precise = !is_fast;
}

static void options_math_mode(objc_id self, objc_sel selector, objc_int mode) {
    (void)selector;
    ((sim_compile_options *)objc_sim_data(self))->is_safe = mode == 0;
}

static void options_math_functions(objc_id self, objc_sel selector, objc_int functions) {
    (void)selector;
    ((sim_compile_options *)objc_sim_data(self))->is_precise = functions == 1;
}

static const objc_sim_method options_methods[] = {
    OBJC_SIM_METHOD(mtl_set_language, options_language),
    OBJC_SIM_METHOD(mtl_set_fast_math, options_fast_math),
    OBJC_SIM_METHOD(mtl_set_math_mode, options_math_mode),
    OBJC_SIM_METHOD(mtl_set_math_functions, options_math_functions),
};

static const objc_sim_class options_class = {
    .name = "MTLCompileOptions",
    .parent = &objc_sim_nsobject,
    .data_bytes = sizeof(sim_compile_options),
    .methods = options_methods,
    .method_count = METAL_SIM_COUNT(options_methods),
};

static const objc_sim_class function_class = {.name = "MTLFunction",
                                              .parent = &objc_sim_nsobject,
                                              .is_protocol = true,
                                              .data_bytes = sizeof(sim_pipeline)};

static objc_id library_function(objc_id self, objc_sel selector, objc_id name) {
    (void)self;
    (void)selector;
    if (!objc_sim_is(name, "NSString", "newFunctionWithName:")) return NULL;
    const char *text = objc_sim_text(name);
    if (metal_sim.no_function != NULL && strcmp(text, metal_sim.no_function) == 0) return NULL;
    if (!msl_has_kernel(text)) return NULL;
    objc_id made = objc_sim_new(&function_class);
    sim_pipeline *function = objc_sim_data(made);
    (void)snprintf(function->kernel, sizeof function->kernel, "%s", text);
    return made;
}

static const objc_sim_method library_methods[] = {
    OBJC_SIM_METHOD(mtl_new_function, library_function)};

static const objc_sim_class library_class = {
    .name = "MTLLibrary",
    .parent = &objc_sim_nsobject,
    .is_protocol = true,
    .methods = library_methods,
    .method_count = METAL_SIM_COUNT(library_methods),
};

static void check_options(objc_id options) {
    const objc_uint newest = objc_sim_version() >= 2600   ? 4u << 16
                             : objc_sim_version() >= 1500 ? (3u << 16) + 2
                                                          : (3u << 16) + 1;
    if (options == NULL || !objc_sim_is(options, "MTLCompileOptions", "newLibraryWithSource:")) {
        objc_sim_misuse("compiled with Metal's default options");
        return;
    }
    const sim_compile_options *set = objc_sim_data(options);
    if (set->language == 0 || set->language > newest)
        objc_sim_misuse("language version %lu, this system has up to %lu", set->language, newest);
    if (!set->is_safe || !set->is_precise) objc_sim_misuse("compiled with fast maths");
}

static objc_id device_library(objc_id self, objc_sel selector, objc_id source, objc_id options,
                              objc_id *error) {
    (void)self;
    (void)selector;
    compiles++;
    if (!objc_sim_is(source, "NSString", "newLibraryWithSource:")) return NULL;
    check_options(options);
    if (metal_sim.compile_error != NULL) {
        *error = objc_sim_error(3, metal_sim.compile_error);
        return NULL;
    }
    if (strcmp(objc_sim_text(source), msl_source()) != 0)
        objc_sim_misuse("the source is not the one that the tests' kernels were made from");
    return objc_sim_new(&library_class);
}

static objc_uint pipeline_threads(objc_id self, objc_sel selector) {
    (void)selector;
    return ((const sim_pipeline *)objc_sim_data(self))->threads_max;
}

static objc_uint pipeline_width(objc_id self, objc_sel selector) {
    (void)self;
    (void)selector;
    return metal_sim.simd_width;
}

static const objc_sim_method pipeline_methods[] = {
    OBJC_SIM_METHOD(mtl_threads_max, pipeline_threads),
    OBJC_SIM_METHOD(mtl_simd_width, pipeline_width),
};

static const objc_sim_class pipeline_class = {
    .name = "MTLComputePipelineState",
    .parent = &objc_sim_nsobject,
    .is_protocol = true,
    .data_bytes = sizeof(sim_pipeline),
    .methods = pipeline_methods,
    .method_count = METAL_SIM_COUNT(pipeline_methods),
};

static objc_id device_pipeline(objc_id self, objc_sel selector, objc_id function, objc_id *error) {
    (void)self;
    (void)selector;
    if (!objc_sim_is(function, "MTLFunction", "newComputePipelineStateWithFunction:")) return NULL;
    if (metal_sim.pipeline_error != NULL) {
        *error = objc_sim_error(2, metal_sim.pipeline_error);
        return NULL;
    }
    objc_id made = objc_sim_new(&pipeline_class);
    sim_pipeline *pipeline = objc_sim_data(made);
    *pipeline = *(const sim_pipeline *)objc_sim_data(function);
    const bool is_narrow =
        metal_sim.narrow != NULL && strcmp(pipeline->kernel, metal_sim.narrow) == 0;
    pipeline->threads_max = is_narrow ? 64 : metal_sim.threads_max;
    return made;
}

/* MTLDevice. */

static objc_id device_name(objc_id self, objc_sel selector) {
    (void)self;
    (void)selector;
    return objc_sim_string("a simulated GPU");
}

static uint64_t device_working_set(objc_id self, objc_sel selector) {
    (void)self;
    (void)selector;
    return metal_sim.working_set;
}

static objc_uint device_buffer_max(objc_id self, objc_sel selector) {
    (void)self;
    (void)selector;
    return metal_sim.buffer_max;
}

static objc_uint device_threadgroup_memory(objc_id self, objc_sel selector) {
    (void)self;
    (void)selector;
    return metal_sim.threadgroup_memory;
}

static objc_bool device_family(objc_id self, objc_sel selector, objc_int family) {
    (void)self;
    (void)selector;
    return family > 1000 && family <= metal_sim.family;
}

static objc_id device_queue(objc_id self, objc_sel selector) {
    (void)self;
    (void)selector;
    return objc_sim_new(&metal_sim_queue_class);
}

static objc_id device_event(objc_id self, objc_sel selector) {
    (void)self;
    (void)selector;
    return objc_sim_new(&metal_sim_event_class);
}

static const objc_sim_method device_methods[] = {
    OBJC_SIM_METHOD(mtl_device_name, device_name),
    OBJC_SIM_METHOD(mtl_working_set_max, device_working_set),
    OBJC_SIM_METHOD(mtl_buffer_max, device_buffer_max),
    OBJC_SIM_METHOD(mtl_threadgroup_memory_max, device_threadgroup_memory),
    OBJC_SIM_METHOD(mtl_supports_family, device_family),
    OBJC_SIM_METHOD(mtl_new_queue, device_queue),
    OBJC_SIM_METHOD(mtl_new_buffer, device_buffer),
    OBJC_SIM_METHOD(mtl_new_buffer_no_copy, device_no_copy),
    OBJC_SIM_METHOD(mtl_new_library, device_library),
    OBJC_SIM_METHOD(mtl_new_pipeline, device_pipeline),
    OBJC_SIM_METHOD(mtl_new_event, device_event),
};

static const objc_sim_class device_class = {
    .name = "MTLDevice",
    .parent = &objc_sim_nsobject,
    .is_protocol = true,
    .methods = device_methods,
    .method_count = METAL_SIM_COUNT(device_methods),
};

static objc_id default_device(void) {
    return metal_sim.has_no_device ? NULL : objc_sim_new(&device_class);
}

static const objc_sim_symbol symbols[] = {
    {.name = "MTLCreateSystemDefaultDevice", .call = (void (*)(void))default_device},
};

static const objc_sim_class *const classes[] = {
    &resource_class,
    &buffer_class,
    &options_class,
    &function_class,
    &library_class,
    &pipeline_class,
    &device_class,
    &metal_sim_queue_class,
    &metal_sim_commands_class,
    &metal_sim_encoder_parent,
    &metal_sim_encoder_class,
    &metal_sim_event_parent,
    &metal_sim_event_class,
};

static const objc_sim_framework metal = {.name = "Metal",
                                         .classes = classes,
                                         .class_count = METAL_SIM_COUNT(classes),
                                         .symbols = symbols,
                                         .symbol_count = METAL_SIM_COUNT(symbols)};

static const objc_sim_framework graphics = {.name = "CoreGraphics"};

void metal_sim_start(const metal_sim_options *wanted) {
    static const objc_sim_framework *const frameworks[] = {&metal, &graphics};
    const objc_sim_options options = {.version = wanted->version,
                                      .is_counting = wanted->is_counting,
                                      .missing = wanted->missing,
                                      .frameworks = frameworks,
                                      .framework_count = METAL_SIM_COUNT(frameworks)};
    metal_sim = *wanted;
    if (metal_sim.threads_max == 0) metal_sim.threads_max = 1024;
    if (metal_sim.simd_width == 0) metal_sim.simd_width = 32;
    if (metal_sim.family == 0) metal_sim.family = 1009;
    if (metal_sim.threadgroup_memory == 0) metal_sim.threadgroup_memory = 32768;
    if (metal_sim.working_set == 0) metal_sim.working_set = (uint64_t)8 << 30;
    if (metal_sim.buffer_max == 0) metal_sim.buffer_max = (unsigned long)4 << 30;
    compiles = 0;
    buffers_made = 0;
    bytes_held = 0;
    objc_sim_start(&options);
    metal_sim_device_start();
    is_on = true;
}

int metal_sim_stop(void) {
    is_on = false;
    metal_sim_device_stop();
    return objc_sim_stop();
}

int metal_sim_compiles(void) {
    return compiles;
}

uint64_t metal_sim_bytes(void) {
    return bytes_held;
}

bool metal_sim_is_on(void) {
    return is_on;
}
