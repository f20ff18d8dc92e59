/* SPDX-License-Identifier: Apache-2.0 */
/* Foundation as far as the Apple lanes speak to it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "objc_sim.h"

#define COUNT(array) (int)(sizeof(array) / sizeof(array)[0])

/* NSString, NSURL and NSError are a text. */
typedef struct text {
    char *bytes;
    long code; /* of an NSError */
} text;

static const objc_sim_class string_class;
static const objc_sim_class error_class;
static const objc_sim_class array_class;

static long thermal_state;

void objc_sim_set_thermal_state(long state) {
    thermal_state = state;
}

static void drop_text(objc_id object) {
    free(((text *)objc_sim_data(object))->bytes);
}

static objc_id make_text(const objc_sim_class *class, const char *bytes, long code) {
    objc_id made = objc_sim_new(class);
    text *data = objc_sim_data(made);
    data->bytes = strdup(bytes);
    data->code = code;
    return objc_sim_autorelease(made);
}

objc_id objc_sim_string(const char *bytes) {
    return make_text(&string_class, bytes, 0);
}

objc_id objc_sim_error(long code, const char *bytes) {
    return make_text(&error_class, bytes, code);
}

const char *objc_sim_text(objc_id string) {
    return ((const text *)objc_sim_data(string))->bytes;
}

static objc_id string_with(objc_id self, objc_sel selector, const char *bytes) {
    (void)self;
    (void)selector;
    if (bytes != NULL) return objc_sim_string(bytes);
    objc_sim_misuse("stringWithUTF8String: NULL");
    return NULL;
}

static const char *string_utf8(objc_id self, objc_sel selector) {
    (void)selector;
    return objc_sim_text(self);
}

static const objc_sim_method string_methods[] = {
    OBJC_SIM_METHOD(ns_string, string_with),
    OBJC_SIM_METHOD(ns_utf8, string_utf8),
};

static const objc_sim_class string_class = {
    .name = "NSString",
    .parent = &objc_sim_nsobject,
    .data_bytes = sizeof(text),
    .drop = drop_text,
    .methods = string_methods,
    .method_count = COUNT(string_methods),
};

static objc_id error_text(objc_id self, objc_sel selector) {
    (void)selector;
    return objc_sim_string(objc_sim_text(self));
}

static objc_int error_code(objc_id self, objc_sel selector) {
    (void)selector;
    return ((const text *)objc_sim_data(self))->code;
}

static const objc_sim_method error_methods[] = {
    OBJC_SIM_METHOD(ns_error_text, error_text),
    OBJC_SIM_METHOD(ns_error_code, error_code),
};

static const objc_sim_class error_class = {
    .name = "NSError",
    .parent = &objc_sim_nsobject,
    .data_bytes = sizeof(text),
    .drop = drop_text,
    .methods = error_methods,
    .method_count = COUNT(error_methods),
};

static const objc_sim_class url_class;

static objc_id url_with_path(objc_id self, objc_sel selector, objc_id path) {
    (void)self;
    (void)selector;
    if (!objc_sim_is(path, "NSString", "fileURLWithPath:")) return NULL;
    return make_text(&url_class, objc_sim_text(path), 0);
}

static objc_id url_path(objc_id self, objc_sel selector) {
    (void)selector;
    return objc_sim_string(objc_sim_text(self));
}

static const objc_sim_method url_methods[] = {
    OBJC_SIM_METHOD(ns_file_url, url_with_path),
    OBJC_SIM_METHOD(ns_url_path, url_path),
};

static const objc_sim_class url_class = {
    .name = "NSURL",
    .parent = &objc_sim_nsobject,
    .data_bytes = sizeof(text),
    .drop = drop_text,
    .methods = url_methods,
    .method_count = COUNT(url_methods),
};

/* NSNumber. */

static const objc_sim_class number_class;

static objc_id number_with(objc_id self, objc_sel selector, objc_int value) {
    (void)self;
    (void)selector;
    objc_id made = objc_sim_new(&number_class);
    *(long *)objc_sim_data(made) = value;
    return objc_sim_autorelease(made);
}

long objc_sim_integer(objc_id number) {
    return *(const long *)objc_sim_data(number);
}

static objc_int number_integer(objc_id self, objc_sel selector) {
    (void)selector;
    return objc_sim_integer(self);
}

static const objc_sim_method number_methods[] = {
    OBJC_SIM_METHOD(ns_number, number_with),
    OBJC_SIM_METHOD(ns_integer, number_integer),
};

static const objc_sim_class number_class = {
    .name = "NSNumber",
    .parent = &objc_sim_nsobject,
    .data_bytes = sizeof(long),
    .methods = number_methods,
    .method_count = COUNT(number_methods),
};

/* NSArray, and NSDictionary: keys, then values. Both hold what is in them. */
typedef struct list {
    objc_id *items;
    unsigned long count;
    objc_id *keys; /* of a dictionary */
} list;

static void drop_list(objc_id object) {
    list *data = objc_sim_data(object);
    for (unsigned long i = 0; i < data->count; i++) {
        objc_sim_release(data->items[i]);
        if (data->keys != NULL) objc_sim_release(data->keys[i]);
    }
    free(data->items);
    free(data->keys);
}

static objc_id *copy_items(const objc_id *items, unsigned long count, const char *what) {
    objc_id *copy = calloc(count + 1, sizeof *copy);
    if (copy == NULL) abort();
    for (unsigned long i = 0; i < count; i++) {
        if (objc_sim_is(items[i], "NSObject", what)) copy[i] = objc_sim_retain(items[i]);
    }
    return copy;
}

objc_id objc_sim_array(const objc_id *items, unsigned long count) {
    objc_id made = objc_sim_new(&array_class);
    list *data = objc_sim_data(made);
    data->items = copy_items(items, count, "arrayWithObjects:count:");
    data->count = count;
    return objc_sim_autorelease(made);
}

static objc_id array_with(objc_id self, objc_sel selector, const objc_id *items, objc_uint count) {
    (void)self;
    (void)selector;
    return objc_sim_array(items, count);
}

unsigned long objc_sim_count(objc_id array) {
    return ((const list *)objc_sim_data(array))->count;
}

objc_id objc_sim_at(objc_id array, unsigned long index) {
    const list *data = objc_sim_data(array);
    if (index < data->count) return data->items[index];
    objc_sim_misuse("objectAtIndex: %lu of %lu", index, data->count);
    return NULL;
}

static objc_uint array_count(objc_id self, objc_sel selector) {
    (void)selector;
    return objc_sim_count(self);
}

static objc_id array_at(objc_id self, objc_sel selector, objc_uint index) {
    (void)selector;
    return objc_sim_at(self, index);
}

static const objc_sim_method array_methods[] = {
    OBJC_SIM_METHOD(ns_array, array_with),
    OBJC_SIM_METHOD(ns_array_count, array_count),
    OBJC_SIM_METHOD(ns_array_at, array_at),
};

static const objc_sim_class array_class = {
    .name = "NSArray",
    .parent = &objc_sim_nsobject,
    .data_bytes = sizeof(list),
    .drop = drop_list,
    .methods = array_methods,
    .method_count = COUNT(array_methods),
};

static const objc_sim_class dictionary_class;

static objc_id dictionary_with(objc_id self, objc_sel selector, const objc_id *items,
                               const objc_id *keys, objc_uint count) {
    (void)self;
    (void)selector;
    const char *what = "dictionaryWithObjects:forKeys:count:";
    objc_id made = objc_sim_new(&dictionary_class);
    list *data = objc_sim_data(made);
    data->items = copy_items(items, count, what);
    data->keys = copy_items(keys, count, what);
    data->count = count;
    return objc_sim_autorelease(made);
}

unsigned long objc_sim_entries(objc_id dictionary) {
    return ((const list *)objc_sim_data(dictionary))->count;
}

const char *objc_sim_key(objc_id dictionary, unsigned long index) {
    return objc_sim_text(((const list *)objc_sim_data(dictionary))->keys[index]);
}

objc_id objc_sim_get(objc_id dictionary, const char *key) {
    const list *data = objc_sim_data(dictionary);
    for (unsigned long i = 0; i < data->count; i++) {
        if (strcmp(objc_sim_text(data->keys[i]), key) == 0) return data->items[i];
    }
    return NULL;
}

static objc_id dictionary_at(objc_id self, objc_sel selector, objc_id key) {
    (void)selector;
    if (!objc_sim_is(key, "NSString", "objectForKey:")) return NULL;
    return objc_sim_get(self, objc_sim_text(key));
}

static const objc_sim_method dictionary_methods[] = {
    OBJC_SIM_METHOD(ns_dictionary, dictionary_with),
    OBJC_SIM_METHOD(ns_dictionary_at, dictionary_at),
};

static const objc_sim_class dictionary_class = {
    .name = "NSDictionary",
    .parent = &objc_sim_nsobject,
    .data_bytes = sizeof(list),
    .drop = drop_list,
    .methods = dictionary_methods,
    .method_count = COUNT(dictionary_methods),
};

/* NSProcessInfo. */

static const objc_sim_class process_class;

static objc_id process_info(objc_id self, objc_sel selector) {
    (void)self;
    (void)selector;
    return objc_sim_autorelease(objc_sim_new(&process_class));
}

static objc_int process_thermal(objc_id self, objc_sel selector) {
    (void)self;
    (void)selector;
    return thermal_state;
}

static objc_bool process_is_version(objc_id self, objc_sel selector, objc_version version) {
    (void)self;
    (void)selector;
    return objc_sim_version() >= version.major * 100 + version.minor;
}

static const objc_sim_method process_methods[] = {
    OBJC_SIM_METHOD(ns_process_info, process_info),
    OBJC_SIM_METHOD(ns_thermal_state, process_thermal),
    OBJC_SIM_METHOD(ns_is_version, process_is_version),
};

static const objc_sim_class process_class = {
    .name = "NSProcessInfo",
    .parent = &objc_sim_nsobject,
    .methods = process_methods,
    .method_count = COUNT(process_methods),
};

static const objc_sim_class *const classes[] = {
    &objc_sim_nsobject, &string_class, &error_class,      &url_class,
    &number_class,      &array_class,  &dictionary_class, &process_class,
};

const objc_sim_framework objc_sim_foundation = {
    .name = "Foundation",
    .classes = classes,
    .class_count = COUNT(classes),
};
