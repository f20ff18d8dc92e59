/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/coreml/ane_cost.h"

#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "backend/coreml/ane_encoder.h"
#include "base/fail.h"

/* FLOPs of one element of a result: what a processor would do, an exponential as 8. */
static const struct {
    const char *type;
    double flops;
} elementwise[] = {
    {"add", 1},   {"sub", 1},   {"mul", 1},  {"softmax", 12}, {"layer_norm", 8},
    {"gelu", 12}, {"silu", 12}, {"relu", 1}, {"tanh", 12},
};

static const mil_value *operand(const mil_program *program, const mil_op *op, const char *name,
                                int32_t index) {
    return &program->values[tandem__mil_argument(op, name)->values[index]];
}

/* Products of the sum behind one element of the result, 0 where it is none. */
static double depth_of(const mil_program *program, const mil_op *op) {
    if (strcmp(op->type, "conv") == 0) return operand(program, op, "x", 0)->shape.size[1];
    if (strcmp(op->type, "einsum") == 0) return operand(program, op, "values", 0)->shape.size[3];
    return 0;
}

static double flops_of(const mil_program *program, const mil_op *op, double elements) {
    const double depth = depth_of(program, op);
    if (depth > 0) return 2 * depth * elements;
    for (size_t i = 0; i < sizeof elementwise / sizeof elementwise[0]; i++) {
        if (strcmp(elementwise[i].type, op->type) == 0) return elementwise[i].flops * elements;
    }
    return 0;
}

static double bytes_of(const mil_value *value) {
    return (double)tandem__mil_elements(value->shape) * sizeof(uint16_t);
}

/* Names are l<layer>_... (ane_encoder.c). */
static int layer_of(const char *name) {
    if (name[0] != 'l' || name[1] < '0' || name[1] > '9') return -1;
    return (int)strtol(name + 1, NULL, 10);
}

static void count_operand(tandem_ane_cost *cost, const mil_value *value) {
    const bool is_tensor = value->kind == MIL_KIND_INPUT || value->kind == MIL_KIND_RESULT;
    const double bytes = bytes_of(value);
    if (!is_tensor && value->kind != MIL_KIND_BLOB) return;
    if (is_tensor)
        cost->bytes_read += bytes;
    else
        cost->weight_bytes += bytes;
    if (bytes > cost->operand_bytes) cost->operand_bytes = bytes;
}

static tandem_ane_cost cost_of(const mil_program *program, const mil_op *op) {
    const mil_value *result = &program->values[op->result];
    const double elements = (double)tandem__mil_elements(result->shape);
    tandem_ane_cost cost = {.op = op->type,
                            .name = result->name,
                            .layer = layer_of(result->name),
                            .is_matrix = depth_of(program, op) > 0,
                            .flops = flops_of(program, op, elements),
                            .bytes_written = bytes_of(result),
                            .operand_bytes = bytes_of(result)};
    for (int32_t i = 0; i < op->argument_count; i++) {
        for (int32_t k = 0; k < op->arguments[i].count; k++)
            count_operand(&cost, &program->values[op->arguments[i].values[k]]);
    }
    return cost;
}

tandem_status tandem__ane_cost(const tandem_plan *plan, int32_t bucket,
                               tandem_ane_cost_visit *visit, void *context, tandem_error *err) {
    ane_model *model = NULL;
    if (bucket < ANE_BUCKET_LEAST || bucket > ANE_BUCKET_MOST || bucket % ANE_CHANNELS != 0)
        return TANDEM_FAIL(err, INVALID, "bucket %d: expected a multiple of %d from %d to %d",
                           (int)bucket, ANE_CHANNELS, ANE_BUCKET_LEAST, ANE_BUCKET_MOST);
    TANDEM_TRY(tandem__plan_check(plan, err));
    TANDEM_TRY(tandem__ane_model_open(plan, &bucket, 1, &model, err));
    const mil_program *program = &model->programs[0];
    for (int32_t i = 0; i < program->op_count; i++) {
        tandem_ane_cost cost = cost_of(program, &program->ops[i]);
        /* The output has a name of its own. */
        const bool is_output = program->ops[i].result == program->output;
        if (is_output && plan->final_norm.gamma.data == NULL) cost.layer = plan->layer_count - 1;
        visit(context, &cost);
    }
    tandem__ane_model_close(model);
    return TANDEM_OK;
}
