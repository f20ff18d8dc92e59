/* SPDX-License-Identifier: Apache-2.0 */
/* The promise of equal bits (kernels.h, ORDER OF SUMS) across machines that never meet: what the
 * vector kernels give for fixed input has the digest written here, on x86 and on Arm, whoever
 * compiled them. A change of an order of sums or of a polynomial changes a digest: then it is
 * written anew, and CHANGELOG says that vectors change. */
#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "kernelcheck.h"

/* FNV-1a over the bits of n floats. */
static uint64_t digest_of(uint64_t digest, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], 4);
        for (int byte = 0; byte < 4; byte++) {
            digest = (digest ^ (bits >> (8 * byte) & 0xff)) * 0x100000001b3ull;
        }
    }
    return digest;
}

#define DIGEST_START 0xcbf29ce484222325ull

static void expect(const char *what, uint64_t digest, uint64_t want) {
    kc_count();
    if (digest != want) {
        kc_fail("%s: digest %016llx, expected %016llx", what, (unsigned long long)digest,
                (unsigned long long)want);
    }
}

static uint64_t digest_gemm(const tandem_kernels *kernels, tandem_dtype dtype) {
    enum { M = 29, N = 75, K = 130 };
    float *a = kc_buffer(KC_A, sizeof(float) * M * K);
    float *w = kc_buffer(KC_SOURCE, sizeof(float) * N * K);
    float *bias = kc_buffer(KC_BIAS, sizeof(float) * N);
    float *c = kc_buffer(KC_OUT, sizeof(float) * M * N);
    kc_fill(a, M * K, KC_MIXED);
    kc_fill(w, N * K, KC_NORMAL);
    kc_fill(bias, N, KC_NORMAL);
    tandem_gemm_matrix matrix = {NULL, dtype, N, K, kernels->gemm.nr};
    matrix.panels = kc_buffer(KC_B, tandem_gemm_packed_bytes(&kernels->gemm, dtype, N, K));
    if (!tandem_gemm_pack(&kernels->gemm, &matrix, 0, w, TANDEM_DTYPE_F32, N)) {
        kc_fail("finite weights called not finite");
    }
    const tandem_gemm_args args = {a, K, &matrix, bias, NULL, 0, c, N, TANDEM_ACT_NONE};
    tandem_gemm_run(&kernels->gemm, &args, 0, M, 0, tandem_gemm_panel_count(&matrix));
    return digest_of(DIGEST_START, c, M * N);
}

static uint64_t digest_gemm_i8(const tandem_kernels *kernels) {
    enum { M = 29, N = 75, K = 130, DEPTH = 144 };
    const tandem_gemm_i8_kernels *gemm = &kernels->gemm_i8;
    float *a = kc_buffer(KC_A, sizeof(float) * M * K);
    float *w = kc_buffer(KC_SOURCE, sizeof(float) * N * K);
    float *c = kc_buffer(KC_OUT, sizeof(float) * M * N);
    kc_fill(a, M * K, KC_MIXED);
    kc_fill(w, N * K, KC_NORMAL);
    tandem_gemm_i8_matrix matrix = {NULL, N, K, gemm->nr, gemm->group};
    matrix.panels = kc_buffer(KC_B, tandem_gemm_i8_packed_bytes(gemm, N, K));
    if (!tandem_gemm_i8_pack(&matrix, 0, w, TANDEM_DTYPE_F32, N)) {
        kc_fail("finite weights called not finite");
    }
    uint8_t q[M * DEPTH];
    float scales[M];
    int32_t zeros[M];
    tandem_gemm_i8_quantize(gemm, a, K, K, 0, M, q, scales, zeros);
    const tandem_gemm_i8_args args = {
        .q = q, .scales = scales, .zeros = zeros, .w = &matrix, .c = c, .ldc = N};
    tandem_gemm_i8_run(gemm, &args, 0, M, 0, tandem_gemm_i8_panel_count(&matrix));
    return digest_of(DIGEST_START, c, M * N);
}

static uint64_t digest_attention(const tandem_kernels *kernels, int tokens, int dims,
                                 bool has_bias) {
    const size_t floats = (size_t)tokens * (size_t)dims;
    float *q = kc_buffer(KC_A, 3 * floats * 4);
    float *context = kc_buffer(KC_OUT, floats * 4);
    float *bias = kc_buffer(KC_BIAS, (size_t)(tokens * tokens) * 4);
    kc_fill(q, 3 * floats, KC_NORMAL);
    kc_fill(bias, (size_t)(tokens * tokens), KC_NORMAL);
    const tandem_attention_args args = {
        .q = q,
        .k = q + floats,
        .v = q + 2 * floats,
        .stride = (size_t)dims,
        .context = context,
        .context_stride = (size_t)dims,
        .bias = has_bias ? bias : NULL,
        .bias_stride = tokens,
        .scale = 0.25f,
        .tokens = tokens,
        .head_dim = dims,
    };
    float *scratch = kc_buffer(KC_SCRATCH, tandem_attention_scratch_bytes(tokens, dims));
    kernels->attention.run(&args, 0, tokens, scratch);
    return digest_of(DIGEST_START, context, floats);
}

static uint64_t digest_norm(const tandem_kernels *kernels) {
    enum { ROWS = 9, HIDDEN = 387 };
    float *x = kc_buffer(KC_A, sizeof(float) * ROWS * HIDDEN);
    float *y = kc_buffer(KC_OUT, sizeof(float) * ROWS * HIDDEN);
    float *gamma = kc_buffer(KC_B, sizeof(float) * HIDDEN);
    kc_fill(x, ROWS * HIDDEN, KC_MIXED);
    kc_fill(gamma, HIDDEN, KC_NORMAL);
    const tandem_norm_args args = {x, HIDDEN, y, HIDDEN, gamma, gamma, 1e-12f, HIDDEN};
    kernels->norm.layernorm(&args, 0, ROWS);
    return digest_of(DIGEST_START, y, ROWS * HIDDEN);
}

static uint64_t digest_activation(const tandem_kernels *kernels, tandem_act act) {
    enum { COUNT = 1003 };
    float *x = kc_buffer(KC_A, sizeof(float) * COUNT);
    for (int i = 0; i < COUNT; i++) x[i] = (float)kc_random() * 0x1p-28f - 8.0f;
    kernels->activation.apply[act](x, COUNT);
    return digest_of(DIGEST_START, x, COUNT);
}

/* There and back, so that the bits between are digested too. */
static uint64_t digest_convert(const tandem_kernels *kernels) {
    enum { COUNT = 1003 };
    float *x = kc_buffer(KC_A, sizeof(float) * COUNT);
    float *back = kc_buffer(KC_OUT, sizeof(float) * COUNT);
    uint16_t *halves = kc_buffer(KC_B, sizeof(uint16_t) * COUNT);
    kc_fill(x, COUNT, KC_MIXED);
    kernels->convert.f32_f16(halves, x, COUNT);
    kernels->convert.f16_f32(back, halves, COUNT);
    const uint64_t digest = digest_of(DIGEST_START, back, COUNT);
    kernels->convert.f32_bf16(halves, x, COUNT);
    kernels->convert.bf16_f32(back, halves, COUNT);
    return digest_of(digest, back, COUNT);
}

void kc_check_digest(const tandem_kernels *kernels) {
    const bool is_vector = (kernels->cpu_flags & (TANDEM_CPU_AVX2 | TANDEM_CPU_NEON)) != 0;
    if (!is_vector || !kc_is_selected("digest")) return;
    const uint64_t state = kc_reseed(20261123);
    expect("gemm f32", digest_gemm(kernels, TANDEM_DTYPE_F32), 0x9d4e95fb2d348f8b);
    expect("gemm f16", digest_gemm(kernels, TANDEM_DTYPE_F16), 0x5243bc3de64b0a37);
    expect("attention", digest_attention(kernels, 45, 32, false), 0xb5e0d084d5a1e550);
    expect("attention with bias", digest_attention(kernels, 19, 20, true), 0x7a38f4353a0f9651);
    expect("layernorm", digest_norm(kernels), 0xbeea26c851ecec92);
    expect("gelu_erf", digest_activation(kernels, TANDEM_ACT_GELU_ERF), 0x0fc7e65a59ac7c69);
    expect("gelu_tanh", digest_activation(kernels, TANDEM_ACT_GELU_TANH), 0x40802f58c879d75e);
    expect("silu", digest_activation(kernels, TANDEM_ACT_SILU), 0x89def3a500765363);
    expect("relu", digest_activation(kernels, TANDEM_ACT_RELU), 0xbae6d3d95c156008);
    expect("tanh", digest_activation(kernels, TANDEM_ACT_TANH), 0xc315096308dca808);

    expect("convert", digest_convert(kernels), 0xd7b04057711de48b);
    expect("gemm i8", digest_gemm_i8(kernels), 0xace3318789121047);
    (void)kc_reseed(state);
}
