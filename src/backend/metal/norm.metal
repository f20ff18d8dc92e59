/* SPDX-License-Identifier: Apache-2.0 */
/* norm: LayerNorm of each row, a simdgroup a row, so that no threadgroup memory or barrier is
 * needed. The row is read three times: it is in the cache after the first, and the variance is
 * taken about the mean, as a difference of squares would lose an f16 row with a large mean. Each
 * lane reads only what it later writes, so x and y may be one buffer. */
METAL_KERNEL
kernel void norm(device const half *x [[buffer(0)]], device const float *gamma [[buffer(1)]],
                 device const float *beta [[buffer(2)]], device half *y [[buffer(3)]],
                 constant metal_norm_args &args [[buffer(4)]],
                 uint3 group [[threadgroup_position_in_grid]],
                 uint simd [[simdgroup_index_in_threadgroup]],
                 uint lane [[thread_index_in_simdgroup]]) {
    const int row = int(group.x) * METAL_NORM_ROWS + int(simd);
    if (row >= args.rows) return;
    device const half4 *from = (device const half4 *)(x + row * args.width);
    device half4 *to = (device half4 *)(y + row * args.width);
    const int count = args.width / 4;

    float sum = 0.0f;
    for (int i = lane; i < count; i += METAL_LANES) {
        const float4 v = float4(from[i]);
        sum += (v.x + v.y) + (v.z + v.w);
    }
    const float mean = simd_sum(sum) / float(args.width);
    float squares = 0.0f;
    for (int i = lane; i < count; i += METAL_LANES) {
        const float4 d = float4(from[i]) - mean;
        squares += dot(d, d);
    }
    const float scale = rsqrt(simd_sum(squares) / float(args.width) + args.eps);
    for (int i = lane; i < count; i += METAL_LANES) {
        float4 v = (float4(from[i]) - mean) * scale * ((device const float4 *)gamma)[i];
        if (args.has_beta) v += ((device const float4 *)beta)[i];
        to[i] = half4(v);
    }
}
