/* SPDX-License-Identifier: Apache-2.0 */
/* LayerNorm against double. The bound: mean and variance are 16-lane sums of H terms, so the mean
 * is off by at most (H/16 + 6) u mean|x| and each centred value by that and one rounding; the
 * scale by half the relative error of the variance plus four roundings. */
#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "kernelcheck.h"

typedef struct row_stats {
    double mean;
    double mean_abs;
    double variance;
} row_stats;

static row_stats stats_of(const float *x, int n) {
    row_stats stats = {0.0, 0.0, 0.0};
    for (int i = 0; i < n; i++) {
        stats.mean += (double)x[i] / n;
        stats.mean_abs += fabs((double)x[i]) / n;
    }
    for (int i = 0; i < n; i++) {
        stats.variance += ((double)x[i] - stats.mean) * ((double)x[i] - stats.mean) / n;
    }
    return stats;
}

static double bound_of(const tandem_norm_args *args, const float *x, int i, row_stats stats) {
    const double terms = args->hidden / 16.0 + 6.0;
    const double scale = 1.0 / sqrt(stats.variance + (double)args->eps);
    const double mean_error = (terms * stats.mean_abs + fabs(stats.mean)) * KC_U + 0x1p-149 * terms;
    const double centred = fabs((double)x[i] - stats.mean);
    /* A wrong mean adds its square to the variance: no first-order term. */
    const double variance_relative = (terms + 4.0) * KC_U + pow(mean_error * scale, 2.0);
    const double relative = 0.5 * variance_relative + 6.0 * KC_U;
    const double gamma = fabs((double)args->gamma[i]);
    const double beta = args->beta == NULL ? 0.0 : fabs((double)args->beta[i]);
    return (mean_error + KC_U * centred + relative * centred) * scale * gamma * 1.01 +
           2.0 * KC_U * (centred * scale * gamma + beta) + 0x1p-140;
}

/* Strides leave gaps that must stay untouched; the last row ends at the guard page. */
static void check_shape(tandem_norm_function *run, int hidden, int rows, int gap, kc_values kind,
                        bool has_beta, bool is_in_place) {
    const size_t stride = (size_t)(hidden + gap);
    const size_t floats = stride * (size_t)(rows - 1) + (size_t)hidden;
    float *x = kc_buffer(KC_A, floats * 4);
    float *gamma = kc_buffer(KC_B, (size_t)hidden * 4);
    float *beta = kc_buffer(KC_BIAS, (size_t)hidden * 4);
    float *y = kc_buffer(KC_OUT, floats * 4);
    float *want = kc_buffer(KC_WANT, floats * 4);
    for (int r = 0; r < rows; r++) kc_fill(x + stride * (size_t)r, (size_t)hidden, kind);
    kc_fill(gamma, (size_t)hidden, KC_NORMAL);
    kc_fill(beta, (size_t)hidden, KC_NORMAL);
    tandem_norm_args args = {x,      stride, want, stride, gamma, has_beta ? beta : NULL,
                             1e-12f, hidden};
    tandem_layernorm_f32__ref(&args, 0, rows);
    float *source = kc_buffer(KC_SOURCE, floats * 4);
    memcpy(source, x, floats * 4);
    args.y = is_in_place ? x : y;
    run(&args, 0, rows);
    for (int r = 0; r < rows; r++) {
        const float *from = source + stride * (size_t)r;
        const row_stats stats = stats_of(from, hidden);
        const float *got = args.y + stride * (size_t)r;
        for (int i = 0; i < hidden; i++) {
            const double expected = (double)want[stride * (size_t)r + (size_t)i];
            if (!kc_close("y", r * hidden + i, got[i], expected, bound_of(&args, from, i, stats))) {
                kc_fail("H = %d, values %d", hidden, (int)kind);
                return;
            }
        }
        if (r + 1 < rows && !kc_untouched(got + hidden, (size_t)gap * 4)) kc_fail("wrote in a gap");
    }
    kc_check_canary(KC_OUT);
    kc_check_canary(KC_A);
}

/* A row gives the same bits whatever its neighbours and range; NaN and infinity stay in theirs. */
static void check_rows(tandem_norm_function *run, int hidden) {
    enum { ROWS = 5 };
    const size_t n = (size_t)hidden;
    float *x = kc_buffer(KC_A, n * ROWS * 4);
    float *gamma = kc_buffer(KC_B, n * 4);
    float *y = kc_buffer(KC_OUT, n * ROWS * 4);
    float *alone = kc_buffer(KC_WANT, n * 4);
    kc_fill(x, n * ROWS, KC_NORMAL);
    kc_fill(gamma, n, KC_NORMAL);
    x[n * 1] = NAN;
    x[n * 3 + n / 2] = INFINITY;
    const tandem_norm_args args = {x, n, y, n, gamma, NULL, 1e-5f, hidden};
    run(&args, 0, ROWS);
    for (size_t r = 0; r < ROWS; r++) {
        const tandem_norm_args single = {x + n * r, n, alone, n, gamma, NULL, 1e-5f, hidden};
        run(&single, 0, 1);
        (void)kc_same("row alone", alone, y + n * r, n);
        if (r % 2 == 1 && !isnan(y[n * r])) kc_fail("row %zu should be NaN", r);
        if (r % 2 == 0 && isnan(y[n * r])) kc_fail("NaN left its row");
    }
    run(&args, 2, 2);
}

static void check_bits(const tandem_kernels *kernels) {
    if (!kc_has_level_below()) return;
    tandem_kernels below;
    tandem_kernels_fill(&below, kc_flags_below());
    if (below.norm.layernorm == kernels->norm.layernorm) return;
    for (int hidden = 1; hidden <= 800; hidden += hidden < 40 ? 1 : 61) {
        const size_t n = (size_t)hidden;
        float *x = kc_buffer(KC_A, n * 4);
        float *gamma = kc_buffer(KC_B, n * 4);
        float *y = kc_buffer(KC_OUT, n * 4);
        float *z = kc_buffer(KC_WANT, n * 4);
        kc_fill(x, n, KC_MIXED);
        kc_fill(gamma, n, KC_NORMAL);
        tandem_norm_args args = {x, n, y, n, gamma, gamma, 1e-5f, hidden};
        kernels->norm.layernorm(&args, 0, 1);
        args.y = z;
        below.norm.layernorm(&args, 0, 1);
        (void)kc_same("bits of the level below", y, z, n);
    }
}

void kc_check_norm(const tandem_kernels *kernels) {
    static const struct {
        const char *name;
        tandem_norm_function *run;
        uint32_t flags;
    } list[] = {
#define NORM_KERNEL(name, op, flags) {#name, name, flags},
#include "kernels/norm/norm.inc"
#undef NORM_KERNEL
    };
    static const int real[] = {64, 128, 312, 384, 512, 768, 1024};
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        if (!kc_begin(list[i].name, list[i].flags)) continue;
        for (int hidden = 1; hidden <= 35; hidden++) {
            for (int kind = 0; kind < KC_VALUES_COUNT; kind++) {
                check_shape(list[i].run, hidden, 3, hidden % 4, (kc_values)kind, hidden % 2 == 0,
                            hidden % 3 == 0);
            }
        }
        for (size_t s = 0; s < sizeof real / sizeof real[0]; s++) {
            check_shape(list[i].run, real[s], 5 + (int)s, 1, KC_NORMAL, true, s % 2 == 0);
            check_shape(list[i].run, real[s], 2, 0, KC_MIXED, false, s % 2 == 1);
        }
        check_rows(list[i].run, 384);
        check_rows(list[i].run, 19);
    }
    if (kc_is_selected("norm")) check_bits(kernels);
}

void kc_list_norm(void) {
#define NORM_KERNEL(name, op, flags) kc_list_kernel(#name, flags);
#include "kernels/norm/norm.inc"
#undef NORM_KERNEL
}
