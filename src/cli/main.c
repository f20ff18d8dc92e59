/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

int main(void) {
    (void)puts("tandem 0.1.0");
    return 0;
}
