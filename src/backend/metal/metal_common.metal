/* SPDX-License-Identifier: Apache-2.0 */
/* What several kernels share: sums over threads, tiles in threadgroup memory, activations.
 *
 * House rules of every kernel here, so that one text is taken by Apple's compiler and by the tests'
 * stand-in alike: no kernel templates (thin kernels over template functions), no function
 * constants, no matrix types but simdgroup's, whose elements are reached by load and store alone, and
 * never a const one: the specification's functions take operands by non-const reference; masks are
 * finite; no call of erf or tanh, which Metal lacks or is free to make imprecise. */

/* Every kernel's promise to the compiler, which then need not keep registers free for more. */
#define METAL_KERNEL [[max_total_threads_per_threadgroup(METAL_THREADS)]]

/* Of threadgroup memory that is declared as floats and stored to as half4. */
#define METAL_ALIGNED __attribute__((aligned(16)))

/* Below every score and every f16. */
constant float METAL_LOWEST = -1e30f;

/* The error function to 1.7e-7 absolute: erfc(x) = 2^(-x R(x)) for 0 <= x <= 4, R fitted by the
 * Remez-like reweighting of least squares against erfc in double; beyond 4, 1 - erf is 1.6e-8. */
inline float erf_of(float x) {
    const float t = min(fabs(x), 4.0f);
    float r = -1.00221492e-4f;
    r = fma(r, t, 4.61576857e-4f);
    r = fma(r, t, 2.30222591e-3f);
    r = fma(r, t, -2.94524971e-2f);
    r = fma(r, t, 1.48963660e-1f);
    r = fma(r, t, 9.18328643e-1f);
    r = fma(r, t, 1.62791371f);
    const float y = 1.0f - exp2(-t * r);
    return x < 0.0f ? -y : y;
}

/* To 1.2e-7 absolute; e = exp(-2|x|) never overflows. */
inline float tanh_of(float x) {
    const float e = exp2(fabs(x) * -2.88539008f);
    const float y = (1.0f - e) / (1.0f + e);
    return x < 0.0f ? -y : y;
}

/* kind is the same for all threads of a dispatch. */
inline float activate(int kind, float x) {
    if (kind == METAL_GELU_ERF) return 0.5f * x * (1.0f + erf_of(x * 0.707106781f));
    if (kind == METAL_GELU_TANH) {
        return 0.5f * x * (1.0f + tanh_of(0.797884561f * (x + 0.044715f * x * x * x)));
    }
    if (kind == METAL_SILU) return x / (1.0f + exp(min(-x, 80.0f)));
    if (kind == METAL_RELU) return max(x, 0.0f);
    if (kind == METAL_TANH) return tanh_of(x);
    return x;
}

/* Before a loop over matrices in registers, which an index that is not a constant would spill. */
#define METAL_UNROLL _Pragma("clang loop unroll(full)")

/* ROWS x COLS halves to threadgroup memory, rows COLS + METAL_PAD apart, from a matrix whose rows
 * are `stride` apart; zeros where a row is not below `rows` or a column not below `cols`. */
template <int ROWS, int COLS>
inline void load_tile(threadgroup half *tile, device const half *from, int stride, int rows,
                      int cols, uint index) {
    for (int i = index; i < ROWS * COLS / 4; i += METAL_THREADS) {
        const int row = i / (COLS / 4);
        const int col = i % (COLS / 4) * 4;
        half4 value = half4(0.0h);
        if (row < rows && col < cols) value = *(device const half4 *)(from + row * stride + col);
        *(threadgroup half4 *)(tile + row * (COLS + METAL_PAD) + col) = value;
    }
}
