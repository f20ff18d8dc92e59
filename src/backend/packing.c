/* SPDX-License-Identifier: Apache-2.0 */
/* See packing.h. Pieces are of some 256 KB: small enough that all threads end together, large
 * enough that claiming one costs nothing. */
#include "backend/packing.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/dtype.h"
#include "base/fail.h"
#include "base/mem.h"

enum { PIECE_BYTES = 256 * 1024, CONVERT_CHUNK = 1024 };

struct tandem_weight_piece {
    const tandem_packed_linear *linear; /* NULL: a table or a vector, copied to dst */
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
};

void *tandem__packing_reserve(tandem_packing *packing, size_t bytes) {
    void *at = packing->memory == NULL ? NULL : packing->memory + packing->bytes;
    packing->bytes += (bytes + TANDEM_ALIGNMENT - 1) / TANDEM_ALIGNMENT * TANDEM_ALIGNMENT;
    return at;
}

static void push(tandem_packing *packing, tandem_weight_piece piece) {
    piece.layer = packing->layer;
    piece.slot = packing->slot;
    if (packing->pieces != NULL) packing->pieces[packing->piece_count] = piece;
    packing->piece_count++;
}

static const char *element(const tandem_view *view, int64_t row) {
    const int64_t bytes = (int64_t)tandem__dtype_bytes(view->dtype);
    return (const char *)view->data + row * view->cols * bytes;
}

static int64_t rows_a_piece(const tandem_view *view) {
    const int64_t rows = PIECE_BYTES / (view->cols * (int64_t)tandem__dtype_bytes(view->dtype));
    return rows < 64 ? 64 : rows / 64 * 64;
}

void tandem__packing_columns(tandem_packing *packing, const tandem_packed_linear *to,
                             const tandem_view *view, int64_t first, int64_t rows, int column) {
    push(packing, (tandem_weight_piece){.linear = to,
                                        .column = column,
                                        .rows = (int)rows,
                                        .src = element(view, first),
                                        .src_dtype = view->dtype,
                                        .first = (size_t)(first * view->cols),
                                        .count = (size_t)(rows * view->cols),
                                        .part = ".weight"});
}

void tandem__packing_copy(tandem_packing *packing, const tandem_view *view, int64_t first,
                          int64_t rows, void *dst, tandem_dtype dst_dtype, const char *part) {
    push(packing, (tandem_weight_piece){.src = element(view, first),
                                        .src_dtype = view->dtype,
                                        .dst = dst,
                                        .dst_dtype = dst_dtype,
                                        .first = (size_t)(first * view->cols),
                                        .count = (size_t)(rows * view->cols),
                                        .part = part});
}

static const float *take_vector(tandem_packing *packing, const tandem_view *view,
                                const char *part) {
    if (view->data == NULL) return NULL;
    float *at = tandem__packing_reserve(packing, (size_t)view->cols * sizeof *at);
    tandem__packing_copy(packing, view, 0, 1, at, TANDEM_DTYPE_F32, part);
    return at;
}

tandem_packed_norm tandem__packing_norm(tandem_packing *packing, const tandem_norm *norm,
                                        const char *slot) {
    packing->slot = slot;
    tandem_packed_norm taken = {.gamma = take_vector(packing, &norm->gamma, ".weight")};
    taken.beta = take_vector(packing, &norm->beta, ".bias");
    return taken;
}

tandem_embed_table tandem__packing_table(tandem_packing *packing, const tandem_view *view,
                                         const char *slot) {
    const size_t row_bytes = (size_t)view->cols * tandem__dtype_bytes(packing->dtype);
    char *at = tandem__packing_reserve(packing, (size_t)view->rows * row_bytes);
    const int64_t step = rows_a_piece(view);
    packing->slot = slot;
    for (int64_t row = 0; row < view->rows; row += step) {
        const int64_t rows = view->rows - row < step ? view->rows - row : step;
        char *dst = at == NULL ? NULL : at + (size_t)row * row_bytes;
        tandem__packing_copy(packing, view, row, rows, dst, packing->dtype, "");
    }
    return (tandem_embed_table){.data = at, .dtype = packing->dtype};
}

void tandem__packing_matrix(tandem_packing *packing, tandem_packed_linear *to, int64_t n,
                            int64_t k) {
    const tandem_gemm_kernels *gemm = &packing->kernels->gemm;
    to->w = (tandem_gemm_matrix){.dtype = packing->dtype, .n = (int)n, .k = (int)k, .nr = gemm->nr};
    if (packing->in_bytes) {
        const tandem_gemm_i8_kernels *gemm_i8 = &packing->kernels->gemm_i8;
        const size_t bytes = tandem_gemm_i8_packed_bytes(gemm_i8, to->w.n, to->w.k);
        to->bytes = (tandem_gemm_i8_matrix){tandem__packing_reserve(packing, bytes), to->w.n,
                                            to->w.k, gemm_i8->nr, gemm_i8->group};
        return;
    }
    to->rows_min = packing->rows_min;
    if (to->rows_min != 1) {
        const size_t bytes = tandem_gemm_packed_bytes(gemm, packing->dtype, to->w.n, to->w.k);
        to->w.panels = tandem__packing_reserve(packing, bytes);
    }
    if (to->rows_min > 0)
        to->rows = tandem__packing_reserve(packing, (size_t)(n * k) * sizeof *to->rows);
}

void tandem__packing_linear(tandem_packing *packing, const tandem_linear *from,
                            tandem_packed_linear *to, const char *slot) {
    const tandem_view *view = &from->weight;
    if (view->data == NULL) return;
    packing->slot = slot;
    tandem__packing_matrix(packing, to, view->rows, view->cols);
    const int64_t step = rows_a_piece(view);
    for (int64_t row = 0; row < view->rows; row += step) {
        const int64_t rows = view->rows - row < step ? view->rows - row : step;
        tandem__packing_columns(packing, to, view, row, rows, (int)row);
    }
    to->bias = take_vector(packing, &from->bias, ".bias");
}

static bool halves_are_finite(const uint16_t *values, size_t count) {
    uint16_t largest = 0;
    for (size_t i = 0; i < count; i++) {
        const uint16_t exponent = values[i] & 0x7c00u;
        largest = exponent > largest ? exponent : largest;
    }
    return largest != 0x7c00u;
}

/* At most CONVERT_CHUNK elements. */
static bool convert_chunk(const tandem_kernels *kernels, void *dst, tandem_dtype dst_dtype,
                          const void *src, tandem_dtype src_dtype, size_t count) {
    float values[CONVERT_CHUNK];
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

bool tandem__packing_convert(const tandem_kernels *kernels, void *dst, tandem_dtype dst_dtype,
                             const void *src, tandem_dtype src_dtype, size_t count) {
    const size_t dst_bytes = tandem__dtype_bytes(dst_dtype);
    const size_t src_bytes = tandem__dtype_bytes(src_dtype);
    bool is_finite = true;
    for (size_t at = 0; at < count; at += CONVERT_CHUNK) {
        const size_t part = count - at < CONVERT_CHUNK ? count - at : CONVERT_CHUNK;
        char *to = (char *)dst + at * dst_bytes;
        const char *from = (const char *)src + at * src_bytes;
        if (!convert_chunk(kernels, to, dst_dtype, from, src_dtype, part)) is_finite = false;
    }
    return is_finite;
}

/* As f32, by way of the lane's dtype, so that both layouts hold the same weights. */
static bool copy_rows(const tandem_packing *packing, const tandem_weight_piece *piece) {
    const size_t src_bytes = tandem__dtype_bytes(piece->src_dtype);
    const tandem_packed_linear *to = piece->linear;
    float *rows = to->rows + (size_t)piece->column * (size_t)to->w.k;
    bool is_finite = true;
    for (size_t at = 0; at < piece->count; at += CONVERT_CHUNK) {
        uint16_t halves[CONVERT_CHUNK];
        const bool is_narrow = to->w.dtype == TANDEM_DTYPE_F16;
        const size_t left = piece->count - at;
        const size_t count = left < CONVERT_CHUNK ? left : CONVERT_CHUNK;
        void *dst = is_narrow ? (void *)halves : (void *)(rows + at);
        const char *src = (const char *)piece->src + at * src_bytes;
        if (!convert_chunk(packing->kernels, dst, to->w.dtype, src, piece->src_dtype, count))
            is_finite = false;
        if (is_narrow) {
            tandem_convert_to_f32(&packing->kernels->convert, rows + at, halves, TANDEM_DTYPE_F16,
                                  count);
        }
    }
    return is_finite;
}

/* False where a value is not finite. */
static bool take_piece(const tandem_packing *packing, const tandem_weight_piece *piece) {
    const tandem_kernels *kernels = packing->kernels;
    const tandem_packed_linear *linear = piece->linear;
    if (linear == NULL) {
        return tandem__packing_convert(kernels, piece->dst, piece->dst_dtype, piece->src,
                                       piece->src_dtype, piece->count);
    }
    if (linear->bytes.panels != NULL) {
        return tandem_gemm_i8_pack(&linear->bytes, piece->column, piece->src, piece->src_dtype,
                                   piece->rows);
    }
    bool is_finite = true;
    if (linear->w.panels != NULL) {
        is_finite = tandem_gemm_pack(&kernels->gemm, &linear->w, piece->column, piece->src,
                                     piece->src_dtype, piece->rows);
    }
    if (linear->rows != NULL) is_finite = copy_rows(packing, piece) && is_finite;
    return is_finite;
}

static void pack_piece(void *context, int tile, int worker) {
    tandem_packing *packing = context;
    const tandem_weight_piece *piece = &packing->pieces[tile];
    const tandem_plan *plan = packing->plan;
    (void)worker;
    const bool is_finite = take_piece(packing, piece);
    int failed = atomic_load(&packing->failed);
    while (!is_finite && tile < failed &&
           !atomic_compare_exchange_weak(&packing->failed, &failed, tile)) {
    }
    if (plan->release != NULL) {
        plan->release(plan->release_context, piece->src,
                      piece->count * tandem__dtype_bytes(piece->src_dtype));
    }
}

static tandem_status pack_all(tandem_packing *packing, tandem_error *err) {
    atomic_store(&packing->failed, packing->piece_count);
    tandem__pool_run(packing->pool, packing->piece_count, pack_piece, packing);
    const int failed = atomic_load(&packing->failed);
    if (failed == packing->piece_count) return TANDEM_OK;
    const tandem_weight_piece *piece = &packing->pieces[failed];
    char slot[64];
    (void)snprintf(slot, sizeof slot, "%s%s", piece->slot, piece->part);
    const tandem_packed_linear *linear = piece->linear;
    tandem_dtype kept = linear == NULL ? piece->dst_dtype : linear->w.dtype;
    if (linear != NULL && linear->bytes.panels != NULL) kept = TANDEM_DTYPE_F32;
    const tandem_weight_part part = {.layer = piece->layer,
                                     .slot = slot,
                                     .data = piece->src,
                                     .dtype = piece->src_dtype,
                                     .first = piece->first,
                                     .count = piece->count};
    return tandem__fail_weight(packing->plan, &part, kept == TANDEM_DTYPE_F16, err);
}

static void visit_all(tandem_packing *packing, tandem_packing_visit *visit, void *context) {
    packing->layer = -1;
    packing->bytes = 0;
    packing->piece_count = 0;
    visit(packing, context);
}

static size_t whole_pages(size_t bytes) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (bytes + page - 1) / page * page;
}

tandem_status tandem__packing_run(tandem_packing *packing, tandem_packing_visit *visit,
                                  void *context, char **memory, size_t *bytes, tandem_error *err) {
    visit_all(packing, visit, context);
    const size_t needed = packing->bytes;
    const int count = packing->piece_count;
    if (count == 0) return TANDEM_OK;
    const size_t taken = packing->is_paged ? whole_pages(needed) : needed;
    packing->memory =
        packing->is_paged ? tandem__mem_alloc_sparse(taken) : tandem__mem_alloc_aligned(taken);
    if (packing->memory == NULL)
        return TANDEM_FAIL(err, MEMORY, "no memory for %zu bytes of weights", taken);
    *memory = packing->memory;
    *bytes = taken;
    packing->pieces = tandem__mem_calloc((size_t)count, sizeof *packing->pieces);
    if (packing->pieces == NULL)
        return TANDEM_FAIL(err, MEMORY, "no memory for %d pieces of weights", count);
    visit_all(packing, visit, context);
    TANDEM_ASSERT(packing->piece_count == count);
    TANDEM_ASSERT(packing->bytes == needed);
    const tandem_status status = pack_all(packing, err);
    tandem__mem_free(packing->pieces);
    return status;
}
