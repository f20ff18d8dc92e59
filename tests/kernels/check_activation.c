/* SPDX-License-Identifier: Apache-2.0 */
/* Activations against the double definition: a dense sweep of the range where they bend, all of
 * f32's magnitudes, special values, every length; bits against the level below. */
#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "kernelcheck.h"

enum { BLOCK = 4096 };

static double bound_of(tandem_act act, double x) {
    if (act == TANDEM_ACT_NONE || act == TANDEM_ACT_RELU) return 0.0;
    if (act == TANDEM_ACT_TANH) return 4e-7;
    if (act == TANDEM_ACT_GELU_ERF) return 2e-7 * fmax(1.0, fabs(x));
    return 4e-7 * fmax(1.0, fabs(x));
}

static double definition(tandem_act act, float x) {
    if (isinf(x) && x < 0.0f && act != TANDEM_ACT_NONE) {
        return act == TANDEM_ACT_TANH ? -1.0 : 0.0; /* the limit, as the contract says */
    }
    return tandem_activation__ref(act, (double)x);
}

static void compare_block(tandem_activation_function *run, tandem_act act, const float *values,
                          size_t n) {
    float *x = kc_buffer(KC_A, n * 4);
    memcpy(x, values, n * 4);
    run(x, n);
    for (size_t i = 0; i < n; i++) {
        const double want = definition(act, values[i]);
        const double bound = isinf(values[i]) ? 4e-7 : bound_of(act, (double)values[i]);
        if (!kc_close("act(x)", (long)i, x[i], want, bound)) {
            kc_fail("x = %.9g", (double)values[i]);
            return;
        }
    }
    kc_check_canary(KC_A);
}

static void check_values(tandem_activation_function *run, tandem_act act) {
    static const float special[] = {0.0f,     -0.0f,     1e-45f,  -1e-45f,  1e-38f,  -1e-38f,
                                    1e38f,    -1e38f,    3.4e38f, -3.4e38f, 87.0f,   -87.0f,
                                    88.8f,    -88.8f,    -103.9f, 104.0f,   -13.99f, -14.01f,
                                    INFINITY, -INFINITY, NAN,     -9.0f,    9.0f};
    float block[BLOCK];
    compare_block(run, act, special, sizeof special / sizeof special[0]);
    for (int start = 0; start < 16; start++) { /* [-8, 8] in 65,536 steps */
        for (int i = 0; i < BLOCK; i++) {
            block[i] = -8.0f + (float)start + (float)i * (1.0f / BLOCK);
        }
        compare_block(run, act, block, BLOCK);
    }
    for (int i = 0; i < BLOCK; i++) { /* all magnitudes, any sign */
        const uint32_t bits = kc_random();
        memcpy(&block[i], &bits, 4);
    }
    compare_block(run, act, block, BLOCK);
}

static void check_lengths(tandem_activation_function *run) {
    float source[70];
    kc_fill(source, 70, KC_NORMAL);
    float singles[70];
    for (int i = 0; i < 70; i++) {
        singles[i] = source[i];
        run(&singles[i], 1);
    }
    for (size_t n = 0; n <= 67; n++) {
        float *x = kc_buffer(KC_A, n * 4);
        memcpy(x, source, n * 4);
        run(x, n);
        (void)kc_same("length", x, singles, n);
        kc_check_canary(KC_A);
        float *longer = kc_buffer(KC_A, (n + 1) * 4);
        memcpy(longer, source, n * 4);
        run(longer, n);
        if (!kc_untouched(longer + n, 4)) kc_fail("length %zu wrote past its end", n);
    }
}

static void check_bits(const tandem_kernels *kernels) {
    if (!kc_has_level_below()) return;
    tandem_kernels below;
    tandem_kernels_fill(&below, kc_flags_below());
    for (int act = 0; act < TANDEM_ACT_COUNT; act++) {
        if (kernels->activation.apply[act] == below.activation.apply[act]) continue;
        float *x = kc_buffer(KC_A, BLOCK * 4);
        float *y = kc_buffer(KC_B, BLOCK * 4);
        for (int i = 0; i < BLOCK; i++) {
            const uint32_t bits = kc_random();
            memcpy(&x[i], &bits, 4);
            if (i % 2 == 0) x[i] = (float)kc_random() * 0x1p-28f - 8.0f;
        }
        memcpy(y, x, BLOCK * 4);
        kernels->activation.apply[act](x, BLOCK);
        below.activation.apply[act](y, BLOCK);
        (void)kc_same("bits of the level below", x, y, BLOCK);
    }
}

void kc_check_activation(const tandem_kernels *kernels) {
    static const struct {
        const char *name;
        tandem_activation_function *run;
        tandem_act act;
        uint32_t flags;
    } list[] = {
#define ACTIVATION_KERNEL(name, act, flags) {#name, name, act, flags},
#include "kernels/activation/activation.inc"
#undef ACTIVATION_KERNEL
    };
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        if (!kc_begin(list[i].name, list[i].flags)) continue;
        check_values(list[i].run, list[i].act);
        check_lengths(list[i].run);
    }
    if (kc_is_selected("activation")) check_bits(kernels);
}

void kc_list_activation(void) {
#define ACTIVATION_KERNEL(name, act, flags) kc_list_kernel(#name, flags);
#include "kernels/activation/activation.inc"
#undef ACTIVATION_KERNEL
}
