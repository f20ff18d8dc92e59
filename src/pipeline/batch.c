/* SPDX-License-Identifier: Apache-2.0 */
/* Batches of the scheduler as a lane wants them, and a lane's rows as the requests want them. */
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/fail.h"
#include "pipeline/pipeline_internal.h"

static pipeline_job *job_of(const sched_item *item) {
    return (pipeline_job *)(void *)item->job;
}

static tandem_output output_of(const sched_batch *batch) {
    return batch->item_count == 0 ? TANDEM_OUTPUT_TOKENS : (tandem_output)batch->kind;
}

/* A probe: one token, any token. */
static void pack_probe(int32_t *words, tandem_batch *packed) {
    words[0] = 0;
    words[1] = 1;
    words[2] = 0;
    *packed = (tandem_batch){.ids = words + 2, .offsets = words, .tokens = 1, .sequences = 1};
}

/* The units of one item, behind `*unit` sequences and `*token` tokens that are packed already. */
static void pack_item(const sched_item *item, int32_t *skips, int32_t *offsets, int32_t *ids,
                      int32_t *types, int32_t *unit, int32_t *token, bool *has_skip) {
    const struct tandem_result_memory *memory = job_of(item)->result->memory;
    const pipeline_unit *units = (const pipeline_unit *)(const void *)memory->units.ptr;
    for (uint32_t k = item->first; k < item->first + item->count; k++) {
        const uint32_t u = tandem__job_unit(job_of(item), k);
        const pipeline_store *store = &memory->stores[units[u].store];
        const size_t bytes = (size_t)units[u].tokens * sizeof(int32_t);
        const size_t start = units[u].id_start * sizeof(int32_t);
        offsets[*unit] = *token;
        skips[*unit] = units[u].skip;
        *has_skip = *has_skip || units[u].skip > 0;
        memcpy(ids + *token, store->ids.ptr + start, bytes);
        if (store->types.len > 0)
            memcpy(types + *token, store->types.ptr + start, bytes);
        else
            memset(types + *token, 0, bytes);
        *unit += 1;
        *token += units[u].tokens;
    }
}

tandem_status tandem__batch_pack(const tandem_engine *engine, const sched_batch *batch,
                                 pipeline_slot *slot, tandem_batch *packed, tandem_error *err) {
    (void)engine;
    const size_t words = 2 * (size_t)batch->units + 1 + 2 * (size_t)batch->tokens + 4;
    slot->pack.len = 0;
    TANDEM_TRY(tandem__buffer_reserve(&slot->pack, words * sizeof(int32_t), err));
    int32_t *offsets = (void *)slot->pack.ptr;
    if (batch->item_count == 0) {
        pack_probe(offsets, packed);
        return TANDEM_OK;
    }
    int32_t *skips = offsets + batch->units + 1;
    int32_t *ids = skips + batch->units;
    int32_t *types = ids + batch->tokens;
    int32_t unit = 0;
    int32_t token = 0;
    bool has_skip = false;
    bool has_types = false;
    for (uint32_t i = 0; i < batch->item_count; i++) {
        const sched_item *item = &batch->items[i];
        TANDEM_ASSERT(item->job != NULL);
        has_types = has_types || job_of(item)->request.pairs != NULL;
        pack_item(item, skips, offsets, ids, types, &unit, &token, &has_skip);
    }
    TANDEM_ASSERT(unit == (int32_t)batch->units);
    TANDEM_ASSERT(token == batch->tokens);
    offsets[unit] = token;
    *packed = (tandem_batch){.ids = ids,
                             .types = has_types ? types : NULL,
                             .offsets = offsets,
                             .tokens = token,
                             .sequences = unit,
                             .pool_skip = has_skip ? skips : NULL};
    return TANDEM_OK;
}

size_t tandem__batch_floats(const tandem_engine *engine, const sched_batch *batch) {
    const tandem_output output = output_of(batch);
    const size_t width = (size_t)tandem__output_width(engine->source->plan, output);
    if (batch->item_count == 0) return width;
    return width * (output == TANDEM_OUTPUT_TOKENS ? (size_t)batch->tokens : batch->units);
}

static bool is_finite(const float *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(values[i])) return false;
    }
    return true;
}

bool tandem__batch_look(const tandem_engine *engine, const sched_batch *batch,
                        const tandem_batch *packed, pipeline_slot *slot) {
    const tandem_output output = output_of(batch);
    const size_t width = (size_t)tandem__output_width(engine->source->plan, output);
    const float *raw = (const float *)(const void *)slot->raw.ptr;
    bool is_any = false;
    for (int32_t u = 0; u < packed->sequences; u++) {
        const int32_t tokens = packed->offsets[u + 1] - packed->offsets[u];
        const size_t count = width * (output == TANDEM_OUTPUT_TOKENS ? (size_t)tokens : 1);
        slot->failed[u] = !is_finite(raw, count);
        is_any = is_any || slot->failed[u];
        raw += count;
    }
    return is_any;
}

uint32_t tandem__job_unit(const pipeline_job *job, uint32_t index) {
    const tandem_buffer *map = &job->result->memory->unit_map;
    return map->len == 0 ? index : ((const uint32_t *)(const void *)map->ptr)[index];
}

pipeline_key tandem__unit_key(const pipeline_job *job, const pipeline_unit *unit) {
    const pipeline_store *store = &job->result->memory->stores[unit->store];
    const int32_t *ids = (const int32_t *)(const void *)store->ids.ptr;
    const int32_t *types = (const int32_t *)(const void *)store->types.ptr;
    return (pipeline_key){.ids = ids + unit->id_start,
                          .types = store->types.len > 0 ? types + unit->id_start : NULL,
                          .tokens = unit->tokens,
                          .skip = unit->skip,
                          .output = (int32_t)job->output};
}

/* Windows of one text add up, weighted by their tokens. Only a text of
 * several windows is weighted, so that one window keeps its bits. */
void tandem__rows_add(const pipeline_job *job, const pipeline_unit *unit, int32_t rows,
                      const float *raw) {
    tandem_result *result = job->result;
    const int32_t n = job->dimensions;
    const tandem_text_result *text = &result->texts[unit->text];
    const bool is_window = job->output != TANDEM_OUTPUT_TOKENS && text->tokens != unit->tokens;
    const float weight = is_window ? (float)unit->tokens / (float)text->tokens : 1.0f;
    for (int32_t r = 0; r < rows; r++, raw += job->width) {
        float *to = result->vectors + (unit->row + (size_t)r) * (size_t)n;
        for (int32_t i = 0; i < n; i++) to[i] += weight * raw[i];
    }
}

/* False where there is no memory for what the unit gave. */
static bool take_unit(const pipeline_job *job, uint32_t index, const int32_t *ids,
                      const float *raw) {
    const struct tandem_result_memory *memory = job->result->memory;
    const pipeline_unit *unit =
        (const pipeline_unit *)(const void *)memory->units.ptr + tandem__job_unit(job, index);
    if (job->output == TANDEM_OUTPUT_SPARSE)
        return tandem__sparse_add(job->result, unit->text, raw, job->width, NULL) == TANDEM_OK;
    const bool is_by_token = job->output == TANDEM_OUTPUT_TOKENS;
    tandem__rows_add(job, unit, is_by_token ? unit->tokens : 1, raw);
    if (job->is_cached) {
        const pipeline_key key = tandem__unit_key(job, unit);
        tandem__cache_put(job->engine->cache, &key, tandem__cache_hash(&key), raw, job->width);
    }
    if (is_by_token) memcpy(job->result->ids + unit->row, ids, (size_t)unit->tokens * sizeof *ids);
    return true;
}

bool tandem__batch_scatter(const tandem_engine *engine, const sched_batch *batch,
                           const tandem_batch *packed, pipeline_slot *slot) {
    const tandem_output output = output_of(batch);
    const size_t width = (size_t)tandem__output_width(engine->source->plan, output);
    const float *raw = (const float *)(const void *)slot->raw.ptr;
    bool is_any = false;
    int32_t u = 0;
    for (uint32_t i = 0; i < batch->item_count; i++) {
        const sched_item *item = &batch->items[i];
        for (uint32_t k = 0; k < item->count; k++, u++) {
            const int32_t first = packed->offsets[u];
            const int32_t rows =
                output == TANDEM_OUTPUT_TOKENS ? packed->offsets[u + 1] - first : 1;
            const float *row = raw;
            raw += width * (size_t)rows;
            if (item->job == NULL) continue;
            if (!slot->failed[u])
                slot->failed[u] =
                    !take_unit(job_of(item), item->first + k, packed->ids + first, row);
            is_any = is_any || slot->failed[u];
        }
    }
    return is_any;
}
