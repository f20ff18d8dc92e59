/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bytes_text.h"

#include <stdio.h>

tandem_bytes_text tandem__bytes_text(int64_t bytes) {
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB", "PB", "EB"};
    tandem_bytes_text out;
    double value = (double)bytes;
    size_t unit = 0;
    /* 999.95 would be shown as 1000.0 */
    for (; value >= 999.95 && unit + 1 < sizeof units / sizeof units[0]; unit++) value /= 1000.0;
    (void)snprintf(out.text, sizeof out.text, "%.*f %s", unit == 0 ? 0 : 1, value, units[unit]);
    return out;
}
