/* SPDX-License-Identifier: Apache-2.0 */
/* The 16-lane order of row sums (kernels.h) in plain C, for the portable kernels. */
#ifndef TANDEM_KERNELS_LANES_H
#define TANDEM_KERNELS_LANES_H

#define TANDEM_LANES 16

static inline float tandem__lanes_fold_add(float lanes[TANDEM_LANES]) {
    for (int width = TANDEM_LANES / 2; width >= 1; width /= 2) {
        for (int i = 0; i < width; i++) lanes[i] += lanes[i + width];
    }
    return lanes[0];
}

#endif
