/* SPDX-License-Identifier: Apache-2.0 */
#include "metal_models.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define BERT(act, pool)                                                                            \
    .types = 2, .position = TANDEM_POSITION_ABSOLUTE, .activation = TANDEM_ACTIVATION_##act,       \
    .pooling = TANDEM_POOLING_##pool, .storage = TANDEM_DTYPE_F32

/* clang-format off */
const random_shape metal_shapes[METAL_SHAPES] = {
    {.name = "bert, D 8", BERT(GELU_ERF, MEAN), .hidden = 16, .heads = 2, .head_dim = 8,
     .ffn = 40, .layers = 2, .positions = 100},
    {.name = "bert, D 32, with a head", BERT(GELU_ERF, MEAN), .hidden = 96, .heads = 3,
     .head_dim = 32, .ffn = 200, .layers = 2, .positions = 100, .has_head = true},
    {.name = "no bias, D 64, no types", .hidden = 64, .heads = 1, .head_dim = 64, .ffn = 64,
     .layers = 2, .positions = 80, .storage = TANDEM_DTYPE_F16, .lacks_bias = true,
     .activation = TANDEM_ACTIVATION_RELU, .pooling = TANDEM_POOLING_MAX,
     .position = TANDEM_POSITION_ABSOLUTE},
    {.name = "norm first, gate, silu", BERT(SILU, CLS), .hidden = 40, .heads = 4, .head_dim = 16,
     .ffn = 72, .layers = 2, .positions = 80, .is_norm_first = true, .has_gate = true},
    {.name = "projected embeddings, tanh gelu", BERT(GELU_TANH, LAST), .hidden = 48, .heads = 3,
     .head_dim = 16, .ffn = 96, .layers = 2, .positions = 90, .embedding = 24},
    {.name = "gate, norm after, D 128", BERT(GELU_ERF, WEIGHTED_MEAN), .hidden = 24, .heads = 1,
     .head_dim = 128, .ffn = 136, .layers = 1, .positions = 70, .has_gate = true},
    {.name = "rope, windows in every other layer", .position = TANDEM_POSITION_ROPE, .window = 9,
     .activation = TANDEM_ACTIVATION_GELU_ERF, .pooling = TANDEM_POOLING_MEAN, .hidden = 32,
     .heads = 2, .head_dim = 16, .ffn = 48, .layers = 3, .positions = 120,
     .storage = TANDEM_DTYPE_F32, .is_norm_first = true, .has_gate = true, .has_head = true},
    {.name = "alibi, three heads", .position = TANDEM_POSITION_ALIBI,
     .activation = TANDEM_ACTIVATION_GELU_ERF, .pooling = TANDEM_POOLING_MEAN, .hidden = 24,
     .heads = 3, .head_dim = 8, .ffn = 48, .layers = 2, .positions = 120,
     .storage = TANDEM_DTYPE_BF16},
    {.name = "relative positions and a window", .position = TANDEM_POSITION_RELATIVE,
     .window = 40, .activation = TANDEM_ACTIVATION_GELU_ERF, .pooling = TANDEM_POOLING_MEAN,
     .hidden = 32, .heads = 4, .head_dim = 8, .ffn = 48, .layers = 2, .positions = 120,
     .storage = TANDEM_DTYPE_F32},
    {.name = "language model head, joined poolings, every module", BERT(GELU_ERF, MEAN),
     .hidden = 24, .heads = 2, .head_dim = 16, .ffn = 40, .layers = 2, .positions = 60,
     .embedding = 48, .vocab = 611, .dense = 2, .joined = 2, .has_steps = true, .has_lm = true},
    {.name = "no layer", BERT(GELU_ERF, MEAN_SQRT), .hidden = 24, .heads = 2, .head_dim = 16,
     .ffn = 24, .layers = 0, .positions = 50},
};
/* clang-format on */

static tandem_lane *open_on(const tandem_backend *backend, const tandem_plan *plan,
                            const tandem_backend_options *options) {
    tandem_lane *lane = NULL;
    tandem_error err = {0};
    if (backend->open(plan, options, &lane, &err) != TANDEM_OK)
        fail_msg("%s: %s", backend->name, err.message);
    return lane;
}

tandem_lane *metal_open(const tandem_plan *plan, int tokens_max, int sequences_max,
                        int in_flight_max) {
    const tandem_backend_options options = {.dtype = TANDEM_DTYPE_F16,
                                            .tokens_max = tokens_max,
                                            .sequences_max = sequences_max,
                                            .in_flight_max = in_flight_max};
    return open_on(&tandem__backend_metal, plan, &options);
}

static float *run_on(const tandem_backend *backend, tandem_lane *lane, const tandem_plan *plan,
                     const tandem_batch *batch, tandem_output output) {
    const size_t floats = (size_t)tandem__output_rows(plan, output, batch) *
                          (size_t)tandem__output_width(plan, output);
    float *out = calloc(floats + 1, sizeof *out);
    tandem_ticket ticket = 0;
    tandem_error err = {0};
    out[floats] = 12345.0f; /* canary */
    if (backend->submit(lane, batch, output, out, &ticket, &err) != TANDEM_OK ||
        backend->wait(lane, ticket, UINT64_MAX, &err) != TANDEM_OK)
        fail_msg("%s: %s", backend->name, err.message);
    assert_true(out[floats] == 12345.0f);
    return out;
}

float *metal_run(tandem_lane *lane, const tandem_plan *plan, const tandem_batch *batch,
                 tandem_output output) {
    return run_on(&tandem__backend_metal, lane, plan, batch, output);
}

static float *reference(const tandem_plan *plan, const tandem_batch *batch, tandem_output output) {
    const tandem_backend_options options = {.dtype = TANDEM_DTYPE_F32,
                                            .tokens_max = batch->tokens,
                                            .sequences_max = batch->sequences,
                                            .in_flight_max = 1};
    const tandem_backend *ref = tandem__backend_find("ref");
    tandem_lane *lane = open_on(ref, plan, &options);
    float *out = run_on(ref, lane, plan, batch, output);
    ref->close(lane);
    return out;
}

static double cosine(const float *a, const float *b, int width) {
    double dot = 0;
    double squares[2] = {0, 0};
    for (int i = 0; i < width; i++) {
        dot += (double)a[i] * (double)b[i];
        squares[0] += (double)a[i] * (double)a[i];
        squares[1] += (double)b[i] * (double)b[i];
    }
    if (squares[0] == 0 && squares[1] == 0) return 1; /* a sparse vector of nothing */
    return dot / sqrt(squares[0] * squares[1]);
}

void metal_compare(const char *what, const tandem_plan *plan, const tandem_batch *batch,
                   tandem_output output, const float *got) {
    float *expected = reference(plan, batch, output);
    const int64_t rows = tandem__output_rows(plan, output, batch);
    const int width = tandem__output_width(plan, output);
    double least = 1;
    double mean = 0;
    for (int64_t row = 0; row < rows; row++) {
        const double c = cosine(got + row * width, expected + row * width, width);
        if (!(c >= least)) least = c;
        mean += c / (double)rows;
    }
    free(expected);
    if (!(least >= 0.999 && mean >= 0.9999))
        fail_msg("%s, output %d, %d tokens of %d texts: cosine %.6f mean, %.6f least", what,
                 (int)output, (int)batch->tokens, (int)batch->sequences, mean, least);
}

void metal_stop(void) {
    tandem__metal_forget();
    assert_int_equal(metal_sim_stop(), 0);
}

int metal_tear_down(void **state) {
    (void)state;
    if (metal_sim_is_on()) {
        tandem__metal_forget();
        (void)metal_sim_stop();
    }
    return 0;
}
