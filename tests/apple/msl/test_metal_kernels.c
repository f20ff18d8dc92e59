/* SPDX-License-Identifier: Apache-2.0 */
/* Every Metal kernel, as the text that ships: its results against double precision, and no finding
 * of the checker, threads in order and shuffled, with exact and with fast math. */
#include "apple/msl/metal_cases.h"

#include <string.h>

#include "model/plan.h"

/* Numbers that the kernels have in common with the plan. */
_Static_assert(METAL_GELU_ERF == (int)TANDEM_ACTIVATION_GELU_ERF, "activation");
_Static_assert(METAL_GELU_TANH == (int)TANDEM_ACTIVATION_GELU_TANH, "activation");
_Static_assert(METAL_SILU == (int)TANDEM_ACTIVATION_SILU, "activation");
_Static_assert(METAL_RELU == (int)TANDEM_ACTIVATION_RELU, "activation");
_Static_assert(METAL_TANH == (int)TANDEM_ACTIVATION_TANH, "activation");
_Static_assert(METAL_POOL_MEAN == (int)TANDEM_POOLING_MEAN, "pooling");
_Static_assert(METAL_POOL_CLS == (int)TANDEM_POOLING_CLS, "pooling");
_Static_assert(METAL_POOL_MAX == (int)TANDEM_POOLING_MAX, "pooling");
_Static_assert(METAL_POOL_LAST == (int)TANDEM_POOLING_LAST, "pooling");
_Static_assert(METAL_POOL_WEIGHTED_MEAN == (int)TANDEM_POOLING_WEIGHTED_MEAN, "pooling");
_Static_assert(METAL_POOL_MEAN_SQRT == (int)TANDEM_POOLING_MEAN_SQRT, "pooling");

static void test_source(void **state) {
    (void)state;
#define TEST_KERNEL(name, threads, tile_m, tile_n, bytes)                                          \
    assert_true(msl_has_kernel(#name));                                                            \
    assert_int_equal(threads, METAL_THREADS);
    METAL_KERNELS(TEST_KERNEL)
#undef TEST_KERNEL
    assert_false(msl_has_kernel("gemm"));
    assert_memory_equal(msl_source(), "#include <metal_stdlib>\n", 24);
    assert_null(strstr(msl_source(), "thread_elements"));
}

/* What the host can do wrong. */
static void test_refusals(void **state) {
    (void)state;
    msl_report report;
    msl_dispatch dispatch = {.kernel = "nonsense", .groups = {1, 1, 1}, .threads = {128, 1, 1}};
    assert_false(msl_run(MSL_FAST, &dispatch, &report));
    assert_non_null(strstr(report.message, "nonsense"));
    dispatch.kernel = "norm";
    assert_false(msl_run(MSL_FAST, &dispatch, &report));
    assert_non_null(strstr(report.message, "buffer 0 is not bound"));
    for (int i = 0; i < 4; i++) (void)case_floats(&dispatch.buffers[i], 16, 0.0f, 1.0f);
    const struct metal_norm_args args = {.rows = 1, .width = 4};
    case_args(&dispatch.buffers[4], &args, 4);
    assert_false(msl_run(MSL_FAST, &dispatch, &report));
    assert_non_null(strstr(report.message, "buffer 4 has 4 bytes, the kernel reads 16"));
    case_args(&dispatch.buffers[4], &args, sizeof args);
    assert_true(msl_run(MSL_FAST, &dispatch, &report));
    dispatch.buffers[3].bytes = 4;
    assert_false(msl_run(MSL_CHECKED, &dispatch, &report));
    assert_non_null(strstr(report.message, "norm.metal:"));
    assert_non_null(strstr(report.message, "past the end of buffer 3"));
    case_end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_source, case_teardown),
        cmocka_unit_test_teardown(test_refusals, case_teardown),
        cmocka_unit_test_teardown(test_gemm_shapes, case_teardown),
        cmocka_unit_test_teardown(test_gemm_epilogues, case_teardown),
        cmocka_unit_test_teardown(test_gemm_depth, case_teardown),
        cmocka_unit_test_teardown(test_gemm_same_bits, case_teardown),
        cmocka_unit_test_teardown(test_gemm_real, case_teardown),
        cmocka_unit_test_teardown(test_attention_heads, case_teardown),
        cmocka_unit_test_teardown(test_attention_lengths, case_teardown),
        cmocka_unit_test_teardown(test_attention_bias, case_teardown),
        cmocka_unit_test_teardown(test_attention_window, case_teardown),
        cmocka_unit_test_teardown(test_attention_extremes, case_teardown),
        cmocka_unit_test_teardown(test_attention_real, case_teardown),
        cmocka_unit_test_teardown(test_embed, case_teardown),
        cmocka_unit_test_teardown(test_norm, case_teardown),
        cmocka_unit_test_teardown(test_rope, case_teardown),
        cmocka_unit_test_teardown(test_pool, case_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
