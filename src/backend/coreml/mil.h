/* SPDX-License-Identifier: Apache-2.0 */
/* A program of Core ML's model intermediate language, in memory: values, operations on them, and
 * the weights that they read from a file.
 *
 *     inputs ─┐
 *     consts ─┼─ op ─ op ─ ... ─ output        each operation makes one value; a list in order
 *     blobs ──┘
 *
 * What is built here is written as a file by mil_write.c, judged by ane_lint.c and counted by
 * ane_cost.c; nothing reads a file back. A program borrows its arena and its weights. Programs of
 * several lengths share one tandem_mil_weights, so that the file of weights is written once.
 *
 * Building cannot fail line by line: the first error stays in `status` and later calls do nothing,
 * so that an encoder reads like the network it describes. One thread at a time. */
#ifndef TANDEM_BACKEND_COREML_MIL_H
#define TANDEM_BACKEND_COREML_MIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "tandem/status.h"

/* Numbers of MIL.proto's DataType. */
typedef enum mil_type {
    MIL_BOOL = 1,
    MIL_STRING = 2,
    MIL_F16 = 10,
    MIL_F32 = 11,
    MIL_I32 = 23,
} mil_type;

enum { MIL_RANK_MAX = 4, MIL_ARGUMENTS_MAX = 8, MIL_NAME_MAX = 96 };

typedef struct mil_shape {
    int32_t rank; /* 0: a scalar */
    int32_t size[MIL_RANK_MAX];
} mil_shape;

/* One blob of the weight file: rows x cols of f16, made a row at a time when the file is written.
 * `fill` writes `cols` numbers; its error ends the writing. */
typedef tandem_status mil_fill_function(const void *source, size_t row, uint16_t *out,
                                        tandem_error *err);

typedef struct mil_blob {
    uint64_t offset; /* of its 64 bytes of metadata in the file; the data follow */
    size_t rows;
    size_t cols;
    mil_fill_function *fill;
    const void *source;
} mil_blob;

typedef struct mil_weights {
    tandem_arena *arena;
    mil_blob *blobs;
    int32_t count;
    int32_t capacity;
    uint64_t bytes; /* of the file, its header included */
} mil_weights;

typedef enum mil_kind {
    MIL_KIND_INPUT = 0,
    MIL_KIND_RESULT = 1,  /* of an operation */
    MIL_KIND_NUMBERS = 2, /* i32, a scalar or a vector */
    MIL_KIND_HALF = 3,    /* one f16 */
    MIL_KIND_TRUTH = 4,   /* one bool */
    MIL_KIND_TEXT = 5,
    MIL_KIND_BLOB = 6, /* f16 in the weight file */
} mil_kind;

typedef struct mil_value {
    const char *name;
    mil_kind kind;
    mil_type type;
    mil_shape shape;
    int32_t numbers[MIL_RANK_MAX]; /* NUMBERS; TRUTH in the first */
    uint16_t half;
    const char *text;
    int32_t blob; /* index in the weights */
} mil_value;

/* A parameter of an operation and the values it takes (one, but for "values"). */
typedef struct mil_argument {
    const char *name;
    int32_t count;
    const int32_t *values; /* indices */
} mil_argument;

typedef struct mil_op {
    const char *type; /* "conv" */
    const mil_argument *arguments;
    int32_t argument_count;
    int32_t result; /* index of its value */
} mil_op;

typedef struct mil_program {
    tandem_arena *arena;
    const mil_weights *weights;
    mil_value *values;
    int32_t value_count;
    int32_t value_capacity;
    mil_op *ops;
    int32_t op_count;
    int32_t op_capacity;
    int32_t output; /* index of a value; -1 until it is set */
    tandem_status status;
    tandem_error *err; /* where the first error goes; may be NULL */
} mil_program;

void tandem__mil_weights_init(mil_weights *weights, tandem_arena *arena);

/* The index of a new blob, -1 when out of memory. `source` is borrowed until the file is written.
 */
int32_t tandem__mil_weights_add(mil_weights *weights, mil_blob blob);

/* Writes the whole file, piece by piece, to `write`, whose error ends it. */
typedef tandem_status mil_write_function(void *context, const void *bytes, size_t len,
                                         tandem_error *err);
tandem_status tandem__mil_weights_write(const mil_weights *weights, mil_write_function *write,
                                        void *context, tandem_error *err) TANDEM_NODISCARD;

void tandem__mil_init(mil_program *program, tandem_arena *arena, const mil_weights *weights,
                      tandem_error *err);

/* A copy in the arena of a name by printf's rules; "" when out of memory. */
const char *tandem__mil_name(mil_program *program, const char *format, ...) TANDEM_PRINTF(2, 3);

/* Each returns the index of a value, or -1 once the program has failed. Constants but blobs are
 * shared: the same number twice is one value. */
int32_t tandem__mil_input(mil_program *program, const char *name, mil_shape shape);
int32_t tandem__mil_number(mil_program *program, int32_t number);
int32_t tandem__mil_numbers(mil_program *program, const int32_t *numbers, int32_t count);
int32_t tandem__mil_half(mil_program *program, uint16_t half);
int32_t tandem__mil_truth(mil_program *program, bool truth);
int32_t tandem__mil_text(mil_program *program, const char *text);
int32_t tandem__mil_blob(mil_program *program, const char *name, mil_shape shape, int32_t blob);

/* An operation whose result is f16; `values` of each argument are copied. */
int32_t tandem__mil_op(mil_program *program, const char *type, const char *name, mil_shape shape,
                       const mil_argument *arguments, int32_t argument_count);

size_t tandem__mil_elements(mil_shape shape);
bool tandem__mil_shape_is(mil_shape a, mil_shape b);

/* The argument of that name, or NULL. */
const mil_argument *tandem__mil_argument(const mil_op *op, const char *name);

/* Appends model.mlmodel: the program as its function "main" of opset CoreML7. */
tandem_status tandem__mil_write(const mil_program *program, tandem_buffer *out,
                                tandem_error *err) TANDEM_NODISCARD;

#endif
