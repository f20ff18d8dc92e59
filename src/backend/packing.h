/* SPDX-License-Identifier: Apache-2.0 */
/* A plan's weights into memory of a lane's own, in the layout of the kernels, by all threads.
 *
 * Who takes weights writes one function that visits them in the plan's order and says where each
 * goes. It runs twice: first every address it is given is NULL and bytes and pieces are counted,
 * then all is placed in one allocation and the pieces that a thread copies at a time are listed.
 * The pieces are worked off by the pool; each gives its source pages back when it is done, so that
 * the file and the packed weights are never both resident. A piece that meets a NaN or an infinity
 * is remembered, the first in the plan's order wins. */
#ifndef TANDEM_BACKEND_PACKING_H
#define TANDEM_BACKEND_PACKING_H

#include "backend/backend.h"
#include "kernels/kernels.h"

/* Floats from row to row: a multiple of a cache line, and not of 1 KB, so that the rows of a tile
 * do not fall into the same few sets of the first-level cache. */
static inline size_t tandem__row_stride(size_t floats) {
    const size_t line = 16;
    const size_t stride = (floats + line - 1) / line * line;
    return stride % 256 == 0 ? stride + line : stride;
}

/* A product's weights: for the kernels, for the system's sgemm, or for both. */
typedef struct tandem_packed_linear {
    tandem_gemm_matrix w; /* n == 0: absent; panels == NULL where rows_min is 1, or in bytes */
    tandem_gemm_i8_matrix bytes; /* panels == NULL: not in eight bits */
    const float *bias;           /* [n] or NULL */
    float *rows;  /* [n, k], as rounded to the lane's dtype; NULL where rows_min is 0 */
    int rows_min; /* tokens from which `rows` are the ones to use; 0: never */
} tandem_packed_linear;

typedef struct tandem_packed_norm {
    const float *gamma; /* [H], NULL: no norm here */
    const float *beta;  /* [H] or NULL */
} tandem_packed_norm;

typedef struct tandem_weight_piece tandem_weight_piece;

/* What the visitor's calls below work on. It sets `layer`, `slot` before what it names, and
 * `rows_min` or `in_bytes` before matrices that are to have it. */
typedef struct tandem_packing {
    const tandem_plan *plan;
    const tandem_kernels *kernels;
    tandem_pool *pool;
    tandem_dtype dtype; /* of matrices and tables: F32 or F16 */
    bool is_paged;      /* the memory is whole pages, as a device takes it */
    int layer;          /* -1: outside the layers */
    const char *slot;   /* "ffn.up" */
    int rows_min;
    bool in_bytes;
    char *memory; /* NULL while counting */
    size_t bytes;
    tandem_weight_piece *pieces; /* NULL while counting */
    int piece_count;
    _Atomic int failed; /* lowest index of a piece that is not finite */
} tandem_packing;

typedef void tandem_packing_visit(tandem_packing *packing, void *context);

/* plan, kernels, pool, dtype and is_paged of `packing` are set, the rest is zero. *memory of *bytes
 * is the caller's, also on failure, to be freed by tandem__mem_free_aligned
 * (tandem__mem_free_sparse where it is_paged); untouched where there is nothing to pack.
 * TANDEM_NUMERIC names an element that is not finite. */
tandem_status tandem__packing_run(tandem_packing *packing, tandem_packing_visit *visit,
                                  void *context, char **memory, size_t *bytes,
                                  tandem_error *err) TANDEM_NODISCARD;

/* Aligned to 64; NULL while counting. */
void *tandem__packing_reserve(tandem_packing *packing, size_t bytes);

/* Room for an [n, k] matrix; then rows [first, first + rows) of the view as its outputs from
 * `column` on. `*to` outlives the run: pieces name it. */
void tandem__packing_matrix(tandem_packing *packing, tandem_packed_linear *to, int64_t n,
                            int64_t k);
void tandem__packing_columns(tandem_packing *packing, const tandem_packed_linear *to,
                             const tandem_view *view, int64_t first, int64_t rows, int column);

/* Rows [first, first + rows) of the view to dst, as F32 or F16. `part` follows the slot's name in
 * messages: ".bias". */
void tandem__packing_copy(tandem_packing *packing, const tandem_view *view, int64_t first,
                          int64_t rows, void *dst, tandem_dtype dst_dtype, const char *part);

/* Whole tensors; nothing where the plan has none. `*to` outlives the run: pieces name its matrix.
 */
void tandem__packing_linear(tandem_packing *packing, const tandem_linear *from,
                            tandem_packed_linear *to, const char *slot);
tandem_packed_norm tandem__packing_norm(tandem_packing *packing, const tandem_norm *norm,
                                        const char *slot);
tandem_embed_table tandem__packing_table(tandem_packing *packing, const tandem_view *view,
                                         const char *slot);

/* `count` elements into F32 or F16 by way of f32, which holds every f16 and bf16; false where one
 * is not finite there. */
bool tandem__packing_convert(const tandem_kernels *kernels, void *dst, tandem_dtype dst_dtype,
                             const void *src, tandem_dtype src_dtype, size_t count);

/* For a lane's explain: a product's shape, its tiles and what is fused to its end; nothing where it
 * is absent. */
typedef struct tandem_explanation {
    const tandem_kernels *kernels;
    tandem_step_function *say;
    void *context;
    char where[32]; /* "2 threads" */
} tandem_explanation;

void tandem__explain_product(const tandem_explanation *e, const char *op,
                             const tandem_packed_linear *linear, tandem_act act, const char *also);
void tandem__explain_norm(const tandem_explanation *e, const char *op,
                          const tandem_packed_norm *norm);

#endif
