/* SPDX-License-Identifier: Apache-2.0 */
/* What macOS says of the machine and how it is told of a thread's importance. The functions of
 * libSystem are found by name (objc.h), so this needs none of its headers and compiles everywhere;
 * where there is no libSystem every answer is "not known". Any thread. */
#ifndef TANDEM_APPLE_SYSTEM_H
#define TANDEM_APPLE_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "" and 0: not known. */
typedef struct system_chip {
    char name[64];             /* "Apple M4 Max" */
    char os_version[16];       /* "15.5" */
    char os_build[24];         /* "24F74" */
    int32_t performance_cores; /* of the fastest kind */
    int32_t efficiency_cores;  /* of the second kind */
} system_chip;

void tandem__system_chip(system_chip *chip);

/* Bytes of memory, and of those that are free or can be taken back at once; false, and both
 * untouched, where the system does not say. */
bool tandem__system_memory(int64_t *bytes, int64_t *available_bytes);

/* The memory pressure as Linux' share of time that tasks wait for memory, which the observers know:
 * 0 at normal pressure, 15 at a warning, 50 where it is critical; -1: not known. */
double tandem__system_memory_stall_percent(void);

/* NSProcessInfo's thermal state as a speed limit: 100 nominal, 95 fair (warm, nothing is slowed),
 * 70 serious, 40 critical; -1: not known. The states are Apple's, the numbers ours: the system does
 * not say by how much it slows a chip. */
int32_t tandem__system_speed_percent(void);

typedef enum system_thread {
    SYSTEM_THREAD_COMPUTE = 0x19,  /* somebody waits for it: performance cores */
    SYSTEM_THREAD_OBSERVER = 0x11, /* looks at the machine now and then */
} system_thread;

/* Of the calling thread, until it ends: its quality-of-service class, by which macOS chooses cores
 * and their speed. */
void tandem__system_thread(system_thread kind);

#endif
