/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of Linux control groups (v2). A limit holds for a group and everything below it, so a
 * process is bound by its own group and by each one above. Any thread. */
#ifndef TANDEM_BASE_CGROUP_H
#define TANDEM_BASE_CGROUP_H

#include <stdbool.h>
#include <stddef.h>

/* The first line of `file` ("cpu.max", "memory.max") in this process's group (level 0), the one
 * above it (1), and so on. False where there is no such level; a level without the file gives "".
 * Elsewhere than on Linux there is no level. */
bool tandem__cgroup_line(int level, const char *file, char *line, size_t size);

#endif
