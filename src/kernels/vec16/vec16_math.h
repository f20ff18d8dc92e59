/* SPDX-License-Identifier: Apache-2.0 */
/* exp and the activations over 16 lanes, included after the vec16_<isa>.h of the file's instruction
 * set. Every step is one IEEE operation, so all instruction sets give the same bits.
 *
 * The bodies of the ops (<op>_vec16.h) are written once over these names and compiled once per
 * instruction set; another one (NEON: four registers of four lanes) needs a vec16_<isa>.h alone. */
#ifndef TANDEM_KERNELS_VEC16_MATH_H
#define TANDEM_KERNELS_VEC16_MATH_H

/* exp(x) = 2^n · exp(r), n = round(x / ln 2), |r| <= ln 2 / 2, ln 2 in two parts so that r is exact
 * to f32. exp(r) = 1 + r + r² p(r), p minimax for the relative error (3e-9 before rounding).
 * Relative error <= 1.2e-7 (tests). Below -87.68 the result is 0, above 88.37 it is exp(88.37). */
V16_INLINE v16 v16_exp(v16 x) {
    const v16 bounded = v16_min(v16_set(88.37f), v16_max(v16_set(-88.0f), x));
    const v16 n = v16_round(v16_mul(bounded, v16_set(1.44269504f)));
    v16 r = v16_fnma(n, v16_set(0.693359375f), bounded);
    r = v16_fnma(n, v16_set(-2.12194440e-4f), r);
    v16 p = v16_set(0.0013814514968544245f);
    p = v16_fma(p, r, v16_set(0.008368744514882565f));
    p = v16_fma(p, r, v16_set(0.04166839271783829f));
    p = v16_fma(p, r, v16_set(0.1666652113199234f));
    p = v16_fma(p, r, v16_set(0.4999999403953552f));
    p = v16_fma(p, r, v16_set(1.0f));
    p = v16_fma(p, r, v16_set(1.0f));
    return v16_mul(p, v16_pow2(n));
}

/* x · Φ(x) = max(x, 0) - |x| · Φ(-|x|), and Φ(-u) = 1 / (2 p(u)^8), p of degree 8: the form of
 * Abramowitz and Stegun 7.1.28 with a polynomial of our own, fitted on [0, 6] so that the error of
 * u · Φ(-u) is even (4.8e-8 before rounding, 1.7e-7 with it). Beyond 6 the power still falls to 0,
 * so the tail is right too. 8 fma, 5 mul, 1 div; a rational erf costs about the same and has to be
 * clamped on both sides. */
V16_INLINE v16 v16_gelu_erf(v16 x) {
    const v16 u = v16_min(v16_set(14.0f), v16_abs(x));
    v16 p = v16_set(2.9321563488338143e-06f);
    p = v16_fma(p, u, v16_set(-1.6743349988246337e-05f));
    p = v16_fma(p, u, v16_set(9.756443614605814e-05f));
    p = v16_fma(p, u, v16_set(0.00011139276466565207f));
    p = v16_fma(p, u, v16_set(0.0009806081652641296f));
    p = v16_fma(p, u, v16_set(0.008591669611632824f));
    p = v16_fma(p, u, v16_set(0.04478878900408745f));
    p = v16_fma(p, u, v16_set(0.09973249584436417f));
    p = v16_fma(p, u, v16_set(1.0f));
    const v16 p2 = v16_mul(p, p);
    const v16 p4 = v16_mul(p2, p2);
    const v16 p8 = v16_mul(p4, p4);
    const v16 tail = v16_div(v16_mul(u, v16_set(0.5f)), p8);
    return v16_sub(v16_max(v16_zero(), x), tail);
}

/* x / (1 + exp(-y)), for y of the sign of x; x down to -100 is enough. */
V16_INLINE v16 v16_gate(v16 x, v16 y) {
    const v16 bounded = v16_max(v16_set(-100.0f), x);
    const v16 e = v16_exp(v16_sub(v16_zero(), y));
    return v16_div(bounded, v16_add(v16_set(1.0f), e));
}

V16_INLINE v16 v16_silu(v16 x) {
    return v16_gate(x, x);
}

/* 1 + tanh(z) = 2 / (1 + exp(-2 z)). */
V16_INLINE v16 v16_gelu_tanh(v16 x) {
    const v16 bounded = v16_max(v16_set(-100.0f), x);
    const v16 cubic = v16_mul(v16_mul(bounded, bounded), v16_set(0.071354816f));
    const v16 z = v16_mul(bounded, v16_add(cubic, v16_set(1.5957691f)));
    return v16_gate(x, z);
}

/* 1 - 2 / (1 + exp(2 x)). */
V16_INLINE v16 v16_tanh(v16 x) {
    const v16 e = v16_exp(v16_add(x, x));
    return v16_sub(v16_set(1.0f), v16_div(v16_set(2.0f), v16_add(v16_set(1.0f), e)));
}

V16_INLINE v16 v16_relu(v16 x) {
    return v16_max(v16_zero(), x);
}

#endif
