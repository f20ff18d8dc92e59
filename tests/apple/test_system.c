/* SPDX-License-Identifier: Apache-2.0 */
/* What macOS says of the machine, asked of a stand-in for libSystem: names, sizes of numbers, the
 * layout of the memory's statistics; and nothing known where there is no such library. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "apple/objc.h"
#include "apple/system.h"
#include "base/cpu.h"
#include "pipeline/watch.h"

static struct {
    int pressure;
    unsigned int qos[16];
    int qos_count;
    int ports;
    bool is_statistics_refused;
    pthread_mutex_t lock;
} world = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int give(void *value, size_t *size, const void *from, size_t len) {
    if (*size < len) return -1;
    memcpy(value, from, len);
    *size = len;
    return 0;
}

/* An M4 Max with 12 + 4 cores, as sysctl prints it. */
static int read_sysctl(const char *name, void *value, size_t *size, void *new_value,
                       size_t new_size) {
    assert_null(new_value);
    assert_int_equal(new_size, 0);
    const int performance = 12;
    const int efficiency = 4;
    const int64_t memory = (int64_t)64 << 30;
    if (strcmp(name, "machdep.cpu.brand_string") == 0) return give(value, size, "Apple M4 Max", 13);
    if (strcmp(name, "kern.osproductversion") == 0) return give(value, size, "15.5", 5);
    if (strcmp(name, "kern.osversion") == 0) return give(value, size, "24F74", 6);
    if (strcmp(name, "hw.perflevel0.physicalcpu") == 0) return give(value, size, &performance, 4);
    if (strcmp(name, "hw.perflevel1.physicalcpu") == 0) return give(value, size, &efficiency, 4);
    if (strcmp(name, "hw.memsize") == 0) return give(value, size, &memory, 8);
    if (strcmp(name, "kern.memorystatus_vm_pressure_level") == 0)
        return give(value, size, &world.pressure, 4);
    return -1;
}

static unsigned int host_self(void) {
    world.ports++;
    return 0x103;
}

/* free, active, inactive, wired, nine counters of 64 bits, purgeable, speculative. */
static int read_statistics(unsigned int host, int flavor, int *values, unsigned int *count) {
    static const unsigned int pages[24] = {1000, 7, 200, 9, [22] = 30, [23] = 500};
    assert_int_equal(host, 0x103);
    assert_int_equal(flavor, 4);
    assert_int_equal(*count, 24);
    memcpy(values, pages, sizeof pages);
    return world.is_statistics_refused ? 5 : 0;
}

static int set_qos(unsigned int qos_class, int relative) {
    assert_int_equal(relative, 0);
    (void)pthread_mutex_lock(&world.lock);
    if (world.qos_count < 16) world.qos[world.qos_count++] = qos_class;
    (void)pthread_mutex_unlock(&world.lock);
    return 0;
}

static void *open_library(const char *path) {
    return strcmp(path, "/usr/lib/libSystem.B.dylib") == 0 ? &world : NULL;
}

static void *find_symbol(void *library, const char *name) {
    static const struct {
        const char *name;
        void (*function)(void);
    } functions[] = {
        {"sysctlbyname", (void (*)(void))read_sysctl},
        {"mach_host_self", (void (*)(void))host_self},
        {"host_statistics64", (void (*)(void))read_statistics},
        {"pthread_set_qos_class_self_np", (void (*)(void))set_qos},
    };
    assert_ptr_equal(library, &world);
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        if (strcmp(functions[i].name, name) != 0) continue;
        void *found = NULL;
        memcpy(&found, &functions[i].function, sizeof found);
        return found;
    }
    return NULL;
}

static int use_stand_in(void **state) {
    static const objc_loader loader = {.open = open_library, .symbol = find_symbol};
    (void)state;
    tandem__objc_use(&loader);
    return 0;
}

static int use_system(void **state) {
    (void)state;
    tandem__objc_use(NULL);
    world.qos_count = 0;
    world.is_statistics_refused = false;
    return 0;
}

static void test_chip(void **state) {
    (void)state;
    system_chip chip;
    tandem__system_chip(&chip);
    assert_string_equal(chip.name, "Apple M4 Max");
    assert_string_equal(chip.os_version, "15.5");
    assert_string_equal(chip.os_build, "24F74");
    assert_int_equal(chip.performance_cores, 12);
    assert_int_equal(chip.efficiency_cores, 4);
}

static void test_memory(void **state) {
    (void)state;
    int64_t bytes = 0;
    int64_t available = 0;
    assert_true(tandem__system_memory(&bytes, &available));
    assert_int_equal(bytes, (int64_t)64 << 30);
    assert_int_equal(available, 1230 * sysconf(_SC_PAGESIZE));
    assert_true(tandem__system_memory(&bytes, &available));
    assert_int_equal(world.ports, 1); /* a right to the port each time would add up */
    world.is_statistics_refused = true;
    bytes = -7;
    assert_false(tandem__system_memory(&bytes, &available));
    assert_int_equal(bytes, -7);
}

static void test_memory_pressure(void **state) {
    static const struct {
        int level;
        double percent;
    } cases[] = {{1, 0}, {2, 15}, {4, 50}, {3, -1}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        world.pressure = cases[i].level;
        assert_true(tandem__system_memory_stall_percent() == cases[i].percent);
    }
}

/* What the engine makes of it. */
static void test_machine(void **state) {
    (void)state;
    tandem_machine machine;
    world.pressure = 4;
    tandem_machine_describe(&machine);
    assert_string_equal(machine.system, "macOS 15.5 (24F74)");
    assert_int_equal(machine.performance_cores, 12);
    assert_int_equal(machine.memory_bytes, (int64_t)64 << 30);
    sched_machine_view view;
    tandem__machine_look(&view);
    assert_true(view.memory_stall_percent == 50);
    assert_int_equal(view.memory_available_bytes, 1230 * sysconf(_SC_PAGESIZE));
}

static void nothing(void *context, int tile, int worker) {
    (void)context;
    (void)tile;
    (void)worker;
}

/* As many threads as fast cores, but no more than the process may use; workers say that somebody
 * waits for them. */
static void test_compute_threads(void **state) {
    (void)state;
    tandem_pool *pool = NULL;
    assert_int_equal(tandem__machine_pool(0, &pool, NULL), TANDEM_OK);
    const int count = tandem__cpu_count();
    assert_int_equal(tandem__pool_threads(pool), count < 12 ? count : 12);
    tandem__pool_close(pool);
    world.qos_count = 0;
    assert_int_equal(tandem__machine_pool(3, &pool, NULL), TANDEM_OK);
    assert_int_equal(tandem__pool_threads(pool), 3);
    tandem__pool_run(pool, 100, nothing, NULL);
    tandem__pool_close(pool);
    assert_int_equal(world.qos_count, 2);
    for (int i = 0; i < 2; i++) assert_int_equal(world.qos[i], 0x19);
}

static void test_nothing_known_elsewhere(void **state) {
    (void)state;
    system_chip chip;
    int64_t bytes = 0;
    tandem__objc_use(NULL);
    tandem__system_chip(&chip);
    assert_string_equal(chip.os_build, "");
    assert_int_equal(chip.performance_cores, 0);
    assert_false(tandem__system_memory(&bytes, &bytes));
    assert_true(tandem__system_memory_stall_percent() < 0);
    assert_int_equal(tandem__system_speed_percent(), -1);
    tandem__system_thread(SYSTEM_THREAD_OBSERVER);
    assert_int_equal(world.qos_count, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_chip, use_stand_in, use_system),
        cmocka_unit_test_setup_teardown(test_memory, use_stand_in, use_system),
        cmocka_unit_test_setup_teardown(test_memory_pressure, use_stand_in, use_system),
        cmocka_unit_test_setup_teardown(test_machine, use_stand_in, use_system),
        cmocka_unit_test_setup_teardown(test_compute_threads, use_stand_in, use_system),
        cmocka_unit_test(test_nothing_known_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
