/* SPDX-License-Identifier: Apache-2.0 */
/* Building of programs, and the file of weights:
 *
 *     offset 0    u32 blobs, u32 version 2, zeros to 64
 *     a blob      u32 0xdeadbeef, u32 type, u64 bytes, u64 offset of data, zeros to 64
 *                 data, zeros to a multiple of 64
 *
 * (coremltools, mlmodel/src/MILBlob/Blob/StorageFormat.hpp). Where a blob lies is known when it is
 * added, so that programs can be written before the weights are. */
#include "backend/coreml/mil.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/fail.h"

enum { BLOB_ALIGNMENT = 64, BLOB_VERSION = 2, BLOB_F16 = 1, FIRST_CAPACITY = 64 };

#define BLOB_SENTINEL 0xdeadbeefu

/* MILBlob's blob_metadata. */
typedef struct blob_metadata {
    uint32_t sentinel;
    uint32_t type;
    uint64_t bytes;
    uint64_t data_offset;
    uint64_t padding_bits;
    uint64_t reserved[4];
} blob_metadata;

_Static_assert(sizeof(blob_metadata) == BLOB_ALIGNMENT, "a blob's metadata are 64 bytes");

/* MILBlob's storage_header. */
typedef struct blob_header {
    uint32_t count;
    uint32_t version;
    uint64_t reserved[7];
} blob_header;

_Static_assert(sizeof(blob_header) == BLOB_ALIGNMENT, "the header is 64 bytes");

static uint64_t aligned(uint64_t bytes) {
    return (bytes + BLOB_ALIGNMENT - 1) / BLOB_ALIGNMENT * BLOB_ALIGNMENT;
}

/* `array` with room for one more element. */
static void *grown(tandem_arena *arena, void *array, int32_t count, int32_t *capacity,
                   size_t size) {
    if (count < *capacity) return array;
    const int32_t wanted = *capacity == 0 ? FIRST_CAPACITY : 2 * *capacity;
    void *larger = tandem__arena_array(arena, (size_t)wanted, size);
    if (larger == NULL) return NULL;
    if (count > 0) memcpy(larger, array, (size_t)count * size);
    *capacity = wanted;
    return larger;
}

void tandem__mil_weights_init(mil_weights *weights, tandem_arena *arena) {
    *weights = (mil_weights){.arena = arena, .bytes = sizeof(blob_header)};
}

int32_t tandem__mil_weights_add(mil_weights *weights, mil_blob blob) {
    TANDEM_ASSERT(blob.rows > 0 && blob.cols > 0);
    mil_blob *blobs =
        grown(weights->arena, weights->blobs, weights->count, &weights->capacity, sizeof *blobs);
    if (blobs == NULL) return -1;
    weights->blobs = blobs;
    blob.offset = weights->bytes;
    weights->bytes +=
        sizeof(blob_metadata) + aligned((uint64_t)blob.rows * blob.cols * sizeof(uint16_t));
    blobs[weights->count] = blob;
    return weights->count++;
}

static tandem_status write_blob(const mil_blob *blob, uint16_t *row, mil_write_function *write,
                                void *context, tandem_error *err) {
    static const char zeros[BLOB_ALIGNMENT];
    const uint64_t bytes = (uint64_t)blob->rows * blob->cols * sizeof *row;
    const blob_metadata metadata = {.sentinel = BLOB_SENTINEL,
                                    .type = BLOB_F16,
                                    .bytes = bytes,
                                    .data_offset = blob->offset + sizeof metadata};
    TANDEM_TRY(write(context, &metadata, sizeof metadata, err));
    for (size_t i = 0; i < blob->rows; i++) {
        TANDEM_TRY(blob->fill(blob->source, i, row, err));
        TANDEM_TRY(write(context, row, blob->cols * sizeof *row, err));
    }
    const size_t padding = (size_t)(aligned(bytes) - bytes);
    return padding == 0 ? TANDEM_OK : write(context, zeros, padding, err);
}

tandem_status tandem__mil_weights_write(const mil_weights *weights, mil_write_function *write,
                                        void *context, tandem_error *err) {
    const blob_header header = {.count = (uint32_t)weights->count, .version = BLOB_VERSION};
    size_t widest = 1;
    for (int32_t i = 0; i < weights->count; i++) {
        if (weights->blobs[i].cols > widest) widest = weights->blobs[i].cols;
    }
    uint16_t *row = tandem__arena_array(weights->arena, widest, sizeof *row);
    if (row == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for a row of %zu weights", widest);
    TANDEM_TRY(write(context, &header, sizeof header, err));
    for (int32_t i = 0; i < weights->count; i++)
        TANDEM_TRY(write_blob(&weights->blobs[i], row, write, context, err));
    return TANDEM_OK;
}

void tandem__mil_init(mil_program *program, tandem_arena *arena, const mil_weights *weights,
                      tandem_error *err) {
    *program = (mil_program){.arena = arena, .weights = weights, .output = -1, .err = err};
}

static void fail_memory(mil_program *program) {
    if (program->status != TANDEM_OK) return;
    program->status = TANDEM_FAIL(program->err, MEMORY, "no memory for a program of %d operations",
                                  (int)program->op_count);
}

const char *tandem__mil_name(mil_program *program, const char *format, ...) {
    char text[MIL_NAME_MAX];
    va_list list;
    va_start(list, format);
    const int len = vsnprintf(text, sizeof text, format, list);
    va_end(list);
    TANDEM_ASSERT(len > 0 && len < MIL_NAME_MAX);
    const char *copy = tandem__arena_copy(program->arena, text, (size_t)len);
    if (copy == NULL) fail_memory(program);
    return copy == NULL ? "" : copy;
}

static int32_t push_value(mil_program *program, mil_value value) {
    if (program->status != TANDEM_OK) return -1;
    mil_value *values = grown(program->arena, program->values, program->value_count,
                              &program->value_capacity, sizeof *values);
    if (values == NULL) {
        fail_memory(program);
        return -1;
    }
    program->values = values;
    values[program->value_count] = value;
    return program->value_count++;
}

int32_t tandem__mil_input(mil_program *program, const char *name, mil_shape shape) {
    return push_value(
        program,
        (mil_value){.name = name, .kind = MIL_KIND_INPUT, .type = MIL_F16, .shape = shape});
}

size_t tandem__mil_elements(mil_shape shape) {
    size_t count = 1;
    for (int32_t i = 0; i < shape.rank; i++) count *= (size_t)shape.size[i];
    return count;
}

bool tandem__mil_shape_is(mil_shape a, mil_shape b) {
    return a.rank == b.rank && memcmp(a.size, b.size, (size_t)a.rank * sizeof a.size[0]) == 0;
}

static bool is_same(const mil_value *a, const mil_value *b) {
    if (a->kind != b->kind || !tandem__mil_shape_is(a->shape, b->shape)) return false;
    if (a->kind == MIL_KIND_TEXT) return strcmp(a->text, b->text) == 0;
    return a->half == b->half && memcmp(a->numbers, b->numbers, sizeof a->numbers) == 0;
}

/* A small constant, once a program. */
static int32_t share(mil_program *program, mil_value value) {
    for (int32_t i = 0; i < program->value_count; i++) {
        if (is_same(&program->values[i], &value)) return i;
    }
    value.name = tandem__mil_name(program, "const_%d", (int)program->value_count);
    return push_value(program, value);
}

int32_t tandem__mil_number(mil_program *program, int32_t number) {
    return share(program,
                 (mil_value){.kind = MIL_KIND_NUMBERS, .type = MIL_I32, .numbers = {number}});
}

int32_t tandem__mil_numbers(mil_program *program, const int32_t *numbers, int32_t count) {
    mil_value value = {
        .kind = MIL_KIND_NUMBERS, .type = MIL_I32, .shape = {.rank = 1, .size = {count}}};
    TANDEM_ASSERT(count > 0 && count <= MIL_RANK_MAX);
    memcpy(value.numbers, numbers, (size_t)count * sizeof *numbers);
    return share(program, value);
}

int32_t tandem__mil_half(mil_program *program, uint16_t half) {
    return share(program, (mil_value){.kind = MIL_KIND_HALF, .type = MIL_F16, .half = half});
}

int32_t tandem__mil_truth(mil_program *program, bool truth) {
    return share(program,
                 (mil_value){.kind = MIL_KIND_TRUTH, .type = MIL_BOOL, .numbers = {truth}});
}

int32_t tandem__mil_text(mil_program *program, const char *text) {
    return share(program, (mil_value){.kind = MIL_KIND_TEXT, .type = MIL_STRING, .text = text});
}

int32_t tandem__mil_blob(mil_program *program, const char *name, mil_shape shape, int32_t blob) {
    if (blob < 0) fail_memory(program);
    return push_value(
        program,
        (mil_value){
            .name = name, .kind = MIL_KIND_BLOB, .type = MIL_F16, .shape = shape, .blob = blob});
}

static const mil_argument *copy_arguments(mil_program *program, const mil_argument *arguments,
                                          int32_t count) {
    mil_argument *copy = tandem__arena_array(program->arena, (size_t)count, sizeof *copy);
    for (int32_t i = 0; copy != NULL && i < count; i++) {
        const size_t bytes = (size_t)arguments[i].count * sizeof *arguments[i].values;
        int32_t *values = tandem__arena_alloc(program->arena, bytes);
        if (values == NULL) return NULL;
        memcpy(values, arguments[i].values, bytes);
        copy[i] = (mil_argument){arguments[i].name, arguments[i].count, values};
    }
    return copy;
}

int32_t tandem__mil_op(mil_program *program, const char *type, const char *name, mil_shape shape,
                       const mil_argument *arguments, int32_t argument_count) {
    TANDEM_ASSERT(argument_count > 0 && argument_count <= MIL_ARGUMENTS_MAX);
    if (program->status != TANDEM_OK) return -1;
    mil_op *ops =
        grown(program->arena, program->ops, program->op_count, &program->op_capacity, sizeof *ops);
    const mil_argument *copy = copy_arguments(program, arguments, argument_count);
    if (ops == NULL || copy == NULL) {
        fail_memory(program);
        return -1;
    }
    program->ops = ops;
    const int32_t result = push_value(
        program,
        (mil_value){.name = name, .kind = MIL_KIND_RESULT, .type = MIL_F16, .shape = shape});
    if (result < 0) return -1;
    ops[program->op_count++] = (mil_op){type, copy, argument_count, result};
    return result;
}

const mil_argument *tandem__mil_argument(const mil_op *op, const char *name) {
    for (int32_t i = 0; i < op->argument_count; i++) {
        if (strcmp(op->arguments[i].name, name) == 0) return &op->arguments[i];
    }
    return NULL;
}
