/* SPDX-License-Identifier: Apache-2.0 */
/* What a simdgroup does together, when all its lanes wait for it: sums and largest values, values
 * of another lane, products of 8 x 8 matrices, and the question whether all gave the same address.
 */
#include <stddef.h>

#include "apple/msl/msl_device.h"
#include "apple/msl/msl_internal.h"

static void exchange_values(msl_fiber *lanes, unsigned count) {
    float values[MSL_LANES];
    bool is_there[MSL_LANES] = {false};
    for (unsigned i = 0; i < count; i++) {
        values[i] = lanes[i].value;
        is_there[i] = !lanes[i].is_done;
    }
    for (unsigned i = 0; i < count; i++) {
        if (lanes[i].operation != MSL_SHUFFLE_XOR || lanes[i].is_done) continue;
        const unsigned from = i ^ lanes[i].argument;
        if (from >= count || !is_there[from]) {
            msl__fail(lanes[i].pc, "lane %u takes a value of lane %u, which has ended", i, from);
            return;
        }
        lanes[i].value = values[from];
    }
    for (unsigned half = MSL_LANES / 2; half > 0; half /= 2) { /* as a tree */
        for (unsigned i = 0; i < half && i + half < MSL_LANES; i++) {
            if (!is_there[i + half]) continue;
            const float other = values[i + half];
            const bool is_max = lanes[0].operation == MSL_MAX;
            const float joined =
                is_max ? (values[i] > other ? values[i] : other) : values[i] + other;
            values[i] = is_there[i] ? joined : other;
            is_there[i] = true;
        }
    }
    for (unsigned i = 0; i < count; i++) {
        if (lanes[i].operation == MSL_SUM || lanes[i].operation == MSL_MAX)
            lanes[i].value = values[0];
    }
}

/* Elements (row, col) and (row, col + 1) of a matrix are lane l's: see the stand-in. */
static unsigned row_of(unsigned lane) {
    return (lane / 4 & 4) + lane / 2 % 4;
}

static unsigned col_of(unsigned lane) {
    return (lane / 4 & 2) * 2 + lane % 2 * 2;
}

static void multiply_matrices(msl_fiber *lanes) {
    float a[8][8];
    float b[8][8];
    for (unsigned i = 0; i < MSL_LANES; i++) {
        for (unsigned k = 0; k < 2; k++) {
            a[row_of(i)][col_of(i) + k] = lanes[i].in[k];
            b[row_of(i)][col_of(i) + k] = lanes[i].in[2 + k];
        }
    }
    for (unsigned i = 0; i < MSL_LANES; i++) {
        const unsigned col = col_of(i);
        float sum[2] = {lanes[i].in[4], lanes[i].in[5]};
        for (unsigned k = 0; k < 8; k++) {
            sum[0] += a[row_of(i)][k] * b[k][col];
            sum[1] += a[row_of(i)][k] * b[k][col + 1];
        }
        lanes[i].out[0] = sum[0];
        lanes[i].out[1] = sum[1];
    }
}

void msl__exchange(msl_fiber *lanes, unsigned count, unsigned live) {
    const int operation = lanes[0].operation;
    if (operation < MSL_MULTIPLY) {
        exchange_values(lanes, count);
    } else if (live != MSL_LANES) {
        msl__fail(lanes[0].pc, "an operation on a matrix with %u of 32 lanes", live);
    } else if (operation == MSL_MULTIPLY) {
        multiply_matrices(lanes);
    } else {
        for (unsigned i = 1; i < count; i++) {
            if (lanes[i].values[0] != lanes[0].values[0] ||
                lanes[i].values[1] != lanes[0].values[1]) {
                msl__fail(lanes[i].pc, "lanes 0 and %u give a matrix different addresses", i);
            }
        }
    }
}
