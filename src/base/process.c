/* SPDX-License-Identifier: Apache-2.0 */
#include "base/process.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>
#ifdef __APPLE__
#include <mach/mach.h>
#endif

#ifdef __APPLE__
#define OPEN_FILES "/dev/fd"

static int64_t resident_bytes(void) {
    mach_task_basic_info_data_t info;
    mach_msg_type_number_t count = MACH_TASK_BASIC_INFO_COUNT;
    if (task_info(mach_task_self(), MACH_TASK_BASIC_INFO, (task_info_t)&info, &count) !=
        KERN_SUCCESS) {
        return -1;
    }
    return (int64_t)info.resident_size;
}

#else
#define OPEN_FILES "/proc/self/fd"

static int64_t resident_bytes(void) {
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL) return -1;
    long long size = 0;
    long long resident = -1;
    const int read = fscanf(file, "%lld %lld", &size, &resident);
    (void)fclose(file);
    return read == 2 ? (int64_t)resident * sysconf(_SC_PAGESIZE) : -1;
}

#endif

static int64_t open_files(void) {
    DIR *folder = opendir(OPEN_FILES);
    if (folder == NULL) return -1;
    int64_t count = -1; // the folder itself is open too
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
        count += entry->d_name[0] != '.';
    (void)closedir(folder);
    return count;
}

static double seconds_of(struct timeval time) {
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

void tandem__process_describe(tandem_process *process) {
    *process = (tandem_process){
        .resident_bytes = resident_bytes(), .open_files = open_files(), .cpu_s = -1};
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        process->cpu_s = seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}
