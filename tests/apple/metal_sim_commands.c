/* SPDX-License-Identifier: Apache-2.0 */
/* Command buffers: recorded when they are encoded, run by the device's thread in the order of their
 * commits, on copies of the buffers that the processor sees, and published when they are done. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "metal_sim_internal.h"

enum { BINDINGS = 31, BUFFERS_MAX = 64, POISON = 0xff };
enum {
    STATUS_NEW = 0,
    STATUS_COMMITTED = 2,
    STATUS_RUNNING = 3,
    STATUS_DONE = 4,
    STATUS_ERROR = 5
};

typedef struct sim_binding {
    objc_id buffer; /* NULL: bytes */
    size_t offset;
    uint8_t *bytes;
    size_t length;
} sim_binding;

typedef struct sim_dispatch {
    objc_id pipeline;
    sim_binding bindings[BINDINGS];
    objc_size groups;
    objc_size threads;
    struct sim_dispatch *next;
} sim_dispatch;

typedef struct sim_commands {
    objc_id encoder; /* open, borrowed */
    sim_dispatch *first;
    sim_dispatch **end;
    objc_id uses[BUFFERS_MAX]; /* held */
    int use_count;
    objc_id event;
    uint64_t value;
    int status;
    const char *error;
    objc_id next; /* committed after it */
} sim_commands;

typedef struct sim_encoder {
    objc_id commands; /* held */
    objc_id pipeline; /* held */
    sim_binding bindings[BINDINGS];
    bool is_ended;
} sim_encoder;

typedef struct sim_event {
    uint64_t value;
} sim_event;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all below, statuses and events */
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_t thread;
static objc_id pending; /* the next to run; each holds a reference */
static int pending_count;
static int batches;
static int dispatches;
static int runs; /* of command buffers, begun */
static int commands_made;
static bool is_hung;
static bool is_stopping;

/* Bindings. */

static void clear_binding(sim_binding *binding) {
    objc_sim_release(binding->buffer);
    free(binding->bytes);
    *binding = (sim_binding){.buffer = NULL};
}

static sim_binding copy_binding(const sim_binding *from) {
    sim_binding copy = *from;
    (void)objc_sim_retain(copy.buffer);
    if (from->bytes != NULL) {
        copy.bytes = malloc(from->length);
        if (copy.bytes == NULL) abort();
        memcpy(copy.bytes, from->bytes, from->length);
    }
    return copy;
}

/* MTLComputeCommandEncoder. */

static sim_encoder *open_encoder(objc_id self, const char *what) {
    sim_encoder *encoder = objc_sim_data(self);
    if (!encoder->is_ended) return encoder;
    objc_sim_misuse("%s after endEncoding", what);
    return NULL;
}

static void drop_encoder(objc_id object) {
    sim_encoder *encoder = objc_sim_data(object);
    if (!encoder->is_ended) objc_sim_misuse("an encoder is let go of without endEncoding");
    for (int i = 0; i < BINDINGS; i++) clear_binding(&encoder->bindings[i]);
    objc_sim_release(encoder->pipeline);
    objc_sim_release(encoder->commands);
}

static void encoder_end(objc_id self, objc_sel selector) {
    (void)selector;
    sim_encoder *encoder = open_encoder(self, "endEncoding");
    if (encoder == NULL) return;
    encoder->is_ended = true;
    ((sim_commands *)objc_sim_data(encoder->commands))->encoder = NULL;
}

static void encoder_pipeline(objc_id self, objc_sel selector, objc_id pipeline) {
    const char *what = "setComputePipelineState:";
    (void)selector;
    sim_encoder *encoder = open_encoder(self, what);
    if (encoder == NULL || !objc_sim_is(pipeline, "MTLComputePipelineState", what)) return;
    objc_sim_release(encoder->pipeline);
    encoder->pipeline = objc_sim_retain(pipeline);
}

static void encoder_buffer(objc_id self, objc_sel selector, objc_id object, objc_uint offset,
                           objc_uint index) {
    (void)selector;
    sim_encoder *encoder = open_encoder(self, "setBuffer:");
    if (encoder == NULL || !objc_sim_is(object, "MTLBuffer", "setBuffer:")) return;
    const sim_buffer *buffer = objc_sim_data(object);
    if (index >= BINDINGS || offset >= buffer->bytes || offset % 256 != 0) {
        objc_sim_misuse("setBuffer: of %zu bytes, offset %lu, index %lu", buffer->bytes, offset,
                        index);
        return;
    }
    clear_binding(&encoder->bindings[index]);
    encoder->bindings[index] = (sim_binding){.buffer = objc_sim_retain(object), .offset = offset};
}

static void encoder_bytes(objc_id self, objc_sel selector, const void *bytes, objc_uint length,
                          objc_uint index) {
    (void)selector;
    sim_encoder *encoder = open_encoder(self, "setBytes:");
    if (encoder == NULL) return;
    if (index >= BINDINGS || length == 0 || length > 4096) {
        objc_sim_misuse("setBytes: %lu bytes, index %lu", length, index);
        return;
    }
    clear_binding(&encoder->bindings[index]);
    uint8_t *copy = malloc(length);
    if (copy == NULL) abort();
    memcpy(copy, bytes, length);
    encoder->bindings[index] = (sim_binding){.bytes = copy, .length = length};
}

static bool is_dispatch(const sim_encoder *encoder, objc_size groups, objc_size threads) {
    if (encoder->pipeline == NULL) {
        objc_sim_misuse("a dispatch without pipeline");
        return false;
    }
    const sim_pipeline *pipeline = objc_sim_data(encoder->pipeline);
    if (groups.width == 0 || groups.height == 0 || groups.depth == 0) {
        objc_sim_misuse("%s: a dispatch of %lu x %lu x %lu threadgroups", pipeline->kernel,
                        groups.width, groups.height, groups.depth);
        return false;
    }
    const unsigned long all = threads.width * threads.height * threads.depth;
    if (all > 0 && all <= pipeline->threads_max) return true;
    objc_sim_misuse("%s: threadgroups of %lu threads, the pipeline allows %lu", pipeline->kernel,
                    all, pipeline->threads_max);
    return false;
}

static void use_buffer(sim_commands *commands, objc_id buffer) {
    for (int i = 0; i < commands->use_count; i++) {
        if (commands->uses[i] == buffer) return;
    }
    if (commands->use_count == BUFFERS_MAX) abort();
    commands->uses[commands->use_count++] = objc_sim_retain(buffer);
}

static void encoder_dispatch(objc_id self, objc_sel selector, objc_size groups, objc_size threads) {
    (void)selector;
    sim_encoder *encoder = open_encoder(self, "dispatchThreadgroups:");
    if (encoder == NULL || !is_dispatch(encoder, groups, threads)) return;
    sim_commands *commands = objc_sim_data(encoder->commands);
    sim_dispatch *made = calloc(1, sizeof *made);
    if (made == NULL) abort();
    made->pipeline = objc_sim_retain(encoder->pipeline);
    made->groups = groups;
    made->threads = threads;
    for (int i = 0; i < BINDINGS; i++) {
        made->bindings[i] = copy_binding(&encoder->bindings[i]);
        if (made->bindings[i].buffer != NULL) use_buffer(commands, made->bindings[i].buffer);
    }
    *commands->end = made;
    commands->end = &made->next;
}

static const objc_sim_method encoder_parent_methods[] = {OBJC_SIM_METHOD(mtl_end, encoder_end)};

const objc_sim_class metal_sim_encoder_parent = {
    .name = "MTLCommandEncoder",
    .parent = &objc_sim_nsobject,
    .is_protocol = true,
    .methods = encoder_parent_methods,
    .method_count = METAL_SIM_COUNT(encoder_parent_methods),
};

static const objc_sim_method encoder_methods[] = {
    OBJC_SIM_METHOD(mtl_set_pipeline, encoder_pipeline),
    OBJC_SIM_METHOD(mtl_set_buffer, encoder_buffer),
    OBJC_SIM_METHOD(mtl_set_bytes, encoder_bytes),
    OBJC_SIM_METHOD(mtl_dispatch, encoder_dispatch),
};

const objc_sim_class metal_sim_encoder_class = {
    .name = "MTLComputeCommandEncoder",
    .parent = &metal_sim_encoder_parent,
    .is_protocol = true,
    .data_bytes = sizeof(sim_encoder),
    .drop = drop_encoder,
    .methods = encoder_methods,
    .method_count = METAL_SIM_COUNT(encoder_methods),
};

/* The device's thread. */

static bool run_dispatch(const sim_dispatch *dispatch) {
    const sim_pipeline *pipeline = objc_sim_data(dispatch->pipeline);
    msl_report report = {.message = ""};
    msl_dispatch run = {.kernel = pipeline->kernel, .seed = metal_sim.seed};
    for (int i = 0; i < BINDINGS; i++) {
        const sim_binding *binding = &dispatch->bindings[i];
        if (binding->bytes != NULL)
            run.buffers[i] = (msl_buffer){.data = binding->bytes, .bytes = binding->length};
        if (binding->buffer == NULL) continue;
        const sim_buffer *buffer = objc_sim_data(binding->buffer);
        uint8_t *memory = buffer->shadow == NULL ? buffer->memory : buffer->shadow;
        run.buffers[i] = (msl_buffer){
            .data = memory + binding->offset,
            .bytes = buffer->bytes - binding->offset,
            .written = buffer->written == NULL ? NULL : buffer->written + binding->offset};
    }
    run.groups[0] = (uint32_t)dispatch->groups.width;
    run.groups[1] = (uint32_t)dispatch->groups.height;
    run.groups[2] = (uint32_t)dispatch->groups.depth;
    run.threads[0] = (uint32_t)dispatch->threads.width;
    run.threads[1] = (uint32_t)dispatch->threads.height;
    run.threads[2] = (uint32_t)dispatch->threads.depth;
    if (msl_run(metal_sim.build, &run, &report)) return true;
    objc_sim_misuse("%s", report.message);
    return false;
}

/* What the processor sees of a buffer becomes poison, and the device's copy what it was, when the
 * first command buffer that uses it is committed. Under the lock. */
static void take_buffers(const sim_commands *commands) {
    for (int i = 0; i < commands->use_count; i++) {
        sim_buffer *buffer = objc_sim_data(commands->uses[i]);
        if (buffer->is_given || buffer->is_private || buffer->users++ > 0) continue;
        buffer->shadow = malloc(buffer->bytes);
        if (buffer->shadow == NULL) abort();
        memcpy(buffer->shadow, buffer->memory, buffer->bytes);
        memset(buffer->memory, POISON, buffer->bytes);
    }
}

static void publish_buffer(sim_buffer *buffer) {
    size_t at = 0;
    while (at < buffer->bytes && buffer->memory[at] == POISON) at++;
    if (at < buffer->bytes)
        objc_sim_misuse("byte %zu of a buffer is written while the device uses it", at);
    memcpy(buffer->memory, buffer->shadow, buffer->bytes);
    free(buffer->shadow);
    buffer->shadow = NULL;
}

/* Private buffers forget all with the batch, whose end the event tells. Under the lock. */
static void give_buffers(const sim_commands *commands) {
    for (int i = 0; i < commands->use_count; i++) {
        sim_buffer *buffer = objc_sim_data(commands->uses[i]);
        if (buffer->is_given) continue;
        if (buffer->is_private && commands->event != NULL) {
            memset(buffer->memory, POISON, buffer->bytes);
            if (buffer->written != NULL) memset(buffer->written, 0, buffer->bytes);
        }
        if (!buffer->is_private && --buffer->users == 0) publish_buffer(buffer);
    }
}

static void drop_commands(objc_id object) {
    sim_commands *commands = objc_sim_data(object);
    while (commands->first != NULL) {
        sim_dispatch *next = commands->first->next;
        for (int i = 0; i < BINDINGS; i++) clear_binding(&commands->first->bindings[i]);
        objc_sim_release(commands->first->pipeline);
        free(commands->first);
        commands->first = next;
    }
    for (int i = 0; i < commands->use_count; i++) objc_sim_release(commands->uses[i]);
    objc_sim_release(commands->event);
}

static void set_status(sim_commands *commands, int status) {
    (void)pthread_mutex_lock(&lock);
    commands->status = status;
    if (status == STATUS_DONE && commands->event != NULL)
        ((sim_event *)objc_sim_data(commands->event))->value = commands->value;
    (void)pthread_cond_broadcast(&changed);
    (void)pthread_mutex_unlock(&lock);
}

static void run_commands(objc_id object) {
    sim_commands *commands = objc_sim_data(object);
    int status = STATUS_DONE;
    set_status(commands, STATUS_RUNNING);
    (void)pthread_mutex_lock(&lock);
    commands->error = metal_sim.batch_error;
    if (++runs == metal_sim.fail_run) commands->error = "Impacting Interactivity";
    (void)pthread_mutex_unlock(&lock);
    if (commands->error != NULL) status = STATUS_ERROR;
    for (const sim_dispatch *d = commands->first; d != NULL && status == STATUS_DONE; d = d->next) {
        if (!run_dispatch(d)) {
            commands->error = "a kernel did what it must not";
            status = STATUS_ERROR;
        }
        (void)pthread_mutex_lock(&lock);
        dispatches++;
        (void)pthread_mutex_unlock(&lock);
    }
    (void)pthread_mutex_lock(&lock);
    give_buffers(commands);
    (void)pthread_mutex_unlock(&lock);
    set_status(commands, status);
}

static void *run_device(void *context) {
    (void)context;
    (void)pthread_mutex_lock(&lock);
    for (;;) {
        while (!is_stopping && (pending == NULL || is_hung))
            (void)pthread_cond_wait(&changed, &lock);
        if (is_stopping && (pending == NULL || is_hung)) break;
        objc_id object = pending;
        pending = ((sim_commands *)objc_sim_data(object))->next;
        (void)pthread_mutex_unlock(&lock);
        run_commands(object);
        (void)pthread_mutex_lock(&lock);
        pending_count--;
        (void)pthread_mutex_unlock(&lock);
        objc_sim_release(object);
        (void)pthread_mutex_lock(&lock);
    }
    (void)pthread_mutex_unlock(&lock);
    return NULL;
}

void metal_sim_device_start(void) {
    batches = 0;
    dispatches = 0;
    runs = 0;
    commands_made = 0;
    is_hung = false;
    is_stopping = false;
    if (pthread_create(&thread, NULL, run_device, NULL) != 0) abort();
}

void metal_sim_device_stop(void) {
    (void)pthread_mutex_lock(&lock);
    is_stopping = true;
    (void)pthread_cond_broadcast(&changed);
    (void)pthread_mutex_unlock(&lock);
    (void)pthread_join(thread, NULL);
    while (pending != NULL) { /* it hangs: dropped as by a reset */
        objc_id next = ((sim_commands *)objc_sim_data(pending))->next;
        objc_sim_release(pending);
        pending = next;
        pending_count--;
    }
}

void metal_sim_hang(bool hangs) {
    (void)pthread_mutex_lock(&lock);
    is_hung = hangs;
    (void)pthread_cond_broadcast(&changed);
    (void)pthread_mutex_unlock(&lock);
}

void metal_sim_fail(const char *batch_error) {
    (void)pthread_mutex_lock(&lock);
    metal_sim.batch_error = batch_error;
    (void)pthread_mutex_unlock(&lock);
}

static int read_count(const int *count) {
    (void)pthread_mutex_lock(&lock);
    const int value = *count;
    (void)pthread_mutex_unlock(&lock);
    return value;
}

int metal_sim_dispatches(void) {
    return read_count(&dispatches);
}

int metal_sim_batches(void) {
    return read_count(&batches);
}

int metal_sim_pending(void) {
    return read_count(&pending_count);
}

/* MTLCommandQueue and MTLCommandBuffer. */

static objc_id queue_commands(objc_id self, objc_sel selector) {
    (void)self;
    (void)selector;
    (void)pthread_mutex_lock(&lock);
    const bool is_nil = ++commands_made == metal_sim.nil_commands;
    (void)pthread_mutex_unlock(&lock);
    if (is_nil) return NULL;
    objc_id object = objc_sim_new(&metal_sim_commands_class);
    sim_commands *commands = objc_sim_data(object);
    commands->end = &commands->first;
    return objc_sim_autorelease(object);
}

static const objc_sim_method queue_methods[] = {OBJC_SIM_METHOD(mtl_commands, queue_commands)};

const objc_sim_class metal_sim_queue_class = {
    .name = "MTLCommandQueue",
    .parent = &objc_sim_nsobject,
    .is_protocol = true,
    .methods = queue_methods,
    .method_count = METAL_SIM_COUNT(queue_methods),
};

static sim_commands *open_commands(objc_id self, const char *what) {
    sim_commands *commands = objc_sim_data(self);
    if (commands->status != STATUS_NEW) {
        objc_sim_misuse("%s after commit", what);
        return NULL;
    }
    if (commands->encoder != NULL) {
        objc_sim_misuse("%s before endEncoding", what);
        return NULL;
    }
    return commands;
}

static objc_id commands_encoder(objc_id self, objc_sel selector) {
    (void)selector;
    sim_commands *commands = open_commands(self, "computeCommandEncoder");
    if (commands == NULL) return NULL;
    objc_id made = objc_sim_new(&metal_sim_encoder_class);
    ((sim_encoder *)objc_sim_data(made))->commands = objc_sim_retain(self);
    commands->encoder = made;
    return objc_sim_autorelease(made);
}

static void commands_signal(objc_id self, objc_sel selector, objc_id event, uint64_t value) {
    (void)selector;
    sim_commands *commands = open_commands(self, "encodeSignalEvent:");
    if (commands == NULL || !objc_sim_is(event, "MTLEvent", "encodeSignalEvent:")) return;
    commands->event = objc_sim_retain(event);
    commands->value = value;
}

static void commands_commit(objc_id self, objc_sel selector) {
    (void)selector;
    sim_commands *commands = open_commands(self, "commit");
    if (commands == NULL) return;
    (void)objc_sim_retain(self);
    (void)pthread_mutex_lock(&lock);
    take_buffers(commands);
    commands->status = STATUS_COMMITTED;
    objc_id *last = &pending;
    while (*last != NULL) last = &((sim_commands *)objc_sim_data(*last))->next;
    *last = self;
    pending_count++;
    batches++;
    (void)pthread_cond_broadcast(&changed);
    (void)pthread_mutex_unlock(&lock);
}

static void commands_wait(objc_id self, objc_sel selector) {
    sim_commands *commands = objc_sim_data(self);
    (void)selector;
    (void)pthread_mutex_lock(&lock);
    const bool is_committed = commands->status != STATUS_NEW;
    while (is_committed && commands->status < STATUS_DONE) (void)pthread_cond_wait(&changed, &lock);
    (void)pthread_mutex_unlock(&lock);
    if (!is_committed) objc_sim_misuse("waitUntilCompleted before commit: it would never return");
}

static objc_uint commands_status(objc_id self, objc_sel selector) {
    (void)selector;
    return (objc_uint)read_count(&((sim_commands *)objc_sim_data(self))->status);
}

static objc_id commands_error(objc_id self, objc_sel selector) {
    (void)selector;
    const sim_commands *commands = objc_sim_data(self);
    return commands->error == NULL ? NULL : objc_sim_error(1, commands->error);
}

static const objc_sim_method commands_methods[] = {
    OBJC_SIM_METHOD(mtl_encoder, commands_encoder), OBJC_SIM_METHOD(mtl_signal, commands_signal),
    OBJC_SIM_METHOD(mtl_commit, commands_commit),   OBJC_SIM_METHOD(mtl_wait, commands_wait),
    OBJC_SIM_METHOD(mtl_status, commands_status),   OBJC_SIM_METHOD(mtl_error, commands_error),
};

const objc_sim_class metal_sim_commands_class = {
    .name = "MTLCommandBuffer",
    .parent = &objc_sim_nsobject,
    .is_protocol = true,
    .data_bytes = sizeof(sim_commands),
    .drop = drop_commands,
    .methods = commands_methods,
    .method_count = METAL_SIM_COUNT(commands_methods),
};

/* MTLSharedEvent. */

static objc_bool event_wait(objc_id self, objc_sel selector, uint64_t value, uint64_t timeout_ms) {
    const sim_event *event = objc_sim_data(self);
    struct timespec until;
    (void)selector;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)(timeout_ms / 1000);
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    (void)pthread_mutex_lock(&lock);
    int failed = 0;
    while (event->value < value && failed == 0)
        failed = pthread_cond_timedwait(&changed, &lock, &until);
    const bool is_there = event->value >= value;
    (void)pthread_mutex_unlock(&lock);
    return is_there;
}

static const objc_sim_method event_methods[] = {OBJC_SIM_METHOD(mtl_event_wait, event_wait)};

const objc_sim_class metal_sim_event_parent = {
    .name = "MTLEvent", .parent = &objc_sim_nsobject, .is_protocol = true};

const objc_sim_class metal_sim_event_class = {
    .name = "MTLSharedEvent",
    .parent = &metal_sim_event_parent,
    .is_protocol = true,
    .data_bytes = sizeof(sim_event),
    .methods = event_methods,
    .method_count = METAL_SIM_COUNT(event_methods),
};
