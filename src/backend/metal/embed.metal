/* SPDX-License-Identifier: Apache-2.0 */
/* embed: a token's rows of the tables, added and normalised, a threadgroup a token. The rows are
 * read again for the variance and the result rather than kept: a width has no limit then, and they
 * are in the cache. */
inline float4 embed_columns(device const half *word, device const half *position,
                            device const half *type, constant metal_embed_args &args, int i) {
    float4 v = float4(((device const half4 *)word)[i]);
    if (args.has_position) v += float4(((device const half4 *)position)[i]);
    if (args.has_type) v += float4(((device const half4 *)type)[i]);
    return v;
}

/* The sum over the threadgroup, the same for every thread; `parts` may be used again at once. */
inline float threadgroup_sum(float value, threadgroup float *parts, uint simd, uint lane) {
    const float sum = simd_sum(value);
    if (lane == 0) parts[simd] = sum;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    const float total = (parts[0] + parts[1]) + (parts[2] + parts[3]);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    return total;
}

METAL_KERNEL
kernel void embed(device const half *words [[buffer(0)]],
                  device const half *position_rows [[buffer(1)]],
                  device const half *type_rows [[buffer(2)]],
                  device const int *ids [[buffer(3)]], device const int *positions [[buffer(4)]],
                  device const int *types [[buffer(5)]], device const float *gamma [[buffer(6)]],
                  device const float *beta [[buffer(7)]], device half *out [[buffer(8)]],
                  constant metal_embed_args &args [[buffer(9)]],
                  uint3 group [[threadgroup_position_in_grid]],
                  uint index [[thread_index_in_threadgroup]],
                  uint simd [[simdgroup_index_in_threadgroup]],
                  uint lane [[thread_index_in_simdgroup]]) {
    threadgroup float parts[METAL_SIMDS];
    const int token = int(group.x);
    device const half *word = words + ids[token] * args.width;
    device const half *position = position_rows;
    device const half *type = type_rows;
    if (args.has_position) position += positions[token] * args.width;
    if (args.has_type) type += types[token] * args.width;
    device half4 *to = (device half4 *)(out + token * args.width);
    const int count = args.width / 4;

    float mean = 0.0f;
    float scale = 1.0f;
    if (args.has_norm) {
        float sum = 0.0f;
        for (int i = index; i < count; i += METAL_THREADS) {
            const float4 v = embed_columns(word, position, type, args, i);
            sum += (v.x + v.y) + (v.z + v.w);
        }
        mean = threadgroup_sum(sum, parts, simd, lane) / float(args.width);
        float squares = 0.0f;
        for (int i = index; i < count; i += METAL_THREADS) {
            const float4 d = embed_columns(word, position, type, args, i) - mean;
            squares += dot(d, d);
        }
        const float variance = threadgroup_sum(squares, parts, simd, lane) / float(args.width);
        scale = rsqrt(variance + args.eps);
    }
    for (int i = index; i < count; i += METAL_THREADS) {
        float4 v = embed_columns(word, position, type, args, i);
        if (args.has_norm) v = (v - mean) * scale * ((device const float4 *)gamma)[i];
        if (args.has_norm && args.has_beta) v += ((device const float4 *)beta)[i];
        to[i] = half4(v);
    }
}
