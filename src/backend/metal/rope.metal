/* SPDX-License-Identifier: Apache-2.0 */
/* rope: q and k of every head turned in place, a thread a pair (i, i + D/2), as Hugging Face's
 * rotate_half does. q and k stand side by side in a row of qkv, so the 2N heads are one run.
 * Cosines and sines come from a table the host makes in double: a position times a frequency in
 * f32 is off by 1e-4 of a turn at position 8192, and fast math makes the sine of it worse. */
METAL_KERNEL
kernel void rope(device half *qkv [[buffer(0)]], device const float *angles [[buffer(1)]],
                 device const int *positions [[buffer(2)]],
                 constant metal_rope_args &args [[buffer(3)]],
                 uint3 group [[threadgroup_position_in_grid]],
                 uint index [[thread_index_in_threadgroup]]) {
    const int pair = int(group.x) * METAL_THREADS + int(index);
    const int token = int(group.y);
    if (pair >= args.heads * args.head_dim) return;
    const int pairs = args.head_dim / 2;
    const int head = pair / pairs;
    const int i = pair % pairs;
    device half *at = qkv + token * args.stride + head * args.head_dim + i;
    const float2 turn = ((device const float2 *)angles)[positions[token] * pairs + i];
    const float a = float(at[0]);
    const float b = float(at[pairs]);
    at[0] = half(a * turn.x - b * turn.y);
    at[pairs] = half(b * turn.x + a * turn.y);
}
