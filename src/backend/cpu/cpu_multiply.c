/* SPDX-License-Identifier: Apache-2.0 */
/* A product over a range of rows and panels, in the layout that its weights have. In eight bits the
 * rows are quantised first, some at a time, on the stack: a row's bytes depend on the row alone, so
 * threads that share rows find the same ones, and the few instructions an element that this takes
 * are paid back by every 64 columns. */
#include "backend/cpu/cpu_internal.h"

enum { BYTES_MAX = 96 * 1024, ROWS_MAX = 256, ROWS_STEP = 14 /* the tallest tile */ };

static int rows_at_a_time(int depth) {
    const int rows = BYTES_MAX / depth < ROWS_MAX ? BYTES_MAX / depth : ROWS_MAX;
    return rows < ROWS_STEP ? rows : rows / ROWS_STEP * ROWS_STEP;
}

static void multiply_bytes(const cpu_lane *lane, const tandem_gemm_i8_matrix *w,
                           const tandem_gemm_args *args, cpu_span rows, cpu_span panels) {
    const tandem_gemm_i8_kernels *gemm = &lane->kernels.gemm_i8;
    uint8_t q[BYTES_MAX];
    float scales[ROWS_MAX];
    int32_t zeros[ROWS_MAX];
    const int step = rows_at_a_time(tandem_gemm_i8_depth(w->k));
    for (int row = rows.begin; row < rows.end; row += step) {
        const size_t at = (size_t)row;
        const int count = rows.end - row < step ? rows.end - row : step;
        const tandem_gemm_i8_args part = {
            .q = q,
            .scales = scales,
            .zeros = zeros,
            .w = w,
            .bias = args->bias,
            .residual = args->residual == NULL ? NULL : args->residual + at * args->ld_residual,
            .ld_residual = args->ld_residual,
            .c = args->c + at * args->ldc,
            .ldc = args->ldc,
            .act = args->act};
        tandem_gemm_i8_quantize(gemm, args->a + at * args->lda, args->lda, w->k, 0, count, q,
                                scales, zeros);
        tandem_gemm_i8_run(gemm, &part, 0, count, panels.begin, panels.end);
    }
}

void tandem__cpu_multiply(const cpu_lane *lane, const tandem_packed_linear *linear,
                          const tandem_gemm_args *args, cpu_span rows, cpu_span panels) {
    if (linear->bytes.panels != NULL) {
        multiply_bytes(lane, &linear->bytes, args, rows, panels);
        return;
    }
    tandem_gemm_run(&lane->kernels.gemm, args, rows.begin, rows.end, panels.begin, panels.end);
}
