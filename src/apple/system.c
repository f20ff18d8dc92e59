/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers and the one structure below are of macOS's public headers: sys/sysctl.h, sys/qos.h,
 * mach/host_info.h, mach/vm_statistics.h. Looking a function up takes microseconds and is done a
 * few times a second, so nothing is kept. */
#include "apple/system.h"

#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "apple/symbols.h"

#define LIBSYSTEM "/usr/lib/libSystem.B.dylib"

/* The first revision of vm_statistics64: later ones only append. */
typedef struct vm_pages {
    uint32_t free;
    uint32_t active;
    uint32_t inactive;
    uint32_t wired;
    uint64_t counts[9];
    uint32_t purgeable;
    uint32_t speculative; /* among the free ones */
} vm_pages;

_Static_assert(sizeof(vm_pages) == 96, "as the system lays it out");
_Static_assert((int)SYSTEM_THREAD_COMPUTE == (int)QOS_USER_INITIATED, "the system's number");
_Static_assert((int)SYSTEM_THREAD_OBSERVER == (int)QOS_UTILITY, "the system's number");

enum { KERN_SUCCESS = 0 };
enum { PRESSURE_NORMAL = 1, PRESSURE_WARNING = 2, PRESSURE_CRITICAL = 4 };

/* `function` is a pointer to a pointer to a function; false where the system has none. */
static bool find(const char *name, void *function) {
    void *library = tandem__objc_library(LIBSYSTEM);
    void *found = library == NULL ? NULL : tandem__objc_symbol(library, name);
    memcpy(function, &found, sizeof found);
    return found != NULL;
}

static bool read_sysctl(const char *name, void *value, objc_uint *size) {
    sysctlbyname_function *sysctl = NULL;
    return find("sysctlbyname", &sysctl) && sysctl(name, value, size, NULL, 0) == 0;
}

/* "" where there is none, cut where it is longer. */
static void read_text(const char *name, char *text, size_t size) {
    char value[256] = "";
    objc_uint len = sizeof value - 1;
    if (!read_sysctl(name, value, &len)) value[0] = '\0';
    value[sizeof value - 1] = '\0';
    const size_t used = strnlen(value, size - 1);
    memcpy(text, value, used);
    text[used] = '\0';
}

/* Of four or eight bytes; -1 where there is none. */
static int64_t read_number(const char *name) {
    unsigned char bytes[8] = {0};
    objc_uint len = sizeof bytes;
    if (!read_sysctl(name, bytes, &len)) return -1;
    int32_t narrow = 0;
    int64_t wide = 0;
    memcpy(&narrow, bytes, sizeof narrow);
    memcpy(&wide, bytes, sizeof wide);
    return len == sizeof narrow ? narrow : wide;
}

static int32_t read_count(const char *name) {
    const int64_t count = read_number(name);
    return count > 0 && count < 4096 ? (int32_t)count : 0;
}

void tandem__system_chip(system_chip *chip) {
    read_text("machdep.cpu.brand_string", chip->name, sizeof chip->name);
    read_text("kern.osproductversion", chip->os_version, sizeof chip->os_version);
    read_text("kern.osversion", chip->os_build, sizeof chip->os_build);
    chip->performance_cores = read_count("hw.perflevel0.physicalcpu");
    chip->efficiency_cores = read_count("hw.perflevel1.physicalcpu");
}

/* The port of the host is asked for once: each call would hold another right to it. */
static unsigned int host_port(void) {
    static _Atomic unsigned int port;
    mach_host_self_function *host_self = NULL;
    if (atomic_load(&port) == 0 && find("mach_host_self", &host_self))
        atomic_store(&port, host_self());
    return atomic_load(&port);
}

bool tandem__system_memory(int64_t *bytes, int64_t *available_bytes) {
    host_statistics64_function *statistics = NULL;
    vm_pages pages = {0};
    unsigned int count = sizeof pages / sizeof(int);
    const int64_t total = read_number("hw.memsize");
    if (total <= 0 || !find("host_statistics64", &statistics)) return false;
    if (statistics(host_port(), MACH_HOST_VM_INFO64, (int *)(void *)&pages, &count) != KERN_SUCCESS)
        return false;
    const int64_t available = (int64_t)pages.free + pages.inactive + pages.purgeable;
    *bytes = total;
    *available_bytes = available * (int64_t)sysconf(_SC_PAGESIZE);
    return true;
}

double tandem__system_memory_stall_percent(void) {
    switch (read_number("kern.memorystatus_vm_pressure_level")) {
    case PRESSURE_NORMAL:
        return 0;
    case PRESSURE_WARNING:
        return 15;
    case PRESSURE_CRITICAL:
        return 50;
    default:
        return -1;
    }
}

int32_t tandem__system_speed_percent(void) {
    static const int32_t percent[] = {
        [NS_THERMAL_NOMINAL] = 100,
        [NS_THERMAL_FAIR] = 95,
        [NS_THERMAL_SERIOUS] = 70,
        [NS_THERMAL_CRITICAL] = 40,
    };
    void *library = NULL;
    if (tandem__objc_open("Foundation", &library, NULL) != TANDEM_OK) return -1;
    void *pool = tandem__objc.pool_push();
    const objc_int state = ns_thermal_state(ns_process_info(objc_class("NSProcessInfo")));
    tandem__objc.pool_pop(pool);
    const objc_int count = (objc_int)(sizeof percent / sizeof percent[0]);
    return state >= 0 && state < count ? percent[state] : -1;
}

void tandem__system_thread(system_thread kind) {
    pthread_set_qos_class_self_np_function *set_class = NULL;
    if (find("pthread_set_qos_class_self_np", &set_class)) (void)set_class((unsigned int)kind, 0);
}
