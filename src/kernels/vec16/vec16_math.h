/* SPDX-License-Identifier: Apache-2.0 */
/* exp2 and the activations over 16 lanes, included after the vec16_<isa>.h of the file's
 * instruction set. Every step is one IEEE operation, so all instruction sets give the same bits.
 *
 * The bodies of the ops (<op>_vec16.h) are written once over these names and compiled once per
 * instruction set; another one (NEON: four registers of four lanes) needs a vec16_<isa>.h alone. */
#ifndef TANDEM_KERNELS_VEC16_MATH_H
#define TANDEM_KERNELS_VEC16_MATH_H

/* 2^y = 2^n · 2^r, n = round(y), |r| <= 1/2 (exact), 2^r a polynomial of degree 5, minimax for the
 * relative error: 9.2e-8 before rounding, 1.7e-7 with it. y is bounded to -125 .. 126 first, so
 * that no result is infinite or a denormal, which some processors compute a hundred times slower.
 */
V16_INLINE v16 v16_exp2(v16 y) {
    const v16 bounded = v16_min(v16_set(126.0f), v16_max(v16_set(-125.0f), y));
    const v16 n = v16_round(bounded);
    const v16 r = v16_sub(bounded, n);
    v16 p = v16_set(0.0013264657463878393f);
    p = v16_fma(p, r, v16_set(0.00967156607657671f));
    p = v16_fma(p, r, v16_set(0.055507343262434006f));
    p = v16_fma(p, r, v16_set(0.24022240936756134f));
    p = v16_fma(p, r, v16_set(0.6931470036506653f));
    p = v16_fma(p, r, v16_set(1.0f));
    return v16_scale(p, n);
}

#define V16_LOG2_E 1.44269504f

/* x · Φ(x) = max(x, 0) - |x| · Φ(-|x|), and Φ(-u) = q(u)^8 with q of degree 8, our own, fitted on
 * [0, 6] so that the error of u · Φ(-u) is even: 3e-9 before rounding, 1.4e-7 with it. The eighth
 * root bends so little that a short polynomial follows it over the whole range; no exp, no division
 * (a rational erf has one, 8 to 10 cycles a vector, as long as all of this). From 6 on Φ(-u) stays
 * at Φ(-6) = 1e-9. */
V16_INLINE v16 v16_gelu_erf(v16 x) {
    const v16 u = v16_min(v16_set(6.0f), v16_abs(x));
    v16 q = v16_set(-2.95881108058893e-07f);
    q = v16_fma(q, u, v16_set(7.479546638933243e-06f));
    q = v16_fma(q, u, v16_set(-6.0257629229454324e-05f));
    q = v16_fma(q, u, v16_set(3.429507341934368e-05f));
    q = v16_fma(q, u, v16_set(0.0015043622115626931f));
    q = v16_fma(q, u, v16_set(-0.0006719554658047855f));
    q = v16_fma(q, u, v16_set(-0.03192807734012604f));
    q = v16_fma(q, u, v16_set(-0.09145741164684296f));
    q = v16_fma(q, u, v16_set(0.9170039892196655f));
    const v16 q2 = v16_mul(q, q);
    const v16 q4 = v16_mul(q2, q2);
    return v16_fnma(v16_mul(u, q4), q4, v16_max(v16_zero(), x));
}

/* x / (1 + exp(-y)), for y of the sign of x; x down to -100 is enough. */
V16_INLINE v16 v16_gate(v16 x, v16 y) {
    const v16 bounded = v16_max(v16_set(-100.0f), x);
    const v16 e = v16_exp2(v16_mul(y, v16_set(-V16_LOG2_E)));
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
    const v16 e = v16_exp2(v16_mul(x, v16_set(2.0f * V16_LOG2_E)));
    return v16_sub(v16_set(1.0f), v16_div(v16_set(2.0f), v16_add(v16_set(1.0f), e)));
}

V16_INLINE v16 v16_relu(v16 x) {
    return v16_max(v16_zero(), x);
}

#endif
