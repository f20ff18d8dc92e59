/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors of an inference request: shapes, elements as JSON however nested, elements as bytes. */
#include <stdio.h>

#include "base/fail.h"
#include "base/number.h"
#include "server/fields.h"
#include "server/kserve.h"

#define RANK_MAX 8

static tandem_status fail_tensor(server_ask *ask, const kserve_tensor *tensor, const char *what,
                                 const tandem_json *value, const char *expected,
                                 tandem_error *err) {
    char name[120];
    const int len = snprintf(name, sizeof name, "%s.%s", tensor->field, what);
    const char *copy = tandem__arena_copy(ask->arena, name, len > 0 ? (size_t)len : 0);
    const char *field = copy == NULL ? what : copy;
    if (value == NULL) return server_field_missing(ask, field, expected, err);
    return server_field_fail(ask, field, value, expected, err);
}

/* The product may not be more than a request could hold. */
static tandem_status read_shape(server_ask *ask, const tandem_json *node, kserve_tensor *tensor,
                                tandem_error *err) {
    const tandem_json *shape = server_field(node, "shape");
    const char *expected = "a list of 1 to 8 positive integers, as many elements as there are";
    if (shape == NULL || shape->kind != TANDEM_JSON_ARRAY || shape->count == 0 ||
        shape->count > RANK_MAX) {
        return fail_tensor(ask, tensor, "shape", shape, expected, err);
    }
    int64_t product = 1;
    for (const tandem_json *item = shape->first; item != NULL; item = item->next) {
        int64_t size = 0;
        if (!server_json_int(item, &size) || size < 1 || size > INT32_MAX / product)
            return fail_tensor(ask, tensor, "shape", shape, expected, err);
        product *= size;
        if (item == shape->first) tensor->rows = (size_t)size;
    }
    tensor->count = (size_t)product;
    return TANDEM_OK;
}

/* Takes the tensor's bytes off the front of `*binary`, if it says that it has some. */
static tandem_status read_bytes(server_ask *ask, const tandem_json *node, kserve_tensor *tensor,
                                tandem_str *binary, tandem_error *err) {
    const tandem_json *parameters = server_field(node, "parameters");
    if (parameters != NULL && parameters->kind != TANDEM_JSON_OBJECT)
        return fail_tensor(ask, tensor, "parameters", parameters, "an object", err);
    const tandem_json *size = server_field(parameters, "binary_data_size");
    tensor->data = server_field(node, "data");
    if (size == NULL) {
        if (tensor->data != NULL && tensor->data->kind == TANDEM_JSON_ARRAY) return TANDEM_OK;
        return fail_tensor(ask, tensor, "data", tensor->data, "a list of elements", err);
    }
    int64_t bytes = 0;
    if (tensor->data != NULL)
        return fail_tensor(ask, tensor, "data", tensor->data, "none beside binary_data_size", err);
    if (!server_json_int(size, &bytes) || bytes < 0 || (uint64_t)bytes > binary->len)
        return fail_tensor(ask, tensor, "parameters.binary_data_size", size,
                           "no more bytes than follow the JSON header", err);
    tensor->bytes = (tandem_str){binary->ptr, (size_t)bytes};
    *binary = (tandem_str){binary->ptr + bytes, binary->len - (size_t)bytes};
    return TANDEM_OK;
}

static tandem_status read_tensor(server_ask *ask, const tandem_json *node, kserve_tensor *tensor,
                                 tandem_str *binary, tandem_error *err) {
    if (node->kind != TANDEM_JSON_OBJECT)
        return server_field_fail(ask, tensor->field, node, "a tensor", err);
    const tandem_json *name = server_field(node, "name");
    if (name == NULL || name->kind != TANDEM_JSON_STRING)
        return fail_tensor(ask, tensor, "name", name, "a string", err);
    const tandem_json *datatype = server_field(node, "datatype");
    if (datatype == NULL || datatype->kind != TANDEM_JSON_STRING)
        return fail_tensor(ask, tensor, "datatype", datatype, "a string such as BYTES", err);
    tensor->name = name->text;
    tensor->datatype = datatype->text;
    TANDEM_TRY(read_shape(ask, node, tensor, err));
    return read_bytes(ask, node, tensor, binary, err);
}

tandem_status kserve_tensors_read(server_ask *ask, const tandem_json *body, tandem_str binary,
                                  tandem_error *err) {
    kserve_own *own = ask->own;
    const tandem_json *inputs = server_field(body, "inputs");
    if (inputs == NULL) return server_field_missing(ask, "inputs", "a list of tensors", err);
    if (inputs->kind != TANDEM_JSON_ARRAY || inputs->count == 0 ||
        inputs->count > KSERVE_TENSORS_MAX) {
        return server_field_fail(ask, "inputs", inputs, "a list of 1 to 4 tensors", err);
    }
    for (const tandem_json *node = inputs->first; node != NULL; node = node->next) {
        kserve_tensor *tensor = &own->tensors[own->tensor_count];
        tensor->field = server_field_item(ask, "inputs", own->tensor_count);
        TANDEM_TRY(read_tensor(ask, node, tensor, &binary, err));
        own->tensor_count++;
    }
    if (binary.len == 0) return TANDEM_OK;
    ask->field = "inputs";
    return TANDEM_FAIL(err, INVALID, "inputs: %zu bytes after the JSON header belong to no tensor",
                       binary.len);
}

/* What is done with each element of a tensor in JSON. */
typedef tandem_status take_function(server_ask *ask, const kserve_tensor *tensor,
                                    const tandem_json *item, void *to, tandem_error *err);

/* The elements of nested lists, in order: `*at` of tensor->count are taken. */
static tandem_status walk(server_ask *ask, const kserve_tensor *tensor, const tandem_json *list,
                          take_function *take, char *to, size_t element, size_t *at,
                          tandem_error *err) {
    for (const tandem_json *item = list->first; item != NULL; item = item->next) {
        if (item->kind == TANDEM_JSON_ARRAY) { // as deep as TANDEM_JSON_DEPTH_MAX
            TANDEM_TRY(walk(ask, tensor, item, take, to, element, at, err));
            continue;
        }
        if (*at < tensor->count) TANDEM_TRY(take(ask, tensor, item, to + *at * element, err));
        (*at)++;
    }
    return TANDEM_OK;
}

static tandem_status fail_count(server_ask *ask, const kserve_tensor *tensor, size_t found,
                                tandem_error *err) {
    ask->field = tensor->field;
    return TANDEM_FAIL(err, INVALID, "%s: %zu elements, its shape has %zu", tensor->field, found,
                       tensor->count);
}

static tandem_status take_text(server_ask *ask, const kserve_tensor *tensor,
                               const tandem_json *item, void *to, tandem_error *err) {
    if (item->kind != TANDEM_JSON_STRING)
        return fail_tensor(ask, tensor, "data", item, "strings", err);
    tandem_text *text = to;
    *text = (tandem_text){item->text.ptr, item->text.len};
    return TANDEM_OK;
}

static uint64_t read_little_endian(const char *ptr, size_t bytes) {
    uint64_t value = 0;
    for (size_t i = bytes; i-- > 0;) value = value << 8 | (uint8_t)ptr[i];
    return value;
}

/* Each element is its length, 4 bytes little-endian, and so many bytes. */
static tandem_status split_bytes(server_ask *ask, const kserve_tensor *tensor, tandem_text *texts,
                                 tandem_error *err) {
    tandem_str left = tensor->bytes;
    size_t count = 0;
    while (left.len >= 4) {
        const size_t len = (size_t)read_little_endian(left.ptr, 4);
        if (len > left.len - 4) break;
        if (count < tensor->count) texts[count] = (tandem_text){left.ptr + 4, len};
        left = (tandem_str){left.ptr + 4 + len, left.len - 4 - len};
        count++;
    }
    if (left.len > 0) {
        ask->field = tensor->field;
        return TANDEM_FAIL(err, INVALID,
                           "%s: element %zu is cut off: %zu bytes are left of the tensor",
                           tensor->field, count, left.len);
    }
    return count == tensor->count ? TANDEM_OK : fail_count(ask, tensor, count, err);
}

tandem_status kserve_texts(server_ask *ask, const kserve_tensor *tensor, tandem_text **texts,
                           tandem_error *err) {
    *texts = server_ask_array(ask, tensor->count, sizeof **texts, err);
    if (*texts == NULL) return TANDEM_MEMORY;
    if (tensor->data == NULL) return split_bytes(ask, tensor, *texts, err);
    size_t found = 0;
    TANDEM_TRY(
        walk(ask, tensor, tensor->data, take_text, (char *)*texts, sizeof **texts, &found, err));
    return found == tensor->count ? TANDEM_OK : fail_count(ask, tensor, found, err);
}

static tandem_status take_int(server_ask *ask, const kserve_tensor *tensor, const tandem_json *item,
                              void *to, tandem_error *err) {
    int64_t *value = to;
    return server_json_int(item, value) ? TANDEM_OK
                                        : fail_tensor(ask, tensor, "data", item, "integers", err);
}

/* Elements of nested lists. */
static size_t count_items(const tandem_json *list) {
    size_t count = 0;
    for (const tandem_json *item = list->first; item != NULL; item = item->next)
        count += item->kind == TANDEM_JSON_ARRAY ? count_items(item) : 1;
    return count;
}

/* What is there is counted before memory is taken for what the shape promises. */
tandem_status kserve_ints(server_ask *ask, const kserve_tensor *tensor, int64_t **values,
                          tandem_error *err) {
    const size_t width = tandem__str_is(tensor->datatype, "INT64") ? 8 : 4;
    const size_t there =
        tensor->data != NULL ? count_items(tensor->data) : tensor->bytes.len / width;
    if (there != tensor->count || (tensor->data == NULL && tensor->bytes.len % width != 0))
        return fail_count(ask, tensor, there, err);
    *values = server_ask_array(ask, tensor->count, sizeof **values, err);
    if (*values == NULL) return TANDEM_MEMORY;
    size_t found = 0;
    if (tensor->data != NULL)
        return walk(ask, tensor, tensor->data, take_int, (char *)*values, sizeof **values, &found,
                    err);
    for (; found < tensor->count; found++) {
        const uint64_t bits = read_little_endian(tensor->bytes.ptr + found * width, width);
        (*values)[found] = width == 8 ? (int64_t)bits : (int32_t)(uint32_t)bits;
    }
    return TANDEM_OK;
}
