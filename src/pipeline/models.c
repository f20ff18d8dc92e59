/* SPDX-License-Identifier: Apache-2.0 */
/* See tandem/models.h. One mutex guards the table; a model is loaded without it, so that others go
 * on, and callers of the same model wait for its condition. */
#include "tandem/models.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/dtype.h"
#include "base/fail.h"
#include "base/mem.h"
#include "pipeline/engine_open.h"
#include "pipeline/pipeline_internal.h"
#include "pipeline/share.h"

#define MODELS_MAX      256
#define SMALL_MAX       ((int64_t)200000000)
#define MEDIUM_MAX      ((int64_t)600000000)
#define MEMORY_RESERVE  ((int64_t)256 << 20) /* left free when a model is loaded */
#define BYTES_PARAMETER 4                    /* at most, until its lanes say */

typedef struct model_slot {
    char *name;
    int64_t parameters;
    tandem_engine *engine; /* NULL = not loaded */
    int64_t weights_bytes;
    int64_t loads;
    uint64_t used; /* when it was put back or got last, as a count of uses */
    int32_t users;
    bool is_loading;
} model_slot;

struct tandem_models {
    pthread_mutex_t mutex;
    pthread_cond_t loaded; /* a load has ended, well or not */
    tandem_engine_options options;
    pipeline_share *share;
    model_slot *slots; /* [count] */
    size_t count;
    int64_t bytes_max;
    uint64_t uses;
};

const char *tandem_model_size_word(tandem_model_size size) {
    static const char *const words[] = {"small", "medium", "large"};
    return size >= TANDEM_MODEL_SMALL && size <= TANDEM_MODEL_LARGE ? words[size] : "unknown";
}

static tandem_model_size size_of(int64_t parameters) {
    if (parameters < SMALL_MAX) return TANDEM_MODEL_SMALL;
    return parameters < MEDIUM_MAX ? TANDEM_MODEL_MEDIUM : TANDEM_MODEL_LARGE;
}

/* Reads the folder's documents and maps its weights, which are not read. */
static tandem_status look_at(const char *name, model_slot *slot, tandem_error *err) {
    if (name == NULL || name[0] == 0) return TANDEM_FAIL(err, INVALID, "a model without a name");
    tandem_source *source = NULL;
    TANDEM_TRY(tandem__source_open(name, &source, err));
    slot->parameters = source->plan->parameters;
    tandem__source_close(source);
    const size_t bytes = strlen(name) + 1;
    slot->name = tandem__mem_calloc(bytes, 1);
    if (slot->name == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for a name");
    memcpy(slot->name, name, bytes);
    return TANDEM_OK;
}

static tandem_status fill(const char *const *names, size_t count, tandem_models *models,
                          tandem_error *err) {
    TANDEM_TRY(tandem__share_open(models->options.threads, &models->share, err));
    models->slots = tandem__mem_calloc(count, sizeof *models->slots);
    if (models->slots == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for %zu models", count);
    for (size_t i = 0; i < count; i++) {
        TANDEM_TRY(look_at(names[i], &models->slots[i], err));
        models->count++;
        for (size_t k = 0; k < i; k++) {
            if (strcmp(models->slots[k].name, names[i]) == 0)
                return TANDEM_FAIL(err, INVALID, "model %s is given twice", names[i]);
        }
    }
    return TANDEM_OK;
}

tandem_status tandem_models_open(const char *const *names, size_t count,
                                 const tandem_engine_options *options, int64_t bytes_max,
                                 tandem_models **models, tandem_error *err) {
    if (count < 1 || count > MODELS_MAX)
        return TANDEM_FAIL(err, INVALID, "%zu models, expected 1 to %d", count, MODELS_MAX);
    if (bytes_max < 0)
        return TANDEM_FAIL(err, INVALID, "bytes_max: %lld, expected 0 or more",
                           (long long)bytes_max);
    tandem_models *made = tandem__mem_calloc(1, sizeof *made);
    if (made == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for models");
    if (options != NULL) made->options = *options;
    made->bytes_max = bytes_max;
    bool is_made = pthread_mutex_init(&made->mutex, NULL) == 0;
    is_made = pthread_cond_init(&made->loaded, NULL) == 0 && is_made;
    const tandem_status status =
        is_made ? fill(names, count, made, err) : TANDEM_FAIL(err, MEMORY, "no memory for a mutex");
    if (status == TANDEM_OK)
        *models = made;
    else
        tandem_models_close(made);
    return status;
}

void tandem_models_close(tandem_models *models) {
    if (models == NULL) return;
    for (size_t i = 0; models->slots != NULL && i < models->count; i++) {
        TANDEM_ASSERT(models->slots[i].users == 0);
        tandem_engine_close(models->slots[i].engine);
        tandem__mem_free(models->slots[i].name);
    }
    tandem__mem_free(models->slots);
    tandem__share_close(models->share);
    (void)pthread_cond_destroy(&models->loaded);
    (void)pthread_mutex_destroy(&models->mutex);
    tandem__mem_free(models);
}

static tandem_status fail_name(const tandem_models *models, const char *name, tandem_error *err) {
    char known[300] = "";
    for (size_t i = 0; i < models->count; i++) {
        const size_t at = strlen(known);
        (void)snprintf(known + at, sizeof known - at, "%s%s (%s)", i == 0 ? "" : ", ",
                       models->slots[i].name,
                       tandem_model_size_word(size_of(models->slots[i].parameters)));
    }
    return TANDEM_FAIL(err, NOT_FOUND, "model: \"%s\", there is %s", name, known);
}

static model_slot *find_slot(tandem_models *models, const char *name) {
    if (name == NULL) return &models->slots[0];
    for (size_t i = 0; i < models->count; i++) {
        if (strcmp(models->slots[i].name, name) == 0) return &models->slots[i];
    }
    model_slot *found = NULL;
    for (size_t i = 0; i < models->count; i++) {
        model_slot *slot = &models->slots[i];
        if (strcmp(tandem_model_size_word(size_of(slot->parameters)), name) != 0) continue;
        if (slot->engine != NULL) return slot;
        if (found == NULL) found = slot;
    }
    return found;
}

static int64_t weights_of(const tandem_engine *engine) {
    tandem_lane_info lanes[TANDEM_LANES_MAX];
    const int count = tandem_lanes(engine, lanes);
    int64_t bytes = 0;
    for (int i = 0; i < count; i++) bytes += lanes[i].weights_bytes;
    return bytes;
}

/* The loaded model, other than `kept`, that nobody uses and that was used last the longest ago. */
static model_slot *oldest_idle(tandem_models *models, const model_slot *kept) {
    model_slot *oldest = NULL;
    for (size_t i = 0; i < models->count; i++) {
        model_slot *slot = &models->slots[i];
        if (slot == kept || slot->engine == NULL || slot->users > 0) continue;
        if (oldest == NULL || slot->used < oldest->used) oldest = slot;
    }
    return oldest;
}

/* With the mutex, which is released while the engine closes. */
static int64_t give_up(tandem_models *models, model_slot *slot) {
    tandem_engine *engine = slot->engine;
    const int64_t bytes = slot->weights_bytes;
    slot->engine = NULL;
    slot->weights_bytes = 0;
    slot->is_loading = true; // nobody gets it, or loads it again, meanwhile
    (void)pthread_mutex_unlock(&models->mutex);
    tandem_engine_close(engine);
    (void)pthread_mutex_lock(&models->mutex);
    slot->is_loading = false;
    (void)pthread_cond_broadcast(&models->loaded);
    return bytes;
}

/* Whether `bytes` more do not fit. */
static bool is_short(const tandem_models *models, int64_t bytes) {
    int64_t loaded = 0;
    for (size_t i = 0; i < models->count; i++) loaded += models->slots[i].weights_bytes;
    if (models->bytes_max > 0) return loaded + bytes > models->bytes_max;
    tandem_machine machine;
    tandem_machine_describe(&machine);
    return machine.memory_available_bytes >= 0 &&
           machine.memory_available_bytes < bytes + MEMORY_RESERVE;
}

static void make_room(tandem_models *models, const model_slot *slot) {
    tandem_dtype dtype = TANDEM_DTYPE_F16;
    const char *word = models->options.dtype;
    if (word == NULL || !tandem__dtype_from_word(word, &dtype)) dtype = TANDEM_DTYPE_F16;
    const int64_t each = dtype == TANDEM_DTYPE_F32 ? BYTES_PARAMETER : BYTES_PARAMETER / 2;
    while (is_short(models, slot->parameters * each)) {
        model_slot *idle = oldest_idle(models, slot);
        if (idle == NULL) return; // loading is tried: the estimate may be too high
        (void)give_up(models, idle);
    }
}

/* With the mutex, which is released while the model loads. */
static tandem_status load(tandem_models *models, model_slot *slot, tandem_error *err) {
    slot->is_loading = true;
    make_room(models, slot);
    (void)pthread_mutex_unlock(&models->mutex);
    tandem_engine_options options = models->options;
    options.model = slot->name;
    options.shape = NULL;
    tandem_engine *engine = NULL;
    int count = 0;
    const tandem_backend *const *backends = tandem__backends(&count);
    const tandem_status status =
        tandem__engine_open_with(&options, backends, count, models->share, &engine, err);
    const int64_t bytes = status == TANDEM_OK ? weights_of(engine) : 0;
    (void)pthread_mutex_lock(&models->mutex);
    slot->is_loading = false;
    slot->engine = engine;
    slot->weights_bytes = bytes;
    slot->loads += status == TANDEM_OK;
    (void)pthread_cond_broadcast(&models->loaded);
    return status;
}

tandem_status tandem_models_get(tandem_models *models, const char *name, tandem_engine **engine,
                                tandem_error *err) {
    (void)pthread_mutex_lock(&models->mutex);
    model_slot *slot = find_slot(models, name);
    tandem_status status = slot == NULL ? fail_name(models, name, err) : TANDEM_OK;
    while (status == TANDEM_OK && slot->is_loading)
        (void)pthread_cond_wait(&models->loaded, &models->mutex);
    if (status == TANDEM_OK && slot->engine == NULL) status = load(models, slot, err);
    if (status == TANDEM_OK) {
        slot->users++;
        slot->used = ++models->uses;
        *engine = slot->engine;
    }
    (void)pthread_mutex_unlock(&models->mutex);
    return status;
}

void tandem_models_put(tandem_models *models, tandem_engine *engine) {
    (void)pthread_mutex_lock(&models->mutex);
    model_slot *slot = models->slots;
    while (slot < models->slots + models->count && slot->engine != engine) slot++;
    TANDEM_ASSERT(slot < models->slots + models->count);
    TANDEM_ASSERT(slot->users > 0);
    slot->users--;
    slot->used = ++models->uses;
    slot->weights_bytes = weights_of(engine); // lanes may have been opened since
    /* Models that were in use together may be over the bound: back below it. */
    while (models->bytes_max > 0 && is_short(models, 0)) {
        model_slot *idle = oldest_idle(models, slot);
        if (idle == NULL) break;
        (void)give_up(models, idle);
    }
    (void)pthread_mutex_unlock(&models->mutex);
}

int64_t tandem_models_shrink(tandem_models *models, int64_t bytes) {
    int64_t gone = 0;
    (void)pthread_mutex_lock(&models->mutex);
    for (model_slot *idle = oldest_idle(models, NULL); idle != NULL && gone < bytes;
         idle = oldest_idle(models, NULL))
        gone += give_up(models, idle);
    (void)pthread_mutex_unlock(&models->mutex);
    return gone;
}

size_t tandem_models_list(tandem_models *models, tandem_model_entry *entries, size_t max) {
    (void)pthread_mutex_lock(&models->mutex);
    for (size_t i = 0; i < models->count && i < max; i++) {
        const model_slot *slot = &models->slots[i];
        entries[i] = (tandem_model_entry){.name = slot->name,
                                          .parameters = slot->parameters,
                                          .size = size_of(slot->parameters),
                                          .is_loaded = slot->engine != NULL,
                                          .users = slot->users,
                                          .weights_bytes = slot->weights_bytes,
                                          .loads = slot->loads};
    }
    (void)pthread_mutex_unlock(&models->mutex);
    return models->count;
}
