/* SPDX-License-Identifier: Apache-2.0 */
/* Products in eight bits.
 *
 * Quantisers: every value within one step of what it stands for, the same bytes as plain C. Tiles:
 * every row and column count, extreme bytes, operands that end at the guard page, against sums in
 * 64 bits and the contract's own roundings: to the bit. Packing: weights within half a step, any
 * split, the layout by its definition. The driver: against double under the bound below, the same
 * bits in pieces and as plain C.
 *
 * Bound of one product: with e = the row's scale, f = half the column's, each a and w is off by at
 * most e and f (and a little for the roundings in them), so C by sum (|a| f + |w| e + e f), and by
 * four roundings of the result. */
#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "kernelcheck.h"

/* ---- quantisers ---- */

static void check_row(tandem_quantize_function *run, const float *x, int k) {
    const int depth = tandem_gemm_i8_depth(k);
    uint8_t *q = kc_buffer(KC_OUT, (size_t)depth);
    uint8_t *plain = kc_buffer(KC_WANT, (size_t)depth);
    float scale;
    float plain_scale;
    int32_t zero;
    int32_t plain_zero;
    run(x, k, q, depth, &scale, &zero);
    tandem_quantize_u8__c(x, k, plain, depth, &plain_scale, &plain_zero);
    kc_check_canary(KC_OUT);
    (void)kc_same("scale", &scale, &plain_scale, 1);
    if (zero != plain_zero || zero < 0 || zero > 255) kc_fail("zero %d", (int)zero);
    if (memcmp(q, plain, (size_t)k) != 0) kc_fail("k %d: bytes differ from plain C's", k);
    bool is_finite = true;
    float magnitude = 0.0f;
    for (int i = 0; i < k; i++) {
        is_finite = is_finite && isfinite(x[i]);
        magnitude = fmaxf(magnitude, fabsf(x[i]));
    }
    if (is_finite == isnan(scale)) kc_fail("k %d: scale %g", k, (double)scale);
    if (!is_finite) return;
    const double bound = fmax((double)scale * 1.0001, 1e-30);
    for (int i = 0; i < k; i++) {
        const double back = ((double)q[i] - zero) * (double)scale;
        if (!kc_close("quantised", i, (float)back, (double)x[i], bound)) return;
    }
}

static void check_quantizer(tandem_quantize_function *run) {
    static const int depths[] = {1, 2, 15, 16, 17, 31, 32, 33, 100, 384, 387, 1536};
    for (int turn = 0; turn < 120; turn++) {
        const int k = depths[turn % 12];
        float *x = kc_buffer(KC_A, (size_t)k * 4);
        kc_fill(x, (size_t)k, (kc_values)(turn % KC_VALUES_COUNT));
        for (int i = 0; i < k && turn % 3 == 1; i++) x[i] = fabsf(x[i]);
        for (int i = 0; i < k && turn % 3 == 2 && turn % 2 == 0; i++) x[i] -= 5.0f;
        if (turn % 11 == 10) x[kc_random_int(k)] = turn % 2 == 0 ? NAN : INFINITY;
        check_row(run, x, k);
    }
}

static void check_quantizers(void) {
    static const struct {
        const char *name;
        tandem_quantize_function *run;
        uint32_t flags;
    } list[] = {
#define GEMM_I8_KERNEL(name, flags, mr, nr, group)
#define QUANTIZE_KERNEL(name, flags) {#name, name, flags},
#include "kernels/gemm_i8/gemm_i8.inc"
#undef GEMM_I8_KERNEL
#undef QUANTIZE_KERNEL
    };
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        if (kc_begin(list[i].name, list[i].flags)) check_quantizer(list[i].run);
    }
}

/* ---- tiles ---- */

typedef struct tile_kernel {
    const char *name;
    tandem_gemm_i8_function *run;
    uint32_t flags;
    int mr;
    int nr;
    int group;
} tile_kernel;

static int8_t weight_at(const tandem_gemm_i8_tile *tile, const tile_kernel *kernel, int k, int j) {
    const int group = kernel->group;
    return tile->b[(size_t)(k / group) * (size_t)(kernel->nr * group) + (size_t)(j * group) +
                   (size_t)(k % group)];
}

/* One element by the contract, without the residual. */
static float exact_element(const tandem_gemm_i8_tile *tile, const tile_kernel *kernel, int i,
                           int j) {
    int64_t sum = 0;
    int64_t columns = 0;
    for (int k = 0; k < tile->depth; k++) {
        const int8_t w = weight_at(tile, kernel, k, j);
        sum += (int64_t)tile->a[(size_t)i * tile->lda + (size_t)k] * w;
        columns += w;
    }
    if (columns != tile->column_sums[j]) kc_fail("the test's own sums are wrong");
    const int64_t whole = sum - columns * tile->row_zeros[i];
    float value = (float)whole * (tile->row_scales[i] * tile->column_scales[j]);
    if (tile->bias != NULL) value += tile->bias[j];
    if (tile->activation != NULL) tile->activation(&value, 1);
    return value;
}

static void fill_bytes(void *at, size_t n, bool is_extreme, bool is_signed) {
    uint8_t *p = at;
    for (size_t i = 0; i < n; i++) {
        const int value = is_extreme ? 255 * kc_random_int(2) : kc_random_int(256);
        const int centred = value - 128 < -127 ? -127 : value - 128;
        p[i] = (uint8_t)(is_signed ? centred : value);
    }
}

static void make_tile(tandem_gemm_i8_tile *tile, const tile_kernel *kernel, bool is_extreme) {
    const size_t nr = (size_t)kernel->nr;
    const size_t a_bytes = tile->lda * (size_t)(tile->m - 1) + (size_t)tile->depth;
    uint8_t *a = kc_buffer(KC_A, a_bytes);
    int8_t *b = kc_buffer(KC_B, nr * (size_t)tile->depth);
    float *scales = kc_buffer(KC_SOURCE, 64 * 4);
    int32_t *zeros = kc_buffer(KC_OTHER, 64 * 4);
    float *column_scales = kc_buffer(KC_SCRATCH, 2 * nr * 4);
    float *bias = kc_buffer(KC_BIAS, (size_t)tile->n * 4);
    fill_bytes(a, a_bytes, is_extreme, false);
    fill_bytes(b, nr * (size_t)tile->depth, is_extreme, true);
    kc_fill(scales, 64, KC_NORMAL);
    kc_fill(column_scales, nr, KC_NORMAL);
    kc_fill(bias, (size_t)tile->n, KC_NORMAL);
    for (int i = 0; i < 64; i++) zeros[i] = kc_random_int(256);
    int32_t *sums = (int32_t *)(void *)(column_scales + nr);
    tile->a = a;
    tile->b = b;
    tile->row_scales = scales;
    tile->row_zeros = zeros;
    tile->column_scales = column_scales;
    tile->column_sums = sums;
    tile->bias = bias;
    for (int j = 0; j < kernel->nr; j++) {
        sums[j] = 0;
        for (int k = 0; k < tile->depth; k++) sums[j] += weight_at(tile, kernel, k, j);
    }
}

static void check_tile(const tandem_kernels *kernels, const tile_kernel *kernel) {
    static const int depths[] = {16, 32, 48, 64, 208, 1536};
    int turn = 0;
    for (int m = 1; m <= kernel->mr; m++) {
        for (int n = 1; n <= kernel->nr; n += n < 3 || n % 16 > 13 ? 1 : 4) {
            const int depth = depths[(turn + kc_random_int(2)) % (turn % 9 == 0 ? 6 : 5)];
            tandem_gemm_i8_tile tile = {.m = m, .n = n, .depth = depth};
            tile.lda = (size_t)(depth + turn % 4 * 16);
            tile.ldc = (size_t)(n + turn % 3);
            tile.ld_residual = tile.ldc;
            make_tile(&tile, kernel, turn % 5 == 0);
            const size_t extent = tile.ldc * (size_t)(m - 1) + (size_t)n;
            float *residual = kc_buffer(KC_RESIDUAL, extent * 4);
            kc_fill(residual, extent, KC_NORMAL);
            tile.c = kc_buffer(KC_OUT, extent * 4);
            tile.residual = turn % 3 == 0 ? residual : NULL;
            if (turn % 2 == 0) tile.bias = NULL;
            if (turn % 4 == 3) {
                tile.activation = kernels->activation.apply[1 + turn / 4 % (TANDEM_ACT_COUNT - 1)];
            }
            kernel->run(&tile);
            kc_check_canary(KC_OUT);
            for (int i = 0; i < m; i++) {
                for (int j = 0; j < n; j++) {
                    const size_t at = (size_t)i * tile.ldc + (size_t)j;
                    float want = exact_element(&tile, kernel, i, j);
                    if (tile.residual != NULL) want += residual[at];
                    if (!kc_same("C", &tile.c[at], &want, 1)) return;
                }
                const float *end = tile.c + (size_t)i * tile.ldc + n;
                if (i + 1 < m && !kc_untouched(end, (tile.ldc - (size_t)n) * 4))
                    kc_fail("wrote between rows of C");
            }
            turn++;
        }
    }
}

static void check_tiles(const tandem_kernels *kernels) {
    static const tile_kernel list[] = {
#define GEMM_I8_KERNEL(name, flags, mr, nr, group) {#name, name, flags, mr, nr, group},
#define QUANTIZE_KERNEL(name, flags)
#include "kernels/gemm_i8/gemm_i8.inc"
#undef GEMM_I8_KERNEL
#undef QUANTIZE_KERNEL
    };
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        if (kc_begin(list[i].name, list[i].flags)) check_tile(kernels, &list[i]);
    }
}

/* ---- packing and the driver ---- */

typedef struct problem {
    int m;
    int n;
    int k;
    float *x;
    float *w;
    float *bias;
    tandem_gemm_i8_matrix matrix;
    tandem_gemm_i8_args args;
} problem;

static bool pack_in_pieces(const problem *p) {
    bool is_finite = true;
    for (int row = 0; row < p->n;) {
        const int rows = 1 + kc_random_int(p->n - row);
        const float *from = p->w + (size_t)row * (size_t)p->k;
        if (!tandem_gemm_i8_pack(&p->matrix, row, from, TANDEM_DTYPE_F32, rows)) is_finite = false;
        row += rows;
    }
    return is_finite;
}

/* x, w and bias of `p` must be there. The quantised rows and C go to `slot`. */
static void run_problem(problem *p, const tandem_kernels *kernels, kc_slot slot, tandem_act act,
                        bool is_whole) {
    const tandem_gemm_i8_kernels *gemm = &kernels->gemm_i8;
    p->matrix = (tandem_gemm_i8_matrix){NULL, p->n, p->k, gemm->nr, gemm->group};
    p->matrix.panels = kc_buffer(KC_B, tandem_gemm_i8_packed_bytes(gemm, p->n, p->k));
    if (!pack_in_pieces(p)) kc_fail("finite weights called not finite");
    const size_t m = (size_t)p->m;
    const size_t depth = (size_t)tandem_gemm_i8_depth(p->k);
    char *rows = kc_buffer(KC_OTHER, m * (depth + 8));
    float *scales = (float *)(void *)rows;
    int32_t *zeros = (int32_t *)(void *)(rows + 4 * m);
    uint8_t *q = (uint8_t *)rows + 8 * m;
    tandem_gemm_i8_quantize(gemm, p->x, (size_t)p->k, p->k, 0, p->m, q, scales, zeros);
    p->args = (tandem_gemm_i8_args){
        .q = q,
        .scales = scales,
        .zeros = zeros,
        .w = &p->matrix,
        .bias = p->bias,
        .c = kc_buffer(slot, m * (size_t)p->n * 4),
        .ldc = (size_t)p->n,
        .act = act,
    };
    const int panels = tandem_gemm_i8_panel_count(&p->matrix);
    if (is_whole) {
        tandem_gemm_i8_run(gemm, &p->args, 0, p->m, 0, panels);
        return;
    }
    for (int row = 0; row < p->m;) {
        const int next_row = row + 1 + kc_random_int(p->m - row);
        for (int panel = 0; panel < panels;) {
            const int next = panel + 1 + kc_random_int(panels - panel);
            tandem_gemm_i8_run(gemm, &p->args, row, next_row, panel, next);
            panel = next;
        }
        row = next_row;
    }
}

static void check_element(const problem *p, int i, int j) {
    const float *x = p->x + (size_t)i * (size_t)p->k;
    const float *w = p->w + (size_t)j * (size_t)p->k;
    const double e = (double)p->args.scales[i] * 1.0001;
    double largest = 0.0;
    for (int k = 0; k < p->k; k++) largest = fmax(largest, fabs((double)w[k]));
    const double f = largest / 254.0 * 1.0001;
    double sum = (double)p->bias[j];
    double bound = 0.0;
    for (int k = 0; k < p->k; k++) {
        const double weight = (double)w[k];
        sum += (double)x[k] * weight;
        bound += fabs((double)x[k]) * f + fabs(weight) * e + e * f;
    }
    bound += 8.0 * KC_U * (fabs(sum) + bound + fabs((double)p->bias[j]));
    const long at = (long)i * p->n + j;
    (void)kc_close("C", at, p->args.c[at], sum, bound);
}

static void check_driver(const tandem_kernels *kernels) {
    static const int sizes[][3] = {{29, 96, 384}, {16, 70, 100}, {1, 33, 17},
                                   {37, 1, 768},  {5, 64, 1536}, {14, 31, 1}};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        problem p = {.m = sizes[s][0], .n = sizes[s][1], .k = sizes[s][2]};
        const size_t a_floats = (size_t)p.m * (size_t)p.k;
        const size_t w_floats = (size_t)p.n * (size_t)p.k;
        p.x = kc_buffer(KC_A, a_floats * 4);
        p.w = kc_buffer(KC_SOURCE, w_floats * 4);
        p.bias = kc_buffer(KC_BIAS, (size_t)p.n * 4);
        kc_fill(p.x, a_floats, s % 2 == 0 ? KC_NORMAL : KC_MIXED);
        kc_fill(p.w, w_floats, KC_NORMAL);
        kc_fill(p.bias, (size_t)p.n, KC_NORMAL);
        const size_t floats = (size_t)p.m * (size_t)p.n;
        run_problem(&p, kernels, KC_WANT, TANDEM_ACT_NONE, true);
        for (int i = 0; i < p.m; i++) {
            for (int j = 0; j < p.n; j++) check_element(&p, i, j);
        }
        const float *whole = p.args.c;
        run_problem(&p, kernels, KC_OUT, TANDEM_ACT_NONE, false);
        (void)kc_same("the same product in pieces", p.args.c, whole, floats);
        tandem_kernels plain;
        tandem_kernels_fill(&plain, 0);
        run_problem(&p, &plain, KC_OUT, TANDEM_ACT_NONE, true);
        (void)kc_same("the same product in plain C", p.args.c, whole, floats);
    }
}

/* Infinity in row 1 of A and NaN in row 2 of W: NaN in that row and that column of C alone. */
static void check_specials(const tandem_kernels *kernels) {
    float x[3 * 20];
    float w[40 * 20];
    problem p = {.m = 3, .n = 40, .k = 20, .x = x, .w = w};
    kc_fill(x, 60, KC_NORMAL);
    kc_fill(w, 800, KC_NORMAL);
    run_problem(&p, kernels, KC_OUT, TANDEM_ACT_NONE, true);
    float before[3 * 40];
    memcpy(before, p.args.c, sizeof before);
    x[20 + 7] = INFINITY;
    w[2 * 20 + 3] = NAN;
    const tandem_gemm_i8_kernels *gemm = &kernels->gemm_i8;
    if (tandem_gemm_i8_pack(&p.matrix, 0, w, TANDEM_DTYPE_F32, 40)) {
        kc_fail("a weight that is NaN passed for finite");
    }
    tandem_gemm_i8_quantize(gemm, x, 20, 20, 0, 3, (uint8_t *)(uintptr_t)p.args.q,
                            (float *)(uintptr_t)p.args.scales, (int32_t *)(uintptr_t)p.args.zeros);
    tandem_gemm_i8_run(gemm, &p.args, 0, 3, 0, tandem_gemm_i8_panel_count(&p.matrix));
    for (int i = 0; i < 120; i++) {
        if (i / 40 == 1 || i % 40 == 2) before[i] = NAN;
    }
    (void)kc_same("where NaN goes", p.args.c, before, 120);
}

void kc_check_gemm_i8(const tandem_kernels *kernels) {
    check_quantizers();
    check_tiles(kernels);
    if (!kc_is_selected("gemm_i8")) return;
    check_driver(kernels);
    check_specials(kernels);
}

void kc_list_gemm_i8(void) {
#define GEMM_I8_KERNEL(name, flags, mr, nr, group) kc_list_kernel(#name, flags);
#define QUANTIZE_KERNEL(name, flags)               kc_list_kernel(#name, flags);
#include "kernels/gemm_i8/gemm_i8.inc"
#undef GEMM_I8_KERNEL
#undef QUANTIZE_KERNEL
}
