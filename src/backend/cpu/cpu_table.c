/* SPDX-License-Identifier: Apache-2.0 */
/* The word table, converted as it is used.
 *
 *     rows    [ block 0 ][ block 1 ][ block 2 ][ ...       address space, a page where it is
 * touched ready       1          0          1                  a byte a block
 *
 * Of a multilingual model the word table is most of the weights (250,037 rows: 192 MB of 235 MB in
 * f16) and a process meets few of its rows. So a block of rows is converted when a batch first
 * holds an id of it, before the batch is computed, by the thread that submits. A value that is NaN
 * or infinite is found then, at each batch that needs it.
 *
 * Rejected: converting all of it at open, which took a quarter of the start of such a model in time
 * and most of it in memory; adding rows straight from the file, whose pages then count as resident,
 * twice as many as in f16, and whose values are f32 where the lane's mode says f16. */
#include "backend/cpu/cpu_internal.h"
#include "base/dtype.h"
#include "base/fail.h"
#include "base/mem.h"

enum {
    BLOCK_BYTES = 16 * 1024,            /* of rows as the lane keeps them, and about so many */
    SPARSE_BYTES_MIN = 2 * 1024 * 1024, /* smaller tables are a huge page: not worth it */
};

bool tandem__cpu_table_is_sparse(const cpu_lane *lane) {
    const tandem_view *word = &lane->plan->word;
    const size_t row_bytes = (size_t)word->cols * tandem__dtype_bytes(lane->storage);
    return (size_t)word->rows * row_bytes >= SPARSE_BYTES_MIN;
}

tandem_status tandem__cpu_table_open(cpu_lane *lane, tandem_error *err) {
    const tandem_view *word = &lane->plan->word;
    const tandem_dtype dtype = lane->storage;
    cpu_table *table = &lane->weights.table;
    table->row_bytes = (size_t)word->cols * tandem__dtype_bytes(dtype);
    table->bytes = (size_t)word->rows * table->row_bytes;
    table->block_rows = BLOCK_BYTES / (int32_t)table->row_bytes;
    if (table->block_rows < 1) table->block_rows = 1;
    const size_t blocks = (size_t)((word->rows + table->block_rows - 1) / table->block_rows);
    table->is_ready = tandem__mem_calloc(blocks, sizeof *table->is_ready);
    table->rows = table->is_ready == NULL ? NULL : tandem__mem_alloc_sparse(table->bytes);
    if (table->rows == NULL) {
        return TANDEM_FAIL(err, MEMORY, "no memory for %zu bytes of word embeddings", table->bytes);
    }
    lane->weights.word = (tandem_embed_table){.data = table->rows, .dtype = dtype};
    return TANDEM_OK;
}

void tandem__cpu_table_close(cpu_table *table) {
    tandem__mem_free_sparse(table->rows, table->bytes);
    tandem__mem_free(table->is_ready);
    *table = (cpu_table){.rows = NULL};
}

static tandem_status fill_block(cpu_lane *lane, int32_t block, tandem_error *err) {
    const cpu_table *table = &lane->weights.table;
    const tandem_plan *plan = lane->plan;
    const tandem_view *word = &plan->word;
    const tandem_dtype dtype = lane->storage;
    const int64_t first = (int64_t)block * table->block_rows;
    const int64_t left = word->rows - first;
    const size_t rows = (size_t)(left < table->block_rows ? left : table->block_rows);
    const size_t count = rows * (size_t)word->cols;
    const size_t src_row_bytes = (size_t)word->cols * tandem__dtype_bytes(word->dtype);
    const char *src = (const char *)word->data + (size_t)first * src_row_bytes;
    char *dst = table->rows + (size_t)first * table->row_bytes;
    if (!tandem__packing_convert(&lane->kernels, dst, dtype, src, word->dtype, count)) {
        const tandem_weight_part part = {.layer = -1,
                                         .slot = "embeddings.word",
                                         .data = src,
                                         .dtype = word->dtype,
                                         .first = (size_t)(first * word->cols),
                                         .count = count};
        return tandem__fail_weight(plan, &part, dtype == TANDEM_DTYPE_F16, err);
    }
    table->is_ready[block] = true;
    if (plan->release != NULL) plan->release(plan->release_context, src, rows * src_row_bytes);
    return TANDEM_OK;
}

tandem_status tandem__cpu_table_fill(cpu_lane *lane, const tandem_batch *batch, tandem_error *err) {
    const cpu_table *table = &lane->weights.table;
    if (table->rows == NULL) return TANDEM_OK;
    for (int32_t t = 0; t < batch->tokens; t++) {
        const int32_t block = batch->ids[t] / table->block_rows;
        if (!table->is_ready[block]) TANDEM_TRY(fill_block(lane, block, err));
    }
    return TANDEM_OK;
}
