/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest program that a user of the library may write: it must build against an installed
 * copy and run. */
#include <stdio.h>
#include <string.h>

#include <tandem/tandem.h>

int main(void) {
    tandem_lane_info lanes[TANDEM_LANES_MAX];
    const int count = tandem_lanes(NULL, lanes);
    printf("tandem %s, %d lanes, first %s\n", tandem_version(), count, lanes[0].name);
    return count > 0 && strcmp(tandem_status_text(TANDEM_OK), "ok") == 0 ? 0 : 1;
}
