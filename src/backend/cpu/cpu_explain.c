/* SPDX-License-Identifier: Apache-2.0 */
/* Which kernel each step of a layer runs. */
#include <stdio.h>

#include "backend/cpu/cpu_internal.h"

enum { HOW_BYTES = 200 };

#define NAME_OF(kernel) tandem_kernels_name((tandem_kernel_function *)(kernel))

static void say(const tandem_explanation *e, const char *op, const char *how) {
    e->say(e->context, op, e->where, how);
}

static void say_embeddings(const tandem_explanation *e, const cpu_lane *lane) {
    const cpu_weights *weights = &lane->weights;
    char how[HOW_BYTES];
    const bool is_norm = weights->embedding_norm.gamma != NULL;
    const bool is_f16 = weights->word.dtype == TANDEM_DTYPE_F16;
    (void)snprintf(how, sizeof how, "%s, %s%s%s",
                   is_f16 ? NAME_OF(lane->kernels.embed.convert.f16_f32) : "memcpy",
                   NAME_OF(lane->kernels.embed.add), is_norm ? ", " : "",
                   is_norm ? NAME_OF(lane->kernels.norm.layernorm) : "");
    say(e, "embeddings", how);
    tandem__explain_product(e, "embedding projection", &weights->embedding_projection,
                            TANDEM_ACT_NONE, "");
}

static void say_layer(const tandem_explanation *e, const cpu_lane *lane, const cpu_layer *layer) {
    const tandem_act act = (tandem_act)lane->plan->activation;
    const bool has_gate = layer->gate.w.n > 0;
    const bool is_first = lane->plan->is_norm_first;
    if (is_first) tandem__explain_norm(e, "norm before attention", &layer->attention_norm);
    tandem__explain_product(e, "query, key, value", &layer->qkv, TANDEM_ACT_NONE, "");
    say(e, "attention", NAME_OF(lane->kernels.attention.run));
    tandem__explain_product(e, "attention output", &layer->output, TANDEM_ACT_NONE, ", residual");
    tandem__explain_norm(e, is_first ? "norm before feed-forward" : "norm after attention",
                         is_first ? &layer->ffn_norm : &layer->attention_norm);
    tandem__explain_product(e, "feed-forward up", &layer->up, has_gate ? TANDEM_ACT_NONE : act, "");
    tandem__explain_product(e, "feed-forward gate", &layer->gate, act,
                            ", product with up in plain C");
    tandem__explain_product(e, "feed-forward down", &layer->down, TANDEM_ACT_NONE, ", residual");
    if (!is_first) tandem__explain_norm(e, "norm after feed-forward", &layer->ffn_norm);
}

void tandem__cpu_explain(const tandem_lane *opaque, tandem_step_function *function, void *context) {
    const cpu_lane *lane = (const cpu_lane *)(const void *)opaque;
    tandem_explanation e = {.kernels = &lane->kernels, .say = function, .context = context};
    (void)snprintf(e.where, sizeof e.where, "%d thread%s", lane->threads,
                   lane->threads == 1 ? "" : "s");
    say_embeddings(&e, lane);
    if (lane->plan->layer_count > 0) say_layer(&e, lane, &lane->weights.layers[0]);
    tandem__explain_norm(&e, "final norm", &lane->weights.final_norm);
    tandem__finish_explain(lane->finish, function, context);
}
