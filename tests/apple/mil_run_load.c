/* SPDX-License-Identifier: Apache-2.0 */
/* From model.mlmodel's bytes to the program in memory, with every check of its structure. Values
 * and operations are kept in the program's order; an operation may only read what stands before. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "apple/mil_run_internal.h"
#include "apple/mil_run_wire.h"

#define VALUES_MAX   40000
#define SLOTS        131072 /* of the table of names; a power of two */
#define OPS_MAX      20000
#define FEATURES_MAX 16

#define BYTES_FIELD(n)                                                                             \
    { .number = (n), .kind = MIL_RUN_BYTES }
#define BYTES_FIELDS(n)                                                                            \
    { .number = (n), .kind = MIL_RUN_BYTES, .is_repeated = true }
#define NUMBER_FIELD(n)                                                                            \
    { .number = (n), .kind = MIL_RUN_NUMBER }
#define MESSAGE(id, text, count, ...)                                                              \
    static const mil_run_message id = {.name = text, .field_count = count, .fields = {__VA_ARGS__}}

MESSAGE(model_message, "Model", 3, NUMBER_FIELD(1), BYTES_FIELD(2), BYTES_FIELD(502));
MESSAGE(description_message, "ModelDescription", 3, BYTES_FIELDS(1), BYTES_FIELDS(10),
        BYTES_FIELD(100));
MESSAGE(feature_message, "FeatureDescription", 3, BYTES_FIELD(1), BYTES_FIELD(2), BYTES_FIELD(3));
MESSAGE(feature_type_message, "FeatureType", 2, BYTES_FIELD(5), NUMBER_FIELD(1000));
MESSAGE(array_message, "ArrayFeatureType", 2, BYTES_FIELD(1), NUMBER_FIELD(2));
MESSAGE(program_message, "Program", 4, NUMBER_FIELD(1), BYTES_FIELDS(2), BYTES_FIELD(3),
        BYTES_FIELDS(4));
MESSAGE(entry_message, "map entry", 2, BYTES_FIELD(1), BYTES_FIELD(2));
MESSAGE(function_message, "Function", 4, BYTES_FIELDS(1), BYTES_FIELD(2), BYTES_FIELDS(3),
        BYTES_FIELDS(4));
MESSAGE(block_message, "Block", 3, BYTES_FIELDS(2), BYTES_FIELDS(3), BYTES_FIELDS(4));
MESSAGE(operation_message, "Operation", 4, BYTES_FIELD(1), BYTES_FIELDS(2), BYTES_FIELDS(3),
        BYTES_FIELDS(5));
MESSAGE(argument_message, "Argument", 1, BYTES_FIELDS(1));
MESSAGE(binding_message, "Binding", 2, BYTES_FIELD(1), BYTES_FIELD(2));
MESSAGE(named_message, "NamedValueType", 2, BYTES_FIELD(1), BYTES_FIELD(2));
MESSAGE(value_type_message, "ValueType", 1, BYTES_FIELD(1));
MESSAGE(tensor_type_message, "TensorType", 3, NUMBER_FIELD(1), NUMBER_FIELD(2), BYTES_FIELDS(3));
MESSAGE(dimension_message, "Dimension", 1, BYTES_FIELD(1));
MESSAGE(constant_message, "ConstantDimension", 1, NUMBER_FIELD(1));
MESSAGE(value_message, "Value", 3, BYTES_FIELD(2), BYTES_FIELD(3), BYTES_FIELD(5));
MESSAGE(immediate_message, "ImmediateValue", 1, BYTES_FIELD(1));
MESSAGE(blob_message, "BlobFileValue", 2, BYTES_FIELD(1), NUMBER_FIELD(2));
MESSAGE(tensor_message, "TensorValue", 5, BYTES_FIELD(1), BYTES_FIELD(2), BYTES_FIELD(3),
        BYTES_FIELD(4), BYTES_FIELD(7));
MESSAGE(repeated_message, "repeated values", 1, BYTES_FIELD(1));

/* For each field of a message: `at` is the field. Returns from the function on an error. */
#define EACH_FIELD(at, id, bytes_)                                                                 \
    mil_run_wire at = {.message = &(id), .rest = (bytes_)};                                        \
    for (bool at##_more = true; at##_more;)                                                        \
        if (mil_run_wire_next(&at, &at##_more, err) != TANDEM_OK)                                  \
            return err->status;                                                                    \
        else if (at##_more)

typedef struct loader {
    mil_run *run;
    int *slots; /* [SLOTS] index of a value + 1, by its name's hash */
} loader;

/* Key and value of a map's entry. */
static tandem_status read_entry(tandem_str bytes, tandem_str *key, tandem_str *value,
                                tandem_error *err) {
    *key = *value = (tandem_str){NULL, 0};
    EACH_FIELD(at, entry_message, bytes) * (at.number == 1 ? key : value) = at.bytes;
    MIL_RUN_CHECK(key->len > 0 && value->ptr != NULL, "a map's entry without a key or a value");
    return TANDEM_OK;
}

/* Names. */

static bool is_identifier(tandem_str name) {
    for (size_t i = 0; i < name.len; i++) {
        const char c = name.ptr[i];
        const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!is_letter && !(i > 0 && ((c >= '0' && c <= '9') || c == '@'))) return false;
    }
    return name.len > 0;
}

static int *slot_of(const loader *load, tandem_str name) {
    uint32_t hash = 2166136261U;
    for (size_t i = 0; i < name.len; i++) hash = (hash ^ (uint8_t)name.ptr[i]) * 16777619U;
    for (uint32_t i = hash;; i++) {
        int *slot = &load->slots[i % SLOTS];
        if (*slot == 0 || tandem__str_is(name, load->run->values[*slot - 1].name)) return slot;
    }
}

static tandem_status find(const loader *load, tandem_str name, int *index, tandem_error *err) {
    *index = *slot_of(load, name) - 1;
    MIL_RUN_CHECK(*index >= 0, "\"%.*s\" is used before it is made", TANDEM_STR_ARG(name));
    return TANDEM_OK;
}

/* Types. */

static tandem_status read_dimension(tandem_str bytes, int64_t *size, tandem_error *err) {
    uint64_t value = 0;
    EACH_FIELD(at, dimension_message, bytes) {
        EACH_FIELD(inner, constant_message, at.bytes) value = inner.value;
    }
    MIL_RUN_CHECK(value >= 1 && value <= INT_MAX, "a dimension of %llu", (unsigned long long)value);
    *size = (int64_t)value;
    return TANDEM_OK;
}

static tandem_status read_tensor_type(tandem_str bytes, mil_run_type *type, mil_run_shape *shape,
                                      tandem_error *err) {
    uint64_t rank = 0;
    uint64_t number = 0;
    *shape = (mil_run_shape){0};
    EACH_FIELD(at, tensor_type_message, bytes) {
        if (at.number == 1) number = at.value;
        if (at.number == 2) rank = at.value;
        if (at.number != 3) continue;
        MIL_RUN_CHECK(shape->rank < MIL_RUN_RANK_MAX, "over %d dimensions", MIL_RUN_RANK_MAX);
        TANDEM_TRY(read_dimension(at.bytes, &shape->dim[shape->rank++], err));
    }
    MIL_RUN_CHECK(rank == (uint64_t)shape->rank, "rank %llu, but %d dimensions",
                  (unsigned long long)rank, shape->rank);
    MIL_RUN_CHECK(number == MIL_RUN_BOOL || number == MIL_RUN_STRING || number == MIL_RUN_F16 ||
                      number == MIL_RUN_F32 || number == MIL_RUN_I32,
                  "data type %llu is not known here", (unsigned long long)number);
    *type = (mil_run_type)number;
    MIL_RUN_CHECK(mil_run_shape_count(shape) <= 1 << 30, "shape %s is too large",
                  mil_run_shape_text(shape).text);
    return TANDEM_OK;
}

static tandem_status read_value_type(tandem_str bytes, mil_run_type *type, mil_run_shape *shape,
                                     tandem_error *err) {
    *type = MIL_RUN_NONE;
    EACH_FIELD(at, value_type_message, bytes)
    TANDEM_TRY(read_tensor_type(at.bytes, type, shape, err));
    MIL_RUN_CHECK(*type != MIL_RUN_NONE, "a value without a type");
    return TANDEM_OK;
}

static tandem_status new_value(loader *load, int *index, tandem_error *err) {
    mil_run *run = load->run;
    MIL_RUN_CHECK(run->value_count < run->value_max, "over %d values", run->value_max);
    *index = run->value_count++;
    run->values[*index] = (mil_run_value){.name = "", .last_use = -1};
    return TANDEM_OK;
}

/* NamedValueType: a new value. */
static tandem_status declare(loader *load, tandem_str bytes, int *index, tandem_error *err) {
    tandem_str name = {NULL, 0};
    tandem_str type = {NULL, 0};
    EACH_FIELD(at, named_message, bytes) * (at.number == 1 ? &name : &type) = at.bytes;
    MIL_RUN_CHECK(is_identifier(name), "\"%.*s\" is no name for a value", TANDEM_STR_ARG(name));
    MIL_RUN_CHECK(*slot_of(load, name) == 0, "\"%.*s\" is made twice", TANDEM_STR_ARG(name));
    TANDEM_TRY(new_value(load, index, err));
    mil_run_value *value = &load->run->values[*index];
    TANDEM_TRY(read_value_type(type, &value->type, &value->shape, err));
    value->count = mil_run_shape_count(&value->shape);
    value->name = tandem__arena_copy(&load->run->arena, name.ptr, name.len);
    if (value->name == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for a name");
    *slot_of(load, name) = *index + 1;
    return TANDEM_OK;
}

/* Constants. */

/* Numbers of an immediate value: `kind` is TensorValue's field. */
static tandem_status read_numbers(mil_run *run, mil_run_value *value, uint32_t kind,
                                  tandem_str bytes, tandem_error *err) {
    static const uint32_t kinds[] = {
        [MIL_RUN_F32] = 1, [MIL_RUN_I32] = 2, [MIL_RUN_BOOL] = 3, [MIL_RUN_F16] = 7};
    const size_t count = (size_t)value->count;
    MIL_RUN_CHECK(kind == kinds[value->type], "values of field %u for data type %d", kind,
                  value->type);
    float *numbers = tandem__arena_array(&run->arena, count, sizeof *numbers);
    if (numbers == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for %zu numbers", count);
    if (kind == 1 || kind == 7) {
        const size_t each = kind == 1 ? 4 : 2;
        MIL_RUN_CHECK(bytes.len == count * each, "%zu bytes for %zu numbers", bytes.len, count);
        if (kind == 7)
            run->convert.f16_f32(numbers, bytes.ptr, count);
        else
            memcpy(numbers, bytes.ptr, bytes.len);
    } else {
        for (size_t i = 0; i < count; i++) {
            uint64_t number = 0;
            TANDEM_TRY(mil_run_varint(&bytes, &number, err));
            numbers[i] = (float)(int64_t)number;
        }
        MIL_RUN_CHECK(bytes.len == 0, "more than %zu numbers", count);
    }
    value->numbers = numbers;
    value->is_read = true;
    return TANDEM_OK;
}

static tandem_status read_immediate(mil_run *run, mil_run_value *value, tandem_str bytes,
                                    tandem_error *err) {
    int kinds = 0;
    EACH_FIELD(at, immediate_message, bytes) {
        EACH_FIELD(tensor, tensor_message, at.bytes) {
            tandem_str values = {"", 0};
            MIL_RUN_CHECK(++kinds == 1, "two kinds of values");
            EACH_FIELD(list, repeated_message, tensor.bytes) values = list.bytes;
            if (value->type != MIL_RUN_STRING) {
                TANDEM_TRY(read_numbers(run, value, tensor.number, values, err));
                continue;
            }
            MIL_RUN_CHECK(tensor.number == 4 && value->shape.rank == 0, "no single string");
            value->text = values;
        }
    }
    MIL_RUN_CHECK(kinds == 1, "a constant without a value");
    return TANDEM_OK;
}

static tandem_status read_blob(mil_run *run, mil_run_value *value, tandem_str bytes,
                               tandem_error *err) {
    tandem_str name = {"", 0};
    uint64_t offset = 0;
    EACH_FIELD(at, blob_message, bytes) {
        if (at.number == 1)
            name = at.bytes;
        else
            offset = at.value;
    }
    MIL_RUN_CHECK(tandem__str_is(name, "@model_path/weights/weight.bin"),
                  "the weights' file is \"%.*s\"", TANDEM_STR_ARG(name));
    return mil_run_blob(run, value, offset, err);
}

/* Value, into `value`, whose declared type must be the Value's own; without one it takes that. */
static tandem_status read_constant(mil_run *run, mil_run_value *value, tandem_str bytes,
                                   tandem_error *err) {
    tandem_str fields[6] = {{NULL, 0}};
    mil_run_type type;
    mil_run_shape shape;
    EACH_FIELD(at, value_message, bytes) fields[at.number] = at.bytes;
    TANDEM_TRY(read_value_type(fields[2], &type, &shape, err));
    if (value->type == MIL_RUN_NONE) {
        value->type = type;
        value->shape = shape;
        value->count = mil_run_shape_count(&shape);
    }
    MIL_RUN_CHECK(type == value->type && mil_run_shape_equal(&shape, &value->shape),
                  "declared as %s of type %d, its value is %s of type %d",
                  mil_run_shape_text(&value->shape).text, value->type,
                  mil_run_shape_text(&shape).text, type);
    MIL_RUN_CHECK((fields[3].ptr == NULL) != (fields[5].ptr == NULL),
                  "a constant must be immediate or in a file");
    value->is_const = true;
    return fields[3].ptr != NULL ? read_immediate(run, value, fields[3], err)
                                 : read_blob(run, value, fields[5], err);
}

/* The attributes "name", which every operation may have, and "val", which is a const's. */
static tandem_status read_attribute(loader *load, mil_run_value *constant, tandem_str bytes,
                                    tandem_error *err) {
    tandem_str key;
    tandem_str value;
    TANDEM_TRY(read_entry(bytes, &key, &value, err));
    if (tandem__str_is(key, "name")) {
        mil_run_value name = {.type = MIL_RUN_STRING, .count = 1};
        return read_constant(load->run, &name, value, err);
    }
    MIL_RUN_CHECK(constant != NULL && tandem__str_is(key, "val"), "unknown attribute \"%.*s\"",
                  TANDEM_STR_ARG(key));
    MIL_RUN_CHECK(!constant->is_const, "two attributes \"val\"");
    return read_constant(load->run, constant, value, err);
}

/* Arguments. */

/* What the rule says of a parameter: the text behind its name. False: it has none of this name. */
static bool parameter_of(const mil_run_rule *rule, tandem_str name, tandem_str *marks) {
    for (const char *at = rule->parameters; *at != '\0'; at += strspn(at, " ")) {
        const size_t word = strcspn(at, " ");
        const size_t len = strcspn(at, " !?*");
        if (len == name.len && memcmp(at, name.ptr, len) == 0) {
            *marks = (tandem_str){at + len, word - len};
            return true;
        }
        at += word;
    }
    return false;
}

static bool is_marked(tandem_str marks, char mark) {
    return marks.len > 0 && memchr(marks.ptr, mark, marks.len) != NULL;
}

static tandem_status read_binding(loader *load, tandem_str bytes, int *index, tandem_error *err) {
    tandem_str name = {NULL, 0};
    tandem_str value = {NULL, 0};
    EACH_FIELD(at, binding_message, bytes) * (at.number == 1 ? &name : &value) = at.bytes;
    MIL_RUN_CHECK((name.ptr == NULL) != (value.ptr == NULL), "a binding must be a name or a value");
    if (name.ptr != NULL) return find(load, name, index, err);
    TANDEM_TRY(new_value(load, index, err));
    return read_constant(load->run, &load->run->values[*index], value, err);
}

static tandem_status read_argument(loader *load, mil_run_op *op, tandem_str bytes,
                                   tandem_error *err) {
    mil_run *run = load->run;
    tandem_str key;
    tandem_str list;
    tandem_str marks;
    TANDEM_TRY(read_entry(bytes, &key, &list, err));
    MIL_RUN_CHECK(parameter_of(op->rule, key, &marks), "unknown parameter \"%.*s\"",
                  TANDEM_STR_ARG(key));
    MIL_RUN_CHECK(op->argument_count < MIL_RUN_ARGUMENTS_MAX, "too many parameters");
    mil_run_argument *argument = &op->arguments[op->argument_count];
    argument->name = tandem__arena_copy(&run->arena, key.ptr, key.len);
    argument->values = tandem__arena_array(&run->arena, MIL_RUN_RESULTS_MAX, sizeof(int));
    if (argument->name == NULL || argument->values == NULL)
        return TANDEM_FAIL(err, MEMORY, "no memory for an argument");
    MIL_RUN_CHECK(mil_run_argument_count(op, argument->name) == 0, "parameter \"%s\" twice",
                  argument->name);
    EACH_FIELD(at, argument_message, list) {
        MIL_RUN_CHECK(argument->count < (is_marked(marks, '*') ? MIL_RUN_RESULTS_MAX : 1),
                      "parameter \"%s\" has too many values", argument->name);
        TANDEM_TRY(read_binding(load, at.bytes, &argument->values[argument->count], err));
        mil_run_value *value = &run->values[argument->values[argument->count++]];
        MIL_RUN_CHECK(value->is_const || !is_marked(marks, '!'), "parameter \"%s\" must be a const",
                      argument->name);
        value->last_use = run->op_count;
        if (strcmp(argument->name, "weight") != 0) value->is_read = true;
    }
    MIL_RUN_CHECK(argument->count > 0, "parameter \"%s\" has no value", argument->name);
    op->argument_count++;
    return TANDEM_OK;
}

static tandem_status check_required(const mil_run_op *op, tandem_error *err) {
    for (const char *at = op->rule->parameters; *at != '\0'; at += strspn(at, " ")) {
        char name[32];
        const size_t word = strcspn(at, " ");
        const size_t len = strcspn(at, " !?*");
        (void)snprintf(name, sizeof name, "%.*s", (int)len, at);
        MIL_RUN_CHECK(is_marked((tandem_str){at + len, word - len}, '?') ||
                          mil_run_argument_count(op, name) > 0,
                      "parameter \"%s\" is missing", name);
        at += word;
    }
    return TANDEM_OK;
}

/* Operations. */

static tandem_status check_results(loader *load, const mil_run_op *op, tandem_error *err) {
    mil_run_shape shapes[MIL_RUN_RESULTS_MAX] = {{0}};
    mil_run_type types[MIL_RUN_RESULTS_MAX] = {MIL_RUN_NONE};
    TANDEM_TRY(check_required(op, err));
    MIL_RUN_CHECK(op->result_count == 1 || strcmp(op->rule->type, "split") == 0,
                  "%d results, expected 1", op->result_count);
    TANDEM_TRY(op->rule->infer(load->run, op, shapes, types, err));
    for (int i = 0; i < op->result_count; i++) {
        const mil_run_value *value = &load->run->values[op->results[i]];
        MIL_RUN_CHECK(value->type == types[i] && mil_run_shape_equal(&value->shape, &shapes[i]),
                      "declared as %s of type %d, computed as %s of type %d",
                      mil_run_shape_text(&value->shape).text, value->type,
                      mil_run_shape_text(&shapes[i]).text, types[i]);
    }
    return TANDEM_OK;
}

typedef struct operation {
    tandem_str type;
    tandem_str bytes;
} operation;

/* Inputs come before results, whatever their order in the file: a result is not its own input. */
static tandem_status read_operation(loader *load, const operation *from, tandem_error *err) {
    mil_run *run = load->run;
    MIL_RUN_CHECK(run->op_count < OPS_MAX, "over %d operations", OPS_MAX);
    mil_run_op *op = &run->ops[run->op_count];
    *op = (mil_run_op){.rule = mil_run_rule_of(from->type)};
    MIL_RUN_CHECK(op->rule != NULL, "no such operation is known here");
    op->results = tandem__arena_array(&run->arena, MIL_RUN_RESULTS_MAX, sizeof(int));
    if (op->results == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for an operation");
    EACH_FIELD(at, operation_message, from->bytes) {
        if (at.number == 2) TANDEM_TRY(read_argument(load, op, at.bytes, err));
        if (at.number == 5) TANDEM_TRY(read_attribute(load, NULL, at.bytes, err));
    }
    EACH_FIELD(again, operation_message, from->bytes) {
        if (again.number != 3) continue;
        MIL_RUN_CHECK(op->result_count < MIL_RUN_RESULTS_MAX, "too many results");
        TANDEM_TRY(declare(load, again.bytes, &op->results[op->result_count++], err));
    }
    MIL_RUN_CHECK(op->result_count > 0, "no results");
    TANDEM_TRY(check_results(load, op, err));
    run->operations[run->op_count++] =
        (mil_run_operation){op->rule->type, run->values[op->results[0]].name};
    return TANDEM_OK;
}

static tandem_status read_const(loader *load, tandem_str bytes, tandem_error *err) {
    int index = -1;
    EACH_FIELD(at, operation_message, bytes) {
        MIL_RUN_CHECK(at.number != 2, "a const with inputs");
        if (at.number != 3) continue;
        MIL_RUN_CHECK(index < 0, "a const with two results");
        TANDEM_TRY(declare(load, at.bytes, &index, err));
    }
    MIL_RUN_CHECK(index >= 0, "a const without a result");
    mil_run_value *value = &load->run->values[index];
    EACH_FIELD(again, operation_message, bytes)
    if (again.number == 5) TANDEM_TRY(read_attribute(load, value, again.bytes, err));
    MIL_RUN_CHECK(value->is_const, "a const without \"val\"");
    return TANDEM_OK;
}

/* The first result's name, for messages. */
static tandem_str name_of(tandem_str bytes) {
    tandem_error ignored = {0};
    mil_run_wire at = {.message = &operation_message, .rest = bytes};
    for (bool more = true; mil_run_wire_next(&at, &more, &ignored) == TANDEM_OK && more;) {
        mil_run_wire named = {.message = &named_message, .rest = at.bytes};
        if (at.number == 3 && mil_run_wire_next(&named, &more, &ignored) == TANDEM_OK && more)
            return named.bytes;
    }
    return (tandem_str){"", 0};
}

static tandem_status read_any(loader *load, tandem_str bytes, tandem_error *err) {
    char prefix[256];
    operation from = {.type = {"", 0}, .bytes = bytes};
    EACH_FIELD(at, operation_message, bytes) if (at.number == 1) from.type = at.bytes;
    const tandem_status status = tandem__str_is(from.type, "const")
                                     ? read_const(load, bytes, err)
                                     : read_operation(load, &from, err);
    if (status == TANDEM_OK) return TANDEM_OK;
    (void)snprintf(prefix, sizeof prefix, "%.*s \"%.*s\"", TANDEM_STR_ARG(from.type),
                   TANDEM_STR_ARG(name_of(bytes)));
    return tandem__fail_prefix(err, status, prefix);
}

/* The function. */

static mil_run_feature feature_of(const mil_run_value *value) {
    mil_run_feature feature = {
        .name = value->name, .rank = value->shape.rank, .count = (size_t)value->count};
    memcpy(feature.shape, value->shape.dim, sizeof feature.shape);
    return feature;
}

static tandem_status add_feature(mil_run *run, bool is_input, int index, tandem_error *err) {
    int *count = is_input ? &run->input_count : &run->output_count;
    mil_run_value *value = &run->values[index];
    MIL_RUN_CHECK(*count < FEATURES_MAX, "over %d inputs or outputs", FEATURES_MAX);
    MIL_RUN_CHECK(value->type == MIL_RUN_F16, "\"%s\" is not of f16", value->name);
    MIL_RUN_CHECK(is_input || (!value->is_const && !value->is_input),
                  "output \"%s\" is no result of an operation", value->name);
    (is_input ? run->inputs : run->outputs)[*count] = feature_of(value);
    (is_input ? run->input_values : run->output_values)[(*count)++] = index;
    if (is_input)
        value->is_input = true;
    else
        value->last_use = INT_MAX;
    return TANDEM_OK;
}

static tandem_status read_block(loader *load, tandem_str bytes, tandem_error *err) {
    EACH_FIELD(at, block_message, bytes)
    if (at.number == 3) TANDEM_TRY(read_any(load, at.bytes, err));
    EACH_FIELD(again, block_message, bytes) {
        if (again.number != 2) continue;
        int index;
        TANDEM_TRY(find(load, again.bytes, &index, err));
        TANDEM_TRY(add_feature(load->run, false, index, err));
    }
    MIL_RUN_CHECK(load->run->output_count > 0, "the program has no output");
    return TANDEM_OK;
}

/* The version of the specification that brought an operation set, 0 for one unknown. */
static uint64_t version_of(tandem_str opset) {
    static const struct {
        const char *name;
        uint64_t version;
    } known[] = {{"CoreML5", 6}, {"CoreML6", 7}, {"CoreML7", 8}, {"CoreML8", 9}, {"CoreML9", 10}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (tandem__str_is(opset, known[i].name)) return known[i].version;
    return 0;
}

static tandem_status read_function(loader *load, tandem_str bytes, uint64_t version,
                                   tandem_error *err) {
    tandem_str opset = {"", 0};
    tandem_str key;
    tandem_str block = {NULL, 0};
    EACH_FIELD(at, function_message, bytes) {
        if (at.number == 1) {
            int index;
            TANDEM_TRY(declare(load, at.bytes, &index, err));
            TANDEM_TRY(add_feature(load->run, true, index, err));
        }
        if (at.number == 2) opset = at.bytes;
        if (at.number != 3) continue;
        MIL_RUN_CHECK(block.ptr == NULL, "two specializations of the function");
        TANDEM_TRY(read_entry(at.bytes, &key, &block, err));
    }
    MIL_RUN_CHECK(block.ptr != NULL && tandem__str_equal(key, opset),
                  "no specialization for the function's operation set \"%.*s\"",
                  TANDEM_STR_ARG(opset));
    MIL_RUN_CHECK(version_of(opset) == version,
                  "operation set \"%.*s\" with specification version %llu", TANDEM_STR_ARG(opset),
                  (unsigned long long)version);
    return read_block(load, block, err);
}

static tandem_status read_program(loader *load, tandem_str bytes, uint64_t version,
                                  tandem_error *err) {
    tandem_str name;
    tandem_str function = {NULL, 0};
    uint64_t program = 0;
    EACH_FIELD(at, program_message, bytes) {
        if (at.number == 1) program = at.value;
        if (at.number != 2) continue;
        MIL_RUN_CHECK(function.ptr == NULL, "over one function");
        TANDEM_TRY(read_entry(at.bytes, &name, &function, err));
    }
    MIL_RUN_CHECK(program == 1, "program version %llu, expected 1", (unsigned long long)program);
    MIL_RUN_CHECK(function.ptr != NULL && tandem__str_is(name, "main"), "no function main");
    return read_function(load, function, version, err);
}

/* The description, which must say of inputs and outputs what the function says. */

static tandem_status check_array(tandem_str bytes, const mil_run_feature *feature,
                                 tandem_error *err) {
    uint64_t type = 0;
    mil_run_shape shape = {0};
    mil_run_shape expected = {.rank = feature->rank};
    memcpy(expected.dim, feature->shape, sizeof expected.dim);
    EACH_FIELD(at, array_message, bytes) {
        if (at.number == 2) type = at.value;
        while (at.number == 1 && at.bytes.len > 0) {
            uint64_t dim = 0;
            TANDEM_TRY(mil_run_varint(&at.bytes, &dim, err));
            MIL_RUN_CHECK(shape.rank < MIL_RUN_RANK_MAX, "over %d dimensions", MIL_RUN_RANK_MAX);
            shape.dim[shape.rank++] = (int64_t)dim;
        }
    }
    MIL_RUN_CHECK(type == 65552, "described as of type %llu, expected FLOAT16, 65552",
                  (unsigned long long)type);
    MIL_RUN_CHECK(mil_run_shape_equal(&shape, &expected), "described as %s, the program has %s",
                  mil_run_shape_text(&shape).text, mil_run_shape_text(&expected).text);
    return TANDEM_OK;
}

static tandem_status check_feature(tandem_str bytes, const mil_run_feature *features, int count,
                                   tandem_error *err) {
    tandem_str fields[4] = {{NULL, 0}};
    tandem_str array = {NULL, 0};
    EACH_FIELD(at, feature_message, bytes) fields[at.number] = at.bytes;
    EACH_FIELD(type, feature_type_message, fields[3]) if (type.number == 5) array = type.bytes;
    for (int i = 0; i < count; i++) {
        if (!tandem__str_is(fields[1], features[i].name)) continue;
        MIL_RUN_CHECK(array.ptr != NULL, "\"%s\" is not described as an array", features[i].name);
        const tandem_status status = check_array(array, &features[i], err);
        return status == TANDEM_OK ? status : tandem__fail_prefix(err, status, features[i].name);
    }
    return TANDEM_FAIL(err, FORMAT, "\"%.*s\" is described, and the program has none",
                       TANDEM_STR_ARG(fields[1]));
}

static tandem_status check_description(const mil_run *run, tandem_str bytes, tandem_error *err) {
    int inputs = 0;
    int outputs = 0;
    EACH_FIELD(at, description_message, bytes) {
        if (at.number == 1) {
            inputs++;
            TANDEM_TRY(check_feature(at.bytes, run->inputs, run->input_count, err));
        }
        if (at.number == 10) {
            outputs++;
            TANDEM_TRY(check_feature(at.bytes, run->outputs, run->output_count, err));
        }
    }
    MIL_RUN_CHECK(inputs == run->input_count && outputs == run->output_count,
                  "%d inputs and %d outputs described, the program has %d and %d", inputs, outputs,
                  run->input_count, run->output_count);
    return TANDEM_OK;
}

/* What is made is used, and what is used is in f32 where that is needed. */
static tandem_status finish(mil_run *run, tandem_error *err) {
    for (int i = 0; i < run->value_count; i++) {
        mil_run_value *value = &run->values[i];
        MIL_RUN_CHECK(value->last_use >= 0, "\"%s\" is used by nothing", value->name);
        if (value->half == NULL || !value->is_read) continue;
        float *numbers = tandem__arena_array(&run->arena, (size_t)value->count, sizeof *numbers);
        if (numbers == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for \"%s\"", value->name);
        run->convert.f16_f32(numbers, value->half, (size_t)value->count);
        value->numbers = numbers;
    }
    return TANDEM_OK;
}

tandem_status mil_run_load(mil_run *run, tandem_error *err) {
    loader load = {.run = run};
    tandem_str description = {NULL, 0};
    tandem_str program = {NULL, 0};
    uint64_t version = 0;
    tandem_arena *arena = &run->arena;
    load.slots = tandem__arena_array(arena, SLOTS, sizeof *load.slots);
    run->value_max = VALUES_MAX;
    run->values = tandem__arena_array(arena, VALUES_MAX, sizeof *run->values);
    run->ops = tandem__arena_array(arena, OPS_MAX, sizeof *run->ops);
    run->operations = tandem__arena_array(arena, OPS_MAX, sizeof *run->operations);
    run->inputs = tandem__arena_array(arena, FEATURES_MAX, sizeof *run->inputs);
    run->outputs = tandem__arena_array(arena, FEATURES_MAX, sizeof *run->outputs);
    run->input_values = tandem__arena_array(arena, FEATURES_MAX, sizeof(int));
    run->output_values = tandem__arena_array(arena, FEATURES_MAX, sizeof(int));
    if (load.slots == NULL || run->values == NULL || run->ops == NULL || run->operations == NULL ||
        run->inputs == NULL || run->outputs == NULL || run->input_values == NULL ||
        run->output_values == NULL)
        return TANDEM_FAIL(err, MEMORY, "no memory for a program");
    EACH_FIELD(at, model_message, ((tandem_str){(const char *)run->model.bytes, run->model.len})) {
        if (at.number == 1) version = at.value;
        if (at.number == 2) description = at.bytes;
        if (at.number == 502) program = at.bytes;
    }
    MIL_RUN_CHECK(description.ptr != NULL && program.ptr != NULL,
                  "the model has no description or no program");
    TANDEM_TRY(read_program(&load, program, version, err));
    TANDEM_TRY(check_description(run, description, err));
    return finish(run, err);
}
