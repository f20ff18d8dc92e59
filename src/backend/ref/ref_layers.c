/* SPDX-License-Identifier: Apache-2.0 */
/* Embeddings, norms and the two orders of a layer:
 *
 *     norm after (BERT)                       norm before (ModernBERT)
 *     x = norm(x + attention(x))              x = x + attention(norm(x))
 *     x = norm(x + ffn(x))                    x = x + ffn(norm(x))
 *
 * ffn(x) = down(act(up(x))), or with a gate down(act(gate(x)) * up(x)). */
#include <math.h>
#include <string.h>

#include "backend/ref/ref_internal.h"

static void norm_row(const ref_norm *norm, float eps, const float *x, int width, float *y) {
    double sum = 0.0;
    for (int i = 0; i < width; i++) sum += (double)x[i];
    const double mean = sum / width;
    double squares = 0.0;
    for (int i = 0; i < width; i++) {
        const double d = (double)x[i] - mean;
        squares += d * d;
    }
    const double scale = 1.0 / sqrt(squares / width + (double)eps);
    for (int i = 0; i < width; i++) {
        const double beta = norm->beta == NULL ? 0.0 : (double)norm->beta[i];
        y[i] = (float)(((double)x[i] - mean) * scale * (double)norm->gamma[i] + beta);
    }
}

void tandem__ref_norm(const ref_norm *norm, float eps, const float *x, int rows, int width,
                      float *y) {
    for (int row = 0; row < rows; row++) {
        const int64_t at = (int64_t)row * width;
        if (norm->gamma != NULL)
            norm_row(norm, eps, x + at, width, y + at);
        else if (x != y)
            memcpy(y + at, x + at, (size_t)width * sizeof *y);
    }
}

void tandem__ref_embed(ref_lane *lane, const tandem_batch *batch) {
    const tandem_plan *plan = lane->plan;
    const ref_weights *weights = &lane->weights;
    const bool is_projected = weights->embedding_projection.weight != NULL;
    const int64_t width = plan->word.cols;
    float *out = is_projected ? lane->ws.normed : lane->ws.x;
    for (int b = 0; b < batch->sequences; b++) {
        for (int t = batch->offsets[b]; t < batch->offsets[b + 1]; t++) {
            const int64_t id = batch->ids[t];
            const int64_t type = batch->types == NULL ? 0 : batch->types[t];
            const int64_t position = t - batch->offsets[b] + plan->position_offset;
            for (int64_t i = 0; i < width; i++) {
                double sum = (double)weights->word[id * width + i];
                if (weights->type != NULL) sum += (double)weights->type[type * width + i];
                if (weights->position != NULL)
                    sum += (double)weights->position[position * width + i];
                out[t * width + i] = (float)sum;
            }
        }
    }
    tandem__ref_norm(&weights->embedding_norm, plan->norm_eps, out, batch->tokens, (int)width, out);
    if (is_projected) {
        tandem__ref_linear(lane, &weights->embedding_projection, TANDEM_ACTIVATION_NONE, out,
                           batch->tokens, lane->ws.x);
    }
}

/* sum = attention(x) */
static void attention(ref_lane *lane, const tandem_batch *batch, int index, const float *x) {
    const ref_layer *layer = &lane->weights.layers[index];
    ref_workspace *ws = &lane->ws;
    const int rows = batch->tokens;
    tandem__ref_linear(lane, &layer->query, TANDEM_ACTIVATION_NONE, x, rows, ws->query);
    tandem__ref_linear(lane, &layer->key, TANDEM_ACTIVATION_NONE, x, rows, ws->key);
    tandem__ref_linear(lane, &layer->value, TANDEM_ACTIVATION_NONE, x, rows, ws->value);
    tandem__ref_attention(lane, batch, index);
    tandem__ref_linear(lane, &layer->output, TANDEM_ACTIVATION_NONE, ws->context, rows, ws->sum);
}

/* sum = ffn(x) */
static void feed_forward(ref_lane *lane, int rows, int index, const float *x) {
    const ref_layer *layer = &lane->weights.layers[index];
    const tandem_activation activation = lane->plan->activation;
    ref_workspace *ws = &lane->ws;
    if (layer->gate.weight != NULL) {
        tandem__ref_linear(lane, &layer->up, TANDEM_ACTIVATION_NONE, x, rows, ws->up);
        tandem__ref_linear(lane, &layer->gate, activation, x, rows, ws->gate);
        const int64_t count = (int64_t)rows * lane->plan->ffn;
        for (int64_t i = 0; i < count; i++) ws->up[i] *= ws->gate[i];
    } else {
        tandem__ref_linear(lane, &layer->up, activation, x, rows, ws->up);
    }
    tandem__ref_linear(lane, &layer->down, TANDEM_ACTIVATION_NONE, ws->up, rows, ws->sum);
}

static void add(float *x, const float *sum, int64_t count) {
    for (int64_t i = 0; i < count; i++) x[i] += sum[i];
}

void tandem__ref_layer(ref_lane *lane, const tandem_batch *batch, int index) {
    const tandem_plan *plan = lane->plan;
    const ref_layer *layer = &lane->weights.layers[index];
    ref_workspace *ws = &lane->ws;
    const int rows = batch->tokens;
    const int64_t count = (int64_t)rows * plan->hidden;
    if (plan->is_norm_first) {
        tandem__ref_norm(&layer->attention_norm, plan->norm_eps, ws->x, rows, plan->hidden,
                         ws->normed);
        attention(lane, batch, index, ws->normed);
        add(ws->x, ws->sum, count);
        tandem__ref_norm(&layer->ffn_norm, plan->norm_eps, ws->x, rows, plan->hidden, ws->normed);
        feed_forward(lane, rows, index, ws->normed);
        add(ws->x, ws->sum, count);
        return;
    }
    attention(lane, batch, index, ws->x);
    add(ws->x, ws->sum, count);
    tandem__ref_norm(&layer->attention_norm, plan->norm_eps, ws->x, rows, plan->hidden, ws->x);
    feed_forward(lane, rows, index, ws->x);
    add(ws->x, ws->sum, count);
    tandem__ref_norm(&layer->ffn_norm, plan->norm_eps, ws->x, rows, plan->hidden, ws->x);
}
