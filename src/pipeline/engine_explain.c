/* SPDX-License-Identifier: Apache-2.0 */
/* What an engine says of itself: the plan in words, and what runs where inside a lane. */
#include <stdio.h>

#include "base/fail.h"
#include "pipeline/engine_lanes.h"
#include "pipeline/pipeline_internal.h"

static const char *activation_word(tandem_activation activation) {
    switch (activation) {
    case TANDEM_ACTIVATION_NONE:
        return "none";
    case TANDEM_ACTIVATION_GELU_ERF:
        return "gelu";
    case TANDEM_ACTIVATION_GELU_TANH:
        return "gelu_tanh";
    case TANDEM_ACTIVATION_SILU:
        return "silu";
    case TANDEM_ACTIVATION_RELU:
        return "relu";
    case TANDEM_ACTIVATION_TANH:
        return "tanh";
    case TANDEM_ACTIVATION_SIGMOID: /* of modules alone, from here on */
    case TANDEM_ACTIVATION_LEAKY_RELU:
    case TANDEM_ACTIVATION_ELU:
    case TANDEM_ACTIVATION_SELU:
    case TANDEM_ACTIVATION_MISH:
    case TANDEM_ACTIVATION_SOFTPLUS:
        break;
    }
    return "unknown";
}

static const char *pooling_word(tandem_pooling pooling) {
    switch (pooling) {
    case TANDEM_POOLING_NONE:
        return "none";
    case TANDEM_POOLING_MEAN:
        return "mean";
    case TANDEM_POOLING_CLS:
        return "cls";
    case TANDEM_POOLING_MAX:
        return "max";
    case TANDEM_POOLING_LAST:
        return "lasttoken";
    case TANDEM_POOLING_WEIGHTED_MEAN:
        return "weightedmean";
    case TANDEM_POOLING_MEAN_SQRT:
        return "mean_sqrt_len_tokens";
    case TANDEM_POOLING_SPLADE:
        return "splade";
    }
    return "unknown";
}

void tandem__plan_words(const tandem_plan *plan, tandem_model_info *info) {
    info->activation = activation_word(plan->activation);
    info->positions = tandem__position_word(plan->position);
}

void tandem__pooling_words(const tandem_plan *plan, char *text, size_t size) {
    size_t len = 0;
    for (int i = 0; i <= plan->joined_count && len < size; i++) {
        const int put = snprintf(text + len, size - len, "%s%s", i == 0 ? "" : "+",
                                 pooling_word(tandem__plan_pooling(plan, i)));
        if (put > 0) len += (size_t)put;
    }
}

tandem_status tandem_engine_explain(tandem_engine *engine, const char *lane,
                                    tandem_explain_function *say, void *context,
                                    tandem_error *err) {
    engine_lane *found = NULL;
    char reason[PIPELINE_REASON_BYTES];
    TANDEM_TRY(tandem__engine_lane(engine, lane, TANDEM_FALLBACK_NONE, &found, reason, err));
    if (found->backend->explain == NULL)
        return TANDEM_FAIL(err, UNSUPPORTED, "lane %s does not say", found->backend->name);
    found->backend->explain(found->lane, say, context);
    return TANDEM_OK;
}
