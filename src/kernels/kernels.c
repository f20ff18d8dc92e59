/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/kernels.h"

#include <pthread.h>
#include <stddef.h>

#include "base/cpu.h"

static tandem_kernels table;
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

void tandem_kernels_fill(tandem_kernels *kernels, uint32_t cpu_flags) {
    kernels->cpu_flags = cpu_flags;
    tandem_convert_fill(&kernels->convert, cpu_flags);
    tandem_activation_fill(&kernels->activation, cpu_flags);
    tandem_gemm_fill(&kernels->gemm, cpu_flags);
    tandem_gemm_i8_fill(&kernels->gemm_i8, cpu_flags);
    tandem_norm_fill(&kernels->norm, cpu_flags);
    tandem_attention_fill(&kernels->attention, cpu_flags);
    tandem_embed_fill(&kernels->embed, cpu_flags);
}

/* clang-format off */
#define NAMED_KERNEL(name) {(tandem_kernel_function *)name, #name},
/* clang-format on */
#define GEMM_KERNEL(name, shape, dtype, flags, mr, nr, panels) NAMED_KERNEL(name)
#define GEMM_PACK(name, flags)                                 NAMED_KERNEL(name)
#define GEMM_I8_KERNEL(name, flags, mr, nr, group)             NAMED_KERNEL(name)
#define QUANTIZE_KERNEL(name, flags)                           NAMED_KERNEL(name)
#define ATTENTION_KERNEL(name, flags)                          NAMED_KERNEL(name)
#define NORM_KERNEL(name, op, flags)                           NAMED_KERNEL(name)
#define EMBED_KERNEL(name, flags)                              NAMED_KERNEL(name)
#define CONVERT_KERNEL(name, op, flags)                        NAMED_KERNEL(name)
#define ACTIVATION_KERNEL(name, act, flags)                    NAMED_KERNEL(name)

static const struct {
    tandem_kernel_function *kernel;
    const char *name;
} names[] = {
#include "kernels/activation/activation.inc"
#include "kernels/attention/attention.inc"
#include "kernels/convert/convert.inc"
#include "kernels/embed/embed.inc"
#include "kernels/gemm/gemm.inc"
#include "kernels/gemm_i8/gemm_i8.inc"
#include "kernels/norm/norm.inc"
};

const char *tandem_kernels_name(tandem_kernel_function *kernel) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (names[i].kernel == kernel) return names[i].name;
    }
    return "unlisted";
}

static void fill_table(void) {
    tandem_kernels_fill(&table, tandem__cpu_flags());
}

const tandem_kernels *tandem_kernels_get(void) {
    (void)pthread_once(&table_once, fill_table);
    return &table;
}
