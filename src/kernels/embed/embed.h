/* SPDX-License-Identifier: Apache-2.0 */
/* The first rows of the network: x = LayerNorm((word[id] + type[type]) + position[position]).
 *
 *   word      [V, H], position [P, H], type [types, H], each F32, F16 or BF16, row-major without
 *             gaps, unaligned allowed; position and type may be absent (data NULL)
 *   ids, positions, types   [T] i32, each a row that exists: the caller has checked them
 *   out       [T, H] f32, rows `out_stride` apart
 *
 * Rows are widened exactly and added in f32 in the order written above, then normalised in place
 * with the norm's own order; gamma NULL leaves the sum as it is. */
#ifndef TANDEM_KERNELS_EMBED_H
#define TANDEM_KERNELS_EMBED_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/convert/convert.h"
#include "kernels/norm/norm.h"
#include "tandem/dtype.h"

typedef struct tandem_embed_table {
    const void *data; /* NULL: absent */
    tandem_dtype dtype;
} tandem_embed_table;

typedef struct tandem_embed_args {
    tandem_embed_table word;
    tandem_embed_table position;
    tandem_embed_table type;
    const int32_t *ids;
    const int32_t *positions; /* read only where position.data is there */
    const int32_t *types;     /* NULL: all 0 */
    float *out;
    size_t out_stride;
    const float *gamma; /* [H], or NULL: no norm */
    const float *beta;  /* [H], or NULL */
    float eps;
    int hidden; /* H */
} tandem_embed_args;

/* dst [n] f32 += src [n] of F32, F16 or BF16. */
typedef void tandem_embed_add_function(float *dst, const void *src, tandem_dtype dtype, int n);

typedef struct tandem_embed_kernels {
    tandem_convert_kernels convert;
    tandem_norm_kernels norm;
    tandem_embed_add_function *add;
} tandem_embed_kernels;

void tandem_embed_fill(tandem_embed_kernels *kernels, uint32_t cpu_flags);

/* Rows [row_begin, row_end) of out. */
void tandem_embed_run(const tandem_embed_kernels *kernels, const tandem_embed_args *args,
                      int row_begin, int row_end);

/* The definition. */
void tandem_embed__ref(const tandem_embed_args *args, int row_begin, int row_end);

#define EMBED_KERNEL(name, flags) tandem_embed_add_function name;
#include "kernels/embed/embed.inc"
#undef EMBED_KERNEL

#endif
