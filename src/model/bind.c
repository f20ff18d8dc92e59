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
    for (int i = 0; i <= TANDEM_FAMILY_PREFIXES_MAX; i++) {
        const char *prefix = i == 0 ? "" : files->prefixes[i - 1];
        if (prefix == NULL) break;
        const int need = snprintf(name, sizeof name, "%s%s%s", prefix, stem, suffix);
        TANDEM_ASSERT(need > 0 && (size_t)need < sizeof name);
        const tandem_tensor *tensor = tandem__weights_find(files->weights, name);
        if (tensor != NULL) return tensor;
    }
    return NULL;
}

static tandem_status check_tensor(const tandem_tensor *tensor, const tandem_want *want,
                                  tandem_error *err) {
    const bool is_matrix = want->role == TANDEM_ROLE_MATRIX;
    const int64_t rows = want->rows * want->parts; /* of a vector: rows is 1 */
    const int64_t cols = want->cols * (is_matrix ? 1 : want->parts);
    const bool has_shape =
        is_matrix ? tensor->rank == 2 && tensor->shape[0] == rows && tensor->shape[1] == cols
                  : tensor->rank == 1 && tensor->shape[0] == cols;
    if (!has_shape) {
        char expected[48];
        if (is_matrix) {
            (void)snprintf(expected, sizeof expected, "[%" PRId64 ",%" PRId64 "]", rows, cols);
        } else {
            (void)snprintf(expected, sizeof expected, "[%" PRId64 "]", cols);
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
    if (tensor == NULL && want->is_optional) return TANDEM_OK;
    if (tensor == NULL) {
        return TANDEM_FAIL(err, FORMAT, "%s: %s%s: no such tensor, the model needs it",
                           tandem__weights_path(files->weights), want->stem, suffixes[want->role]);
    }
    TANDEM_TRY(check_tensor(tensor, want, err));
    const size_t part_bytes = tensor->bytes / (size_t)want->parts;
    const uint8_t *data = (const uint8_t *)tensor->data + part_bytes * (size_t)want->part;
    *view = (tandem_view){data, tensor->dtype, want->rows, want->cols};
    return TANDEM_OK;
}

tandem_supply tandem__supply_from_files(tandem_supply_files *files) {
    return (tandem_supply){.take = take_from_files, .context = files};
}

static tandem_status take(tandem_supply supply, const tandem_want *want, tandem_view *view,
                          int64_t *parameters, tandem_error *err) {
    *view = (tandem_view){.data = NULL};
    TANDEM_TRY(supply.take(supply.context, want, view, err));
    if (view->data != NULL || !want->is_optional) *parameters += want->rows * want->cols;
    return TANDEM_OK;
}

/* '#' of the pattern becomes the layer's number. */
static void make_stem(const char *pattern, int layer, char *out) {
    const char *mark = strchr(pattern, '#');
    const int need = mark == NULL ? snprintf(out, NAME_MAX_BYTES, "%s", pattern)
                                  : snprintf(out, NAME_MAX_BYTES, "%.*s%d%s", (int)(mark - pattern),
                                             pattern, layer, mark + 1);
    TANDEM_ASSERT(need > 0 && need < NAME_MAX_BYTES);
}

/* One binding on its way: where its tensors come from and go to. */
typedef struct bind_job {
    tandem_supply supply;
    const int64_t *dims;
    void *target; /* the plan, or a layer of it */
    int layer;
    int64_t *parameters;
} bind_job;

static tandem_status bind_pair(const bind_job *job, tandem_want want, int flags,
                               tandem_role bias_role, tandem_view *first, tandem_view *bias,
                               tandem_error *err) {
    TANDEM_TRY(take(job->supply, &want, first, job->parameters, err));
    *bias = (tandem_view){.data = NULL};
    if (flags & TANDEM_BINDING_NO_BIAS) return TANDEM_OK;
    if (want.role == TANDEM_ROLE_MATRIX) want.cols = want.rows;
    want.rows = 1;
    want.role = bias_role;
    want.is_optional = (flags & TANDEM_BINDING_MAY_BIAS) != 0;
    return take(job->supply, &want, bias, job->parameters, err);
}

static tandem_status bind_one(const bind_job *job, const tandem_binding *binding,
                              tandem_error *err) {
    char stem[NAME_MAX_BYTES];
    make_stem(binding->name, job->layer, stem);
    void *slot = (char *)job->target + binding->slot;
    tandem_want want = {.stem = stem,
                        .rows = job->dims[binding->rows],
                        .cols = job->dims[binding->cols],
                        .part = binding->part,
                        .parts = binding->parts};
    if (binding->kind == TANDEM_BINDING_LINEAR) {
        tandem_linear *linear = slot;
        return bind_pair(job, want, binding->flags, TANDEM_ROLE_BIAS, &linear->weight,
                         &linear->bias, err);
    }
    if (binding->kind == TANDEM_BINDING_NORM) {
        tandem_norm *norm = slot;
        want.role = TANDEM_ROLE_GAIN;
        return bind_pair(job, want, binding->flags, TANDEM_ROLE_SHIFT, &norm->gamma, &norm->beta,
                         err);
    }
    if (want.rows == 0) want.is_optional = true; /* no token types: then no tensor for them */
    return take(job->supply, &want, slot, job->parameters, err);
}

static tandem_status bind_list(const bind_job *job, const tandem_binding *list, tandem_error *err) {
    const bool is_wide = job->dims[TANDEM_DIM_EMBEDDING] == job->dims[TANDEM_DIM_HIDDEN];
    for (const tandem_binding *binding = list; binding->name != NULL; binding++) {
        if ((binding->flags & TANDEM_BINDING_NOT_FIRST) && job->layer == 0) continue;
        if ((binding->flags & TANDEM_BINDING_WIDENING) && is_wide) continue;
        TANDEM_TRY(bind_one(job, binding, err));
    }
    return TANDEM_OK;
}

/* A bias at `stem`, if it is there. */
static tandem_status bind_bias(const bind_job *job, const char *stem, int64_t size,
                               tandem_view *bias, tandem_error *err) {
    const tandem_want want = {.stem = stem,
                              .role = TANDEM_ROLE_BIAS,
                              .rows = 1,
                              .cols = size,
                              .parts = 1,
                              .is_optional = true};
    if (stem == NULL || bias->data != NULL) return TANDEM_OK;
    return take(job->supply, &want, bias, job->parameters, err);
}

/* Logits of the vocabulary: weights of their own or those of the word embeddings, one bias a word.
 */
static tandem_status bind_decoder(const bind_job *job, const tandem_lm_head *head,
                                  tandem_plan *plan, tandem_error *err) {
    tandem_linear *decoder = &plan->lm_decoder;
    tandem_want want = {.stem = head->decoder,
                        .rows = plan->vocab,
                        .cols = job->dims[TANDEM_DIM_EMBEDDING],
                        .parts = 1,
                        .is_optional = true};
    TANDEM_TRY(take(job->supply, &want, &decoder->weight, job->parameters, err));
    if (decoder->weight.data == NULL) decoder->weight = plan->word;
    decoder->bias = (tandem_view){.data = NULL};
    TANDEM_TRY(bind_bias(job, head->decoder, plan->vocab, &decoder->bias, err));
    TANDEM_TRY(bind_bias(job, head->bias, plan->vocab, &decoder->bias, err));
    if (decoder->bias.data != NULL || head->may_lack_bias) return TANDEM_OK;
    want = (tandem_want){.stem = head->decoder,
                         .role = TANDEM_ROLE_BIAS,
                         .rows = 1,
                         .cols = plan->vocab,
                         .parts = 1};
    return take(job->supply, &want, &decoder->bias, job->parameters, err);
}

/* The head of a masked language model. Where it only may be there, its first tensor tells. */
static tandem_status bind_lm_head(const bind_job *job, const tandem_config *config,
                                  tandem_plan *plan, tandem_error *err) {
    const tandem_lm_head *head = &config->family->lm_head;
    const tandem_want first = {.stem = head->tensors[0].name,
                               .rows = job->dims[head->tensors[0].rows],
                               .cols = job->dims[head->tensors[0].cols],
                               .parts = 1,
                               .is_optional = true};
    tandem_view found = {.data = NULL};
    if (config->lm_head == TANDEM_NEED_MAY)
        TANDEM_TRY(job->supply.take(job->supply.context, &first, &found, err));
    if (config->lm_head == TANDEM_NEED_MAY && found.data == NULL) return TANDEM_OK;
    TANDEM_TRY(bind_list(job, head->tensors, err));
    return bind_decoder(job, head, plan, err);
}

tandem_status tandem__bind_linear(tandem_supply supply, const char *stem, int64_t rows,
                                  int64_t cols, bool has_bias, tandem_linear *linear,
                                  int64_t *parameters, tandem_error *err) {
    const bind_job job = {.supply = supply, .parameters = parameters};
    const tandem_want want = {.stem = stem, .rows = rows, .cols = cols, .parts = 1};
    return bind_pair(&job, want, has_bias ? 0 : TANDEM_BINDING_NO_BIAS, TANDEM_ROLE_BIAS,
                     &linear->weight, &linear->bias, err);
}

tandem_status tandem__bind_norm(tandem_supply supply, const char *stem, int64_t width,
                                tandem_norm *norm, int64_t *parameters, tandem_error *err) {
    const bind_job job = {.supply = supply, .parameters = parameters};
    const tandem_want want = {
        .stem = stem, .role = TANDEM_ROLE_GAIN, .rows = 1, .cols = width, .parts = 1};
    return bind_pair(&job, want, 0, TANDEM_ROLE_SHIFT, &norm->gamma, &norm->beta, err);
}

tandem_status tandem__bind_plan(const tandem_config *config, tandem_supply supply,
                                tandem_plan_layer *layers, tandem_plan *plan, tandem_error *err) {
    const tandem_family *family = config->family;
    bind_job job = {.supply = supply,
                    .dims = config->dims,
                    .target = plan,
                    .layer = -1,
                    .parameters = &plan->parameters};
    TANDEM_TRY(bind_list(&job, family->tensors, err));
    for (int32_t i = 0; i < plan->layer_count; i++) {
        job.target = &layers[i];
        job.layer = i;
        TANDEM_TRY(bind_list(&job, family->layer, err));
        layers[i].rope_theta = config->is_local[i] ? config->rope_theta_local : config->rope_theta;
        layers[i].rope_scale = config->rope_scale;
        layers[i].window = config->is_local[i] ? config->window : 0;
    }
    plan->layers = layers;
    job.target = plan;
    job.layer = -1;
    if (config->is_classifier) TANDEM_TRY(bind_list(&job, family->head, err));
    return config->lm_head == TANDEM_NEED_NONE ? TANDEM_OK : bind_lm_head(&job, config, plan, err);
}
