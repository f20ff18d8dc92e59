/* SPDX-License-Identifier: Apache-2.0 */
/* Test only: a kernel that does what `fault` says, one of each kind that msl_run finds; 0 is sound.
 * Threadgroups of 64 threads, two of them; in [64], out [128], dynamic [64]. */
enum {
    FAULT_NONE,
    FAULT_PAST_END,
    FAULT_OUTSIDE,
    FAULT_CONST,
    FAULT_MISALIGNED,
    FAULT_UNWRITTEN_BUFFER,
    FAULT_UNWRITTEN_MEMORY,
    FAULT_UNWRITTEN_DYNAMIC,
    FAULT_RACE,
    FAULT_RACE_LOAD_FIRST,
    FAULT_RACE_OTHER_MEMORY,
    FAULT_RACE_GROUPS,
    FAULT_RACE_LANES,
    FAULT_BARRIER_BRANCH,
    FAULT_BARRIER_LEFT,
    FAULT_TWO_BARRIERS,
    FAULT_SUM_BRANCH,
    FAULT_LANE_LEFT,
    FAULT_MATRIX_ADDRESS,
    FAULT_MATRIX_LANES,
    FAULT_ARRAY_END,
};

kernel void faulty(device const float *in [[buffer(0)]], device float *out [[buffer(1)]],
                   constant int &fault [[buffer(2)]], threadgroup float *dynamic [[threadgroup(0)]],
                   uint3 group [[threadgroup_position_in_grid]],
                   uint3 grid [[thread_position_in_grid]],
                   uint index [[thread_index_in_threadgroup]],
                   uint lane [[thread_index_in_simdgroup]]) {
    threadgroup float memory[64];
    const uint other = index ^ 1;
    if (fault != FAULT_UNWRITTEN_MEMORY) memory[index] = in[index];
    if (fault != FAULT_UNWRITTEN_DYNAMIC) dynamic[index] = 1.0f;
    if (fault == FAULT_RACE_OTHER_MEMORY) {
        threadgroup_barrier(mem_flags::mem_device);
    } else if (fault == FAULT_BARRIER_LEFT) {
        if (index == 5) return;
        threadgroup_barrier(mem_flags::mem_threadgroup);
    } else if (fault == FAULT_TWO_BARRIERS) {
        if (index < 32)
            threadgroup_barrier(mem_flags::mem_threadgroup);
        else
            threadgroup_barrier(mem_flags::mem_threadgroup);
    } else if (fault == FAULT_RACE_LANES) {
        simdgroup_barrier(mem_flags::mem_none);
    } else if (fault != FAULT_RACE) {
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
    if (fault == FAULT_BARRIER_BRANCH && index < 32) {
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
    float x = memory[other] + dynamic[other];
    if (fault == FAULT_RACE_LOAD_FIRST) memory[other ^ 32] = x;
    if (fault == FAULT_ARRAY_END) x += memory[index + 1];
    if (fault == FAULT_SUM_BRANCH) {
        if (lane < 16)
            x = simd_sum(x);
        else
            simdgroup_barrier(mem_flags::mem_none);
    }
    if (fault == FAULT_LANE_LEFT) {
        if (lane == 3) return;
        x = simd_shuffle_xor(x, 1);
    }
    if (fault == FAULT_MATRIX_LANES && lane == 31) return;
    if (fault == FAULT_MATRIX_ADDRESS || fault == FAULT_MATRIX_LANES) {
        const uint from = fault == FAULT_MATRIX_ADDRESS ? lane / 16 * 8 : 0;
        simdgroup_float8x8 m;
        simdgroup_load(m, memory + from, 0);
        simdgroup_multiply_accumulate(m, m, m, m);
        simdgroup_store(m, dynamic, 8);
    }
    if (fault == FAULT_CONST) ((device float *)in)[grid.x] = x;
    if (fault == FAULT_MISALIGNED) x += ((device const float4 *)(in + 1))[0].x;
    if (fault == FAULT_UNWRITTEN_BUFFER) x += out[grid.x];
    if (fault == FAULT_OUTSIDE) x += in[index - 4096];
    if (fault == FAULT_PAST_END) x += in[grid.x];
    out[fault == FAULT_RACE_GROUPS ? index : grid.x] = x;
}
