/* SPDX-License-Identifier: Apache-2.0 */
/* Guarded memory and values of kernelcheck. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"
#include "kernelcheck.h"

enum { SLOT_BYTES = 8 << 20, CANARY_BYTES = 64, FILL = 0xa5 };

static unsigned char *slot_end[KC_SLOT_COUNT];
static size_t slot_used[KC_SLOT_COUNT];

static void open_slots(void) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; i < KC_SLOT_COUNT; i++) {
        unsigned char *map = mmap(NULL, SLOT_BYTES + page, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        TANDEM_ASSERT(map != MAP_FAILED);
        slot_end[i] = map + SLOT_BYTES;
        TANDEM_ASSERT(mprotect(slot_end[i], page, PROT_NONE) == 0);
    }
}

void *kc_buffer(kc_slot slot, size_t bytes) {
    if (slot_end[0] == NULL) open_slots();
    TANDEM_ASSERT(bytes + CANARY_BYTES <= SLOT_BYTES);
    slot_used[slot] = bytes;
    memset(slot_end[slot] - bytes - CANARY_BYTES, FILL, bytes + CANARY_BYTES);
    return slot_end[slot] - bytes;
}

bool kc_untouched(const void *at, size_t bytes) {
    const unsigned char *p = at;
    for (size_t i = 0; i < bytes; i++) {
        if (p[i] != FILL) return false;
    }
    return true;
}

void kc_check_canary(kc_slot slot) {
    if (!kc_untouched(slot_end[slot] - slot_used[slot] - CANARY_BYTES, CANARY_BYTES)) {
        kc_fail("wrote before the start of its buffer");
    }
}

void kc_fill(float *x, size_t n, kc_values kind) {
    for (size_t i = 0; i < n; i++) {
        const float unit = (float)kc_random() * 0x1p-31f - 1.0f;
        switch (kind) {
        case KC_NORMAL:
            x[i] = 2.0f * unit;
            break;
        case KC_ZEROS:
            x[i] = unit < 0.0f ? -0.0f : 0.0f;
            break;
        case KC_DENORMAL:
            x[i] = unit * 1e-39f;
            break;
        case KC_LARGE:
            x[i] = unit * 1e15f;
            break;
        case KC_MIXED:
            x[i] = ldexpf(unit, kc_random_int(33) - 20);
            break;
        case KC_VALUES_COUNT:
            TANDEM_ASSERT(kind < KC_VALUES_COUNT);
        }
    }
}

bool kc_close(const char *what, long at, float got, double want, double bound) {
    kc_count();
    const double value = (double)got;
    bool is_close;
    if (isnan(want))
        is_close = isnan(value);
    else if (isinf(want) || isinf(value))
        is_close = value == want;
    else
        is_close = fabs(value - want) <= bound;
    if (!is_close)
        kc_fail("%s at %ld: %.9g, expected %.9g within %.3g", what, at, value, want, bound);
    return is_close;
}

bool kc_same(const char *what, const float *got, const float *want, size_t n) {
    kc_count();
    for (size_t i = 0; i < n; i++) {
        if (isnan(got[i]) && isnan(want[i])) continue;
        if (memcmp(&got[i], &want[i], sizeof(float)) == 0) continue;
        kc_fail("%s at %zu: %.9g, expected the bits of %.9g", what, i, (double)got[i],
                (double)want[i]);
        return false;
    }
    return true;
}
