/* SPDX-License-Identifier: Apache-2.0 */
/* MLComputePlan: a chain of objects that each hold the next, down to the operations. */
#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700 /* usleep */
#endif
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apple/coreml_sim_internal.h"
#include "apple/mil_run.h"

#define COUNT(array)    (int)(sizeof(array) / sizeof(array)[0])
#define BLOCK_IS_GLOBAL (1 << 28)
#define RELEASE_US      20000 /* from the handler's return to _Block_release */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int plans; /* threads that make one; under the lock */

#define HOLDER(variable, word, message, function)                                                  \
    static const objc_sim_method variable##_methods[] = {OBJC_SIM_METHOD(message, function)};      \
    const objc_sim_class variable = {.name = word,                                                 \
                                     .parent = &objc_sim_nsobject,                                 \
                                     .since = 1404,                                                \
                                     .data_bytes = sizeof(objc_id),                                \
                                     .drop = coreml_sim_drop_held,                                 \
                                     .methods = variable##_methods,                                \
                                     .method_count = 1}

static objc_id give_held(objc_id self, objc_sel selector) {
    (void)selector;
    return coreml_sim_held_by(self);
}

HOLDER(coreml_sim_operation_class, "MLModelStructureProgramOperation", ml_operation_name,
       give_held);
HOLDER(coreml_sim_block_class, "MLModelStructureProgramBlock", ml_block_operations, give_held);
HOLDER(coreml_sim_function_class, "MLModelStructureProgramFunction", ml_function_block, give_held);
HOLDER(coreml_sim_program_class, "MLModelStructureProgram", ml_program_functions, give_held);
HOLDER(coreml_sim_structure_class, "MLModelStructure", ml_structure_program, give_held);
HOLDER(coreml_sim_usage_class, "MLComputePlanDeviceUsage", ml_usage_device, give_held);

static objc_id holder_of(const objc_sim_class *class, objc_id object) {
    objc_id made = objc_sim_new(class);
    coreml_sim_hold(made, object);
    return objc_sim_autorelease(made);
}

/* Convolutions go to the engine, softmax to the processor; of constants nothing is said. */
static objc_id plan_usage(objc_id self, objc_sel selector, objc_id operation) {
    (void)self;
    (void)selector;
    if (!objc_sim_is(operation, "MLModelStructureProgramOperation", "computeDeviceUsage"))
        return NULL;
    const char *name = objc_sim_text(coreml_sim_held_by(operation));
    if (strcmp(name, "ios17.const") == 0) return NULL;
    const bool is_cpu = strcmp(name, "ios17.softmax") == 0;
    return holder_of(&coreml_sim_usage_class, coreml_sim_device(!is_cpu));
}

static objc_id make_plan(const char *path, char *text, size_t size) {
    char package[512];
    char name[64];
    int count = 0;
    (void)snprintf(package, sizeof package, "%s/package", path);
    mil_run *run = mil_run_open(package, text, size);
    if (run == NULL) return NULL;
    const mil_run_operation *operations = mil_run_operations(run, &count);
    objc_id *items = calloc((size_t)count + 1, sizeof *items);
    if (items == NULL) abort();
    items[0] = holder_of(&coreml_sim_operation_class, objc_sim_string("ios17.const"));
    for (int i = 0; i < count; i++) {
        (void)snprintf(name, sizeof name, "ios17.%s", operations[i].type);
        items[i + 1] = holder_of(&coreml_sim_operation_class, objc_sim_string(name));
    }
    objc_id block =
        holder_of(&coreml_sim_block_class, objc_sim_array(items, (unsigned long)count + 1));
    const objc_id function = holder_of(&coreml_sim_function_class, block);
    const objc_id key = objc_sim_string("main");
    objc_id functions = ns_dictionary(objc_class("NSDictionary"), &function, &key, 1);
    free(items);
    mil_run_close(run);
    return holder_of(
        &coreml_sim_plan_class,
        holder_of(&coreml_sim_structure_class, holder_of(&coreml_sim_program_class, functions)));
}

typedef struct plan_job {
    char path[256];
    objc_block *handler;
} plan_job;

/* The handler is called on a thread of Core ML's own. */
static void *run_plan(void *context) {
    plan_job *job = context;
    char text[512] = "";
    const coreml_sim_faults now = coreml_sim_faults_now();
    void *pool = tandem__objc.pool_push();
    objc_id plan = now.plan_error == NULL ? make_plan(job->path, text, sizeof text) : NULL;
    objc_id error =
        plan == NULL ? objc_sim_error(1, now.plan_error == NULL ? text : now.plan_error) : NULL;
    ((void (*)(objc_block *, objc_id, objc_id))job->handler->invoke)(job->handler, plan, error);
    (void)usleep(RELEASE_US);
    if (job->handler->flags != BLOCK_IS_GLOBAL)
        objc_sim_misuse("MLComputePlan: the handler was freed before it was let go of");
    tandem__objc.pool_pop(pool);
    free(job);
    (void)pthread_mutex_lock(&lock);
    plans--;
    (void)pthread_mutex_unlock(&lock);
    return NULL;
}

static void plan_load(objc_id self, objc_sel selector, objc_id url, objc_id configuration,
                      objc_block *handler) {
    pthread_t thread;
    (void)self;
    (void)selector;
    if (!objc_sim_is(url, "NSURL", "MLComputePlan")) return;
    if (!objc_sim_is(configuration, "MLModelConfiguration", "MLComputePlan")) return;
    if (handler->isa != tandem__objc.global_block || handler->flags != BLOCK_IS_GLOBAL ||
        handler->layout->bytes < sizeof *handler)
        objc_sim_misuse("MLComputePlan: the handler is no block");
    plan_job *job = calloc(1, sizeof *job);
    if (job == NULL) abort();
    job->handler = handler;
    (void)snprintf(job->path, sizeof job->path, "%s", objc_sim_text(url));
    (void)pthread_mutex_lock(&lock);
    plans++;
    (void)pthread_mutex_unlock(&lock);
    if (pthread_create(&thread, NULL, run_plan, job) != 0) abort();
    (void)pthread_detach(thread);
}

static const objc_sim_method plan_methods[] = {OBJC_SIM_METHOD(ml_load_plan, plan_load),
                                               OBJC_SIM_METHOD(ml_plan_structure, give_held),
                                               OBJC_SIM_METHOD(ml_plan_usage, plan_usage)};
const objc_sim_class coreml_sim_plan_class = {.name = "MLComputePlan",
                                              .parent = &objc_sim_nsobject,
                                              .since = 1404,
                                              .data_bytes = sizeof(objc_id),
                                              .drop = coreml_sim_drop_held,
                                              .methods = plan_methods,
                                              .method_count = COUNT(plan_methods)};

void coreml_sim_wait_for_plans(void) {
    (void)pthread_mutex_lock(&lock);
    while (plans > 0) {
        (void)pthread_mutex_unlock(&lock);
        (void)usleep(1000);
        (void)pthread_mutex_lock(&lock);
    }
    (void)pthread_mutex_unlock(&lock);
}
