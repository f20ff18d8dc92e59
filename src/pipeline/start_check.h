/* SPDX-License-Identifier: Apache-2.0 */
/* Before a lane whose arithmetic is not of this build takes traffic (tandem_backend.is_trusted), it
 * computes at most 16 tokens beside the reference. A device's compiler may miscompile and its
 * driver may lie; such a lane stays off and says by how much it was wrong.
 *
 * The verdict is kept in a file and holds as long as nothing that it depends on changes: lane,
 * device, number format, weights, processor, system and this program's version. A lane that failed
 * is not even opened then. What could not be computed is no verdict and is not kept. */
#ifndef TANDEM_PIPELINE_START_CHECK_H
#define TANDEM_PIPELINE_START_CHECK_H

#include "backend/backend.h"
#include "base/pool.h"
#include "model/model.h"

typedef struct start_check {
    double cosine_mean;
    double cosine_min;
    double distance_max; /* of a row and the reference's, over the latter's length or 1 */
    double gate_cosine;  /* that the mean has to reach */
    double gate_distance;
    bool is_passed;
    bool is_kept; /* from the file */
} start_check;

/* What a verdict is about; strings are borrowed. */
typedef struct start_check_subject {
    const tandem_backend *backend;
    const char *device;
    const tandem_plan *plan;
    tandem_dtype dtype;
    tandem_pool *pool;
} start_check_subject;

/* Runs it on a lane that is open. An error is the lane's, or the reference's for want of memory. */
tandem_status tandem__start_check_run(const start_check_subject *subject, tandem_lane *lane,
                                      start_check *check, tandem_error *err) TANDEM_NODISCARD;

/* TANDEM_NUMERIC with the figures, for a check that was not passed. */
tandem_status tandem__start_check_fail(const start_check_subject *subject, const start_check *check,
                                       tandem_error *err);

/* start_check_file.c. False: there is no verdict, it is about something else, or the file is
 * damaged. TANDEM_START_CHECK=again in the environment passes it over. */
bool tandem__start_check_load(const start_check_subject *subject, start_check *check);

/* Where the file cannot be written nothing is kept, and the check runs again next time. */
void tandem__start_check_save(const start_check_subject *subject, const start_check *check);

/* The least cosine with the reference that a number format must have; `is_own`: by the kernels of
 * this build (docs/architecture.md, "Numerics"). selftest.c. */
double tandem__gate_cosine(tandem_dtype dtype, bool is_own);

#endif
