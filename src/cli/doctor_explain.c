/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/doctor_explain.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes_text.h"
#include "base/fail.h"
#include "base/json_text.h"
#include "tandem/engine.h"

#define OP_CELLS    30
#define WHERE_CELLS 10

/* Where the steps of a lane go. */
typedef struct steps {
    tandem_buffer *out;
    bool is_json;
    int count;
    tandem_status status;
    tandem_error *err;
} steps;

static tandem_status push_member(tandem_buffer *out, const char *before, const char *value,
                                 tandem_error *err) {
    TANDEM_TRY(tandem__buffer_push(out, before, strlen(before), err));
    return tandem__json_text_string(out, tandem__str(value), err);
}

static tandem_status push_step(const steps *to, const char *op, const char *where,
                               const char *how) {
    if (!to->is_json) {
        return tandem__buffer_printf(to->out, to->err, "  %-*s %-*s %s\n", OP_CELLS, op,
                                     WHERE_CELLS, where, how);
    }
    TANDEM_TRY(push_member(to->out, to->count > 0 ? ",{\"op\":" : "{\"op\":", op, to->err));
    TANDEM_TRY(push_member(to->out, ",\"where\":", where, to->err));
    TANDEM_TRY(push_member(to->out, ",\"how\":", how, to->err));
    return tandem__buffer_push(to->out, "}", 1, to->err);
}

static void on_step(void *context, const char *op, const char *where, const char *how) {
    steps *to = context;
    if (to->status == TANDEM_OK) to->status = push_step(to, op, where, how);
    to->count++;
}

static tandem_status push_plan(const tandem_model_info *model, bool is_json, tandem_buffer *out,
                               tandem_error *err) {
    if (is_json) {
        return tandem__buffer_printf(
            out, err,
            ",\"explain\":{\"plan\":{\"family\":\"%s\",\"layers\":%d,\"hidden\":%d,\"heads\":%d,"
            "\"ffn\":%d,\"activation\":\"%s\",\"positions\":\"%s\",\"positions_max\":%d,"
            "\"max_length\":%d,\"pooling\":\"%s\",\"normalized\":%s,\"dimensions\":%d,"
            "\"labels\":%d,\"score\":\"%s\",\"embedding\":%s,\"sparse\":%s,"
            "\"parameters\":%" PRId64 "},\"lanes\":[",
            model->family, model->layers, model->hidden, model->heads, model->ffn,
            model->activation, model->positions, model->positions_max, model->max_length,
            model->pooling, model->is_normalized ? "true" : "false", model->dimensions,
            model->labels, model->score, model->has_embedding ? "true" : "false",
            model->has_sparse ? "true" : "false", model->parameters);
    }
    char labels[48] = "";
    if (model->labels > 0)
        (void)snprintf(labels, sizeof labels, ", %d labels, score %s", model->labels, model->score);
    return tandem__buffer_printf(
        out, err,
        "plan       %s: %d layers, hidden %d, %d heads, ffn %d, activation %s,\n"
        "           positions %s up to %d, texts up to %d tokens, pooling %s%s, %d dimensions,\n"
        "           %" PRId64 " parameters%s%s\n",
        model->family, model->layers, model->hidden, model->heads, model->ffn, model->activation,
        model->positions, model->positions_max, model->max_length, model->pooling,
        model->is_normalized ? ", normalized" : "", model->dimensions, model->parameters, labels,
        model->has_sparse ? ", sparse vectors" : "");
}

static tandem_status push_lane_head(const tandem_lane_info *lane, const char *before, bool is_json,
                                    tandem_buffer *out, tandem_error *err) {
    if (is_json) {
        return tandem__buffer_printf(
            out, err,
            "%s{\"name\":\"%s\",\"dtype\":\"%s\",\"weights_bytes\":%" PRId64
            ",\"workspace_bytes\":%" PRId64 ",\"tokens_max\":%d,\"check\":\"%s\",\"steps\":[",
            before, lane->name, lane->dtype, lane->weights_bytes, lane->workspace_bytes,
            lane->tokens_max, lane->check);
    }
    return tandem__buffer_printf(
        out, err, "lane %-5s %s, weights %s, workspace %s, up to %d tokens a batch%s%s\n",
        lane->name, lane->dtype, tandem__bytes_text(lane->weights_bytes).text,
        tandem__bytes_text(lane->workspace_bytes).text, lane->tokens_max,
        lane->check[0] == '\0' ? "" : "; checked: ", lane->check);
}

static tandem_status push_refusal(const char *name, const char *why, const char *before,
                                  bool is_json, tandem_buffer *out, tandem_error *err) {
    if (!is_json) return tandem__buffer_printf(out, err, "lane %-5s %s\n", name, why);
    TANDEM_TRY(tandem__buffer_printf(out, err, "%s{\"name\":\"%s\"", before, name));
    TANDEM_TRY(push_member(out, ",\"reason\":", why, err));
    return tandem__buffer_push(out, "}", 1, err);
}

/* The steps are gathered first: only then is the lane open, and its sizes known. */
static tandem_status push_lane(tandem_engine *engine, int index, const char *before, bool is_json,
                               tandem_buffer *out, tandem_error *err) {
    tandem_lane_info lanes[TANDEM_LANES_MAX];
    tandem_buffer gathered;
    tandem_error cause = {0};
    tandem__buffer_init(&gathered, out->bytes_max);
    steps to = {.out = &gathered, .is_json = is_json, .err = err};
    (void)tandem_lanes(engine, lanes);
    const tandem_status said =
        tandem_engine_explain(engine, lanes[index].name, on_step, &to, &cause);
    (void)tandem_lanes(engine, lanes);
    tandem_status status = to.status;
    if (said != TANDEM_OK) {
        status = push_refusal(lanes[index].name, cause.message, before, is_json, out, err);
    } else if (status == TANDEM_OK) {
        status = push_lane_head(&lanes[index], before, is_json, out, err);
        if (status == TANDEM_OK) status = tandem__buffer_push(out, gathered.ptr, gathered.len, err);
        if (status == TANDEM_OK && is_json) status = tandem__buffer_push(out, "]}", 2, err);
    }
    tandem__buffer_deinit(&gathered);
    return status;
}

tandem_status cli_explain_engine(tandem_engine *engine, bool is_json, tandem_buffer *out,
                                 tandem_error *err) {
    tandem_model_info model;
    tandem_lane_info lanes[TANDEM_LANES_MAX];
    const char *before = "";
    tandem_engine_model(engine, &model);
    TANDEM_TRY(push_plan(&model, is_json, out, err));
    const int count = tandem_lanes(engine, lanes);
    for (int i = 0; i < count; i++) {
        if (!lanes[i].is_available) continue;
        TANDEM_TRY(push_lane(engine, i, before, is_json, out, err));
        before = ",";
    }
    return is_json ? tandem__buffer_push(out, "]}", 2, err) : TANDEM_OK;
}

tandem_status cli_doctor_explain(const char *model, bool is_json, tandem_buffer *out,
                                 tandem_error *err) {
    /* The reference runs every plan, so that a lane that does not can still be asked why. */
    const tandem_engine_options options = {.model = model, .lane = "ref"};
    tandem_engine *engine = NULL;
    TANDEM_TRY(tandem_engine_open(&options, &engine, err));
    const tandem_status status = cli_explain_engine(engine, is_json, out, err);
    tandem_engine_close(engine);
    return status;
}
