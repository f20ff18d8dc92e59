/* SPDX-License-Identifier: Apache-2.0 */
/* The thermal state of NSProcessInfo, asked of the stand-in for Foundation, as a speed limit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "apple/objc_sim.h"
#include "apple/system.h"
#include "tandem/engine.h"

static void test_states(void **state) {
    static const struct {
        long state;
        int percent;
    } cases[] = {{0, 100}, {1, 95}, {2, 70}, {3, 40}, {4, -1}, {-1, -1}};
    (void)state;
    const objc_sim_options options = {.version = 1400};
    objc_sim_start(&options);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        objc_sim_set_thermal_state(cases[i].state);
        assert_int_equal(tandem__system_speed_percent(), cases[i].percent);
    }
    objc_sim_set_thermal_state(2);
    tandem_machine machine;
    tandem_machine_describe(&machine);
    assert_int_equal(machine.speed_limit_percent, 70);
    assert_int_equal(objc_sim_stop(), 0); /* no object leaks, however often it is asked */
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_states)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
