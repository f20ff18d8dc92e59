/* SPDX-License-Identifier: Apache-2.0 */
/* A model's matrix products by the BLAS that the machine has: a lower bound of what an engine built
 * on it would take, since attention, norms and activations are left out.
 *
 *     per layer, T tokens:  [T, H] x [H, 3H]   [T, H] x [H, H]   [T, H] x [H, F]   [T, F] x [F, H]
 *
 * Each layer has weights of its own, as in a model, so that they come from memory and not from a
 * cache. libblas.so is not tried: on Debian it may be the reference, which nobody would compare
 * with. */
#include <dlfcn.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/fail.h"
#include "base/mem.h"
#include "cli/bench.h"

#define ROW_MAJOR    101
#define NO_TRANSPOSE 111
#define TRANSPOSE    112

typedef void (*sgemm_function)(int order, int trans_a, int trans_b, int m, int n, int k,
                               float alpha, const float *a, int lda, const float *b, int ldb,
                               float beta, float *c, int ldc);
typedef void (*set_threads_function)(int threads);

typedef struct cli_bench_blas {
    void *library;
    sgemm_function sgemm;
    cli_bench_sizes sizes;
    float *weights; /* [layers, 4*H*H + 2*H*F] */
    size_t weights_bytes;
    float *rows; /* [3, tokens, max(3*H, F)] */
    size_t rows_bytes;
    int32_t rows_tokens;
} cli_bench_blas;

static const struct {
    const char *file;
    const char *name;
} libraries[] = {
#ifdef __APPLE__
    {"/System/Library/Frameworks/Accelerate.framework/Accelerate", "Accelerate sgemm"},
    {"libopenblas.dylib", "OpenBLAS sgemm"},
#endif
    {"libopenblas.so.0", "OpenBLAS sgemm"},
    {"libopenblas.so", "OpenBLAS sgemm"},
    {"libmkl_rt.so.2", "MKL sgemm"},
    {"libblis.so.4", "BLIS sgemm"},
};

static size_t layer_floats(const cli_bench_sizes *s) {
    const size_t h = (size_t)s->hidden;
    return 4 * h * h + 2 * h * (size_t)s->ffn;
}

static void blas_close(cli_baseline *baseline) {
    cli_bench_blas *blas = baseline->blas;
    if (blas == NULL) return;
    if (blas->weights != NULL) tandem__mem_free_aligned(blas->weights, blas->weights_bytes);
    if (blas->rows != NULL) tandem__mem_free_aligned(blas->rows, blas->rows_bytes);
    if (blas->library != NULL) (void)dlclose(blas->library);
    tandem__mem_free(blas);
    baseline->blas = NULL;
}

/* Small numbers of both signs, none denormal. */
static void fill(float *values, size_t count) {
    uint32_t state = 1;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        values[i] = (float)((int32_t)(state >> 16) - 32768) * 0x1p-20F;
    }
}

static tandem_status reserve_rows(cli_bench_blas *blas, int32_t tokens, tandem_error *err) {
    if (tokens <= blas->rows_tokens) return TANDEM_OK;
    const cli_bench_sizes *s = &blas->sizes;
    const size_t width = (size_t)(s->ffn > 3 * s->hidden ? s->ffn : 3 * s->hidden);
    const size_t bytes = 3 * (size_t)tokens * width * sizeof(float);
    float *rows = tandem__mem_alloc_aligned(bytes);
    if (rows == NULL) return TANDEM_FAIL(err, MEMORY, "baseline: no memory for %zu bytes", bytes);
    fill(rows, bytes / sizeof *rows);
    if (blas->rows != NULL) tandem__mem_free_aligned(blas->rows, blas->rows_bytes);
    blas->rows = rows;
    blas->rows_bytes = bytes;
    blas->rows_tokens = tokens;
    return TANDEM_OK;
}

/* c [m, n] = a [m, k] x wᵀ, w [n, k]. */
static void product(const cli_bench_blas *blas, const float *a, const float *w, float *c,
                    const int dims[3]) {
    const int m = dims[0];
    const int n = dims[1];
    const int k = dims[2];
    blas->sgemm(ROW_MAJOR, NO_TRANSPOSE, TRANSPOSE, m, n, k, 1.0F, a, k, w, k, 0.0F, c, n);
}

static tandem_status blas_run(cli_baseline *baseline, int32_t tokens, int32_t batch, uint64_t *ns,
                              tandem_error *err) {
    cli_bench_blas *blas = baseline->blas;
    const cli_bench_sizes *s = &blas->sizes;
    const int32_t total = tokens * batch;
    TANDEM_TRY(reserve_rows(blas, total, err));
    const size_t h = (size_t)s->hidden;
    const size_t third = blas->rows_bytes / sizeof(float) / 3;
    float *x = blas->rows;
    float *y = x + third;
    float *z = y + third;
    const uint64_t start = tandem__clock_ns();
    for (int32_t layer = 0; layer < s->layers; layer++) {
        const float *w = blas->weights + (size_t)layer * layer_floats(s);
        product(blas, x, w, y, (int[3]){total, 3 * s->hidden, s->hidden});
        product(blas, x, w + 3 * h * h, z, (int[3]){total, s->hidden, s->hidden});
        product(blas, x, w + 4 * h * h, y, (int[3]){total, s->ffn, s->hidden});
        product(blas, y, w + 4 * h * h + h * (size_t)s->ffn, z, (int[3]){total, s->hidden, s->ffn});
    }
    *ns = tandem__clock_ns() - start;
    return TANDEM_OK;
}

static tandem_status load(cli_bench_blas *blas, const char **name, tandem_error *err) {
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
        blas->library = dlopen(libraries[i].file, RTLD_NOW | RTLD_LOCAL);
        if (blas->library == NULL) continue;
        /* POSIX lets dlsym's result be a function; ISO C does not, hence the detour. */
        *(void **)&blas->sgemm = dlsym(blas->library, "cblas_sgemm");
        set_threads_function set_threads = NULL;
        *(void **)&set_threads = dlsym(blas->library, "openblas_set_num_threads");
        if (blas->sgemm == NULL) {
            (void)dlclose(blas->library);
            blas->library = NULL;
            continue;
        }
        if (set_threads != NULL) set_threads(blas->sizes.threads);
        *name = libraries[i].name;
        return TANDEM_OK;
    }
    return TANDEM_FAIL(err, NOT_FOUND, "baseline: no BLAS library");
}

tandem_status cli_bench_blas_open(cli_baseline *baseline, const cli_bench_sizes *sizes,
                                  tandem_error *err) {
    cli_bench_blas *blas = tandem__mem_calloc(1, sizeof *blas);
    if (blas == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for a baseline");
    blas->sizes = *sizes;
    baseline->blas = blas;
    baseline->close = blas_close;
    const char *name = NULL;
    const size_t count = (size_t)sizes->layers * layer_floats(sizes);
    tandem_status status = load(blas, &name, err);
    if (status == TANDEM_OK) {
        blas->weights_bytes = count * sizeof(float);
        blas->weights = tandem__mem_alloc_aligned(blas->weights_bytes);
        if (blas->weights == NULL) status = TANDEM_FAIL(err, MEMORY, "no memory for a baseline");
    }
    if (status != TANDEM_OK) {
        cli_baseline_close(baseline);
        return status;
    }
    fill(blas->weights, count);
    (void)snprintf(baseline->name, sizeof baseline->name, "%s f32", name);
    (void)snprintf(baseline->note, sizeof baseline->note,
                   "the model's matrix products alone, without attention, norms and activations");
    baseline->run = blas_run;
    return TANDEM_OK;
}
