/* SPDX-License-Identifier: Apache-2.0 */
/* The ane lane's table. Everything that can fail of a model fails in open, in this order: the
 * machine, the plan's flags, the weights, the compiler, the loading of every bucket; so that a lane
 * that is open takes whatever is not longer than its largest bucket. */
#include "backend/coreml/ane_lane.h"

#include <stdio.h>
#include <string.h>

#include "apple/system.h"
#include "backend/coreml/ane_internal.h"
#include "base/fail.h"
#include "base/mem.h"
#include "base/wait.h"

static bool has_dtype(tandem_dtype dtype) {
    return dtype == TANDEM_DTYPE_F16;
}

static void probe(tandem_probe *out) {
    system_chip chip;
    tandem_error err = {.status = TANDEM_OK};
    *out = (tandem_probe){.is_available = tandem__ane_system(&err) == TANDEM_OK};
    if (!out->is_available) {
        (void)snprintf(out->reason, sizeof out->reason, "%.199s", err.message);
        return;
    }
    tandem__system_chip(&chip);
    (void)snprintf(out->device, sizeof out->device, "%s Neural Engine", chip.name);
}

void tandem__ane_lane_free(ane_lane *lane) {
    for (int i = 0; i < ANE_TICKETS_MAX; i++) {
        tandem__mem_free(lane->jobs[i].offsets);
        tandem__mem_free(lane->jobs[i].rows);
    }
    (void)pthread_cond_destroy(&lane->work);
    (void)pthread_cond_destroy(&lane->done);
    (void)pthread_mutex_destroy(&lane->lock);
    tandem__mem_free(lane);
}

/* What the workers do not need goes at once, the rest with the last of them. */
static void close_lane(tandem_lane *opaque) {
    ane_lane *lane = (ane_lane *)(void *)opaque;
    if (lane == NULL) return;
    const bool is_over = tandem__ane_work_close(lane);
    tandem__finish_close(lane->finish);
    tandem__ane_embed_close(&lane->embed);
    if (is_over) tandem__ane_lane_free(lane);
}

static tandem_status make_lane(ane_lane **out, tandem_error *err) {
    ane_lane *lane = tandem__mem_calloc(1, sizeof *lane);
    bool has_conds = lane != NULL && tandem__cond_init(&lane->work);
    if (has_conds && !tandem__cond_init(&lane->done)) {
        (void)pthread_cond_destroy(&lane->work);
        has_conds = false;
    }
    if (!has_conds) {
        tandem__mem_free(lane);
        return TANDEM_FAIL(err, MEMORY, "no memory for the ane lane");
    }
    (void)pthread_mutex_init(&lane->lock, NULL);
    *out = lane;
    return TANDEM_OK;
}

static tandem_status set_limits(ane_lane *lane, const tandem_plan *plan,
                                const tandem_backend_options *options, tandem_error *err) {
    if (options->tokens_max < 1 || options->sequences_max < 1)
        return TANDEM_FAIL(err, INVALID, "a lane of %d tokens and %d sequences",
                           (int)options->tokens_max, (int)options->sequences_max);
    const int32_t longest =
        options->tokens_max < plan->positions_max ? options->tokens_max : plan->positions_max;
    int32_t in_flight = options->in_flight_max;
    if (in_flight < 1) in_flight = 1;
    if (in_flight > ANE_TICKETS_MAX) in_flight = ANE_TICKETS_MAX;
    lane->plan = plan;
    lane->kernels = tandem_kernels_get();
    lane->bucket_count = tandem__ane_buckets(longest, lane->buckets);
    lane->embed_width = (int32_t)plan->word.cols;
    lane->stride = plan->hidden > lane->embed_width ? plan->hidden : lane->embed_width;
    lane->capabilities = (tandem_capabilities){.dtype = TANDEM_DTYPE_F16,
                                               .tokens_max = options->tokens_max,
                                               .sequences_max = options->sequences_max,
                                               .in_flight_max = in_flight,
                                               .buckets = lane->buckets,
                                               .bucket_count = lane->bucket_count};
    return TANDEM_OK;
}

static tandem_status open_jobs(ane_lane *lane, tandem_error *err) {
    const size_t sequences = (size_t)lane->capabilities.sequences_max + 1;
    const size_t floats = (size_t)lane->capabilities.tokens_max * (size_t)lane->stride;
    for (int32_t i = 0; i < lane->capabilities.in_flight_max; i++) {
        ane_job *job = &lane->jobs[i];
        job->offsets = tandem__mem_calloc(sequences, sizeof *job->offsets);
        job->rows = tandem__mem_calloc(floats, sizeof *job->rows);
        if (job->offsets == NULL || job->rows == NULL)
            return TANDEM_FAIL(err, MEMORY, "no memory for a batch of %d tokens",
                               (int)lane->capabilities.tokens_max);
        lane->capabilities.workspace_bytes +=
            (int64_t)(sequences * sizeof *job->offsets + floats * sizeof *job->rows);
    }
    return TANDEM_OK;
}

/* Models that Core ML does not load are not kept. */
static tandem_status load_models(ane_lane *lane, const ane_model *model, const char *build,
                                 bool *is_new, tandem_error *err) {
    TANDEM_TRY(tandem__ane_cache_open(model, build, lane->folder, is_new, err));
    const tandem_status status = tandem__ane_work_open(lane, err);
    if (status != TANDEM_OK) tandem__ane_cache_drop(lane->folder);
    return status;
}

/* Those from the cache are made again, once. */
static tandem_status open_models(ane_lane *lane, const ane_model *model, const char *build,
                                 tandem_error *err) {
    bool is_new = true;
    tandem_error first = {.status = TANDEM_OK};
    tandem_status status = load_models(lane, model, build, &is_new, &first);
    if (status == TANDEM_OK) return TANDEM_OK;
    if (!is_new) return load_models(lane, model, build, &is_new, err);
    if (err != NULL) *err = first;
    return status;
}

static tandem_status open_parts(ane_lane *lane, const ane_model *model, const char *build,
                                const tandem_backend_options *options, tandem_error *err) {
    lane->channels = model->channels;
    TANDEM_TRY(open_jobs(lane, err));
    TANDEM_TRY(tandem__ane_embed_open(lane, err));
    TANDEM_TRY(tandem__finish_open(lane->plan, options, &lane->finish, err));
    TANDEM_TRY(open_models(lane, model, build, err));
    lane->capabilities.weights_bytes = (int64_t)model->weights.bytes + (int64_t)lane->embed.bytes +
                                       tandem__finish_bytes(lane->finish);
    lane->capabilities.workspace_bytes += tandem__finish_workspace_bytes(lane->finish);
    tandem__ane_model_release(model);
    return TANDEM_OK;
}

static tandem_status open_lane(const tandem_plan *plan, const tandem_backend_options *options,
                               tandem_lane **out, tandem_error *err) {
    system_chip chip;
    ane_lane *lane = NULL;
    ane_model *model = NULL;
    if (!has_dtype(options->dtype))
        return TANDEM_FAIL(err, UNSUPPORTED, "the ane lane has the mode f16");
    TANDEM_TRY(tandem__ane_system(err));
    TANDEM_TRY(tandem__plan_check(plan, err));
    tandem__system_chip(&chip);
    TANDEM_TRY(make_lane(&lane, err));
    tandem_status status = set_limits(lane, plan, options, err);
    if (status == TANDEM_OK)
        status = tandem__ane_model_open(plan, lane->buckets, lane->bucket_count, &model, err);
    if (status == TANDEM_OK) status = open_parts(lane, model, chip.os_build, options, err);
    tandem__ane_model_close(model);
    if (status != TANDEM_OK) {
        close_lane((tandem_lane *)(void *)lane);
        return status;
    }
    *out = (tandem_lane *)(void *)lane;
    return TANDEM_OK;
}

static void capabilities(const tandem_lane *opaque, tandem_capabilities *out) {
    *out = ((const ane_lane *)(const void *)opaque)->capabilities;
}

const tandem_backend tandem__backend_ane = {
    .name = "ane",
    .lane_class = TANDEM_CLASS_LATENCY,
    .has_dtype = has_dtype,
    .probe = probe,
    .open = open_lane,
    .capabilities = capabilities,
    .submit = tandem__ane_submit,
    .poll = tandem__ane_poll,
    .wait = tandem__ane_wait,
    .abandon = tandem__ane_abandon,
    .close = close_lane,
    .explain = tandem__ane_explain,
};
