/* SPDX-License-Identifier: Apache-2.0 */
/* Whether products go to the system's sgemm. On a Mac it reaches matrix units that no instruction
 * of ours does; whether that pays depends on the chip, the shape and the number of tokens, so it is
 * tried: a product of each of a layer's shapes at FEW and at MANY tokens by both, in turn, on
 * made-up numbers, some tens of milliseconds at open. The sgemm is taken where it is at least a
 * tenth faster, since it costs the promise of equal bits in any batch, and f32 rows, which for a
 * lane in f16 are twice its memory. Where it wins at MANY tokens alone both layouts are kept.
 *
 *     wins at FEW   at MANY   rows_min
 *         -            no     0: panels alone, the kernels always
 *         yes          yes    1: rows alone, the sgemm always
 *         no           yes    BETWEEN: both
 *
 * Its sums have an order of its own, within the same bound as the kernels' (kernels/gemm/gemm.h:
 * it holds for any order). A result outside it, or no memory to try, and the kernels compute all.
 * TANDEM_SGEMM=never or always in the environment is instead of the clock. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/cpu_internal.h"
#include "backend/cpu/cpu_lane.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

enum { FEW = 16, MANY = 128, BETWEEN = 48, ROUNDS = 3 };

#define WIN_NUM 9 /* the sgemm takes at most 9/10 of the kernels' time */
#define WIN_DEN 10

static uint64_t (*now_ns)(void) = tandem__clock_ns;

void tandem__cpu_sgemm_clock(uint64_t (*clock)(void)) {
    now_ns = clock == NULL ? tandem__clock_ns : clock;
}

/* What one product is tried on. */
typedef struct trial {
    const cpu_lane *lane;
    tandem_packed_linear linear; /* both layouts */
    float *a;                    /* [MANY, k] */
    float *c[2];                 /* [MANY, n]: the sgemm's, the kernels' */
    char *memory;
    size_t bytes;
} trial;

static void *carve(trial *t, size_t bytes) {
    void *part = t->memory == NULL ? NULL : t->memory + t->bytes;
    t->bytes += (bytes + TANDEM_ALIGNMENT - 1) / TANDEM_ALIGNMENT * TANDEM_ALIGNMENT;
    return part;
}

static void place(trial *t) {
    const size_t n = (size_t)t->linear.w.n;
    const size_t k = (size_t)t->linear.w.k;
    const tandem_gemm_kernels *gemm = &t->lane->kernels.gemm;
    t->bytes = 0;
    t->linear.rows = carve(t, n * k * sizeof(float));
    t->linear.w.panels =
        carve(t, tandem_gemm_packed_bytes(gemm, t->linear.w.dtype, (int)n, (int)k));
    t->a = carve(t, MANY * k * sizeof(float));
    for (int i = 0; i < 2; i++) t->c[i] = carve(t, MANY * n * sizeof(float));
}

/* Numbers in [-1/2, 1/2) that f16 holds too. */
static void fill(float *to, size_t count, uint32_t seed) {
    uint32_t state = seed;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        to[i] = (float)(int)(state >> 24) / 256.0f - 0.5f;
    }
}

static bool trial_open(trial *t) {
    const tandem_gemm_matrix *w = &t->linear.w;
    place(t); /* sizes */
    t->memory = tandem__mem_alloc_aligned(t->bytes);
    if (t->memory == NULL) return false;
    place(t);
    fill(t->linear.rows, (size_t)w->n * (size_t)w->k, 1);
    fill(t->a, MANY * (size_t)w->k, 2);
    return tandem_gemm_pack(&t->lane->kernels.gemm, w, 0, t->linear.rows, TANDEM_DTYPE_F32, w->n);
}

static void trial_close(trial *t) {
    if (t->memory != NULL) tandem__mem_free_aligned(t->memory, t->bytes);
}

/* Both results against each other: each is within (K + 2) · 2^-24 · (sum |a||w|) of the truth. */
static bool is_right(const trial *t, int tokens) {
    const double k = (double)t->linear.w.k;
    const double bound = 2.0 * (k + 2.0) * ldexp(1.0, -24) * (k / 4.0);
    const size_t count = (size_t)tokens * (size_t)t->linear.w.n;
    for (size_t i = 0; i < count; i++) {
        const double difference = fabs((double)t->c[0][i] - (double)t->c[1][i]);
        if (!(difference <= bound)) return false;
    }
    return true;
}

static bool is_faster(const trial *t, int tokens) {
    uint64_t best[2] = {UINT64_MAX, UINT64_MAX};
    cpu_product product = {.linear = &t->linear,
                           .a = t->a,
                           .lda = (size_t)t->linear.w.k,
                           .ldc = (size_t)t->linear.w.n,
                           .tokens = tokens};
    for (int i = 0; i < 2 * ROUNDS; i++) {
        const int who = i % 2;
        product.c = t->c[who];
        const uint64_t start_ns = now_ns();
        if (who == 0)
            tandem__cpu_product_system(t->lane, &product);
        else
            tandem__cpu_product_kernels(t->lane, &product);
        const uint64_t ns = now_ns() - start_ns;
        if (ns < best[who]) best[who] = ns;
    }
    return best[0] * WIN_DEN <= best[1] * WIN_NUM;
}

typedef enum sgemm_wish { WISH_FASTER, WISH_ALWAYS, WISH_NEVER } sgemm_wish;

static sgemm_wish wish_of_user(void) {
    const char *word = getenv("TANDEM_SGEMM");
    if (word != NULL && strcmp(word, "always") == 0) return WISH_ALWAYS;
    if (word != NULL && strcmp(word, "never") == 0) return WISH_NEVER;
    if (word != NULL && word[0] != '\0')
        tandem__log(TANDEM_LOG_WARN, "TANDEM_SGEMM=%s: expected always or never; ignored", word);
    return WISH_FASTER;
}

/* rows_min of one shape; false if the sgemm is not to be used at all. */
static bool try_product(const cpu_lane *lane, int n, int k, sgemm_wish wish, int32_t *rows_min) {
    const tandem_dtype dtype = lane->storage;
    trial t = {.lane = lane,
               .linear.w = {.dtype = dtype, .n = n, .k = k, .nr = lane->kernels.gemm.nr}};
    bool is_usable = trial_open(&t);
    if (is_usable) {
        const bool at_many = is_faster(&t, MANY);
        is_usable = is_right(&t, MANY);
        const bool at_few = is_faster(&t, FEW);
        is_usable = is_usable && is_right(&t, FEW);
        *rows_min = wish == WISH_ALWAYS || (at_few && at_many) ? 1 : at_many ? BETWEEN : 0;
    }
    trial_close(&t);
    return is_usable;
}

void tandem__cpu_sgemm_choose(cpu_lane *lane) {
    const tandem_plan *plan = lane->plan;
    const sgemm_wish wish = wish_of_user();
    if (wish == WISH_NEVER || plan->layer_count == 0) return;
    lane->sgemm = tandem__accelerate_open();
    if (lane->sgemm == NULL) return;
    const int inner = plan->heads * plan->head_dim;
    const int shapes[CPU_PRODUCTS][2] = {{3 * inner, plan->hidden},
                                         {plan->hidden, inner},
                                         {plan->ffn, plan->hidden},
                                         {plan->hidden, plan->ffn}};
    int32_t rows_min[CPU_PRODUCTS] = {0};
    for (int i = 0; i < CPU_PRODUCTS; i++) {
        if (!try_product(lane, shapes[i][0], shapes[i][1], wish, &rows_min[i])) {
            lane->sgemm = NULL;
            return;
        }
        if (rows_min[i] > 0 && (lane->whole_min == 0 || rows_min[i] < lane->whole_min))
            lane->whole_min = rows_min[i];
    }
    memcpy(lane->rows_min, rows_min, sizeof rows_min);
    if (lane->whole_min == 0) lane->sgemm = NULL; /* nowhere faster */
}
