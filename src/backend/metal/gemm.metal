/* SPDX-License-Identifier: Apache-2.0 */
/* gemm: c = epilogue(a wT + bias), f16 in and out, sums in f32. The contract is in metal_args.h.
 *
 * A threadgroup makes a tile of c with 4 simdgroups, SIMDS_M x SIMDS_N of them, each TM x TN
 * matrices of 8 x 8 in registers:
 *
 *             w, DEPTH deep                      64x64: 2 x 2 simdgroups of 4 x 4 matrices
 *           +------+------+                      32x32: 2 x 2 of 2 x 2, when 64x64 would leave
 *   a  +--+ | sg 0 | sg 1 |                             processors idle
 *      |  | +------+------+                      16x32: 1 x 4 of 2 x 1, deeper, for a few rows,
 *      +--+ | sg 2 | sg 3 |                             where the weights' way from memory counts
 *           +------+------+
 *
 * Both tiles go through threadgroup memory, zeros beyond the edges: each half is fetched once for
 * all simdgroups, and a matrix loaded from there serves TM or TN products. Two tiles in turn were
 * rejected: they halve how many threadgroups a processor holds, and those hide the latency.
 * The sum over k has the same order in every size of tile, so a row of c has the same bits in
 * whatever batch, and by whichever kernel, it is made.
 * The sums leave by threadgroup memory too, as elements of a matrix are not ours to touch: 8 rows
 * of a simdgroup's part at a time, each lane its column, so that stores of a row are contiguous and
 * the edge is a guard on each. */
template <int SIMDS_M, int SIMDS_N, int TM, int TN, int DEPTH>
inline void gemm_tile(device const half *a, device const half *w, device const float *bias,
                      device const half *other, device half *c, constant metal_gemm_args &args,
                      threadgroup float *memory, uint3 group, uint index, uint simd, uint lane) {
    constexpr int ROWS = SIMDS_M * TM * 8;
    constexpr int COLS = SIMDS_N * TN * 8;
    constexpr int LD = DEPTH + METAL_PAD;
    threadgroup half *a_tile = (threadgroup half *)memory;
    threadgroup half *w_tile = a_tile + ROWS * LD;
    const int first_row = int(group.y) * ROWS;
    const int first_col = int(group.x) * COLS;
    const int simd_row = int(simd) / SIMDS_N * TM * 8;
    const int simd_col = int(simd) % SIMDS_N * TN * 8;

    simdgroup_float8x8 sums[TM][TN];
    METAL_UNROLL
    for (int i = 0; i < TM; i++) {
        METAL_UNROLL
        for (int j = 0; j < TN; j++) sums[i][j] = make_filled_simdgroup_matrix<float, 8, 8>(0.0f);
    }
    for (int k0 = 0; k0 < args.k; k0 += DEPTH) {
        load_tile<ROWS, DEPTH>(a_tile, a + first_row * args.lda + k0, args.lda,
                               args.m - first_row, args.k - k0, index);
        load_tile<COLS, DEPTH>(w_tile, w + first_col * args.k + k0, args.k, args.n - first_col,
                               args.k - k0, index);
        threadgroup_barrier(mem_flags::mem_threadgroup);
        METAL_UNROLL
        for (int k = 0; k < DEPTH; k += 8) {
            simdgroup_half8x8 left[TM];
            simdgroup_half8x8 right[TN];
            METAL_UNROLL
            for (int i = 0; i < TM; i++) {
                simdgroup_load(left[i], a_tile + (simd_row + i * 8) * LD + k, LD);
            }
            METAL_UNROLL
            for (int j = 0; j < TN; j++) {
                simdgroup_load(right[j], w_tile + (simd_col + j * 8) * LD + k, LD, ulong2(0, 0),
                               true);
            }
            METAL_UNROLL
            for (int i = 0; i < TM; i++) {
                METAL_UNROLL
                for (int j = 0; j < TN; j++) {
                    simdgroup_multiply_accumulate(sums[i][j], left[i], right[j], sums[i][j]);
                }
            }
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }

    constexpr int WIDTH = TN * 8;
    threadgroup float *part = memory + int(simd) * 8 * WIDTH;
    METAL_UNROLL
    for (int i = 0; i < TM; i++) {
        METAL_UNROLL
        for (int j = 0; j < TN; j++) simdgroup_store(sums[i][j], part + j * 8, WIDTH);
        simdgroup_barrier(mem_flags::mem_threadgroup);
        for (int e = lane; e < 8 * WIDTH; e += METAL_LANES) {
            const int row = first_row + simd_row + i * 8 + e / WIDTH;
            const int col = first_col + simd_col + e % WIDTH;
            if (row < args.m && col < args.n) {
                float x = part[e];
                if (args.has_bias) x += bias[col];
                x = activate(args.activation, x);
                if (args.other == METAL_OTHER_ADD) x += float(other[row * args.ld_other + col]);
                if (args.other == METAL_OTHER_MULTIPLY) {
                    x *= float(other[row * args.ld_other + col]);
                }
                c[row * args.ldc + col] = half(x);
            }
        }
        simdgroup_barrier(mem_flags::mem_threadgroup);
    }
}

METAL_KERNEL
kernel void gemm_16x32(device const half *a [[buffer(0)]], device const half *w [[buffer(1)]],
                       device const float *bias [[buffer(2)]],
                       device const half *other [[buffer(3)]], device half *c [[buffer(4)]],
                       constant metal_gemm_args &args [[buffer(5)]],
                       uint3 group [[threadgroup_position_in_grid]],
                       uint index [[thread_index_in_threadgroup]],
                       uint simd [[simdgroup_index_in_threadgroup]],
                       uint lane [[thread_index_in_simdgroup]]) {
    threadgroup METAL_ALIGNED float memory[METAL_GEMM_BYTES(16, 32, 64) / 4];
    gemm_tile<1, 4, 2, 1, 64>(a, w, bias, other, c, args, memory, group, index, simd, lane);
}

METAL_KERNEL
kernel void gemm_32x32(device const half *a [[buffer(0)]], device const half *w [[buffer(1)]],
                       device const float *bias [[buffer(2)]],
                       device const half *other [[buffer(3)]], device half *c [[buffer(4)]],
                       constant metal_gemm_args &args [[buffer(5)]],
                       uint3 group [[threadgroup_position_in_grid]],
                       uint index [[thread_index_in_threadgroup]],
                       uint simd [[simdgroup_index_in_threadgroup]],
                       uint lane [[thread_index_in_simdgroup]]) {
    threadgroup METAL_ALIGNED float memory[METAL_GEMM_BYTES(32, 32, 32) / 4];
    gemm_tile<2, 2, 2, 2, 32>(a, w, bias, other, c, args, memory, group, index, simd, lane);
}

METAL_KERNEL
kernel void gemm_64x64(device const half *a [[buffer(0)]], device const half *w [[buffer(1)]],
                       device const float *bias [[buffer(2)]],
                       device const half *other [[buffer(3)]], device half *c [[buffer(4)]],
                       constant metal_gemm_args &args [[buffer(5)]],
                       uint3 group [[threadgroup_position_in_grid]],
                       uint index [[thread_index_in_threadgroup]],
                       uint simd [[simdgroup_index_in_threadgroup]],
                       uint lane [[thread_index_in_simdgroup]]) {
    threadgroup METAL_ALIGNED float memory[METAL_GEMM_BYTES(64, 64, 32) / 4];
    gemm_tile<2, 2, 4, 4, 32>(a, w, bias, other, c, args, memory, group, index, simd, lane);
}
