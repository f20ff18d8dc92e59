/* SPDX-License-Identifier: Apache-2.0 */
/* What a dispatch is told: one struct a kernel, read by the host's C and by the kernels alike. The
 * text of this file stands before the kernels' own in the source that Metal compiles, so it has no
 * include, and fields of 4 bytes only, which both sides lay out the same way. Each struct is bound
 * by setBytes at the index after the kernel's last buffer.
 *
 * Everything on the device is f16 but sums, norms' parameters and biases, which are f32. T tokens,
 * B sequences, H hidden, N heads, D head dim, L longest sequence; all matrices row-major. Every
 * buffer starts on 16 bytes, widths and the distances of rows that are read as a matrix (E, H, K,
 * lda, stride) are multiples of 4, and no matrix has 2^31 elements. Threads of a threadgroup and
 * sizes of tiles are those of metal_kernels.h. */
#ifndef TANDEM_BACKEND_METAL_ARGS_H
#define TANDEM_BACKEND_METAL_ARGS_H

/* embed: a threadgroup a token. out[t] = norm(word[ids[t]] + position[positions[t]] + type[...])
 *   0 word f16 [V, E]   1 position f16 [P, E]   2 type f16 [types, E]
 *   3 ids i32 [T]       4 positions i32 [T]     5 types i32 [T]
 *   6 gamma f32 [E]     7 beta f32 [E]          8 out f16 [T, E]          9 metal_embed_args
 * Where a table or the norm is absent, any buffer is bound in its place and the flag is 0. Groups
 * (T, 1, 1). */
struct metal_embed_args {
    int width; /* E */
    int has_position;
    int has_type;
    int has_norm;
    int has_beta;
    float eps;
};

/* gemm: c[m, n] = epilogue(sum over k of a[m, k] * w[n, k] + bias[n])
 *   0 a f16 [M, K] rows lda apart   1 w f16 [N, K] rows K apart   2 bias f32 [N]
 *   3 other f16 [M, N] rows ld_other apart                        4 c f16 rows ldc apart
 *   5 metal_gemm_args
 * Epilogue, in f32 before the one rounding to f16: activation, then `+ other` (a residual) or
 * `* other` (the gate of a GLU). `other` and `c` may be the same buffer. A threadgroup a tile of
 * c: groups (ceil(N / tile_n), ceil(M / tile_m), 1). K is a multiple of 8; M and N are any. */
enum { METAL_OTHER_NONE = 0, METAL_OTHER_ADD = 1, METAL_OTHER_MULTIPLY = 2 };
/* The numbers of tandem_activation. */
enum {
    METAL_GELU_ERF = 1,
    METAL_GELU_TANH = 2,
    METAL_SILU = 3,
    METAL_RELU = 4,
    METAL_TANH = 5,
};
struct metal_gemm_args {
    int m;
    int n;
    int k;
    int lda;
    int ldc;
    int ld_other;
    int has_bias;
    int activation; /* tandem_activation, NONE to TANH */
    int other;      /* METAL_OTHER_... */
};

/* norm: y[t] = (x[t] - mean) / sqrt(variance + eps) * gamma + beta, in place or not; a simdgroup a
 * row: groups (ceil(T / tile_m), 1, 1).
 *   0 x f16 [T, H]   1 gamma f32 [H]   2 beta f32 [H]   3 y f16 [T, H]   4 metal_norm_args */
struct metal_norm_args {
    int rows; /* T */
    int width;
    int has_beta;
    float eps;
};

/* rope: q and k of qkv turned in place: pair (i, i + D/2) of a head by angle position *
 * frequency[i], a thread a pair: groups (ceil(N * D / tile_n), T, 1).
 *   0 qkv f16 [T, 3*N*D]   1 angles f32 [P, D/2, 2] (cosine, sine)   2 positions i32 [T]
 *   3 metal_rope_args */
struct metal_rope_args {
    int heads;
    int head_dim;
    int stride; /* of qkv's rows: 3*N*D */
};

/* attention: out = softmax(scale * q kT + bias) v, a threadgroup a block of queries of one head.
 * Groups (block_count, N, 1). Blocks never cross sequences: first_query is a multiple of tile_m.
 * The kernel is the first whose tile_n is no less than head_dim.
 *   0 qkv f16 [T, 3*N*D]: q of all heads, then k, then v   1 blocks metal_block [block_count]
 *   2 bias f32 [N, 2 * bias_reach + 1]: added at distance key - query, 0 in the middle
 *   3 out f16 [T, N*D]     4 metal_attention_args
 * A distance beyond bias_reach has the bias at the reach. With a window, a query sees keys at
 * distance <= window only; 0: all of its sequence. */
struct metal_block {
    int first_token; /* of the sequence, in the batch */
    int tokens;      /* of the sequence */
    int first_query; /* of the block, counted from the sequence's start */
    int pad;
};
struct metal_attention_args {
    int heads;
    int head_dim; /* a multiple of 8, at most 128 */
    int stride;   /* of qkv's rows */
    int has_bias;
    int bias_reach;
    int window;
    float scale;
};

/* pool: one vector a sequence, f32; groups (B, ceil(H / tile_n), 1).
 *   0 x f16 [T, H]   1 offsets i32 [B + 1]   2 skip i32 [B] (tokens left out at the start)
 *   3 out f32 [B, out_stride], from out_first on   4 metal_pool_args
 * kind: tandem_pooling, MEAN to MEAN_SQRT, whose numbers these are. A weighted mean counts from the
 * sequence's start, skipped tokens too. */
enum {
    METAL_POOL_MEAN = 1,
    METAL_POOL_CLS = 2,
    METAL_POOL_MAX = 3,
    METAL_POOL_LAST = 4,
    METAL_POOL_WEIGHTED_MEAN = 5,
    METAL_POOL_MEAN_SQRT = 6,
};
struct metal_pool_args {
    int width;
    int kind;
    int out_stride;
    int out_first;
};

#endif
