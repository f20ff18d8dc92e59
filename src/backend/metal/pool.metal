/* SPDX-License-Identifier: Apache-2.0 */
/* pool: one vector of a sequence's tokens, a threadgroup 32 columns of one sequence. A lane has a
 * column; the simdgroups share the tokens, every fourth to each, and the first adds up what they
 * found, always in the same order. */
inline float pool_join(int kind, float a, float b) {
    return kind == METAL_POOL_MAX ? max(a, b) : a + b;
}

METAL_KERNEL
kernel void pool(device const half *x [[buffer(0)]], device const int *offsets [[buffer(1)]],
                 device const int *skips [[buffer(2)]], device float *out [[buffer(3)]],
                 constant metal_pool_args &args [[buffer(4)]],
                 uint3 group [[threadgroup_position_in_grid]],
                 uint index [[thread_index_in_threadgroup]],
                 uint simd [[simdgroup_index_in_threadgroup]],
                 uint lane [[thread_index_in_simdgroup]]) {
    threadgroup float parts[METAL_THREADS];
    const int sequence = int(group.x);
    const int col = int(group.y) * METAL_POOL_COLS + int(lane);
    const int start = offsets[sequence];
    int begin = start + skips[sequence];
    int end = offsets[sequence + 1];
    if (args.kind == METAL_POOL_CLS) end = begin + 1;
    if (args.kind == METAL_POOL_LAST) begin = end - 1;
    const bool is_weighted = args.kind == METAL_POOL_WEIGHTED_MEAN;

    float value = args.kind == METAL_POOL_MAX ? METAL_LOWEST : 0.0f;
    for (int t = begin + int(simd); t < end; t += METAL_SIMDS) {
        if (col < args.width) {
            const float weight = is_weighted ? float(t - start + 1) : 1.0f;
            value = pool_join(args.kind, value, weight * float(x[t * args.width + col]));
        }
    }
    parts[index] = value;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (simd == 0 && col < args.width) {
        for (int i = 1; i < METAL_SIMDS; i++) {
            value = pool_join(args.kind, value, parts[i * METAL_LANES + lane]);
        }
        const float count = float(end - begin);
        /* The weights first, first + 1, ... last add up to count * (first + last) / 2. */
        if (is_weighted) value /= count * 0.5f * float(begin - start + 1 + end - start);
        if (args.kind == METAL_POOL_MEAN) value /= count;
        if (args.kind == METAL_POOL_MEAN_SQRT) value *= rsqrt(count);
        out[sequence * args.out_stride + args.out_first + col] = value;
    }
}
