/* SPDX-License-Identifier: Apache-2.0 */
/* The reference's table, and its way through a batch. It finishes inside submit. */
#include "backend/ref/ref.h"

#include <stdio.h>
#include <string.h>

#include "backend/ref/ref_internal.h"
#include "base/cpu.h"
#include "base/fail.h"
#include "base/mem.h"

static bool has_dtype(tandem_dtype dtype) {
    return dtype == TANDEM_DTYPE_F32;
}

static void probe(tandem_probe *out) {
    *out = (tandem_probe){.is_available = true};
    (void)snprintf(out->device, sizeof out->device, "%s, plain C", tandem__cpu_name());
}

static int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* The widest input of a linear map, and of what pooling hands on. */
static int64_t widest_input(const tandem_plan *plan, int64_t pooled_width) {
    int64_t widest = larger(plan->hidden, plan->ffn);
    widest = larger(widest, (int64_t)plan->heads * plan->head_dim);
    widest = larger(widest, plan->lm_dense.weight.rows);
    return larger(larger(widest, plan->word.cols), pooled_width);
}

static int64_t widest_pooled(const tandem_plan *plan) {
    return larger(tandem__plan_pooled_width(plan), plan->head_dense.weight.rows);
}

static tandem_status open_workspace(ref_lane *lane, tandem_error *err) {
    const tandem_plan *plan = lane->plan;
    ref_workspace *ws = &lane->ws;
    const int64_t tokens = lane->capabilities.tokens_max;
    const int64_t hidden = plan->hidden;
    const int64_t inner = (int64_t)plan->heads * plan->head_dim;
    const int64_t threads = tandem__pool_threads(lane->pool);
    ws->pooled_width = (int32_t)widest_pooled(plan);
    const int64_t pooled = (int64_t)lane->capabilities.sequences_max * ws->pooled_width;
    const int64_t lm_width = plan->lm_dense.weight.rows;
    const int64_t logits = plan->lm_decoder.weight.rows + lm_width;
    ws->scratch_len = larger(REF_TOKENS * widest_input(plan, ws->pooled_width),
                             (int64_t)plan->positions_max + plan->head_dim);
    const int64_t floats = tokens * (2 * hidden + larger(hidden, plan->word.cols) + 4 * inner +
                                     2 * (int64_t)plan->ffn) +
                           3 * pooled + REF_TOKENS * logits;
    ws->bytes =
        threads * ws->scratch_len * (int64_t)sizeof(double) + floats * (int64_t)sizeof(float);
    ws->memory = tandem__mem_alloc_aligned((size_t)ws->bytes);
    if (ws->memory == NULL) {
        return TANDEM_FAIL(err, MEMORY, "no memory for a workspace of %lld bytes",
                           (long long)ws->bytes);
    }
    ws->scratch = (double *)(void *)ws->memory;
    ws->x = ws->memory + threads * ws->scratch_len * 2; /* 2 floats a double */
    ws->sum = ws->x + tokens * hidden;
    ws->normed = ws->sum + tokens * hidden;
    ws->query = ws->normed + tokens * larger(hidden, plan->word.cols);
    ws->key = ws->query + tokens * inner;
    ws->value = ws->key + tokens * inner;
    ws->context = ws->value + tokens * inner;
    ws->up = ws->context + tokens * inner;
    ws->gate = ws->up + tokens * plan->ffn;
    ws->pooled = ws->gate + tokens * plan->ffn;
    ws->lm = ws->pooled + 3 * pooled;
    ws->logits = ws->lm + REF_TOKENS * lm_width;
    return TANDEM_OK;
}

static void close_lane(tandem_lane *opaque) {
    ref_lane *lane = (ref_lane *)(void *)opaque;
    if (lane == NULL) return;
    if (lane->ws.memory != NULL) tandem__mem_free_aligned(lane->ws.memory, (size_t)lane->ws.bytes);
    tandem__ref_weights_close(&lane->weights);
    (void)pthread_mutex_destroy(&lane->lock);
    tandem__mem_free(lane);
}

static tandem_status open_lane(const tandem_plan *plan, const tandem_backend_options *options,
                               tandem_lane **out, tandem_error *err) {
    if (!has_dtype(options->dtype))
        return TANDEM_FAIL(err, UNSUPPORTED, "the ref lane computes in f32 alone");
    if (options->tokens_max < 1 || options->sequences_max < 1) {
        return TANDEM_FAIL(err, INVALID, "a lane of %d tokens and %d sequences",
                           (int)options->tokens_max, (int)options->sequences_max);
    }
    TANDEM_TRY(tandem__plan_check(plan, err));
    ref_lane *lane = tandem__mem_calloc(1, sizeof *lane);
    if (lane == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for the ref lane");
    (void)pthread_mutex_init(&lane->lock, NULL);
    lane->plan = plan;
    lane->pool = options->pool;
    lane->capabilities = (tandem_capabilities){.dtype = TANDEM_DTYPE_F32,
                                               .tokens_max = options->tokens_max,
                                               .sequences_max = options->sequences_max,
                                               .in_flight_max = 1,
                                               .is_exact = true,
                                               .is_synchronous = true};
    tandem_status status = open_workspace(lane, err);
    if (status == TANDEM_OK) status = tandem__ref_weights_open(plan, &lane->weights, err);
    if (status != TANDEM_OK) {
        close_lane((tandem_lane *)(void *)lane);
        return status;
    }
    lane->capabilities.weights_bytes = lane->weights.bytes;
    lane->capabilities.workspace_bytes = lane->ws.bytes;
    *out = (tandem_lane *)(void *)lane;
    return TANDEM_OK;
}

static void capabilities(const tandem_lane *opaque, tandem_capabilities *out) {
    *out = ((const ref_lane *)(const void *)opaque)->capabilities;
}

static void forward(ref_lane *lane, const tandem_batch *batch, tandem_output output, float *out) {
    const tandem_plan *plan = lane->plan;
    float *x = lane->ws.x;
    const size_t state = (size_t)batch->tokens * (size_t)plan->hidden;
    const bool wants_states = output == TANDEM_OUTPUT_STATES;
    tandem__ref_embed(lane, batch);
    if (wants_states) memcpy(out, x, state * sizeof *out);
    for (int i = 0; i < plan->layer_count; i++) {
        tandem__ref_layer(lane, batch, i);
        if (wants_states) memcpy(out + (size_t)(i + 1) * state, x, state * sizeof *out);
    }
    tandem__ref_norm(&lane->weights.final_norm, plan->norm_eps, x, batch->tokens, plan->hidden, x);
    if (output == TANDEM_OUTPUT_TOKENS) memcpy(out, x, state * sizeof *out);
    if (output == TANDEM_OUTPUT_POOLED) tandem__ref_pooled(lane, batch, out);
    if (output == TANDEM_OUTPUT_HEAD) tandem__ref_head(lane, batch, out);
    if (output == TANDEM_OUTPUT_SPARSE) tandem__ref_sparse(lane, batch, out);
}

static tandem_status submit(tandem_lane *opaque, const tandem_batch *batch, tandem_output output,
                            float *out, tandem_ticket *ticket, tandem_error *err) {
    ref_lane *lane = (ref_lane *)(void *)opaque;
    TANDEM_TRY(tandem__output_check(lane->plan, output, err));
    TANDEM_TRY(tandem__batch_check(lane->plan, &lane->capabilities, batch, err));
    (void)pthread_mutex_lock(&lane->lock);
    forward(lane, batch, output, out);
    (void)pthread_mutex_unlock(&lane->lock);
    *ticket = atomic_fetch_add_explicit(&lane->tickets, 1, memory_order_relaxed) + 1;
    return TANDEM_OK;
}

static void explain(const tandem_lane *opaque, tandem_step_function *say, void *context) {
    const ref_lane *lane = (const ref_lane *)(const void *)opaque;
    char where[32];
    (void)snprintf(where, sizeof where, "%d threads", tandem__pool_threads(lane->pool));
    say(context, "every step", where, "plain C, sums in double");
}

const tandem_backend tandem__backend_ref = {
    .name = "ref",
    .lane_class = TANDEM_CLASS_NONE,
    .is_trusted = true,
    .has_dtype = has_dtype,
    .probe = probe,
    .open = open_lane,
    .capabilities = capabilities,
    .submit = submit,
    .poll = tandem__synchronous_poll,
    .wait = tandem__synchronous_wait,
    .abandon = tandem__synchronous_abandon,
    .close = close_lane,
    .explain = explain,
};
