/* SPDX-License-Identifier: Apache-2.0 */
/* The packages of the lane `ane`, read back from the disk by an interpreter that shares nothing
 * with the writer, and their numbers against `ref`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "apple/mil_run.h"
#include "backend/coreml/ane_cost.h"
#include "backend/coreml/ane_lint.h"
#include "backend/coreml/ane_packages.h"
#include "backend/coreml/package.h"
#include "backend/random_plan.h"
#include "base/file.h"
#include "support/temp_folder.h"

static const random_shape bert = {.name = "bert",
                                  .hidden = 64,
                                  .heads = 2,
                                  .head_dim = 32,
                                  .ffn = 80,
                                  .layers = 2,
                                  .positions = 64,
                                  .types = 2,
                                  .storage = TANDEM_DTYPE_F32,
                                  .activation = TANDEM_ACTIVATION_GELU_ERF,
                                  .pooling = TANDEM_POOLING_MEAN,
                                  .position = TANDEM_POSITION_ABSOLUTE};

static ane_model *open_model(const random_plan *made, int32_t tokens) {
    tandem_error err = {0};
    int32_t buckets[ANE_BUCKETS_MAX];
    ane_model *model = NULL;
    const int32_t count = tandem__ane_buckets(tokens, buckets);
    if (tandem__ane_model_open(&made->plan, buckets, count, &model, &err) != TANDEM_OK)
        fail_msg("%s", err.message);
    return model;
}

static void write_packages(const ane_model *model, const char *folder) {
    tandem_error err = {0};
    if (tandem__ane_packages_write(model, folder, &err) != TANDEM_OK) fail_msg("%s", err.message);
}

static mil_run *open_package(const char *folder, int32_t bucket) {
    char path[TANDEM_PATH_MAX];
    char error[512] = "";
    assert_int_equal(tandem__ane_package_path(folder, bucket, "mlpackage", path, NULL), TANDEM_OK);
    mil_run *run = mil_run_open(path, error, sizeof error);
    if (run == NULL) fail_msg("%s: %s", path, error);
    return run;
}

/* Every package is whole and says the shapes that the lane feeds it. */
static void packages_are_read_back(void **state) {
    (void)state;
    char folder[256];
    random_plan *made = random_plan_make(&bert, 1);
    ane_model *model = open_model(made, 64);
    folder_make(folder);
    write_packages(model, folder);
    assert_int_equal(model->bucket_count, 2);
    for (int i = 0; i < model->bucket_count; i++) {
        int count = 0;
        mil_run *run = open_package(folder, model->buckets[i]);
        const mil_run_feature *inputs = mil_run_inputs(run, &count);
        assert_int_equal(count, 2);
        assert_string_equal(inputs[0].name, "hidden");
        assert_int_equal(inputs[0].count, 64 * model->buckets[i]);
        assert_string_equal(inputs[1].name, "mask");
        assert_int_equal(inputs[1].count, model->buckets[i]);
        assert_string_equal(mil_run_outputs(run, &count)[0].name, "states");
        assert_int_equal(mil_run_outputs(run, &count)[0].count, 64 * model->buckets[i]);
        (void)mil_run_operations(run, &count);
        assert_int_equal(count, model->programs[i].op_count);
        mil_run_close(run);
    }
    tandem__ane_model_release(model);
    tandem__ane_model_close(model);
    random_plan_free(made);
    folder_remove(folder);
}

/* One weight file for all lengths, and nothing left beside the packages. */
static void weights_are_shared(void **state) {
    (void)state;
    char folder[256];
    char path[512];
    struct stat first;
    struct stat second;
    random_plan *made = random_plan_make(&bert, 1);
    ane_model *model = open_model(made, 64);
    folder_make(folder);
    write_packages(model, folder);
    write_packages(model, folder); /* over what is there */
    (void)snprintf(path, sizeof path, "%s/s32.mlpackage/Data/com.apple.CoreML/weights/weight.bin",
                   folder);
    assert_int_equal(stat(path, &first), 0);
    (void)snprintf(path, sizeof path, "%s/s64.mlpackage/Data/com.apple.CoreML/weights/weight.bin",
                   folder);
    assert_int_equal(stat(path, &second), 0);
    assert_int_equal(first.st_ino, second.st_ino);
    assert_int_equal(first.st_nlink, 2);
    assert_int_equal((uint64_t)first.st_size, model->weights.bytes);
    assert_int_equal(tandem__package_remove(folder, NULL), TANDEM_OK);
    assert_false(tandem__file_exists(folder));
    tandem__ane_model_close(model);
    random_plan_free(made);
}

/* The key follows the weights, the program and the system's build. */
static void key_is_of_the_content(void **state) {
    (void)state;
    char keys[4][TANDEM_SHA_HEX_MAX];
    random_shape other = bert;
    other.activation = TANDEM_ACTIVATION_GELU_TANH;
    random_plan *made[] = {random_plan_make(&bert, 1), random_plan_make(&bert, 2),
                           random_plan_make(&other, 1)};
    for (int i = 0; i < 3; i++) {
        ane_model *model = open_model(made[i], 64);
        char again[TANDEM_SHA_HEX_MAX];
        assert_int_equal(tandem__ane_packages_key(model, "23A344", keys[i], NULL), TANDEM_OK);
        assert_int_equal(tandem__ane_packages_key(model, "23A344", again, NULL), TANDEM_OK);
        assert_string_equal(keys[i], again);
        if (i == 0)
            assert_int_equal(tandem__ane_packages_key(model, "23A345", keys[3], NULL), TANDEM_OK);
        tandem__ane_model_close(model);
        random_plan_free(made[i]);
    }
    for (int i = 0; i < 4; i++) {
        for (int k = 0; k < i; k++) assert_string_not_equal(keys[i], keys[k]);
    }
}

static tandem_status fill_rows(const void *source, size_t row, uint16_t *out, tandem_error *err) {
    (void)err;
    for (int i = 0; i < 3; i++) out[i] = (uint16_t)(*(const int *)source + 10 * (int)row + i);
    return TANDEM_OK;
}

/* A model's blobs are all whole multiples of 64 bytes: here are two that are not. */
static void blobs_are_aligned(void **state) {
    static const int sources[] = {100, 200};
    tandem_arena arena;
    mil_weights weights;
    char folder[256];
    char path[300];
    tandem_map map;
    uint64_t words[8];
    (void)state;
    folder_make(folder);
    (void)snprintf(path, sizeof path, "%s/weight.bin", folder);
    tandem__arena_init(&arena, 1 << 20);
    tandem__mil_weights_init(&weights, &arena);
    for (int i = 0; i < 2; i++) {
        const mil_blob blob = {.rows = 2, .cols = 3, .fill = fill_rows, .source = &sources[i]};
        assert_int_equal(tandem__mil_weights_add(&weights, blob), i);
        assert_int_equal(weights.blobs[i].offset, 64 + 128 * i);
    }
    assert_int_equal(tandem__package_weights(&weights, path, NULL), TANDEM_OK);
    assert_int_equal(tandem__file_map(path, &map, NULL), TANDEM_OK);
    assert_int_equal(map.len, 64 + 2 * 128);
    for (size_t i = 0; i < 2; i++) {
        uint16_t numbers[7];
        memcpy(words, map.bytes + 64 + 128 * i, sizeof words);
        assert_int_equal(words[0], 0x1deadbeefu);
        assert_int_equal(words[1], 12);
        assert_int_equal(words[2], 128 + 128 * i);
        memcpy(numbers, map.bytes + words[2], sizeof numbers);
        assert_int_equal(numbers[2], sources[i] + 2);
        assert_int_equal(numbers[3], sources[i] + 10);
        assert_int_equal(numbers[6], 0);
    }
    tandem__file_unmap(&map);
    tandem__arena_deinit(&arena);
    folder_remove(folder);
}

/* Rules. A fault is planted in a program that keeps them all; the linter names the operation. */

typedef struct planted {
    const char *op; /* type of the first operation that it is planted in */
    const char *argument;
    void (*plant)(mil_program *program, mil_op *op, mil_value *value);
    const char *expected;
} planted;

static void number_plus_one(mil_program *program, mil_op *op, mil_value *value) {
    (void)program;
    (void)op;
    value->numbers[0]++;
}
static void last_number_plus_one(mil_program *program, mil_op *op, mil_value *value) {
    (void)program;
    (void)op;
    value->numbers[3]++;
}
static void become_vector(mil_program *program, mil_op *op, mil_value *value) {
    (void)program;
    (void)op;
    value->shape = (mil_shape){1, {1}};
}
static void become_other_text(mil_program *program, mil_op *op, mil_value *value) {
    (void)program;
    (void)op;
    value->text = "other";
}
static void become_zero(mil_program *program, mil_op *op, mil_value *value) {
    (void)program;
    (void)op;
    value->half = 0;
}
static void become_f32(mil_program *program, mil_op *op, mil_value *value) {
    (void)program;
    (void)op;
    value->type = MIL_F32;
}
static void become_i32(mil_program *program, mil_op *op, mil_value *value) {
    (void)value;
    program->values[op->result].type = MIL_I32;
}
static void swap_axes(mil_program *program, mil_op *op, mil_value *value) {
    (void)program;
    (void)op;
    const int32_t first = value->shape.size[1];
    value->shape.size[1] = value->shape.size[2];
    value->shape.size[2] = first;
}
static void widen_result(mil_program *program, mil_op *op, mil_value *value) {
    (void)value;
    program->values[op->result].shape.size[1] *= 2;
}
static void narrow_last_axis(mil_program *program, mil_op *op, mil_value *value) {
    (void)value;
    program->values[op->result].shape.size[3] = 31;
}
static void grow_result(mil_program *program, mil_op *op, mil_value *value) {
    (void)value;
    program->values[op->result].shape.size[1] = 1 << 16;
}
static void many_channels(mil_program *program, mil_op *op, mil_value *value) {
    (void)value;
    program->values[op->result].shape = (mil_shape){4, {1, 65537, 1, 1}};
}
static void many_rows(mil_program *program, mil_op *op, mil_value *value) {
    (void)value;
    program->values[op->result].shape = (mil_shape){4, {1, 32, 2, 32}};
}
static void batch_of_two(mil_program *program, mil_op *op, mil_value *value) {
    (void)value;
    program->values[op->result].shape.size[0] = 2;
}
static void become_gather(mil_program *program, mil_op *op, mil_value *value) {
    (void)program;
    (void)value;
    op->type = "gather";
}
static void lose_argument(mil_program *program, mil_op *op, mil_value *value) {
    (void)program;
    (void)value;
    ((mil_argument *)(uintptr_t)op->arguments)[1].name = "elsewhere";
}
static void read_itself(mil_program *program, mil_op *op, mil_value *value) {
    (void)program;
    (void)value;
    ((int32_t *)(uintptr_t)op->arguments[0].values)[0] = op->result;
}
static void read_nothing(mil_program *program, mil_op *op, mil_value *value) {
    (void)op;
    (void)value;
    ((int32_t *)(uintptr_t)op->arguments[0].values)[0] = program->value_count;
}
static void take_a_name(mil_program *program, mil_op *op, mil_value *value) {
    (void)value;
    program->values[op->result].name = program->values[0].name;
}
static void take_a_bad_name(mil_program *program, mil_op *op, mil_value *value) {
    (void)value;
    program->values[op->result].name = "0.weight";
}
static void take_another_blob(mil_program *program, mil_op *op, mil_value *value) {
    (void)program;
    (void)op;
    value->blob++;
}
static void output_an_input(mil_program *program, mil_op *op, mil_value *value) {
    (void)op;
    (void)value;
    program->output = 0;
}
static void output_the_first(mil_program *program, mil_op *op, mil_value *value) {
    (void)value;
    program->output = op->result;
}

static const planted faults[] = {
    {"conv", "strides", number_plus_one, "strides: expected 1, 1"},
    {"conv", "pad", last_number_plus_one, "pad: expected 0"},
    {"conv", "groups", become_vector, "groups: expected 1"},
    {"conv", "pad_type", become_other_text, "pad_type: expected valid"},
    {"conv", "weight", swap_axes, "weight: expected a constant [64, 64, 1, 1]"},
    {"conv", "weight", become_f32, "type: l0_q_weight is not f16"},
    {"conv", "bias", become_f32, "type: l0_q_bias is not f16"},
    {"conv", "weight", take_another_blob, "blob: another number of elements"},
    {"conv", "x", become_i32, "type: l0_q is not f16"},
    {"conv", "x", widen_result, "weight: expected a constant [128, 64, 1, 1]"},
    {"conv", "x", grow_result, "at most 2097152"},
    {"conv", "x", many_channels, "channels: l0_q has 65537"},
    {"conv", "x", many_rows, "sides: l0_q is 2 high"},
    {"conv", "x", batch_of_two, "expected 4 axes and a batch of 1"},
    {"conv", "x", narrow_last_axis, "last axis: l0_q has 31"},
    {"conv", "x", become_gather, "(gather): operation: not one that the engine runs"},
    {"conv", "x", lose_argument, "weight: missing"},
    {"conv", "x", read_itself, "l0_q is read before it is made"},
    {"conv", "x", read_nothing, "x: no such value"},
    {"conv", "x", take_a_name, "name: two values have it"},
    {"conv", "x", take_a_bad_name, "0.weight: name: not an identifier"},
    {"conv", "x", output_an_input, "output: no operation makes it"},
    {"conv", "x", output_the_first, "use: nothing reads it"},
    {"slice_by_size", "size", last_number_plus_one, "axis 3: slices are of axis 1 alone"},
    {"slice_by_size", "size", number_plus_one, "axis 0: slices are of axis 1 alone"},
    {"slice_by_size", "size", become_vector, "begin, size: expected 4 constant numbers"},
    {"slice_by_size", "x", widen_result, "shape: declared (1, 64, 1, 32)"},
    {"transpose", "perm", number_plus_one, "perm: expected 0, 3, 2, 1"},
    {"einsum", "equation", become_other_text, "equation: expected"},
    {"einsum", "values", widen_result, "shape: declared (1, 64, 1, 32)"},
    {"softmax", "axis", number_plus_one, "axis: expected 1"},
    {"layer_norm", "axes", number_plus_one, "axes: expected 1"},
    {"layer_norm", "epsilon", become_zero, "epsilon: expected more than 0"},
    {"layer_norm", "gamma", become_f32, "is not f16"},
    {"gelu", "mode", become_other_text, "mode: expected EXACT"},
    {"concat", "interleave", number_plus_one, "interleave: expected false"},
    {"concat", "values", widen_result, "shape: declared (1, 128, 1, 32)"},
    {"add", "y", narrow_last_axis, "last axis"},
};

static mil_op *first_op(mil_program *program, const char *type) {
    for (int32_t i = 0; i < program->op_count; i++) {
        if (strcmp(program->ops[i].type, type) == 0) return &program->ops[i];
    }
    fail_msg("no operation %s", type);
    return NULL;
}

/* The operation's own value of a parameter: constants are shared among operations. */
static mil_value *own_value(mil_program *program, const mil_argument *argument) {
    const int32_t at = argument->values[0];
    const mil_kind kind = program->values[at].kind;
    if (kind == MIL_KIND_INPUT || kind == MIL_KIND_RESULT || kind == MIL_KIND_BLOB)
        return &program->values[at];
    const size_t count = (size_t)program->value_count;
    mil_value *values = tandem__arena_array(program->arena, count + 1, sizeof *values);
    assert_non_null(values);
    memcpy(values, program->values, count * sizeof *values);
    values[count] = values[at];
    values[count].name = "own";
    program->values = values;
    ((int32_t *)(uintptr_t)argument->values)[0] = program->value_count++;
    return &values[count];
}

static void broken_rules_are_named(void **state) {
    (void)state;
    random_plan *made = random_plan_make(&bert, 1);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        tandem_error err = {0};
        ane_model *model = open_model(made, 32);
        mil_program *program = &model->programs[0];
        mil_op *op = first_op(program, faults[i].op);
        const mil_argument *argument = tandem__mil_argument(op, faults[i].argument);
        assert_non_null(argument);
        faults[i].plant(program, op, own_value(program, argument));
        const tandem_status status = tandem__ane_lint(program, &err);
        if (status != TANDEM_UNSUPPORTED || strstr(err.message, faults[i].expected) == NULL)
            fail_msg("\"%s\", expected \"%s\"", err.message, faults[i].expected);
        tandem__ane_model_close(model);
    }
    random_plan_free(made);
}

/* Costs. */

typedef struct sums {
    int matrices;
    int others;
    int layers[4];
    double conv_flops;
    double einsum_flops;
    double weight_bytes;
    double operand_bytes;
} sums;

static void add_cost(void *context, const tandem_ane_cost *cost) {
    sums *s = context;
    if (cost->is_matrix)
        s->matrices++;
    else
        s->others++;
    if (strcmp(cost->op, "conv") == 0) s->conv_flops += cost->flops;
    if (strcmp(cost->op, "einsum") == 0) s->einsum_flops += cost->flops;
    s->layers[cost->layer + 1]++;
    s->weight_bytes += cost->weight_bytes;
    if (cost->operand_bytes > s->operand_bytes) s->operand_bytes = cost->operand_bytes;
    assert_true(cost->bytes_read > 0 && cost->bytes_written > 0 && cost->flops >= 0);
}

static void costs_are_counted(void **state) {
    (void)state;
    random_plan *made = random_plan_make(&bert, 1);
    tandem_error err = {0};
    sums s = {0};
    assert_int_equal(tandem__ane_cost(&made->plan, 32, add_cost, &s, &err), TANDEM_OK);
    /* A layer: q, k, v and output 64 x 64, up and down 96 x 64 (80 in whole multiples of 32). */
    assert_true(s.conv_flops == 2 * 2.0 * 32 * (4 * 64 * 64 + 2 * 96 * 64));
    assert_true(s.einsum_flops == 2 * 2 * 2 * 2.0 * 32 * 32 * 32);
    assert_int_equal(s.matrices, 2 * (6 + 4));
    assert_int_equal(s.layers[0], 0);
    assert_int_equal(s.layers[1], s.layers[2]);
    assert_true(s.operand_bytes == 96 * 64 * 2);
    assert_true(s.weight_bytes ==
                2 * 2.0 * (4 * 64 * 64 + 2 * 96 * 64 + 4 * 64 + 96 + 64 + 4 * 64));
    assert_int_equal(tandem__ane_cost(&made->plan, 33, add_cost, &s, &err), TANDEM_INVALID);
    random_plan_free(made);
}

/* BERT-large's layer at 512: every operand is below the limit, by cutting. */
static void large_operands_are_cut(void **state) {
    random_shape shape = bert;
    sums s = {0};
    tandem_error err = {0};
    (void)state;
    shape.hidden = 1024;
    shape.heads = 16;
    shape.head_dim = 64;
    shape.ffn = 4096;
    shape.layers = 1;
    shape.positions = 512;
    shape.storage = TANDEM_DTYPE_F16;
    random_plan *made = random_plan_make(&shape, 1);
    assert_int_equal(tandem__ane_cost(&made->plan, 512, add_cost, &s, &err), TANDEM_OK);
    assert_true(s.operand_bytes <= ANE_OPERAND_BYTES_MAX);
    assert_int_equal(s.matrices, 4 + 2 * 4 + 2 * 16);
    random_plan_free(made);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blobs_are_aligned),      cmocka_unit_test(broken_rules_are_named),
        cmocka_unit_test(costs_are_counted),      cmocka_unit_test(large_operands_are_cut),
        cmocka_unit_test(packages_are_read_back), cmocka_unit_test(weights_are_shared),
        cmocka_unit_test(key_is_of_the_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
