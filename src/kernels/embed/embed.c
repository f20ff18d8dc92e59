/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/embed/embed.h"

#include "base/assert.h"
#include "base/cpu.h"

void tandem_embed_fill(tandem_embed_kernels *kernels, uint32_t cpu_flags) {
    tandem_convert_fill(&kernels->convert, cpu_flags);
    tandem_norm_fill(&kernels->norm, cpu_flags);
#define EMBED_KERNEL(name, flags)                                                                  \
    if (((flags) & ~cpu_flags) == 0) kernels->add = name;
#include "kernels/embed/embed.inc"
#undef EMBED_KERNEL
}

static const void *table_row(const tandem_embed_table *table, int32_t row, int hidden) {
    const size_t element_bytes = table->dtype == TANDEM_DTYPE_F32 ? 4 : 2;
    TANDEM_ASSERT(row >= 0);
    return (const char *)table->data + (size_t)row * (size_t)hidden * element_bytes;
}

void tandem_embed_run(const tandem_embed_kernels *kernels, const tandem_embed_args *args,
                      int row_begin, int row_end) {
    const int hidden = args->hidden;
    for (int t = row_begin; t < row_end; t++) {
        float *x = args->out + (size_t)t * args->out_stride;
        tandem_convert_to_f32(&kernels->convert, x, table_row(&args->word, args->ids[t], hidden),
                              args->word.dtype, (size_t)hidden);
        if (args->type.data != NULL) {
            const int32_t type = args->types == NULL ? 0 : args->types[t];
            kernels->add(x, table_row(&args->type, type, hidden), args->type.dtype, hidden);
        }
        if (args->position.data != NULL) {
            kernels->add(x, table_row(&args->position, args->positions[t], hidden),
                         args->position.dtype, hidden);
        }
    }
    if (args->gamma == NULL) return;
    const tandem_norm_args norm = {
        .x = args->out,
        .x_stride = args->out_stride,
        .y = args->out,
        .y_stride = args->out_stride,
        .gamma = args->gamma,
        .beta = args->beta,
        .eps = args->eps,
        .hidden = hidden,
    };
    kernels->norm.layernorm(&norm, row_begin, row_end);
}
