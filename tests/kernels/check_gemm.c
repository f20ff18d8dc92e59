/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products.
 *
 * Tile kernels: every row count, columns around the panel's edges, depths from 1, operands that end
 * at the guard page, gaps in C that must stay untouched. Packing: every source type, any split.
 * The driver: real shapes through the level's table, bits equal whatever the batch and the cut,
 * bits equal to the level below.
 *
 * Bound of one product: (K + 2) u (sum |a||w| + |bias|), times the activation's slope (at most
 * 1.13) and with its own error; then one rounding of the residual's sum. Denormals add K absolute
 * roundings of 2^-149. */
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/cpu.h"
#include "kernelcheck.h"

typedef struct shape {
    int m;
    int n;
    int k;
    size_t lda;
    size_t ldc;
} shape;

/* One problem in guarded memory; `w` [n, k] is what the panels hold, rounded to their type. */
typedef struct problem {
    shape size;
    tandem_gemm_matrix matrix;
    float *a;
    float *w;
    float *bias;
    float *residual;
    float *c;
} problem;

static float rounded(float value, tandem_dtype dtype) {
    if (dtype == TANDEM_DTYPE_F32) return value;
    return tandem_convert_f16_value(tandem_convert_value_f16(value));
}

static size_t extent(int rows, size_t stride, int columns) {
    return stride * (size_t)(rows - 1) + (size_t)columns;
}

static void make_problem(problem *p, shape size, tandem_dtype dtype, int nr, kc_values kind) {
    p->size = size;
    p->matrix = (tandem_gemm_matrix){NULL, dtype, size.n, size.k, nr};
    p->a = kc_buffer(KC_A, extent(size.m, size.lda, size.k) * 4);
    p->w = kc_buffer(KC_SOURCE, (size_t)size.n * (size_t)size.k * 4);
    p->bias = kc_buffer(KC_BIAS, (size_t)size.n * 4);
    p->residual = kc_buffer(KC_RESIDUAL, extent(size.m, size.ldc, size.n) * 4);
    p->c = kc_buffer(KC_OUT, extent(size.m, size.ldc, size.n) * 4);
    const size_t panels = ((size_t)size.n + (size_t)nr - 1) / (size_t)nr;
    const size_t bytes = panels * (size_t)nr * (size_t)size.k * (dtype == TANDEM_DTYPE_F32 ? 4 : 2);
    p->matrix.panels = kc_buffer(KC_B, bytes);
    kc_fill(p->a, extent(size.m, size.lda, size.k), kind);
    kc_fill(p->w, (size_t)size.n * (size_t)size.k, kind == KC_LARGE ? KC_NORMAL : kind);
    for (size_t i = 0; i < (size_t)size.n * (size_t)size.k; i++) p->w[i] = rounded(p->w[i], dtype);
    kc_fill(p->bias, (size_t)size.n, KC_NORMAL);
    for (int i = 0; i < size.m; i++) {
        kc_fill(p->residual + (size_t)i * size.ldc, (size_t)size.n, KC_NORMAL);
    }
    if (!tandem_gemm_pack__c(&p->matrix, 0, p->w, TANDEM_DTYPE_F32, size.n)) {
        kc_fail("finite weights called not finite");
    }
}

static bool check_element(const problem *p, tandem_act act, bool has_bias, const float *residual,
                          int i, int j) {
    const float *a = p->a + (size_t)i * p->size.lda;
    const float *w = p->w + (size_t)j * (size_t)p->size.k;
    double sum = has_bias ? (double)p->bias[j] : 0.0;
    double magnitude = fabs(sum);
    for (int k = 0; k < p->size.k; k++) {
        sum += (double)a[k] * (double)w[k];
        magnitude += fabs((double)a[k] * (double)w[k]);
    }
    double bound = (p->size.k + 2) * (KC_U * magnitude + 0x1p-149);
    double want = tandem_activation__ref(act, sum);
    if (act != TANDEM_ACT_NONE) bound = 1.13 * bound + 4e-7 * fmax(1.0, fabs(sum));
    if (residual != NULL) {
        const double add = (double)residual[(size_t)i * p->size.ldc + (size_t)j];
        want += add;
        bound += KC_U * (fabs(want) + bound);
    }
    return kc_close("C", (long)i * p->size.n + j, p->c[(size_t)i * p->size.ldc + (size_t)j], want,
                    bound);
}

static void check_all(const problem *p, tandem_act act, bool has_bias, const float *residual) {
    for (int i = 0; i < p->size.m; i++) {
        for (int j = 0; j < p->size.n; j++) {
            if (check_element(p, act, has_bias, residual, i, j)) continue;
            kc_fail("m %d n %d k %d act %d", p->size.m, p->size.n, p->size.k, (int)act);
            return;
        }
        const size_t gap = p->size.ldc - (size_t)p->size.n;
        const float *end = p->c + (size_t)i * p->size.ldc + p->size.n;
        if (i + 1 < p->size.m && !kc_untouched(end, gap * 4)) kc_fail("wrote between rows of C");
    }
    kc_check_canary(KC_OUT);
}

static void run_tile(const problem *p, const tandem_kernels *kernels, tandem_gemm_function *run,
                     tandem_act act, bool has_bias, bool has_residual) {
    const size_t element = p->matrix.dtype == TANDEM_DTYPE_F32 ? 4 : 2;
    const tandem_gemm_tile tile = {
        .a = p->a,
        .lda = p->size.lda,
        .b = p->matrix.panels,
        .panel_stride = (size_t)p->size.k * (size_t)p->matrix.nr * element,
        .prefetch = p->matrix.panels,
        .bias = has_bias ? p->bias : NULL,
        .residual = has_residual ? p->residual : NULL,
        .ld_residual = p->size.ldc,
        .c = p->c,
        .ldc = p->size.ldc,
        .m = p->size.m,
        .n = p->size.n,
        .k = p->size.k,
        .activation = act == TANDEM_ACT_NONE ? NULL : kernels->activation.apply[act],
    };
    run(&tile);
}

typedef struct tile_kernel {
    const char *name;
    tandem_gemm_function *run;
    uint32_t flags;
    tandem_dtype dtype;
    int mr;
    int nr;
    int panels;
} tile_kernel;

static void check_tile(const tandem_kernels *kernels, const tile_kernel *kernel) {
    static const int depths[] = {1, 2, 3, 7, 16, 33, 64, 129};
    problem p;
    int turn = 0;
    for (int m = 1; m <= kernel->mr; m++) {
        for (int n = 1; n <= kernel->nr * kernel->panels; n += n < 18 || n % 16 > 13 ? 1 : 5) {
            const int k = depths[(turn + kc_random_int(3)) % 8];
            const int gap = turn % 3;
            const shape size = {m, n, k, (size_t)(k + gap), (size_t)(n + gap)};
            const tandem_act act = turn % 4 == 3 ? (tandem_act)(1 + turn / 4 % 5) : TANDEM_ACT_NONE;
            const bool has_residual = turn % 5 > 2;
            make_problem(&p, size, kernel->dtype, kernel->nr, (kc_values)(turn % KC_VALUES_COUNT));
            run_tile(&p, kernels, kernel->run, act, turn % 2 == 0, has_residual);
            check_all(&p, act, turn % 2 == 0, has_residual ? p.residual : NULL);
            turn++;
        }
    }
}

/* A NaN or infinity in row r of A reaches row r of C alone; one in row n of W, column n alone. */
static void check_specials(const tandem_kernels *kernels, const tile_kernel *kernel) {
    problem p;
    const int m = kernel->mr;
    const shape size = {m, kernel->nr * kernel->panels, 40, 40,
                        (size_t)kernel->nr * (size_t)kernel->panels};
    make_problem(&p, size, kernel->dtype, kernel->nr, KC_NORMAL);
    p.a[(size_t)(m - 1) * p.size.lda + 5] = NAN;
    p.a[7] = INFINITY;
    p.w[3 * 40 + 11] = INFINITY;
    if (tandem_gemm_pack__c(&p.matrix, 0, p.w, TANDEM_DTYPE_F32, size.n)) {
        kc_fail("an infinite weight passed for finite");
    }
    run_tile(&p, kernels, kernel->run, TANDEM_ACT_NONE, true, false);
    check_all(&p, TANDEM_ACT_NONE, true, NULL);
}

static void check_tiles(const tandem_kernels *kernels) {
    static const tile_kernel list[] = {
#define GEMM_KERNEL(name, shape, dtype, flags, mr, nr, panels)                                     \
    {#name, name, flags, TANDEM_DTYPE_##dtype, mr, nr, panels},
#define GEMM_PACK(name, flags)
#include "kernels/gemm/gemm.inc"
#undef GEMM_KERNEL
#undef GEMM_PACK
    };
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        if (!kc_begin(list[i].name, list[i].flags)) continue;
        check_tile(kernels, &list[i]);
        check_specials(kernels, &list[i]);
    }
}

/* ---- packing ---- */

static size_t write_source(void *dst, tandem_dtype dtype, const float *values, size_t n) {
    if (dtype == TANDEM_DTYPE_F32) memcpy(dst, values, n * 4);
    if (dtype == TANDEM_DTYPE_F16) tandem_convert_f32_f16__c(dst, values, n);
    if (dtype == TANDEM_DTYPE_BF16) tandem_convert_f32_bf16__c(dst, values, n);
    return dtype == TANDEM_DTYPE_F32 ? 4 : 2;
}

/* Packs [n, k] in pieces of random height from a source at an odd address, against the definition
 * of the layout. `bad` >= 0 puts infinity there. */
static void check_pack(tandem_gemm_pack_function *pack, int n, int k, int nr, tandem_dtype from,
                       tandem_dtype to, long bad) {
    const size_t count = (size_t)n * (size_t)k;
    float *values = kc_buffer(KC_A, count * 4);
    kc_fill(values, count, KC_MIXED);
    if (bad >= 0) values[(size_t)bad % count] = bad % 2 == 0 ? INFINITY : NAN;
    unsigned char *source = kc_buffer(KC_SOURCE, count * 4 + 1);
    const size_t element = write_source(source, from, values, count);
    const size_t panels = ((size_t)n + (size_t)nr - 1) / (size_t)nr;
    const size_t slots = panels * (size_t)nr * (size_t)k;
    tandem_gemm_matrix matrix = {NULL, to, n, k, nr};
    matrix.panels = kc_buffer(KC_B, slots * (to == TANDEM_DTYPE_F32 ? 4 : 2));
    bool is_finite = true;
    for (int row = 0; row < n;) {
        const int left = n - row;
        int rows = 1 + kc_random_int(left);
        if (kc_random_int(2) == 0 && rows > nr) rows = rows / nr * nr;
        const unsigned char *at = source + (size_t)row * (size_t)k * element;
        if (!pack(&matrix, row, at, from, rows)) is_finite = false;
        row += rows;
    }
    if (is_finite != (bad < 0)) kc_fail("finite or not: wrong answer");
    kc_count();
    for (size_t i = 0; i < slots; i++) {
        const size_t panel = i / ((size_t)nr * (size_t)k);
        const size_t column = panel * (size_t)nr + i % (size_t)nr;
        const size_t depth = i / (size_t)nr % (size_t)k;
        float want = 0.0f;
        if (column < (size_t)n) {
            tandem_convert_kernels plain;
            tandem_convert_fill(&plain, 0);
            const size_t at = column * (size_t)k + depth;
            tandem_convert_to_f32(&plain, &want, source + at * element, from, 1);
            want = rounded(want, to);
        }
        const float got = to == TANDEM_DTYPE_F32
                              ? ((const float *)matrix.panels)[i]
                              : tandem_convert_f16_value(((const uint16_t *)matrix.panels)[i]);
        if (!kc_same("packed", &got, &want, 1)) return;
    }
    kc_check_canary(KC_B);
}

static void check_packs(void) {
    static const struct {
        const char *name;
        tandem_gemm_pack_function *run;
        uint32_t flags;
    } list[] = {
#define GEMM_KERNEL(name, shape, dtype, flags, mr, nr, panels)
#define GEMM_PACK(name, flags) {#name, name, flags},
#include "kernels/gemm/gemm.inc"
#undef GEMM_KERNEL
#undef GEMM_PACK
    };
    static const tandem_dtype sources[] = {TANDEM_DTYPE_F32, TANDEM_DTYPE_F16, TANDEM_DTYPE_BF16};
    static const int sizes[][2] = {{1, 1},   {16, 16}, {33, 48},  {64, 32}, {70, 31},
                                   {40, 17}, {31, 64}, {100, 88}, {32, 16}, {48, 312}};
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        if (!kc_begin(list[i].name, list[i].flags)) continue;
        for (int turn = 0; turn < 90; turn++) {
            const int *size = sizes[turn % 10];
            const long bad = turn % 7 == 6 ? (long)kc_random_int(1 << 20) : -1;
            check_pack(list[i].run, size[0], size[1], turn % 2 == 0 ? 32 : 16, sources[turn % 3],
                       turn / 3 % 2 == 0 ? TANDEM_DTYPE_F32 : TANDEM_DTYPE_F16, bad);
        }
    }
}

/* ---- the driver ---- */

/* Computes the whole of C by cuts at random rows and panels. */
static void run_in_pieces(const tandem_gemm_kernels *gemm, const tandem_gemm_args *args, int rows) {
    const int panels = tandem_gemm_panel_count(args->w);
    for (int row = 0; row < rows;) {
        const int next_row = row + 1 + kc_random_int(rows - row);
        for (int panel = 0; panel < panels;) {
            const int next = panel + 1 + kc_random_int(panels - panel);
            tandem_gemm_run(gemm, args, row, next_row, panel, next);
            panel = next;
        }
        row = next_row;
    }
}

static void check_driver_shape(const tandem_kernels *kernels, shape size, tandem_dtype dtype) {
    problem p;
    make_problem(&p, size, dtype, kernels->gemm.nr, KC_NORMAL);
    if (!tandem_gemm_pack(&kernels->gemm, &p.matrix, 0, p.w, TANDEM_DTYPE_F32, size.n)) {
        kc_fail("finite weights called not finite");
    }
    const tandem_act act = kc_random_int(2) == 0 ? TANDEM_ACT_NONE : TANDEM_ACT_GELU_ERF;
    tandem_gemm_args args = {p.a,      size.lda, &p.matrix, p.bias, p.residual,
                             size.ldc, p.c,      size.ldc,  act};
    tandem_gemm_run(&kernels->gemm, &args, 0, size.m, 0, tandem_gemm_panel_count(&p.matrix));
    check_all(&p, act, true, p.residual);
    const size_t floats = extent(size.m, size.ldc, size.n);
    float *whole = kc_buffer(KC_WANT, floats * 4);
    memcpy(whole, p.c, floats * 4);
    memset(p.c, 0xa5, floats * 4);
    run_in_pieces(&kernels->gemm, &args, size.m);
    (void)kc_same("the same product in pieces", p.c, whole, floats);
    args.c = p.residual; /* in place */
    tandem_gemm_run(&kernels->gemm, &args, 0, size.m, 0, tandem_gemm_panel_count(&p.matrix));
    for (int i = 0; i < size.m; i++) {
        (void)kc_same("onto its residual", p.residual + (size_t)i * size.ldc,
                      whole + (size_t)i * size.ldc, (size_t)size.n);
    }
}

static void check_driver_bits(const tandem_kernels *kernels, shape size, tandem_dtype dtype) {
    if (!kc_has_level_below()) return;
    tandem_kernels below;
    tandem_kernels_fill(&below, kc_flags_below());
    problem p;
    make_problem(&p, size, dtype, kernels->gemm.nr, KC_MIXED);
    const tandem_gemm_args args = {p.a, size.lda, &p.matrix,          p.bias, p.residual, size.ldc,
                                   p.c, size.ldc, TANDEM_ACT_GELU_ERF};
    tandem_gemm_run(&kernels->gemm, &args, 0, size.m, 0, tandem_gemm_panel_count(&p.matrix));
    tandem_gemm_matrix other = p.matrix;
    other.nr = below.gemm.nr;
    other.panels =
        kc_buffer(KC_OTHER, tandem_gemm_packed_bytes(&below.gemm, dtype, size.n, size.k));
    if (!tandem_gemm_pack(&below.gemm, &other, 0, p.w, TANDEM_DTYPE_F32, size.n)) {
        kc_fail("finite weights called not finite");
    }
    tandem_gemm_args lower = args;
    lower.w = &other;
    lower.c = kc_buffer(KC_WANT, extent(size.m, size.ldc, size.n) * 4);
    tandem_gemm_run(&below.gemm, &lower, 0, size.m, 0, tandem_gemm_panel_count(&other));
    (void)kc_same("bits of the level below", args.c, lower.c, extent(size.m, size.ldc, size.n));
}

static void check_driver(const tandem_kernels *kernels) {
    static const int sizes[][3] = {{128, 96, 384}, {16, 128, 384},  {5, 70, 384}, {1, 384, 64},
                                   {37, 75, 768},  {15, 33, 1536},  {29, 64, 40}, {3, 129, 100},
                                   {13, 312, 312}, {128, 32, 1536}, {6, 64, 50},  {60, 1, 17}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const int n = sizes[i][1];
        const int k = sizes[i][2];
        const shape size = {sizes[i][0], n, k, (size_t)k + i % 2, (size_t)n + i % 3};
        for (int dtype = 0; dtype < 2; dtype++) {
            check_driver_shape(kernels, size, (tandem_dtype)dtype);
            check_driver_bits(kernels, size, (tandem_dtype)dtype);
        }
    }
}

void kc_check_gemm(const tandem_kernels *kernels) {
    check_packs();
    check_tiles(kernels);
    if (kc_is_selected("gemm")) check_driver(kernels);
}

void kc_list_gemm(void) {
#define GEMM_KERNEL(name, shape, dtype, flags, mr, nr, panels) kc_list_kernel(#name, flags);
#define GEMM_PACK(name, flags)                                 kc_list_kernel(#name, flags);
#include "kernels/gemm/gemm.inc"
#undef GEMM_KERNEL
#undef GEMM_PACK
}
