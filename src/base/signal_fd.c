/* SPDX-License-Identifier: Apache-2.0 */
#include "base/signal_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/eventfd.h>
#endif

#include "base/assert.h"
#include "base/fail.h"

tandem_status tandem__signal_fd_open(tandem_signal_fd *signal, tandem_error *err) {
#if defined(__linux__)
    const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) return TANDEM_FAIL(err, IO, "eventfd: %s", strerror(errno));
    *signal = (tandem_signal_fd){.read_fd = fd, .write_fd = fd};
#else
    int fds[2];
    if (pipe(fds) != 0) return TANDEM_FAIL(err, IO, "pipe: %s", strerror(errno));
    for (int i = 0; i < 2; i++) {
        (void)fcntl(fds[i], F_SETFD, FD_CLOEXEC);
        (void)fcntl(fds[i], F_SETFL, O_NONBLOCK);
    }
    *signal = (tandem_signal_fd){.read_fd = fds[0], .write_fd = fds[1]};
#endif
    return TANDEM_OK;
}

void tandem__signal_fd_close(tandem_signal_fd *signal) {
    (void)close(signal->read_fd);
    if (signal->write_fd != signal->read_fd) (void)close(signal->write_fd);
}

void tandem__signal_fd_set(const tandem_signal_fd *signal) {
    const uint64_t one = 1;
    ssize_t written;
    do {
        written = write(signal->write_fd, &one, sizeof one);
    } while (written < 0 && errno == EINTR);
    TANDEM_ASSERT(written == (ssize_t)sizeof one);
}

void tandem__signal_fd_clear(const tandem_signal_fd *signal) {
    uint64_t count;
    ssize_t got;
    do {
        got = read(signal->read_fd, &count, sizeof count);
    } while (got < 0 && errno == EINTR);
    TANDEM_ASSERT(got == (ssize_t)sizeof count);
}

int tandem__signal_fd_get(const tandem_signal_fd *signal) {
    return signal->read_fd;
}
