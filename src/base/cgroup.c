/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cgroup.h"

#include <stdio.h>
#include <string.h>

#define CGROUP_ROOT    "/sys/fs/cgroup"
#define PATH_BYTES_MAX 1024

/* The group's path below the root: what follows "0::" in /proc/self/cgroup; "/" in a container
 * that has its own view. */
static bool own_group(char *path, size_t size) {
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (file == NULL) return false;
    char line[PATH_BYTES_MAX] = "";
    bool is_found = false;
    while (!is_found && fgets(line, sizeof line, file) != NULL) {
        is_found = strncmp(line, "0::/", 4) == 0;
    }
    (void)fclose(file);
    if (!is_found) return false;
    line[strcspn(line, "\n")] = '\0';
    const int need = snprintf(path, size, "%s", line + 3);
    return need >= 0 && (size_t)need < size;
}

bool tandem__cgroup_line(int level, const char *file, char *line, size_t size) {
    char group[PATH_BYTES_MAX];
    if (!own_group(group, sizeof group)) return false;
    for (int i = 0; i < level; i++) {
        if (strcmp(group, "/") == 0) return false;
        char *slash = strrchr(group, '/');
        slash[slash == group ? 1 : 0] = '\0';
    }
    char path[2 * PATH_BYTES_MAX];
    (void)snprintf(path, sizeof path, CGROUP_ROOT "%s/%s", group, file);
    line[0] = '\0';
    FILE *limit = fopen(path, "re");
    if (limit == NULL) return true;
    if (fgets(line, (int)size, limit) == NULL) line[0] = '\0';
    (void)fclose(limit);
    return true;
}
