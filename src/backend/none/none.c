/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/none/none.h"

#include <stdio.h>

#include "base/fail.h"

static bool has_no_dtype(tandem_dtype dtype) {
    (void)dtype;
    return false;
}

static void probe_missing(tandem_probe *probe, const char *what) {
    *probe = (tandem_probe){.is_available = false};
    (void)snprintf(probe->reason, sizeof probe->reason, "this build has no %s backend", what);
}

static void probe_cuda(tandem_probe *probe) {
    probe_missing(probe, "CUDA");
}

static tandem_status open_nothing(const tandem_plan *plan, const tandem_backend_options *options,
                                  tandem_lane **lane, tandem_error *err) {
    (void)plan;
    (void)options;
    (void)lane;
    return TANDEM_FAIL(err, DEVICE, "this build has no such backend");
}

static void close_nothing(tandem_lane *lane) {
    (void)lane;
}

/* Nothing can be opened, so the functions on a lane are never reached. */
#define NO_BACKEND(word, kind, look)                                                               \
    {                                                                                              \
        .name = word, .lane_class = kind, .has_dtype = has_no_dtype, .probe = look,                \
        .open = open_nothing, .close = close_nothing                                               \
    }

const tandem_backend tandem__backend_no_cuda =
    NO_BACKEND("cuda", TANDEM_CLASS_THROUGHPUT, probe_cuda);
