/* SPDX-License-Identifier: Apache-2.0 */
/* C = act(A · Wᵀ + bias) + residual in eight bits: W as s8 with a scale a column, A as u8 with a
 * scale and a zero point a row, found as the row comes.
 *
 *   A      [M, K] f32 --tandem_quantize--> q [M, Kp] u8:  a ≈ (q - zero) · scale, |error| <= scale,
 *          which is (max(a, 0) - min(a, 0)) / 255 over the row; so 0 stays 0
 *   W      [N, K] --tandem_gemm_i8_pack--> w [N, Kp] s8:  W ≈ w · scale, |error| <= scale / 2,
 *          which is max|W| / 127 over the column's K
 *   C[m, n] = (sum over k of q · w  -  zero[m] · sum over k of w) · (scale[m] · scale[n]) + bias
 *
 * then act, then + residual, as in gemm.h. Kp is K rounded up to 16; weights past K are 0. The sum
 * is whole and exact in 32 bits (K up to 65536), the few roundings after it are the same
 * everywhere: so bits depend neither on the batch, nor on tiles, threads or the instruction set,
 * plain C included, unless an activation, which has other bits in plain C, comes after them.
 *
 * A row with a value that is not finite has NaN as its scale and so in its row of C, and there
 * alone. A row that spans less than 1e-30 counts as zero. A column whose weights are not finite has
 * NaN as its scale.
 *
 * Panels hold whole groups of k side by side, as the dot product instructions want them:
 *
 *     panel p:  group 0 [ column 0: w[0 .. group-1] ][ column 1: ... ] ... [ column nr-1 ]
 *               group 1 [ ...                                                           ]
 *
 * `group` and `nr` are the instruction set's choice, so a matrix belongs to the table that packed
 * it; where is_fast, nr is gemm.h's in the same table, so panels may be counted by either. After
 * the panels lie the columns' scales and sums. */
#ifndef TANDEM_KERNELS_GEMM_I8_H
#define TANDEM_KERNELS_GEMM_I8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/activation/activation.h"
#include "tandem/dtype.h"
#include "tandem/status.h"

#define TANDEM_GEMM_I8_K_MAX  65536
#define TANDEM_GEMM_I8_NR_MAX 32 /* widest panel, columns */

typedef struct tandem_gemm_i8_matrix {
    void *panels; /* caller's memory, tandem_gemm_i8_packed_bytes, aligned to 64 */
    int n;
    int k;
    int nr; /* copied from the kernels' table, as is group */
    int group;
} tandem_gemm_i8_matrix;

/* One tile, as a kernel sees it. Not for callers. */
typedef struct tandem_gemm_i8_tile {
    const uint8_t *a; /* first row of the tile, Kp readable bytes in each */
    size_t lda;
    const int8_t *b; /* the tile's panel */
    int depth;       /* Kp */
    const float *row_scales;
    const int32_t *row_zeros;
    const float *column_scales; /* nr of each: those past n are 0 */
    const int32_t *column_sums;
    const float *bias; /* at the tile's first column, or NULL */
    const float *residual;
    size_t ld_residual;
    float *c;
    size_t ldc;
    int m;                                  /* rows, 1 to the kernel's mr */
    int n;                                  /* columns that exist, 1 to nr */
    tandem_activation_function *activation; /* NULL: none */
} tandem_gemm_i8_tile;

typedef void tandem_gemm_i8_function(const tandem_gemm_i8_tile *tile);

/* One row: x [k] f32 to q [depth] u8 (0 .. depth - 1 are written), its scale and zero point. */
typedef void tandem_quantize_function(const float *x, int k, uint8_t *q, int depth, float *scale,
                                      int32_t *zero);

typedef struct tandem_gemm_i8_kernels {
    int mr;
    int nr;
    int group;
    bool is_fast; /* by instructions for dot products of bytes, and not by plain C */
    tandem_gemm_i8_function *run;
    tandem_quantize_function *quantize;
    tandem_activation_kernels activation;
} tandem_gemm_i8_kernels;

void tandem_gemm_i8_fill(tandem_gemm_i8_kernels *kernels, uint32_t cpu_flags);

/* Kp of a depth. */
int tandem_gemm_i8_depth(int k);

/* Bytes of a packed [n, k] matrix; a multiple of 64. */
size_t tandem_gemm_i8_packed_bytes(const tandem_gemm_i8_kernels *kernels, int n, int k);

int tandem_gemm_i8_panel_count(const tandem_gemm_i8_matrix *matrix);

/* Packs `rows` rows of a row-major [rows, k] source (F32, F16 or BF16, unaligned allowed) as
 * columns `column` .. `column + rows - 1`; the call that packs column n - 1 also fills what lies
 * past it. Any split of the columns over calls and threads gives the same bytes. Returns false if a
 * weight is not finite. */
bool tandem_gemm_i8_pack(const tandem_gemm_i8_matrix *matrix, int column, const void *src,
                         tandem_dtype src_dtype, int rows) TANDEM_NODISCARD;

/* Rows [row_begin, row_end) of x, `ldx` apart, into q, scales and zeros, which start at row 0. */
void tandem_gemm_i8_quantize(const tandem_gemm_i8_kernels *kernels, const float *x, size_t ldx,
                             int k, int row_begin, int row_end, uint8_t *q, float *scales,
                             int32_t *zeros);

typedef struct tandem_gemm_i8_args {
    const uint8_t *q;     /* [M, Kp], as tandem_gemm_i8_quantize left it */
    const float *scales;  /* [M] */
    const int32_t *zeros; /* [M] */
    const tandem_gemm_i8_matrix *w;
    const float *bias;     /* [N] or NULL */
    const float *residual; /* [M, N] or NULL */
    size_t ld_residual;
    float *c; /* [M, N] */
    size_t ldc;
    tandem_act act;
} tandem_gemm_i8_args;

/* Computes rows [row_begin, row_end) of the columns of panels [panel_begin, panel_end). */
void tandem_gemm_i8_run(const tandem_gemm_i8_kernels *kernels, const tandem_gemm_i8_args *args,
                        int row_begin, int row_end, int panel_begin, int panel_end);

#define GEMM_I8_KERNEL(name, flags, mr, nr, group) tandem_gemm_i8_function name;
#define QUANTIZE_KERNEL(name, flags)               tandem_quantize_function name;
#include "kernels/gemm_i8/gemm_i8.inc"
#undef GEMM_I8_KERNEL
#undef QUANTIZE_KERNEL

#endif
