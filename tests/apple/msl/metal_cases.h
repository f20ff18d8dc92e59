/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the Metal kernels share: buffers with random contents, and a check that runs
 * one dispatch in every build and order and holds the output against double precision. */
#ifndef TANDEM_TESTS_METAL_CASES_H
#define TANDEM_TESTS_METAL_CASES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "apple/msl/msl_run.h"
#include "backend/metal/metal_args.h"
#include "backend/metal/metal_kernels.h"

#define CASE_HALF_ULP 0x1p-11 /* half a step of f16, of the value */
#define CASE_F32_ULP  0x1p-24

/* Buffers of a case live until case_end. Random numbers are the same in every run. */
float *case_floats(msl_buffer *to, size_t count, float low, float high);
/* f16; the values are returned, rounded, as floats. */
float *case_halves(msl_buffer *to, size_t count, float low, float high);
int32_t *case_ints(msl_buffer *to, size_t count, int below);
/* Not written yet, NaN in f16 and f32. */
void case_output(msl_buffer *to, size_t bytes);
void *case_memory(size_t bytes); /* zeros */
void case_end(void);
/* Random numbers begin anew. */
void case_restart(void);

/* Below `bound`; number `index` of case `seed`. */
int case_random(uint32_t seed, int index, int bound);

/* An argument's struct, copied. */
void case_args(msl_buffer *to, const void *args, size_t bytes);

/* What `rows` x `cols` elements of the buffer, rows `stride` apart, must hold after the dispatch;
 * all others of it must not have changed. */
typedef struct case_expectation {
    int buffer;
    bool is_half;
    size_t first; /* element */
    size_t rows;
    size_t cols;
    size_t stride;
    const double *values;  /* [rows, cols] */
    const double *allowed; /* [rows, cols], before rounding to the output's type */
} case_expectation;

/* Runs the dispatch checked in order, checked and shuffled, fast, and fast with fast math, each
 * time from the buffers' present contents. `what` is for messages. threads of the dispatch are
 * those of metal_kernels.h. */
void case_check(msl_dispatch *dispatch, const case_expectation *expected, const char *what);

/* Only the fast builds, for shapes that the checked one takes too long for. */
void case_check_fast(msl_dispatch *dispatch, const case_expectation *expected, const char *what);

/* tile_m and tile_n of metal_kernels.h. */
void case_tile(const char *kernel, int *tile_m, int *tile_n);

uint32_t case_groups(int count, int tile);

/* For cmocka: case_end after a failed case too. */
int case_teardown(void **state);

void test_gemm_shapes(void **state);
void test_gemm_epilogues(void **state);
void test_gemm_depth(void **state);
void test_gemm_same_bits(void **state);
void test_gemm_random(void **state);
void test_gemm_real(void **state);
void test_attention_heads(void **state);
void test_attention_lengths(void **state);
void test_attention_bias(void **state);
void test_attention_window(void **state);
void test_attention_extremes(void **state);
void test_attention_real(void **state);
void test_attention_random(void **state);
void test_embed(void **state);
void test_norm(void **state);
void test_rope(void **state);
void test_pool(void **state);

#endif
