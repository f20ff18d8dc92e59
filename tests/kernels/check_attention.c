/* SPDX-License-Identifier: Apache-2.0 */
/* Attention against double, on heads cut out of a fused [T, 3·N·D] matrix whose last value ends at
 * the guard page, with the scratch full of NaN.
 *
 * Bound of one context element. A score is off by e_j = (D + 2) u scale sum|q||k| + 3 u |s_j| + the
 * rounding of the bias; exp adds 2^-22 and 3 u |x_j|, x_j its argument, which the maximum's own
 * error shifts for all keys alike and so cancels in the quotient. With h_j the sum of those, w_j
 * the exact weights and c the exact context, |error| <= sum w_j h_j (|v_j| + |c|) + (L + L/16 + 16)
 * u sum w_j |v_j| + L 1e-38 max|v|, the last for weights that are flushed to 0. */
#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "kernelcheck.h"

enum { TOKENS_MAX = 512, HEADS = 2 };

typedef struct head {
    tandem_attention_args args;
    size_t context_floats;
} head;

/* `index` 0 or 1: which of the two heads. */
static head make_head(int tokens, int dims, int index, kc_values kind, bool has_bias) {
    const size_t d = (size_t)dims;
    const size_t t = (size_t)tokens;
    const size_t stride = 3 * HEADS * d;
    float *fused = kc_buffer(KC_A, t * stride * 4);
    kc_fill(fused, t * stride, kind);
    head h;
    const size_t context_stride = HEADS * d;
    h.context_floats = context_stride * (t - 1) + d;
    float *bias = NULL;
    if (has_bias) {
        bias = kc_buffer(KC_BIAS, t * t * 4);
        kc_fill(bias, t * t, KC_NORMAL);
        for (size_t i = 0; i + 1 < t; i++) bias[i * t + i + 1] = -INFINITY;
    }
    h.args = (tandem_attention_args){
        .q = fused + (size_t)index * d,
        .k = fused + (HEADS + (size_t)index) * d,
        .v = fused + (2 * HEADS + (size_t)index) * d,
        .stride = stride,
        .context = kc_buffer(KC_OUT, h.context_floats * 4),
        .context_stride = context_stride,
        .bias = bias,
        .bias_stride = tokens,
        .scale = 1.0f / sqrtf((float)dims),
        .tokens = tokens,
        .head_dim = dims,
    };
    return h;
}

static float *make_scratch(int tokens, int dims) {
    const size_t bytes = tandem_attention_scratch_bytes(tokens, dims);
    float *scratch = kc_buffer(KC_SCRATCH, bytes);
    memset(scratch, 0xff, bytes);
    return scratch;
}

typedef struct weights {
    double w[TOKENS_MAX]; /* exact, summing to 1 */
    double h[TOKENS_MAX]; /* relative error of each */
} weights;

static void exact_row(const tandem_attention_args *args, int row, weights *out) {
    double x[TOKENS_MAX];
    double largest = (double)-INFINITY;
    const float *q = args->q + (size_t)row * args->stride;
    const double scale = (double)args->scale;
    for (int j = 0; j < args->tokens; j++) {
        const float *k = args->k + (size_t)j * args->stride;
        double sum = 0.0;
        double magnitude = 0.0;
        for (int i = 0; i < args->head_dim; i++) {
            sum += (double)q[i] * (double)k[i];
            magnitude += fabs((double)q[i] * (double)k[i]);
        }
        x[j] = sum * scale;
        out->h[j] = (args->head_dim + 2) * KC_U * scale * magnitude + 3.0 * KC_U * fabs(x[j]);
        if (args->bias != NULL) {
            const double bias = (double)args->bias[row * args->bias_stride + j];
            x[j] += bias;
            if (isfinite(bias)) out->h[j] += KC_U * (fabs(bias) + fabs(x[j]));
        }
        largest = fmax(largest, x[j]);
    }
    double total = 0.0;
    for (int j = 0; j < args->tokens; j++) {
        out->w[j] = exp(x[j] - largest);
        total += out->w[j];
        if (isfinite(x[j])) out->h[j] += 0x1p-22 + 3.0 * KC_U * (largest - x[j]);
    }
    for (int j = 0; j < args->tokens; j++) out->w[j] /= total;
}

static bool check_row(const head *h, int row) {
    const tandem_attention_args *args = &h->args;
    const int tokens = args->tokens;
    weights exact;
    exact_row(args, row, &exact);
    for (int d = 0; d < args->head_dim; d++) {
        double context = 0.0;
        double magnitude = 0.0;
        double largest = 0.0;
        for (int j = 0; j < tokens; j++) {
            const double v = (double)args->v[(size_t)j * args->stride + (size_t)d];
            context += exact.w[j] * v;
            magnitude += exact.w[j] * fabs(v);
            largest = fmax(largest, fabs(v));
        }
        double bound = (tokens + tokens / 16.0 + 16.0) * KC_U * magnitude +
                       tokens * 1e-38 * largest + 0x1p-149 * tokens;
        for (int j = 0; j < tokens; j++) {
            const double v = fabs((double)args->v[(size_t)j * args->stride + (size_t)d]);
            bound += exact.w[j] * exact.h[j] * (v + fabs(context));
        }
        const float got = args->context[(size_t)row * args->context_stride + (size_t)d];
        if (!kc_close("context", (long)row * args->head_dim + d, got, context, bound)) return false;
    }
    return true;
}

static void check_shape(tandem_attention_function *run, int tokens, int dims, kc_values kind,
                        bool has_bias) {
    const head h = make_head(tokens, dims, kc_random_int(HEADS), kind, has_bias);
    float *scratch = make_scratch(tokens, dims);
    run(&h.args, 0, tokens, scratch);
    const int step = tokens > 40 ? 7 : 1;
    for (int row = 0; row < tokens; row += step) {
        if (check_row(&h, row)) continue;
        kc_fail("L %d D %d values %d bias %d", tokens, dims, (int)kind, has_bias);
        return;
    }
    for (int row = 0; row + 1 < tokens; row++) {
        const float *end = h.args.context + (size_t)row * h.args.context_stride + dims;
        if (!kc_untouched(end, (h.args.context_stride - (size_t)dims) * 4)) {
            kc_fail("L %d D %d: wrote beside its head", tokens, dims);
            return;
        }
    }
    kc_check_canary(KC_OUT);
    kc_check_canary(KC_SCRATCH);
}

/* The same bits however the query rows are cut. */
static void check_pieces(tandem_attention_function *run, int tokens, int dims) {
    const head h = make_head(tokens, dims, 1, KC_NORMAL, tokens % 2 == 0);
    float *scratch = make_scratch(tokens, dims);
    run(&h.args, 0, tokens, scratch);
    float *whole = kc_buffer(KC_WANT, h.context_floats * 4);
    memcpy(whole, h.args.context, h.context_floats * 4);
    memset(h.args.context, 0xa5, h.context_floats * 4);
    for (int row = 0; row < tokens;) {
        const int next = row + 1 + kc_random_int(tokens - row);
        run(&h.args, row, next, scratch);
        row = next;
    }
    (void)kc_same("query rows in pieces", h.args.context, whole, h.context_floats);
}

static void check_specials(tandem_attention_function *run) {
    const int tokens = 21;
    const int dims = 32;
    head h = make_head(tokens, dims, 0, KC_NORMAL, false);
    float *q = (float *)kc_buffer(KC_B, h.args.stride * (size_t)tokens * 4);
    memcpy(q, h.args.q, (h.args.stride * (size_t)(tokens - 1) + (size_t)dims) * 4);
    h.args.q = q;
    q[h.args.stride * 4 + 3] = NAN;
    run(&h.args, 0, tokens, make_scratch(tokens, dims));
    for (int row = 0; row < tokens; row++) {
        const bool is_nan = isnan(h.args.context[(size_t)row * h.args.context_stride]) != 0;
        if (is_nan != (row == 4)) kc_fail("NaN in query row 4, context row %d", row);
    }
    q[h.args.stride * 4 + 3] = 0.0f;
    float *k = (float *)kc_buffer(KC_OTHER, h.args.stride * (size_t)tokens * 4);
    memcpy(k, h.args.k, (h.args.stride * (size_t)(tokens - 1) + (size_t)dims) * 4);
    h.args.k = k;
    k[h.args.stride * 20] = NAN;
    run(&h.args, 0, tokens, make_scratch(tokens, dims));
    for (int row = 0; row < tokens; row++) {
        if (!isnan(h.args.context[(size_t)row * h.args.context_stride + 5])) {
            kc_fail("NaN in a key, context row %d is a number", row);
        }
    }
}

/* All scores far under 0, where the absent lanes of a last vector hold 0: they must not count as
 * the row's maximum. */
static void check_all_negative(tandem_attention_function *run, int tokens) {
    const int dims = 16;
    const head h = make_head(tokens, dims, 1, KC_ZEROS, false);
    float *fused = kc_buffer(KC_A, (size_t)tokens * h.args.stride * 4);
    for (size_t i = 0; i < (size_t)tokens * h.args.stride; i++) {
        fused[i] = i % h.args.stride / (HEADS * (size_t)dims) == 0 ? 60.0f : -1.0f;
        fused[i] += (float)(kc_random() >> 8) * 0x1p-26f;
    }
    run(&h.args, 0, tokens, make_scratch(tokens, dims));
    for (int row = 0; row < tokens; row++) {
        if (!check_row(&h, row)) return;
    }
}

static void check_bits(const tandem_kernels *kernels) {
    if (!kc_has_level_below()) return;
    tandem_kernels below;
    tandem_kernels_fill(&below, kc_flags_below());
    if (below.attention.run == kernels->attention.run) return;
    static const int sizes[][2] = {{1, 32}, {14, 32}, {16, 64}, {33, 26}, {128, 64}, {200, 32}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        head h = make_head(sizes[i][0], sizes[i][1], 0, KC_NORMAL, i % 2 == 1);
        kernels->attention.run(&h.args, 0, sizes[i][0], make_scratch(sizes[i][0], sizes[i][1]));
        const float *got = h.args.context;
        h.args.context = kc_buffer(KC_WANT, h.context_floats * 4);
        below.attention.run(&h.args, 0, sizes[i][0], make_scratch(sizes[i][0], sizes[i][1]));
        (void)kc_same("bits of the level below", got, h.args.context, h.context_floats);
    }
}

void kc_check_attention(const tandem_kernels *kernels) {
    static const struct {
        const char *name;
        tandem_attention_function *run;
        uint32_t flags;
    } list[] = {
#define ATTENTION_KERNEL(name, flags) {#name, name, flags},
#include "kernels/attention/attention.inc"
#undef ATTENTION_KERNEL
    };
    static const int dims[] = {32, 64, 1, 8, 17, 26, 40, 80, 128};
    static const int lengths[] = {48, 64, 127, 128, 129, 300, 512};
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        if (!kc_begin(list[i].name, list[i].flags)) continue;
        for (int tokens = 1; tokens <= 35; tokens++) {
            for (int turn = 0; turn < 3; turn++) {
                const int d = dims[(tokens * 3 + turn) % 9];
                const kc_values kind = turn == 2 ? (kc_values)(tokens % 3) : KC_NORMAL;
                check_shape(list[i].run, tokens, d, kind, turn == 1);
            }
            check_pieces(list[i].run, tokens, dims[tokens % 9]);
        }
        for (size_t s = 0; s < sizeof lengths / sizeof lengths[0]; s++) {
            check_shape(list[i].run, lengths[s], dims[s % 2], KC_NORMAL, s % 3 == 0);
            check_shape(list[i].run, lengths[s], dims[s], KC_NORMAL, s % 3 == 1);
            check_pieces(list[i].run, lengths[s], dims[s % 3]);
        }
        check_specials(list[i].run);
        for (int tokens = 1; tokens <= 33; tokens++) check_all_negative(list[i].run, tokens);
    }
    if (kc_is_selected("attention")) check_bits(kernels);
}

void kc_list_attention(void) {
#define ATTENTION_KERNEL(name, flags) kc_list_kernel(#name, flags);
#include "kernels/attention/attention.inc"
#undef ATTENTION_KERNEL
}
