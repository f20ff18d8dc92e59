/* SPDX-License-Identifier: Apache-2.0 */
/* A workspace: the buffers of one batch, and its way to the device and back.
 *
 * A batch is one command buffer with one serial encoder: each dispatch sees what those before it
 * wrote, so no barriers are needed, and nothing in this network could run side by side for long.
 * The command buffer keeps the buffers it uses, so that closing a workspace whose batch hangs takes
 * nothing from under the device.
 *
 * A large batch is several of them, run in order: macOS ends a command buffer that keeps a GPU with
 * a display to itself too long ("Impacting Interactivity"), and the display waits for its end. How
 * long is too long is nowhere written; what is known failed after some tenths of a second. With
 * CUT_FLOPS one takes less than 0.1 s on an M1 that reaches half of its peak.
 *
 * Waiting with a time-out is done by a shared event that the last command buffer signals. A batch
 * that fails may never signal: the wait looks at the status of all in between. */
#include <string.h>

#include "apple/symbols.h"
#include "backend/metal/metal_internal.h"
#include "backend/metal/metal_lane.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/fail.h"

#define CUT_FLOPS 1e11

static double cut_flops = CUT_FLOPS;

enum {
    WAIT_SLICE_MS = 20,
    NS_A_MS = 1000 * 1000,
};

int64_t tandem__metal_work_bytes(const tandem_plan *plan, int64_t tokens, int64_t sequences,
                                 int64_t *largest) {
    int64_t bytes = 0;
    *largest = 0;
    for (int i = METAL_IDS; i < METAL_PLACE_COUNT; i++) {
        const int64_t part = tandem__metal_place_bytes(plan, (metal_place)i, tokens, sequences);
        bytes += part;
        if (part > *largest) *largest = part;
    }
    return bytes;
}

tandem_status tandem__metal_work_open(const metal_device *device, const tandem_plan *plan,
                                      int64_t tokens, int64_t sequences, metal_work *work,
                                      tandem_error *err) {
    for (int i = METAL_IDS; i < METAL_PLACE_COUNT; i++) {
        const int64_t bytes = tandem__metal_place_bytes(plan, (metal_place)i, tokens, sequences);
        const objc_uint storage =
            i >= METAL_PLACE_PRIVATE ? MTL_STORAGE_PRIVATE : MTL_STORAGE_SHARED;
        if (bytes == 0) continue;
        work->buffers[i] = mtl_new_buffer(device->device, (objc_uint)bytes, storage);
        if (work->buffers[i] == NULL) {
            return TANDEM_FAIL(err, MEMORY, "metal: no buffer of %lld bytes for a workspace",
                               (long long)bytes);
        }
    }
    work->event = mtl_new_event(device->device);
    if (work->event == NULL) return TANDEM_FAIL(err, DEVICE, "metal: no shared event");
    return TANDEM_OK;
}

static void release_commands(metal_work *work) {
    for (int i = 0; i < work->command_count; i++) ns_release(work->commands[i]);
    work->command_count = 0;
}

void tandem__metal_work_close(metal_work *work) {
    for (int i = METAL_IDS; i < METAL_PLACE_COUNT; i++) ns_release(work->buffers[i]);
    ns_release(work->event);
    release_commands(work);
    *work = (metal_work){.event = NULL};
}

void tandem__metal_cut(double flops) {
    cut_flops = flops > 0 ? flops : CUT_FLOPS;
}

/* Inputs. */

static void write_sequences(const metal_work *work, const metal_job *job) {
    const tandem_batch *batch = job->batch;
    int32_t *positions = mtl_contents(work->buffers[METAL_POSITIONS]);
    int32_t *skips = mtl_contents(work->buffers[METAL_SKIPS]);
    struct metal_block *block = mtl_contents(work->buffers[METAL_BLOCKS]);
    const bool has_skips = job->output == TANDEM_OUTPUT_POOLED && batch->pool_skip != NULL;
    for (int b = 0; b < batch->sequences; b++) {
        const int32_t first = batch->offsets[b];
        const int32_t tokens = batch->offsets[b + 1] - first;
        skips[b] = has_skips ? batch->pool_skip[b] : 0;
        for (int32_t t = 0; t < tokens; t++) positions[first + t] = t + job->plan->position_offset;
        for (int i = 0; i < tandem__metal_block_count(tokens); i++) {
            *block++ = (struct metal_block){
                .first_token = first, .tokens = tokens, .first_query = i * METAL_QUERIES};
        }
    }
}

static void write_inputs(const metal_work *work, const metal_job *job) {
    const tandem_batch *batch = job->batch;
    const size_t bytes = (size_t)batch->tokens * sizeof(int32_t);
    void *types = mtl_contents(work->buffers[METAL_TYPES]);
    memcpy(mtl_contents(work->buffers[METAL_IDS]), batch->ids, bytes);
    memcpy(mtl_contents(work->buffers[METAL_OFFSETS]), batch->offsets,
           (size_t)(batch->sequences + 1) * sizeof(int32_t));
    if (batch->types == NULL || job->plan->types == 0)
        memset(types, 0, bytes);
    else
        memcpy(types, batch->types, bytes);
    write_sequences(work, job);
}

/* Encoding. */

typedef struct encoding {
    metal_work *work;
    const metal_job *job;
    objc_id commands;
    objc_id encoder; /* NULL: the system makes none */
    double flops;    /* of these commands */
    double flops_max;
} encoding;

static void begin_commands(encoding *e) {
    e->commands = mtl_commands(e->job->device->queue);
    e->encoder = mtl_encoder(e->commands);
    e->flops = 0;
}

static void end_commands(encoding *e, bool is_last) {
    metal_work *work = e->work;
    mtl_end(e->encoder);
    if (is_last) mtl_signal(e->commands, work->event, ++work->value);
    work->commands[work->command_count++] = ns_retain(e->commands);
    mtl_commit(e->commands);
}

static void count_step(void *context, const metal_step *step) {
    *(double *)context += step->flops;
}

static void encode_step(void *context, const metal_step *step) {
    encoding *e = context;
    if (e->flops >= e->flops_max && e->work->command_count < METAL_COMMANDS_MAX - 1 &&
        e->encoder != NULL) {
        end_commands(e, false);
        begin_commands(e);
    }
    if (e->encoder == NULL) return;
    e->flops += step->flops;
    const metal_kernel_fact *fact = &tandem__metal_kernels[step->kernel];
    mtl_set_pipeline(e->encoder, e->job->device->pipelines[step->kernel]);
    for (int i = 0; i < step->binding_count; i++) {
        const metal_binding *binding = &step->bindings[i];
        objc_id buffer = binding->place == METAL_WEIGHTS ? e->job->weights->buffer
                                                         : e->work->buffers[binding->place];
        TANDEM_DCHECK(buffer != NULL);
        mtl_set_buffer(e->encoder, buffer, (objc_uint)binding->offset, (objc_uint)i);
    }
    mtl_set_bytes(e->encoder, &step->args, step->args_bytes, (objc_uint)step->binding_count);
    const objc_size groups = {(objc_uint)step->groups[0], (objc_uint)step->groups[1],
                              (objc_uint)step->groups[2]};
    const objc_size threads = {(objc_uint)fact->threads, 1, 1};
    mtl_dispatch(e->encoder, groups, threads);
}

static tandem_status encode(metal_work *work, const metal_job *job, tandem_error *err) {
    bool has_kernel[METAL_KERNEL_COUNT];
    for (int i = 0; i < METAL_KERNEL_COUNT; i++) has_kernel[i] = job->device->pipelines[i] != NULL;
    double flops = 0;
    metal_program program = {.plan = job->plan,
                             .weights = job->weights,
                             .has_kernel = has_kernel,
                             .offsets = job->batch->offsets,
                             .sequences = job->batch->sequences,
                             .output = job->output,
                             .visit = count_step,
                             .context = &flops};
    tandem__metal_program_walk(&program);
    const double share = flops / (double)METAL_COMMANDS_MAX;
    encoding e = {.work = work, .job = job, .flops_max = share > cut_flops ? share : cut_flops};
    begin_commands(&e);
    program.visit = encode_step;
    program.context = &e;
    tandem__metal_program_walk(&program);
    if (e.encoder == NULL) return TANDEM_FAIL(err, DEVICE, "metal: no command encoder");
    end_commands(&e, true);
    return TANDEM_OK;
}

tandem_status tandem__metal_work_submit(metal_work *work, const metal_job *job, tandem_error *err) {
    TANDEM_ASSERT(work->command_count == 0);
    void *pool = tandem__objc.pool_push();
    write_inputs(work, job);
    const tandem_status status = encode(work, job, err);
    tandem__objc.pool_pop(pool);
    return status;
}

static bool is_over(const metal_work *work) {
    bool is_done = true;
    for (int i = 0; i < work->command_count; i++)
        is_done = is_done && mtl_status(work->commands[i]) >= MTL_STATUS_COMPLETED;
    return is_done;
}

bool tandem__metal_work_wait(const metal_work *work, uint64_t timeout_ns) {
    const uint64_t start_ns = tandem__clock_ns();
    void *pool = tandem__objc.pool_push();
    bool is_done = is_over(work);
    while (!is_done) {
        const uint64_t passed_ns = tandem__clock_ns() - start_ns;
        if (passed_ns >= timeout_ns) break;
        const uint64_t left_ms = (timeout_ns - passed_ns) / NS_A_MS + 1;
        const uint64_t slice_ms = left_ms < WAIT_SLICE_MS ? left_ms : WAIT_SLICE_MS;
        if (mtl_event_wait(work->event, work->value, slice_ms))
            mtl_wait(work->commands[work->command_count - 1]);
        is_done = is_over(work);
    }
    tandem__objc.pool_pop(pool);
    return is_done;
}

tandem_status tandem__metal_work_end(metal_work *work, tandem_error *err) {
    tandem_status status = TANDEM_OK;
    void *pool = tandem__objc.pool_push();
    for (int i = 0; i < work->command_count && status == TANDEM_OK; i++) {
        objc_id commands = work->commands[i];
        if (mtl_status(commands) == MTL_STATUS_ERROR)
            status = tandem__objc_fail(err, "metal: the batch failed", mtl_error(commands));
    }
    tandem__objc.pool_pop(pool);
    release_commands(work);
    return status;
}
