/* SPDX-License-Identifier: Apache-2.0 */
#include "apple/msl/metal_cases.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/convert/convert.h"

enum { MEMORY_MAX = 64, ALIGN = 64 };

static void *memory[MEMORY_MAX];
static int memory_count;
static uint32_t random_state = 1;

void *case_memory(size_t bytes) {
    const size_t rounded = (bytes + ALIGN) / ALIGN * ALIGN;
    assert_true(memory_count < MEMORY_MAX);
    void *block = aligned_alloc(ALIGN, rounded);
    assert_non_null(block);
    memset(block, 0, rounded);
    memory[memory_count++] = block;
    return block;
}

void case_restart(void) {
    random_state = 1;
}

void case_end(void) {
    while (memory_count > 0) free(memory[--memory_count]);
    case_restart();
}

static uint32_t next_random(void) {
    random_state = random_state * 1664525u + 1013904223u;
    return random_state >> 8;
}

static float random_between(float low, float high) {
    return low + (high - low) * ((float)next_random() / 0x1p24f);
}

int case_random(uint32_t seed, int index, int bound) {
    uint32_t x = (seed * 64u + (uint32_t)index) * 0x9E3779B9u;
    x = (x ^ x >> 15) * 0x85EBCA6Bu;
    return (int)((x ^ x >> 13) % (uint32_t)bound);
}

int case_teardown(void **state) {
    (void)state;
    case_end();
    return 0;
}

float *case_floats(msl_buffer *to, size_t count, float low, float high) {
    *to = (msl_buffer){.data = case_memory(count * 4), .bytes = count * 4};
    float *values = to->data;
    for (size_t i = 0; i < count; i++) values[i] = random_between(low, high);
    return values;
}

float *case_halves(msl_buffer *to, size_t count, float low, float high) {
    *to = (msl_buffer){.data = case_memory(count * 2), .bytes = count * 2};
    float *values = case_memory(count * 4);
    for (size_t i = 0; i < count; i++) {
        const uint16_t half = tandem_convert_value_f16(random_between(low, high));
        ((uint16_t *)to->data)[i] = half;
        values[i] = tandem_convert_f16_value(half);
    }
    return values;
}

int32_t *case_ints(msl_buffer *to, size_t count, int below) {
    *to = (msl_buffer){.data = case_memory(count * 4), .bytes = count * 4};
    int32_t *values = to->data;
    for (size_t i = 0; i < count; i++) values[i] = (int32_t)(next_random() % (uint32_t)below);
    return values;
}

void case_output(msl_buffer *to, size_t bytes) {
    *to = (msl_buffer){.data = case_memory(bytes), .bytes = bytes, .written = case_memory(bytes)};
    memset(to->data, 0xff, bytes);
}

void case_args(msl_buffer *to, const void *args, size_t bytes) {
    *to = (msl_buffer){.data = case_memory(bytes), .bytes = bytes};
    memcpy(to->data, args, bytes);
}

typedef struct kernel_facts {
    const char *name;
    int threads;
    int tile_m;
    int tile_n;
    size_t bytes;
} kernel_facts;

static const kernel_facts kernels[] = {
#define CASE_KERNEL(name, threads, tile_m, tile_n, bytes) {#name, threads, tile_m, tile_n, bytes},
    METAL_KERNELS(CASE_KERNEL)
#undef CASE_KERNEL
};

static const kernel_facts *facts_of(const char *kernel) {
    for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++) {
        if (strcmp(kernels[i].name, kernel) == 0) return &kernels[i];
    }
    fail_msg("%s is not in metal_kernels.h", kernel);
    return NULL;
}

void case_tile(const char *kernel, int *tile_m, int *tile_n) {
    const kernel_facts *facts = facts_of(kernel);
    *tile_m = facts->tile_m;
    *tile_n = facts->tile_n;
}

uint32_t case_groups(int count, int tile) {
    return (uint32_t)((count + tile - 1) / tile);
}

typedef struct case_mode {
    const char *name;
    msl_build build;
    uint32_t seed;
} case_mode;

static double element(const msl_buffer *buffer, bool is_half, size_t index) {
    if (is_half) return (double)tandem_convert_f16_value(((const uint16_t *)buffer->data)[index]);
    return (double)((const float *)buffer->data)[index];
}

/* By the output's rounding: half a step of its type, or of its smallest number. */
static double rounding(bool is_half, double value) {
    return is_half ? fabs(value) * CASE_HALF_ULP + 0x1p-25 : fabs(value) * CASE_F32_ULP;
}

static void compare(const msl_buffer *buffer, const uint8_t *before,
                    const case_expectation *expected, const char *label) {
    const size_t size = expected->is_half ? 2 : 4;
    for (size_t i = 0; i < buffer->bytes / size; i++) {
        const size_t row = i < expected->first ? 0 : (i - expected->first) / expected->stride;
        const size_t col = i < expected->first ? 0 : (i - expected->first) % expected->stride;
        if (i < expected->first || row >= expected->rows || col >= expected->cols) {
            if (memcmp((char *)buffer->data + i * size, before + i * size, size) != 0)
                fail_msg("%s: element %zu is not the kernel's to write", label, i);
            continue;
        }
        const double want = expected->values[row * expected->cols + col];
        const double allowed =
            expected->allowed[row * expected->cols + col] + rounding(expected->is_half, want);
        const double got = element(buffer, expected->is_half, i);
        if (!(fabs(got - want) <= allowed)) {
            fail_msg("%s: row %zu column %zu is %.9g, expected %.9g within %.3g", label, row, col,
                     got, want, allowed);
        }
    }
}

static void run_mode(msl_dispatch *dispatch, const case_mode *mode, const char *label) {
    msl_report report;
    const kernel_facts *facts = facts_of(dispatch->kernel);
    dispatch->threads[0] = (uint32_t)facts->threads;
    dispatch->threads[1] = dispatch->threads[2] = 1;
    dispatch->seed = mode->seed;
    if (!msl_run(mode->build, dispatch, &report)) fail_msg("%s: %s", label, report.message);
    if (mode->build == MSL_CHECKED && report.threadgroup_bytes != facts->bytes) {
        fail_msg("%s: %zu bytes of threadgroup memory, metal_kernels.h says %zu", label,
                 report.threadgroup_bytes, facts->bytes);
    }
    assert_true(facts->bytes <= 32768);
}

static void check_modes(msl_dispatch *dispatch, const case_expectation *expected,
                        const case_mode *modes, size_t mode_count, const char *what) {
    msl_buffer *out = &dispatch->buffers[expected->buffer];
    uint8_t *before = case_memory(out->bytes);
    uint8_t *written = case_memory(out->bytes);
    memcpy(before, out->data, out->bytes);
    if (out->written != NULL) memcpy(written, out->written, out->bytes);
    for (size_t i = 0; i < mode_count; i++) {
        char label[300];
        (void)snprintf(label, sizeof label, "%s %s, %s", dispatch->kernel, what, modes[i].name);
        run_mode(dispatch, &modes[i], label);
        compare(out, before, expected, label);
        memcpy(out->data, before, out->bytes);
        if (out->written != NULL) memcpy(out->written, written, out->bytes);
    }
}

void case_check(msl_dispatch *dispatch, const case_expectation *expected, const char *what) {
    static const case_mode modes[] = {{"checked", MSL_CHECKED, 0},
                                      {"checked and shuffled", MSL_CHECKED, 12345},
                                      {"fast", MSL_FAST, 0},
                                      {"fast math, shuffled", MSL_FAST_MATH, 54321}};
    check_modes(dispatch, expected, modes, sizeof modes / sizeof modes[0], what);
}

void case_check_fast(msl_dispatch *dispatch, const case_expectation *expected, const char *what) {
    static const case_mode modes[] = {{"fast", MSL_FAST, 0}, {"fast math", MSL_FAST_MATH, 0}};
    check_modes(dispatch, expected, modes, sizeof modes / sizeof modes[0], what);
}
