/* SPDX-License-Identifier: Apache-2.0 */
/* Text Embeddings Inference: GET /info, /health and /ping. /info is of the first model. */
#include "base/fail.h"
#include "server/answers.h"
#include "server/fields.h"
#include "server/routes_tei.h"

static const char *dtype_word(const char *dtype) {
    if (dtype == NULL) return "float16";
    if (strcmp(dtype, "f16") == 0) return "float16";
    if (strcmp(dtype, "f32") == 0) return "float32";
    return strcmp(dtype, "bf16") == 0 ? "bfloat16" : dtype;
}

/* "name":"text", or null. */
static tandem_status write_text(tandem_buffer *out, const char *name, const char *text,
                                tandem_error *err) {
    TANDEM_TRY(server_push(out, name, err));
    if (text == NULL || text[0] == '\0') return server_push(out, "null", err);
    return server_push_string(out, text, err);
}

static tandem_status write_int(tandem_buffer *out, const char *name, int64_t value,
                               tandem_error *err) {
    TANDEM_TRY(server_push(out, name, err));
    return server_push_int(out, value, err);
}

static tandem_status write_labels(tandem_buffer *out, const tandem_model_info *info,
                                  tandem_error *err) {
    TANDEM_TRY(server_push(out, "{\"id2label\":{", err));
    for (int32_t i = 0; i < info->labels; i++) {
        TANDEM_TRY(server_push(out, i == 0 ? "\"" : ",\"", err));
        TANDEM_TRY(server_push_int(out, i, err));
        TANDEM_TRY(server_push(out, "\":", err));
        TANDEM_TRY(server_push_string(out, info->label_names[i], err));
    }
    TANDEM_TRY(server_push(out, "},\"label2id\":{", err));
    for (int32_t i = 0; i < info->labels; i++) {
        if (i > 0) TANDEM_TRY(server_push(out, ",", err));
        TANDEM_TRY(server_push_string(out, info->label_names[i], err));
        TANDEM_TRY(server_push(out, ":", err));
        TANDEM_TRY(server_push_int(out, i, err));
    }
    return server_push(out, "}}", err);
}

static tandem_status write_type(tandem_buffer *out, const tandem_model_info *info,
                                tandem_error *err) {
    if (info->labels > 0) {
        TANDEM_TRY(server_push(out,
                               info->labels == 1 ? ",\"model_type\":{\"reranker\":"
                                                 : ",\"model_type\":{\"classifier\":",
                               err));
        TANDEM_TRY(write_labels(out, info, err));
        return server_push(out, "}", err);
    }
    TANDEM_TRY(server_push(out, ",\"model_type\":{\"embedding\":{\"pooling\":", err));
    TANDEM_TRY(server_push_string(out, info->pooling == NULL ? "mean" : info->pooling, err));
    return server_push(out, "}}", err);
}

static int64_t batch_tokens(const tandem_engine *engine) {
    tandem_lane_info lanes[TANDEM_LANES_MAX];
    const int count = engine == NULL ? 0 : tandem_lanes(engine, lanes);
    int64_t most = 0;
    for (int i = 0; i < count; i++) {
        if (lanes[i].is_open && lanes[i].tokens_max > most) most = lanes[i].tokens_max;
    }
    return most;
}

tandem_status server_tei_info_answer(server_ask *ask, const tandem_json *body, tandem_buffer *out,
                                     tandem_error *err) {
    (void)body;
    const server_catalog *catalog = ask->catalog;
    TANDEM_TRY(server_catalog_find(catalog, TANDEM_STR(""), SERVER_NEED_ANY, &ask->model, err));
    const tandem_model_info *info = &ask->model->info;
    tandem_machine machine;
    tandem_machine_describe(&machine);
    const char *id = ask->model->id == NULL ? ask->model->name : ask->model->id;
    TANDEM_TRY(write_text(out, "{\"model_id\":", id, err));
    TANDEM_TRY(write_text(out, ",\"model_sha\":", info->revision, err));
    TANDEM_TRY(write_text(out, ",\"model_dtype\":", dtype_word(ask->model->dtype), err));
    TANDEM_TRY(write_text(out, ",\"served_model_name\":", ask->model->name, err));
    TANDEM_TRY(write_type(out, info, err));
    TANDEM_TRY(write_int(out, ",\"max_concurrent_requests\":", catalog->limits.connections, err));
    TANDEM_TRY(write_int(out, ",\"max_input_length\":", info->max_length, err));
    TANDEM_TRY(write_int(out, ",\"max_batch_tokens\":", batch_tokens(ask->model->engine), err));
    TANDEM_TRY(server_push(out, ",\"max_batch_requests\":null", err));
    TANDEM_TRY(write_int(out, ",\"max_client_batch_size\":", catalog->limits.batch_texts, err));
    TANDEM_TRY(server_push(out, ",\"auto_truncate\":", err));
    TANDEM_TRY(server_push(out, catalog->limits.refuse_long ? "false" : "true", err));
    TANDEM_TRY(write_int(out, ",\"tokenization_workers\":", machine.processors, err));
    TANDEM_TRY(write_text(out, ",\"version\":", catalog->version, err));
    return server_push(out, ",\"sha\":null,\"docker_label\":null}", err);
}

/* An empty answer where every model has computed something of late: see tandem_engine_is_ready. */
tandem_status server_tei_health_answer(server_ask *ask, const tandem_json *body, tandem_buffer *out,
                                       tandem_error *err) {
    (void)body;
    (void)out;
    for (size_t i = 0; i < ask->catalog->count; i++) {
        const server_model *model = &ask->catalog->models[i];
        if (!server_model_is_ready(ask->catalog, model))
            return TANDEM_FAIL(
                err, DEVICE, "unhealthy: model %s has computed nothing of late, or the server ends",
                model->name);
    }
    ask->answer_type = "text/plain; charset=utf-8";
    return TANDEM_OK;
}
