/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for signals that are blocked in every thread. */
#ifndef TANDEM_BASE_SIGNAL_WAIT_H
#define TANDEM_BASE_SIGNAL_WAIT_H

#include <signal.h>
#include <stdint.h>

/* The number of the next signal of the set, taken; 0 if none came before `until_ns` of
 * tandem__clock_ns (UINT64_MAX = never), or for no reason. */
int tandem__signal_wait(const sigset_t *signals, uint64_t until_ns);

#endif
