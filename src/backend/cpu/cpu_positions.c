/* SPDX-License-Identifier: Apache-2.0 */
/* Positions that enter in attention: rotary angles, and what is added to scores. Both depend on
 * distances or positions alone, so they are tables made at open, shared by layers that agree.
 *
 *     rope   [longest, D]   cosines of the D/2 pairs of a position, then sines
 *     bias   [heads or 1, 2 · longest - 1]   at distance key - query = -(longest - 1) ... longest -
 * 1: ALiBi's or the relative bias, and -inf outside the window
 *
 * A query's row of the bias [L, L] that the attention kernel takes is the table read from one
 * element further left: a stride of -1 from row to row. */
#include <math.h>

#include "backend/cpu/cpu_internal.h"
#include "base/fail.h"
#include "base/mem.h"

static bool has_bias(const tandem_plan *plan, int layer) {
    return plan->position == TANDEM_POSITION_ALIBI || plan->position == TANDEM_POSITION_RELATIVE ||
           plan->layers[layer].window > 0;
}

/* Whether each head has a table of its own: windows alone are the same for all. */
static bool is_by_head(const tandem_plan *plan) {
    return plan->position == TANDEM_POSITION_ALIBI || plan->position == TANDEM_POSITION_RELATIVE;
}

static void fill_rope(const tandem_plan *plan, int layer, int longest, float *table) {
    const int half = plan->head_dim / 2;
    const double theta = (double)plan->layers[layer].rope_theta;
    const double scale = (double)plan->layers[layer].rope_scale;
    for (int i = 0; i < half; i++) {
        const double step = pow(theta, -2.0 * i / plan->head_dim) * scale;
        for (int position = 0; position < longest; position++) {
            float *row = table + (size_t)position * 2 * (size_t)half;
            row[i] = (float)cos(position * step);
            row[half + i] = (float)sin(position * step);
        }
    }
}

static void fill_bias(const cpu_lane *lane, int layer, int longest, float *table) {
    const tandem_plan *plan = lane->plan;
    const int window = plan->layers[layer].window > 0 ? plan->layers[layer].window : longest;
    const int heads = is_by_head(plan) ? plan->heads : 1;
    for (int head = 0; head < heads; head++) {
        float *centre = table + (size_t)head * lane->bias_stride + longest - 1;
        for (int distance = 1 - longest; distance < longest; distance++) {
            const bool is_seen = distance <= window && -distance <= window;
            centre[distance] = is_seen
                                   ? tandem__plan_bias(plan, lane->weights.relative, head, distance)
                                   : -(float)INFINITY;
        }
    }
}

/* The earlier layer whose table this layer shares, or itself. */
static int rope_owner(const tandem_plan *plan, int layer) {
    const tandem_plan_layer *layers = plan->layers;
    for (int i = 0; i < layer; i++) {
        if (layers[i].rope_theta == layers[layer].rope_theta &&
            layers[i].rope_scale == layers[layer].rope_scale) {
            return i;
        }
    }
    return layer;
}

static int bias_owner(const tandem_plan *plan, int layer) {
    for (int i = 0; i < layer; i++) {
        if (plan->layers[i].window == plan->layers[layer].window) return i;
    }
    return layer;
}

/* Gives each layer its tables in `memory`, or only counts the floats where that is NULL. */
static size_t place(cpu_lane *lane, int longest, float *memory) {
    const tandem_plan *plan = lane->plan;
    const size_t rope_floats = (size_t)longest * (size_t)plan->head_dim;
    const size_t bias_floats = lane->bias_stride * (is_by_head(plan) ? (size_t)plan->heads : 1);
    size_t used = 0;
    for (int i = 0; i < plan->layer_count; i++) {
        cpu_layer *layer = &lane->weights.layers[i];
        if (plan->layers[i].rope_theta > 0.0f) {
            const int owner = rope_owner(plan, i);
            layer->rope = lane->weights.layers[owner].rope;
            if (owner == i && memory != NULL) {
                fill_rope(plan, i, longest, memory + used);
                layer->rope = memory + used;
            }
            if (owner == i) used += rope_floats;
        }
        if (has_bias(plan, i)) {
            const int owner = bias_owner(plan, i);
            layer->bias = lane->weights.layers[owner].bias;
            if (owner == i && memory != NULL) {
                fill_bias(lane, i, longest, memory + used);
                layer->bias = memory + used + longest - 1;
            }
            if (owner == i) used += bias_floats;
        }
    }
    return used;
}

tandem_status tandem__cpu_positions_open(cpu_lane *lane, tandem_error *err) {
    const tandem_plan *plan = lane->plan;
    const int tokens = lane->capabilities.tokens_max;
    const int longest = tokens < plan->positions_max ? tokens : plan->positions_max;
    lane->bias_stride = 2 * (size_t)longest - 1;
    lane->position_floats = place(lane, longest, NULL);
    if (lane->position_floats == 0) return TANDEM_OK;
    lane->position_memory = tandem__mem_alloc_aligned(lane->position_floats * sizeof(float));
    if (lane->position_memory == NULL) {
        return TANDEM_FAIL(err, MEMORY, "no memory for positions of %zu bytes",
                           lane->position_floats * sizeof(float));
    }
    (void)place(lane, longest, lane->position_memory);
    if (!is_by_head(plan)) lane->bias_stride = 0; /* one table for all heads */
    return TANDEM_OK;
}

void tandem__cpu_positions_close(cpu_lane *lane) {
    if (lane->position_memory != NULL) {
        tandem__mem_free_aligned(lane->position_memory, lane->position_floats * sizeof(float));
    }
    lane->position_memory = NULL;
}

/* Turns the pairs (i, i + half) of one head's query or key. */
static void rotate(float *restrict row, const float *restrict cosines, const float *restrict sines,
                   int half) {
    for (int i = 0; i < half; i++) {
        const float a = row[i];
        const float b = row[half + i];
        row[i] = a * cosines[i] - b * sines[i];
        row[half + i] = b * cosines[i] + a * sines[i];
    }
}

void tandem__cpu_rotate(const cpu_run *run, const cpu_frame *frame, int layer, cpu_span rows,
                        cpu_span heads) {
    const cpu_lane *lane = run->lane;
    const float *rope = lane->weights.layers[layer].rope;
    const int dim = lane->plan->head_dim;
    if (rope == NULL) return;
    for (int row = rows.begin; row < rows.end; row++) {
        const int position = lane->ws.positions[frame->first + row] - lane->plan->position_offset;
        const float *cosines = rope + (size_t)position * (size_t)dim;
        float *qkv = frame->qkv[layer & 1] + (size_t)row * lane->strides.qkv;
        for (int head = heads.begin; head < heads.end; head++) {
            float *query = qkv + 3 * dim * head;
            rotate(query, cosines, cosines + dim / 2, dim / 2);
            rotate(query + dim, cosines, cosines + dim / 2, dim / 2);
        }
    }
}
