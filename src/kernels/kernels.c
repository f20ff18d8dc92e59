/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/kernels.h"

#include <pthread.h>

#include "base/cpu.h"

static tandem_kernels table;
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

void tandem_kernels_fill(tandem_kernels *kernels, uint32_t cpu_flags) {
    kernels->cpu_flags = cpu_flags;
    tandem_convert_fill(&kernels->convert, cpu_flags);
    tandem_activation_fill(&kernels->activation, cpu_flags);
    tandem_gemm_fill(&kernels->gemm, cpu_flags);
    tandem_norm_fill(&kernels->norm, cpu_flags);
    tandem_attention_fill(&kernels->attention, cpu_flags);
    tandem_embed_fill(&kernels->embed, cpu_flags);
}

static void fill_table(void) {
    tandem_kernels_fill(&table, tandem__cpu_flags());
}

const tandem_kernels *tandem_kernels_get(void) {
    (void)pthread_once(&table_once, fill_table);
    return &table;
}
