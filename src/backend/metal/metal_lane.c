/* SPDX-License-Identifier: Apache-2.0 */
/* The lane's table. A batch takes a slot with a workspace of its own; up to three are under way, so
 * that the device has the next batch before it is done with one and the processor finishes a third.
 *
 *     free ── submit ──> busy ── poll, wait: done, finished on the processor ──> free
 *                          └── abandon ──> left ── its commands have ended ──> free
 *
 * A slot that was left is not touched until the device has done with it, however late; a lane whose
 * slots are all left takes no batch. Closing waits for nobody: buffers, arena and events live as
 * long as a command buffer uses them.
 *
 * Two locks: `lock` for the slots' states, `finishing` for what the processor does after the
 * device, one batch at a time. abandon takes both, so that nobody writes to `out` after it. */
#include "backend/metal/metal_lane.h"

#include <pthread.h>
#include <stdio.h>

#include "backend/finish.h"
#include "backend/metal/metal_internal.h"
#include "base/assert.h"
#include "base/cpu.h"
#include "base/fail.h"
#include "base/mem.h"
#include "kernels/kernels.h"

enum { SLOTS_MAX = 3 };

typedef enum slot_state { SLOT_FREE = 0, SLOT_BUSY = 1, SLOT_LEFT = 2 } slot_state;

typedef struct metal_slot {
    slot_state state;
    int users; /* threads that look at its work now; it is taken by no batch until they are gone */
    tandem_ticket ticket;
    metal_work work;
    tandem_batch batch; /* its arrays are the caller's */
    tandem_output output;
    float *out;
} metal_slot;

typedef struct metal_lane {
    const tandem_plan *plan;
    const metal_device *device;
    metal_weights weights;
    tandem_finish *finish;
    tandem_kernels kernels;
    float *states; /* [tokens_max, H] f32 of one batch at a time, with sparse vectors alone */
    tandem_capabilities capabilities;
    metal_slot slots[SLOTS_MAX];
    tandem_ticket last;
    pthread_mutex_t lock;
    pthread_mutex_t finishing;
} metal_lane;

static bool has_dtype(tandem_dtype dtype) {
    return dtype == TANDEM_DTYPE_F16;
}

static void probe(tandem_probe *out) {
    tandem_error err = {0};
    *out = (tandem_probe){.is_available = false};
    out->is_available =
        tandem__metal_device_look(out->device, sizeof out->device, &err) == TANDEM_OK;
    if (!out->is_available) (void)snprintf(out->reason, sizeof out->reason, "%.199s", err.message);
}

static void close_lane(tandem_lane *opaque) {
    metal_lane *lane = (metal_lane *)(void *)opaque;
    if (lane == NULL) return;
    void *pool = tandem__objc.pool_push();
    for (int i = 0; i < SLOTS_MAX; i++) tandem__metal_work_close(&lane->slots[i].work);
    tandem__metal_weights_close(&lane->weights);
    tandem__objc.pool_pop(pool);
    tandem__finish_close(lane->finish);
    tandem__mem_free(lane->states);
    (void)pthread_mutex_destroy(&lane->lock);
    (void)pthread_mutex_destroy(&lane->finishing);
    tandem__mem_free(lane);
}

/* Fewer batches at once where the memory of the device asks for it; at least one. */
static tandem_status check_memory(const metal_lane *lane, int64_t work_bytes, int64_t largest,
                                  int32_t *in_flight, tandem_error *err) {
    const metal_device *device = lane->device;
    const uint64_t weights = lane->weights.bytes;
    const uint64_t longest_buffer = weights > (uint64_t)largest ? weights : (uint64_t)largest;
    if (longest_buffer > device->buffer_max) {
        return TANDEM_FAIL(
            err, MEMORY, "metal: a buffer of %llu bytes is needed, this GPU takes %llu",
            (unsigned long long)longest_buffer, (unsigned long long)device->buffer_max);
    }
    while (*in_flight > 1 &&
           weights + (uint64_t)(*in_flight * work_bytes) > device->working_set_max)
        (*in_flight)--;
    const uint64_t needed = weights + (uint64_t)(*in_flight * work_bytes);
    if (needed <= device->working_set_max) return TANDEM_OK;
    return TANDEM_FAIL(err, MEMORY, "metal: %llu bytes are needed, this GPU's working set is %llu",
                       (unsigned long long)needed, (unsigned long long)device->working_set_max);
}

/* Kernels count the elements of a matrix in 32 bits. */
static tandem_status check_tokens(const tandem_plan *plan, int64_t tokens, tandem_error *err) {
    const int64_t qkv = 3 * (int64_t)plan->heads * plan->head_dim;
    int64_t widest = plan->ffn > qkv ? plan->ffn : qkv;
    if (plan->hidden > widest) widest = plan->hidden;
    if (plan->word.cols > widest) widest = plan->word.cols;
    if (tokens <= INT32_MAX / widest) return TANDEM_OK;
    return TANDEM_FAIL(err, UNSUPPORTED,
                       "the metal lane takes up to %lld tokens a batch of this model, not %lld",
                       (long long)(INT32_MAX / widest), (long long)tokens);
}

static tandem_status open_memory(metal_lane *lane, const tandem_backend_options *options,
                                 tandem_error *err) {
    const tandem_plan *plan = lane->plan;
    const int32_t tokens = options->tokens_max;
    const int32_t sequences = options->sequences_max < tokens ? options->sequences_max : tokens;
    const int longest = tokens < plan->positions_max ? tokens : plan->positions_max;
    int64_t largest = 0;
    const int64_t bytes = tandem__metal_work_bytes(plan, tokens, sequences, &largest);
    int32_t in_flight = options->in_flight_max < 1           ? 1
                        : options->in_flight_max > SLOTS_MAX ? SLOTS_MAX
                                                             : options->in_flight_max;
    TANDEM_TRY(check_tokens(plan, tokens, err));
    TANDEM_TRY(tandem__metal_weights_layout(plan, longest, &lane->weights, err));
    TANDEM_TRY(check_memory(lane, bytes, largest, &in_flight, err));
    TANDEM_TRY(tandem__metal_weights_open(plan, lane->device, options->pool, &lane->weights, err));
    for (int i = 0; i < in_flight; i++) {
        TANDEM_TRY(tandem__metal_work_open(lane->device, plan, tokens, sequences,
                                           &lane->slots[i].work, err));
    }
    if (plan->lm_decoder.weight.data != NULL) {
        lane->states = tandem__mem_calloc((size_t)tokens * (size_t)plan->hidden, sizeof(float));
        if (lane->states == NULL)
            return TANDEM_FAIL(err, MEMORY, "no memory for the states of %d tokens", (int)tokens);
    }
    TANDEM_TRY(tandem__finish_open(plan, options, &lane->finish, err));
    lane->capabilities = (tandem_capabilities){
        .dtype = TANDEM_DTYPE_F16,
        .tokens_max = tokens,
        .sequences_max = options->sequences_max,
        .in_flight_max = in_flight,
        .weights_bytes = (int64_t)lane->weights.bytes + tandem__finish_bytes(lane->finish),
        .workspace_bytes = in_flight * bytes + tandem__finish_workspace_bytes(lane->finish)};
    return TANDEM_OK;
}

static tandem_status open_lane(const tandem_plan *plan, const tandem_backend_options *options,
                               tandem_lane **out, tandem_error *err) {
    if (!has_dtype(options->dtype))
        return TANDEM_FAIL(err, UNSUPPORTED, "the metal lane has the mode f16");
    if (options->tokens_max < 1 || options->sequences_max < 1) {
        return TANDEM_FAIL(err, INVALID, "a lane of %d tokens and %d sequences",
                           (int)options->tokens_max, (int)options->sequences_max);
    }
    TANDEM_TRY(tandem__plan_check(plan, err));
    TANDEM_TRY(tandem__metal_program_check(plan, err));
    const metal_device *device = NULL;
    bool has_kernel[METAL_KERNEL_COUNT];
    TANDEM_TRY(tandem__metal_device_open(&device, err));
    for (int i = 0; i < METAL_KERNEL_COUNT; i++) has_kernel[i] = device->pipelines[i] != NULL;
    TANDEM_TRY(tandem__metal_kernels_check(plan, has_kernel, err));
    metal_lane *lane = tandem__mem_calloc(1, sizeof *lane);
    if (lane == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for the metal lane");
    (void)pthread_mutex_init(&lane->lock, NULL);
    (void)pthread_mutex_init(&lane->finishing, NULL);
    lane->plan = plan;
    lane->device = device;
    tandem_kernels_fill(&lane->kernels, tandem__cpu_flags());
    void *pool = tandem__objc.pool_push(); /* for what the system makes beside what is asked for */
    const tandem_status status = open_memory(lane, options, err);
    tandem__objc.pool_pop(pool);
    if (status != TANDEM_OK) {
        close_lane((tandem_lane *)(void *)lane);
        return status;
    }
    *out = (tandem_lane *)(void *)lane;
    return TANDEM_OK;
}

static void capabilities(const tandem_lane *opaque, tandem_capabilities *out) {
    *out = ((const metal_lane *)(const void *)opaque)->capabilities;
}

/* Slots. */

/* A slot for a new batch, or NULL; a slot that was left is free again if the device has done with
 * it. Under the lock. */
static metal_slot *take_slot(metal_lane *lane) {
    for (int i = 0; i < lane->capabilities.in_flight_max; i++) {
        metal_slot *slot = &lane->slots[i];
        tandem_error ignored = {0};
        if (slot->users > 0) continue;
        if (slot->state == SLOT_LEFT && tandem__metal_work_wait(&slot->work, 0)) {
            (void)!tandem__metal_work_end(&slot->work, &ignored);
            slot->state = SLOT_FREE;
        }
        if (slot->state == SLOT_FREE) {
            slot->state = SLOT_BUSY;
            slot->ticket = 0;
            return slot;
        }
    }
    return NULL;
}

/* Under the lock; NULL for a ticket that is finished or left. */
static metal_slot *find_slot(metal_lane *lane, tandem_ticket ticket) {
    for (int i = 0; i < SLOTS_MAX; i++) {
        metal_slot *slot = &lane->slots[i];
        if (slot->state == SLOT_BUSY && slot->ticket == ticket) return slot;
    }
    return NULL;
}

static metal_slot *use_slot(metal_lane *lane, tandem_ticket ticket) {
    (void)pthread_mutex_lock(&lane->lock);
    metal_slot *slot = find_slot(lane, ticket);
    if (slot != NULL) slot->users++;
    (void)pthread_mutex_unlock(&lane->lock);
    return slot;
}

static void leave_slot(metal_lane *lane, metal_slot *slot) {
    (void)pthread_mutex_lock(&lane->lock);
    slot->users--;
    (void)pthread_mutex_unlock(&lane->lock);
}

static tandem_status check_output(const tandem_plan *plan, tandem_output output,
                                  tandem_error *err) {
    if (output == TANDEM_OUTPUT_STATES)
        return TANDEM_FAIL(err, UNSUPPORTED, "the metal lane keeps no states of layers");
    return tandem__output_check(plan, output, err);
}

static tandem_status submit(tandem_lane *opaque, const tandem_batch *batch, tandem_output output,
                            float *out, tandem_ticket *ticket, tandem_error *err) {
    metal_lane *lane = (metal_lane *)(void *)opaque;
    TANDEM_TRY(check_output(lane->plan, output, err));
    TANDEM_TRY(tandem__batch_check(lane->plan, &lane->capabilities, batch, err));
    (void)pthread_mutex_lock(&lane->lock);
    metal_slot *slot = take_slot(lane);
    (void)pthread_mutex_unlock(&lane->lock);
    if (slot == NULL) {
        return TANDEM_FAIL(err, CAPACITY, "%d batches are in flight on the GPU",
                           (int)lane->capabilities.in_flight_max);
    }
    const metal_job job = {.device = lane->device,
                           .plan = lane->plan,
                           .weights = &lane->weights,
                           .batch = batch,
                           .output = output};
    const tandem_status status = tandem__metal_work_submit(&slot->work, &job, err);
    (void)pthread_mutex_lock(&lane->lock);
    if (status == TANDEM_OK) {
        slot->batch = *batch;
        slot->output = output;
        slot->out = out;
        slot->ticket = ++lane->last;
        *ticket = slot->ticket;
    } else {
        slot->state = slot->work.command_count > 0 ? SLOT_LEFT : SLOT_FREE;
    }
    (void)pthread_mutex_unlock(&lane->lock);
    return status;
}

/* The end of a batch. */

static void to_floats(const metal_lane *lane, const metal_slot *slot, float *states) {
    const size_t count = (size_t)slot->batch.tokens * (size_t)lane->plan->hidden;
    tandem_convert_to_f32(&lane->kernels.convert, states, mtl_contents(slot->work.buffers[METAL_X]),
                          TANDEM_DTYPE_F16, count);
}

static void write_output(const metal_lane *lane, const metal_slot *slot) {
    const size_t hidden = (size_t)lane->plan->hidden;
    if (slot->output == TANDEM_OUTPUT_TOKENS) {
        to_floats(lane, slot, slot->out);
        return;
    }
    if (slot->output == TANDEM_OUTPUT_SPARSE) {
        to_floats(lane, slot, lane->states);
        tandem__finish_states(lane->finish, &slot->batch, slot->output, lane->states, hidden,
                              slot->out);
        return;
    }
    const size_t poolings =
        slot->output == TANDEM_OUTPUT_POOLED ? 1 + (size_t)lane->plan->joined_count : 1;
    tandem__finish_pooled(lane->finish, slot->batch.sequences, slot->output,
                          mtl_contents(slot->work.buffers[METAL_POOLED]), hidden * poolings,
                          slot->out);
}

static tandem_status fail_left(tandem_ticket ticket, tandem_error *err) {
    return TANDEM_FAIL(err, CANCELLED, "batch %llu is finished or was given up",
                       (unsigned long long)ticket);
}

/* The batch is done on the device: its result, or its error; the slot is free after it. */
static tandem_status finish_slot(metal_lane *lane, metal_slot *slot, tandem_ticket ticket,
                                 tandem_error *err) {
    (void)pthread_mutex_lock(&lane->finishing);
    (void)pthread_mutex_lock(&lane->lock);
    const bool is_there = find_slot(lane, ticket) == slot;
    (void)pthread_mutex_unlock(&lane->lock);
    tandem_status status = TANDEM_OK;
    if (is_there) {
        status = tandem__metal_work_end(&slot->work, err);
        if (status == TANDEM_OK) write_output(lane, slot);
        (void)pthread_mutex_lock(&lane->lock);
        slot->state = SLOT_FREE;
        (void)pthread_mutex_unlock(&lane->lock);
    }
    (void)pthread_mutex_unlock(&lane->finishing);
    return is_there ? status : fail_left(ticket, err);
}

static tandem_status wait_ticket(tandem_lane *opaque, tandem_ticket ticket, uint64_t timeout_ns,
                                 tandem_error *err) {
    metal_lane *lane = (metal_lane *)(void *)opaque;
    metal_slot *slot = use_slot(lane, ticket);
    if (slot == NULL) return fail_left(ticket, err);
    const bool is_done = tandem__metal_work_wait(&slot->work, timeout_ns);
    const tandem_status status =
        is_done ? finish_slot(lane, slot, ticket, err)
                : TANDEM_FAIL(err, TIMEOUT, "the GPU is not done after %llu ms",
                              (unsigned long long)(timeout_ns / 1000000));
    leave_slot(lane, slot);
    return status;
}

static tandem_status poll_ticket(tandem_lane *opaque, tandem_ticket ticket, bool *is_done,
                                 tandem_error *err) {
    metal_lane *lane = (metal_lane *)(void *)opaque;
    metal_slot *slot = use_slot(lane, ticket);
    if (slot == NULL) return fail_left(ticket, err);
    *is_done = tandem__metal_work_wait(&slot->work, 0);
    const tandem_status status = *is_done ? finish_slot(lane, slot, ticket, err) : TANDEM_OK;
    leave_slot(lane, slot);
    return status;
}

static void abandon(tandem_lane *opaque, tandem_ticket ticket) {
    metal_lane *lane = (metal_lane *)(void *)opaque;
    (void)pthread_mutex_lock(&lane->finishing);
    (void)pthread_mutex_lock(&lane->lock);
    metal_slot *slot = find_slot(lane, ticket);
    if (slot != NULL) slot->state = SLOT_LEFT;
    (void)pthread_mutex_unlock(&lane->lock);
    (void)pthread_mutex_unlock(&lane->finishing);
}

static void explain(const tandem_lane *opaque, tandem_step_function *say, void *context) {
    const metal_lane *lane = (const metal_lane *)(const void *)opaque;
    tandem__metal_explain(lane->plan, lane->device, &lane->weights, say, context);
    tandem__finish_explain(lane->finish, say, context);
}

const tandem_backend tandem__backend_metal = {
    .name = "metal",
    .lane_class = TANDEM_CLASS_THROUGHPUT,
    .has_dtype = has_dtype,
    .probe = probe,
    .open = open_lane,
    .capabilities = capabilities,
    .submit = submit,
    .poll = poll_ticket,
    .wait = wait_ticket,
    .abandon = abandon,
    .close = close_lane,
    .explain = explain,
};
