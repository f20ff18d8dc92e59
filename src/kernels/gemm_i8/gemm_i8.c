/* SPDX-License-Identifier: Apache-2.0 */
/* Picks the kernels and walks a block of C: for each panel all row tiles, as in gemm.c. */
#include "kernels/gemm_i8/gemm_i8.h"

#include "base/assert.h"
#include "base/cpu.h"

enum { DEPTH_STEP = 16 };

void tandem_gemm_i8_fill(tandem_gemm_i8_kernels *kernels, uint32_t cpu_flags) {
    tandem_activation_fill(&kernels->activation, cpu_flags);
#define GEMM_I8_KERNEL(name, flags, rows, columns, depth)                                          \
    if (((flags) & ~cpu_flags) == 0) {                                                             \
        kernels->run = name;                                                                       \
        kernels->mr = rows;                                                                        \
        kernels->nr = columns;                                                                     \
        kernels->group = depth;                                                                    \
        kernels->is_fast = (flags) != 0;                                                           \
    }
#define QUANTIZE_KERNEL(name, flags)                                                               \
    if (((flags) & ~cpu_flags) == 0) kernels->quantize = name;
#include "kernels/gemm_i8/gemm_i8.inc"
#undef GEMM_I8_KERNEL
#undef QUANTIZE_KERNEL
}

int tandem_gemm_i8_depth(int k) {
    TANDEM_ASSERT(k > 0 && k <= TANDEM_GEMM_I8_K_MAX);
    return (k + DEPTH_STEP - 1) / DEPTH_STEP * DEPTH_STEP;
}

int tandem_gemm_i8_panel_count(const tandem_gemm_i8_matrix *matrix) {
    return (matrix->n + matrix->nr - 1) / matrix->nr;
}

size_t tandem_gemm_i8_packed_bytes(const tandem_gemm_i8_kernels *kernels, int n, int k) {
    TANDEM_ASSERT(n > 0);
    const size_t nr = (size_t)kernels->nr;
    const size_t columns = ((size_t)n + nr - 1) / nr * nr;
    const size_t bytes = columns * ((size_t)tandem_gemm_i8_depth(k) + 8); /* scale and sum */
    return (bytes + 63) / 64 * 64;
}

void tandem_gemm_i8_quantize(const tandem_gemm_i8_kernels *kernels, const float *x, size_t ldx,
                             int k, int row_begin, int row_end, uint8_t *q, float *scales,
                             int32_t *zeros) {
    const int depth = tandem_gemm_i8_depth(k);
    for (int row = row_begin; row < row_end; row++) {
        const size_t at = (size_t)row;
        kernels->quantize(x + at * ldx, k, q + at * (size_t)depth, depth, &scales[at], &zeros[at]);
    }
}

void tandem_gemm_i8_run(const tandem_gemm_i8_kernels *kernels, const tandem_gemm_i8_args *args,
                        int row_begin, int row_end, int panel_begin, int panel_end) {
    const tandem_gemm_i8_matrix *w = args->w;
    TANDEM_ASSERT(w->nr == kernels->nr && w->group == kernels->group);
    const int panels = tandem_gemm_i8_panel_count(w);
    TANDEM_ASSERT(panel_begin >= 0 && panel_end <= panels);
    const int rows = row_end - row_begin;
    if (rows <= 0) return;
    const size_t depth = (size_t)tandem_gemm_i8_depth(w->k);
    const size_t columns = (size_t)panels * (size_t)w->nr;
    const float *scales = (const float *)w->panels + columns * depth / sizeof(float);
    const int32_t *sums = (const int32_t *)w->panels + columns * depth / sizeof(int32_t) + columns;
    const int tiles = (rows + kernels->mr - 1) / kernels->mr;
    tandem_gemm_i8_tile tile = {
        .lda = depth,
        .depth = (int)depth,
        .ld_residual = args->ld_residual,
        .ldc = args->ldc,
        .activation = args->act == TANDEM_ACT_NONE ? NULL : kernels->activation.apply[args->act],
    };
    for (int panel = panel_begin; panel < panel_end; panel++) {
        const int column = panel * w->nr;
        tile.n = column + w->nr < w->n ? w->nr : w->n - column;
        tile.b = (const int8_t *)w->panels + (size_t)column * depth;
        tile.column_scales = scales + column;
        tile.column_sums = sums + column;
        tile.bias = args->bias == NULL ? NULL : args->bias + column;
        for (int t = 0; t < tiles; t++) {
            const int begin = row_begin + (int)((int64_t)rows * t / tiles);
            const int end = row_begin + (int)((int64_t)rows * (t + 1) / tiles);
            const size_t at = (size_t)begin;
            tile.m = end - begin;
            tile.a = args->q + at * depth;
            tile.row_scales = args->scales + at;
            tile.row_zeros = args->zeros + at;
            tile.c = args->c + at * args->ldc + column;
            tile.residual =
                args->residual == NULL ? NULL : args->residual + at * args->ld_residual + column;
            kernels->run(&tile);
        }
    }
}
