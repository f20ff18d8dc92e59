/* SPDX-License-Identifier: Apache-2.0 */
/* What this process uses of the machine. Any thread. */
#ifndef TANDEM_BASE_PROCESS_H
#define TANDEM_BASE_PROCESS_H

#include <stdint.h>

typedef struct tandem_process {
    int64_t resident_bytes; /* -1 = the system does not say, here and below */
    int64_t open_files;
    double cpu_s; /* user and system, since it started */
} tandem_process;

void tandem__process_describe(tandem_process *process);

#endif
