/* SPDX-License-Identifier: Apache-2.0 */
/* The facts of each kernel, once, for the kernels, the host, the cost model and the tests: this
 * text stands in the source that Metal compiles, after metal_args.h, and C includes it.
 *
 * METAL_KERNELS(X) calls X(name, threads, tile_m, tile_n, bytes) for every kernel:
 *   threads   of a threadgroup, always 4 simdgroups of 32
 *   tile_m    rows of output a threadgroup makes: tokens, or queries of a block
 *   tile_n    columns of it; 0: all of the row. attention_N: N is the most head_dim it takes
 *   bytes     of threadgroup memory, static, so the host sets no length; at most 32 KB */
#ifndef TANDEM_BACKEND_METAL_KERNELS_H
#define TANDEM_BACKEND_METAL_KERNELS_H

#define METAL_LANES     32
#define METAL_SIMDS     4
#define METAL_THREADS   (METAL_SIMDS * METAL_LANES)
#define METAL_PAD       8 /* halves after each row of a tile: rows start in different banks */
#define METAL_NORM_ROWS METAL_SIMDS
#define METAL_POOL_COLS METAL_LANES
#define METAL_QUERIES   32 /* of a block: 8 a simdgroup */
#define METAL_KEYS      32 /* of one step of attention */

/* A tile of a and one of w, `depth` halves deep; the epilogue uses the same memory again. */
#define METAL_GEMM_BYTES(m, n, depth) (((m) + (n)) * ((depth) + METAL_PAD) * 2)
/* Keys, values, a simdgroup's scores (f32, 8 x 32) and its diagonal (f32, 8 x 8). */
#define METAL_ATTENTION_BYTES(d)                                                                   \
    (2 * METAL_KEYS * ((d) + METAL_PAD) * 2 + METAL_SIMDS * (8 * METAL_KEYS + 64) * 4)

/* clang-format off */
#define METAL_KERNELS(X)                                                                   \
    X(embed, METAL_THREADS, 1, 0, METAL_SIMDS * 4)                                         \
    X(gemm_16x32, METAL_THREADS, 16, 32, METAL_GEMM_BYTES(16, 32, 64))                     \
    X(gemm_32x32, METAL_THREADS, 32, 32, METAL_GEMM_BYTES(32, 32, 32))                     \
    X(gemm_64x64, METAL_THREADS, 64, 64, METAL_GEMM_BYTES(64, 64, 32))                     \
    X(norm, METAL_THREADS, METAL_NORM_ROWS, 0, 0)                                          \
    X(rope, METAL_THREADS, 1, METAL_THREADS, 0)                                            \
    X(attention_32, METAL_THREADS, METAL_QUERIES, 32, METAL_ATTENTION_BYTES(32))           \
    X(attention_64, METAL_THREADS, METAL_QUERIES, 64, METAL_ATTENTION_BYTES(64))           \
    X(attention_128, METAL_THREADS, METAL_QUERIES, 128, METAL_ATTENTION_BYTES(128))        \
    X(pool, METAL_THREADS, 1, METAL_POOL_COLS, METAL_THREADS * 4)
/* clang-format on */

#endif
