/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"

tandem_status tandem__fail_errno(tandem_error *err, const char *path, const char *what) {
    const int code = errno;
    char reason[128] = "unknown error";
    switch (code) {
    case ENOENT:
        return TANDEM_FAIL(err, NOT_FOUND, "%s: no such file or directory", path);
    case ENOTDIR:
        return TANDEM_FAIL(err, NOT_FOUND, "%s: a part of the path is no directory", path);
    case EACCES:
    case EPERM:
        return TANDEM_FAIL(err, PERMISSION, "%s: %s: permission denied", path, what);
    default:
        break;
    }
    if (strerror_r(code, reason, sizeof reason) != 0) reason[0] = '\0';
    return TANDEM_FAIL(err, IO, "%s: %s: %s (errno %d)", path, what, reason, code);
}

/* O_NONBLOCK: to open a FIFO must not wait for its writer; a regular file does not care. */
static tandem_status open_regular(const char *path, int *fd, size_t *len, tandem_error *err) {
    const int handle = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (handle < 0) return tandem__fail_errno(err, path, "cannot open");
    struct stat info;
    if (fstat(handle, &info) != 0) {
        const tandem_status status = tandem__fail_errno(err, path, "cannot stat");
        (void)close(handle);
        return status;
    }
    if (!S_ISREG(info.st_mode)) {
        (void)close(handle);
        return TANDEM_FAIL(err, INVALID, "%s: is %s, expected a regular file", path,
                           S_ISDIR(info.st_mode) ? "a directory" : "a device, pipe or socket");
    }
    *fd = handle;
    *len = (size_t)info.st_size;
    return TANDEM_OK;
}

tandem_status tandem__file_map(const char *path, tandem_map *map, tandem_error *err) {
    int fd = -1;
    size_t len = 0;
    TANDEM_TRY(open_regular(path, &fd, &len, err));
    void *bytes = NULL;
    if (len > 0) {
        bytes = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);
        if (bytes == MAP_FAILED) {
            const tandem_status status = tandem__fail_errno(err, path, "cannot map");
            (void)close(fd);
            return status;
        }
    }
    (void)close(fd);
    *map = (tandem_map){.bytes = bytes, .len = len};
    return TANDEM_OK;
}

void tandem__file_unmap(tandem_map *map) {
    if (map->bytes != NULL) (void)munmap((void *)(uintptr_t)map->bytes, map->len);
    *map = (tandem_map){0};
}

/* Outwards, to windows of 2 MB: Linux maps along with a page that is read what else of its large
 * folio lies in the page cache, up to a huge page. Parts that are read and released one after the
 * other would leave that behind at their edges (an eighth of a file read by 256 KB, measured). A
 * neighbour that still reads there maps it again. */
void tandem__file_release(const tandem_map *map, size_t offset, size_t len) {
    if (map->bytes == NULL || len == 0 || offset >= map->len) return;
    const uintptr_t window = 2 << 20;
    const uintptr_t first = (uintptr_t)map->bytes; /* at a page; windows count from 0 */
    const uintptr_t last = first + map->len;
    uintptr_t start = (first + offset) & ~(window - 1);
    uintptr_t end = len > map->len - offset ? last : first + offset + len;
    end = (end + window - 1) & ~(window - 1);
    if (start < first) start = first;
    if (end > last) end = last; /* the system rounds up to the file's last page */
    (void)madvise((void *)start, end - start, MADV_DONTNEED);
}

static tandem_status map_new(int fd, const char *path, size_t len, tandem_map *map,
                             tandem_error *err) {
    if (ftruncate(fd, (off_t)len) != 0) return tandem__fail_errno(err, path, "cannot resize");
    void *bytes = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED) return tandem__fail_errno(err, path, "cannot map");
    *map = (tandem_map){.bytes = bytes, .len = len};
    return TANDEM_OK;
}

tandem_status tandem__file_temporary(size_t len, int *fd, tandem_map *map, tandem_error *err) {
    const char *folder = getenv("TMPDIR");
    char path[TANDEM_PATH_MAX];
    if (folder == NULL || folder[0] == '\0') folder = "/tmp";
    TANDEM_TRY(tandem__path_join(folder, "tandem-XXXXXX", path, err));
    const int handle = mkstemp(path);
    if (handle < 0) return tandem__fail_errno(err, folder, "cannot create a temporary file");
    (void)unlink(path);
    const tandem_status status = map_new(handle, path, len, map, err);
    if (status != TANDEM_OK) {
        (void)close(handle);
        return status;
    }
    *fd = handle;
    return TANDEM_OK;
}

static tandem_status read_all(int fd, const char *path, tandem_buffer *out, tandem_error *err) {
    for (;;) {
        TANDEM_TRY(tandem__buffer_reserve(out, 1, err));
        const ssize_t got = read(fd, out->ptr + out->len, out->capacity - out->len);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return tandem__fail_errno(err, path, "cannot read");
        if (got == 0) return TANDEM_OK;
        out->len += (size_t)got;
    }
}

tandem_status tandem__file_read(const char *path, tandem_buffer *out, tandem_error *err) {
    int fd = -1;
    size_t len = 0;
    TANDEM_TRY(open_regular(path, &fd, &len, err));
    tandem_status status = TANDEM_OK;
    if (len >= out->bytes_max - out->len) {
        status = TANDEM_FAIL(err, CAPACITY, "%s: %zu bytes, limit %zu", path, len,
                             out->bytes_max - out->len - 1);
    }
    if (status == TANDEM_OK) status = tandem__buffer_reserve(out, len + 1, err);
    if (status == TANDEM_OK) status = read_all(fd, path, out, err);
    (void)close(fd);
    return status;
}

static tandem_status write_all(int fd, const char *path, const char *bytes, size_t len,
                               tandem_error *err) {
    while (len > 0) {
        const ssize_t put = write(fd, bytes, len);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return tandem__fail_errno(err, path, "cannot write");
        bytes += put;
        len -= (size_t)put;
    }
    if (fsync(fd) != 0) return tandem__fail_errno(err, path, "cannot sync");
    return TANDEM_OK;
}

tandem_status tandem__file_write(const char *path, const void *bytes, size_t len,
                                 tandem_error *err) {
    char beside[TANDEM_PATH_MAX];
    const int need = snprintf(beside, sizeof beside, "%s.%ld.part", path, (long)getpid());
    if (need < 0 || (size_t)need >= sizeof beside) {
        return TANDEM_FAIL(err, CAPACITY, "%s: path is longer than %d bytes", path,
                           TANDEM_PATH_MAX);
    }
    const int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return tandem__fail_errno(err, beside, "cannot create");
    tandem_status status = write_all(fd, beside, bytes, len, err);
    if (close(fd) != 0 && status == TANDEM_OK) {
        status = tandem__fail_errno(err, beside, "cannot close");
    }
    if (status == TANDEM_OK && rename(beside, path) != 0) {
        status = tandem__fail_errno(err, path, "cannot rename");
    }
    if (status != TANDEM_OK) (void)unlink(beside);
    return status;
}

tandem_status tandem__folder_make(const char *path, tandem_error *err) {
    char part[TANDEM_PATH_MAX];
    const size_t len = strlen(path);
    if (len >= sizeof part) {
        return TANDEM_FAIL(err, CAPACITY, "%.100s...: path is longer than %d bytes", path,
                           TANDEM_PATH_MAX - 1);
    }
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0') continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST && !tandem__file_is_directory(part))
            return tandem__fail_errno(err, part, "cannot make the folder");
    }
    return TANDEM_OK;
}

bool tandem__file_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0;
}

bool tandem__file_is_directory(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

tandem_status tandem__path_join(const char *directory, const char *name, char *out,
                                tandem_error *err) {
    const size_t len = strlen(directory);
    const bool has_slash = len > 0 && directory[len - 1] == '/';
    const int need =
        snprintf(out, TANDEM_PATH_MAX, "%s%s%s", directory, has_slash ? "" : "/", name);
    if (need < 0 || need >= TANDEM_PATH_MAX) {
        return TANDEM_FAIL(err, CAPACITY, "%s/%s: path is longer than %d bytes", directory, name,
                           TANDEM_PATH_MAX - 1);
    }
    return TANDEM_OK;
}
