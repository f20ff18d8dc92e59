/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "kernels/embed/embed.h"

static float table_value(const tandem_embed_table *table, int32_t row, int hidden, int i) {
    const size_t index = (size_t)row * (size_t)hidden + (size_t)i;
    float value;
    uint16_t bits;
    if (table->dtype == TANDEM_DTYPE_F32) {
        memcpy(&value, (const char *)table->data + 4 * index, 4);
        return value;
    }
    memcpy(&bits, (const char *)table->data + 2 * index, 2);
    return table->dtype == TANDEM_DTYPE_F16 ? tandem_convert_f16_value(bits)
                                            : tandem_convert_bf16_value(bits);
}

void tandem_embed__ref(const tandem_embed_args *args, int row_begin, int row_end) {
    const int hidden = args->hidden;
    for (int t = row_begin; t < row_end; t++) {
        float *x = args->out + (size_t)t * args->out_stride;
        for (int i = 0; i < hidden; i++) {
            x[i] = table_value(&args->word, args->ids[t], hidden, i);
            if (args->type.data != NULL) {
                const int32_t type = args->types == NULL ? 0 : args->types[t];
                x[i] += table_value(&args->type, type, hidden, i);
            }
            if (args->position.data != NULL) {
                x[i] += table_value(&args->position, args->positions[t], hidden, i);
            }
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
    tandem_layernorm_f32__ref(&norm, row_begin, row_end);
}
