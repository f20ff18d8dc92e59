/* SPDX-License-Identifier: Apache-2.0 */
/* The Open Inference Protocol's questions about the server and its models. Every model has the one
 * version "1". Config and statistics are Triton's extensions, with what its clients read of them.
 */
#include "base/fail.h"
#include "server/answers.h"
#include "server/fields.h"
#include "server/kserve.h"
#include "tandem/metrics.h"

#define VERSIONS "/versions/"

/* The last part of the path before the verb, "NAME/versions/7": where the version starts. */
static size_t version_at(tandem_str path) {
    const size_t len = strlen(VERSIONS);
    for (size_t i = path.len; i-- > 0;) {
        if (path.len - i > len && memcmp(path.ptr + i, VERSIONS, len) == 0) return i;
    }
    return path.len;
}

tandem_status kserve_model(server_ask *ask, tandem_error *err) {
    const tandem_str path = ask->path_model;
    const size_t end = version_at(path);
    TANDEM_TRY(server_read_path_model(ask, (tandem_str){path.ptr, end}, SERVER_NEED_ANY, err));
    if (end == path.len) return TANDEM_OK;
    const size_t word_at = end + strlen(VERSIONS);
    const tandem_str word = {path.ptr + word_at, path.len - word_at};
    if (tandem__str_is(word, "1")) return TANDEM_OK;
    ask->field = "version";
    return TANDEM_FAIL(err, NOT_FOUND, "model '%s' has no version '%.*s', it has version '1'",
                       ask->model->name, TANDEM_STR_ARG(word));
}

tandem_status kserve_server_answer(server_ask *ask, const tandem_json *body, tandem_buffer *out,
                                   tandem_error *err) {
    (void)body;
    TANDEM_TRY(server_push(out, "{\"name\":\"tandem\",\"version\":", err));
    TANDEM_TRY(server_push_string(out, ask->catalog->version, err));
    return server_push(out,
                       ",\"extensions\":[\"binary_tensor_data\",\"model_repository\","
                       "\"model_configuration\",\"statistics\",\"parameters\"]}",
                       err);
}

tandem_status kserve_live_answer(server_ask *ask, const tandem_json *body, tandem_buffer *out,
                                 tandem_error *err) {
    (void)ask;
    (void)body;
    return server_push(out, "{\"live\":true}", err);
}

tandem_status kserve_ready_answer(server_ask *ask, const tandem_json *body, tandem_buffer *out,
                                  tandem_error *err) {
    (void)body;
    for (size_t i = 0; i < ask->catalog->count; i++) {
        if (!server_model_is_ready(ask->catalog, &ask->catalog->models[i]))
            return TANDEM_FAIL(err, DEVICE, "model '%s' is not ready",
                               ask->catalog->models[i].name);
    }
    return server_push(out, "{\"ready\":true}", err);
}

tandem_status kserve_model_ready_answer(server_ask *ask, const tandem_json *body,
                                        tandem_buffer *out, tandem_error *err) {
    (void)body;
    TANDEM_TRY(kserve_model(ask, err));
    if (!server_model_is_ready(ask->catalog, ask->model))
        return TANDEM_FAIL(err, DEVICE, "model '%s' is not ready", ask->model->name);
    TANDEM_TRY(server_push(out, "{\"name\":", err));
    TANDEM_TRY(server_push_string(out, ask->model->name, err));
    return server_push(out, ",\"ready\":true}", err);
}

/* Finds the path's model and begins an object with its name. */
static tandem_status begin_model(server_ask *ask, tandem_buffer *out, tandem_error *err) {
    TANDEM_TRY(kserve_model(ask, err));
    TANDEM_TRY(server_push(out, "{\"name\":", err));
    return server_push_string(out, ask->model->name, err);
}

tandem_status kserve_model_answer(server_ask *ask, const tandem_json *body, tandem_buffer *out,
                                  tandem_error *err) {
    (void)body;
    TANDEM_TRY(begin_model(ask, out, err));
    int32_t columns = 0;
    const char *output = kserve_output(ask->model, &columns);
    TANDEM_TRY(server_push(out,
                           ",\"versions\":[\"1\"],\"platform\":\"tandem\",\"inputs\":[{\"name\":"
                           "\"text\",\"datatype\":\"BYTES\",\"shape\":[-1]}",
                           err));
    if (ask->model->info.labels > 0)
        TANDEM_TRY(
            server_push(out, ",{\"name\":\"pair\",\"datatype\":\"BYTES\",\"shape\":[-1]}", err));
    TANDEM_TRY(server_push(out, "],\"outputs\":[{\"name\":\"", err));
    TANDEM_TRY(server_push(out, output, err));
    TANDEM_TRY(server_push(out, "\",\"datatype\":\"FP32\",\"shape\":[-1,", err));
    TANDEM_TRY(server_push_int(out, columns, err));
    return server_push(out, "]}]}", err);
}

tandem_status kserve_config_answer(server_ask *ask, const tandem_json *body, tandem_buffer *out,
                                   tandem_error *err) {
    (void)body;
    TANDEM_TRY(begin_model(ask, out, err));
    int32_t columns = 0;
    const char *output = kserve_output(ask->model, &columns);
    TANDEM_TRY(server_push(out,
                           ",\"platform\":\"tandem\",\"backend\":\"tandem\",\"version_policy\":{"
                           "\"latest\":{\"num_versions\":1}},\"max_batch_size\":",
                           err));
    TANDEM_TRY(server_push_int(out, ask->catalog->limits.batch_texts, err));
    TANDEM_TRY(server_push(out,
                           ",\"input\":[{\"name\":\"text\",\"data_type\":\"TYPE_STRING\","
                           "\"dims\":[1]}",
                           err));
    if (ask->model->info.labels > 0)
        TANDEM_TRY(server_push(out,
                               ",{\"name\":\"pair\",\"data_type\":\"TYPE_STRING\",\"dims\":[1],"
                               "\"optional\":true}",
                               err));
    TANDEM_TRY(server_push(out, "],\"output\":[{\"name\":\"", err));
    TANDEM_TRY(server_push(out, output, err));
    TANDEM_TRY(server_push(out, "\",\"data_type\":\"TYPE_FP32\",\"dims\":[", err));
    TANDEM_TRY(server_push_int(out, columns, err));
    return server_push(out, "]}]}", err);
}

/* ,"name":{"count":N,"ns":N} */
static tandem_status write_statistic(tandem_buffer *out, const char *name, uint64_t count,
                                     double mean_ms, tandem_error *err) {
    TANDEM_TRY(server_push(out, name, err));
    TANDEM_TRY(server_push(out, "{\"count\":", err));
    TANDEM_TRY(server_push_int(out, (int64_t)count, err));
    TANDEM_TRY(server_push(out, ",\"ns\":", err));
    TANDEM_TRY(server_push_int(out, (int64_t)(mean_ms * 1e6 * (double)count), err));
    return server_push(out, "}", err);
}

/* The bands' counts added up, and their mean times. */
static tandem_quantiles add_up(tandem_quantiles a, const tandem_quantiles *b) {
    const uint64_t count = a.count + b->count;
    if (count > 0)
        a.mean_ms = (a.mean_ms * (double)a.count + b->mean_ms * (double)b->count) / (double)count;
    a.count = count;
    return a;
}

static tandem_status write_statistics(const server_model *model, tandem_buffer *out,
                                      tandem_error *err) {
    tandem_metrics metrics = {0};
    if (model->engine != NULL) tandem_engine_metrics(model->engine, &metrics);
    tandem_band_metrics all = {{0}, {0}, {0}, {0}};
    uint64_t batches = 0;
    for (int band = 0; band < TANDEM_BANDS; band++) {
        all.tokenize = add_up(all.tokenize, &metrics.bands[band].tokenize);
        all.queue = add_up(all.queue, &metrics.bands[band].queue);
        all.infer = add_up(all.infer, &metrics.bands[band].infer);
        all.total = add_up(all.total, &metrics.bands[band].total);
    }
    for (int32_t lane = 0; lane < metrics.lane_count; lane++)
        batches += metrics.lanes[lane].batches;
    TANDEM_TRY(server_push(out, "{\"name\":", err));
    TANDEM_TRY(server_push_string(out, model->name, err));
    TANDEM_TRY(
        server_push(out, ",\"version\":\"1\",\"last_inference\":0,\"inference_count\":", err));
    TANDEM_TRY(server_push_int(out, (int64_t)metrics.texts, err));
    TANDEM_TRY(server_push(out, ",\"execution_count\":", err));
    TANDEM_TRY(server_push_int(out, (int64_t)batches, err));
    TANDEM_TRY(server_push(out, ",\"inference_stats\":{", err));
    const uint64_t failed = metrics.failed + metrics.refused + metrics.late + metrics.expired;
    TANDEM_TRY(write_statistic(out, "\"success\":", all.total.count, all.total.mean_ms, err));
    TANDEM_TRY(write_statistic(out, ",\"fail\":", failed, 0.0, err));
    TANDEM_TRY(write_statistic(out, ",\"queue\":", all.queue.count, all.queue.mean_ms, err));
    TANDEM_TRY(
        write_statistic(out, ",\"compute_input\":", all.tokenize.count, all.tokenize.mean_ms, err));
    TANDEM_TRY(
        write_statistic(out, ",\"compute_infer\":", all.infer.count, all.infer.mean_ms, err));
    TANDEM_TRY(write_statistic(out, ",\"compute_output\":", 0, 0.0, err));
    TANDEM_TRY(write_statistic(out, ",\"cache_hit\":", metrics.cached, 0.0, err));
    TANDEM_TRY(write_statistic(out, ",\"cache_miss\":", 0, 0.0, err));
    return server_push(out, "},\"batch_stats\":[]}", err);
}

/* Of the path's model, or of all. */
tandem_status kserve_stats_answer(server_ask *ask, const tandem_json *body, tandem_buffer *out,
                                  tandem_error *err) {
    (void)body;
    const bool is_one = ask->path_model.len > 0;
    if (is_one) TANDEM_TRY(kserve_model(ask, err));
    TANDEM_TRY(server_push(out, "{\"model_stats\":[", err));
    const size_t first = is_one ? ask->model->index : 0;
    const size_t end = is_one ? first + 1 : ask->catalog->count;
    for (size_t i = first; i < end; i++) {
        if (i > first) TANDEM_TRY(server_push(out, ",", err));
        TANDEM_TRY(write_statistics(&ask->catalog->models[i], out, err));
    }
    return server_push(out, "]}", err);
}

tandem_status kserve_index_answer(server_ask *ask, const tandem_json *body, tandem_buffer *out,
                                  tandem_error *err) {
    bool only_ready = false;
    if (body != NULL) {
        TANDEM_TRY(server_body_object(ask, body, err));
        TANDEM_TRY(server_field_bool(ask, body, "ready", &only_ready, err));
    }
    TANDEM_TRY(server_push(out, "[", err));
    bool is_first = true;
    for (size_t i = 0; i < ask->catalog->count; i++) {
        const server_model *model = &ask->catalog->models[i];
        const bool is_model_ready = server_model_is_ready(ask->catalog, model);
        if (only_ready && !is_model_ready) continue;
        TANDEM_TRY(server_push(out, is_first ? "{\"name\":" : ",{\"name\":", err));
        TANDEM_TRY(server_push_string(out, model->name, err));
        TANDEM_TRY(server_push(out,
                               is_model_ready
                                   ? ",\"version\":\"1\",\"state\":\"READY\",\"reason\":\"\"}"
                                   : ",\"version\":\"1\",\"state\":\"UNAVAILABLE\",\"reason\":"
                                     "\"not ready\"}",
                               err));
        is_first = false;
    }
    return server_push(out, "]", err);
}
