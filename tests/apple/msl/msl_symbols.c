/* SPDX-License-Identifier: Apache-2.0 */
/* What the program's symbols and debug information tell, asked of nm and addr2line: which arrays a
 * kernel has in threadgroup memory, and of which line an address is. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apple/msl/msl_internal.h"

enum { ARRAYS_MAX = 64 };

typedef struct symbol_array {
    char name[64];
    char *data;
    size_t bytes;
} symbol_array;

static symbol_array arrays[ARRAYS_MAX];
static int array_count = -1; /* not read yet */

/* The file that `at` was loaded from, and where. */
static const char *image_of(const void *at, char **base) {
    Dl_info info;
    if (dladdr(at, &info) == 0) return NULL;
    *base = info.dli_fbase;
    return strchr(info.dli_fname, '/') == NULL ? "/proc/self/exe" : info.dli_fname;
}

static void read_arrays(char *section, const char *section_end) {
    char command[600];
    char line[600];
    char *base = NULL;
    const char *image = image_of(section, &base);
    array_count = 0;
    if (image == NULL) return;
    (void)snprintf(command, sizeof command, "nm -S '%s'", image);
    FILE *pipe = popen(command, "r");
    while (pipe != NULL && fgets(line, sizeof line, pipe) != NULL && array_count < ARRAYS_MAX) {
        symbol_array *array = &arrays[array_count];
        unsigned long offset;
        unsigned long bytes;
        char kind;
        if (sscanf(line, "%lx %lx %c %63s", &offset, &bytes, &kind, array->name) != 4) continue;
        array->data = base + offset;
        array->bytes = bytes;
        if (array->data >= section && array->data < section_end) array_count++;
    }
    if (pipe != NULL) (void)pclose(pipe);
}

size_t msl__check_add_arrays(const char *kernel, char *section, const char *section_end) {
    char prefix[80]; /* as C++ names a variable of a function */
    size_t total = 0;
    (void)snprintf(prefix, sizeof prefix, "_ZZ%zu%sE", strlen(kernel), kernel);
    if (array_count < 0) read_arrays(section, section_end);
    for (int i = 0; i < array_count; i++) {
        if (strncmp(arrays[i].name, prefix, strlen(prefix)) != 0) continue;
        msl__check_add(&(msl_region){.data = arrays[i].data,
                                     .bytes = arrays[i].bytes,
                                     .space = MSL_SPACE_THREADGROUP,
                                     .index = -1});
        total += arrays[i].bytes;
    }
    return total;
}

void msl__describe(const void *pc, char *text, size_t size) {
    char command[600];
    char line[400];
    char *base = NULL;
    const char *image = pc == NULL ? NULL : image_of(pc, &base);
    text[0] = '\0';
    if (image == NULL) return;
    const unsigned long offset = (unsigned long)((const char *)pc - base) - 1;
    (void)snprintf(command, sizeof command, "addr2line -i -e '%s' 0x%lx", image, offset);
    FILE *pipe = popen(command, "r");
    while (pipe != NULL && fgets(line, sizeof line, pipe) != NULL) {
        char *end = strstr(line, ".metal:");
        if (end == NULL || text[0] != '\0') continue;
        char *name = end;
        while (name > line && name[-1] != '/') name--;
        end += strcspn(end, " \n");
        (void)snprintf(text, size, "%.*s: ", (int)(end - name), name);
    }
    if (pipe != NULL) (void)pclose(pipe);
}
