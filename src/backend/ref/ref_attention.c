/* SPDX-License-Identifier: Apache-2.0 */
/* Attention: for each sequence and head, for each query row
 *
 *     s[j] = q · k[j] · scale + bias(j - i)        j over the keys within the layer's window
 *     p    = exp(s - max s) / sum                  context = sum of p[j] v[j]
 *
 * with rotary positions applied to q and k first, and ALiBi or relative positions in the bias. */
#include <math.h>

#include "backend/ref/ref_internal.h"

typedef struct attention_job {
    ref_lane *lane;
    const tandem_batch *batch;
    const tandem_plan_layer *layer;
} attention_job;

/* Turns the pairs (i, i + D/2) of a head's row by position · theta^(-2i/D), as Hugging Face's
 * rotate_half does. */
static void rotate(float *row, int dim, double position, const tandem_plan_layer *layer) {
    const double theta = (double)layer->rope_theta;
    const int half = dim / 2;
    for (int i = 0; i < half; i++) {
        const double angle = position * pow(theta, -2.0 * i / dim) * (double)layer->rope_scale;
        const double a = (double)row[i];
        const double b = (double)row[i + half];
        row[i] = (float)(a * cos(angle) - b * sin(angle));
        row[i + half] = (float)(b * cos(angle) + a * sin(angle));
    }
}

static void rotate_sequence(const attention_job *job, int first, int length) {
    const tandem_plan *plan = job->lane->plan;
    for (int t = 0; t < length; t++) {
        for (int head = 0; head < plan->heads; head++) {
            const int64_t at = ((int64_t)(first + t) * plan->heads + head) * plan->head_dim;
            rotate(job->lane->ws.query + at, plan->head_dim, t, job->layer);
            rotate(job->lane->ws.key + at, plan->head_dim, t, job->layer);
        }
    }
}

/* scores [length]: the weights of the keys for query `row`, 0 outside the window. */
static void weigh_keys(const attention_job *job, int first, int length, int head, int row,
                       double *scores) {
    const tandem_plan *plan = job->lane->plan;
    const int dim = plan->head_dim;
    const int window = job->layer->window > 0 ? job->layer->window : length;
    const int begin = row - window > 0 ? row - window : 0;
    const int end = row + window + 1 < length ? row + window + 1 : length;
    const int64_t stride = (int64_t)plan->heads * dim;
    const float *q = job->lane->ws.query + (first + row) * stride + head * dim;
    double largest = -HUGE_VAL;
    for (int j = 0; j < length; j++) scores[j] = 0.0;
    for (int j = begin; j < end; j++) {
        const float *k = job->lane->ws.key + (first + j) * stride + head * dim;
        double dot = 0.0;
        for (int i = 0; i < dim; i++) dot += (double)q[i] * (double)k[i];
        const float bias = tandem__plan_bias(plan, job->lane->weights.relative, head, j - row);
        scores[j] = dot * (double)plan->attention_scale + (double)bias;
        if (scores[j] > largest) largest = scores[j];
    }
    double sum = 0.0;
    for (int j = begin; j < end; j++) {
        scores[j] = exp(scores[j] - largest);
        sum += scores[j];
    }
    for (int j = begin; j < end; j++) scores[j] /= sum;
}

static void attend(const attention_job *job, int first, int length, double *scratch) {
    const tandem_plan *plan = job->lane->plan;
    const int dim = plan->head_dim;
    const int64_t stride = (int64_t)plan->heads * dim;
    double *scores = scratch;
    double *sums = scratch + length;
    for (int head = 0; head < plan->heads; head++) {
        for (int row = 0; row < length; row++) {
            weigh_keys(job, first, length, head, row, scores);
            for (int i = 0; i < dim; i++) sums[i] = 0.0;
            for (int j = 0; j < length; j++) {
                const float *v = job->lane->ws.value + (first + j) * stride + head * dim;
                for (int i = 0; i < dim; i++) sums[i] += scores[j] * (double)v[i];
            }
            float *context = job->lane->ws.context + (first + row) * stride + head * dim;
            for (int i = 0; i < dim; i++) context[i] = (float)sums[i];
        }
    }
}

static void run_sequence(void *context, int tile, int worker) {
    const attention_job *job = context;
    const int first = job->batch->offsets[tile];
    const int length = job->batch->offsets[tile + 1] - first;
    if (job->layer->rope_theta > 0.0f) rotate_sequence(job, first, length);
    attend(job, first, length, job->lane->ws.scratch + worker * job->lane->ws.scratch_len);
}

void tandem__ref_attention(ref_lane *lane, const tandem_batch *batch, int index) {
    attention_job job = {lane, batch, &lane->plan->layers[index]};
    tandem__pool_run(lane->pool, batch->sequences, run_sequence, &job);
}
