/* SPDX-License-Identifier: Apache-2.0 */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

void tandem__assert_fail(const char *condition, const char *file, int line) {
    (void)fprintf(stderr, "tandem: assertion failed: %s (%s:%d)\n", condition, file, line);
    abort();
}
