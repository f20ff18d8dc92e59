/* SPDX-License-Identifier: Apache-2.0 */
#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700 /* usleep, strdup */
#endif
#include "apple/coreml_sim_internal.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apple/mil_run.h"
#include "backend/coreml/package.h"
#include "base/file.h"

#define COUNT(array) (int)(sizeof(array) / sizeof(array)[0])
#define UNITS_ENGINE 3
#define ARRAY_F16    65552

enum { AXES = 4, PADDING = 7 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of faults, counts and build */
static coreml_sim_faults faults;
static coreml_sim_counts counts;
static int under_way;
static int hanging;
static char build[32];

coreml_sim_faults coreml_sim_faults_now(void) {
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

objc_id coreml_sim_device(bool is_engine) {
    return make_device(is_engine ? &engine_class : &cpu_class);
}

static objc_id all_devices(void) {
    const objc_id devices[] = {make_device(&cpu_class), make_device(&gpu_class),
                               make_device(&engine_class)};
    return objc_sim_array(devices, coreml_sim_faults_now().has_no_engine ? 2 : 3);
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

void coreml_sim_drop_held(objc_id object) {
    objc_sim_release(*(objc_id *)objc_sim_data(object));
}

void coreml_sim_hold(objc_id self, objc_id object) {
    objc_id *held = objc_sim_data(self);
    (void)objc_sim_retain(object);
    objc_sim_release(*held);
    *held = object;
}

objc_id coreml_sim_held_by(objc_id self) {
    return *(const objc_id *)objc_sim_data(self);
}

static const objc_sim_class value_class;

static objc_id value_with(objc_id self, objc_sel selector, objc_id it) {
    (void)self;
    (void)selector;
    if (!objc_sim_is(it, "MLMultiArray", "featureValueWithMultiArray:")) return NULL;
    objc_id value = objc_sim_new(&value_class);
    coreml_sim_hold(value, it);
    return objc_sim_autorelease(value);
}

static objc_id value_array(objc_id self, objc_sel selector) {
    (void)selector;
    return coreml_sim_held_by(self);
}

static const objc_sim_method value_methods[] = {OBJC_SIM_METHOD(ml_value, value_with),
                                                OBJC_SIM_METHOD(ml_multi_array, value_array)};
static const objc_sim_class value_class = {.name = "MLFeatureValue",
                                           .parent = &objc_sim_nsobject,
                                           .data_bytes = sizeof(objc_id),
                                           .drop = coreml_sim_drop_held,
                                           .methods = value_methods,
                                           .method_count = COUNT(value_methods)};

/* MLDictionaryFeatureProvider. */

static objc_id features_init(objc_id self, objc_sel selector, objc_id dictionary, objc_id *error) {
    (void)selector;
    (void)error;
    if (objc_sim_is(dictionary, "NSDictionary", "initWithDictionary:"))
        coreml_sim_hold(self, dictionary);
    return self;
}

static objc_id features_value(objc_id self, objc_sel selector, objc_id name) {
    (void)selector;
    if (!objc_sim_is(name, "NSString", "featureValueForName:")) return NULL;
    return objc_sim_get(coreml_sim_held_by(self), objc_sim_text(name));
}

static const objc_sim_method features_methods[] = {
    OBJC_SIM_METHOD(ml_features, features_init),
    OBJC_SIM_METHOD(ml_feature, features_value),
};
static const objc_sim_class features_class = {.name = "MLDictionaryFeatureProvider",
                                              .parent = &objc_sim_nsobject,
                                              .data_bytes = sizeof(objc_id),
                                              .drop = coreml_sim_drop_held,
                                              .methods = features_methods,
                                              .method_count = COUNT(features_methods)};

static void options_backings(objc_id self, objc_sel selector, objc_id dictionary) {
    (void)selector;
    if (objc_sim_is(dictionary, "NSDictionary", "setOutputBackings:"))
        coreml_sim_hold(self, dictionary);
}

static const objc_sim_method options_methods[] = {
    OBJC_SIM_METHOD(ml_set_output_backings, options_backings)};
static const objc_sim_class options_class = {.name = "MLPredictionOptions",
                                             .parent = &objc_sim_nsobject,
                                             .data_bytes = sizeof(objc_id),
                                             .drop = coreml_sim_drop_held,
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
    const coreml_sim_faults now = coreml_sim_faults_now();
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
    const coreml_sim_faults now = coreml_sim_faults_now();
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

static objc_id give(const mil_run_feature *feature, objc_id backings, uint16_t *numbers,
                    const coreml_sim_faults *now) {
    objc_id backing = objc_sim_get(backings, feature->name);
    if (!is_feature(feature, backing)) return NULL;
    array *it = objc_sim_data(backing);
    const long length = feature->shape[3];
    const bool is_wrong = now->wrong_from > 0 && length >= now->wrong_from;
    for (size_t i = 0; is_wrong && i < feature->count / 2; i++) numbers[i] ^= 0x8000;
    if (!now->takes_no_backing)
        memcpy(it->data, numbers, feature->count * sizeof *numbers);
    else
        backing = spread(feature, numbers);
    if (now->writes_nan) ((array *)objc_sim_data(backing))->data[0] = 0x7e00;
    objc_id value = objc_sim_new(&value_class);
    coreml_sim_hold(value, backing);
    (void)objc_sim_autorelease(value);
    const objc_id key = objc_sim_string(feature->name);
    objc_id provider = objc_sim_new(&features_class);
    coreml_sim_hold(provider, ns_dictionary(objc_class("NSDictionary"), &value, &key, 1));
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
    const coreml_sim_faults now = coreml_sim_faults_now();
    for (int i = 0; i < count; i++) {
        objc_id value = objc_sim_get(coreml_sim_held_by(features), input[i].name);
        if (!objc_sim_is(value, "MLFeatureValue", input[i].name)) return NULL;
        if (!is_feature(&input[i], coreml_sim_held_by(value))) return NULL;
        names[i] = input[i].name;
        inputs[i] = ((const array *)objc_sim_data(coreml_sim_held_by(value)))->data;
    }
    uint16_t *numbers = calloc(output->count, sizeof *numbers);
    if (numbers == NULL) abort();
    objc_id result = NULL;
    if (mil_run_predict(it->run, count, names, inputs, output->name, numbers, text, sizeof text))
        result = give(output, coreml_sim_held_by(options), numbers, &now);
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
    const coreml_sim_faults now = coreml_sim_faults_now();
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

static const objc_sim_class *const classes[] = {
    &engine_class,
    &cpu_class,
    &gpu_class,
    &array_class,
    &value_class,
    &features_class,
    &options_class,
    &configuration_class,
    &model_class,
    &coreml_sim_operation_class,
    &coreml_sim_block_class,
    &coreml_sim_function_class,
    &coreml_sim_program_class,
    &coreml_sim_structure_class,
    &coreml_sim_usage_class,
    &coreml_sim_plan_class,
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
    coreml_sim_wait_for_plans();
    return objc_sim_stop();
}
