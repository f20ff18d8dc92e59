/* SPDX-License-Identifier: Apache-2.0 */
/* Files: read-only mappings, small reads, atomic writes, paths. Errors name the path and say what
 * the system said. Any thread. */
#ifndef TANDEM_BASE_FILE_H
#define TANDEM_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/str.h"
#include "tandem/status.h"

#define TANDEM_PATH_MAX 4096 /* bytes, the NUL included */

/* A whole regular file, mapped private and read-only. An empty file has bytes == NULL. */
typedef struct tandem_map {
    const uint8_t *bytes;
    size_t len;
} tandem_map;

tandem_status tandem__file_map(const char *path, tandem_map *map,
                               tandem_error *err) TANDEM_NODISCARD;
void tandem__file_unmap(tandem_map *map);

/* Tells the system that [offset, offset + len) is not needed now: its pages leave the resident set,
 * and come back from the file if they are read again. So do the pages around it, up to 2 MB, which
 * the system may have mapped along with a page that was read. */
void tandem__file_release(const tandem_map *map, size_t offset, size_t len);

/* A file without a name in $TMPDIR (else /tmp), `len` > 0 bytes long, mapped read-only: what is
 * written to `fd` shows in the map. The caller closes `fd` when all is written; the file is gone
 * when the map is. */
tandem_status tandem__file_temporary(size_t len, int *fd, tandem_map *map,
                                     tandem_error *err) TANDEM_NODISCARD;

/* Appends the file's bytes to `out`; TANDEM_CAPACITY over out's ceiling. */
tandem_status tandem__file_read(const char *path, tandem_buffer *out,
                                tandem_error *err) TANDEM_NODISCARD;

/* Writes beside the target and renames, so that readers see the old file or the new one whole.
 * The data is on disk when this returns. */
tandem_status tandem__file_write(const char *path, const void *bytes, size_t len,
                                 tandem_error *err) TANDEM_NODISCARD;

/* The folder and those above it; nothing where it is there. */
tandem_status tandem__folder_make(const char *path, tandem_error *err) TANDEM_NODISCARD;

bool tandem__file_exists(const char *path);
bool tandem__file_is_directory(const char *path);

/* "a/b" into `out` of TANDEM_PATH_MAX bytes; TANDEM_CAPACITY if it does not fit. */
tandem_status tandem__path_join(const char *directory, const char *name, char *out,
                                tandem_error *err) TANDEM_NODISCARD;

/* TANDEM_IO, TANDEM_NOT_FOUND or TANDEM_PERMISSION from errno, "path: what: reason". */
tandem_status tandem__fail_errno(tandem_error *err, const char *path, const char *what);

#endif
