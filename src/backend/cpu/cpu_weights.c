/* SPDX-License-Identifier: Apache-2.0 */
/* Packing: the plan is walked twice, first to count bytes and pieces, then to place each tensor and
 * to list the pieces of it that a thread copies at a time. The pieces are worked off by the pool;
 * each gives its source pages back when it is done, so that the file and the packed weights are
 * never both resident. A large word table is not packed but converted as it is used (cpu_table.c).
 * A piece that meets a NaN or an infinity is remembered, the first in the plan's order wins. */
#include <stdint.h>
#include <stdio.h>

#include "backend/cpu/cpu_internal.h"
#include "base/assert.h"
#include "base/dtype.h"
#include "base/fail.h"
#include "base/mem.h"

enum { PIECE_BYTES = 256 * 1024, TABLE_CHUNK = 1024 };

typedef struct weight_piece {
    const tandem_gemm_matrix *matrix; /* NULL: a table or a vector, copied to dst */
    int column;
    int rows;
    const void *src;
    tandem_dtype src_dtype;
    void *dst;
    tandem_dtype dst_dtype;
    size_t first; /* of its elements in the tensor */
    size_t count;
    int layer;
    const char *slot;
    const char *part;
} weight_piece;

typedef struct weight_walk {
    cpu_lane *lane;
    char *memory; /* NULL while counting */
    size_t bytes;
    weight_piece *pieces; /* NULL while counting */
    int piece_count;
    int layer;
    _Atomic int failed; /* lowest index of a piece that is not finite */
} weight_walk;

static void *reserve(weight_walk *walk, size_t bytes) {
    void *at = walk->memory == NULL ? NULL : walk->memory + walk->bytes;
    walk->bytes += (bytes + TANDEM_ALIGNMENT - 1) / TANDEM_ALIGNMENT * TANDEM_ALIGNMENT;
    return at;
}

static void push(weight_walk *walk, weight_piece piece) {
    piece.layer = walk->layer;
    if (walk->pieces != NULL) walk->pieces[walk->piece_count] = piece;
    walk->piece_count++;
}

static const char *element(const tandem_view *view, int64_t row) {
    const int64_t bytes = (int64_t)tandem__dtype_bytes(view->dtype);
    return (const char *)view->data + row * view->cols * bytes;
}

static int64_t rows_a_piece(const tandem_view *view) {
    const int64_t rows = PIECE_BYTES / (view->cols * (int64_t)tandem__dtype_bytes(view->dtype));
    return rows < 64 ? 64 : rows / 64 * 64;
}

/* Rows [first, first + rows) of the view become columns from `column` on. */
static void push_columns(weight_walk *walk, const tandem_gemm_matrix *matrix,
                         const tandem_view *view, int64_t first, int64_t rows, int column) {
    push(walk, (weight_piece){.matrix = matrix,
                              .column = column,
                              .rows = (int)rows,
                              .src = element(view, first),
                              .src_dtype = view->dtype,
                              .first = (size_t)(first * view->cols),
                              .count = (size_t)(rows * view->cols),
                              .part = ".weight"});
}

static void push_copy(weight_walk *walk, const tandem_view *view, int64_t first, int64_t rows,
                      void *dst, tandem_dtype dst_dtype, const char *part) {
    push(walk, (weight_piece){.src = element(view, first),
                              .src_dtype = view->dtype,
                              .dst = dst,
                              .dst_dtype = dst_dtype,
                              .first = (size_t)(first * view->cols),
                              .count = (size_t)(rows * view->cols),
                              .part = part});
}

static void name_pieces(weight_walk *walk, int first, const char *slot) {
    if (walk->pieces == NULL) return;
    for (int i = first; i < walk->piece_count; i++) walk->pieces[i].slot = slot;
}

static const float *take_vector(weight_walk *walk, const tandem_view *view, const char *part) {
    if (view->data == NULL) return NULL;
    float *at = reserve(walk, (size_t)view->cols * sizeof *at);
    push_copy(walk, view, 0, 1, at, TANDEM_DTYPE_F32, part);
    return at;
}

static cpu_norm take_norm(weight_walk *walk, const tandem_norm *norm, const char *slot) {
    const int first = walk->piece_count;
    cpu_norm taken = {.gamma = take_vector(walk, &norm->gamma, ".weight")};
    taken.beta = take_vector(walk, &norm->beta, ".bias");
    name_pieces(walk, first, slot);
    return taken;
}

static tandem_embed_table take_table(weight_walk *walk, const tandem_view *view, const char *slot) {
    const tandem_dtype dtype = walk->lane->capabilities.dtype;
    const size_t row_bytes = (size_t)view->cols * tandem__dtype_bytes(dtype);
    const int first = walk->piece_count;
    char *at = reserve(walk, (size_t)view->rows * row_bytes);
    const int64_t step = rows_a_piece(view);
    for (int64_t row = 0; row < view->rows; row += step) {
        const int64_t rows = view->rows - row < step ? view->rows - row : step;
        char *dst = at == NULL ? NULL : at + (size_t)row * row_bytes;
        push_copy(walk, view, row, rows, dst, dtype, "");
    }
    name_pieces(walk, first, slot);
    return (tandem_embed_table){.data = at, .dtype = dtype};
}

static tandem_gemm_matrix place_matrix(weight_walk *walk, int64_t n, int64_t k) {
    const tandem_gemm_kernels *gemm = &walk->lane->kernels.gemm;
    const tandem_dtype dtype = walk->lane->capabilities.dtype;
    void *panels = reserve(walk, tandem_gemm_packed_bytes(gemm, dtype, (int)n, (int)k));
    return (tandem_gemm_matrix){
        .panels = panels, .dtype = dtype, .n = (int)n, .k = (int)k, .nr = gemm->nr};
}

static void take_linear(weight_walk *walk, const tandem_linear *from, cpu_linear *to,
                        const char *slot) {
    const tandem_view *view = &from->weight;
    if (view->data == NULL) return;
    const int first = walk->piece_count;
    to->w = place_matrix(walk, view->rows, view->cols);
    const int64_t step = rows_a_piece(view);
    for (int64_t row = 0; row < view->rows; row += step) {
        const int64_t rows = view->rows - row < step ? view->rows - row : step;
        push_columns(walk, &to->w, view, row, rows, (int)row);
    }
    to->bias = take_vector(walk, &from->bias, ".bias");
    name_pieces(walk, first, slot);
}

/* One head's part of a bias vector; zeros where the others have a bias and this part has none. */
static void take_head_bias(weight_walk *walk, const tandem_view *vector, int head, int dim,
                           float *bias) {
    if (vector->data == NULL) {
        for (int i = 0; i < dim && bias != NULL; i++) bias[i] = 0.0f;
        return;
    }
    const size_t offset = (size_t)(head * dim) * tandem__dtype_bytes(vector->dtype);
    const tandem_view of_head = {.data = (const char *)vector->data + offset,
                                 .dtype = vector->dtype,
                                 .rows = 1,
                                 .cols = dim};
    push_copy(walk, &of_head, 0, 1, bias, TANDEM_DTYPE_F32, ".bias");
}

/* Query, key and value interleaved by head (cpu_internal.h). */
static void take_qkv(weight_walk *walk, const tandem_plan_layer *from, cpu_linear *to) {
    static const char *const slots[3] = {"query", "key", "value"};
    const tandem_linear *parts[3] = {&from->query, &from->key, &from->value};
    const tandem_plan *plan = walk->lane->plan;
    const int dim = plan->head_dim;
    const int64_t inner = (int64_t)plan->heads * dim;
    to->w = place_matrix(walk, 3 * inner, plan->hidden);
    bool has_bias = false;
    for (int p = 0; p < 3; p++) has_bias = has_bias || parts[p]->bias.data != NULL;
    float *bias = has_bias ? reserve(walk, (size_t)(3 * inner) * sizeof *bias) : NULL;
    to->bias = bias;
    for (int p = 0; p < 3; p++) {
        const int first = walk->piece_count;
        for (int head = 0; head < plan->heads; head++) {
            const int column = (3 * head + p) * dim;
            float *of_head = bias == NULL ? NULL : bias + column;
            push_columns(walk, &to->w, &parts[p]->weight, (int64_t)head * dim, dim, column);
            if (has_bias) take_head_bias(walk, &parts[p]->bias, head, dim, of_head);
        }
        name_pieces(walk, first, slots[p]);
    }
}

static void take_layer(weight_walk *walk, const tandem_plan_layer *from, cpu_layer *to) {
    take_qkv(walk, from, &to->qkv);
    take_linear(walk, &from->output, &to->output, "attention.output");
    to->attention_norm = take_norm(walk, &from->attention_norm, "attention.norm");
    take_linear(walk, &from->up, &to->up, "ffn.up");
    take_linear(walk, &from->gate, &to->gate, "ffn.gate");
    take_linear(walk, &from->down, &to->down, "ffn.down");
    to->ffn_norm = take_norm(walk, &from->ffn_norm, "ffn.norm");
}

static void take_all(weight_walk *walk) {
    const tandem_plan *plan = walk->lane->plan;
    cpu_weights *weights = &walk->lane->weights;
    walk->layer = -1;
    if (weights->table.rows == NULL)
        weights->word = take_table(walk, &plan->word, "embeddings.word");
    if (plan->position_rows.data != NULL)
        weights->position = take_table(walk, &plan->position_rows, "embeddings.position");
    if (plan->types > 0) weights->type = take_table(walk, &plan->type_rows, "embeddings.type");
    if (plan->position == TANDEM_POSITION_RELATIVE) {
        const tandem_view *view = &plan->relative_bias;
        float *relative = reserve(walk, (size_t)(view->rows * view->cols) * sizeof *relative);
        push_copy(walk, view, 0, view->rows, relative, TANDEM_DTYPE_F32, "");
        name_pieces(walk, walk->piece_count - 1, "relative_bias");
        weights->relative = relative;
    }
    weights->embedding_norm = take_norm(walk, &plan->embedding_norm, "embeddings.norm");
    take_linear(walk, &plan->embedding_projection, &weights->embedding_projection,
                "embeddings.projection");
    for (int i = 0; i < plan->layer_count; i++) {
        walk->layer = i;
        take_layer(walk, &plan->layers[i], &weights->layers[i]);
    }
    walk->layer = -1;
    weights->final_norm = take_norm(walk, &plan->final_norm, "final.norm");
    for (int i = 0; i < plan->dense_count; i++) {
        cpu_dense *dense = &weights->dense[i];
        take_linear(walk, &plan->dense[i].linear, &dense->linear, "dense");
        take_linear(walk, &plan->dense[i].residual, &dense->residual, "residual");
        dense->norm = take_norm(walk, &plan->dense[i].norm, "module.norm");
    }
    take_linear(walk, &plan->head_dense, &weights->head_dense, "head.dense");
    weights->head_norm = take_norm(walk, &plan->head_norm, "head.norm");
    take_linear(walk, &plan->classifier, &weights->classifier, "classifier");
    take_linear(walk, &plan->lm_dense, &weights->lm_dense, "lm.dense");
    weights->lm_norm = take_norm(walk, &plan->lm_norm, "lm.norm");
    take_linear(walk, &plan->lm_decoder, &weights->lm_decoder, "lm.decoder");
}

static bool halves_are_finite(const uint16_t *values, size_t count) {
    uint16_t largest = 0;
    for (size_t i = 0; i < count; i++) {
        const uint16_t exponent = values[i] & 0x7c00u;
        largest = exponent > largest ? exponent : largest;
    }
    return largest != 0x7c00u;
}

/* At most TABLE_CHUNK elements. */
static bool copy_chunk(const tandem_kernels *kernels, void *dst, tandem_dtype dst_dtype,
                       const void *src, tandem_dtype src_dtype, size_t count) {
    float values[TABLE_CHUNK];
    if (dst_dtype == TANDEM_DTYPE_F32) {
        tandem_convert_to_f32(&kernels->convert, dst, src, src_dtype, count);
        return tandem__floats_are_finite(dst, count);
    }
    if (src_dtype == TANDEM_DTYPE_F32) {
        kernels->convert.f32_f16(dst, src, count);
    } else {
        tandem_convert_to_f32(&kernels->convert, values, src, src_dtype, count);
        kernels->convert.f32_f16(dst, values, count);
    }
    return halves_are_finite(dst, count);
}

bool tandem__cpu_copy(const tandem_kernels *kernels, void *dst, tandem_dtype dst_dtype,
                      const void *src, tandem_dtype src_dtype, size_t count) {
    const size_t dst_bytes = tandem__dtype_bytes(dst_dtype);
    const size_t src_bytes = tandem__dtype_bytes(src_dtype);
    bool is_finite = true;
    for (size_t at = 0; at < count; at += TABLE_CHUNK) {
        const size_t part = count - at < TABLE_CHUNK ? count - at : TABLE_CHUNK;
        char *to = (char *)dst + at * dst_bytes;
        const char *from = (const char *)src + at * src_bytes;
        if (!copy_chunk(kernels, to, dst_dtype, from, src_dtype, part)) is_finite = false;
    }
    return is_finite;
}

static void pack_piece(void *context, int tile, int worker) {
    weight_walk *walk = context;
    const weight_piece *piece = &walk->pieces[tile];
    const tandem_kernels *kernels = &walk->lane->kernels;
    const tandem_plan *plan = walk->lane->plan;
    (void)worker;
    const bool is_finite = piece->matrix == NULL
                               ? tandem__cpu_copy(kernels, piece->dst, piece->dst_dtype, piece->src,
                                                  piece->src_dtype, piece->count)
                               : tandem_gemm_pack(&kernels->gemm, piece->matrix, piece->column,
                                                  piece->src, piece->src_dtype, piece->rows);
    int failed = atomic_load(&walk->failed);
    while (!is_finite && tile < failed &&
           !atomic_compare_exchange_weak(&walk->failed, &failed, tile)) {
    }
    if (plan->release != NULL) {
        plan->release(plan->release_context, piece->src,
                      piece->count * tandem__dtype_bytes(piece->src_dtype));
    }
}

static tandem_status pack_all(weight_walk *walk, tandem_error *err) {
    atomic_store(&walk->failed, walk->piece_count);
    tandem__pool_run(walk->lane->pool, walk->piece_count, pack_piece, walk);
    const int failed = atomic_load(&walk->failed);
    if (failed == walk->piece_count) return TANDEM_OK;
    const weight_piece *piece = &walk->pieces[failed];
    char slot[64];
    (void)snprintf(slot, sizeof slot, "%s%s", piece->slot, piece->part);
    const tandem_dtype kept = piece->matrix == NULL ? piece->dst_dtype : piece->matrix->dtype;
    const tandem_weight_part part = {.layer = piece->layer,
                                     .slot = slot,
                                     .data = piece->src,
                                     .dtype = piece->src_dtype,
                                     .first = piece->first,
                                     .count = piece->count};
    return tandem__fail_weight(walk->lane->plan, &part, kept == TANDEM_DTYPE_F16, err);
}

static tandem_status allocate(const tandem_plan *plan, cpu_weights *weights, tandem_error *err) {
    if (plan->layer_count > 0) {
        weights->layers = tandem__mem_calloc((size_t)plan->layer_count, sizeof(cpu_layer));
        if (weights->layers == NULL)
            return TANDEM_FAIL(err, MEMORY, "no memory for %d layers", (int)plan->layer_count);
    }
    if (plan->dense_count > 0) {
        weights->dense = tandem__mem_calloc((size_t)plan->dense_count, sizeof(cpu_dense));
        if (weights->dense == NULL)
            return TANDEM_FAIL(err, MEMORY, "no memory for %d modules", (int)plan->dense_count);
    }
    return TANDEM_OK;
}

tandem_status tandem__cpu_weights_open(cpu_lane *lane, tandem_error *err) {
    cpu_weights *weights = &lane->weights;
    weight_walk walk = {.lane = lane};
    TANDEM_TRY(allocate(lane->plan, weights, err));
    if (tandem__cpu_table_is_sparse(lane)) TANDEM_TRY(tandem__cpu_table_open(lane, err));
    take_all(&walk);
    weights->bytes = walk.bytes;
    weights->memory = tandem__mem_alloc_aligned(weights->bytes);
    if (weights->memory == NULL) {
        return TANDEM_FAIL(err, MEMORY, "no memory for %zu bytes of weights", weights->bytes);
    }
    const int count = walk.piece_count;
    weight_piece *pieces = tandem__mem_calloc((size_t)count, sizeof *pieces);
    if (pieces == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for %d pieces", count);
    walk = (weight_walk){.lane = lane, .memory = weights->memory, .pieces = pieces};
    take_all(&walk);
    TANDEM_ASSERT(walk.piece_count == count);
    TANDEM_ASSERT(walk.bytes == weights->bytes);
    const tandem_status status = pack_all(&walk, err);
    tandem__mem_free(pieces);
    return status;
}

void tandem__cpu_weights_close(cpu_weights *weights) {
    if (weights->memory != NULL) tandem__mem_free_aligned(weights->memory, weights->bytes);
    tandem__cpu_table_close(&weights->table);
    tandem__mem_free(weights->layers);
    tandem__mem_free(weights->dense);
    *weights = (cpu_weights){.memory = NULL};
}
