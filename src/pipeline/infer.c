/* SPDX-License-Identifier: Apache-2.0 */
/* A request before and after the lanes: texts or ids → units → (dispatch.c) → finished vectors.
 *
 *     texts ─ tokenize.c ─┐
 *     ids ────────────────┴─ units ─ scheduler ─ batches of several requests ─ rows ─ result
 *
 * A text is one unit, or several windows whose vectors are averaged by their tokens. Units keep the
 * order of the texts: nothing is padded, so nothing is won by sorting them. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/dtype.h"
#include "base/fail.h"
#include "base/mem.h"
#include "pipeline/engine_lanes.h"
#include "pipeline/pipeline_internal.h"

#define TEXTS_MAX     ((size_t)1 << 24) /* of one request */
#define LANE_CLASSES  (TANDEM_LANES_LATENCY | TANDEM_LANES_THROUGHPUT | TANDEM_LANES_BACKGROUND)
#define SPARSE_FLOATS ((size_t)4 << 20) /* most of one batch's rows of the whole vocabulary */

/* Scales [n] to length 1; a zero vector stays zero. The sum is double, in index order. */
static void normalize(float *vector, int32_t n) {
    double sum = 0.0;
    for (int32_t i = 0; i < n; i++) sum += (double)vector[i] * (double)vector[i];
    if (sum <= 0.0) return;
    const double scale = 1.0 / sqrt(sum);
    for (int32_t i = 0; i < n; i++) vector[i] = (float)((double)vector[i] * scale);
}

/* Ids that the caller gives become units over store 0. */
static tandem_status take_ids(const pipeline_job *job, tandem_error *err) {
    const tandem_request *request = &job->request;
    const tandem_plan *plan = job->engine->source->plan;
    struct tandem_result_memory *memory = job->result->memory;
    pipeline_store *store = &memory->stores[0];
    const int32_t *offsets = request->id_offsets;
    store->ids.len = 0;
    store->types.len = 0;
    memory->units.len = 0;
    for (size_t i = 0; i < request->count; i++) {
        const int64_t length = (int64_t)offsets[i + 1] - offsets[i];
        if (length < 1 || length > plan->positions_max) {
            return TANDEM_FAIL(err, INVALID, "ids of text %zu: %lld tokens, expected 1 to %d", i,
                               (long long)length, plan->positions_max);
        }
        const int32_t tokens = (int32_t)length;
        for (int32_t t = offsets[i]; t < offsets[i + 1]; t++) {
            if (request->ids[t] >= 0 && request->ids[t] < plan->vocab) continue;
            return TANDEM_FAIL(err, INVALID, "ids of text %zu: %d, expected 0 to %d", i,
                               request->ids[t], plan->vocab - 1);
        }
        const pipeline_unit unit = {
            .text = (uint32_t)i, .id_start = (size_t)offsets[i], .tokens = tokens};
        TANDEM_TRY(tandem__buffer_push(&memory->units, &unit, sizeof unit, err));
        job->result->texts[i].tokens = tokens;
    }
    const size_t total = (size_t)offsets[request->count] * sizeof(int32_t);
    return tandem__buffer_push(&store->ids, request->ids, total, err);
}

/* Gives each unit its row and the result its vectors, all zero. */
static tandem_status place_rows(const pipeline_job *job, tandem_error *err) {
    tandem_result *result = job->result;
    struct tandem_result_memory *memory = result->memory;
    pipeline_unit *units = (void *)memory->units.ptr;
    const size_t unit_count = memory->units.len / sizeof *units;
    const bool is_by_token = job->output == TANDEM_OUTPUT_TOKENS;
    size_t rows = is_by_token ? 0 : job->request.count;
    for (size_t u = 0; u < unit_count; u++) {
        tandem_text_result *text = &result->texts[units[u].text];
        units[u].row = is_by_token ? rows : units[u].text;
        if (is_by_token && (u == 0 || units[u - 1].text != units[u].text)) {
            text->first_row = (int32_t)rows;
        }
        if (is_by_token) rows += (size_t)units[u].tokens;
        if (rows > INT32_MAX) {
            return TANDEM_FAIL(err, CAPACITY, "over %d token vectors in one request", INT32_MAX);
        }
        result->tokens += units[u].tokens;
    }
    result->rows = rows;
    result->dimensions = job->dimensions;
    if (job->output == TANDEM_OUTPUT_SPARSE) return tandem__sparse_begin(result, err);
    if (is_by_token) {
        memory->row_ids.len = 0;
        TANDEM_TRY(tandem__buffer_reserve(&memory->row_ids, (rows + 1) * sizeof(int32_t), err));
        memset(memory->row_ids.ptr, 0, rows * sizeof(int32_t));
        result->ids = (void *)memory->row_ids.ptr;
    }
    const size_t bytes = rows * (size_t)job->dimensions * sizeof(float);
    memory->vectors.len = 0;
    TANDEM_TRY(tandem__buffer_reserve(&memory->vectors, bytes + sizeof(float), err));
    memset(memory->vectors.ptr, 0, bytes);
    result->vectors = (void *)memory->vectors.ptr;
    return TANDEM_OK;
}

/* Rows of a text that failed are zero. */
static void clear_text(const pipeline_job *job, size_t index) {
    tandem_result *result = job->result;
    if (result->vectors == NULL) return;
    const bool is_by_token = job->output == TANDEM_OUTPUT_TOKENS;
    const tandem_text_result *text = &result->texts[index];
    const size_t first = is_by_token ? (size_t)text->first_row : index;
    const size_t rows = is_by_token ? (size_t)text->tokens : 1;
    const size_t width = (size_t)job->dimensions;
    memset(result->vectors + first * width, 0, rows * width * sizeof(float));
}

/* Units that no lane could compute cost their texts. */
static void mark_texts(const pipeline_job *job) {
    tandem_result *result = job->result;
    const pipeline_unit *units = (const void *)result->memory->units.ptr;
    for (uint32_t u = 0; u < job->sched.unit_count; u++) {
        if (job->sched.unit_status[u] == TANDEM_OK) continue;
        const uint32_t unit = tandem__job_unit(job, u);
        result->texts[units[unit].text].status = (tandem_status)job->sched.unit_status[u];
    }
}

/* What the lanes said last, if they said anything. */
static tandem_status fail_on_lanes(const pipeline_job *job, const char *otherwise,
                                   tandem_error *err) {
    if (job->error.status == TANDEM_OK) return TANDEM_FAIL(err, DEVICE, "%s", otherwise);
    if (err != NULL && err->status == TANDEM_OK) *err = job->error;
    return job->error.status;
}

/* Why the first text that failed did. Returns TANDEM_OK where that is about the text. */
static tandem_status explain_failure(const pipeline_job *job, tandem_error *err) {
    const tandem_text_result *text = &job->result->texts[job->result->first_failed];
    if (text->tokens == 0) { // it was not encoded
        tandem__pipeline_report(job->result, err);
    } else if (text->status == TANDEM_NUMERIC) {
        (void)TANDEM_FAIL(err, NUMERIC, "the result is not a finite number");
    } else {
        return fail_on_lanes(job, "no lane could compute it", err);
    }
    return TANDEM_OK;
}

/* Counts what failed; `err` speaks of the first. Fails if a device failed on every text. */
static tandem_status count_failures(const pipeline_job *job, tandem_error *err) {
    tandem_result *result = job->result;
    if (job->sched.failed_units > 0) mark_texts(job);
    for (size_t i = 0; i < result->count; i++) {
        const tandem_status status = result->texts[i].status;
        result->truncated += result->texts[i].dropped > 0;
        if (status == TANDEM_OK) continue;
        if (result->failed == 0) result->first_failed = i;
        result->failed++;
        clear_text(job, i);
    }
    if (result->failed == 0) return TANDEM_OK;
    const tandem_status status = explain_failure(job, err);
    return result->failed == result->count ? status : TANDEM_OK;
}

static tandem_status fail_job(const pipeline_job *job, tandem_error *err) {
    if (job->sched.status == TANDEM_CANCELLED)
        return TANDEM_FAIL(err, CANCELLED, "the request was cancelled");
    if (job->sched.status == TANDEM_TIMEOUT)
        return TANDEM_FAIL(err, TIMEOUT, "deadline of %.3f ms passed", job->request.deadline_ms);
    char words[SCHED_CLASS_BYTES];
    char otherwise[120];
    (void)snprintf(otherwise, sizeof otherwise, "no lane is left to serve%s%s",
                   job->sched.classes == 0 ? "" : " of the classes that the request may use: ",
                   job->sched.classes == 0 ? "" : tandem__class_words(job->sched.classes, words));
    return fail_on_lanes(job, otherwise, err);
}

static void say_how(const pipeline_job *job) {
    tandem_result *result = job->result;
    const sched_job *done = &job->sched;
    const int32_t index = done->served_lane == SCHED_NO_LANE ? job->home : done->served_lane;
    const engine_lane *lane = &job->engine->lanes[index];
    result->lane = lane->backend->name;
    result->dtype = tandem__dtype_word(lane->capabilities.dtype);
    const bool is_elsewhere =
        done->reason == SCHED_REASON_FALLBACK || done->reason == SCHED_REASON_LENGTH;
    if (result->reason[0] == 0 || is_elsewhere)
        (void)snprintf(result->reason, sizeof result->reason, "%s",
                       tandem__reason_text(result->cached == result->count && result->count > 0
                                               ? SCHED_REASON_CACHE
                                               : done->reason));
    result->tokenize_ns = job->tokenized_ns - job->start_ns;
    if (done->started_ns == 0) return;
    result->queue_ns = done->started_ns - done->submitted_ns;
    result->infer_ns = done->finished_ns - done->started_ns;
}

tandem_status tandem__job_finish(pipeline_job *job, tandem_error *err) {
    tandem_result *result = job->result;
    if (job->sched.status != TANDEM_OK) return fail_job(job, err);
    if (result->count > 0) tandem__metrics_answered(job);
    if (job->output == TANDEM_OUTPUT_SPARSE) TANDEM_TRY(tandem__sparse_end(result, err));
    const tandem_status status = count_failures(job, err);
    say_how(job);
    if (status != TANDEM_OK) return status;
    if (job->output == TANDEM_OUTPUT_HEAD)
        tandem__pipeline_score(job->engine->source, &job->request, result);
    if (!job->is_normalized) return TANDEM_OK;
    for (size_t r = 0; r < result->rows; r++) {
        normalize(result->vectors + r * (size_t)job->dimensions, job->dimensions);
    }
    return TANDEM_OK;
}

static tandem_status check_request(const tandem_engine *engine, const tandem_request *request,
                                   tandem_error *err) {
    if ((request->lane_classes & ~LANE_CLASSES) != 0) {
        return TANDEM_FAIL(err, INVALID, "lane_classes: 0x%x, expected bits of 0x%x",
                           request->lane_classes, LANE_CLASSES);
    }
    if (request->count > TEXTS_MAX) {
        return TANDEM_FAIL(err, CAPACITY, "%zu texts in one request, limit %zu", request->count,
                           TEXTS_MAX);
    }
    if (request->id_offsets == NULL && request->texts == NULL && request->count > 0) {
        return TANDEM_FAIL(err, INVALID, "request has neither texts nor ids");
    }
    if (request->id_offsets == NULL && engine->tokenizer == NULL) {
        return TANDEM_FAIL(err, INVALID, "a shape has no tokenizer: give ids instead of texts");
    }
    if (request->id_offsets != NULL && (request->ids == NULL || request->id_offsets[0] != 0)) {
        return TANDEM_FAIL(err, INVALID, "id_offsets: first is not 0, or ids are missing");
    }
    if (request->id_offsets != NULL &&
        (request->pairs != NULL || request->max_length > 0 || request->refuse_long ||
         request->split_long || request->replace_invalid || request->truncate_left)) {
        return TANDEM_FAIL(err, INVALID,
                           "ids are taken as they are: pairs, max_length, refuse_long, "
                           "split_long, replace_invalid and truncate_left belong to texts");
    }
    if (request->refuse_long && request->split_long) {
        return TANDEM_FAIL(err, INVALID, "refuse_long and split_long exclude each other");
    }
    if (request->split_long && request->truncate_left) {
        return TANDEM_FAIL(err, INVALID, "truncate_left and split_long exclude each other");
    }
    if (request->split_long && request->task != TANDEM_TASK_EMBED) {
        return TANDEM_FAIL(err, INVALID, "split_long: only texts to be embedded can be split");
    }
    if (!(request->deadline_ms >= 0 && request->deadline_ms <= 1e9)) {
        return TANDEM_FAIL(err, INVALID, "deadline_ms: %g, expected over 0 to 1e9 from now",
                           request->deadline_ms);
    }
    return TANDEM_OK;
}

static tandem_status settle(pipeline_job *job, tandem_error *err) {
    const tandem_request *request = &job->request;
    const tandem_source *source = job->engine->source;
    const tandem_plan *plan = source->plan;
    int32_t keep = request->dimensions;
    switch (request->task) {
    case TANDEM_TASK_EMBED:
        job->output = TANDEM_OUTPUT_POOLED;
        job->is_normalized =
            !request->skip_normalize && (plan->is_normalized || request->force_normalize);
        if (keep == 0) keep = source->truncate_dim;
        if (!tandem__model_embeds(plan)) return tandem__fail_task(source, "embeddings", err);
        break;
    case TANDEM_TASK_EMBED_ALL:
        job->output = TANDEM_OUTPUT_TOKENS;
        job->is_normalized = request->force_normalize;
        break;
    case TANDEM_TASK_CLASSIFY:
        job->output = TANDEM_OUTPUT_HEAD;
        keep = 0;
        if (plan->labels == 0) return tandem__fail_task(source, "sequence classifier", err);
        break;
    case TANDEM_TASK_EMBED_SPARSE:
        job->output = TANDEM_OUTPUT_SPARSE;
        keep = 0;
        if (!tandem__model_is_sparse(plan)) {
            return tandem__fail_task(source, "sparse embeddings (a masked language model's head)",
                                     err);
        }
        break;
    default:
        return TANDEM_FAIL(err, INVALID, "task: %d is none", (int)request->task);
    }
    job->width = tandem__output_width(plan, job->output);
    if (keep < 0 || keep > job->width) {
        return TANDEM_FAIL(err, INVALID, "dimensions: %d, expected 1 to the model's %d", keep,
                           job->width);
    }
    job->dimensions = keep > 0 ? keep : job->width;
    return TANDEM_OK;
}

/* The result's per-text records, all zero. */
static tandem_status reset_result(tandem_engine *engine, size_t count, tandem_result *result,
                                  tandem_error *err) {
    TANDEM_TRY(tandem__result_memory(engine, result, err));
    struct tandem_result_memory *memory = result->memory;
    *result = (tandem_result){.memory = memory, .count = count};
    memory->texts.len = 0;
    const size_t bytes = count * sizeof(tandem_text_result);
    TANDEM_TRY(tandem__buffer_reserve(&memory->texts, bytes + 1, err));
    memset(memory->texts.ptr, 0, bytes);
    result->texts = (void *)memory->texts.ptr;
    return TANDEM_OK;
}

/* Takes what the cache knows; memory->unit_map lists the other units. */
static tandem_status ask_cache(pipeline_job *job, size_t *count, tandem_error *err) {
    struct tandem_result_memory *memory = job->result->memory;
    const pipeline_unit *units = (const void *)memory->units.ptr;
    TANDEM_TRY(tandem__buffer_reserve(&memory->unit_map, (*count + 1) * sizeof(uint32_t), err));
    memory->row.len = 0;
    TANDEM_TRY(tandem__buffer_reserve(&memory->row, (size_t)job->width * sizeof(float), err));
    uint32_t *map = (void *)memory->unit_map.ptr;
    float *row = (void *)memory->row.ptr;
    size_t missing = 0;
    for (size_t u = 0; u < *count; u++) {
        const pipeline_key key = tandem__unit_key(job, &units[u]);
        const uint64_t hash = tandem__cache_hash(&key);
        if (tandem__cache_get(job->engine->cache, &key, hash, row, job->width)) {
            tandem__rows_add(job, &units[u], 1, row);
            job->result->cached++;
            continue;
        }
        map[missing++] = (uint32_t)u;
        job->hash = hash;
    }
    /* Only a request of one text follows another: its result is the one row. */
    if (*count != 1 || job->request.deadline_ms > 0) job->hash = 0;
    memory->unit_map.len = missing * sizeof *map;
    *count = missing;
    return TANDEM_OK;
}

/* What the scheduler has to know. */
static tandem_status set_units(pipeline_job *job, tandem_error *err) {
    struct tandem_result_memory *memory = job->result->memory;
    const pipeline_unit *units = (const void *)memory->units.ptr;
    size_t count = memory->units.len / sizeof *units;
    memory->unit_map.len = 0;
    const char *lane = job->request.lane; // who names one wants it to compute
    const bool is_any_lane = lane == NULL || strcmp(lane, "auto") == 0;
    job->is_cached = job->engine->cache != NULL && is_any_lane &&
                     (job->output == TANDEM_OUTPUT_POOLED || job->output == TANDEM_OUTPUT_HEAD);
    if (job->is_cached) TANDEM_TRY(ask_cache(job, &count, err));
    if (count > UINT32_MAX) return TANDEM_FAIL(err, CAPACITY, "%zu units in one request", count);
    memory->unit_tokens.len = 0;
    memory->unit_status.len = 0;
    TANDEM_TRY(tandem__buffer_reserve(&memory->unit_tokens, (count + 1) * sizeof(int32_t), err));
    TANDEM_TRY(tandem__buffer_reserve(&memory->unit_status, count + 1, err));
    int32_t *tokens = (void *)memory->unit_tokens.ptr;
    for (size_t u = 0; u < count; u++) tokens[u] = units[tandem__job_unit(job, (uint32_t)u)].tokens;
    memset(memory->unit_status.ptr, TANDEM_OK, count);
    const tandem_request *request = &job->request;
    sched_job *to = &job->sched;
    to->unit_tokens = tokens;
    to->unit_status = (void *)memory->unit_status.ptr;
    to->unit_count = (uint32_t)count;
    to->texts = (uint32_t)request->count;
    to->served_lane = SCHED_NO_LANE; // as long as the cache alone has answered
    to->priority = request->priority;
    to->lane = job->lane;
    to->classes = (uint8_t)request->lane_classes;
    to->is_fallback_forbidden = request->fallback == TANDEM_FALLBACK_NONE;
    to->kind = (uint8_t)job->output;
    if (job->output == TANDEM_OUTPUT_SPARSE)
        to->batch_units_max = (uint32_t)(SPARSE_FLOATS / (size_t)job->width) + 1;
    if (request->deadline_ms > 0)
        to->deadline_ns = job->start_ns + (uint64_t)(request->deadline_ms * 1e6);
    return TANDEM_OK;
}

tandem_status tandem__job_prepare(tandem_engine *engine, const tandem_request *request,
                                  tandem_result *result, pipeline_job *job, tandem_error *err) {
    *job = (pipeline_job){.engine = engine, .request = *request, .result = result};
    job->start_ns = tandem__clock_ns();
    result->retry_ns = 0;
    TANDEM_TRY(check_request(engine, request, err));
    TANDEM_TRY(settle(job, err));
    TANDEM_TRY(reset_result(engine, request->count, result, err));
    TANDEM_TRY(tandem__engine_route(engine, request, job, result->reason, err));
    if (request->id_offsets != NULL)
        TANDEM_TRY(take_ids(job, err));
    else
        TANDEM_TRY(tandem__pipeline_tokenize(engine, request, result, err));
    job->tokenized_ns = tandem__clock_ns();
    TANDEM_TRY(place_rows(job, err));
    return set_units(job, err);
}

tandem_status tandem_engine_infer(tandem_engine *engine, const tandem_request *request,
                                  tandem_result *result, tandem_error *err) {
    pipeline_job job;
    TANDEM_TRY(tandem__job_prepare(engine, request, result, &job, err));
    if (job.sched.unit_count > 0) TANDEM_TRY(tandem__dispatch_run(&job, err));
    return tandem__job_finish(&job, err);
}
