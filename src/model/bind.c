/* SPDX-License-Identifier: Apache-2.0 */
#include "model/bind.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/fail.h"

#define NAME_MAX_BYTES 192 /* stems are ours, from the table; the longest has some 60 */

/* "[384,383]" for messages. */
typedef struct shape_label {
    char text[TANDEM_TENSOR_RANK_MAX * 21 + 3];
} shape_label;

static shape_label label_shape(const tandem_tensor *tensor) {
    shape_label label = {"["};
    size_t used = 1;
    for (int i = 0; i < tensor->rank; i++) {
        const int put = snprintf(label.text + used, sizeof label.text - used, "%s%" PRId64,
                                 i == 0 ? "" : ",", tensor->shape[i]);
        TANDEM_ASSERT(put > 0);
        used += (size_t)put;
    }
    label.text[used] = ']';
    return label;
}

static const tandem_tensor *find(const tandem_supply_files *files, const char *stem,
                                 const char *suffix) {
    char name[NAME_MAX_BYTES];
    const char *prefixes[2] = {"", files->prefix};
    for (int i = 0; i < 2; i++) {
        const int need = snprintf(name, sizeof name, "%s%s%s", prefixes[i], stem, suffix);
        TANDEM_ASSERT(need > 0 && (size_t)need < sizeof name);
        const tandem_tensor *tensor = tandem__weights_find(files->weights, name);
        if (tensor != NULL) return tensor;
    }
    return NULL;
}

static tandem_status check_tensor(const tandem_tensor *tensor, const tandem_want *want,
                                  tandem_error *err) {
    const bool is_matrix = want->role == TANDEM_ROLE_MATRIX;
    const bool has_shape = is_matrix ? tensor->rank == 2 && tensor->shape[0] == want->rows &&
                                           tensor->shape[1] == want->cols
                                     : tensor->rank == 1 && tensor->shape[0] == want->cols;
    if (!has_shape) {
        char expected[48];
        if (is_matrix) {
            (void)snprintf(expected, sizeof expected, "[%" PRId64 ",%" PRId64 "]", want->rows,
                           want->cols);
        } else {
            (void)snprintf(expected, sizeof expected, "[%" PRId64 "]", want->cols);
        }
        return TANDEM_FAIL(err, FORMAT, "%s: %.*s: shape %s, expected %s", tensor->path,
                           TANDEM_STR_ARG(tensor->name), label_shape(tensor).text, expected);
    }
    if (tensor->dtype != TANDEM_DTYPE_F32 && tensor->dtype != TANDEM_DTYPE_F16 &&
        tensor->dtype != TANDEM_DTYPE_BF16) {
        return TANDEM_FAIL(err, UNSUPPORTED, "%s: %.*s: dtype %s, expected F32, F16 or BF16",
                           tensor->path, TANDEM_STR_ARG(tensor->name), tensor->dtype_word);
    }
    return TANDEM_OK;
}

static tandem_status take_from_files(void *context, const tandem_want *want, tandem_view *view,
                                     tandem_error *err) {
    static const char *const suffixes[] = {".weight", ".bias", ".weight", ".bias"};
    static const char *const old_suffixes[] = {NULL, NULL, ".gamma", ".beta"};
    const tandem_supply_files *files = context;
    const tandem_tensor *tensor = find(files, want->stem, suffixes[want->role]);
    if (tensor == NULL && old_suffixes[want->role] != NULL) {
        tensor = find(files, want->stem, old_suffixes[want->role]);
    }
    if (tensor == NULL) {
        return TANDEM_FAIL(err, FORMAT, "%s: %s%s: no such tensor, the model needs it",
                           tandem__weights_path(files->weights), want->stem, suffixes[want->role]);
    }
    TANDEM_TRY(check_tensor(tensor, want, err));
    *view = (tandem_view){tensor->data, tensor->dtype, want->rows, want->cols};
    return TANDEM_OK;
}

tandem_supply tandem__supply_from_files(tandem_supply_files *files) {
    return (tandem_supply){.take = take_from_files, .context = files};
}

static tandem_status take(tandem_supply supply, const char *stem, tandem_role role, int64_t rows,
                          int64_t cols, tandem_view *view, int64_t *parameters, tandem_error *err) {
    const tandem_want want = {.stem = stem, .role = role, .rows = rows, .cols = cols};
    TANDEM_TRY(supply.take(supply.context, &want, view, err));
    *parameters += rows * cols;
    return TANDEM_OK;
}

tandem_status tandem__bind_linear(tandem_supply supply, const char *stem, int64_t rows,
                                  int64_t cols, bool has_bias, tandem_linear *linear,
                                  int64_t *parameters, tandem_error *err) {
    TANDEM_TRY(
        take(supply, stem, TANDEM_ROLE_MATRIX, rows, cols, &linear->weight, parameters, err));
    if (!has_bias) return TANDEM_OK;
    return take(supply, stem, TANDEM_ROLE_BIAS, 1, rows, &linear->bias, parameters, err);
}

/* '#' of the pattern becomes the layer's number. */
static void make_stem(const char *pattern, int layer, char *out) {
    const char *mark = strchr(pattern, '#');
    const int need = mark == NULL ? snprintf(out, NAME_MAX_BYTES, "%s", pattern)
                                  : snprintf(out, NAME_MAX_BYTES, "%.*s%d%s", (int)(mark - pattern),
                                             pattern, layer, mark + 1);
    TANDEM_ASSERT(need > 0 && need < NAME_MAX_BYTES);
}

static tandem_status bind_one(const tandem_binding *binding, const tandem_dims *dims, int layer,
                              tandem_supply supply, void *target, int64_t *parameters,
                              tandem_error *err) {
    char stem[NAME_MAX_BYTES];
    make_stem(binding->name, layer, stem);
    void *slot = (char *)target + binding->slot;
    const int64_t rows = dims->of[binding->rows];
    const int64_t cols = dims->of[binding->cols];
    if (binding->kind == TANDEM_BINDING_LINEAR) {
        return tandem__bind_linear(supply, stem, rows, cols, true, slot, parameters, err);
    }
    if (binding->kind == TANDEM_BINDING_NORM) {
        tandem_norm *norm = slot;
        TANDEM_TRY(take(supply, stem, TANDEM_ROLE_GAIN, 1, cols, &norm->gamma, parameters, err));
        return take(supply, stem, TANDEM_ROLE_SHIFT, 1, cols, &norm->beta, parameters, err);
    }
    if (rows == 0) return TANDEM_OK; /* a model without token types */
    return take(supply, stem, TANDEM_ROLE_MATRIX, rows, cols, slot, parameters, err);
}

static tandem_status bind_list(const tandem_binding *list, const tandem_dims *dims, int layer,
                               tandem_supply supply, void *target, int64_t *parameters,
                               tandem_error *err) {
    for (const tandem_binding *binding = list; binding->name != NULL; binding++) {
        TANDEM_TRY(bind_one(binding, dims, layer, supply, target, parameters, err));
    }
    return TANDEM_OK;
}

tandem_status tandem__bind_plan(const tandem_family *family, const tandem_dims *dims,
                                bool with_head, tandem_supply supply, tandem_plan_layer *layers,
                                tandem_plan *plan, tandem_error *err) {
    TANDEM_TRY(bind_list(family->tensors, dims, 0, supply, plan, &plan->parameters, err));
    for (int32_t i = 0; i < plan->layer_count; i++) {
        TANDEM_TRY(bind_list(family->layer, dims, i, supply, &layers[i], &plan->parameters, err));
    }
    plan->layers = layers;
    if (!with_head) return TANDEM_OK;
    TANDEM_TRY(bind_list(family->head, dims, 0, supply, plan, &plan->parameters, err));
    plan->head_activation = family->head_activation;
    return TANDEM_OK;
}
