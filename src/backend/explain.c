/* SPDX-License-Identifier: Apache-2.0 */
/* Steps in words, from the table that a lane dispatches by, so that what is said is what is called.
 */
#include <stdio.h>

#include "backend/packing.h"

#define TEXT_BYTES      200
#define NAME_OF(kernel) tandem_kernels_name((tandem_kernel_function *)(kernel))

void tandem__explain_product(const tandem_explanation *e, const char *op,
                             const tandem_packed_linear *linear, tandem_act act, const char *also) {
    if (linear->w.n == 0) return;
    const tandem_gemm_kernels *gemm = &e->kernels->gemm;
    const tandem_gemm_kernel *wide = &gemm->wide[linear->w.dtype];
    char label[TEXT_BYTES];
    char how[4 * TEXT_BYTES];
    char few[TEXT_BYTES] = "";
    char system[TEXT_BYTES] = "";
    char fused[TEXT_BYTES] = "";
    (void)snprintf(label, sizeof label, "%s %d x %d", op, linear->w.n, linear->w.k);
    if (wide->run != NULL)
        (void)snprintf(few, sizeof few, " (up to %d rows: %s)", wide->mr, NAME_OF(wide->run));
    if (linear->rows_min > 1) {
        (void)snprintf(system, sizeof system, "cblas_sgemm of Accelerate from %d tokens, below ",
                       linear->rows_min);
    }
    if (act != TANDEM_ACT_NONE)
        (void)snprintf(fused, sizeof fused, ", %s", NAME_OF(gemm->activation.apply[act]));
    const tandem_gemm_i8_kernels *gemm_i8 = &e->kernels->gemm_i8;
    const bool is_system = linear->rows_min == 1;
    const bool is_bytes = linear->bytes.panels != NULL;
    if (is_bytes) (void)snprintf(few, sizeof few, ", %s", NAME_OF(gemm_i8->quantize));
    (void)snprintf(how, sizeof how, "%s%s%s%s%s%s", system,
                   is_system  ? "cblas_sgemm of Accelerate"
                   : is_bytes ? NAME_OF(gemm_i8->run)
                              : NAME_OF(gemm->tall[linear->w.dtype].run),
                   is_system ? "" : few, linear->bias == NULL ? "" : ", bias", fused, also);
    e->say(e->context, label, e->where, how);
}

void tandem__explain_norm(const tandem_explanation *e, const char *op,
                          const tandem_packed_norm *norm) {
    if (norm->gamma == NULL) return;
    e->say(e->context, op, e->where, NAME_OF(e->kernels->norm.layernorm));
}
