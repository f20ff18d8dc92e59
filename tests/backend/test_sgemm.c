/* SPDX-License-Identifier: Apache-2.0 */
/* The cpu lane with a sgemm of the system: a stand-in for Accelerate takes its place, and a clock
 * that the stand-in moves decides who is faster. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apple/accelerate.h"
#include "apple/objc.h"
#include "backend/cpu/cpu_lane.h"
#include "backend/random_plan.h"
#include "base/mem.h"

enum { TOKENS_MAX = 400, SEQUENCES_MAX = 40, CLOCK_STEP = 1000, GAIN = 500 };

/* The stand-in. */

typedef enum stand_in { FASTER, SLOWER, FASTER_AT_MANY, FASTER_FOR_DOWN, WRONG } stand_in;

static struct {
    stand_in how;
    int opened;
    int calls;
    bool is_elsewhere; /* called on another thread than `caller` */
    pthread_t caller;
    uint64_t now_ns;
} world;

static uint64_t read_clock(void) {
    world.now_ns += CLOCK_STEP;
    return world.now_ns;
}

/* A product takes CLOCK_STEP by the kernels and GAIN less or more by this. */
static void pass_time(int m, int n, int k) {
    const bool is_fast = world.how == FASTER || world.how == WRONG ||
                         (world.how == FASTER_AT_MANY && m >= 48) ||
                         (world.how == FASTER_FOR_DOWN && k > n);
    world.now_ns += is_fast ? (uint64_t)-GAIN : GAIN;
}

/* Sums from the last term to the first: other bits than the kernels'. */
static void sum_backwards(int order, int transpose_a, int transpose_b, int m, int n, int k,
                          float alpha, const float *a, int lda, const float *b, int ldb, float beta,
                          float *c, int ldc) {
    assert_int_equal(order, ACCELERATE_ROW_MAJOR);
    assert_int_equal(transpose_a, ACCELERATE_AS_IS);
    assert_int_equal(transpose_b, ACCELERATE_TRANSPOSED);
    assert_true(alpha == 1.0f && lda >= k && ldb == k && ldc >= n);
    world.calls++;
    world.is_elsewhere = world.is_elsewhere || !pthread_equal(pthread_self(), world.caller);
    pass_time(m, n, k);
    for (int row = 0; row < m; row++) {
        for (int column = 0; column < n; column++) {
            float sum = world.how == WRONG && row == m - 1 ? 1.0f : 0.0f;
            for (int i = k - 1; i >= 0; i--)
                sum += a[(size_t)row * (size_t)lda + (size_t)i] *
                       b[(size_t)column * (size_t)ldb + (size_t)i];
            float *to = c + (size_t)row * (size_t)ldc + column;
            *to = beta == 0.0f ? sum : sum + beta * *to;
        }
    }
}

static void *open_library(const char *path) {
    world.opened++;
    const bool is_ours =
        strcmp(path, "/System/Library/Frameworks/Accelerate.framework/Accelerate") == 0;
    return is_ours ? &world : NULL;
}

static void *find_symbol(void *library, const char *name) {
    assert_ptr_equal(library, &world);
    if (strcmp(name, "cblas_sgemm") != 0) return NULL;
    void *found = NULL;
    accelerate_sgemm *sgemm = sum_backwards;
    memcpy(&found, &sgemm, sizeof found);
    return found;
}

static const objc_loader loader = {.open = open_library, .symbol = find_symbol};

static void stand_in_for_accelerate(stand_in how) {
    memset(&world, 0, sizeof world);
    world.how = how;
    world.caller = pthread_self();
    tandem__objc_use(&loader);
    tandem__cpu_sgemm_clock(read_clock);
}

static int back_to_the_system(void **state) {
    (void)state;
    (void)unsetenv("TANDEM_SGEMM");
    tandem__objc_use(NULL);
    tandem__cpu_sgemm_clock(NULL);
    return 0;
}

/* Lanes. */

/* clang-format off */
static const random_shape shapes[] = {
    {.name = "bert", .hidden = 48, .heads = 4, .head_dim = 12, .ffn = 104, .layers = 3,
     .positions = 200, .types = 2, .position = TANDEM_POSITION_ABSOLUTE,
     .activation = TANDEM_ACTIVATION_GELU_ERF, .pooling = TANDEM_POOLING_MEAN, .dense = 1,
     .has_head = true, .has_lm = true},
    {.name = "norm first, gate, rope, windows", .hidden = 32, .heads = 2, .head_dim = 16,
     .ffn = 56, .layers = 3, .positions = 200, .position = TANDEM_POSITION_ROPE, .window = 9,
     .activation = TANDEM_ACTIVATION_SILU, .pooling = TANDEM_POOLING_CLS, .storage =
     TANDEM_DTYPE_BF16, .is_norm_first = true, .has_gate = true, .lacks_bias = true},
};
/* clang-format on */

static tandem_lane *open_lane(const char *name, const tandem_plan *plan, tandem_dtype dtype,
                              tandem_pool *pool) {
    const tandem_backend_options options = {.dtype = dtype,
                                            .tokens_max = TOKENS_MAX,
                                            .sequences_max = SEQUENCES_MAX,
                                            .in_flight_max = 1,
                                            .pool = pool};
    tandem_lane *lane = NULL;
    tandem_error err = {0};
    if (tandem__backend_find(name)->open(plan, &options, &lane, &err) != TANDEM_OK)
        fail_msg("%s: %s", name, err.message);
    return lane;
}

static tandem_capabilities capabilities_of(const tandem_lane *lane) {
    tandem_capabilities capabilities;
    tandem__backend_cpu.capabilities(lane, &capabilities);
    return capabilities;
}

static float *submit(const char *name, tandem_lane *lane, const tandem_plan *plan,
                     const tandem_batch *batch, tandem_output output) {
    const size_t floats = (size_t)tandem__output_rows(plan, output, batch) *
                          (size_t)tandem__output_width(plan, output);
    float *out = calloc(floats, sizeof *out);
    tandem_ticket ticket = 0;
    tandem_error err = {0};
    if (tandem__backend_find(name)->submit(lane, batch, output, out, &ticket, &err) != TANDEM_OK)
        fail_msg("%s: %s", name, err.message);
    return out;
}

static void compare(const float *got, const float *expected, int64_t rows, int32_t width,
                    double cosine_min) {
    for (int64_t row = 0; row < rows; row++) {
        double dot = 0.0;
        double aa = 0.0;
        double bb = 0.0;
        for (int64_t i = row * width; i < (row + 1) * width; i++) {
            dot += (double)got[i] * (double)expected[i];
            aa += (double)got[i] * (double)got[i];
            bb += (double)expected[i] * (double)expected[i];
        }
        if (!(dot >= cosine_min * sqrt(aa * bb))) fail_msg("cosine %.9f", dot / sqrt(aa * bb));
    }
}

/* Every output at several sizes against the reference. */
static void compare_shape(const random_shape *shape, tandem_dtype dtype, tandem_pool *pool) {
    static const int sizes[][2] = {{1, 1}, {1, 17}, {9, 20}, {2, 150}};
    static const tandem_output outputs[] = {TANDEM_OUTPUT_POOLED, TANDEM_OUTPUT_TOKENS,
                                            TANDEM_OUTPUT_HEAD, TANDEM_OUTPUT_SPARSE,
                                            TANDEM_OUTPUT_STATES};
    random_plan *made = random_plan_make(shape, 3);
    const tandem_plan *plan = &made->plan;
    tandem_lane *ref = open_lane("ref", plan, TANDEM_DTYPE_F32, pool);
    tandem_lane *cpu = open_lane("cpu", plan, dtype, pool);
    assert_false(capabilities_of(cpu).is_exact);
    assert_true(made->released >= 2 * random_plan_bytes(made) - 2 * plan->vocab * plan->hidden);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        random_batch batch = random_batch_make(plan, sizes[i][0], sizes[i][1], true, i);
        for (size_t o = 0; o < sizeof outputs / sizeof outputs[0]; o++) {
            if (tandem__output_check(plan, outputs[o], NULL) != TANDEM_OK) continue;
            const int calls = world.calls;
            float *got = submit("cpu", cpu, plan, &batch.batch, outputs[o]);
            assert_int_equal(world.calls - calls, plan->layer_count * (shape->has_gate ? 5 : 4));
            float *expected = submit("ref", ref, plan, &batch.batch, outputs[o]);
            compare(got, expected, tandem__output_rows(plan, outputs[o], &batch.batch),
                    tandem__output_width(plan, outputs[o]),
                    dtype == TANDEM_DTYPE_F32 ? 0.999999 : 0.9999);
            free(got);
            free(expected);
        }
        random_batch_free(&batch);
    }
    tandem__backend_cpu.close(cpu);
    tandem__backend_find("ref")->close(ref);
    random_plan_free(made);
}

static void test_faster_sgemm_computes_all_products(void **state) {
    (void)state;
    stand_in_for_accelerate(FASTER);
    tandem_pool *pool = NULL;
    assert_int_equal(tandem__pool_open(3, &pool, NULL), TANDEM_OK);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        compare_shape(&shapes[i], TANDEM_DTYPE_F32, pool);
        compare_shape(&shapes[i], TANDEM_DTYPE_F16, pool);
        compare_shape(&shapes[i], TANDEM_DTYPE_F16, NULL);
    }
    assert_false(world.is_elsewhere);
    tandem__pool_close(pool);
}

/* The lane's POOLED vectors beside those of a lane without a sgemm: as many calls as expected, and
 * the same bits where there is none. */
static void check_calls(const tandem_plan *plan, tandem_lane *lane, tandem_lane *plain,
                        int sequences, int calls) {
    random_batch batch = random_batch_make(plan, sequences, 20, false, 8);
    const size_t bytes = (size_t)sequences * (size_t)plan->dimensions * sizeof(float);
    const int before = world.calls;
    float *got = submit("cpu", lane, plan, &batch.batch, TANDEM_OUTPUT_POOLED);
    assert_int_equal(world.calls - before, calls);
    float *expected = submit("cpu", plain, plan, &batch.batch, TANDEM_OUTPUT_POOLED);
    assert_int_equal(memcmp(got, expected, bytes) == 0, calls == 0);
    compare(got, expected, sequences, plan->dimensions, 0.999999);
    free(got);
    free(expected);
    random_batch_free(&batch);
}

/* Opens the shape under `how`: calls for a batch of 20 tokens and for one of more than 48. */
static tandem_capabilities check_choice(stand_in how, int calls_few, int calls_many) {
    stand_in_for_accelerate(how);
    (void)setenv("TANDEM_SGEMM", "never", 1);
    random_plan *made = random_plan_make(&shapes[0], 3);
    tandem_lane *plain = open_lane("cpu", &made->plan, TANDEM_DTYPE_F32, NULL);
    assert_int_equal(world.opened, 0);
    assert_true(capabilities_of(plain).is_exact);
    (void)unsetenv("TANDEM_SGEMM");
    tandem_lane *lane = open_lane("cpu", &made->plan, TANDEM_DTYPE_F32, NULL);
    assert_int_equal(world.opened, 1);
    const tandem_capabilities capabilities = capabilities_of(lane);
    assert_int_equal(capabilities.is_exact, calls_many == 0);
    check_calls(&made->plan, lane, plain, 1, calls_few);
    check_calls(&made->plan, lane, plain, 30, calls_many);
    tandem__backend_cpu.close(lane);
    tandem__backend_cpu.close(plain);
    random_plan_free(made);
    return capabilities;
}

static void test_choice_follows_the_clock(void **state) {
    (void)state;
    const int layers = shapes[0].layers;
    const tandem_capabilities slower = check_choice(SLOWER, 0, 0);
    const tandem_capabilities faster = check_choice(FASTER, 4 * layers, 4 * layers);
    const tandem_capabilities many = check_choice(FASTER_AT_MANY, 0, 4 * layers);
    (void)check_choice(FASTER_FOR_DOWN, layers, layers);
    /* One layout instead of the other, then both. */
    assert_true(faster.weights_bytes <= slower.weights_bytes);
    assert_true(many.weights_bytes > slower.weights_bytes + faster.weights_bytes / 2);
}

static void test_wrong_sgemm_is_not_used(void **state) {
    (void)state;
    (void)check_choice(WRONG, 0, 0);
}

static void test_user_decides(void **state) {
    (void)state;
    stand_in_for_accelerate(SLOWER);
    (void)setenv("TANDEM_SGEMM", "always", 1);
    random_plan *made = random_plan_make(&shapes[0], 3);
    tandem_lane *lane = open_lane("cpu", &made->plan, TANDEM_DTYPE_F16, NULL);
    assert_false(capabilities_of(lane).is_exact);
    tandem__backend_cpu.close(lane);
    random_plan_free(made);
}

static void count_steps(void *context, const char *op, const char *where, const char *how) {
    (void)where;
    int *count = context;
    const bool is_product = strstr(op, " x ") != NULL;
    if (is_product && strncmp(how, "cblas_sgemm of Accelerate", 25) == 0) ++*count;
    if (strncmp(op, "feed-forward up", 15) == 0) assert_non_null(strstr(how, "gelu_erf"));
}

static void test_steps_name_the_sgemm(void **state) {
    (void)state;
    stand_in_for_accelerate(FASTER);
    random_plan *made = random_plan_make(&shapes[0], 3);
    tandem_lane *lane = open_lane("cpu", &made->plan, TANDEM_DTYPE_F16, NULL);
    int count = 0;
    tandem__backend_cpu.explain(lane, count_steps, &count);
    assert_int_equal(count, 4);
    tandem__backend_cpu.close(lane);
    random_plan_free(made);
}

/* Without memory to try it, the kernels compute. */
static void test_no_memory_to_try(void **state) {
    (void)state;
    stand_in_for_accelerate(FASTER);
    random_plan *made = random_plan_make(&shapes[0], 3);
    tandem__mem_fail_at(2); /* after the lane itself */
    tandem_lane *lane = open_lane("cpu", &made->plan, TANDEM_DTYPE_F32, NULL);
    tandem__mem_fail_at(0);
    assert_true(capabilities_of(lane).is_exact);
    assert_int_equal(world.calls, 0);
    tandem__backend_cpu.close(lane);
    random_plan_free(made);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_faster_sgemm_computes_all_products, back_to_the_system),
        cmocka_unit_test_teardown(test_choice_follows_the_clock, back_to_the_system),
        cmocka_unit_test_teardown(test_wrong_sgemm_is_not_used, back_to_the_system),
        cmocka_unit_test_teardown(test_user_decides, back_to_the_system),
        cmocka_unit_test_teardown(test_steps_name_the_sgemm, back_to_the_system),
        cmocka_unit_test_teardown(test_no_memory_to_try, back_to_the_system),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
