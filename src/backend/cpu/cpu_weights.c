/* SPDX-License-Identifier: Apache-2.0 */
/* The plan's weights up to the end of the layers, in the layout of the kernels (backend/packing.h).
 * A large word table is not packed but converted as it is used (cpu_table.c). */
#include "backend/cpu/cpu_internal.h"
#include "base/dtype.h"
#include "base/fail.h"
#include "base/mem.h"

/* One head's part of a bias vector; zeros where the others have a bias and this part has none. */
static void take_head_bias(tandem_packing *packing, const tandem_view *vector, int head, int dim,
                           float *bias) {
    if (vector->data == NULL) {
        for (int i = 0; i < dim && bias != NULL; i++) bias[i] = 0.0f;
        return;
    }
    const size_t offset = (size_t)(head * dim) * tandem__dtype_bytes(vector->dtype);
    const tandem_view of_head = {.data = (const char *)vector->data + offset,
                                 .dtype = vector->dtype,
                                 .rows = 1,
                                 .cols = dim};
    tandem__packing_copy(packing, &of_head, 0, 1, bias, TANDEM_DTYPE_F32, ".bias");
}

/* Query, key and value interleaved by head (cpu_internal.h). */
static void take_qkv(tandem_packing *packing, const tandem_plan_layer *from,
                     tandem_packed_linear *to) {
    static const char *const slots[3] = {"query", "key", "value"};
    const tandem_linear *parts[3] = {&from->query, &from->key, &from->value};
    const tandem_plan *plan = packing->plan;
    const int dim = plan->head_dim;
    const int64_t inner = (int64_t)plan->heads * dim;
    tandem__packing_matrix(packing, to, 3 * inner, plan->hidden);
    bool has_bias = false;
    for (int p = 0; p < 3; p++) has_bias = has_bias || parts[p]->bias.data != NULL;
    float *bias =
        has_bias ? tandem__packing_reserve(packing, (size_t)(3 * inner) * sizeof *bias) : NULL;
    to->bias = bias;
    for (int p = 0; p < 3; p++) {
        packing->slot = slots[p];
        for (int head = 0; head < plan->heads; head++) {
            const int column = (3 * head + p) * dim;
            float *of_head = bias == NULL ? NULL : bias + column;
            tandem__packing_columns(packing, to, &parts[p]->weight, (int64_t)head * dim, dim,
                                    column);
            if (has_bias) take_head_bias(packing, &parts[p]->bias, head, dim, of_head);
        }
    }
}

static void take_layer(tandem_packing *packing, const cpu_lane *lane, const tandem_plan_layer *from,
                       cpu_layer *to) {
    const int32_t *rows_min = lane->rows_min;
    packing->in_bytes = lane->capabilities.dtype == TANDEM_DTYPE_I8;
    packing->rows_min = rows_min[CPU_QKV];
    take_qkv(packing, from, &to->qkv);
    packing->rows_min = rows_min[CPU_OUTPUT];
    tandem__packing_linear(packing, &from->output, &to->output, "attention.output");
    to->attention_norm = tandem__packing_norm(packing, &from->attention_norm, "attention.norm");
    packing->rows_min = rows_min[CPU_UP];
    tandem__packing_linear(packing, &from->up, &to->up, "ffn.up");
    tandem__packing_linear(packing, &from->gate, &to->gate, "ffn.gate");
    packing->rows_min = rows_min[CPU_DOWN];
    tandem__packing_linear(packing, &from->down, &to->down, "ffn.down");
    packing->rows_min = 0;
    packing->in_bytes = false;
    to->ffn_norm = tandem__packing_norm(packing, &from->ffn_norm, "ffn.norm");
}

static void take_all(tandem_packing *packing, void *context) {
    const tandem_plan *plan = packing->plan;
    cpu_lane *lane = context;
    cpu_weights *weights = &lane->weights;
    if (weights->table.rows == NULL)
        weights->word = tandem__packing_table(packing, &plan->word, "embeddings.word");
    if (plan->position_rows.data != NULL) {
        weights->position =
            tandem__packing_table(packing, &plan->position_rows, "embeddings.position");
    }
    if (plan->types > 0)
        weights->type = tandem__packing_table(packing, &plan->type_rows, "embeddings.type");
    if (plan->position == TANDEM_POSITION_RELATIVE) {
        const tandem_view *view = &plan->relative_bias;
        const size_t floats = (size_t)(view->rows * view->cols);
        float *relative = tandem__packing_reserve(packing, floats * sizeof *relative);
        packing->slot = "relative_bias";
        tandem__packing_copy(packing, view, 0, view->rows, relative, TANDEM_DTYPE_F32, "");
        weights->relative = relative;
    }
    weights->embedding_norm =
        tandem__packing_norm(packing, &plan->embedding_norm, "embeddings.norm");
    tandem__packing_linear(packing, &plan->embedding_projection, &weights->embedding_projection,
                           "embeddings.projection");
    for (int i = 0; i < plan->layer_count; i++) {
        packing->layer = i;
        take_layer(packing, lane, &plan->layers[i], &weights->layers[i]);
    }
    packing->layer = -1;
    weights->final_norm = tandem__packing_norm(packing, &plan->final_norm, "final.norm");
}

tandem_status tandem__cpu_weights_open(cpu_lane *lane, tandem_error *err) {
    cpu_weights *weights = &lane->weights;
    const int layers = lane->plan->layer_count;
    if (layers > 0) {
        weights->layers = tandem__mem_calloc((size_t)layers, sizeof *weights->layers);
        if (weights->layers == NULL)
            return TANDEM_FAIL(err, MEMORY, "no memory for %d layers", layers);
    }
    if (tandem__cpu_table_is_sparse(lane)) TANDEM_TRY(tandem__cpu_table_open(lane, err));
    tandem_packing packing = {
        .plan = lane->plan, .kernels = &lane->kernels, .pool = lane->pool, .dtype = lane->storage};
    return tandem__packing_run(&packing, take_all, lane, &weights->memory, &weights->bytes, err);
}

void tandem__cpu_weights_close(cpu_weights *weights) {
    if (weights->memory != NULL) tandem__mem_free_aligned(weights->memory, weights->bytes);
    tandem__cpu_table_close(&weights->table);
    tandem__mem_free(weights->layers);
    *weights = (cpu_weights){.memory = NULL};
}
