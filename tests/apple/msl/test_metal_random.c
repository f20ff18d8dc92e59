/* SPDX-License-Identifier: Apache-2.0 */
/* Products and attention of some hundred random shapes, each in the four runs of case_check. */
#include "apple/msl/metal_cases.h"

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_gemm_random, case_teardown),
        cmocka_unit_test_teardown(test_attention_random, case_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
