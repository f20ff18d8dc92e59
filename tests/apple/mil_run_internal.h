/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the interpreter of packages share: the program as it is held in memory. */
#ifndef TANDEM_TESTS_MIL_RUN_INTERNAL_H
#define TANDEM_TESTS_MIL_RUN_INTERNAL_H

#include "apple/mil_run.h"
#include "base/arena.h"
#include "base/fail.h"
#include "base/file.h"
#include "base/str.h"
#include "kernels/convert/convert.h"

/* MILSpec.DataType; those that are taken here. */
typedef enum mil_run_type {
    MIL_RUN_NONE = 0,
    MIL_RUN_BOOL = 1,
    MIL_RUN_STRING = 2,
    MIL_RUN_F16 = 10,
    MIL_RUN_F32 = 11,
    MIL_RUN_I32 = 23,
} mil_run_type;

typedef struct mil_run_shape {
    int rank;
    int64_t dim[MIL_RUN_RANK_MAX];
} mil_run_shape;

typedef struct mil_run_value {
    const char *name;
    mil_run_type type;
    mil_run_shape shape;
    int64_t count; /* elements */
    bool is_const;
    bool is_input;
    bool is_read;         /* by something that needs `numbers`, not `half` */
    int last_use;         /* operation's index; -1: none; INT_MAX: an output */
    const uint16_t *half; /* f16 const in weight.bin */
    const float *numbers; /* const: not of a string, not where `half` is all that is used */
    tandem_str text;      /* const of a STRING */
} mil_run_value;

typedef struct mil_run_argument {
    const char *name;
    int count;
    int *values; /* [count] indices */
} mil_run_argument;

#define MIL_RUN_ARGUMENTS_MAX 12
#define MIL_RUN_RESULTS_MAX   64

struct mil_run_rule;

typedef struct mil_run_op {
    const struct mil_run_rule *rule;
    int argument_count;
    mil_run_argument arguments[MIL_RUN_ARGUMENTS_MAX];
    int result_count;
    int *results; /* indices of values */
} mil_run_op;

struct mil_run {
    tandem_arena arena;
    tandem_map model;
    tandem_map weights;
    tandem_convert_kernels convert;
    mil_run_value *values;
    int value_count;
    int value_max;
    mil_run_op *ops;
    int op_count;
    mil_run_operation *operations; /* [op_count] */
    mil_run_feature *inputs;
    int *input_values;
    int input_count;
    mil_run_feature *outputs;
    int *output_values;
    int output_count;
    uint64_t *blobs; /* [blob_count] offsets of weight.bin's metadata */
    uint32_t blob_count;
};

/* One prediction: the numbers of every value that is alive. */
typedef struct mil_run_state {
    const mil_run *run;
    float **x; /* [value_count]; NULL: const, not yet, or no more */
} mil_run_state;

/* How an operation is checked and computed. `parameters`: "x weight! bias!? values*": ! has to be a
 * const, ? may be left out, * takes several values. */
typedef struct mil_run_rule {
    const char *type;
    const char *parameters;
    /* Shapes and types that follow from the arguments, [op->result_count]. */
    tandem_status (*infer)(const mil_run *run, const mil_run_op *op, mil_run_shape *shapes,
                           mil_run_type *types, tandem_error *err);
    tandem_status (*compute)(const mil_run_state *state, const mil_run_op *op, tandem_error *err);
    /* Of one that goes element by element. */
    float (*unary)(float x);
    float (*binary)(float x, float y);
} mil_run_rule;

/* Each ends with a rule without a type. */
extern const mil_run_rule mil_run_elementwise_rules[];
extern const mil_run_rule mil_run_layout_rules[];
extern const mil_run_rule mil_run_norm_rules[];
extern const mil_run_rule mil_run_product_rules[];

/* NULL: not an operation that is known here. */
const mil_run_rule *mil_run_rule_of(tandem_str type);

/* Reads `run->model`, whose blobs are known, into `run`. */
tandem_status mil_run_load(mil_run *run, tandem_error *err);

/* Manifest.json: that it is whole and names the model. */
tandem_status mil_run_manifest(mil_run *run, const char *package, tandem_error *err);

/* weight.bin: walks its blobs; then finds one. */
tandem_status mil_run_blobs(mil_run *run, tandem_error *err);
tandem_status mil_run_blob(mil_run *run, mil_run_value *value, uint64_t offset, tandem_error *err);

/* Arguments. NULL where the parameter is not given. */
const mil_run_value *mil_run_argument_of(const mil_run *run, const mil_run_op *op, const char *name,
                                         int index);
int mil_run_argument_count(const mil_run_op *op, const char *name);
bool mil_run_text_is(const mil_run *run, const mil_run_op *op, const char *name, const char *text);
/* The first number of a const argument, or `other`. */
double mil_run_number(const mil_run *run, const mil_run_op *op, const char *name, double other);
/* The numbers of a const argument, as many as `max`; -1 where they are more; 0 if not given. */
int mil_run_numbers(const mil_run *run, const mil_run_op *op, const char *name, int max,
                    int64_t *numbers);

/* Of a value in a prediction. */
const float *mil_run_floats(const mil_run_state *state, const mil_run_value *value);
float *mil_run_result(const mil_run_state *state, const mil_run_op *op, int index);

int64_t mil_run_shape_count(const mil_run_shape *shape);
bool mil_run_shape_equal(const mil_run_shape *a, const mil_run_shape *b);
/* "[1, 384, 1, 32]" */
typedef struct mil_run_shape_label {
    char text[80];
} mil_run_shape_label;
mil_run_shape_label mil_run_shape_text(const mil_run_shape *shape);

/* The attributes of an axis: elements before, in, and after it. An axis below 0 counts from the
 * end; false where there is no such axis. */
typedef struct mil_run_axis {
    int index;
    int64_t outer;
    int64_t length;
    int64_t inner;
} mil_run_axis;
bool mil_run_axis_of(const mil_run_shape *shape, int64_t axis, mil_run_axis *out);

#define MIL_RUN_CHECK(condition, ...)                                                              \
    do {                                                                                           \
        if (!(condition)) return TANDEM_FAIL(err, FORMAT, __VA_ARGS__);                            \
    } while (0)

#endif
