/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/fail.h"

#define PIECE_BYTES       ((size_t)256 << 10)
#define PENDING_BYTES_MAX ((size_t)1 << 40)

/* For the signal handler: the unfinished file, or NULL. One sink with a file is open at a time. */
static const char *volatile unfinished;
static bool is_reader_gone;

bool cli_sink_is_reader_gone(void) {
    return is_reader_gone;
}

static void remove_unfinished(int number) {
    if (unfinished != NULL) (void)unlink(unfinished);
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

static void catch_signals(void) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction old;
        if (sigaction(numbers[i], NULL, &old) != 0 || old.sa_handler == SIG_IGN) continue;
        (void)signal(numbers[i], remove_unfinished);
    }
}

static void open_stdout(cli_sink *sink) {
    struct stat info;
    sink->fd = STDOUT_FILENO;
    sink->name = "standard output";
    const bool is_file = fstat(STDOUT_FILENO, &info) == 0 && S_ISREG(info.st_mode);
    const int flags = fcntl(STDOUT_FILENO, F_GETFL);
    const off_t at = lseek(STDOUT_FILENO, 0, SEEK_CUR);
    sink->is_patchable = is_file && at >= 0 && flags >= 0 && (flags & O_APPEND) == 0;
    sink->start = at;
}

/* The file that a rename has to replace: through symbolic links, so that they stay. */
static tandem_status settle_target(const char *path, cli_sink *sink, tandem_error *err) {
    char real[PATH_MAX];
    const char *target = realpath(path, real) != NULL ? real : path;
    const int need = snprintf(sink->target, sizeof sink->target, "%s", target);
    const int more =
        snprintf(sink->beside, sizeof sink->beside, "%s.%ld.part", target, (long)getpid());
    if (need < 0 || (size_t)need >= sizeof sink->target || more < 0 ||
        (size_t)more >= sizeof sink->beside) {
        return TANDEM_FAIL(err, CAPACITY, "%s: path is longer than %d bytes", path,
                           TANDEM_PATH_MAX - 1);
    }
    return TANDEM_OK;
}

static tandem_status open_file(const char *path, cli_sink *sink, tandem_error *err) {
    struct stat info;
    const bool is_there = stat(path, &info) == 0;
    sink->name = path;
    if (is_there && S_ISDIR(info.st_mode)) {
        return TANDEM_FAIL(err, INVALID, "%s: is a directory, expected a file to write", path);
    }
    if (is_there && !S_ISREG(info.st_mode)) {
        sink->fd = open(path, O_WRONLY | O_CLOEXEC);
        if (sink->fd < 0) return tandem__fail_errno(err, path, "cannot open for writing");
        return TANDEM_OK;
    }
    TANDEM_TRY(settle_target(path, sink, err));
    sink->fd = open(sink->beside, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (sink->fd < 0) return tandem__fail_errno(err, path, "cannot create");
    if (is_there) (void)fchmod(sink->fd, info.st_mode & 07777);
    sink->is_renamed = true;
    sink->is_patchable = true;
    unfinished = sink->beside;
    catch_signals();
    return TANDEM_OK;
}

tandem_status cli_sink_open(const char *path, cli_sink *sink, tandem_error *err) {
    *sink = (cli_sink){.fd = -1};
    tandem__buffer_init(&sink->pending, PENDING_BYTES_MAX);
    if (path == NULL || strcmp(path, "-") == 0)
        open_stdout(sink);
    else
        TANDEM_TRY(open_file(path, sink, err));
    sink->is_open = true;
    return TANDEM_OK;
}

static tandem_status fail_write(const cli_sink *sink, tandem_error *err) {
    if (errno == EPIPE && sink->fd == STDOUT_FILENO) is_reader_gone = true;
    return tandem__fail_errno(err, sink->name, "cannot write");
}

tandem_status cli_sink_flush(cli_sink *sink, tandem_error *err) {
    const char *at = sink->pending.ptr;
    size_t left = sink->pending.len;
    while (left > 0) {
        const ssize_t put = write(sink->fd, at, left);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return fail_write(sink, err);
        at += put;
        left -= (size_t)put;
    }
    sink->pending.len = 0;
    return TANDEM_OK;
}

tandem_status cli_sink_settle(cli_sink *sink, tandem_error *err) {
    return sink->pending.len < PIECE_BYTES ? TANDEM_OK : cli_sink_flush(sink, err);
}

tandem_status cli_sink_patch(cli_sink *sink, size_t offset, const void *bytes, size_t len,
                             tandem_error *err) {
    TANDEM_ASSERT(sink->is_patchable);
    TANDEM_ASSERT(sink->pending.len == 0);
    const char *at = bytes;
    off_t to = sink->start + (off_t)offset;
    while (len > 0) {
        const ssize_t put = pwrite(sink->fd, at, len, to);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return fail_write(sink, err);
        at += put;
        to += put;
        len -= (size_t)put;
    }
    return TANDEM_OK;
}

tandem_status cli_sink_commit(cli_sink *sink, tandem_error *err) {
    TANDEM_ASSERT(sink->is_open);
    TANDEM_TRY(cli_sink_flush(sink, err));
    if (sink->fd == STDOUT_FILENO) return TANDEM_OK;
    if (sink->is_renamed && fsync(sink->fd) != 0) {
        return tandem__fail_errno(err, sink->name, "cannot sync");
    }
    const int fd = sink->fd;
    sink->fd = -1;
    if (close(fd) != 0) return tandem__fail_errno(err, sink->name, "cannot close");
    if (!sink->is_renamed) return TANDEM_OK;
    if (rename(sink->beside, sink->target) != 0) {
        return tandem__fail_errno(err, sink->name, "cannot rename");
    }
    unfinished = NULL;
    sink->is_renamed = false;
    return TANDEM_OK;
}

void cli_sink_close(cli_sink *sink) {
    if (!sink->is_open) return;
    if (sink->fd >= 0 && sink->fd != STDOUT_FILENO) (void)close(sink->fd);
    if (sink->is_renamed) (void)unlink(sink->beside);
    if (unfinished == sink->beside) unfinished = NULL;
    tandem__buffer_deinit(&sink->pending);
    *sink = (cli_sink){.fd = -1};
}
