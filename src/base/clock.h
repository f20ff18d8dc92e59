/* SPDX-License-Identifier: Apache-2.0 */
/* Monotonic time, in nanoseconds since an unnamed moment. Any thread. */
#ifndef TANDEM_BASE_CLOCK_H
#define TANDEM_BASE_CLOCK_H

#include <stdint.h>

uint64_t tandem__clock_ns(void);

#endif
