/* SPDX-License-Identifier: Apache-2.0 */
/* Both sides of the seam looked at once: what the model room promises about a plan, and what the
 * pipeline promises about a batch. A backend that has called these works with plain indices. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "base/fail.h"

#define F16_LIMIT 65520.0 /* what rounds to infinity in f16 */

/* Where a view stands, for messages: "layer 3 query.weight", or the slot alone. */
typedef struct place {
    int layer; /* -1: none */
    const char *slot;
    const char *part;
} place;

static tandem_status fail_view(const place *at, const tandem_view *view, int64_t rows, int64_t cols,
                               tandem_error *err) {
    char layer[32] = "";
    if (at->layer >= 0) (void)snprintf(layer, sizeof layer, "layer %d ", at->layer);
    if (view->data == NULL) {
        return TANDEM_FAIL(err, INVALID, "%s%s%s: missing, expected [%lld, %lld]", layer, at->slot,
                           at->part, (long long)rows, (long long)cols);
    }
    if (view->rows != rows || view->cols != cols) {
        return TANDEM_FAIL(err, INVALID, "%s%s%s: shape [%lld, %lld], expected [%lld, %lld]", layer,
                           at->slot, at->part, (long long)view->rows, (long long)view->cols,
                           (long long)rows, (long long)cols);
    }
    return TANDEM_FAIL(err, INVALID, "%s%s%s: element type %d, expected f32, f16 or bf16", layer,
                       at->slot, at->part, (int)view->dtype);
}

static tandem_status check_view(const place *at, const tandem_view *view, int64_t rows,
                                int64_t cols, tandem_error *err) {
    const bool has_type = view->dtype == TANDEM_DTYPE_F32 || view->dtype == TANDEM_DTYPE_F16 ||
                          view->dtype == TANDEM_DTYPE_BF16;
    const bool is_right = view->data != NULL && view->rows == rows && view->cols == cols;
    if (is_right && has_type) return TANDEM_OK;
    return fail_view(at, view, rows, cols, err);
}

static tandem_status check_optional(const place *at, const tandem_view *view, int64_t rows,
                                    int64_t cols, tandem_error *err) {
    if (view->data == NULL) return TANDEM_OK;
    return check_view(at, view, rows, cols, err);
}

static tandem_status check_linear(int layer, const char *slot, const tandem_linear *linear,
                                  int64_t out, int64_t in, tandem_error *err) {
    const place weight = {layer, slot, ".weight"};
    const place bias = {layer, slot, ".bias"};
    TANDEM_TRY(check_view(&weight, &linear->weight, out, in, err));
    return check_optional(&bias, &linear->bias, 1, out, err);
}

static tandem_status check_norm(int layer, const char *slot, const tandem_norm *norm, int64_t width,
                                tandem_error *err) {
    const place gamma = {layer, slot, ".weight"};
    const place beta = {layer, slot, ".bias"};
    TANDEM_TRY(check_optional(&gamma, &norm->gamma, 1, width, err));
    return check_optional(&beta, &norm->beta, 1, width, err);
}

static tandem_status check_number(const char *name, int64_t value, int64_t min, int64_t max,
                                  tandem_error *err) {
    if (value >= min && value <= max) return TANDEM_OK;
    return TANDEM_FAIL(err, INVALID, "plan: %s is %lld, expected %lld to %lld", name,
                       (long long)value, (long long)min, (long long)max);
}

static tandem_status check_numbers(const tandem_plan *plan, tandem_error *err) {
    enum { WIDTH_MAX = 1 << 16, COUNT_MAX = 1 << 28 };
    TANDEM_TRY(check_number("hidden", plan->hidden, 1, WIDTH_MAX, err));
    TANDEM_TRY(check_number("heads", plan->heads, 1, WIDTH_MAX, err));
    TANDEM_TRY(check_number("head_dim", plan->head_dim, 1, WIDTH_MAX / plan->heads, err));
    TANDEM_TRY(check_number("ffn", plan->ffn, 1, WIDTH_MAX, err));
    TANDEM_TRY(check_number("vocab", plan->vocab, 1, COUNT_MAX, err));
    TANDEM_TRY(check_number("types", plan->types, 0, COUNT_MAX, err));
    TANDEM_TRY(check_number("layer_count", plan->layer_count, 0, 1024, err));
    TANDEM_TRY(check_number("positions_max", plan->positions_max, 1, COUNT_MAX, err));
    TANDEM_TRY(check_number("position_offset", plan->position_offset, 0, COUNT_MAX, err));
    TANDEM_TRY(check_number("activation", plan->activation, 0, TANDEM_ACTIVATION_TANH, err));
    if (!(plan->norm_eps >= 0.0f) || !isfinite(plan->norm_eps)) {
        return TANDEM_FAIL(err, INVALID, "plan: norm_eps is %g, expected a number from 0 up",
                           (double)plan->norm_eps);
    }
    if (!isfinite(plan->attention_scale)) {
        return TANDEM_FAIL(err, INVALID, "plan: attention_scale is %g, expected a finite number",
                           (double)plan->attention_scale);
    }
    return TANDEM_OK;
}

static tandem_status check_embeddings(const tandem_plan *plan, tandem_error *err) {
    const bool is_projected = plan->embedding_projection.weight.data != NULL;
    const int64_t width = is_projected ? plan->word.cols : plan->hidden;
    const place word = {-1, "embeddings.word", ""};
    const place position = {-1, "embeddings.position", ""};
    const place type = {-1, "embeddings.type", ""};
    const place relative = {-1, "relative_bias", ""};
    TANDEM_TRY(check_view(&word, &plan->word, plan->vocab, width, err));
    if (plan->position == TANDEM_POSITION_ABSOLUTE || plan->position_rows.data != NULL) {
        const int64_t rows = plan->position_rows.rows;
        TANDEM_TRY(check_view(&position, &plan->position_rows, rows, width, err));
        TANDEM_TRY(check_number("positions_max", plan->positions_max, 1,
                                rows - plan->position_offset, err));
    }
    if (plan->types > 0) {
        TANDEM_TRY(check_view(&type, &plan->type_rows, plan->types, width, err));
    }
    if (plan->position == TANDEM_POSITION_RELATIVE) {
        const int64_t buckets = plan->relative_bias.rows;
        TANDEM_TRY(check_number("relative_bias rows", buckets, 4, 1 << 16, err));
        TANDEM_TRY(check_number("relative_distance_max", plan->relative_distance_max,
                                buckets / 4 + 1, 1 << 28, err));
        TANDEM_TRY(check_view(&relative, &plan->relative_bias, buckets, plan->heads, err));
    }
    if (is_projected) {
        TANDEM_TRY(check_linear(-1, "embeddings.projection", &plan->embedding_projection,
                                plan->hidden, width, err));
    }
    return check_norm(-1, "embeddings.norm", &plan->embedding_norm, width, err);
}

static tandem_status check_layer(const tandem_plan *plan, int index, tandem_error *err) {
    const tandem_plan_layer *layer = &plan->layers[index];
    const int64_t hidden = plan->hidden;
    const int64_t inner = (int64_t)plan->heads * plan->head_dim;
    TANDEM_TRY(check_linear(index, "query", &layer->query, inner, hidden, err));
    TANDEM_TRY(check_linear(index, "key", &layer->key, inner, hidden, err));
    TANDEM_TRY(check_linear(index, "value", &layer->value, inner, hidden, err));
    TANDEM_TRY(check_linear(index, "attention.output", &layer->output, hidden, inner, err));
    TANDEM_TRY(check_norm(index, "attention.norm", &layer->attention_norm, hidden, err));
    TANDEM_TRY(check_linear(index, "ffn.up", &layer->up, plan->ffn, hidden, err));
    if (layer->gate.weight.data != NULL) {
        TANDEM_TRY(check_linear(index, "ffn.gate", &layer->gate, plan->ffn, hidden, err));
    }
    TANDEM_TRY(check_linear(index, "ffn.down", &layer->down, hidden, plan->ffn, err));
    TANDEM_TRY(check_norm(index, "ffn.norm", &layer->ffn_norm, hidden, err));
    if (layer->rope_theta != 0.0f && plan->head_dim % 2 != 0) {
        return TANDEM_FAIL(err, INVALID, "layer %d: rotary positions with an odd head_dim %d",
                           index, plan->head_dim);
    }
    return check_number("window", layer->window, 0, 1 << 28, err);
}

static tandem_status check_lm_head(const tandem_plan *plan, tandem_error *err) {
    if (plan->lm_decoder.weight.data == NULL) return TANDEM_OK;
    const int64_t width = plan->lm_dense.weight.rows;
    TANDEM_TRY(check_number("lm_activation", plan->lm_activation, 0, TANDEM_ACTIVATION_TANH, err));
    TANDEM_TRY(check_linear(-1, "lm.dense", &plan->lm_dense, width, plan->hidden, err));
    TANDEM_TRY(check_norm(-1, "lm.norm", &plan->lm_norm, width, err));
    return check_linear(-1, "lm.decoder", &plan->lm_decoder, plan->vocab, width, err);
}

/* `*width` is that of the last one's vector. */
static tandem_status check_modules(const tandem_plan *plan, int64_t *width, tandem_error *err) {
    *width = (int64_t)plan->hidden * (1 + plan->joined_count);
    for (int i = 0; i < plan->dense_count; i++) {
        const tandem_plan_dense *dense = &plan->dense[i];
        const tandem_linear *linear = &dense->linear;
        const int64_t out = linear->weight.rows;
        if (dense->kind == TANDEM_DENSE_NORM) {
            const place gamma = {i, "module norm", ".weight"};
            TANDEM_TRY(check_view(&gamma, &dense->norm.gamma, 1, *width, err));
            TANDEM_TRY(check_norm(i, "module norm", &dense->norm, *width, err));
        }
        if (dense->kind != TANDEM_DENSE_LINEAR) continue;
        TANDEM_TRY(check_linear(i, "dense", linear, out, *width, err));
        if (dense->residual.weight.data != NULL)
            TANDEM_TRY(check_linear(i, "residual", &dense->residual, out, *width, err));
        else if (dense->has_residual)
            TANDEM_TRY(check_number("dense width", out, *width, *width, err));
        *width = out;
    }
    return TANDEM_OK;
}

static tandem_status check_top(const tandem_plan *plan, tandem_error *err) {
    TANDEM_TRY(check_norm(-1, "final.norm", &plan->final_norm, plan->hidden, err));
    int64_t width = 0;
    TANDEM_TRY(check_number("joined_count", plan->joined_count, 0, TANDEM_POOLINGS_MAX - 1, err));
    TANDEM_TRY(check_modules(plan, &width, err));
    if (plan->pooling != TANDEM_POOLING_SPLADE)
        TANDEM_TRY(check_number("dimensions", plan->dimensions, width, width, err));
    TANDEM_TRY(check_lm_head(plan, err));
    if (plan->classifier.weight.data == NULL) return TANDEM_OK;
    width = plan->hidden;
    if (plan->head_dense.weight.data != NULL) {
        const int64_t out = plan->head_dense.weight.rows;
        TANDEM_TRY(check_linear(-1, "head.dense", &plan->head_dense, out, width, err));
        width = out;
    }
    TANDEM_TRY(check_norm(-1, "head.norm", &plan->head_norm, width, err));
    TANDEM_TRY(check_number("labels", plan->labels, 1, 1 << 20, err));
    return check_linear(-1, "classifier", &plan->classifier, plan->labels, width, err);
}

tandem_pooling tandem__plan_pooling(const tandem_plan *plan, int index) {
    return index == 0 ? plan->pooling : plan->joined[index - 1];
}

int64_t tandem__plan_pooled_width(const tandem_plan *plan) {
    int64_t widest = (int64_t)plan->hidden * (1 + plan->joined_count);
    for (int i = 0; i < plan->dense_count; i++) {
        const int64_t rows = plan->dense[i].linear.weight.rows;
        if (rows > widest) widest = rows;
    }
    return widest;
}

tandem_status tandem__plan_check(const tandem_plan *plan, tandem_error *err) {
    TANDEM_TRY(check_numbers(plan, err));
    TANDEM_TRY(check_embeddings(plan, err));
    for (int i = 0; i < plan->layer_count; i++) TANDEM_TRY(check_layer(plan, i, err));
    return check_top(plan, err);
}

static tandem_status check_sequence(const tandem_plan *plan, const tandem_batch *batch, int index,
                                    tandem_error *err) {
    const int32_t begin = batch->offsets[index];
    const int32_t end = batch->offsets[index + 1];
    if (end <= begin || end > batch->tokens) {
        return TANDEM_FAIL(err, INVALID, "sequence %d: offsets %d to %d of %d tokens", index,
                           (int)begin, (int)end, (int)batch->tokens);
    }
    if (end - begin > plan->positions_max) {
        return TANDEM_FAIL(err, INVALID, "sequence %d: %d tokens, the model has %d positions",
                           index, (int)(end - begin), (int)plan->positions_max);
    }
    if (batch->pool_skip != NULL &&
        (batch->pool_skip[index] < 0 || batch->pool_skip[index] >= end - begin)) {
        return TANDEM_FAIL(err, INVALID, "sequence %d: pooling skips %d of %d tokens", index,
                           (int)batch->pool_skip[index], (int)(end - begin));
    }
    for (int32_t t = begin; t < end; t++) {
        if (batch->ids[t] < 0 || batch->ids[t] >= plan->vocab) {
            return TANDEM_FAIL(err, INVALID, "sequence %d token %d: id %d, vocabulary of %d", index,
                               (int)(t - begin), (int)batch->ids[t], (int)plan->vocab);
        }
        if (plan->types > 0 && batch->types != NULL &&
            (batch->types[t] < 0 || batch->types[t] >= plan->types)) {
            return TANDEM_FAIL(err, INVALID, "sequence %d token %d: type %d, the model has %d",
                               index, (int)(t - begin), (int)batch->types[t], (int)plan->types);
        }
    }
    return TANDEM_OK;
}

tandem_status tandem__batch_check(const tandem_plan *plan, const tandem_capabilities *limits,
                                  const tandem_batch *batch, tandem_error *err) {
    if (batch->sequences < 1 || batch->tokens < batch->sequences) {
        return TANDEM_FAIL(err, INVALID, "batch of %d sequences and %d tokens",
                           (int)batch->sequences, (int)batch->tokens);
    }
    if (batch->tokens > limits->tokens_max) {
        return TANDEM_FAIL(err, CAPACITY, "batch of %d tokens, the lane takes %d",
                           (int)batch->tokens, (int)limits->tokens_max);
    }
    if (batch->sequences > limits->sequences_max) {
        return TANDEM_FAIL(err, CAPACITY, "batch of %d sequences, the lane takes %d",
                           (int)batch->sequences, (int)limits->sequences_max);
    }
    if (batch->offsets[0] != 0 || batch->offsets[batch->sequences] != batch->tokens) {
        return TANDEM_FAIL(err, INVALID, "batch offsets from %d to %d, expected 0 to %d",
                           (int)batch->offsets[0], (int)batch->offsets[batch->sequences],
                           (int)batch->tokens);
    }
    for (int i = 0; i < batch->sequences; i++) TANDEM_TRY(check_sequence(plan, batch, i, err));
    return TANDEM_OK;
}

tandem_status tandem__output_check(const tandem_plan *plan, tandem_output output,
                                   tandem_error *err) {
    if (output == TANDEM_OUTPUT_POOLED && plan->pooling == TANDEM_POOLING_NONE) {
        return TANDEM_FAIL(err, UNSUPPORTED, "the model has no pooling, only token vectors");
    }
    if (output == TANDEM_OUTPUT_POOLED && plan->pooling == TANDEM_POOLING_SPLADE) {
        return TANDEM_FAIL(err, UNSUPPORTED, "the model has sparse vectors alone");
    }
    if (output == TANDEM_OUTPUT_SPARSE && plan->lm_decoder.weight.data == NULL) {
        return TANDEM_FAIL(err, UNSUPPORTED, "the model is no masked language model");
    }
    if (output == TANDEM_OUTPUT_HEAD && plan->classifier.weight.data == NULL) {
        return TANDEM_FAIL(err, UNSUPPORTED, "the model is not a classifier");
    }
    return TANDEM_OK;
}

int32_t tandem__output_width(const tandem_plan *plan, tandem_output output) {
    switch (output) {
    case TANDEM_OUTPUT_POOLED:
        return plan->dimensions;
    case TANDEM_OUTPUT_HEAD:
        return plan->labels;
    case TANDEM_OUTPUT_SPARSE:
        return plan->vocab;
    case TANDEM_OUTPUT_TOKENS:
    case TANDEM_OUTPUT_STATES:
        break;
    }
    return plan->hidden;
}

int64_t tandem__output_rows(const tandem_plan *plan, tandem_output output,
                            const tandem_batch *batch) {
    if (output == TANDEM_OUTPUT_TOKENS) return batch->tokens;
    if (output == TANDEM_OUTPUT_STATES) return (int64_t)(plan->layer_count + 1) * batch->tokens;
    return batch->sequences;
}

static double weight_at(const void *data, tandem_dtype dtype, size_t index) {
    if (dtype == TANDEM_DTYPE_F32) {
        float value;
        memcpy(&value, (const char *)data + index * sizeof value, sizeof value);
        return (double)value;
    }
    uint16_t half;
    memcpy(&half, (const char *)data + index * sizeof half, sizeof half);
    const int exponent_bits = dtype == TANDEM_DTYPE_F16 ? 5 : 8;
    const int fraction_bits = 15 - exponent_bits;
    const int exponent = (half >> fraction_bits) & ((1 << exponent_bits) - 1);
    const int fraction = half & ((1 << fraction_bits) - 1);
    const bool is_special = exponent == (1 << exponent_bits) - 1;
    if (is_special) return fraction != 0 ? (double)NAN : (double)INFINITY;
    const int bias = (1 << (exponent_bits - 1)) - 1;
    const double mantissa = (exponent == 0 ? 0.0 : 1.0) + ldexp(fraction, -fraction_bits);
    return ldexp(half >> 15 ? -mantissa : mantissa, (exponent == 0 ? 1 : exponent) - bias);
}

/* "folder/model.safetensors: name", or "" where the plan cannot say. */
static tandem_status blame(const tandem_plan *plan, const void *data, tandem_status status,
                           tandem_error *err) {
    char text[320] = "";
    if (plan->describe != NULL) plan->describe(plan->release_context, data, text, sizeof text);
    return text[0] == '\0' ? status : tandem__fail_prefix(err, status, text);
}

tandem_status tandem__fail_weight(const tandem_plan *plan, const tandem_weight_part *part,
                                  bool is_narrow, tandem_error *err) {
    size_t i = 0;
    double value = 0.0;
    for (; i < part->count; i++) {
        value = weight_at(part->data, part->dtype, i);
        if (!isfinite(value) || (is_narrow && fabs(value) >= F16_LIMIT)) break;
    }
    char layer[32] = "";
    if (part->layer >= 0) (void)snprintf(layer, sizeof layer, "layer %d ", part->layer);
    const char *expected =
        isfinite(value) ? "f16 holds up to 65504: use dtype f32" : "expected a finite number";
    const tandem_status status = TANDEM_FAIL(err, NUMERIC, "%s%s: element %zu is %g, %s", layer,
                                             part->slot, part->first + i, value, expected);
    return blame(plan, part->data, status, err);
}

bool tandem__floats_are_finite(const float *values, size_t count) {
    uint32_t largest = 0; /* exponent field: all ones in infinities and NaNs alone */
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        const uint32_t exponent = bits & 0x7f800000u;
        largest = exponent > largest ? exponent : largest;
    }
    return largest != 0x7f800000u;
}

/* Slopes of "Train Short, Test Long" (Press et al. 2022): for n heads, n a power of two, 2^(-8/n)
 * to the powers 1 to n; for other n those of the power below, then every second one of the power
 * above, as its authors' code does. */
static double alibi_slope(int heads, int head) {
    int power = 1;
    while (2 * power <= heads) power *= 2;
    if (head < power) return pow(2.0, -8.0 * (head + 1) / power);
    return pow(2.0, -8.0 * (2 * (head - power) + 1) / (2.0 * power));
}

/* T5's buckets, both directions: half of them for keys after the query; of each half the first half
 * one a distance, the rest logarithmic up to distance_max. In f32, as PyTorch computes it. */
static int relative_bucket(int buckets, int distance_max, int distance) {
    const int half = buckets / 2;
    const int exact = half / 2;
    const int first = distance > 0 ? half : 0;
    const int length = distance < 0 ? -distance : distance;
    if (length < exact) return first + length;
    const float ratio =
        logf((float)length / (float)exact) / (float)log((double)distance_max / (double)exact);
    const int far = exact + (int)(ratio * (float)(half - exact));
    return first + (far < half ? far : half - 1);
}

float tandem__plan_bias(const tandem_plan *plan, const float *relative, int head, int distance) {
    if (plan->position == TANDEM_POSITION_ALIBI) {
        const int length = distance < 0 ? -distance : distance;
        return (float)(-alibi_slope(plan->heads, head) * length);
    }
    if (plan->position == TANDEM_POSITION_RELATIVE) {
        const int bucket =
            relative_bucket((int)plan->relative_bias.rows, plan->relative_distance_max, distance);
        return relative[bucket * plan->heads + head];
    }
    return 0.0f;
}

const char *tandem__position_word(tandem_position position) {
    switch (position) {
    case TANDEM_POSITION_NONE:
        return "none";
    case TANDEM_POSITION_ABSOLUTE:
        return "absolute";
    case TANDEM_POSITION_ROPE:
        return "rope";
    case TANDEM_POSITION_ALIBI:
        return "alibi";
    case TANDEM_POSITION_RELATIVE:
        return "relative";
    }
    return "unknown";
}
