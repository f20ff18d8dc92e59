/* SPDX-License-Identifier: Apache-2.0 */
/* Core ML's objects. What is made once is kept with the worker that uses it: the model, the inputs
 * over memory of ours, the options with the output's memory. A prediction then makes only what Core
 * ML makes itself, inside a pool.
 *
 * Exceptions of Objective-C cannot be caught from C. Core ML raises them for misuse alone; the
 * programs and shapes that reach it here have passed the linter. */
#include <string.h>

#include "apple/symbols.h"
#include "backend/coreml/ane_internal.h"
#include "backend/coreml/ane_packages.h"
#include "base/assert.h"
#include "base/fail.h"
#include "base/mem.h"

enum { AXES = 4 };

static tandem_status copy_path(objc_id url, char *path, tandem_error *err) {
    const char *text = ns_utf8(ns_url_path(url));
    if (text == NULL || strlen(text) >= TANDEM_PATH_MAX)
        return TANDEM_FAIL(err, DEVICE, "Core ML gave no path of what it compiled");
    memcpy(path, text, strlen(text) + 1);
    return TANDEM_OK;
}

/* A URL of no path is an exception: what is not UTF-8 must not get there. */
static tandem_status file_url(const char *path, objc_id *url, tandem_error *err) {
    objc_id text = objc_text(path);
    if (text == NULL) return TANDEM_FAIL(err, INVALID, "%s: the path is not UTF-8", path);
    *url = ns_file_url(objc_class("NSURL"), text);
    return TANDEM_OK;
}

static tandem_status compile(const char *package, char *compiled, tandem_error *err) {
    objc_id error = NULL;
    objc_id from = NULL;
    TANDEM_TRY(file_url(package, &from, err));
    objc_id url = ml_compile(objc_class("MLModel"), from, &error);
    return url == NULL ? tandem__objc_fail(err, "Core ML compiles no program", error)
                       : copy_path(url, compiled, err);
}

tandem_status tandem__ane_compile(const char *package, char *compiled, tandem_error *err) {
    void *pool = tandem__objc.pool_push();
    const tandem_status status = compile(package, compiled, err);
    tandem__objc.pool_pop(pool);
    return status;
}

objc_id tandem__ane_configuration(void) {
    objc_id configuration = ns_init(ns_alloc(objc_class("MLModelConfiguration")));
    ml_set_compute_units(configuration, ML_UNITS_CPU_AND_ANE);
    return configuration;
}

/* (1, first, 1, last) over `memory`, row-major; the caller releases it. */
static objc_id make_array(void *memory, int32_t first, int32_t last, tandem_error *err) {
    const objc_int sizes[AXES] = {1, first, 1, last};
    objc_id shape[AXES];
    objc_id strides[AXES];
    objc_id error = NULL;
    objc_int stride = 1;
    for (int i = AXES - 1; i >= 0; i--) {
        shape[i] = ns_number(objc_class("NSNumber"), sizes[i]);
        strides[i] = ns_number(objc_class("NSNumber"), stride);
        stride *= sizes[i];
    }
    objc_id array = ml_array(ns_alloc(objc_class("MLMultiArray")), memory,
                             ns_array(objc_class("NSArray"), shape, AXES), ML_FLOAT16,
                             ns_array(objc_class("NSArray"), strides, AXES), NULL, &error);
    if (array == NULL) (void)tandem__objc_fail(err, "Core ML takes no array", error);
    return array;
}

static tandem_status make_features(ane_net *net, objc_id hidden, objc_id mask, tandem_error *err) {
    objc_id error = NULL;
    const objc_id keys[] = {objc_text("hidden"), objc_text("mask")};
    const objc_id values[] = {ml_value(objc_class("MLFeatureValue"), hidden),
                              ml_value(objc_class("MLFeatureValue"), mask)};
    net->features = ml_features(ns_alloc(objc_class("MLDictionaryFeatureProvider")),
                                ns_dictionary(objc_class("NSDictionary"), values, keys, 2), &error);
    if (net->features == NULL) return tandem__objc_fail(err, "Core ML takes no inputs", error);
    return TANDEM_OK;
}

static tandem_status make_io(ane_net *net, tandem_error *err) {
    objc_id hidden = make_array(net->hidden, net->channels, net->length, err);
    objc_id mask = make_array(net->mask, net->length, 1, err);
    objc_id states = make_array(net->states, net->hidden_size, net->length, err);
    tandem_status status = TANDEM_DEVICE;
    if (hidden != NULL && mask != NULL && states != NULL) {
        const objc_id key = objc_text("states");
        net->options = ns_init(ns_alloc(objc_class("MLPredictionOptions")));
        ml_set_output_backings(net->options,
                               ns_dictionary(objc_class("NSDictionary"), &states, &key, 1));
        status = make_features(net, hidden, mask, err);
    }
    ns_release(hidden);
    ns_release(mask);
    ns_release(states);
    return status;
}

static tandem_status load(ane_net *net, const char *folder, tandem_error *err) {
    char path[TANDEM_PATH_MAX];
    objc_id error = NULL;
    TANDEM_TRY(tandem__ane_package_path(folder, net->length, "mlmodelc", path, err));
    objc_id url = NULL;
    TANDEM_TRY(file_url(path, &url, err));
    objc_id configuration = tandem__ane_configuration();
    objc_id model = ml_load(objc_class("MLModel"), url, configuration, &error);
    ns_release(configuration);
    if (model == NULL) return tandem__objc_fail(err, "Core ML loads no model", error);
    net->model = ns_retain(model);
    return make_io(net, err);
}

static size_t aligned(size_t bytes) {
    return (bytes + TANDEM_ALIGNMENT - 1) / TANDEM_ALIGNMENT * TANDEM_ALIGNMENT;
}

tandem_status tandem__ane_net_open(ane_net *net, const char *folder, tandem_error *err) {
    const size_t row = aligned((size_t)net->length * sizeof(uint16_t));
    const size_t hidden = (size_t)net->channels * row;
    const size_t states = (size_t)net->hidden_size * row;
    TANDEM_ASSERT(row == (size_t)net->length * sizeof(uint16_t));
    const size_t wider =
        (size_t)(net->channels > net->hidden_size ? net->channels : net->hidden_size);
    net->bytes = hidden + row + states + ANE_BLOCK * wider * sizeof(uint16_t);
    net->memory = tandem__mem_alloc_aligned(net->bytes);
    if (net->memory == NULL)
        return TANDEM_FAIL(err, MEMORY, "no memory for %zu bytes of inputs", net->bytes);
    memset(net->memory, 0, net->bytes);
    net->hidden = (uint16_t *)(void *)net->memory;
    net->mask = (uint16_t *)(void *)(net->memory + hidden);
    net->states = (uint16_t *)(void *)(net->memory + hidden + row);
    net->block = (uint16_t *)(void *)(net->memory + hidden + row + states);
    void *pool = tandem__objc.pool_push();
    const tandem_status status = load(net, folder, err);
    tandem__objc.pool_pop(pool);
    if (status != TANDEM_OK) tandem__ane_net_close(net);
    return status;
}

void tandem__ane_net_close(ane_net *net) {
    void *pool = tandem__objc.pool_push(); /* for what a model lets go of as it ends */
    ns_release(net->features);
    ns_release(net->options);
    ns_release(net->model);
    tandem__objc.pool_pop(pool);
    if (net->memory != NULL) tandem__mem_free_aligned(net->memory, net->bytes);
    net->features = NULL;
    net->options = NULL;
    net->model = NULL;
    net->memory = NULL;
}

/* The numbers of an array of Core ML's own, whose rows may be further apart. */
static tandem_status copy_states(ane_net *net, objc_id array, tandem_error *err) {
    const uint16_t *data = ml_data(array);
    objc_id strides = ml_strides(array);
    if (data == NULL || ns_array_count(strides) != AXES)
        return TANDEM_FAIL(err, DEVICE, "Core ML gave no states");
    const objc_int row = ns_integer(ns_array_at(strides, 1));
    const objc_int column = ns_integer(ns_array_at(strides, AXES - 1));
    for (objc_int i = 0; i < net->hidden_size; i++) {
        for (objc_int k = 0; k < net->length; k++)
            net->states[i * net->length + k] = data[i * row + k * column];
    }
    return TANDEM_OK;
}

static tandem_status run(ane_net *net, tandem_error *err) {
    objc_id error = NULL;
    objc_id result = ml_predict(net->model, net->features, net->options, &error);
    if (result == NULL) return tandem__objc_fail(err, "Core ML predicts nothing", error);
    objc_id array = ml_multi_array(ml_feature(result, objc_text("states")));
    if (array == NULL) return TANDEM_FAIL(err, DEVICE, "Core ML gave no states");
    return ml_data(array) == net->states ? TANDEM_OK : copy_states(net, array, err);
}

tandem_status tandem__ane_net_run(ane_net *net, tandem_error *err) {
    void *pool = tandem__objc.pool_push();
    const tandem_status status = run(net, err);
    tandem__objc.pool_pop(pool);
    return status;
}
