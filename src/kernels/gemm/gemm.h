/* SPDX-License-Identifier: Apache-2.0 */
/* C = act(A · Wᵀ + bias) + residual, with W packed once.
 *
 *   A         [M, K] f32, row-major with a row stride
 *   W         [N, K] as models store it; packed into panels, see below
 *   bias      [N] f32, or NULL: nothing is added
 *   residual  [M, N] f32 with a row stride, or NULL; may be C itself
 *   C         [M, N] f32 with a row stride; must not overlap A
 *
 * Each element is one chain of fused multiply-adds over k = 0 .. K-1 from +0 in f32, f16 weights
 * widened exactly first; then + bias, then act, then + residual. So it does not depend on M, on the
 * tile that holds it, or on who computes it (kernels.h, ORDER OF SUMS). NaN and infinity go where
 * arithmetic takes them: row m of A and row n of W touch C[m, n] alone.
 *
 * Bound against exact arithmetic, before act: (K + 2) · 2^-24 · (sum |a||w| + |bias|).
 *
 * A packed matrix is ceil(N / nr) panels; a panel is K rows of nr adjacent columns:
 *
 *     panel p:  k=0 [ W[p·nr, 0] W[p·nr+1, 0] ... W[p·nr+nr-1, 0] ]
 *               k=1 [ W[p·nr, 1] ...                               ]       f32 or f16
 *
 * with zeros for columns past N. nr is the instruction set's choice (tandem_gemm_kernels.nr), so
 * a packed matrix belongs to the table that packed it. Several sources may be stacked along N
 * (query, key and value as one matrix of 3H columns) by packing them at different columns.
 *
 * Work is cut along M and along panels: any (row range, panel range) may be computed by any thread,
 * and writes only its own part of C. */
#ifndef TANDEM_KERNELS_GEMM_H
#define TANDEM_KERNELS_GEMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/activation/activation.h"
#include "tandem/dtype.h"
#include "tandem/status.h"

#define TANDEM_GEMM_NR_MAX 64 /* widest panel, columns */

typedef struct tandem_gemm_matrix {
    void *panels;       /* caller's memory, tandem_gemm_packed_bytes, aligned to 64 */
    tandem_dtype dtype; /* F32 or F16: how the panels are stored */
    int n;
    int k;
    int nr; /* columns of a panel: copied from the kernels' table */
} tandem_gemm_matrix;

/* One tile, as a kernel sees it. Not for callers. */
typedef struct tandem_gemm_tile {
    const float *a; /* first row of the tile */
    size_t lda;
    const void *b;       /* first panel of the tile */
    size_t panel_stride; /* bytes from panel to panel */
    /* What to bring into L2 meanwhile: this tile's share of the panels that come next, a few bytes
     * at each step of k. Always an address that exists; prefetch_step 0: nothing to bring. */
    const char *prefetch;
    size_t prefetch_step;
    const float *bias; /* at the tile's first column, or NULL */
    const float *residual;
    size_t ld_residual;
    float *c;
    size_t ldc;
    int m; /* rows, 1 to the kernel's mr */
    int n; /* columns that exist, 1 to the kernel's panels · nr */
    int k;
    tandem_activation_function *activation; /* NULL: none */
} tandem_gemm_tile;

typedef void tandem_gemm_function(const tandem_gemm_tile *tile);

/* A tile shape: up to `mr` rows by `panels` panels. */
typedef struct tandem_gemm_kernel {
    tandem_gemm_function *run;
    int mr;
    int panels;
} tandem_gemm_kernel;

/* dst: the panel that holds column `column`; see tandem_gemm_pack. */
typedef bool tandem_gemm_pack_function(const tandem_gemm_matrix *matrix, int column,
                                       const void *src, tandem_dtype src_dtype, int rows);

typedef struct tandem_gemm_kernels {
    int nr;
    /* [F32, F16]: the tall tile of one panel, and the wide one for few rows (run is NULL where the
     * instruction set has none). */
    tandem_gemm_kernel tall[2];
    tandem_gemm_kernel wide[2];
    tandem_gemm_pack_function *pack;
    tandem_activation_kernels activation;
} tandem_gemm_kernels;

void tandem_gemm_fill(tandem_gemm_kernels *kernels, uint32_t cpu_flags);

/* Bytes of a packed [n, k] matrix; a multiple of 64. */
size_t tandem_gemm_packed_bytes(const tandem_gemm_kernels *kernels, tandem_dtype dtype, int n,
                                int k);

int tandem_gemm_panel_count(const tandem_gemm_matrix *matrix);

/* Packs `rows` rows of a row-major [rows, k] source (F32, F16 or BF16, unaligned allowed) as
 * columns `column` .. `column + rows - 1` of the matrix. The call that packs column n - 1 also
 * writes the zeros after it. Any split of the columns over calls and threads gives the same bytes;
 * a split at multiples of nr is the fast one. Returns false if a weight is not finite, in the
 * source or once narrowed to f16 (from 65520 up): it is packed all the same. */
bool tandem_gemm_pack(const tandem_gemm_kernels *kernels, const tandem_gemm_matrix *matrix,
                      int column, const void *src, tandem_dtype src_dtype,
                      int rows) TANDEM_NODISCARD;

typedef struct tandem_gemm_args {
    const float *a; /* [M, K] */
    size_t lda;     /* elements from row to row, >= K */
    const tandem_gemm_matrix *w;
    const float *bias;     /* [N] or NULL */
    const float *residual; /* [M, N] or NULL */
    size_t ld_residual;
    float *c; /* [M, N] */
    size_t ldc;
    tandem_act act;
} tandem_gemm_args;

/* Computes rows [row_begin, row_end) of the columns of panels [panel_begin, panel_end). */
void tandem_gemm_run(const tandem_gemm_kernels *kernels, const tandem_gemm_args *args,
                     int row_begin, int row_end, int panel_begin, int panel_end);

/* How many rows one call should take so that its part of A stays in the cache while panels pass
 * by: a good cut of M for threads and for long batches. */
int tandem_gemm_row_block(int k);

#define GEMM_KERNEL(name, shape, dtype, flags, mr, nr, panels) tandem_gemm_function name;
#define GEMM_PACK(name, flags)                                 tandem_gemm_pack_function name;
#include "kernels/gemm/gemm.inc"
#undef GEMM_KERNEL
#undef GEMM_PACK

#endif
