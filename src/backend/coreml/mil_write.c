/* SPDX-License-Identifier: Apache-2.0 */
/* A program in protobuf's wire format, by hand: a message is a run of fields, a field a varint of
 * number * 8 + wire type and its value, and of the wire types only two are needed, varint (0) and
 * length with bytes (2). Numbers of fields from Apple's published Model.proto, FeatureTypes.proto
 * and MIL.proto (coremltools, BSD):
 *
 *     Model      1 specificationVersion  2 description  502 mlProgram
 *     Program    1 version  2 functions{key, Function}
 *     Function   1 inputs  2 opset  3 block_specializations{opset, Block}
 *     Block      2 outputs  3 operations
 *     Operation  1 type  2 inputs{parameter, Argument}  3 outputs  5 attributes{name, Value}
 *     Value      2 type  3 immediateValue  5 blobFileValue
 *
 * A nested message is written in place and its length put before it afterwards, by moving its bytes
 * up: the programs are below a megabyte. Constants come first, then the operations in order. */
#include <string.h>

#include "backend/coreml/mil.h"
#include "base/assert.h"
#include "base/fail.h"

/* Specification 8 and opset CoreML7 are those of macOS 14. */
#define SPECIFICATION 8
#define OPSET         "CoreML7"
#define WEIGHT_FILE   "@model_path/weights/weight.bin"

enum {
    WIRE_VARINT = 0,
    WIRE_BYTES = 2,
    VARINT_BYTES_MAX = 10,
    MULTI_ARRAY_F16 = 65552, /* ArrayFeatureType.ArrayDataType.FLOAT16 */
};

/* The first error stays; nothing is written after it. */
typedef struct wire {
    tandem_buffer *out;
    tandem_status status;
    tandem_error *err;
} wire;

static void put(wire *w, const void *bytes, size_t len) {
    if (w->status == TANDEM_OK) w->status = tandem__buffer_push(w->out, bytes, len, w->err);
}

static size_t encode(uint64_t value, uint8_t *out) {
    size_t len = 0;
    for (; value >= 0x80; value >>= 7) out[len++] = (uint8_t)(value | 0x80);
    out[len++] = (uint8_t)value;
    return len;
}

static void put_varint(wire *w, uint64_t value) {
    uint8_t bytes[VARINT_BYTES_MAX];
    put(w, bytes, encode(value, bytes));
}

static void put_number(wire *w, uint32_t field, uint64_t value) {
    put_varint(w, (uint64_t)field << 3 | WIRE_VARINT);
    put_varint(w, value);
}

static void put_bytes(wire *w, uint32_t field, const void *bytes, size_t len) {
    put_varint(w, (uint64_t)field << 3 | WIRE_BYTES);
    put_varint(w, len);
    if (len > 0) put(w, bytes, len);
}

static void put_text(wire *w, uint32_t field, const char *text) {
    put_bytes(w, field, text, strlen(text));
}

/* Where a nested message's bytes begin. */
static size_t begin(wire *w, uint32_t field) {
    put_varint(w, (uint64_t)field << 3 | WIRE_BYTES);
    return w->out->len;
}

static void end(wire *w, size_t start) {
    if (w->status != TANDEM_OK) return;
    uint8_t length[VARINT_BYTES_MAX];
    const size_t bytes = w->out->len - start;
    const size_t more = encode(bytes, length);
    w->status = tandem__buffer_reserve(w->out, more, w->err);
    if (w->status != TANDEM_OK) return;
    memmove(w->out->ptr + start + more, w->out->ptr + start, bytes);
    memcpy(w->out->ptr + start, length, more);
    w->out->len += more;
}

/* ValueType { 1 tensorType { 1 dataType, 2 rank, 3 dimensions { 1 constant { 1 size } } } } */
static void put_type(wire *w, uint32_t field, mil_type type, mil_shape shape) {
    const size_t value = begin(w, field);
    const size_t tensor = begin(w, 1);
    put_number(w, 1, (uint64_t)type);
    if (shape.rank > 0) put_number(w, 2, (uint64_t)shape.rank);
    for (int32_t i = 0; i < shape.rank; i++) {
        const size_t dimension = begin(w, 3);
        const size_t constant = begin(w, 1);
        put_number(w, 1, (uint64_t)shape.size[i]);
        end(w, constant);
        end(w, dimension);
    }
    end(w, tensor);
    end(w, value);
}

/* NamedValueType { 1 name, 2 type } */
static void put_named(wire *w, uint32_t field, const mil_value *value) {
    const size_t start = begin(w, field);
    put_text(w, 1, value->name);
    put_type(w, 2, value->type, value->shape);
    end(w, start);
}

static void put_text_value(wire *w, const char *text) {
    const size_t strings = begin(w, 4);
    put_text(w, 1, text);
    end(w, strings);
}

static void put_numbers_value(wire *w, const mil_value *value) {
    const size_t ints = begin(w, 2);
    const size_t packed = begin(w, 1);
    for (size_t i = 0; i < tandem__mil_elements(value->shape); i++)
        put_varint(w, (uint64_t)(int64_t)value->numbers[i]);
    end(w, packed);
    end(w, ints);
}

static void put_truth_value(wire *w, bool truth) {
    const uint8_t byte = truth ? 1 : 0;
    const size_t bools = begin(w, 3);
    put_bytes(w, 1, &byte, 1);
    end(w, bools);
}

static void put_half_value(wire *w, uint16_t half) {
    const uint8_t bytes[2] = {(uint8_t)half, (uint8_t)(half >> 8)};
    const size_t start = begin(w, 7);
    put_bytes(w, 1, bytes, sizeof bytes);
    end(w, start);
}

/* TensorValue, by the kind of the constant. */
static void put_tensor(wire *w, const mil_value *value) {
    switch (value->kind) {
    case MIL_KIND_NUMBERS:
        put_numbers_value(w, value);
        return;
    case MIL_KIND_HALF:
        put_half_value(w, value->half);
        return;
    case MIL_KIND_TRUTH:
        put_truth_value(w, value->numbers[0] != 0);
        return;
    case MIL_KIND_TEXT:
        put_text_value(w, value->text);
        return;
    case MIL_KIND_INPUT:
    case MIL_KIND_RESULT:
    case MIL_KIND_BLOB:
        break;
    }
    TANDEM_ASSERT(value->kind == MIL_KIND_NUMBERS); /* not a constant */
}

/* Value { 2 type, 3 immediateValue { 1 tensor } } or { 2 type, 5 blobFileValue { 1 file,
 * 2 offset } } */
static void put_value(wire *w, uint32_t field, const mil_value *value, const mil_weights *weights) {
    const size_t start = begin(w, field);
    put_type(w, 2, value->type, value->shape);
    if (value->kind == MIL_KIND_BLOB) {
        const size_t blob = begin(w, 5);
        put_text(w, 1, WEIGHT_FILE);
        put_number(w, 2, weights->blobs[value->blob].offset);
        end(w, blob);
    } else {
        const size_t immediate = begin(w, 3);
        const size_t tensor = begin(w, 1);
        put_tensor(w, value);
        end(w, tensor);
        end(w, immediate);
    }
    end(w, start);
}

/* map<string, Value>: an entry is { 1 key, 2 value } */
static void put_attribute(wire *w, const char *key, const mil_value *value,
                          const mil_weights *weights) {
    const size_t entry = begin(w, 5);
    put_text(w, 1, key);
    put_value(w, 2, value, weights);
    end(w, entry);
}

/* Every operation carries its name as an attribute. */
static void put_op_name(wire *w, const char *name) {
    const mil_value text = {.kind = MIL_KIND_TEXT, .type = MIL_STRING, .text = name};
    put_attribute(w, "name", &text, NULL);
}

static void put_constant(wire *w, const mil_program *program, const mil_value *value) {
    const size_t start = begin(w, 3);
    put_text(w, 1, "const");
    put_named(w, 3, value);
    put_op_name(w, value->name);
    put_attribute(w, "val", value, program->weights);
    end(w, start);
}

/* map<string, Argument>; Argument { 1 bindings { 1 name } } */
static void put_argument(wire *w, const mil_program *program, const mil_argument *argument) {
    const size_t entry = begin(w, 2);
    put_text(w, 1, argument->name);
    const size_t bindings = begin(w, 2);
    for (int32_t i = 0; i < argument->count; i++) {
        const size_t binding = begin(w, 1);
        put_text(w, 1, program->values[argument->values[i]].name);
        end(w, binding);
    }
    end(w, bindings);
    end(w, entry);
}

static void put_op(wire *w, const mil_program *program, const mil_op *op) {
    const size_t start = begin(w, 3);
    put_text(w, 1, op->type);
    for (int32_t i = 0; i < op->argument_count; i++) put_argument(w, program, &op->arguments[i]);
    put_named(w, 3, &program->values[op->result]);
    put_op_name(w, program->values[op->result].name);
    end(w, start);
}

static void put_block(wire *w, const mil_program *program) {
    const size_t entry = begin(w, 3);
    put_text(w, 1, OPSET);
    const size_t block = begin(w, 2);
    put_text(w, 2, program->values[program->output].name);
    for (int32_t i = 0; i < program->value_count; i++) {
        const mil_value *value = &program->values[i];
        if (value->kind != MIL_KIND_INPUT && value->kind != MIL_KIND_RESULT)
            put_constant(w, program, value);
    }
    for (int32_t i = 0; i < program->op_count; i++) put_op(w, program, &program->ops[i]);
    end(w, block);
    end(w, entry);
}

static void put_program(wire *w, const mil_program *program) {
    const size_t start = begin(w, 502);
    put_number(w, 1, 1);
    const size_t entry = begin(w, 2);
    put_text(w, 1, "main");
    const size_t function = begin(w, 2);
    for (int32_t i = 0; i < program->value_count; i++) {
        if (program->values[i].kind == MIL_KIND_INPUT) put_named(w, 1, &program->values[i]);
    }
    put_text(w, 2, OPSET);
    put_block(w, program);
    end(w, function);
    end(w, entry);
    end(w, start);
}

/* FeatureDescription { 1 name, 3 type { 5 multiArrayType { 1 packed shape, 2 dataType } } } */
static void put_feature(wire *w, uint32_t field, const mil_value *value) {
    const size_t start = begin(w, field);
    put_text(w, 1, value->name);
    const size_t type = begin(w, 3);
    const size_t array = begin(w, 5);
    const size_t shape = begin(w, 1);
    for (int32_t i = 0; i < value->shape.rank; i++) put_varint(w, (uint64_t)value->shape.size[i]);
    end(w, shape);
    put_number(w, 2, MULTI_ARRAY_F16);
    end(w, array);
    end(w, type);
    end(w, start);
}

tandem_status tandem__mil_write(const mil_program *program, tandem_buffer *out, tandem_error *err) {
    TANDEM_TRY(program->status);
    TANDEM_ASSERT(program->output >= 0);
    wire w = {.out = out, .err = err};
    put_number(&w, 1, SPECIFICATION);
    const size_t description = begin(&w, 2);
    for (int32_t i = 0; i < program->value_count; i++) {
        if (program->values[i].kind == MIL_KIND_INPUT) put_feature(&w, 1, &program->values[i]);
    }
    put_feature(&w, 10, &program->values[program->output]);
    end(&w, description);
    put_program(&w, program);
    return w.status;
}
