/* SPDX-License-Identifier: Apache-2.0 */
/* Picks the kernels and walks a block of C tile by tile.
 *
 * For each panel all row tiles, full depth: the panel (at most 200 KB) and the block of A stay in
 * L2, and the next lines of both are prefetched by the hardware. Rows are split evenly over the
 * tiles a block needs, so that 128 rows of tiles of at most 14 are 10 tiles of 12 or 13 and not 9
 * of 14 and one of 2: the short one would leave the FMA units waiting. */
#include "kernels/gemm/gemm.h"

#include "base/assert.h"
#include "base/cpu.h"

void tandem_gemm_fill(tandem_gemm_kernels *kernels, uint32_t cpu_flags) {
    tandem_activation_fill(&kernels->activation, cpu_flags);
    kernels->wide[0].run = NULL;
    kernels->wide[1].run = NULL;
#define GEMM_KERNEL(name, shape, type, flags, rows, columns, panel_count)                          \
    if (((flags) & ~cpu_flags) == 0) {                                                             \
        kernels->shape[TANDEM_DTYPE_##type] = (tandem_gemm_kernel){name, rows, panel_count};       \
        kernels->nr = columns;                                                                     \
    }
#define GEMM_PACK(name, flags)                                                                     \
    if (((flags) & ~cpu_flags) == 0) kernels->pack = name;
#include "kernels/gemm/gemm.inc"
#undef GEMM_KERNEL
#undef GEMM_PACK
}

static size_t element_bytes(tandem_dtype dtype) {
    return dtype == TANDEM_DTYPE_F32 ? 4 : 2;
}

int tandem_gemm_panel_count(const tandem_gemm_matrix *matrix) {
    return (matrix->n + matrix->nr - 1) / matrix->nr;
}

size_t tandem_gemm_packed_bytes(const tandem_gemm_kernels *kernels, tandem_dtype dtype, int n,
                                int k) {
    TANDEM_ASSERT(dtype == TANDEM_DTYPE_F32 || dtype == TANDEM_DTYPE_F16);
    TANDEM_ASSERT(n > 0 && k > 0);
    const size_t panels = ((size_t)n + (size_t)kernels->nr - 1) / (size_t)kernels->nr;
    const size_t bytes = panels * (size_t)kernels->nr * (size_t)k * element_bytes(dtype);
    return (bytes + 63) / 64 * 64;
}

int tandem_gemm_row_block(int k) {
    enum { A_BYTES = 400 * 1024 }; /* of an L2 of 512 KB to 1 MB, beside one panel */
    const int rows = A_BYTES / (4 * k);
    return rows < 24 ? 24 : rows > 256 ? 256 : rows;
}

bool tandem_gemm_pack(const tandem_gemm_kernels *kernels, const tandem_gemm_matrix *matrix,
                      int column, const void *src, tandem_dtype src_dtype, int rows) {
    TANDEM_ASSERT(matrix->nr == kernels->nr);
    TANDEM_ASSERT(matrix->dtype == TANDEM_DTYPE_F32 || matrix->dtype == TANDEM_DTYPE_F16);
    TANDEM_ASSERT(src_dtype == TANDEM_DTYPE_F32 || src_dtype == TANDEM_DTYPE_F16 ||
                  src_dtype == TANDEM_DTYPE_BF16);
    TANDEM_ASSERT(column >= 0 && rows >= 0 && column + rows <= matrix->n);
    return rows == 0 || kernels->pack(matrix, column, src, src_dtype, rows);
}

void tandem_gemm_run(const tandem_gemm_kernels *kernels, const tandem_gemm_args *args,
                     int row_begin, int row_end, int panel_begin, int panel_end) {
    const tandem_gemm_matrix *w = args->w;
    TANDEM_ASSERT(w->nr == kernels->nr);
    TANDEM_ASSERT(panel_begin >= 0 && panel_end <= tandem_gemm_panel_count(w));
    const int rows = row_end - row_begin;
    if (rows <= 0) return;
    const tandem_gemm_kernel *tall = &kernels->tall[w->dtype];
    const tandem_gemm_kernel *wide = &kernels->wide[w->dtype];
    const bool is_wide = wide->run != NULL && rows <= wide->mr;
    const tandem_gemm_kernel *kernel = is_wide ? wide : tall;
    const int tiles = (rows + kernel->mr - 1) / kernel->mr;
    const size_t panel_bytes = (size_t)w->k * (size_t)w->nr * element_bytes(w->dtype);
    tandem_gemm_tile tile = {
        .lda = args->lda,
        .panel_stride = panel_bytes,
        .ld_residual = args->ld_residual,
        .ldc = args->ldc,
        .k = w->k,
        .activation = args->act == TANDEM_ACT_NONE ? NULL : kernels->activation.apply[args->act],
    };
    for (int panel = panel_begin; panel < panel_end; panel += kernel->panels) {
        const int column = panel * w->nr;
        const int last = panel + kernel->panels < panel_end ? panel + kernel->panels : panel_end;
        const int column_end = last * w->nr < w->n ? last * w->nr : w->n;
        tile.b = (const char *)w->panels + (size_t)panel * panel_bytes;
        tile.bias = args->bias == NULL ? NULL : args->bias + column;
        tile.n = column_end - column;
        const int ahead = last + kernel->panels < panel_end ? kernel->panels : panel_end - last;
        const size_t share = (size_t)ahead * panel_bytes / (size_t)tiles;
        tile.prefetch_step = (share + (size_t)w->k - 1) / (size_t)w->k;
        for (int t = 0; t < tiles; t++) {
            const int begin = row_begin + (int)((int64_t)rows * t / tiles);
            const int end = row_begin + (int)((int64_t)rows * (t + 1) / tiles);
            tile.m = end - begin;
            tile.prefetch =
                (const char *)tile.b + (size_t)(last - panel) * panel_bytes + (size_t)t * share;
            if (ahead == 0) tile.prefetch = tile.b;
            tile.a = args->a + (size_t)begin * args->lda;
            tile.c = args->c + (size_t)begin * args->ldc + column;
            tile.residual = args->residual == NULL
                                ? NULL
                                : args->residual + (size_t)begin * args->ld_residual + column;
            kernel->run(&tile);
        }
    }
}
