/* SPDX-License-Identifier: Apache-2.0 */
#include "apple/ane_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "support/temp_folder.h"

#define WAIT_NS 30000000000u

char rig_cache[256];

const random_shape rig_shape = {.name = "base",
                                .hidden = 64,
                                .heads = 2,
                                .head_dim = 32,
                                .ffn = 80,
                                .layers = 2,
                                .positions = 100,
                                .types = 2,
                                .storage = TANDEM_DTYPE_F32,
                                .activation = TANDEM_ACTIVATION_GELU_ERF,
                                .pooling = TANDEM_POOLING_MEAN,
                                .position = TANDEM_POSITION_ABSOLUTE};

static char before[4096]; /* "": it was not set */

int rig_cache_make(void **state) {
    const char *base = getenv("XDG_CACHE_HOME");
    (void)state;
    (void)snprintf(before, sizeof before, "%s", base == NULL ? "" : base);
    folder_make(rig_cache);
    return setenv("XDG_CACHE_HOME", rig_cache, 1);
}

int rig_cache_remove(void **state) {
    (void)state;
    folder_remove(rig_cache);
    return before[0] == '\0' ? unsetenv("XDG_CACHE_HOME") : setenv("XDG_CACHE_HOME", before, 1);
}

tandem_status rig_try_open(const tandem_plan *plan, int tokens, int in_flight, tandem_lane **lane,
                           tandem_error *err) {
    const tandem_backend_options options = {.dtype = TANDEM_DTYPE_F16,
                                            .tokens_max = tokens,
                                            .sequences_max = 32,
                                            .in_flight_max = in_flight};
    *err = (tandem_error){.status = TANDEM_OK};
    *lane = NULL;
    return tandem__backend_ane.open(plan, &options, lane, err);
}

tandem_lane *rig_open(const tandem_plan *plan, int tokens) {
    tandem_error err;
    tandem_lane *lane = NULL;
    if (rig_try_open(plan, tokens, 2, &lane, &err) != TANDEM_OK) fail_msg("%s", err.message);
    return lane;
}

tandem_ticket rig_submit(tandem_lane *lane, const tandem_batch *batch, tandem_output output,
                         float *out) {
    tandem_error err = {.status = TANDEM_OK};
    tandem_ticket ticket = 0;
    if (tandem__backend_ane.submit(lane, batch, output, out, &ticket, &err) != TANDEM_OK)
        fail_msg("%s", err.message);
    return ticket;
}

void rig_run(tandem_lane *lane, const tandem_batch *batch, tandem_output output, float *out) {
    tandem_error err = {.status = TANDEM_OK};
    const tandem_ticket ticket = rig_submit(lane, batch, output, out);
    if (tandem__backend_ane.wait(lane, ticket, WAIT_NS, &err) != TANDEM_OK)
        fail_msg("%s", err.message);
}
