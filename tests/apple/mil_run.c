/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, prediction, and what the operations' files share. A prediction owns the numbers of its
 * values, each from the operation that makes it to the last that reads it, so that any number of
 * predictions may go on at a time and a long program needs little memory. */
#include "apple/mil_run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "apple/mil_run_internal.h"
#include "base/cpu.h"
#include "base/mem.h"

#define ARENA_BYTES_MAX ((size_t)4 << 30)
#define DATA            "Data/com.apple.CoreML/"

const mil_run_rule *mil_run_rule_of(tandem_str type) {
    static const mil_run_rule *const families[] = {mil_run_elementwise_rules, mil_run_layout_rules,
                                                   mil_run_norm_rules, mil_run_product_rules};
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        for (const mil_run_rule *rule = families[i]; rule->type != NULL; rule++)
            if (tandem__str_is(type, rule->type)) return rule;
    return NULL;
}

/* Arguments. */

static const mil_run_argument *argument_of(const mil_run_op *op, const char *name) {
    for (int i = 0; i < op->argument_count; i++)
        if (strcmp(op->arguments[i].name, name) == 0) return &op->arguments[i];
    return NULL;
}

const mil_run_value *mil_run_argument_of(const mil_run *run, const mil_run_op *op, const char *name,
                                         int index) {
    const mil_run_argument *argument = argument_of(op, name);
    return argument == NULL || index >= argument->count ? NULL
                                                        : &run->values[argument->values[index]];
}

int mil_run_argument_count(const mil_run_op *op, const char *name) {
    const mil_run_argument *argument = argument_of(op, name);
    return argument == NULL ? 0 : argument->count;
}

bool mil_run_text_is(const mil_run *run, const mil_run_op *op, const char *name, const char *text) {
    const mil_run_value *value = mil_run_argument_of(run, op, name, 0);
    return value != NULL && value->type == MIL_RUN_STRING && tandem__str_is(value->text, text);
}

double mil_run_number(const mil_run *run, const mil_run_op *op, const char *name, double other) {
    const mil_run_value *value = mil_run_argument_of(run, op, name, 0);
    return value == NULL || value->numbers == NULL ? other : (double)value->numbers[0];
}

int mil_run_numbers(const mil_run *run, const mil_run_op *op, const char *name, int max,
                    int64_t *numbers) {
    const mil_run_value *value = mil_run_argument_of(run, op, name, 0);
    if (value == NULL) return 0;
    if (value->numbers == NULL || value->count > max || value->shape.rank != 1) return -1;
    for (int i = 0; i < value->count; i++) numbers[i] = (int64_t)value->numbers[i];
    return (int)value->count;
}

const float *mil_run_floats(const mil_run_state *state, const mil_run_value *value) {
    return value->is_const ? value->numbers : state->x[value - state->run->values];
}

float *mil_run_result(const mil_run_state *state, const mil_run_op *op, int index) {
    return state->x[op->results[index]];
}

/* Shapes. */

int64_t mil_run_shape_count(const mil_run_shape *shape) {
    int64_t count = 1;
    for (int i = 0; i < shape->rank; i++) count *= shape->dim[i];
    return count;
}

bool mil_run_shape_equal(const mil_run_shape *a, const mil_run_shape *b) {
    for (int i = 0; i < a->rank && a->rank == b->rank; i++)
        if (a->dim[i] != b->dim[i]) return false;
    return a->rank == b->rank;
}

mil_run_shape_label mil_run_shape_text(const mil_run_shape *shape) {
    mil_run_shape_label label = {"["};
    size_t at = 1;
    for (int i = 0; i < shape->rank; i++)
        at += (size_t)snprintf(label.text + at, sizeof label.text - at, "%s%d", i > 0 ? ", " : "",
                               (int)shape->dim[i]);
    (void)snprintf(label.text + at, sizeof label.text - at, "]");
    return label;
}

bool mil_run_axis_of(const mil_run_shape *shape, int64_t axis, mil_run_axis *out) {
    if (axis < 0) axis += shape->rank;
    if (axis < 0 || axis >= shape->rank) return false;
    *out = (mil_run_axis){(int)axis, 1, shape->dim[axis], 1};
    for (int i = 0; i < axis; i++) out->outer *= shape->dim[i];
    for (int i = (int)axis + 1; i < shape->rank; i++) out->inner *= shape->dim[i];
    return true;
}

/* Opening. */

static tandem_status map_file(const char *package, const char *name, tandem_map *map,
                              tandem_error *err) {
    char path[TANDEM_PATH_MAX];
    TANDEM_TRY(tandem__path_join(package, name, path, err));
    return tandem__file_map(path, map, err);
}

static tandem_status open_package(mil_run *run, const char *package, tandem_error *err) {
    tandem_convert_fill(&run->convert, tandem__cpu_flags());
    TANDEM_TRY(mil_run_manifest(run, package, err));
    TANDEM_TRY(map_file(package, DATA "model.mlmodel", &run->model, err));
    TANDEM_TRY(map_file(package, DATA "weights/weight.bin", &run->weights, err));
    const tandem_status status = mil_run_blobs(run, err);
    if (status != TANDEM_OK) return tandem__fail_prefix(err, status, "weight.bin");
    return mil_run_load(run, err);
}

mil_run *mil_run_open(const char *package, char *error, size_t size) {
    tandem_error err = {0};
    mil_run *run = tandem__mem_calloc(1, sizeof *run);
    if (run == NULL) {
        (void)snprintf(error, size, "no memory");
        return NULL;
    }
    tandem__arena_init(&run->arena, ARENA_BYTES_MAX);
    if (open_package(run, package, &err) == TANDEM_OK) return run;
    (void)snprintf(error, size, "%s", err.message);
    mil_run_close(run);
    return NULL;
}

void mil_run_close(mil_run *run) {
    if (run == NULL) return;
    tandem__file_unmap(&run->model);
    tandem__file_unmap(&run->weights);
    tandem__arena_deinit(&run->arena);
    tandem__mem_free(run);
}

const mil_run_feature *mil_run_inputs(const mil_run *run, int *count) {
    *count = run->input_count;
    return run->inputs;
}

const mil_run_feature *mil_run_outputs(const mil_run *run, int *count) {
    *count = run->output_count;
    return run->outputs;
}

const mil_run_operation *mil_run_operations(const mil_run *run, int *count) {
    *count = run->op_count;
    return run->operations;
}

/* Prediction. */

static tandem_status take(mil_run_state *state, int index, tandem_error *err) {
    state->x[index] = tandem__mem_calloc((size_t)state->run->values[index].count, sizeof(float));
    return state->x[index] == NULL ? TANDEM_FAIL(err, MEMORY, "no memory for a value") : TANDEM_OK;
}

static void drop(mil_run_state *state, int index) {
    tandem__mem_free(state->x[index]);
    state->x[index] = NULL;
}

/* Rounds results to their type, and refuses those that are not finite. */
static tandem_status round_result(const mil_run_state *state, int index, tandem_error *err) {
    enum { CHUNK = 256 };
    uint16_t half[CHUNK];
    const mil_run_value *value = &state->run->values[index];
    float *x = state->x[index];
    for (int64_t i = 0; i < value->count && value->type == MIL_RUN_F16; i += CHUNK) {
        const size_t n = (size_t)(value->count - i < CHUNK ? value->count - i : CHUNK);
        state->run->convert.f32_f16(half, x + i, n);
        state->run->convert.f16_f32(x + i, half, n);
    }
    for (int64_t i = 0; i < value->count; i++)
        MIL_RUN_CHECK(isfinite(x[i]), "\"%s\": element %lld is %g", value->name, (long long)i,
                      (double)x[i]);
    return TANDEM_OK;
}

static tandem_status step(mil_run_state *state, int index, tandem_error *err) {
    const mil_run_op *op = &state->run->ops[index];
    for (int i = 0; i < op->result_count; i++) TANDEM_TRY(take(state, op->results[i], err));
    TANDEM_TRY(op->rule->compute(state, op, err));
    for (int i = 0; i < op->result_count; i++) TANDEM_TRY(round_result(state, op->results[i], err));
    for (int i = 0; i < op->argument_count; i++)
        for (int j = 0; j < op->arguments[i].count; j++) {
            const int value = op->arguments[i].values[j];
            if (state->run->values[value].last_use == index) drop(state, value);
        }
    return TANDEM_OK;
}

static tandem_status give_inputs(mil_run_state *state, int count, const char *const *names,
                                 const uint16_t *const *inputs, tandem_error *err) {
    const mil_run *run = state->run;
    MIL_RUN_CHECK(count == run->input_count, "%d inputs given, the program has %d", count,
                  run->input_count);
    for (int i = 0; i < run->input_count; i++) {
        int given = 0;
        while (given < count && strcmp(names[given], run->inputs[i].name) != 0) given++;
        MIL_RUN_CHECK(given < count && inputs[given] != NULL, "input \"%s\" is not given",
                      run->inputs[i].name);
        TANDEM_TRY(take(state, run->input_values[i], err));
        run->convert.f16_f32(state->x[run->input_values[i]], inputs[given], run->inputs[i].count);
    }
    return TANDEM_OK;
}

static tandem_status predict(mil_run_state *state, int count, const char *const *names,
                             const uint16_t *const *inputs, tandem_error *err) {
    TANDEM_TRY(give_inputs(state, count, names, inputs, err));
    for (int i = 0; i < state->run->op_count; i++) TANDEM_TRY(step(state, i, err));
    return TANDEM_OK;
}

int mil_run_predict(const mil_run *run, int count, const char *const *names,
                    const uint16_t *const *inputs, const char *output, uint16_t *out, char *error,
                    size_t size) {
    tandem_error err = {0};
    mil_run_state state = {.run = run};
    int index = 0;
    while (index < run->output_count && strcmp(run->outputs[index].name, output) != 0) index++;
    state.x = tandem__mem_calloc((size_t)run->value_count, sizeof *state.x);
    tandem_status status;
    if (state.x == NULL)
        status = TANDEM_FAIL(&err, MEMORY, "no memory for a prediction");
    else if (index == run->output_count)
        status = TANDEM_FAIL(&err, NOT_FOUND, "no output \"%s\"", output);
    else
        status = predict(&state, count, names, inputs, &err);
    if (status == TANDEM_OK)
        run->convert.f32_f16(out, state.x[run->output_values[index]], run->outputs[index].count);
    else
        (void)snprintf(error, size, "%s", err.message);
    for (int i = 0; i < run->value_count && state.x != NULL; i++) drop(&state, i);
    tandem__mem_free(state.x);
    return status == TANDEM_OK;
}
