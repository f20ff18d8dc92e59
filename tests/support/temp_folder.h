/* SPDX-License-Identifier: Apache-2.0 */
/* A temporary folder for one test. Failures of these helpers fail the running test. */
#ifndef TANDEM_TESTS_SUPPORT_TEMP_FOLDER_H
#define TANDEM_TESTS_SUPPORT_TEMP_FOLDER_H

#include <stddef.h>

/* A new empty folder below $TMPDIR or /tmp; `path` has 256 bytes. */
void folder_make(char *path);

/* Removes the folder and everything in it. */
void folder_remove(const char *path);

/* Writes `folder`/`name`, making the folders on the way. */
void folder_write(const char *folder, const char *name, const void *bytes, size_t len);
void folder_write_text(const char *folder, const char *name, const char *text);

#endif
