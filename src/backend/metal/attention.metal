/* SPDX-License-Identifier: Apache-2.0 */
/* attention: softmax(scale q kT + bias) v without the scores ever leaving the processor (online
 * softmax, Milakov and Gimelshein 2018; blocks as in FlashAttention, Dao et al. 2022).
 *
 * A threadgroup has a block of 32 queries of one head, 8 to each simdgroup, and goes through the
 * sequence's keys 32 at a time. A simdgroup keeps its queries and sums as 8 x 8 matrices in
 * registers; elements of a matrix are not ours to touch, so scores pass through threadgroup memory:
 *
 *     scores [8, 32] = q kT  ->  memory  ->  lane l: row l / 4, 8 columns from l % 4 * 8
 *     m' = max(m, scores)  p = exp(score - m')  l = l exp(m - m') + sum p
 *     sums = diag(exp(m - m')) sums + p v     a product with a diagonal matrix scales the rows
 *
 * Only keys that some query of the block sees are gone through. A key that a query does not see,
 * outside the window or beyond the sequence, has the score METAL_LOWEST: its p is 0 once the query
 * has met a key that it sees, and what it added before shrinks by exp(METAL_LOWEST - m') = 0 then;
 * every query meets itself. Values beyond the sequence are zeros, not what follows it, as 0 times
 * that need not be 0. A head of fewer columns than HEAD has zeros in the rest. */
struct attention_row { /* a lane's view of its query */
    int query;    /* from the sequence's start */
    int first;    /* key that it sees first */
    int end;      /* and one past the last */
    float largest;
    float sum;
};

/* A lane's 8 scores of keys from `key` on become weights; returns by how much earlier sums
 * shrink. */
inline float attention_weigh(thread attention_row &row, thread float *score, int key,
                             device const float *bias, constant metal_attention_args &args) {
    float largest = row.largest;
    METAL_UNROLL
    for (int i = 0; i < 8; i++) {
        const int at = key + i;
        score[i] *= args.scale;
        if (args.has_bias) {
            score[i] += bias[clamp(at - row.query, -args.bias_reach, args.bias_reach)];
        }
        if (at < row.first || at >= row.end) score[i] = METAL_LOWEST;
        largest = max(largest, score[i]);
    }
    largest = max(largest, simd_shuffle_xor(largest, 1));
    largest = max(largest, simd_shuffle_xor(largest, 2));
    const float shrink = exp(row.largest - largest);
    float sum = 0.0f;
    METAL_UNROLL
    for (int i = 0; i < 8; i++) {
        score[i] = exp(score[i] - largest);
        sum += score[i];
    }
    sum += simd_shuffle_xor(sum, 1);
    sum += simd_shuffle_xor(sum, 2);
    row.sum = row.sum * shrink + sum;
    row.largest = largest;
    return shrink;
}

/* One step of a simdgroup: 32 keys from `key` on. `scores` [8, 32] and `diagonal` [8, 8] are its
 * own. */
template <int HEAD>
inline void attention_step(thread simdgroup_float8x8 *sums, thread simdgroup_half8x8 *queries,
                           thread attention_row &row, threadgroup const half *keys,
                           threadgroup const half *values, threadgroup float *scores,
                           threadgroup float *diagonal, int key, device const float *bias,
                           constant metal_attention_args &args, uint lane) {
    constexpr int LD = HEAD + METAL_PAD;
    METAL_UNROLL
    for (int j = 0; j < METAL_KEYS / 8; j++) {
        simdgroup_float8x8 s = make_filled_simdgroup_matrix<float, 8, 8>(0.0f);
        METAL_UNROLL
        for (int d = 0; d < HEAD / 8; d++) {
            simdgroup_half8x8 k;
            simdgroup_load(k, keys + j * 8 * LD + d * 8, LD, ulong2(0, 0), true);
            simdgroup_multiply_accumulate(s, queries[d], k, s);
        }
        simdgroup_store(s, scores + j * 8, METAL_KEYS);
    }
    simdgroup_barrier(mem_flags::mem_threadgroup);

    float score[8];
    const int first = int(lane) / 4 * METAL_KEYS + int(lane) % 4 * 8;
    METAL_UNROLL
    for (int i = 0; i < 8; i++) score[i] = scores[first + i];
    const float shrink =
        attention_weigh(row, score, key + int(lane) % 4 * 8, bias, args);
    simdgroup_barrier(mem_flags::mem_threadgroup);

    /* The weights take the scores' place, rows as far apart: 64 halves. */
    threadgroup half *weights = (threadgroup half *)scores;
    const int to = int(lane) / 4 * METAL_KEYS * 2 + int(lane) % 4 * 8;
    METAL_UNROLL
    for (int i = 0; i < 8; i++) weights[to + i] = half(score[i]);
    for (int i = 0; i < 2; i++) {
        const int col = int(lane) % 4 * 2 + i;
        diagonal[int(lane) / 4 * 8 + col] = col == int(lane) / 4 ? shrink : 0.0f;
    }
    simdgroup_barrier(mem_flags::mem_threadgroup);

    simdgroup_float8x8 scaling;
    simdgroup_load(scaling, diagonal, 8);
    METAL_UNROLL
    for (int d = 0; d < HEAD / 8; d++) simdgroup_multiply(sums[d], scaling, sums[d]);
    METAL_UNROLL
    for (int j = 0; j < METAL_KEYS / 8; j++) {
        simdgroup_half8x8 p;
        simdgroup_load(p, weights + j * 8, METAL_KEYS * 2);
        METAL_UNROLL
        for (int d = 0; d < HEAD / 8; d++) {
            simdgroup_half8x8 v;
            simdgroup_load(v, values + j * 8 * LD + d * 8, LD);
            simdgroup_multiply_accumulate(sums[d], p, v, sums[d]);
        }
    }
}

/* Sums over the weights' sum, 32 columns at a time through `scores`. `out` is the head's columns of
 * the sequence's first row. */
template <int HEAD>
inline void attention_store(thread simdgroup_float8x8 *sums, attention_row row, int tokens,
                            threadgroup float *scores, device half *out, int stride, int head_dim,
                            uint lane) {
    METAL_UNROLL
    for (int d = 0; d < HEAD; d += 32) {
        METAL_UNROLL
        for (int j = 0; j < 4; j++) simdgroup_store(sums[d / 8 + j], scores + j * 8, 32);
        simdgroup_barrier(mem_flags::mem_threadgroup);
        const int col = int(lane) % 4 * 8;
        if (row.query < tokens && d + col < head_dim) {
            METAL_UNROLL
            for (int i = 0; i < 8; i++) {
                const float x = scores[int(lane) / 4 * 32 + col + i] / row.sum;
                out[row.query * stride + d + col + i] = half(x);
            }
        }
        simdgroup_barrier(mem_flags::mem_threadgroup);
    }
}

template <int HEAD>
inline void attention_block(device const half *qkv, metal_block block, device const float *bias,
                            device half *out, constant metal_attention_args &args,
                            threadgroup float *memory, int head, uint index, uint simd,
                            uint lane) {
    constexpr int LD = HEAD + METAL_PAD;
    threadgroup half *keys = (threadgroup half *)memory;
    threadgroup half *values = keys + METAL_KEYS * LD;
    threadgroup float *scores =
        (threadgroup float *)(values + METAL_KEYS * LD) + int(simd) * (8 * METAL_KEYS + 64);
    threadgroup float *diagonal = scores + 8 * METAL_KEYS;
    const int inner = args.heads * args.head_dim;
    const int last_query = min(block.first_query + METAL_QUERIES, block.tokens) - 1;
    int first_key = 0;
    int end_key = block.tokens;
    if (args.window > 0) {
        first_key = max(block.first_query - args.window, 0);
        end_key = min(last_query + args.window + 1, block.tokens);
    }

    /* The queries come by the keys' memory. */
    device const half *q = qkv + block.first_token * args.stride + head * args.head_dim;
    load_tile<METAL_QUERIES, HEAD>(keys, q + block.first_query * args.stride, args.stride,
                                   block.tokens - block.first_query, args.head_dim, index);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    simdgroup_half8x8 queries[HEAD / 8];
    simdgroup_float8x8 sums[HEAD / 8];
    METAL_UNROLL
    for (int d = 0; d < HEAD / 8; d++) {
        simdgroup_load(queries[d], keys + int(simd) * 8 * LD + d * 8, LD);
        sums[d] = make_filled_simdgroup_matrix<float, 8, 8>(0.0f);
    }

    attention_row row;
    row.query = block.first_query + int(simd) * 8 + int(lane) / 4;
    row.first = args.window > 0 ? row.query - args.window : 0;
    row.end = args.window > 0 ? min(row.query + args.window + 1, end_key) : end_key;
    row.largest = METAL_LOWEST;
    row.sum = 0.0f;
    const bool is_active = block.first_query + int(simd) * 8 <= last_query;
    for (int key = first_key; key < end_key; key += METAL_KEYS) {
        threadgroup_barrier(mem_flags::mem_threadgroup);
        load_tile<METAL_KEYS, HEAD>(keys, q + inner + key * args.stride, args.stride,
                                    end_key - key, args.head_dim, index);
        load_tile<METAL_KEYS, HEAD>(values, q + 2 * inner + key * args.stride, args.stride,
                                    end_key - key, args.head_dim, index);
        threadgroup_barrier(mem_flags::mem_threadgroup);
        if (is_active) {
            attention_step<HEAD>(sums, queries, row, keys, values, scores, diagonal, key,
                                 bias + head * (2 * args.bias_reach + 1) + args.bias_reach, args,
                                 lane);
        }
    }
    if (is_active) {
        simdgroup_barrier(mem_flags::mem_threadgroup);
        attention_store<HEAD>(sums, row, block.tokens, scores,
                              out + block.first_token * inner + head * args.head_dim, inner,
                              args.head_dim, lane);
    }
}

METAL_KERNEL
kernel void attention_32(device const half *qkv [[buffer(0)]],
                         device const metal_block *blocks [[buffer(1)]],
                         device const float *bias [[buffer(2)]], device half *out [[buffer(3)]],
                         constant metal_attention_args &args [[buffer(4)]],
                         uint3 group [[threadgroup_position_in_grid]],
                         uint index [[thread_index_in_threadgroup]],
                         uint simd [[simdgroup_index_in_threadgroup]],
                         uint lane [[thread_index_in_simdgroup]]) {
    threadgroup METAL_ALIGNED float memory[METAL_ATTENTION_BYTES(32) / 4];
    attention_block<32>(qkv, blocks[group.x], bias, out, args, memory, int(group.y), index, simd,
                        lane);
}

METAL_KERNEL
kernel void attention_64(device const half *qkv [[buffer(0)]],
                         device const metal_block *blocks [[buffer(1)]],
                         device const float *bias [[buffer(2)]], device half *out [[buffer(3)]],
                         constant metal_attention_args &args [[buffer(4)]],
                         uint3 group [[threadgroup_position_in_grid]],
                         uint index [[thread_index_in_threadgroup]],
                         uint simd [[simdgroup_index_in_threadgroup]],
                         uint lane [[thread_index_in_simdgroup]]) {
    threadgroup METAL_ALIGNED float memory[METAL_ATTENTION_BYTES(64) / 4];
    attention_block<64>(qkv, blocks[group.x], bias, out, args, memory, int(group.y), index, simd,
                        lane);
}

METAL_KERNEL
kernel void attention_128(device const half *qkv [[buffer(0)]],
                          device const metal_block *blocks [[buffer(1)]],
                          device const float *bias [[buffer(2)]], device half *out [[buffer(3)]],
                          constant metal_attention_args &args [[buffer(4)]],
                          uint3 group [[threadgroup_position_in_grid]],
                          uint index [[thread_index_in_threadgroup]],
                          uint simd [[simdgroup_index_in_threadgroup]],
                          uint lane [[thread_index_in_simdgroup]]) {
    threadgroup METAL_ALIGNED float memory[METAL_ATTENTION_BYTES(128) / 4];
    attention_block<128>(qkv, blocks[group.x], bias, out, args, memory, int(group.y), index, simd,
                         lane);
}
