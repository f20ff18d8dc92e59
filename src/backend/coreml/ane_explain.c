/* SPDX-License-Identifier: Apache-2.0 */
/* Where Core ML runs each operation, as its compute plan says (macOS 14.4): counted by operation
 * and device, since a program has hundreds. The plan comes by a completion handler, a block that is
 * made by hand. Core ML reads the block's flags once more when it lets go of it, after the call has
 * returned: so a block is never freed, but used again for the next plan. One that was not called in
 * time is left to Core ML. */
#include <stdio.h>
#include <string.h>

#include "backend/coreml/ane_internal.h"
#include "backend/coreml/ane_packages.h"
#include "base/clock.h"
#include "base/fail.h"
#include "base/mem.h"
#include "base/wait.h"

#define PLAN_NS         60000000000u
#define BLOCK_IS_GLOBAL (1 << 28)

enum { GROUPS_MAX = 48, TYPE_BYTES = 40 };

typedef struct plan_request {
    objc_block block; /* first: the handler is called with it */
    pthread_mutex_t lock;
    pthread_cond_t done;
    bool is_done;
    objc_id plan; /* retained */
    tandem_error err;
    struct plan_request *next; /* of those that wait to be used again */
} plan_request;

static pthread_mutex_t spare_lock = PTHREAD_MUTEX_INITIALIZER;
static plan_request *spare; /* under its lock */

/* Operations of one type on one device. */
typedef struct plan_group {
    char type[TYPE_BYTES];
    ane_device device;
    int count;
} plan_group;

static const objc_block_layout layout = {.bytes = sizeof(plan_request)};

static void plan_is_there(plan_request *request, objc_id plan, objc_id error) {
    (void)pthread_mutex_lock(&request->lock);
    request->plan = ns_retain(plan);
    if (plan == NULL) (void)tandem__objc_fail(&request->err, "Core ML makes no plan", error);
    request->is_done = true;
    (void)pthread_cond_broadcast(&request->done);
    (void)pthread_mutex_unlock(&request->lock);
}

static plan_request *take_spare(void) {
    (void)pthread_mutex_lock(&spare_lock);
    plan_request *request = spare;
    if (request != NULL) spare = request->next;
    (void)pthread_mutex_unlock(&spare_lock);
    if (request == NULL) return NULL;
    request->is_done = false;
    request->plan = NULL;
    request->err = (tandem_error){.status = TANDEM_OK};
    return request;
}

static void put_spare(plan_request *request) {
    (void)pthread_mutex_lock(&spare_lock);
    request->next = spare;
    spare = request;
    (void)pthread_mutex_unlock(&spare_lock);
}

static plan_request *make_request(void) {
    plan_request *request = take_spare();
    if (request != NULL) return request;
    request = tandem__mem_calloc(1, sizeof *request);
    if (request != NULL && !tandem__cond_init(&request->done)) {
        tandem__mem_free(request);
        return NULL;
    }
    if (request == NULL) return NULL;
    (void)pthread_mutex_init(&request->lock, NULL);
    request->block = (objc_block){.isa = tandem__objc.global_block,
                                  .flags = BLOCK_IS_GLOBAL,
                                  .invoke = (void (*)(void))plan_is_there,
                                  .layout = &layout};
    return request;
}

/* The plan, the caller's to release; NULL with the reason in `err`. */
static objc_id load_plan(const char *path, tandem_error *err) {
    const uint64_t until_ns = tandem__clock_ns() + PLAN_NS;
    plan_request *request = make_request();
    if (request == NULL) {
        (void)TANDEM_FAIL(err, MEMORY, "no memory for a request");
        return NULL;
    }
    objc_id configuration = tandem__ane_configuration();
    objc_id plans = objc_class("MLComputePlan");
    ml_load_plan(plans, ns_file_url(objc_class("NSURL"), objc_text(path)), configuration,
                 &request->block);
    (void)pthread_mutex_lock(&request->lock);
    while (!request->is_done && tandem__clock_ns() < until_ns)
        tandem__cond_wait(&request->done, &request->lock, until_ns);
    const bool is_done = request->is_done;
    (void)pthread_mutex_unlock(&request->lock);
    ns_release(configuration);
    if (!is_done) {
        (void)TANDEM_FAIL(err, TIMEOUT, "Core ML has made no plan in a minute");
        return NULL;
    }
    objc_id plan = request->plan;
    if (plan == NULL) *err = request->err;
    put_spare(request);
    return plan;
}

static void count(plan_group *groups, int *group_count, const char *type, ane_device device) {
    for (int i = 0; i < *group_count; i++) {
        if (groups[i].device != device || strcmp(groups[i].type, type) != 0) continue;
        groups[i].count++;
        return;
    }
    if (*group_count == GROUPS_MAX) return;
    plan_group *group = &groups[(*group_count)++];
    (void)snprintf(group->type, sizeof group->type, "%s", type);
    group->device = device;
    group->count = 1;
}

/* The classes of which a plan is made came with it. */
static objc_id operations_of(objc_id plan) {
    if (objc_class("MLComputePlan") == NULL || objc_class("MLModelStructure") == NULL ||
        objc_class("MLModelStructureProgram") == NULL ||
        objc_class("MLModelStructureProgramFunction") == NULL ||
        objc_class("MLModelStructureProgramBlock") == NULL)
        return NULL;
    objc_id functions = ml_program_functions(ml_structure_program(ml_plan_structure(plan)));
    return ml_block_operations(ml_function_block(ns_dictionary_at(functions, objc_text("main"))));
}

static const char *operation_name(objc_id operation) {
    if (objc_class("MLModelStructureProgramOperation") == NULL) return NULL;
    return ns_utf8(ml_operation_name(operation));
}

static ane_device operation_device(objc_id plan, objc_id operation) {
    if (objc_class("MLComputePlan") == NULL || objc_class("MLComputePlanDeviceUsage") == NULL)
        return ANE_DEVICE_UNKNOWN;
    return tandem__ane_device(ml_usage_device(ml_plan_usage(plan, operation)));
}

/* Constants run nowhere. Types are "ios17.conv": the opset is left out. */
static int count_all(objc_id plan, plan_group *groups) {
    objc_id operations = operations_of(plan);
    int group_count = 0;
    for (objc_uint i = 0; i < ns_array_count(operations); i++) {
        objc_id operation = ns_array_at(operations, i);
        const char *name = operation_name(operation);
        const char *dot = name == NULL ? NULL : strrchr(name, '.');
        const char *type = name == NULL ? "" : dot == NULL ? name : dot + 1;
        if (strcmp(type, "const") == 0) continue;
        count(groups, &group_count, type, operation_device(plan, operation));
    }
    return group_count;
}

static const char *device_word(ane_device device) {
    switch (device) {
    case ANE_DEVICE_ENGINE:
        return "Neural Engine";
    case ANE_DEVICE_GPU:
        return "GPU";
    case ANE_DEVICE_CPU:
        return "processor";
    case ANE_DEVICE_UNKNOWN:
        break;
    }
    return "not said";
}

static void say_bucket(const ane_lane *lane, int32_t bucket, tandem_step_function *say,
                       void *context) {
    char path[TANDEM_PATH_MAX];
    char op[TYPE_BYTES + 64];
    plan_group groups[GROUPS_MAX];
    tandem_error err = {.status = TANDEM_OK};
    if (tandem__ane_package_path(lane->folder, bucket, "mlmodelc", path, &err) != TANDEM_OK) return;
    objc_id plan = load_plan(path, &err);
    const int group_count = plan == NULL ? 0 : count_all(plan, groups);
    ns_release(plan);
    if (plan == NULL) {
        (void)snprintf(op, sizeof op, "length %d", (int)bucket);
        say(context, op, "not said", err.message);
    }
    for (int i = 0; i < group_count; i++) {
        (void)snprintf(op, sizeof op, "length %d: %.40s x %d", (int)bucket, groups[i].type,
                       groups[i].count);
        say(context, op, device_word(groups[i].device), "Core ML's plan");
    }
}

void tandem__ane_explain(const tandem_lane *opaque, tandem_step_function *say, void *context) {
    const ane_lane *lane = (const ane_lane *)(const void *)opaque;
    say(context, "embeddings", "processor", "f32 rows to f16 columns");
    if (objc_class("MLComputePlan") == NULL) {
        say(context, "layers", "not said", "this macOS cannot tell; 14.4 can");
    } else {
        for (int32_t i = 0; i < lane->bucket_count; i++) {
            void *pool = tandem__objc.pool_push();
            say_bucket(lane, lane->buckets[i], say, context);
            tandem__objc.pool_pop(pool);
        }
    }
    tandem__finish_explain(lane->finish, say, context);
}
