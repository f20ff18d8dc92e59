/* SPDX-License-Identifier: Apache-2.0 */
/* Products: conv (1x1 alone), linear, matmul, einsum in the form that Core ML takes. All are sums
 * in f32 by one blocked loop over packed panels: 4 rows of `a` against 8 columns of `b`. */
#include <string.h>

#include "apple/mil_run_internal.h"
#include "base/mem.h"

#define ROWS    4
#define COLUMNS 8

/* out[m][n] = a[m][k] b[k][n] + bias. Elements of `a` are floats, or f16 where `half` is given. */
typedef struct product {
    int64_t m;
    int64_t n;
    int64_t k;
    const float *a;
    const uint16_t *half;
    int64_t a_row; /* elements between rows; half's are contiguous in k */
    int64_t a_column;
    const float *b;
    int64_t b_row;
    int64_t b_column;
    const float *bias_rows;    /* [m] or NULL */
    const float *bias_columns; /* [n] or NULL */
    float *out;
    int64_t out_row;
    int64_t out_column;
} product;

/* b as [n / COLUMNS][k][COLUMNS], zeros beyond n. */
static void pack_columns(const product *p, float *packed) {
    for (int64_t j = 0; j < p->n; j += COLUMNS)
        for (int64_t k = 0; k < p->k; k++)
            for (int64_t i = 0; i < COLUMNS; i++)
                *packed++ = j + i < p->n ? p->b[k * p->b_row + (j + i) * p->b_column] : 0.0F;
}

/* ROWS rows of a from `row` on as [ROWS][k], zeros beyond m. */
static void pack_rows(const mil_run *run, const product *p, int64_t row, float *packed) {
    for (int64_t i = row; i < row + ROWS; i++, packed += p->k) {
        if (i >= p->m) {
            memset(packed, 0, (size_t)p->k * sizeof *packed);
        } else if (p->half != NULL) {
            run->convert.f16_f32(packed, p->half + i * p->a_row, (size_t)p->k);
        } else {
            for (int64_t k = 0; k < p->k; k++) packed[k] = p->a[i * p->a_row + k * p->a_column];
        }
    }
}

static void multiply_tile(const float *a, const float *b, int64_t depth, float sum[ROWS][COLUMNS]) {
    memset(sum, 0, sizeof(float[ROWS][COLUMNS]));
    for (int64_t k = 0; k < depth; k++)
        for (int i = 0; i < ROWS; i++)
            for (int j = 0; j < COLUMNS; j++) sum[i][j] += a[i * depth + k] * b[k * COLUMNS + j];
}

static void store_tile(const product *p, int64_t row, int64_t column, float sum[ROWS][COLUMNS]) {
    for (int i = 0; i < ROWS && row + i < p->m; i++)
        for (int j = 0; j < COLUMNS && column + j < p->n; j++) {
            float value = sum[i][j];
            if (p->bias_rows != NULL) value += p->bias_rows[row + i];
            if (p->bias_columns != NULL) value += p->bias_columns[column + j];
            p->out[(row + i) * p->out_row + (column + j) * p->out_column] = value;
        }
}

static tandem_status multiply(const mil_run *run, const product *p, tandem_error *err) {
    const size_t columns = (size_t)(p->n + COLUMNS - 1) / COLUMNS * COLUMNS;
    float *b = tandem__mem_calloc(columns * (size_t)p->k, sizeof *b);
    float *a = tandem__mem_calloc((size_t)p->k * ROWS, sizeof *a);
    const tandem_status status =
        a == NULL || b == NULL ? TANDEM_FAIL(err, MEMORY, "no memory for a product") : TANDEM_OK;
    if (status == TANDEM_OK) {
        pack_columns(p, b);
        for (int64_t i = 0; i < p->m; i += ROWS) {
            pack_rows(run, p, i, a);
            for (int64_t j = 0; j < p->n; j += COLUMNS) {
                float sum[ROWS][COLUMNS];
                multiply_tile(a, b + j * p->k, p->k, sum);
                store_tile(p, i, j, sum);
            }
        }
    }
    tandem__mem_free(a);
    tandem__mem_free(b);
    return status;
}

/* conv: x [N, C, H, W], weight [O, C, 1, 1], bias [O]. */

static bool all_are(const mil_run *run, const mil_run_op *op, const char *name, int count,
                    int64_t expected) {
    int64_t numbers[MIL_RUN_RANK_MAX * 2];
    const int given = mil_run_numbers(run, op, name, MIL_RUN_RANK_MAX * 2, numbers);
    if (given == 0) return mil_run_argument_count(op, name) == 0;
    for (int i = 0; i < given; i++)
        if (numbers[i] != expected) return false;
    return given == count;
}

static tandem_status infer_conv(const mil_run *run, const mil_run_op *op, mil_run_shape *shapes,
                                mil_run_type *types, tandem_error *err) {
    const mil_run_value *x = mil_run_argument_of(run, op, "x", 0);
    const mil_run_value *weight = mil_run_argument_of(run, op, "weight", 0);
    const mil_run_value *bias = mil_run_argument_of(run, op, "bias", 0);
    const mil_run_shape *w = &weight->shape;
    MIL_RUN_CHECK(x->shape.rank == 4 && w->rank == 4 && w->dim[2] == 1 && w->dim[3] == 1,
                  "x %s, weight %s: a 1x1 convolution of rank 4 is all that is known here",
                  mil_run_shape_text(&x->shape).text, mil_run_shape_text(w).text);
    MIL_RUN_CHECK(w->dim[1] == x->shape.dim[1], "weight %s for x %s", mil_run_shape_text(w).text,
                  mil_run_shape_text(&x->shape).text);
    MIL_RUN_CHECK(weight->type == x->type, "weight of another type than x");
    if (bias != NULL)
        MIL_RUN_CHECK(bias->type == x->type && bias->shape.rank == 1 &&
                          bias->shape.dim[0] == w->dim[0],
                      "bias %s for weight %s", mil_run_shape_text(&bias->shape).text,
                      mil_run_shape_text(w).text);
    MIL_RUN_CHECK(all_are(run, op, "strides", 2, 1) && all_are(run, op, "dilations", 2, 1) &&
                      all_are(run, op, "pad", 4, 0) && mil_run_number(run, op, "groups", 1) == 1,
                  "strides, dilations and groups must be 1, pad 0");
    MIL_RUN_CHECK(mil_run_argument_count(op, "pad_type") == 0 ||
                      mil_run_text_is(run, op, "pad_type", "valid") ||
                      mil_run_text_is(run, op, "pad_type", "custom"),
                  "pad_type must be valid or custom");
    shapes[0] = x->shape;
    shapes[0].dim[1] = w->dim[0];
    types[0] = x->type;
    return TANDEM_OK;
}

static tandem_status compute_conv(const mil_run_state *state, const mil_run_op *op,
                                  tandem_error *err) {
    const mil_run_value *x = mil_run_argument_of(state->run, op, "x", 0);
    const mil_run_value *weight = mil_run_argument_of(state->run, op, "weight", 0);
    const mil_run_value *bias = mil_run_argument_of(state->run, op, "bias", 0);
    const int64_t channels = x->shape.dim[1];
    const int64_t outputs = weight->shape.dim[0];
    const int64_t pixels = x->shape.dim[2] * x->shape.dim[3];
    for (int64_t n = 0; n < x->shape.dim[0]; n++) {
        const product p = {
            .m = outputs,
            .n = pixels,
            .k = channels,
            .a = mil_run_floats(state, weight),
            .half = weight->half,
            .a_row = channels,
            .a_column = 1,
            .b = mil_run_floats(state, x) + n * channels * pixels,
            .b_row = pixels,
            .b_column = 1,
            .bias_rows = bias == NULL ? NULL : mil_run_floats(state, bias),
            .out = mil_run_result(state, op, 0) + n * outputs * pixels,
            .out_row = pixels,
            .out_column = 1,
        };
        TANDEM_TRY(multiply(state->run, &p, err));
    }
    return TANDEM_OK;
}

/* linear: x [..., I], weight [O, I], bias [O]. */

static tandem_status infer_linear(const mil_run *run, const mil_run_op *op, mil_run_shape *shapes,
                                  mil_run_type *types, tandem_error *err) {
    const mil_run_value *x = mil_run_argument_of(run, op, "x", 0);
    const mil_run_value *weight = mil_run_argument_of(run, op, "weight", 0);
    const mil_run_value *bias = mil_run_argument_of(run, op, "bias", 0);
    const mil_run_shape *w = &weight->shape;
    MIL_RUN_CHECK(x->shape.rank >= 1 && w->rank == 2 &&
                      w->dim[1] == x->shape.dim[x->shape.rank - 1] && weight->type == x->type,
                  "weight %s for x %s", mil_run_shape_text(w).text,
                  mil_run_shape_text(&x->shape).text);
    if (bias != NULL)
        MIL_RUN_CHECK(bias->type == x->type && bias->shape.rank == 1 &&
                          bias->shape.dim[0] == w->dim[0],
                      "bias %s for weight %s", mil_run_shape_text(&bias->shape).text,
                      mil_run_shape_text(w).text);
    shapes[0] = x->shape;
    shapes[0].dim[x->shape.rank - 1] = w->dim[0];
    types[0] = x->type;
    return TANDEM_OK;
}

/* Computed transposed, outᵀ = W xᵀ, so that W is what comes as f16. */
static tandem_status compute_linear(const mil_run_state *state, const mil_run_op *op,
                                    tandem_error *err) {
    const mil_run_value *x = mil_run_argument_of(state->run, op, "x", 0);
    const mil_run_value *weight = mil_run_argument_of(state->run, op, "weight", 0);
    const mil_run_value *bias = mil_run_argument_of(state->run, op, "bias", 0);
    const product p = {
        .m = weight->shape.dim[0],
        .n = x->count / weight->shape.dim[1],
        .k = weight->shape.dim[1],
        .a = mil_run_floats(state, weight),
        .half = weight->half,
        .a_row = weight->shape.dim[1],
        .a_column = 1,
        .b = mil_run_floats(state, x),
        .b_row = 1,
        .b_column = weight->shape.dim[1],
        .bias_rows = bias == NULL ? NULL : mil_run_floats(state, bias),
        .out = mil_run_result(state, op, 0),
        .out_row = 1,
        .out_column = weight->shape.dim[0],
    };
    return multiply(state->run, &p, err);
}

/* matmul: x [..., m, k], y [..., k, n], the leading axes broadcast. */

typedef struct matrices {
    int64_t m, n, k;
    bool x_is_transposed, y_is_transposed;
    mil_run_shape batch; /* leading axes of the result */
} matrices;

static tandem_status matrices_of(const mil_run *run, const mil_run_op *op, matrices *out,
                                 tandem_error *err) {
    const mil_run_shape *x = &mil_run_argument_of(run, op, "x", 0)->shape;
    const mil_run_shape *y = &mil_run_argument_of(run, op, "y", 0)->shape;
    MIL_RUN_CHECK(x->rank >= 2 && x->rank == y->rank, "x %s, y %s", mil_run_shape_text(x).text,
                  mil_run_shape_text(y).text);
    const int rank = x->rank;
    *out = (matrices){.x_is_transposed = mil_run_number(run, op, "transpose_x", 0) != 0,
                      .y_is_transposed = mil_run_number(run, op, "transpose_y", 0) != 0};
    out->m = x->dim[rank - (out->x_is_transposed ? 1 : 2)];
    out->k = x->dim[rank - (out->x_is_transposed ? 2 : 1)];
    out->n = y->dim[rank - (out->y_is_transposed ? 2 : 1)];
    MIL_RUN_CHECK(out->k == y->dim[rank - (out->y_is_transposed ? 1 : 2)], "x %s, y %s",
                  mil_run_shape_text(x).text, mil_run_shape_text(y).text);
    out->batch.rank = rank - 2;
    for (int i = 0; i < rank - 2; i++) {
        MIL_RUN_CHECK(x->dim[i] == y->dim[i] || x->dim[i] == 1 || y->dim[i] == 1, "x %s, y %s",
                      mil_run_shape_text(x).text, mil_run_shape_text(y).text);
        out->batch.dim[i] = x->dim[i] > y->dim[i] ? x->dim[i] : y->dim[i];
    }
    return TANDEM_OK;
}

static tandem_status infer_matmul(const mil_run *run, const mil_run_op *op, mil_run_shape *shapes,
                                  mil_run_type *types, tandem_error *err) {
    matrices matrix;
    TANDEM_TRY(matrices_of(run, op, &matrix, err));
    const mil_run_value *x = mil_run_argument_of(run, op, "x", 0);
    MIL_RUN_CHECK(x->type == mil_run_argument_of(run, op, "y", 0)->type, "x and y differ in type");
    shapes[0] = matrix.batch;
    shapes[0].dim[shapes[0].rank++] = matrix.m;
    shapes[0].dim[shapes[0].rank++] = matrix.n;
    types[0] = x->type;
    return TANDEM_OK;
}

/* Where the matrix of the result's batch `index` lies in an operand: its number. */
static int64_t batch_of(const mil_run_shape *batch, const mil_run_shape *operand, int64_t index) {
    int64_t at = 0;
    int64_t stride = 1;
    for (int i = batch->rank - 1; i >= 0; i--) {
        at += index % batch->dim[i] % operand->dim[i] * stride;
        stride *= operand->dim[i];
        index /= batch->dim[i];
    }
    return at;
}

static tandem_status compute_matmul(const mil_run_state *state, const mil_run_op *op,
                                    tandem_error *err) {
    matrices matrix;
    TANDEM_TRY(matrices_of(state->run, op, &matrix, err));
    const mil_run_value *x = mil_run_argument_of(state->run, op, "x", 0);
    const mil_run_value *y = mil_run_argument_of(state->run, op, "y", 0);
    const int64_t count = mil_run_shape_count(&matrix.batch);
    for (int64_t i = 0; i < count; i++) {
        const product p = {
            .m = matrix.m,
            .n = matrix.n,
            .k = matrix.k,
            .a = mil_run_floats(state, x) +
                 batch_of(&matrix.batch, &x->shape, i) * matrix.m * matrix.k,
            .a_row = matrix.x_is_transposed ? 1 : matrix.k,
            .a_column = matrix.x_is_transposed ? matrix.m : 1,
            .b = mil_run_floats(state, y) +
                 batch_of(&matrix.batch, &y->shape, i) * matrix.k * matrix.n,
            .b_row = matrix.y_is_transposed ? 1 : matrix.n,
            .b_column = matrix.y_is_transposed ? matrix.k : 1,
            .out = mil_run_result(state, op, 0) + i * matrix.m * matrix.n,
            .out_row = matrix.n,
            .out_column = 1,
        };
        TANDEM_TRY(multiply(state->run, &p, err));
    }
    return TANDEM_OK;
}

/* einsum: "nchw,nwhu->nchu" and "chw,whr->chr" under any letters. */

/* Whether `text` is `form` with its letters renamed one to one. */
static bool is_renamed(tandem_str text, const char *form) {
    char of_form[128] = {0};
    char of_text[128] = {0};
    if (text.len != strlen(form)) return false;
    for (size_t i = 0; i < text.len; i++) {
        const unsigned char a = (unsigned char)form[i];
        const unsigned char b = (unsigned char)text.ptr[i];
        const bool is_letter = a >= 'a' && a <= 'z';
        if (is_letter != (b >= 'a' && b <= 'z') || (!is_letter && a != b)) return false;
        if (!is_letter) continue;
        if (of_form[a] == 0 && of_text[b] == 0) {
            of_form[a] = (char)b;
            of_text[b] = (char)a;
        }
        if (of_form[a] != (char)b || of_text[b] != (char)a) return false;
    }
    return true;
}

/* As rank 4: rank 3 has a batch of 1. */
static mil_run_shape as_rank_4(const mil_run_shape *shape) {
    mil_run_shape out = {4, {1}};
    for (int i = 0; i < shape->rank && i < 4; i++) out.dim[4 - shape->rank + i] = shape->dim[i];
    return out;
}

static tandem_status infer_einsum(const mil_run *run, const mil_run_op *op, mil_run_shape *shapes,
                                  mil_run_type *types, tandem_error *err) {
    MIL_RUN_CHECK(mil_run_argument_count(op, "values") == 2, "%d values, expected 2",
                  mil_run_argument_count(op, "values"));
    const mil_run_value *x = mil_run_argument_of(run, op, "values", 0);
    const mil_run_value *y = mil_run_argument_of(run, op, "values", 1);
    const tandem_str equation = mil_run_argument_of(run, op, "equation", 0)->text;
    const int rank = x->shape.rank;
    MIL_RUN_CHECK(x->type == y->type && rank == y->shape.rank && (rank == 3 || rank == 4),
                  "values %s and %s", mil_run_shape_text(&x->shape).text,
                  mil_run_shape_text(&y->shape).text);
    MIL_RUN_CHECK(is_renamed(equation, rank == 4 ? "nchw,nwhu->nchu" : "chw,whr->chr"),
                  "equation \"%.*s\" is none that Core ML takes", TANDEM_STR_ARG(equation));
    const mil_run_shape a = as_rank_4(&x->shape);
    const mil_run_shape b = as_rank_4(&y->shape);
    bool fits = a.dim[3] == b.dim[1];
    for (int i = 0; i <= 2; i += 2)
        fits = fits && (a.dim[i] == b.dim[i] || a.dim[i] == 1 || b.dim[i] == 1);
    MIL_RUN_CHECK(fits, "values %s and %s", mil_run_shape_text(&x->shape).text,
                  mil_run_shape_text(&y->shape).text);
    const int64_t full[4] = {a.dim[0] > b.dim[0] ? a.dim[0] : b.dim[0], a.dim[1],
                             a.dim[2] > b.dim[2] ? a.dim[2] : b.dim[2], b.dim[3]};
    shapes[0].rank = rank;
    for (int i = 0; i < rank; i++) shapes[0].dim[i] = full[4 - rank + i];
    types[0] = x->type;
    return TANDEM_OK;
}

static tandem_status compute_einsum(const mil_run_state *state, const mil_run_op *op,
                                    tandem_error *err) {
    const mil_run_value *x = mil_run_argument_of(state->run, op, "values", 0);
    const mil_run_value *y = mil_run_argument_of(state->run, op, "values", 1);
    const mil_run_shape a = as_rank_4(&x->shape);
    const mil_run_shape b = as_rank_4(&y->shape);
    const int64_t batches = a.dim[0] > b.dim[0] ? a.dim[0] : b.dim[0];
    const int64_t rows = a.dim[2] > b.dim[2] ? a.dim[2] : b.dim[2];
    for (int64_t n = 0; n < batches; n++)
        for (int64_t h = 0; h < rows; h++) {
            const product p = {
                .m = a.dim[1],
                .n = b.dim[3],
                .k = a.dim[3],
                .a = mil_run_floats(state, x) +
                     (n % a.dim[0] * a.dim[1] * a.dim[2] + h % a.dim[2]) * a.dim[3],
                .a_row = a.dim[2] * a.dim[3],
                .a_column = 1,
                .b = mil_run_floats(state, y) +
                     (n % b.dim[0] * b.dim[1] * b.dim[2] + h % b.dim[2]) * b.dim[3],
                .b_row = b.dim[2] * b.dim[3],
                .b_column = 1,
                .out = mil_run_result(state, op, 0) + (n * a.dim[1] * rows + h) * b.dim[3],
                .out_row = rows * b.dim[3],
                .out_column = 1,
            };
            TANDEM_TRY(multiply(state->run, &p, err));
        }
    return TANDEM_OK;
}

const mil_run_rule mil_run_product_rules[] = {
    {.type = "conv",
     .parameters = "x weight! bias!? strides!? pad_type!? pad!? dilations!? groups!?",
     .infer = infer_conv,
     .compute = compute_conv},
    {.type = "linear",
     .parameters = "x weight! bias!?",
     .infer = infer_linear,
     .compute = compute_linear},
    {.type = "matmul",
     .parameters = "x y transpose_x!? transpose_y!?",
     .infer = infer_matmul,
     .compute = compute_matmul},
    {.type = "einsum",
     .parameters = "values* equation!",
     .infer = infer_einsum,
     .compute = compute_einsum},
    {0},
};
