/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of a result, kept while its owner reuses it. */
#include <string.h>

#include "base/fail.h"
#include "base/mem.h"
#include "pipeline/pipeline_internal.h"

#define RESULT_BYTES_MAX ((size_t)1 << 40)
#define RESULT_BUFFERS   15
#define STORE_BUFFERS    7

static void list_buffers(struct tandem_result_memory *memory, tandem_buffer *list[RESULT_BUFFERS]) {
    tandem_buffer *all[RESULT_BUFFERS] = {
        &memory->vectors,        &memory->texts,
        &memory->places,         &memory->units,
        &memory->unit_tokens,    &memory->unit_status,
        &memory->unit_map,       &memory->row,
        &memory->row_ids,        &memory->sorted_ids,
        &memory->sparse_ids,     &memory->sparse_offsets,
        &memory->sparse_places,  &memory->sparse_weights,
        &memory->sorted_weights,
    };
    memcpy(list, all, sizeof all);
}

static void list_store(pipeline_store *store, tandem_buffer *list[STORE_BUFFERS]) {
    tandem_buffer *all[STORE_BUFFERS] = {&store->text[0], &store->text[1], &store->pair[0],
                                         &store->pair[1], &store->ids,     &store->types,
                                         &store->units};
    memcpy(list, all, sizeof all);
}

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
    tandem_buffer *buffers[RESULT_BUFFERS];
    tandem_buffer *own[STORE_BUFFERS];
    list_buffers(memory, buffers);
    for (int b = 0; b < RESULT_BUFFERS; b++) tandem__buffer_init(buffers[b], RESULT_BYTES_MAX);
    for (int i = 0; i < workers; i++) {
        list_store(&memory->stores[i], own);
        for (int b = 0; b < STORE_BUFFERS; b++) tandem__buffer_init(own[b], STORE_BYTES_MAX);
    }
    result->memory = memory;
    return TANDEM_OK;
}

size_t tandem__result_bytes(const tandem_result *result) {
    struct tandem_result_memory *memory = result->memory;
    if (memory == NULL) return 0;
    tandem_buffer *buffers[RESULT_BUFFERS];
    tandem_buffer *own[STORE_BUFFERS];
    size_t bytes = 0;
    list_buffers(memory, buffers);
    for (int b = 0; b < RESULT_BUFFERS; b++) bytes += buffers[b]->capacity;
    for (int i = 0; i < memory->store_count; i++) {
        list_store(&memory->stores[i], own);
        for (int b = 0; b < STORE_BUFFERS; b++) bytes += own[b]->capacity;
    }
    return bytes;
}

void tandem_result_deinit(tandem_result *result) {
    if (result == NULL || result->memory == NULL) return;
    struct tandem_result_memory *memory = result->memory;
    tandem_buffer *buffers[RESULT_BUFFERS];
    tandem_buffer *own[STORE_BUFFERS];
    for (int i = 0; i < memory->store_count; i++) {
        tandem_encoding_deinit(&memory->stores[i].encoding);
        list_store(&memory->stores[i], own);
        for (int b = 0; b < STORE_BUFFERS; b++) tandem__buffer_deinit(own[b]);
    }
    tandem__mem_free(memory->stores);
    list_buffers(memory, buffers);
    for (int b = 0; b < RESULT_BUFFERS; b++) tandem__buffer_deinit(buffers[b]);
    (void)pthread_cond_destroy(&memory->over);
    tandem__mem_free(memory);
    *result = (tandem_result){.memory = NULL};
}
