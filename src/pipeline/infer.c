/* SPDX-License-Identifier: Apache-2.0 */
/* One blocking request: texts or ids → units → packed batches on a lane → finished vectors.
 *
 *     texts ─ tokenize.c ─┐
 *     ids ────────────────┴─ units ─ batches of at most batch_tokens ─ lane ─ raw rows ─ result
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
#include "pipeline/pipeline_internal.h"

#define TEXTS_MAX        ((size_t)1 << 24) /* of one request */
#define RESULT_BYTES_MAX ((size_t)1 << 40)
#define WAIT_FOREVER     UINT64_MAX
#define SPARSE_FLOATS    ((size_t)4 << 20) /* most of one batch's rows of the whole vocabulary */

/* What one request computes, settled before its first batch. */
typedef struct infer_job {
    tandem_engine *engine;
    const tandem_request *request;
    tandem_result *result;
    engine_lane *lane;
    tandem_output output;
    int32_t width;      /* floats of one row as the lane gives it */
    int32_t dimensions; /* ... and as the result keeps it */
    bool is_normalized;
} infer_job;

static tandem_status memory_open(tandem_engine *engine, tandem_result *result, tandem_error *err) {
    const int workers = tandem__pool_threads(engine->pool);
    if (result->memory != NULL && result->memory->store_count >= workers) return TANDEM_OK;
    tandem_result_deinit(result);
    struct tandem_result_memory *memory = tandem__mem_calloc(1, sizeof *memory);
    if (memory == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for a result");
    memory->stores = tandem__mem_calloc((size_t)workers, sizeof *memory->stores);
    if (memory->stores == NULL) {
        tandem__mem_free(memory);
        return TANDEM_FAIL(err, MEMORY, "no memory for %d workers", workers);
    }
    memory->store_count = workers;
    for (int i = 0; i < workers; i++) {
        pipeline_store *store = &memory->stores[i];
        for (int b = 0; b < 2; b++) {
            tandem__buffer_init(&store->text[b], STORE_BYTES_MAX);
            tandem__buffer_init(&store->pair[b], STORE_BYTES_MAX);
        }
        tandem__buffer_init(&store->ids, STORE_BYTES_MAX);
        tandem__buffer_init(&store->types, STORE_BYTES_MAX);
        tandem__buffer_init(&store->units, STORE_BYTES_MAX);
    }
    tandem__buffer_init(&memory->vectors, RESULT_BYTES_MAX);
    tandem__buffer_init(&memory->texts, RESULT_BYTES_MAX);
    tandem__buffer_init(&memory->places, RESULT_BYTES_MAX);
    tandem__buffer_init(&memory->units, RESULT_BYTES_MAX);
    tandem__buffer_init(&memory->batch, RESULT_BYTES_MAX);
    tandem__buffer_init(&memory->raw, RESULT_BYTES_MAX);
    tandem__buffer_init(&memory->row_ids, RESULT_BYTES_MAX);
    tandem__buffer_init(&memory->sparse_offsets, RESULT_BYTES_MAX);
    tandem__buffer_init(&memory->sparse_ids, RESULT_BYTES_MAX);
    tandem__buffer_init(&memory->sparse_weights, RESULT_BYTES_MAX);
    result->memory = memory;
    return TANDEM_OK;
}

void tandem_result_deinit(tandem_result *result) {
    if (result == NULL || result->memory == NULL) return;
    struct tandem_result_memory *memory = result->memory;
    for (int i = 0; i < memory->store_count; i++) {
        pipeline_store *store = &memory->stores[i];
        tandem_encoding_deinit(&store->encoding);
        for (int b = 0; b < 2; b++) {
            tandem__buffer_deinit(&store->text[b]);
            tandem__buffer_deinit(&store->pair[b]);
        }
        tandem__buffer_deinit(&store->ids);
        tandem__buffer_deinit(&store->types);
        tandem__buffer_deinit(&store->units);
    }
    tandem__mem_free(memory->stores);
    tandem__buffer_deinit(&memory->vectors);
    tandem__buffer_deinit(&memory->texts);
    tandem__buffer_deinit(&memory->places);
    tandem__buffer_deinit(&memory->units);
    tandem__buffer_deinit(&memory->batch);
    tandem__buffer_deinit(&memory->raw);
    tandem__buffer_deinit(&memory->row_ids);
    tandem__buffer_deinit(&memory->sparse_offsets);
    tandem__buffer_deinit(&memory->sparse_ids);
    tandem__buffer_deinit(&memory->sparse_weights);
    tandem__mem_free(memory);
    *result = (tandem_result){.memory = NULL};
}

/* Scales [n] to length 1; a zero vector stays zero. The sum is double, in index order. */
static void normalize(float *vector, int32_t n) {
    double sum = 0.0;
    for (int32_t i = 0; i < n; i++) sum += (double)vector[i] * (double)vector[i];
    if (sum <= 0.0) return;
    const double scale = 1.0 / sqrt(sum);
    for (int32_t i = 0; i < n; i++) vector[i] = (float)((double)vector[i] * scale);
}

/* Runs one batch and waits for it. */
static tandem_status run_batch(engine_lane *lane, const tandem_batch *batch, tandem_output output,
                               float *out, tandem_error *err) {
    tandem_ticket ticket = 0;
    TANDEM_TRY(lane->backend->submit(lane->lane, batch, output, out, &ticket, err));
    return lane->backend->wait(lane->lane, ticket, WAIT_FOREVER, err);
}

/* Ids that the caller gives become units over store 0. */
static tandem_status take_ids(const infer_job *job, tandem_error *err) {
    const tandem_request *request = job->request;
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
static tandem_status place_rows(const infer_job *job, tandem_error *err) {
    tandem_result *result = job->result;
    struct tandem_result_memory *memory = result->memory;
    pipeline_unit *units = (void *)memory->units.ptr;
    const size_t unit_count = memory->units.len / sizeof *units;
    const bool is_by_token = job->output == TANDEM_OUTPUT_TOKENS;
    size_t rows = is_by_token ? 0 : job->request->count;
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
    memory->row_ids.len = 0;
    if (job->output == TANDEM_OUTPUT_SPARSE) return tandem__sparse_begin(result, err);
    if (is_by_token) {
        TANDEM_TRY(tandem__buffer_reserve(&memory->row_ids, (rows + 1) * sizeof(int32_t), err));
        result->ids = (void *)memory->row_ids.ptr;
    }
    const size_t bytes = rows * (size_t)job->dimensions * sizeof(float);
    memory->vectors.len = 0;
    TANDEM_TRY(tandem__buffer_reserve(&memory->vectors, bytes + sizeof(float), err));
    memset(memory->vectors.ptr, 0, bytes);
    result->vectors = (void *)memory->vectors.ptr;
    return TANDEM_OK;
}

/* How many units from `first` on make one batch. */
static size_t batch_end(const infer_job *job, size_t first, size_t count, int32_t *tokens) {
    const pipeline_unit *units = (const void *)job->result->memory->units.ptr;
    size_t most = PIPELINE_SEQUENCES_MAX;
    if (job->output == TANDEM_OUTPUT_SPARSE && SPARSE_FLOATS / (size_t)job->width < most)
        most = SPARSE_FLOATS / (size_t)job->width + 1;
    size_t end = first;
    *tokens = 0;
    while (end < count && end - first < most) {
        if (end > first && *tokens + units[end].tokens > job->engine->batch_tokens) break;
        *tokens += units[end].tokens;
        end++;
    }
    return end;
}

/* Packs units [first, end) into memory->batch: offsets, skips, ids, types. */
static tandem_status pack(const infer_job *job, size_t first, size_t end, int32_t tokens,
                          tandem_batch *batch, tandem_error *err) {
    struct tandem_result_memory *memory = job->result->memory;
    const pipeline_unit *units = (const void *)memory->units.ptr;
    const size_t sequences = end - first;
    const size_t words = (sequences + 1) + sequences + 2 * (size_t)tokens;
    memory->batch.len = 0;
    TANDEM_TRY(tandem__buffer_reserve(&memory->batch, words * sizeof(int32_t), err));
    int32_t *offsets = (void *)memory->batch.ptr;
    int32_t *skips = offsets + sequences + 1;
    int32_t *ids = skips + sequences;
    int32_t *types = ids + tokens;
    int32_t at = 0;
    bool has_skip = false;
    for (size_t u = first; u < end; u++) {
        const pipeline_store *store = &memory->stores[units[u].store];
        const size_t bytes = (size_t)units[u].tokens * sizeof(int32_t);
        const size_t start = units[u].id_start * sizeof(int32_t);
        offsets[u - first] = at;
        skips[u - first] = units[u].skip;
        has_skip = has_skip || units[u].skip > 0;
        memcpy(ids + at, store->ids.ptr + start, bytes);
        if (store->types.len > 0) memcpy(types + at, store->types.ptr + start, bytes);
        at += units[u].tokens;
    }
    TANDEM_ASSERT(at == tokens);
    offsets[sequences] = at;
    *batch = (tandem_batch){
        .ids = ids,
        .types = job->request->pairs != NULL ? types : NULL,
        .offsets = offsets,
        .tokens = tokens,
        .sequences = (int32_t)sequences,
        .pool_skip = has_skip ? skips : NULL,
    };
    return TANDEM_OK;
}

static bool is_finite_row(const float *row, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        if (!isfinite(row[i])) return false;
    }
    return true;
}

/* Adds a lane's rows to the result. Windows of one text add up, weighted by their tokens; finish
 * divides. Only a text of several windows is weighted, so that one window keeps its bits. */
static void scatter(const infer_job *job, size_t first, size_t end, const float *raw) {
    tandem_result *result = job->result;
    const pipeline_unit *units = (const void *)result->memory->units.ptr;
    const int32_t n = job->dimensions;
    for (size_t u = first; u < end; u++) {
        const bool is_by_token = job->output == TANDEM_OUTPUT_TOKENS;
        const int32_t rows = is_by_token ? units[u].tokens : 1;
        tandem_text_result *text = &result->texts[units[u].text];
        const bool is_window = !is_by_token && text->tokens != units[u].tokens;
        for (int32_t r = 0; r < rows; r++, raw += job->width) {
            float *to = result->vectors + (units[u].row + (size_t)r) * (size_t)n;
            if (!is_finite_row(raw, n)) {
                text->status = TANDEM_NUMERIC;
            }
            const float weight = is_window ? (float)units[u].tokens / (float)text->tokens : 1.0f;
            for (int32_t i = 0; i < n; i++) to[i] += weight * raw[i];
        }
    }
}

/* Takes what a lane gave for units [first, end). */
static tandem_status take_rows(const infer_job *job, size_t first, size_t end,
                               const tandem_batch *batch, const float *raw, tandem_error *err) {
    struct tandem_result_memory *memory = job->result->memory;
    const pipeline_unit *units = (const void *)memory->units.ptr;
    if (job->output != TANDEM_OUTPUT_SPARSE) {
        scatter(job, first, end, raw);
        if (job->output != TANDEM_OUTPUT_TOKENS) return TANDEM_OK;
        return tandem__buffer_push(&memory->row_ids, batch->ids,
                                   (size_t)batch->tokens * sizeof *batch->ids, err);
    }
    for (size_t u = first; u < end; u++) {
        TANDEM_TRY(tandem__sparse_add(job->result, units[u].text,
                                      raw + (u - first) * (size_t)job->width, job->width, err));
    }
    return TANDEM_OK;
}

static tandem_status run_batches(const infer_job *job, tandem_error *err) {
    struct tandem_result_memory *memory = job->result->memory;
    const size_t count = memory->units.len / sizeof(pipeline_unit);
    for (size_t first = 0; first < count;) {
        int32_t tokens = 0;
        const size_t end = batch_end(job, first, count, &tokens);
        tandem_batch batch;
        TANDEM_TRY(pack(job, first, end, tokens, &batch, err));
        const bool is_by_token = job->output == TANDEM_OUTPUT_TOKENS;
        const size_t rows = is_by_token ? (size_t)tokens : end - first;
        memory->raw.len = 0;
        TANDEM_TRY(
            tandem__buffer_reserve(&memory->raw, rows * (size_t)job->width * sizeof(float), err));
        float *raw = (void *)memory->raw.ptr;
        TANDEM_TRY(run_batch(job->lane, &batch, job->output, raw, err));
        TANDEM_TRY(take_rows(job, first, end, &batch, raw, err));
        first = end;
    }
    return job->output == TANDEM_OUTPUT_SPARSE ? tandem__sparse_end(job->result, err) : TANDEM_OK;
}

/* Rows of a text that failed are zero. */
static void clear_text(const infer_job *job, size_t index) {
    tandem_result *result = job->result;
    if (result->vectors == NULL) return;
    const bool is_by_token = job->output == TANDEM_OUTPUT_TOKENS;
    const tandem_text_result *text = &result->texts[index];
    const size_t first = is_by_token ? (size_t)text->first_row : index;
    const size_t rows = is_by_token ? (size_t)text->tokens : 1;
    const size_t width = (size_t)job->dimensions;
    memset(result->vectors + first * width, 0, rows * width * sizeof(float));
}

/* Counts what failed; `err` speaks of the first. */
static void finish(const infer_job *job, tandem_error *err) {
    tandem_result *result = job->result;
    for (size_t i = 0; i < result->count; i++) {
        const tandem_status status = result->texts[i].status;
        result->truncated += result->texts[i].dropped > 0;
        if (status == TANDEM_OK) continue;
        if (result->failed == 0) result->first_failed = i;
        result->failed++;
        if (status == TANDEM_NUMERIC) clear_text(job, i); /* others' rows were never written */
    }
    if (result->failed > 0 && result->texts[result->first_failed].status == TANDEM_NUMERIC)
        (void)TANDEM_FAIL(err, NUMERIC, "the result is not a finite number");
    else if (result->failed > 0)
        tandem__pipeline_report(result, err);
    if (job->output == TANDEM_OUTPUT_HEAD)
        tandem__pipeline_score(job->engine->source, job->request, result);
    if (!job->is_normalized) return;
    for (size_t r = 0; r < result->rows; r++) {
        normalize(result->vectors + r * (size_t)job->dimensions, job->dimensions);
    }
}

static tandem_status check_request(const tandem_engine *engine, const tandem_request *request,
                                   tandem_error *err) {
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
         request->split_long || request->replace_invalid)) {
        return TANDEM_FAIL(err, INVALID,
                           "ids are taken as they are: pairs, max_length, refuse_long, "
                           "split_long and replace_invalid belong to texts");
    }
    if (request->refuse_long && request->split_long) {
        return TANDEM_FAIL(err, INVALID, "refuse_long and split_long exclude each other");
    }
    if (request->split_long && request->task != TANDEM_TASK_EMBED) {
        return TANDEM_FAIL(err, INVALID, "split_long: only texts to be embedded can be split");
    }
    return TANDEM_OK;
}

static tandem_status settle(infer_job *job, tandem_error *err) {
    const tandem_request *request = job->request;
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
    TANDEM_TRY(memory_open(engine, result, err));
    struct tandem_result_memory *memory = result->memory;
    *result = (tandem_result){.memory = memory, .count = count};
    memory->texts.len = 0;
    const size_t bytes = count * sizeof(tandem_text_result);
    TANDEM_TRY(tandem__buffer_reserve(&memory->texts, bytes + 1, err));
    memset(memory->texts.ptr, 0, bytes);
    result->texts = (void *)memory->texts.ptr;
    return TANDEM_OK;
}

tandem_status tandem_engine_infer(tandem_engine *engine, const tandem_request *request,
                                  tandem_result *result, tandem_error *err) {
    TANDEM_TRY(check_request(engine, request, err));
    infer_job job = {.engine = engine, .request = request, .result = result};
    TANDEM_TRY(settle(&job, err));
    TANDEM_TRY(reset_result(engine, request->count, result, err));
    TANDEM_TRY(tandem__engine_lane(engine, request->lane, request->fallback, &job.lane,
                                   result->reason, err));
    const uint64_t start_ns = tandem__clock_ns();
    if (request->id_offsets != NULL)
        TANDEM_TRY(take_ids(&job, err));
    else
        TANDEM_TRY(tandem__pipeline_tokenize(engine, request, result, err));
    const uint64_t tokenized_ns = tandem__clock_ns();
    TANDEM_TRY(place_rows(&job, err));
    TANDEM_TRY(run_batches(&job, err));
    finish(&job, err);
    result->lane = job.lane->backend->name;
    result->dtype = tandem__dtype_word(job.lane->capabilities.dtype);
    result->tokenize_ns = tokenized_ns - start_ns;
    result->infer_ns = tandem__clock_ns() - tokenized_ns;
    return TANDEM_OK;
}
