/* SPDX-License-Identifier: Apache-2.0 */
/* attention against double precision. What is allowed of the weighted sum of |v|: the weights'
 * rounding to f16 (2^-11, and 2^-25 where they are tiny), twice the error of a score in f32, and
 * the exponential's. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apple/msl/metal_cases.h"

enum { SEQUENCES_MAX = 6, BLOCKS_MAX = 64 };

typedef struct attention_case {
    int heads;
    int head_dim;
    int lengths[SEQUENCES_MAX]; /* ends with 0 */
    int window;
    int bias_reach; /* 0: no bias */
    float size;     /* of q and k */
} attention_case;

typedef struct attention_data {
    const attention_case *at;
    const float *qkv;
    const float *bias;
    struct metal_attention_args args;
    double *values;
    double *allowed;
    double *scores;
} attention_data;

static const char *kernel_of(int head_dim) {
    return head_dim <= 32 ? "attention_32" : head_dim <= 64 ? "attention_64" : "attention_128";
}

/* Scores of one query, 0 weight outside the window; returns the largest error of a score. */
static double weigh(const attention_data *data, int first, int length, int head, int query) {
    const struct metal_attention_args *args = &data->args;
    const int dim = args->head_dim;
    const int inner = args->heads * dim;
    const float *q = data->qkv + (first + query) * args->stride + head * dim;
    double largest = -HUGE_VAL;
    double error = 0.0;
    for (int j = 0; j < length; j++) {
        const float *k = data->qkv + (first + j) * args->stride + inner + head * dim;
        double dot = 0.0;
        double size = 0.0;
        for (int i = 0; i < dim; i++) {
            dot += (double)q[i] * (double)k[i];
            size += fabs((double)q[i] * (double)k[i]);
        }
        double score = dot * (double)args->scale;
        const int reach = args->bias_reach;
        const int distance = j - query < -reach ? -reach : j - query > reach ? reach : j - query;
        if (args->has_bias) score += (double)data->bias[head * (2 * reach + 1) + reach + distance];
        const int is_seen = args->window == 0 || abs(j - query) <= args->window;
        data->scores[j] = is_seen ? score : -HUGE_VAL;
        if (!is_seen) continue;
        largest = fmax(largest, score);
        const double wrong =
            CASE_F32_ULP * ((dim + 4) * size * (double)args->scale + 4.0 * fabs(score));
        error = fmax(error, wrong);
    }
    double sum = 0.0;
    for (int j = 0; j < length; j++) {
        data->scores[j] = exp(data->scores[j] - largest);
        sum += data->scores[j];
    }
    for (int j = 0; j < length; j++) data->scores[j] /= sum;
    return error;
}

static void expect_sequence(const attention_data *data, int first, int length) {
    const struct metal_attention_args *args = &data->args;
    const int dim = args->head_dim;
    const int inner = args->heads * dim;
    for (int head = 0; head < args->heads; head++) {
        for (int query = 0; query < length; query++) {
            const double error = weigh(data, first, length, head, query);
            for (int i = 0; i < dim; i++) {
                const float *v = data->qkv + first * args->stride + 2 * inner + head * dim + i;
                double sum = 0.0;
                double size = 0.0;
                double tiny = 0.0;
                for (int j = 0; j < length; j++) {
                    const double value = (double)v[j * args->stride];
                    sum += data->scores[j] * value;
                    size += data->scores[j] * fabs(value);
                    if (data->scores[j] > 0.0) tiny += 0x1p-25 * fabs(value);
                }
                const int at = (first + query) * inner + head * dim + i;
                data->values[at] = sum;
                data->allowed[at] = size * (CASE_HALF_ULP + 2.0 * error + 4e-6) + tiny;
            }
        }
    }
}

static uint32_t make_blocks(msl_buffer *to, const int *lengths) {
    struct metal_block blocks[BLOCKS_MAX];
    uint32_t count = 0;
    int first = 0;
    for (int i = 0; lengths[i] > 0; i++) {
        for (int query = 0; query < lengths[i]; query += METAL_QUERIES) {
            blocks[count++] = (struct metal_block){
                .first_token = first, .tokens = lengths[i], .first_query = query};
        }
        first += lengths[i];
    }
    case_args(to, blocks, count * sizeof blocks[0]);
    return count;
}

typedef void attention_check(msl_dispatch *, const case_expectation *, const char *);

static void run_attention(const attention_case *at, attention_check *check) {
    const int inner = at->heads * at->head_dim;
    int tokens = 0;
    int longest = 0;
    for (int i = 0; at->lengths[i] > 0; i++) {
        tokens += at->lengths[i];
        longest = at->lengths[i] > longest ? at->lengths[i] : longest;
    }
    msl_dispatch dispatch = {.kernel = kernel_of(at->head_dim)};
    msl_buffer *buffers = dispatch.buffers;
    const size_t count = (size_t)(tokens * inner);
    const size_t biases = (size_t)(at->heads * (2 * at->bias_reach + 1));
    const attention_data data = {.at = at,
                                 .qkv = case_halves(&buffers[0], 3 * count, -at->size, at->size),
                                 .bias = case_floats(&buffers[2], biases, -3.0f, 3.0f),
                                 .args = {.heads = at->heads,
                                          .head_dim = at->head_dim,
                                          .stride = 3 * inner,
                                          .has_bias = at->bias_reach > 0,
                                          .bias_reach = at->bias_reach,
                                          .window = at->window,
                                          .scale = 1.0f / sqrtf((float)at->head_dim)},
                                 .values = case_memory(count * sizeof(double)),
                                 .allowed = case_memory(count * sizeof(double)),
                                 .scores = case_memory((size_t)longest * sizeof(double))};
    dispatch.groups[0] = make_blocks(&buffers[1], at->lengths);
    dispatch.groups[1] = (uint32_t)at->heads;
    dispatch.groups[2] = 1;
    case_output(&buffers[3], count * 2);
    case_args(&buffers[4], &data.args, sizeof data.args);
    for (int i = 0, first = 0; at->lengths[i] > 0; first += at->lengths[i++])
        expect_sequence(&data, first, at->lengths[i]);
    const case_expectation expected = {.buffer = 3,
                                       .is_half = true,
                                       .rows = (size_t)tokens,
                                       .cols = (size_t)inner,
                                       .stride = (size_t)inner,
                                       .values = data.values,
                                       .allowed = data.allowed};
    char what[120];
    (void)snprintf(what, sizeof what, "%d heads of %d, %d tokens, first %d, window %d, reach %d",
                   at->heads, at->head_dim, tokens, at->lengths[0], at->window, at->bias_reach);
    check(&dispatch, &expected, what);
    case_end();
}

static void run_all(const attention_case *cases, size_t count) {
    for (size_t i = 0; i < count; i++) {
        attention_case at = cases[i];
        if (at.size == 0.0f) at.size = 2.0f;
        run_attention(&at, case_check);
    }
}
#define RUN_ALL(cases) run_all(cases, sizeof(cases) / sizeof((cases)[0]))

/* Every kernel with heads as wide as it takes, and narrower. */
void test_attention_heads(void **state) {
    (void)state;
    const attention_case cases[] = {
        {.heads = 2, .head_dim = 8, .lengths = {5}},
        {.heads = 3, .head_dim = 24, .lengths = {9}},
        {.heads = 2, .head_dim = 32, .lengths = {40}},
        {.heads = 1, .head_dim = 40, .lengths = {7}},
        {.heads = 2, .head_dim = 64, .lengths = {35}},
        {.heads = 1, .head_dim = 72, .lengths = {6}},
        {.heads = 1, .head_dim = 96, .lengths = {33}},
        {.heads = 1, .head_dim = 128, .lengths = {34}},
    };
    RUN_ALL(cases);
}

/* One token, blocks that are full or end anywhere, several sequences in one batch. */
void test_attention_lengths(void **state) {
    (void)state;
    const attention_case cases[] = {
        {.heads = 1, .head_dim = 32, .lengths = {1}},
        {.heads = 1, .head_dim = 16, .lengths = {31, 32, 33, 1, 8}},
        {.heads = 1, .head_dim = 32, .lengths = {2, 1, 65, 3}},
        {.heads = 1, .head_dim = 32, .lengths = {130}},
        {.heads = 1, .head_dim = 64, .lengths = {64, 1}},
    };
    RUN_ALL(cases);
}

/* A reach beyond every distance, and one that some go past. */
void test_attention_bias(void **state) {
    (void)state;
    const attention_case cases[] = {
        {.heads = 3, .head_dim = 16, .lengths = {20, 40}, .bias_reach = 64},
        {.heads = 2, .head_dim = 32, .lengths = {70}, .bias_reach = 5},
        {.heads = 2, .head_dim = 64, .lengths = {12, 3}, .bias_reach = 1},
    };
    RUN_ALL(cases);
}

void test_attention_window(void **state) {
    (void)state;
    const attention_case cases[] = {
        {.heads = 1, .head_dim = 32, .lengths = {100}, .window = 1},
        {.heads = 1, .head_dim = 16, .lengths = {140, 5}, .window = 20},
        {.heads = 1, .head_dim = 64, .lengths = {3, 70}, .window = 33, .bias_reach = 7},
        {.heads = 1, .head_dim = 32, .lengths = {40}, .window = 64},
    };
    RUN_ALL(cases);
}

/* Scores to some hundreds: one key takes all, weights elsewhere vanish; and all scores alike. */
void test_attention_extremes(void **state) {
    (void)state;
    const attention_case cases[] = {
        {.heads = 1, .head_dim = 64, .lengths = {70}, .size = 16.0f},
        {.heads = 1, .head_dim = 32, .lengths = {50}, .size = 0.001f},
    };
    RUN_ALL(cases);
}

/* Texts as long as models take, several in a batch. */
void test_attention_real(void **state) {
    (void)state;
    const attention_case cases[] = {
        {.heads = 2, .head_dim = 32, .lengths = {512, 77, 1}, .size = 2.0f},
        {.heads = 1, .head_dim = 64, .lengths = {300, 512}, .window = 128, .size = 2.0f},
        {.heads = 1, .head_dim = 64, .lengths = {384}, .bias_reach = 128, .size = 2.0f},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        run_attention(&cases[i], case_check_fast);
}

void test_attention_random(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 40; i++) {
        attention_case at = {.heads = 1 + case_random(i, 0, 3), .size = 2.0f};
        at.head_dim = 8 * (1 + case_random(i, 1, 16));
        const int sequences = 1 + case_random(i, 2, 4);
        for (int b = 0; b < sequences; b++) at.lengths[b] = 1 + case_random(i, 3 + b, 80);
        if (i % 3 == 1) at.window = 1 + case_random(i, 10, 50);
        if (i % 4 == 2) at.bias_reach = 1 + case_random(i, 11, 90);
        run_attention(&at, case_check);
    }
}
