/* SPDX-License-Identifier: Apache-2.0 */
/* Which kernel each step of a layer runs, from the table that the lane dispatches by, so that what
 * is said is what is called. */
#include <stdio.h>

#include "backend/cpu/cpu_internal.h"

#define TEXT_BYTES 200

typedef struct explanation {
    const cpu_lane *lane;
    tandem_step_function *say;
    void *context;
    char where[32];
} explanation;

#define NAME_OF(kernel) tandem_kernels_name((tandem_kernel_function *)(kernel))

static void say(const explanation *e, const char *op, const char *how) {
    e->say(e->context, op, e->where, how);
}

/* A product: its shape, its tiles and what is fused to its end. */
static void say_product(const explanation *e, const char *op, const cpu_linear *linear,
                        tandem_act act, const char *also) {
    if (linear->w.panels == NULL) return;
    const tandem_gemm_kernels *gemm = &e->lane->kernels.gemm;
    const tandem_gemm_kernel *wide = &gemm->wide[linear->w.dtype];
    char label[TEXT_BYTES];
    char how[4 * TEXT_BYTES];
    char few[TEXT_BYTES] = "";
    char fused[TEXT_BYTES] = "";
    (void)snprintf(label, sizeof label, "%s %d x %d", op, linear->w.n, linear->w.k);
    if (wide->run != NULL)
        (void)snprintf(few, sizeof few, " (up to %d rows: %s)", wide->mr, NAME_OF(wide->run));
    if (act != TANDEM_ACT_NONE)
        (void)snprintf(fused, sizeof fused, ", %s", NAME_OF(gemm->activation.apply[act]));
    (void)snprintf(how, sizeof how, "%s%s%s%s%s", NAME_OF(gemm->tall[linear->w.dtype].run), few,
                   linear->bias == NULL ? "" : ", bias", fused, also);
    say(e, label, how);
}

static void say_norm(const explanation *e, const char *op, const cpu_norm *norm) {
    if (norm->gamma != NULL) say(e, op, NAME_OF(e->lane->kernels.norm.layernorm));
}

static void say_embeddings(const explanation *e) {
    const cpu_lane *lane = e->lane;
    const cpu_weights *weights = &lane->weights;
    char how[TEXT_BYTES];
    const bool is_norm = weights->embedding_norm.gamma != NULL;
    const bool is_f16 = weights->word.dtype == TANDEM_DTYPE_F16;
    (void)snprintf(how, sizeof how, "%s, %s%s%s",
                   is_f16 ? NAME_OF(lane->kernels.embed.convert.f16_f32) : "memcpy",
                   NAME_OF(lane->kernels.embed.add), is_norm ? ", " : "",
                   is_norm ? NAME_OF(lane->kernels.norm.layernorm) : "");
    say(e, "embeddings", how);
    say_product(e, "embedding projection", &weights->embedding_projection, TANDEM_ACT_NONE, "");
}

static void say_layer(const explanation *e, const cpu_layer *layer) {
    const cpu_lane *lane = e->lane;
    const tandem_act act = (tandem_act)lane->plan->activation;
    const bool has_gate = layer->gate.w.panels != NULL;
    const bool is_first = lane->plan->is_norm_first;
    if (is_first) say_norm(e, "norm before attention", &layer->attention_norm);
    say_product(e, "query, key, value", &layer->qkv, TANDEM_ACT_NONE, "");
    say(e, "attention", NAME_OF(lane->kernels.attention.run));
    say_product(e, "attention output", &layer->output, TANDEM_ACT_NONE, ", residual");
    say_norm(e, is_first ? "norm before feed-forward" : "norm after attention",
             is_first ? &layer->ffn_norm : &layer->attention_norm);
    say_product(e, "feed-forward up", &layer->up, has_gate ? TANDEM_ACT_NONE : act, "");
    say_product(e, "feed-forward gate", &layer->gate, act, ", product with up in plain C");
    say_product(e, "feed-forward down", &layer->down, TANDEM_ACT_NONE, ", residual");
    if (!is_first) say_norm(e, "norm after feed-forward", &layer->ffn_norm);
}

static void say_module(const explanation *e, const tandem_plan_dense *module,
                       const cpu_dense *weights) {
    const bool is_late = tandem__activation_is_late(module->activation);
    const tandem_act act = is_late ? TANDEM_ACT_NONE : (tandem_act)module->activation;
    say_product(e, "dense", &weights->linear, act, is_late ? ", activation in plain C" : "");
    say_product(e, "residual", &weights->residual, TANDEM_ACT_NONE, "");
    say_norm(e, "module norm", &weights->norm);
    if (module->kind == TANDEM_DENSE_UNIT) say(e, "normalize", "plain C");
}

void tandem__cpu_explain(const tandem_lane *opaque, tandem_step_function *function, void *context) {
    const cpu_lane *lane = (const cpu_lane *)(const void *)opaque;
    const cpu_weights *weights = &lane->weights;
    explanation e = {.lane = lane, .say = function, .context = context};
    (void)snprintf(e.where, sizeof e.where, "%d thread%s", lane->threads,
                   lane->threads == 1 ? "" : "s");
    say_embeddings(&e);
    if (lane->plan->layer_count > 0) say_layer(&e, &weights->layers[0]);
    say_norm(&e, "final norm", &weights->final_norm);
    if (lane->plan->pooling != TANDEM_POOLING_NONE) say(&e, "pooling", "plain C");
    for (int i = 0; i < lane->plan->dense_count; i++)
        say_module(&e, &lane->plan->dense[i], &weights->dense[i]);
    say_product(&e, "head", &weights->head_dense, (tandem_act)lane->plan->head_activation, "");
    say_product(&e, "classifier", &weights->classifier, TANDEM_ACT_NONE, "");
    say_product(&e, "language model head", &weights->lm_dense,
                (tandem_act)lane->plan->lm_activation, "");
    say_product(&e, "words", &weights->lm_decoder, TANDEM_ACT_NONE, ", pooling in plain C");
}
