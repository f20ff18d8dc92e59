/* SPDX-License-Identifier: Apache-2.0 */
#include "hub/hub_layout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"

#define LOCK_POLL_MS 200
#define PART_MAX     255

bool tandem__hub_path_is_safe(const char *path, size_t len) {
    if (len == 0 || len >= TANDEM_HUB_FILE_MAX) return false;
    size_t start = 0;
    size_t folders = 0;
    for (size_t i = 0; i <= len; i++) {
        const unsigned char c = i == len ? '/' : (unsigned char)path[i];
        if (c < ' ' || c == 0x7f || c == '\\' || c == ':') return false;
        if (c != '/') continue;
        const size_t part = i - start;
        const bool is_dots = (part == 1 && path[start] == '.') ||
                             (part == 2 && path[start] == '.' && path[start + 1] == '.');
        if (part == 0 || part > PART_MAX || is_dots) return false;
        start = i + 1;
        folders++;
    }
    return folders <= TANDEM_HUB_DEPTH_MAX + 1;
}

bool tandem__hub_is_hash(const char *text) {
    const size_t len = strspn(text, "0123456789abcdef");
    return text[len] == '\0' && (len == 40 || len == 64);
}

tandem_status tandem__hub_join3(const char *a, const char *b, const char *c, char *out,
                                tandem_error *err) {
    const int need = snprintf(out, TANDEM_PATH_MAX, "%s/%s/%s", a, b, c);
    if (need >= 0 && need < TANDEM_PATH_MAX) return TANDEM_OK;
    return TANDEM_FAIL(err, CAPACITY, "%.200s/%s/%.100s: path is longer than %d bytes", a, b, c,
                       TANDEM_PATH_MAX - 1);
}

tandem_status tandem__hub_make_folders(const char *path, bool is_parent, tandem_error *err) {
    char part[TANDEM_PATH_MAX];
    const size_t len = strlen(path);
    if (len == 0 || len >= sizeof part) {
        return TANDEM_FAIL(err, INVALID, "folder \"%.100s\": empty, or longer than %d bytes", path,
                           TANDEM_PATH_MAX - 1);
    }
    memcpy(part, path, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (part[i] != '/' && part[i] != '\0') continue;
        if (part[i] == '\0' && is_parent) break;
        part[i] = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST && !tandem__file_is_directory(part)) {
            return tandem__fail_errno(err, part, "cannot make the folder");
        }
        if (i < len) part[i] = '/';
    }
    return TANDEM_OK;
}

tandem_status tandem__hub_link(const char *repo_folder, const char *commit, const char *path,
                               const char *etag, tandem_error *err) {
    char snapshot[TANDEM_PATH_MAX];
    char at[TANDEM_PATH_MAX];
    char beside[TANDEM_PATH_MAX];
    char target[3 * (TANDEM_HUB_DEPTH_MAX + 4) + 80] = "../../";
    size_t len = strlen(target);
    for (const char *p = path; *p != '\0'; p++) {
        if (*p != '/') continue;
        memcpy(target + len, "../", 3);
        len += 3;
    }
    (void)snprintf(target + len, sizeof target - len, "blobs/%s", etag);
    TANDEM_TRY(tandem__hub_join3(repo_folder, "snapshots", commit, snapshot, err));
    TANDEM_TRY(tandem__path_join(snapshot, path, at, err));
    char now[sizeof target];
    const ssize_t got = readlink(at, now, sizeof now);
    if (got > 0 && (size_t)got == strlen(target) && memcmp(now, target, (size_t)got) == 0) {
        return TANDEM_OK;
    }
    TANDEM_TRY(tandem__hub_make_folders(at, true, err));
    const int need = snprintf(beside, sizeof beside, "%s.%ld.link", at, (long)getpid());
    if (need < 0 || (size_t)need >= sizeof beside) {
        return TANDEM_FAIL(err, CAPACITY, "%.300s: path is longer than %d bytes", at,
                           TANDEM_PATH_MAX - 1);
    }
    (void)unlink(beside);
    if (symlink(target, beside) != 0) return tandem__fail_errno(err, beside, "cannot link");
    if (rename(beside, at) == 0) return TANDEM_OK;
    const tandem_status status = tandem__fail_errno(err, at, "cannot put the link");
    (void)unlink(beside);
    return status;
}

tandem_status tandem__hub_write_ref(const char *repo_folder, const char *revision,
                                    const char *commit, tandem_error *err) {
    if (strcmp(revision, commit) == 0) return TANDEM_OK;
    char now[TANDEM_HUB_NAME_MAX];
    char path[TANDEM_PATH_MAX];
    tandem_error ignored = {.status = TANDEM_OK};
    const tandem_status status = tandem__hub_read_ref(repo_folder, revision, now, &ignored);
    if (status == TANDEM_OK && strcmp(now, commit) == 0) return TANDEM_OK;
    TANDEM_TRY(tandem__hub_join3(repo_folder, "refs", revision, path, err));
    TANDEM_TRY(tandem__hub_make_folders(path, true, err));
    return tandem__file_write(path, commit, strlen(commit), err);
}

void tandem__hub_tag_cache(const char *cache) {
    static const char text[] = "Signature: 8a477f597d28d172789f06886806bc55\n"
                               "# A cache of models; see https://bford.info/cachedir/\n";
    char path[TANDEM_PATH_MAX];
    tandem_error ignored = {.status = TANDEM_OK};
    if (tandem__path_join(cache, "CACHEDIR.TAG", path, &ignored) != TANDEM_OK) return;
    if (tandem__file_exists(path)) return;
    if (tandem__file_write(path, text, sizeof text - 1, &ignored) != TANDEM_OK) return;
}

/* Whether `fd` is still the file at `path`: Python's filelock may have removed it meanwhile. */
static bool is_at(int fd, const char *path) {
    struct stat held;
    struct stat named;
    return fstat(fd, &held) == 0 && stat(path, &named) == 0 && held.st_ino == named.st_ino &&
           held.st_dev == named.st_dev;
}

tandem_status tandem__hub_lock(const char *cache, const char *repo_folder, const char *file,
                               tandem_hub_lock_kind kind, tandem_hub_watch *watch, int *fd,
                               tandem_error *err) {
    char path[TANDEM_PATH_MAX];
    const char *repo = strrchr(repo_folder, '/');
    const int need =
        snprintf(path, sizeof path, "%s/.locks%s/%s.lock", cache, repo == NULL ? "/" : repo, file);
    if (need < 0 || (size_t)need >= sizeof path) {
        return TANDEM_FAIL(err, CAPACITY, "%.300s/.locks: path is longer than %d bytes", cache,
                           TANDEM_PATH_MAX - 1);
    }
    TANDEM_TRY(tandem__hub_make_folders(path, true, err));
    for (;;) {
        /* 0664: users who share a cache wait for each other's locks. */
        const int handle = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0664);
        if (handle < 0) return tandem__fail_errno(err, path, "cannot open the lock");
        const int how = kind == TANDEM_HUB_LOCK_ALONE ? LOCK_EX : LOCK_SH;
        const bool is_mine = flock(handle, how | LOCK_NB) == 0;
        const int why = errno;
        *fd = handle;
        if (is_mine && is_at(handle, path)) return TANDEM_OK;
        (void)close(handle);
        *fd = -1;
        if (is_mine || why == EINTR) continue;
        if (why != EWOULDBLOCK) return TANDEM_OK; /* a file system without locks */
        if (watch == NULL) {
            return TANDEM_FAIL(err, CAPACITY, "%s: in use by another process", path);
        }
        TANDEM_TRY(
            tandem__hub_watch_sleep(watch, LOCK_POLL_MS, "another process is fetching it", err));
    }
}

void tandem__hub_unlock(int fd) {
    if (fd >= 0) (void)close(fd);
}
