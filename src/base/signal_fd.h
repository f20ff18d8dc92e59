/* SPDX-License-Identifier: Apache-2.0 */
/* A file descriptor that is readable from set to clear, for poll and event loops: an eventfd on
 * Linux, a pipe elsewhere. The owner locks. */
#ifndef TANDEM_BASE_SIGNAL_FD_H
#define TANDEM_BASE_SIGNAL_FD_H

#include "tandem/status.h"

typedef struct tandem_signal_fd {
    int read_fd;
    int write_fd; /* the same for an eventfd */
} tandem_signal_fd;

tandem_status tandem__signal_fd_open(tandem_signal_fd *signal, tandem_error *err) TANDEM_NODISCARD;
void tandem__signal_fd_close(tandem_signal_fd *signal);
void tandem__signal_fd_set(const tandem_signal_fd *signal);
void tandem__signal_fd_clear(const tandem_signal_fd *signal);
int tandem__signal_fd_get(const tandem_signal_fd *signal);

#endif
