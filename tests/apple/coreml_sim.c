/* SPDX-License-Identifier: Apache-2.0 */
#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700 /* usleep, strdup */
#endif
#include "apple/coreml_sim.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apple/mil_run.h"
#include "backend/coreml/package.h"
#include "base/file.h"

#define COUNT(array)    (int)(sizeof(array) / sizeof(array)[0])
#define UNITS_ENGINE    3
#define ARRAY_F16       65552
#define BLOCK_IS_GLOBAL (1 << 28)

enum { AXES = 4, PADDING = 7 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of faults, counts and build */
static coreml_sim_faults faults;
static coreml_sim_counts counts;
static int under_way;
static int hanging;
static int plans; /* threads that make one */
static char build[32];

static coreml_sim_faults faults_now(void) {
    (void)pthread_mutex_lock(&lock);
    const coreml_sim_faults now = faults;
    (void)pthread_mutex_unlock(&lock);
    return now;
}

void coreml_sim_set_faults(const coreml_sim_faults *wanted) {
    (void)pthread_mutex_lock(&lock);
    faults = *wanted;
    (void)pthread_mutex_unlock(&lock);
}

coreml_sim_counts coreml_sim_count(void) {
    (void)pthread_mutex_lock(&lock);
    const coreml_sim_counts now = counts;
    (void)pthread_mutex_unlock(&lock);
    return now;
}

void coreml_sim_set_build(const char *text) {
    (void)pthread_mutex_lock(&lock);
    (void)snprintf(build, sizeof build, "%s", text);
    (void)pthread_mutex_unlock(&lock);
}

static objc_id fail(objc_id *error, const char *text) {
    if (error != NULL) *error = objc_sim_error(1, text);
    return NULL;
}

/* Devices. Their data is the name of their class. */

static const objc_sim_class engine_class = {.name = "MLNeuralEngineComputeDevice",
                                            .parent = &objc_sim_nsobject,
                                            .since = 1400,
                                            .data_bytes = sizeof(const char *)};
static const objc_sim_class cpu_class = {.name = "MLCPUComputeDevice",
                                         .parent = &objc_sim_nsobject,
                                         .since = 1400,
                                         .data_bytes = sizeof(const char *)};
static const objc_sim_class gpu_class = {.name = "MLGPUComputeDevice",
                                         .parent = &objc_sim_nsobject,
                                         .since = 1400,
                                         .data_bytes = sizeof(const char *)};

static objc_id make_device(const objc_sim_class *class) {
    objc_id device = objc_sim_new(class);
    *(const char **)objc_sim_data(device) = class->name;
    return objc_sim_autorelease(device);
}

static objc_id all_devices(void) {
    const objc_id devices[] = {make_device(&cpu_class), make_device(&gpu_class),
                               make_device(&engine_class)};
    return objc_sim_array(devices, faults_now().has_no_engine ? 2 : 3);
}

static const char *class_name(objc_id device) {
    return *(const char *const *)objc_sim_data(device);
}

static int read_sysctl(const char *name, void *value, size_t *bytes, const void *set,
                       size_t set_bytes) {
    (void)pthread_mutex_lock(&lock);
    const char *text = strcmp(name, "kern.osversion") == 0             ? build
                       : strcmp(name, "machdep.cpu.brand_string") == 0 ? "Apple M0"
                                                                       : NULL;
    const bool is_known = text != NULL && set == NULL && set_bytes == 0;
    if (is_known) {
        (void)snprintf(value, *bytes, "%s", text);
        *bytes = strlen(text) + 1;
    }
    (void)pthread_mutex_unlock(&lock);
    return is_known ? 0 : -1;
}

/* MLMultiArray. */

typedef struct array {
    uint16_t *data;
    bool is_own;
    long shape[AXES];
    long strides[AXES];
} array;

static void drop_array(objc_id object) {
    const array *it = objc_sim_data(object);
    if (it->is_own) free(it->data);
}

static bool read_longs(objc_id list, long *out) {
    if (!objc_sim_is(list, "NSArray", "MLMultiArray")) return false;
    if (objc_sim_count(list) != AXES) {
        objc_sim_misuse("MLMultiArray: %lu axes, expected %d", objc_sim_count(list), AXES);
        return false;
    }
    for (unsigned long i = 0; i < AXES; i++) {
        if (!objc_sim_is(objc_sim_at(list, i), "NSNumber", "MLMultiArray")) return false;
        out[i] = objc_sim_integer(objc_sim_at(list, i));
    }
    return true;
}

static objc_id array_init(objc_id self, objc_sel selector, void *data, objc_id shape, objc_int type,
                          objc_id strides, objc_block *deallocator, objc_id *error) {
    array *it = objc_sim_data(self);
    long expected = 1;
    (void)selector;
    (void)error;
    if (data == NULL || (uintptr_t)data % 64 != 0 || deallocator != NULL || type != ARRAY_F16)
        objc_sim_misuse("MLMultiArray: memory %p, type %ld, a deallocator %p", data, type,
                        (void *)deallocator);
    if (!read_longs(shape, it->shape) || !read_longs(strides, it->strides)) return self;
    for (int i = AXES - 1; i >= 0; i--) {
        if (it->strides[i] != expected)
            objc_sim_misuse("MLMultiArray: stride %ld of axis %d, expected %ld", it->strides[i], i,
                            expected);
        expected *= it->shape[i];
    }
    it->data = data;
    return self;
}

static void *array_data(objc_id self, objc_sel selector) {
    (void)selector;
    return ((const array *)objc_sim_data(self))->data;
}

static objc_id array_strides(objc_id self, objc_sel selector) {
    const array *it = objc_sim_data(self);
    objc_id numbers[AXES];
    (void)selector;
    for (int i = 0; i < AXES; i++) numbers[i] = ns_number(objc_class("NSNumber"), it->strides[i]);
    return objc_sim_array(numbers, AXES);
}

static const objc_sim_method array_methods[] = {OBJC_SIM_METHOD(ml_array, array_init),
                                                OBJC_SIM_METHOD(ml_data, array_data),
                                                OBJC_SIM_METHOD(ml_strides, array_strides)};
static const objc_sim_class array_class = {.name = "MLMultiArray",
                                           .parent = &objc_sim_nsobject,
                                           .data_bytes = sizeof(array),
                                           .drop = drop_array,
                                           .methods = array_methods,
                                           .method_count = COUNT(array_methods)};

/* MLFeatureValue, and what holds an object alone. */

static void drop_held(objc_id object) {
    objc_sim_release(*(objc_id *)objc_sim_data(object));
}

static void hold(objc_id self, objc_id object) {
    objc_id *held = objc_sim_data(self);
    (void)objc_sim_retain(object);
    objc_sim_release(*held);
    *held = object;
}

static objc_id held_by(objc_id self) {
    return *(const objc_id *)objc_sim_data(self);
}

static const objc_sim_class value_class;

static objc_id value_with(objc_id self, objc_sel selector, objc_id it) {
    (void)self;
    (void)selector;
    if (!objc_sim_is(it, "MLMultiArray", "featureValueWithMultiArray:")) return NULL;
    objc_id value = objc_sim_new(&value_class);
    hold(value, it);
    return objc_sim_autorelease(value);
}

static objc_id value_array(objc_id self, objc_sel selector) {
    (void)selector;
    return held_by(self);
}

static const objc_sim_method value_methods[] = {OBJC_SIM_METHOD(ml_value, value_with),
                                                OBJC_SIM_METHOD(ml_multi_array, value_array)};
static const objc_sim_class value_class = {.name = "MLFeatureValue",
                                           .parent = &objc_sim_nsobject,
                                           .data_bytes = sizeof(objc_id),
                                           .drop = drop_held,
                                           .methods = value_methods,
                                           .method_count = COUNT(value_methods)};

/* MLDictionaryFeatureProvider. */

static objc_id features_init(objc_id self, objc_sel selector, objc_id dictionary, objc_id *error) {
    (void)selector;
    (void)error;
    if (objc_sim_is(dictionary, "NSDictionary", "initWithDictionary:")) hold(self, dictionary);
    return self;
}

static objc_id features_value(objc_id self, objc_sel selector, objc_id name) {
    (void)selector;
    if (!objc_sim_is(name, "NSString", "featureValueForName:")) return NULL;
    return objc_sim_get(held_by(self), objc_sim_text(name));
}

static const objc_sim_method features_methods[] = {
    OBJC_SIM_METHOD(ml_features, features_init),
    OBJC_SIM_METHOD(ml_feature, features_value),
};
static const objc_sim_class features_class = {.name = "MLDictionaryFeatureProvider",
                                              .parent = &objc_sim_nsobject,
                                              .data_bytes = sizeof(objc_id),
                                              .drop = drop_held,
                                              .methods = features_methods,
                                              .method_count = COUNT(features_methods)};

static void options_backings(objc_id self, objc_sel selector, objc_id dictionary) {
    (void)selector;
    if (objc_sim_is(dictionary, "NSDictionary", "setOutputBackings:")) hold(self, dictionary);
}

static const objc_sim_method options_methods[] = {
    OBJC_SIM_METHOD(ml_set_output_backings, options_backings)};
static const objc_sim_class options_class = {.name = "MLPredictionOptions",
                                             .parent = &objc_sim_nsobject,
                                             .data_bytes = sizeof(objc_id),
                                             .drop = drop_held,
                                             .methods = options_methods,
                                             .method_count = COUNT(options_methods)};

static void configuration_units(objc_id self, objc_sel selector, objc_int units) {
    (void)selector;
    *(long *)objc_sim_data(self) = units;
}

static const objc_sim_method configuration_methods[] = {
    OBJC_SIM_METHOD(ml_set_compute_units, configuration_units)};
static const objc_sim_class configuration_class = {.name = "MLModelConfiguration",
                                                   .parent = &objc_sim_nsobject,
                                                   .data_bytes = sizeof(long),
                                                   .methods = configuration_methods,
                                                   .method_count = COUNT(configuration_methods)};

/* MLModel. */

typedef struct model {
    mil_run *run;
    pthread_mutex_t in_use;
} model;

static void drop_model(objc_id object) {
    model *it = objc_sim_data(object);
    mil_run_close(it->run);
    (void)pthread_mutex_destroy(&it->in_use);
}

/* A compiled model is a folder with a file of its own and the package; Core ML makes it in a
 * temporary folder, from where it is the caller's. */
static bool copy_package(const char *package, char *compiled, size_t size) {
    char to[512];
    char command[1200];
    const char *base = getenv("TMPDIR");
    (void)snprintf(compiled, size, "%s/coreml-sim-XXXXXX", base == NULL ? "/tmp" : base);
    if (mkdtemp(compiled) == NULL) return false;
    (void)snprintf(to, sizeof to, "%s/coremldata.bin", compiled);
    if (tandem__file_write(to, "compiled", 8, NULL) != TANDEM_OK) return false;
    (void)snprintf(command, sizeof command, "cp -R '%s' '%s/package'", package, compiled);
    return system(command) == 0;
}

static objc_id model_compile(objc_id self, objc_sel selector, objc_id url, objc_id *error) {
    char compiled[256];
    char text[512] = "";
    const coreml_sim_faults now = faults_now();
    (void)self;
    (void)selector;
    if (!objc_sim_is(url, "NSURL", "compileModelAtURL:")) return NULL;
    (void)pthread_mutex_lock(&lock);
    counts.compiled++;
    (void)pthread_mutex_unlock(&lock);
    if (now.compile_error != NULL) return fail(error, now.compile_error);
    mil_run *run = mil_run_open(objc_sim_text(url), text, sizeof text);
    if (run == NULL) return fail(error, text);
    mil_run_close(run);
    if (!copy_package(objc_sim_text(url), compiled, sizeof compiled))
        return fail(error, "the package cannot be copied");
    return ns_file_url(objc_class("NSURL"), objc_sim_string(compiled));
}

static const objc_sim_class model_class;

static objc_id model_load(objc_id self, objc_sel selector, objc_id url, objc_id configuration,
                          objc_id *error) {
    char path[512];
    char text[512] = "";
    const coreml_sim_faults now = faults_now();
    (void)self;
    (void)selector;
    if (!objc_sim_is(url, "NSURL", "modelWithContentsOfURL:")) return NULL;
    if (!objc_sim_is(configuration, "MLModelConfiguration", "modelWithContentsOfURL:")) return NULL;
    if (*(const long *)objc_sim_data(configuration) != UNITS_ENGINE)
        objc_sim_misuse("a model is loaded for the compute units %ld",
                        *(const long *)objc_sim_data(configuration));
    (void)pthread_mutex_lock(&lock);
    counts.loaded++;
    (void)pthread_mutex_unlock(&lock);
    if (now.load_error != NULL) return fail(error, now.load_error);
    (void)snprintf(path, sizeof path, "%s/coremldata.bin", objc_sim_text(url));
    if (!tandem__file_exists(path)) return fail(error, "not a compiled model");
    (void)snprintf(path, sizeof path, "%s/package", objc_sim_text(url));
    mil_run *run = mil_run_open(path, text, sizeof text);
    if (run == NULL) return fail(error, text);
    objc_id made = objc_sim_new(&model_class);
    model *it = objc_sim_data(made);
    it->run = run;
    (void)pthread_mutex_init(&it->in_use, NULL);
    return objc_sim_autorelease(made);
}

/* Whether the array is what the feature says. */
static bool is_feature(const mil_run_feature *feature, objc_id object) {
    if (!objc_sim_is(object, "MLMultiArray", feature->name)) return false;
    const array *it = objc_sim_data(object);
    bool is_same = feature->rank == AXES;
    for (int i = 0; i < AXES && is_same; i++) is_same = it->shape[i] == feature->shape[i];
    if (!is_same) objc_sim_misuse("%s has another shape than the model's", feature->name);
    return is_same;
}

/* What an own array of Core ML's looks like: rows with something between them. */
static objc_id spread(const mil_run_feature *feature, const uint16_t *numbers) {
    const long row = feature->shape[AXES - 1] + PADDING;
    const long rows = (long)(feature->count / (size_t)feature->shape[AXES - 1]);
    objc_id made = objc_sim_new(&array_class);
    array *it = objc_sim_data(made);
    it->is_own = true;
    it->data = calloc((size_t)(rows * row), sizeof *it->data);
    if (it->data == NULL) abort();
    for (int i = 0; i < AXES; i++) it->shape[i] = feature->shape[i];
    it->strides[3] = 1;
    it->strides[2] = row;
    it->strides[1] = row;
    it->strides[0] = row * rows;
    for (long i = 0; i < rows; i++) {
        memset(it->data + i * row, 0x7e, (size_t)row * sizeof *it->data);
        memcpy(it->data + i * row, numbers + i * feature->shape[AXES - 1],
               (size_t)feature->shape[AXES - 1] * sizeof *it->data);
    }
    return objc_sim_autorelease(made);
}

static objc_id give(const mil_run_feature *feature, objc_id backings, const uint16_t *numbers,
                    const coreml_sim_faults *now) {
    objc_id backing = objc_sim_get(backings, feature->name);
    if (!is_feature(feature, backing)) return NULL;
    array *it = objc_sim_data(backing);
    if (!now->takes_no_backing)
        memcpy(it->data, numbers, feature->count * sizeof *numbers);
    else
        backing = spread(feature, numbers);
    if (now->writes_nan) ((array *)objc_sim_data(backing))->data[0] = 0x7e00;
    objc_id value = objc_sim_new(&value_class);
    hold(value, backing);
    (void)objc_sim_autorelease(value);
    const objc_id key = objc_sim_string(feature->name);
    objc_id provider = objc_sim_new(&features_class);
    hold(provider, ns_dictionary(objc_class("NSDictionary"), &value, &key, 1));
    return objc_sim_autorelease(provider);
}

/* Returns the number of this prediction; a hanging one waits here. */
static int enter(void) {
    (void)pthread_mutex_lock(&lock);
    const int number = ++counts.predicted;
    if (++under_way > counts.at_once) counts.at_once = under_way;
    const bool is_stuck =
        faults.is_hanging && (faults.hanging_max == 0 || hanging < faults.hanging_max);
    if (is_stuck) hanging++;
    while (is_stuck && faults.is_hanging) {
        (void)pthread_mutex_unlock(&lock);
        (void)usleep(1000);
        (void)pthread_mutex_lock(&lock);
    }
    if (is_stuck) hanging--;
    (void)pthread_mutex_unlock(&lock);
    return number;
}

static void leave(void) {
    (void)pthread_mutex_lock(&lock);
    under_way--;
    (void)pthread_mutex_unlock(&lock);
}

static objc_id predict(const model *it, objc_id features, objc_id options, objc_id *error) {
    const char *names[4];
    const uint16_t *inputs[4];
    char text[512] = "";
    int count = 0;
    int outputs = 0;
    const mil_run_feature *input = mil_run_inputs(it->run, &count);
    const mil_run_feature *output = mil_run_outputs(it->run, &outputs);
    const coreml_sim_faults now = faults_now();
    for (int i = 0; i < count; i++) {
        objc_id value = objc_sim_get(held_by(features), input[i].name);
        if (!objc_sim_is(value, "MLFeatureValue", input[i].name)) return NULL;
        if (!is_feature(&input[i], held_by(value))) return NULL;
        names[i] = input[i].name;
        inputs[i] = ((const array *)objc_sim_data(held_by(value)))->data;
    }
    uint16_t *numbers = calloc(output->count, sizeof *numbers);
    if (numbers == NULL) abort();
    objc_id result = NULL;
    if (mil_run_predict(it->run, count, names, inputs, output->name, numbers, text, sizeof text))
        result = give(output, held_by(options), numbers, &now);
    else
        (void)fail(error, text);
    free(numbers);
    return result;
}

static objc_id model_predict(objc_id self, objc_sel selector, objc_id features, objc_id options,
                             objc_id *error) {
    model *it = objc_sim_data(self);
    (void)selector;
    if (!objc_sim_is(features, "MLDictionaryFeatureProvider", "predictionFromFeatures:"))
        return NULL;
    if (!objc_sim_is(options, "MLPredictionOptions", "predictionFromFeatures:")) return NULL;
    if (pthread_mutex_trylock(&it->in_use) != 0) {
        objc_sim_misuse("a model predicts on two threads at a time");
        return NULL;
    }
    const int number = enter();
    const coreml_sim_faults now = faults_now();
    const bool is_due = now.predict_error_at == 0 || now.predict_error_at == number;
    objc_id result = now.predict_error != NULL && is_due ? fail(error, now.predict_error)
                                                         : predict(it, features, options, error);
    leave();
    (void)pthread_mutex_unlock(&it->in_use);
    return result;
}

static const objc_sim_method model_methods[] = {OBJC_SIM_METHOD(ml_compile, model_compile),
                                                OBJC_SIM_METHOD(ml_load, model_load),
                                                OBJC_SIM_METHOD(ml_predict, model_predict)};
static const objc_sim_class model_class = {.name = "MLModel",
                                           .parent = &objc_sim_nsobject,
                                           .data_bytes = sizeof(model),
                                           .drop = drop_model,
                                           .methods = model_methods,
                                           .method_count = COUNT(model_methods)};

/* MLComputePlan: a chain of objects that each hold the next, down to the operations. */

#define HOLDER(variable, word, message, function)                                                  \
    static const objc_sim_method variable##_methods[] = {OBJC_SIM_METHOD(message, function)};      \
    static const objc_sim_class variable = {.name = word,                                          \
                                            .parent = &objc_sim_nsobject,                          \
                                            .since = 1404,                                         \
                                            .data_bytes = sizeof(objc_id),                         \
                                            .drop = drop_held,                                     \
                                            .methods = variable##_methods,                         \
                                            .method_count = 1}

static objc_id give_held(objc_id self, objc_sel selector) {
    (void)selector;
    return held_by(self);
}

HOLDER(operation_class, "MLModelStructureProgramOperation", ml_operation_name, give_held);
HOLDER(block_class, "MLModelStructureProgramBlock", ml_block_operations, give_held);
HOLDER(function_class, "MLModelStructureProgramFunction", ml_function_block, give_held);
HOLDER(program_class, "MLModelStructureProgram", ml_program_functions, give_held);
HOLDER(structure_class, "MLModelStructure", ml_structure_program, give_held);
HOLDER(usage_class, "MLComputePlanDeviceUsage", ml_usage_device, give_held);

static objc_id holder_of(const objc_sim_class *class, objc_id object) {
    objc_id made = objc_sim_new(class);
    hold(made, object);
    return objc_sim_autorelease(made);
}

/* Convolutions go to the engine, softmax to the processor; of constants nothing is said. */
static objc_id plan_usage(objc_id self, objc_sel selector, objc_id operation) {
    (void)self;
    (void)selector;
    if (!objc_sim_is(operation, "MLModelStructureProgramOperation", "computeDeviceUsage"))
        return NULL;
    const char *name = objc_sim_text(held_by(operation));
    if (strcmp(name, "ios17.const") == 0) return NULL;
    const bool is_cpu = strcmp(name, "ios17.softmax") == 0;
    return holder_of(&usage_class, make_device(is_cpu ? &cpu_class : &engine_class));
}

static const objc_sim_class plan_class;

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
    items[0] = holder_of(&operation_class, objc_sim_string("ios17.const"));
    for (int i = 0; i < count; i++) {
        (void)snprintf(name, sizeof name, "ios17.%s", operations[i].type);
        items[i + 1] = holder_of(&operation_class, objc_sim_string(name));
    }
    objc_id block = holder_of(&block_class, objc_sim_array(items, (unsigned long)count + 1));
    const objc_id function = holder_of(&function_class, block);
    const objc_id key = objc_sim_string("main");
    objc_id functions = ns_dictionary(objc_class("NSDictionary"), &function, &key, 1);
    free(items);
    mil_run_close(run);
    return holder_of(&plan_class,
                     holder_of(&structure_class, holder_of(&program_class, functions)));
}

typedef struct plan_job {
    char path[256];
    objc_block *handler;
} plan_job;

/* The handler is called on a thread of Core ML's own. */
static void *run_plan(void *context) {
    plan_job *job = context;
    char text[512] = "";
    const coreml_sim_faults now = faults_now();
    void *pool = tandem__objc.pool_push();
    objc_id plan = now.plan_error == NULL ? make_plan(job->path, text, sizeof text) : NULL;
    objc_id error =
        plan == NULL ? objc_sim_error(1, now.plan_error == NULL ? text : now.plan_error) : NULL;
    ((void (*)(objc_block *, objc_id, objc_id))job->handler->invoke)(job->handler, plan, error);
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
static const objc_sim_class plan_class = {.name = "MLComputePlan",
                                          .parent = &objc_sim_nsobject,
                                          .since = 1404,
                                          .data_bytes = sizeof(objc_id),
                                          .drop = drop_held,
                                          .methods = plan_methods,
                                          .method_count = COUNT(plan_methods)};

static const objc_sim_class *const classes[] = {
    &engine_class,  &cpu_class,       &gpu_class,     &array_class,
    &value_class,   &features_class,  &options_class, &configuration_class,
    &model_class,   &operation_class, &block_class,   &function_class,
    &program_class, &structure_class, &usage_class,   &plan_class,
};

#define CALL(word, function)                                                                       \
    { .name = word, .call = (void (*)(void))(function) }

static const objc_sim_symbol symbols[] = {
    CALL("MLAllComputeDevices", all_devices),
    CALL("object_getClassName", class_name),
};

static const objc_sim_framework framework = {.name = "CoreML",
                                             .classes = classes,
                                             .class_count = COUNT(classes),
                                             .symbols = symbols,
                                             .symbol_count = COUNT(symbols)};

static const objc_sim_symbol system_symbols[] = {CALL("sysctlbyname", read_sysctl)};
static const objc_sim_framework libsystem = {.name = "/usr/lib/libSystem.B.dylib",
                                             .symbols = system_symbols,
                                             .symbol_count = COUNT(system_symbols)};

void coreml_sim_start(int version) {
    static const objc_sim_framework *const frameworks[] = {&framework, &libsystem};
    const objc_sim_options options = {
        .version = version, .frameworks = frameworks, .framework_count = 2};
    (void)pthread_mutex_lock(&lock);
    faults = (coreml_sim_faults){.compile_error = NULL};
    counts = (coreml_sim_counts){.compiled = 0};
    under_way = 0;
    hanging = 0;
    (void)snprintf(build, sizeof build, "23A344");
    (void)pthread_mutex_unlock(&lock);
    objc_sim_start(&options);
}

int coreml_sim_stop(void) {
    (void)pthread_mutex_lock(&lock);
    while (plans > 0) {
        (void)pthread_mutex_unlock(&lock);
        (void)usleep(1000);
        (void)pthread_mutex_lock(&lock);
    }
    (void)pthread_mutex_unlock(&lock);
    return objc_sim_stop();
}
