/* SPDX-License-Identifier: Apache-2.0 */
/* The table of backends. A new backend: its folder, a line here, a line in CMakeLists.txt. */
#include "backend/backend.h"

#include <string.h>

#include "backend/coreml/ane_lane.h"
#include "backend/cpu/cpu_lane.h"
#include "backend/metal/metal_lane.h"
#include "backend/none/none.h"
#include "backend/ref/ref.h"
#include "base/assert.h"

static const tandem_backend *const backends[] = {
    &tandem__backend_ane, &tandem__backend_metal, &tandem__backend_no_cuda,
    &tandem__backend_cpu, &tandem__backend_ref,
};

const tandem_backend *const *tandem__backends(int *count) {
    *count = (int)(sizeof backends / sizeof backends[0]);
    return backends;
}

const tandem_backend *tandem__backend_find(const char *name) {
    for (size_t i = 0; i < sizeof backends / sizeof backends[0]; i++) {
        if (strcmp(backends[i]->name, name) == 0) return backends[i];
    }
    return NULL;
}

tandem_status tandem__synchronous_poll(tandem_lane *lane, tandem_ticket ticket, bool *is_done,
                                       tandem_error *err) {
    (void)lane;
    (void)err;
    TANDEM_ASSERT(ticket != 0);
    *is_done = true;
    return TANDEM_OK;
}

tandem_status tandem__synchronous_wait(tandem_lane *lane, tandem_ticket ticket, uint64_t timeout_ns,
                                       tandem_error *err) {
    (void)lane;
    (void)timeout_ns;
    (void)err;
    TANDEM_ASSERT(ticket != 0);
    return TANDEM_OK;
}

void tandem__synchronous_abandon(tandem_lane *lane, tandem_ticket ticket) {
    (void)lane;
    (void)ticket;
}
