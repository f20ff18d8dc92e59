/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of a result, kept while its owner reuses it. */
#include "base/fail.h"
#include "base/mem.h"
#include "pipeline/pipeline_internal.h"

#define RESULT_BYTES_MAX ((size_t)1 << 40)

tandem_status tandem__result_memory(tandem_engine *engine, tandem_result *result,
                                    tandem_error *err) {
    const int workers = tandem__pool_threads(engine->pool);
    if (result->memory != NULL && result->memory->store_count >= workers) return TANDEM_OK;
    tandem_result_deinit(result);
    struct tandem_result_memory *memory = tandem__mem_calloc(1, sizeof *memory);
    if (memory == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for a result");
    if (!tandem__cond_init(&memory->over)) {
        tandem__mem_free(memory);
        return TANDEM_FAIL(err, MEMORY, "no memory for a condition variable");
    }
    memory->stores = tandem__mem_calloc((size_t)workers, sizeof *memory->stores);
    if (memory->stores == NULL) {
        (void)pthread_cond_destroy(&memory->over);
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
    tandem__buffer_init(&memory->unit_tokens, RESULT_BYTES_MAX);
    tandem__buffer_init(&memory->unit_status, RESULT_BYTES_MAX);
    tandem__buffer_init(&memory->unit_map, RESULT_BYTES_MAX);
    tandem__buffer_init(&memory->row, RESULT_BYTES_MAX);
    tandem__buffer_init(&memory->row_ids, RESULT_BYTES_MAX);
    tandem__buffer_init(&memory->sparse_offsets, RESULT_BYTES_MAX);
    tandem__buffer_init(&memory->sparse_ids, RESULT_BYTES_MAX);
    tandem__buffer_init(&memory->sparse_weights, RESULT_BYTES_MAX);
    tandem__buffer_init(&memory->sparse_places, RESULT_BYTES_MAX);
    tandem__buffer_init(&memory->sorted_ids, RESULT_BYTES_MAX);
    tandem__buffer_init(&memory->sorted_weights, RESULT_BYTES_MAX);
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
    tandem__buffer_deinit(&memory->unit_tokens);
    tandem__buffer_deinit(&memory->unit_status);
    tandem__buffer_deinit(&memory->unit_map);
    tandem__buffer_deinit(&memory->row);
    tandem__buffer_deinit(&memory->row_ids);
    tandem__buffer_deinit(&memory->sparse_offsets);
    tandem__buffer_deinit(&memory->sparse_ids);
    tandem__buffer_deinit(&memory->sparse_weights);
    tandem__buffer_deinit(&memory->sparse_places);
    tandem__buffer_deinit(&memory->sorted_ids);
    tandem__buffer_deinit(&memory->sorted_weights);
    (void)pthread_cond_destroy(&memory->over);
    tandem__mem_free(memory);
    *result = (tandem_result){.memory = NULL};
}
