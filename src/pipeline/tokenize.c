/* SPDX-License-Identifier: Apache-2.0 */
/* Texts to units: on every thread of the pool, a chunk of texts at a time.
 *
 * Each worker keeps its own store of ids, so nothing is shared while texts are encoded; afterwards
 * the units of all stores are put in the order of the texts. A text that fails costs its own row
 * only. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/fail.h"
#include "base/mem.h"
#include "pipeline/pipeline_internal.h"
#include "text/lower.h"

#define TEXTS_PER_TILE 16

typedef struct tokenize_job {
    tandem_engine *engine;
    const tandem_request *request;
    tandem_result *result;
    tandem_str prompt;
    int32_t prompt_tokens; /* that pooling leaves out */
    tandem_encode_options options;
} tokenize_job;

/* The text as it is encoded: after its prompt, repaired if asked, in lower case where the model's
 * settings say so. Borrowed from the request or from the two scratch buffers. */
static tandem_status prepare_text(const tokenize_job *job, tandem_text text, tandem_str prompt,
                                  tandem_buffer scratch[2], tandem_str *out, tandem_error *err) {
    *out = (tandem_str){text.len == 0 ? "" : text.ptr, text.len};
    const bool is_repaired =
        job->request->replace_invalid && tandem_utf8_check(text.ptr, text.len) != text.len;
    if (is_repaired || prompt.len > 0) {
        scratch[0].len = 0;
        TANDEM_TRY(tandem__buffer_push(&scratch[0], prompt.ptr, prompt.len, err));
        if (text.len > STORE_BYTES_MAX / 4)
            return TANDEM_FAIL(err, CAPACITY, "text of %zu bytes", text.len);
        TANDEM_TRY(tandem__buffer_reserve(&scratch[0], 3 * text.len + 1, err));
        char *end = scratch[0].ptr + scratch[0].len;
        if (is_repaired)
            scratch[0].len += tandem_utf8_replace(text.ptr, text.len, end);
        else
            TANDEM_TRY(tandem__buffer_push(&scratch[0], text.ptr, text.len, err));
        *out = (tandem_str){scratch[0].ptr, scratch[0].len};
    }
    if (!job->engine->source->is_lowercased) return TANDEM_OK;
    scratch[1].len = 0;
    TANDEM_TRY(tandem__buffer_reserve(&scratch[1], 1, err)); /* "" is a text too */
    TANDEM_TRY(tandem__text_lower(*out, &scratch[1], err));
    *out = (tandem_str){scratch[1].ptr, scratch[1].len};
    return TANDEM_OK;
}

/* A text without tokens, where the tokenizer adds none, has no unit: its vector stays zero, as the
 * mean of nothing is in sentence-transformers. */
static tandem_status store_units(const tokenize_job *job, pipeline_store *store, uint32_t text,
                                 tandem_error *err) {
    const tandem_encoding *encoding = &store->encoding;
    pipeline_place *places = (void *)job->result->memory->places.ptr;
    const uint32_t store_index = (uint32_t)(store - job->result->memory->stores);
    places[text] = (pipeline_place){.store = store_index,
                                    .units = encoding->count > 0 ? (uint32_t)encoding->windows : 0,
                                    .first_unit = store->units.len / sizeof(pipeline_unit)};
    if (encoding->count == 0) return TANDEM_OK;
    const size_t first = store->ids.len / sizeof(int32_t);
    const size_t bytes = (size_t)encoding->count * sizeof(int32_t);
    TANDEM_TRY(tandem__buffer_push(&store->ids, encoding->ids, bytes, err));
    if (job->request->pairs != NULL) {
        TANDEM_TRY(tandem__buffer_push(&store->types, encoding->types, bytes, err));
    }
    /* Cut at its start, a text has lost that much of its prompt. */
    const int32_t lost = job->options.truncate_left ? encoding->dropped : 0;
    const int32_t prompt_tokens = job->prompt_tokens > lost ? job->prompt_tokens - lost : 0;
    for (int32_t w = 0; w < encoding->windows; w++) {
        const int32_t start = encoding->starts[w];
        const int32_t tokens = encoding->starts[w + 1] - start;
        const bool is_prompted = w == 0 && prompt_tokens < tokens;
        const pipeline_unit unit = {.text = text,
                                    .store = store_index,
                                    .id_start = first + (size_t)start,
                                    .tokens = tokens,
                                    .skip = is_prompted ? prompt_tokens : 0};
        TANDEM_TRY(tandem__buffer_push(&store->units, &unit, sizeof unit, err));
    }
    return TANDEM_OK;
}

static tandem_status encode_text(const tokenize_job *job, pipeline_store *store, size_t index,
                                 tandem_error *err) {
    const tandem_request *request = job->request;
    tandem_str text;
    tandem_str pair = {NULL, 0};
    const tandem_str no_prompt = {"", 0};
    TANDEM_TRY(prepare_text(job, request->texts[index], job->prompt, store->text, &text, err));
    if (request->pairs != NULL) {
        TANDEM_TRY(prepare_text(job, request->pairs[index], no_prompt, store->pair, &pair, err));
    }
    TANDEM_TRY(tandem_tokenizer_encode(job->engine->tokenizer, text.ptr, text.len, pair.ptr,
                                       pair.len, &job->options, &store->encoding, err));
    if (request->refuse_long && (store->encoding.dropped > 0 || store->encoding.windows > 1)) {
        return TANDEM_FAIL(err, CAPACITY, "%d tokens, limit %d",
                           store->encoding.count + store->encoding.dropped,
                           job->options.max_length);
    }
    if (store->encoding.count == 0 && request->task == TANDEM_TASK_CLASSIFY) {
        return TANDEM_FAIL(err, INVALID,
                           "no tokens: this model's tokenizer adds none to an empty text");
    }
    tandem_text_result *row = &job->result->texts[index];
    row->tokens = store->encoding.count;
    row->dropped = store->encoding.dropped;
    return store_units(job, store, (uint32_t)index, err);
}

static void encode_tile(void *context, int tile, int worker) {
    const tokenize_job *job = context;
    pipeline_store *store = &job->result->memory->stores[worker];
    const size_t first = (size_t)tile * TEXTS_PER_TILE;
    const size_t end = first + TEXTS_PER_TILE;
    for (size_t i = first; i < end && i < job->request->count; i++) {
        tandem_error err = {.status = TANDEM_OK};
        job->result->texts[i].status = encode_text(job, store, i, &err);
        if (err.status == TANDEM_OK) continue;
        job->result->texts[i].tokens = 0; /* none of its rows is there */
        if (store->error.status == TANDEM_OK || (uint32_t)i < store->error_text) {
            store->error = err;
            store->error_text = (uint32_t)i;
        }
    }
}

static tandem_status fail_prompt(const tandem_source *source, const char *name, tandem_error *err) {
    char known[240] = "";
    for (int32_t i = 0; i < source->prompt_count; i++) {
        const size_t at = strlen(known);
        (void)snprintf(known + at, sizeof known - at, "%s%s", i == 0 ? "" : ", ",
                       source->prompts[i].name);
    }
    return TANDEM_FAIL(err, INVALID, "prompt: \"%s\", the model has %s", name,
                       source->prompt_count == 0 ? "none" : known);
}

static tandem_status find_prompt(const tandem_engine *engine, const tandem_request *request,
                                 tandem_str *prompt, tandem_error *err) {
    const tandem_source *source = engine->source;
    *prompt = (tandem_str){"", 0};
    if (request->prompt != NULL) {
        *prompt = tandem__str(request->prompt);
    } else if (request->prompt_name != NULL) {
        for (int32_t i = 0; i < source->prompt_count; i++) {
            if (strcmp(source->prompts[i].name, request->prompt_name) != 0) continue;
            *prompt = tandem__str(source->prompts[i].text);
            return TANDEM_OK;
        }
        return fail_prompt(source, request->prompt_name, err);
    } else if (source->default_prompt >= 0) {
        *prompt = tandem__str(source->prompts[source->default_prompt].text);
    }
    return TANDEM_OK;
}

/* Where pooling leaves the prompt out: as many tokens as the prompt alone has, less the final
 * special one, which is what sentence-transformers counts. */
static tandem_status count_prompt(tokenize_job *job, tandem_error *err) {
    if (job->prompt.len == 0 || job->engine->source->is_prompt_pooled) return TANDEM_OK;
    tandem_encoding encoding = {0};
    const tandem_status status = tandem_tokenizer_encode(
        job->engine->tokenizer, job->prompt.ptr, job->prompt.len, NULL, 0, NULL, &encoding, err);
    if (encoding.count > 0) job->prompt_tokens = encoding.count - 1;
    tandem_encoding_deinit(&encoding);
    return status;
}

static tandem_status set_options(tokenize_job *job, tandem_error *err) {
    const tandem_request *request = job->request;
    const int32_t positions = job->engine->source->plan->positions_max;
    if (request->max_length < 0 || request->max_length > positions) {
        return TANDEM_FAIL(err, INVALID, "max_length: %d, expected 1 to the model's %d",
                           request->max_length, positions);
    }
    const int32_t length = request->max_length > 0 ? request->max_length : job->engine->max_length;
    job->options.max_length = length;
    job->options.truncate_left = request->truncate_left;
    if (request->split_long) {
        /* Windows share an eighth, so that no sentence is cut in both of its windows. */
        const int32_t special =
            tandem_tokenizer_special_count(job->engine->tokenizer, request->pairs != NULL);
        const int32_t room = length - special;
        if (room < 1) {
            return TANDEM_FAIL(err, INVALID,
                               "max_length: %d, expected over %d to split: special tokens fill it",
                               length, special);
        }
        job->options.keep_overflow = true;
        job->options.stride = room > 8 ? room / 8 : 0;
    }
    return TANDEM_OK;
}

/* Puts the units of all stores in the order of the texts. */
static tandem_status gather_units(const tandem_request *request, tandem_result *result,
                                  tandem_error *err) {
    struct tandem_result_memory *memory = result->memory;
    const pipeline_place *places = (const void *)memory->places.ptr;
    memory->units.len = 0;
    for (size_t i = 0; i < request->count; i++) {
        if (result->texts[i].status != TANDEM_OK) continue;
        const pipeline_store *store = &memory->stores[places[i].store];
        const pipeline_unit *units = (const void *)store->units.ptr;
        TANDEM_TRY(tandem__buffer_push(&memory->units, units + places[i].first_unit,
                                       places[i].units * sizeof *units, err));
    }
    return TANDEM_OK;
}

void tandem__pipeline_report(tandem_result *result, tandem_error *err) {
    const pipeline_store *first = NULL;
    for (int s = 0; s < result->memory->store_count; s++) {
        const pipeline_store *store = &result->memory->stores[s];
        if (store->error.status == TANDEM_OK) continue;
        if (first == NULL || store->error_text < first->error_text) first = store;
    }
    if (first != NULL && err != NULL && err->status == TANDEM_OK) *err = first->error;
}

tandem_status tandem__pipeline_tokenize(tandem_engine *engine, const tandem_request *request,
                                        tandem_result *result, tandem_error *err) {
    struct tandem_result_memory *memory = result->memory;
    tokenize_job job = {.engine = engine, .request = request, .result = result};
    TANDEM_TRY(find_prompt(engine, request, &job.prompt, err));
    TANDEM_TRY(set_options(&job, err));
    TANDEM_TRY(count_prompt(&job, err));
    for (int s = 0; s < memory->store_count; s++) {
        pipeline_store *store = &memory->stores[s];
        store->ids.len = 0;
        store->types.len = 0;
        store->units.len = 0;
        tandem_error_clear(&store->error);
    }
    memory->places.len = 0;
    TANDEM_TRY(
        tandem__buffer_reserve(&memory->places, request->count * sizeof(pipeline_place), err));
    const size_t tiles = (request->count + TEXTS_PER_TILE - 1) / TEXTS_PER_TILE;
    /* One tile is the caller's own: another thread would only have to grow its store as well. */
    tandem__pool_run(tiles > 1 ? engine->pool : NULL, (int)tiles, encode_tile, &job);
    return gather_units(request, result, err);
}
