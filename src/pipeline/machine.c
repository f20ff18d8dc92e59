/* SPDX-License-Identifier: Apache-2.0 */
/* What the machine is: processor, memory, heat, where models lie. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "apple/system.h"
#include "base/cgroup.h"
#include "base/cpu.h"
#include "base/fail.h"
#include "base/hub_cache.h"
#include "base/number.h"
#include "base/str.h"
#include "model/locate.h"
#include "pipeline/pipeline_internal.h"

#define ZONES_MAX   16
#define TRIPS_MAX   8
#define HOT_PERCENT 85

/* A line "Name:   1234 kB" of /proc/meminfo, in bytes; -1 if it has none. */
static int64_t meminfo_bytes(const char *name) {
    FILE *file = fopen("/proc/meminfo", "re");
    if (file == NULL) return -1;
    char line[256];
    int64_t bytes = -1;
    const size_t name_len = strlen(name);
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, name, name_len) != 0) continue;
        bytes = strtoll(line + name_len, NULL, 10) * 1024;
        break;
    }
    (void)fclose(file);
    return bytes;
}

/* What macOS says; else the machine's memory, or what the control groups (cgroup v2) leave of it.
 */
static void describe_memory(tandem_machine *machine) {
    if (tandem__system_memory(&machine->memory_bytes, &machine->memory_available_bytes)) return;
    machine->memory_bytes = meminfo_bytes("MemTotal:");
    machine->memory_available_bytes = meminfo_bytes("MemAvailable:");
    char line[64];
    for (int level = 0; tandem__cgroup_line(level, "memory.max", line, sizeof line); level++) {
        const int64_t limit = strtoll(line, NULL, 10); /* 0 of "max": none */
        if (limit <= 0) continue;
        if (limit < machine->memory_bytes) machine->memory_bytes = limit;
        if (!tandem__cgroup_line(level, "memory.current", line, sizeof line)) continue;
        const int64_t used = strtoll(line, NULL, 10);
        const int64_t left = used < limit ? limit - used : 0;
        if (left < machine->memory_available_bytes) machine->memory_available_bytes = left;
    }
}

/* A file that holds one number; -1 if there is none. */
static int64_t file_number(const char *path) {
    FILE *file = fopen(path, "re");
    if (file == NULL) return -1;
    char line[64] = "";
    char *end = line;
    const bool has_line = fgets(line, sizeof line, file) != NULL;
    (void)fclose(file);
    const int64_t value = has_line ? strtoll(line, &end, 10) : -1;
    return end == line ? -1 : value;
}

/* Whether a zone is past the temperature from which the kernel slows the machine. */
static bool is_zone_hot(int zone) {
    char path[96];
    (void)snprintf(path, sizeof path, "/sys/class/thermal/thermal_zone%d/temp", zone);
    const int64_t temperature = file_number(path);
    for (int trip = 0; temperature > 0 && trip < TRIPS_MAX; trip++) {
        char kind[16] = "";
        (void)snprintf(path, sizeof path, "/sys/class/thermal/thermal_zone%d/trip_point_%d_type",
                       zone, trip);
        FILE *file = fopen(path, "re");
        if (file == NULL) return false;
        if (fgets(kind, sizeof kind, file) == NULL) kind[0] = '\0';
        (void)fclose(file);
        if (strcmp(kind, "passive\n") != 0) continue;
        (void)snprintf(path, sizeof path, "/sys/class/thermal/thermal_zone%d/trip_point_%d_temp",
                       zone, trip);
        const int64_t limit = file_number(path);
        if (limit > 0 && temperature >= limit) return true;
    }
    return false;
}

/* macOS: its thermal state. Linux: the processor's highest frequency allowed now over the highest
 * it has; a thermal zone that is past its passive trip point says that it throttles, not by how
 * much. */
static int32_t speed_limit_percent(void) {
    int32_t percent = tandem__system_speed_percent();
    if (percent >= 0) return percent;
    const int64_t now = file_number("/sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq");
    const int64_t most = file_number("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq");
    if (now > 0 && most > 0) percent = (int32_t)(100 * now / most);
    for (int zone = 0; zone < ZONES_MAX; zone++) {
        if (!is_zone_hot(zone)) continue;
        return percent >= 0 && percent < HOT_PERCENT ? percent : HOT_PERCENT;
    }
    return percent;
}

/* macOS: its memory pressure. PSI: share of the last 10 s in which some task of this control group
 * waited for memory; -1 where the system does not say. */
static double memory_stall_percent(void) {
    const double pressure = tandem__system_memory_stall_percent();
    if (pressure >= 0) return pressure;
    char line[128] = "";
    if (!tandem__cgroup_line(0, "memory.pressure", line, sizeof line) || line[0] == '\0') {
        FILE *file = fopen("/proc/pressure/memory", "re");
        if (file == NULL) return -1;
        if (fgets(line, sizeof line, file) == NULL) line[0] = '\0';
        (void)fclose(file);
    }
    static const char start[] = "some avg10=";
    if (strncmp(line, start, sizeof start - 1) != 0) return -1;
    const tandem_str word = {line + sizeof start - 1, strcspn(line + sizeof start - 1, " ")};
    double percent = 0;
    return tandem__number_parse_double(word, &percent) ? percent : -1;
}

void tandem__machine_look(sched_machine_view *view) {
    tandem_machine machine = {.memory_bytes = -1, .memory_available_bytes = -1};
    describe_memory(&machine);
    *view = (sched_machine_view){.memory_bytes = machine.memory_bytes,
                                 .memory_available_bytes = machine.memory_available_bytes,
                                 .memory_stall_percent = memory_stall_percent(),
                                 .speed_percent = speed_limit_percent()};
}

/* "macOS 15.5 (24F74)", "Linux 6.1.0-18-amd64 #1 SMP ...". */
static void describe_system(const system_chip *chip, char *text, size_t size) {
    struct utsname name;
    if (chip->os_build[0] != '\0')
        (void)snprintf(text, size, "macOS %s (%s)", chip->os_version, chip->os_build);
    else if (uname(&name) == 0)
        (void)snprintf(text, size, "%.20s %.48s %.48s", name.sysname, name.release, name.version);
    else
        text[0] = '\0';
}

static void start_compute_thread(void) {
    tandem__system_thread(SYSTEM_THREAD_COMPUTE);
}

tandem_status tandem__machine_pool(int threads, tandem_pool **pool, tandem_error *err) {
    system_chip chip;
    tandem__system_chip(&chip);
    const int count = tandem__cpu_count();
    if (threads == 0 && chip.performance_cores > 0)
        threads = chip.performance_cores < count ? chip.performance_cores : count;
    tandem__pool_on_start(start_compute_thread);
    return tandem__pool_open(threads, pool, err);
}

void tandem_machine_describe(tandem_machine *machine) {
    *machine = (tandem_machine){
        .processor = tandem__cpu_name(),
        .kernels = tandem__cpu_kernels(),
        .processors = tandem__cpu_count(),
        .memory_bytes = -1,
        .memory_available_bytes = -1,
        .speed_limit_percent = speed_limit_percent(),
    };
    system_chip chip;
    tandem__system_chip(&chip);
    machine->performance_cores = chip.performance_cores;
    machine->efficiency_cores = chip.efficiency_cores;
    describe_system(&chip, machine->system, sizeof machine->system);
    describe_memory(machine);
    char cache[TANDEM_PATH_MAX];
    if (tandem__hub_cache_folder(cache, NULL) == TANDEM_OK) {
        (void)snprintf(machine->model_cache, sizeof machine->model_cache, "%.511s", cache);
    }
}

tandem_status tandem_model_locate(const char *name, char *folder, size_t size, tandem_error *err) {
    char found[TANDEM_PATH_MAX];
    TANDEM_TRY(tandem__model_locate(name, found, err));
    const int need = snprintf(folder, size, "%s", found);
    if (need < 0 || (size_t)need >= size) {
        return TANDEM_FAIL(err, CAPACITY, "%s: path is longer than %zu bytes", found, size);
    }
    return TANDEM_OK;
}
