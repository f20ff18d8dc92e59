/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/session.h"

#include <inttypes.h>
#include <string.h>

#include "base/fail.h"

#define CUTS_SAID 5 /* texts that are named one by one */

tandem_status cli_session_open(cli_session *session, const cli_settings *settings,
                               tandem_error *err) {
    *session = (cli_session){.settings = settings};
    const tandem_engine_options options = {
        .model = settings->shape == NULL ? settings->model : NULL,
        .shape = settings->shape,
        .lane = settings->lane,
        .dtype = settings->dtype,
        .threads = (int32_t)settings->threads,
        .max_length = (int32_t)settings->max_length,
    };
    return tandem_engine_open(&options, &session->engine, err);
}

void cli_session_close(cli_session *session) {
    tandem_result_deinit(&session->result);
    tandem_engine_close(session->engine);
    *session = (cli_session){.engine = NULL};
}

static void say_lane(cli_session *session) {
    const char *lane = session->settings->lane;
    if (session->is_lane_said || session->result.lane == NULL) return;
    session->is_lane_said = true;
    if (session->settings->is_quiet || strcmp(lane, "auto") == 0) return;
    if (strcmp(lane, session->result.lane) == 0) return;
    cli_note("lane %s serves instead of %s: %s", session->result.lane, lane,
             session->result.reason);
}

void cli_cut_say(const cli_input *input, size_t i, const tandem_text_result *cut, const char *hint,
                 uint64_t *count) {
    *count += 1;
    if (input->settings->is_quiet || *count > CUTS_SAID) return;
    cli_note("%s: cut to %d tokens, %d dropped (%s)", cli_input_place(input, i).text, cut->tokens,
             cut->dropped, hint);
}

void cli_cuts_end(const cli_settings *settings, uint64_t count) {
    if (settings->is_quiet || count <= CUTS_SAID) return;
    cli_note("%" PRIu64 " more texts were cut, %" PRIu64 " in all", count - CUTS_SAID, count);
}

static void say_cuts(cli_session *session, const cli_input *input) {
    const tandem_result *result = &session->result;
    for (size_t i = 0; i < result->count && result->truncated > 0; i++) {
        if (result->texts[i].dropped == 0) continue;
        const char *hint = session->cut_hint == NULL ? "--long split keeps all" : session->cut_hint;
        cli_cut_say(input, i, &result->texts[i], hint, &session->cut_count);
    }
}

static tandem_status check_texts(const cli_session *session, const cli_input *input,
                                 const tandem_error *cause, tandem_error *err) {
    const tandem_result *result = &session->result;
    if (result->failed == 0) return TANDEM_OK;
    const tandem_status status = result->texts[result->first_failed].status;
    return cli_input_fail(input, result->first_failed, status, cause->message, err);
}

tandem_request cli_session_request(const cli_session *session, const cli_input *input) {
    const cli_settings *settings = session->settings;
    const char *long_texts = settings->long_texts;
    return (tandem_request){
        .texts = input->texts,
        .count = input->count,
        .lane = settings->lane,
        .prompt_name = settings->prompt,
        .max_length = (int32_t)settings->max_length,
        .dimensions = (int32_t)settings->dimensions,
        .skip_normalize = settings->skip_normalize,
        .refuse_long = strcmp(long_texts, "error") == 0,
        .split_long = strcmp(long_texts, "split") == 0,
    };
}

tandem_status cli_session_infer(cli_session *session, const cli_input *input,
                                const tandem_request *request, tandem_error *err) {
    tandem_error cause = {0};
    const tandem_status status =
        tandem_engine_infer(session->engine, request, &session->result, &cause);
    if (status != TANDEM_OK) {
        return tandem__fail(err, status, __FILE__, __LINE__, "%s", cause.message);
    }
    TANDEM_TRY(check_texts(session, input, &cause, err));
    say_lane(session);
    say_cuts(session, input);
    session->text_count += session->result.count;
    session->token_count += (uint64_t)session->result.tokens;
    session->infer_ns += session->result.infer_ns + session->result.tokenize_ns;
    return TANDEM_OK;
}

tandem_status cli_session_embed(cli_session *session, const cli_input *input, tandem_error *err) {
    const tandem_request request = cli_session_request(session, input);
    return cli_session_infer(session, input, &request, err);
}

/* The commands that a model is for, for messages. */
static const char *fitting(const tandem_model_info *info) {
    if (info->labels == 1) return "tandem rerank is for it";
    if (info->labels > 1) return "tandem classify is for it";
    if (info->has_embedding) return "tandem embed and tandem similarity are for it";
    return "tandem embed --sparse and tandem rerank are for it";
}

tandem_status cli_session_demand(const cli_session *session, cli_need need, tandem_error *err) {
    tandem_model_info info;
    tandem_engine_model(session->engine, &info);
    switch (need) {
    case CLI_NEED_EMBEDDING:
        if (info.has_embedding) return TANDEM_OK;
        return TANDEM_FAIL(err, UNSUPPORTED, "model %s has no embeddings but sparse ones: %s",
                           info.name, fitting(&info));
    case CLI_NEED_SPARSE:
        if (info.has_sparse) return TANDEM_OK;
        return TANDEM_FAIL(err, UNSUPPORTED,
                           "model %s has no head of a masked language model, which --sparse "
                           "needs: %s",
                           info.name, fitting(&info));
    case CLI_NEED_CLASSIFIER:
        if (info.labels > 0) return TANDEM_OK;
        return TANDEM_FAIL(err, UNSUPPORTED, "model %s is no sequence classifier: %s", info.name,
                           fitting(&info));
    case CLI_NEED_RELEVANCE:
        if (info.labels <= 1) return TANDEM_OK;
        return TANDEM_FAIL(err, UNSUPPORTED,
                           "model %s has %d labels, where rerank needs one score a pair: %s",
                           info.name, info.labels, fitting(&info));
    }
    return TANDEM_OK;
}

void cli_session_report(const cli_session *session) {
    const cli_settings *settings = session->settings;
    if (settings->is_quiet) return;
    cli_cuts_end(settings, session->cut_count);
    if (settings->verbosity == 0 || session->result.lane == NULL) return;
    const double seconds = (double)session->infer_ns * 1e-9;
    cli_note("lane %s, %s: %" PRIu64 " texts, %" PRIu64 " tokens in %.3f s (%s)",
             session->result.lane, session->result.dtype, session->text_count, session->token_count,
             seconds, session->result.reason);
}
