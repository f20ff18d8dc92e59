/* SPDX-License-Identifier: Apache-2.0 */
#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700 /* nftw */
#endif
#include "support/temp_folder.h"

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/file.h"

#define PATH_BYTES 256

void folder_make(char *path) {
    const char *base = getenv("TMPDIR");
    (void)snprintf(path, PATH_BYTES, "%s/tandem-test-XXXXXX",
                   base == NULL || base[0] == '\0' ? "/tmp" : base);
    assert_non_null(mkdtemp(path));
}

static int remove_entry(const char *path, const struct stat *info, int flag, struct FTW *walk) {
    (void)info;
    (void)flag;
    (void)walk;
    return remove(path);
}

void folder_remove(const char *path) {
    assert_int_equal(nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

void folder_write(const char *folder, const char *name, const void *bytes, size_t len) {
    char path[TANDEM_PATH_MAX];
    assert_int_equal(tandem__path_join(folder, name, path, NULL), TANDEM_OK);
    for (char *slash = strchr(path + strlen(folder) + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0700) != 0) assert_int_equal(errno, EEXIST);
        *slash = '/';
    }
    tandem_error err = {0};
    if (tandem__file_write(path, bytes, len, &err) != TANDEM_OK) fail_msg("%s", err.message);
}

void folder_write_text(const char *folder, const char *name, const char *text) {
    folder_write(folder, name, text, strlen(text));
}
