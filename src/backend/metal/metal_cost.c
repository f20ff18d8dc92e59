/* SPDX-License-Identifier: Apache-2.0 */
/* The list of dispatches told to people (explain) and to the cost model. */
#include <stdio.h>

#include "backend/metal/metal_internal.h"
#include "backend/metal/metal_lane.h"
#include "base/fail.h"
#include "base/mem.h"

enum { SAMPLE_TOKENS = 128, TEXT_BYTES = 160 };

typedef struct cost_walk {
    tandem_metal_cost_visit *visit;
    void *context;
} cost_walk;

static void visit_cost(void *context, const metal_step *step) {
    const cost_walk *walk = context;
    const tandem_metal_cost cost = {.op = step->op,
                                    .kernel = tandem__metal_kernels[step->kernel].name,
                                    .layer = step->layer,
                                    .groups = step->groups[0] * step->groups[1] * step->groups[2],
                                    .flops = step->flops,
                                    .bytes_read = step->bytes_read,
                                    .bytes_written = step->bytes_written};
    walk->visit(walk->context, &cost);
}

/* [sequences + 1] and the longest, or NULL without memory. */
static int32_t *make_offsets(const int32_t *lengths, int sequences, int *longest) {
    int32_t *offsets = tandem__mem_calloc((size_t)sequences + 1, sizeof *offsets);
    for (int b = 0; b < sequences && offsets != NULL; b++) {
        offsets[b + 1] = offsets[b] + lengths[b];
        if (lengths[b] > *longest) *longest = lengths[b];
    }
    return offsets;
}

tandem_status tandem__metal_cost(const tandem_plan *plan, const int32_t *lengths, int sequences,
                                 tandem_metal_cost_visit *visit, void *context, tandem_error *err) {
    TANDEM_TRY(tandem__plan_check(plan, err));
    TANDEM_TRY(tandem__metal_program_check(plan, err));
    bool has_kernel[METAL_KERNEL_COUNT];
    for (int i = 0; i < METAL_KERNEL_COUNT; i++) has_kernel[i] = true;
    int longest = 1;
    int32_t *offsets = make_offsets(lengths, sequences, &longest);
    if (offsets == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for %d sequences", sequences);
    metal_weights weights = {.longest = longest};
    tandem_status status = tandem__metal_weights_layout(plan, longest, &weights, err);
    if (status == TANDEM_OK) {
        const bool pools = tandem__output_check(plan, TANDEM_OUTPUT_POOLED, NULL) == TANDEM_OK;
        cost_walk walk = {visit, context};
        const metal_program program = {.plan = plan,
                                       .weights = &weights,
                                       .has_kernel = has_kernel,
                                       .offsets = offsets,
                                       .sequences = sequences,
                                       .output =
                                           pools ? TANDEM_OUTPUT_POOLED : TANDEM_OUTPUT_TOKENS,
                                       .visit = visit_cost,
                                       .context = &walk};
        tandem__metal_program_walk(&program);
    }
    tandem__metal_weights_close(&weights);
    tandem__mem_free(offsets);
    return status;
}

/* Explain: a text of SAMPLE_TOKENS tokens, layers' steps once. */

typedef struct explain_walk {
    tandem_step_function *say;
    void *context;
    int tokens;
} explain_walk;

static void visit_explain(void *context, const metal_step *step) {
    const explain_walk *walk = context;
    const metal_kernel_fact *fact = &tandem__metal_kernels[step->kernel];
    char op[TEXT_BYTES];
    char how[TEXT_BYTES];
    const bool is_product = step->kernel == METAL_AT_gemm_16x32 ||
                            step->kernel == METAL_AT_gemm_32x32 ||
                            step->kernel == METAL_AT_gemm_64x64;
    if (step->layer > 0) return;
    if (is_product)
        (void)snprintf(op, sizeof op, "%s %d x %d", step->op, step->args.gemm.n, step->args.gemm.k);
    else
        (void)snprintf(op, sizeof op, "%s", step->op);
    (void)snprintf(how, sizeof how, "%s, %d threadgroups of %d for %d tokens", fact->name,
                   step->groups[0] * step->groups[1], fact->threads, walk->tokens);
    walk->say(walk->context, op, "GPU", how);
}

void tandem__metal_explain(const tandem_plan *plan, const metal_device *device,
                           const metal_weights *weights, tandem_step_function *say, void *context) {
    const int32_t tokens = weights->longest < SAMPLE_TOKENS ? weights->longest : SAMPLE_TOKENS;
    const int32_t offsets[2] = {0, tokens};
    bool has_kernel[METAL_KERNEL_COUNT];
    for (int i = 0; i < METAL_KERNEL_COUNT; i++) has_kernel[i] = device->pipelines[i] != NULL;
    explain_walk walk = {say, context, tokens};
    const metal_program program = {.plan = plan,
                                   .weights = weights,
                                   .has_kernel = has_kernel,
                                   .offsets = offsets,
                                   .sequences = 1,
                                   .output = TANDEM_OUTPUT_TOKENS,
                                   .visit = visit_explain,
                                   .context = &walk};
    tandem__metal_program_walk(&program);
}
