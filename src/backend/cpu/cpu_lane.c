/* SPDX-License-Identifier: Apache-2.0 */
/* The cpu lane's table. submit computes on the caller's thread and the pool's and is done when it
 * returns; callers take turns. Nothing is allocated after open. */
#include "backend/cpu/cpu_lane.h"

#include <stdio.h>
#include <string.h>

#include "backend/cpu/cpu_internal.h"
#include "base/assert.h"
#include "base/cpu.h"
#include "base/fail.h"
#include "base/mem.h"

/* i8 where the processor has instructions for it: plain C is slower than f16. */
static bool has_dtype(tandem_dtype dtype) {
    if (dtype != TANDEM_DTYPE_I8) return dtype == TANDEM_DTYPE_F32 || dtype == TANDEM_DTYPE_F16;
    tandem_gemm_i8_kernels kernels;
    tandem_gemm_i8_fill(&kernels, tandem__cpu_flags());
    return kernels.is_fast;
}

static void probe(tandem_probe *out) {
    *out = (tandem_probe){.is_available = true};
    (void)snprintf(out->device, sizeof out->device, "%s, %d threads, %s", tandem__cpu_name(),
                   tandem__cpu_count(), tandem__cpu_kernels());
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

/* Rows whose widest activations take three quarters of the second-level cache. */
static int row_block_of(int ffn) {
    const size_t rows = tandem__cpu_l2_bytes() / 4 * 3 / (sizeof(float) * (size_t)ffn);
    return rows < 24 ? 24 : rows > 192 ? 192 : (int)rows;
}

static void set_sizes(cpu_lane *lane) {
    const tandem_plan *plan = lane->plan;
    const size_t inner = (size_t)plan->heads * (size_t)plan->head_dim;
    for (int i = 0; i < plan->layer_count; i++)
        lane->has_gate = lane->has_gate || plan->layers[i].gate.weight.data != NULL;
    lane->strides = (cpu_strides){
        .x = tandem__row_stride((size_t)plan->hidden),
        .qkv = tandem__row_stride(3 * inner),
        .context = tandem__row_stride(inner),
        .ffn = tandem__row_stride(larger((size_t)plan->ffn, (size_t)plan->word.cols))};
    lane->row_block = row_block_of(plan->ffn);
}

/* The next part of the workspace; NULL while the sizes are only added up. */
static void *carve(cpu_workspace *ws, size_t bytes) {
    void *part = ws->memory == NULL ? NULL : ws->memory + ws->bytes;
    ws->bytes += (bytes + TANDEM_ALIGNMENT - 1) / TANDEM_ALIGNMENT * TANDEM_ALIGNMENT;
    return part;
}

/* One allocation:
 *
 *     [positions][group offsets][group order][unfinished][scratch 1..threads][frames] */
static void place_workspace(cpu_lane *lane) {
    cpu_workspace *ws = &lane->ws;
    const size_t tokens = (size_t)lane->capabilities.tokens_max;
    const size_t sequences = (size_t)lane->capabilities.sequences_max;
    ws->bytes = 0;
    ws->positions = carve(ws, tokens * sizeof(int32_t));
    ws->group_offsets = carve(ws, (sequences + 1) * sizeof(int32_t));
    ws->group_order = carve(ws, sequences * sizeof(int32_t));
    ws->unfinished = carve(ws, (size_t)ws->blocks_max * sizeof *ws->unfinished);
    ws->scratch = carve(ws, (size_t)lane->threads * ws->scratch_bytes);
    ws->frames = carve(ws, ws->frame_bytes);
}

static tandem_status open_workspace(cpu_lane *lane, tandem_error *err) {
    cpu_workspace *ws = &lane->ws;
    const tandem_plan *plan = lane->plan;
    const int tokens = lane->capabilities.tokens_max;
    const int longest = tokens < plan->positions_max ? tokens : plan->positions_max;
    ws->blocks_max = (tokens + lane->row_block - 1) / lane->row_block;
    ws->scratch_bytes = tandem_attention_scratch_bytes(longest, plan->head_dim);
    ws->frame_bytes = tandem__cpu_frames_bytes(lane, tokens);
    place_workspace(lane); /* sizes */
    ws->memory = tandem__mem_alloc_aligned(ws->bytes);
    if (ws->memory == NULL)
        return TANDEM_FAIL(err, MEMORY, "no memory for a workspace of %zu bytes", ws->bytes);
    place_workspace(lane);
    return TANDEM_OK;
}

static void close_lane(tandem_lane *opaque) {
    cpu_lane *lane = (cpu_lane *)(void *)opaque;
    if (lane == NULL) return;
    if (lane->ws.memory != NULL) tandem__mem_free_aligned(lane->ws.memory, lane->ws.bytes);
    tandem__finish_close(lane->finish);
    tandem__cpu_positions_close(lane);
    tandem__cpu_weights_close(&lane->weights);
    (void)pthread_mutex_destroy(&lane->lock);
    tandem__mem_free(lane);
}

static tandem_status check_options(const tandem_plan *plan, const tandem_backend_options *options,
                                   tandem_error *err) {
    if (!has_dtype(options->dtype)) {
        return TANDEM_FAIL(err, UNSUPPORTED,
                           "the cpu lane has the modes f32 and f16, and i8 on a processor with "
                           "AVX-512 VNNI or Arm's dot products");
    }
    if (options->tokens_max < 1 || options->sequences_max < 1) {
        return TANDEM_FAIL(err, INVALID, "a lane of %d tokens and %d sequences",
                           (int)options->tokens_max, (int)options->sequences_max);
    }
    TANDEM_TRY(tandem__plan_check(plan, err));
    const int inner = plan->heads * plan->head_dim;
    const int widest = plan->ffn > inner ? plan->ffn : inner;
    if (options->dtype == TANDEM_DTYPE_I8 && widest > TANDEM_GEMM_I8_K_MAX) {
        return TANDEM_FAIL(err, UNSUPPORTED, "a layer %d wide, i8 takes at most %d", widest,
                           TANDEM_GEMM_I8_K_MAX);
    }
    return TANDEM_OK;
}

static tandem_status open_lane(const tandem_plan *plan, const tandem_backend_options *options,
                               tandem_lane **out, tandem_error *err) {
    TANDEM_TRY(check_options(plan, options, err));
    cpu_lane *lane = tandem__mem_calloc(1, sizeof *lane);
    if (lane == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for the cpu lane");
    (void)pthread_mutex_init(&lane->lock, NULL);
    lane->plan = plan;
    lane->pool = options->pool;
    lane->threads = tandem__pool_threads(options->pool);
    tandem_kernels_fill(&lane->kernels, tandem__cpu_flags());
    lane->capabilities = (tandem_capabilities){.dtype = options->dtype,
                                               .tokens_max = options->tokens_max,
                                               .sequences_max = options->sequences_max,
                                               .in_flight_max = 1,
                                               .is_synchronous = true};
    TANDEM_ASSERT(options->dtype != TANDEM_DTYPE_I8 ||
                  lane->kernels.gemm_i8.nr == lane->kernels.gemm.nr);
    lane->storage = options->dtype == TANDEM_DTYPE_I8 ? TANDEM_DTYPE_F16 : options->dtype;
    set_sizes(lane);
    if (options->dtype != TANDEM_DTYPE_I8) tandem__cpu_sgemm_choose(lane);
    lane->capabilities.is_exact = lane->sgemm == NULL;
    tandem_status status = open_workspace(lane, err);
    if (status == TANDEM_OK) status = tandem__cpu_weights_open(lane, err);
    if (status == TANDEM_OK) status = tandem__finish_open(plan, options, &lane->finish, err);
    if (status == TANDEM_OK) status = tandem__cpu_positions_open(lane, err);
    if (status != TANDEM_OK) {
        close_lane((tandem_lane *)(void *)lane);
        return status;
    }
    lane->capabilities.weights_bytes = (int64_t)(lane->weights.bytes + lane->weights.table.bytes) +
                                       tandem__finish_bytes(lane->finish);
    lane->capabilities.workspace_bytes =
        (int64_t)lane->ws.bytes + tandem__finish_workspace_bytes(lane->finish);
    *out = (tandem_lane *)(void *)lane;
    return TANDEM_OK;
}

static void capabilities(const tandem_lane *opaque, tandem_capabilities *out) {
    *out = ((const cpu_lane *)(const void *)opaque)->capabilities;
}

static tandem_status submit(tandem_lane *opaque, const tandem_batch *batch, tandem_output output,
                            float *out, tandem_ticket *ticket, tandem_error *err) {
    cpu_lane *lane = (cpu_lane *)(void *)opaque;
    TANDEM_TRY(tandem__output_check(lane->plan, output, err));
    TANDEM_TRY(tandem__batch_check(lane->plan, &lane->capabilities, batch, err));
    const cpu_run run = {.lane = lane, .batch = batch, .output = output, .out = out};
    (void)pthread_mutex_lock(&lane->lock);
    const tandem_status status = tandem__cpu_table_fill(lane, batch, err);
    if (status == TANDEM_OK) tandem__cpu_forward(&run);
    (void)pthread_mutex_unlock(&lane->lock);
    if (status != TANDEM_OK) return status;
    *ticket = atomic_fetch_add_explicit(&lane->tickets, 1, memory_order_relaxed) + 1;
    return TANDEM_OK;
}

const tandem_backend tandem__backend_cpu = {
    .name = "cpu",
    .lane_class = TANDEM_CLASS_BACKGROUND,
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
    .explain = tandem__cpu_explain,
};
