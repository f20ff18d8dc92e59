/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and closing an engine, and which lanes serve.
 *
 * The lanes that "auto" means are opened with the engine, so that their errors show at once; one
 * that only a request names is opened then. The reference is never chosen by itself. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/cpu.h"
#include "base/dtype.h"
#include "base/fail.h"
#include "base/mem.h"
#include "pipeline/engine_open.h"
#include "pipeline/pipeline_internal.h"

#define DEFAULT_MODEL        "sentence-transformers/all-MiniLM-L6-v2"
#define DEFAULT_BATCH_TOKENS 1024
#define CLOSE_WAIT_NS        ((uint64_t)1000000000)

static const char *const class_words[] = {"none", "latency", "throughput", "background"};

_Static_assert(TANDEM_LANES_LATENCY == 1u << TANDEM_CLASS_LATENCY, "a bit for each class");
_Static_assert(TANDEM_LANES_THROUGHPUT == 1u << TANDEM_CLASS_THROUGHPUT, "a bit for each class");
_Static_assert(TANDEM_LANES_BACKGROUND == 1u << TANDEM_CLASS_BACKGROUND, "a bit for each class");

static bool is_auto(const char *lane) {
    return lane == NULL || strcmp(lane, "auto") == 0;
}

static tandem_status lane_open(tandem_engine *engine, engine_lane *lane, tandem_error *err) {
    if (atomic_load_explicit(&lane->is_open, memory_order_acquire)) return TANDEM_OK;
    (void)pthread_mutex_lock(&engine->open_mutex);
    tandem_status status = TANDEM_OK;
    if (!atomic_load_explicit(&lane->is_open, memory_order_relaxed)) {
        /* The reference computes in double over f32 storage, whatever the engine's mode. */
        const bool is_reference = lane->backend->lane_class == TANDEM_CLASS_NONE;
        const int32_t longest = engine->source->plan->positions_max;
        const tandem_backend_options options = {
            .dtype = is_reference ? TANDEM_DTYPE_F32 : engine->dtype,
            .tokens_max = engine->batch_tokens > longest ? engine->batch_tokens : longest,
            .sequences_max = PIPELINE_SEQUENCES_MAX,
            .in_flight_max = 1,
            .pool = engine->pool,
        };
        status = lane->backend->open(engine->source->plan, &options, &lane->lane, err);
        if (status == TANDEM_OK) {
            lane->backend->capabilities(lane->lane, &lane->capabilities);
            tandem__dispatch_lane_open(engine, (int32_t)(lane - engine->lanes));
            atomic_store_explicit(&lane->is_open, true, memory_order_release);
        }
    }
    (void)pthread_mutex_unlock(&engine->open_mutex);
    return status;
}

/* The class order of a request that names no lane or whose lane is missing; `classes` as in
 * tandem_request. */
static engine_lane *next_lane(tandem_engine *engine, uint8_t classes) {
    static const tandem_lane_class order[] = {TANDEM_CLASS_LATENCY, TANDEM_CLASS_THROUGHPUT,
                                              TANDEM_CLASS_BACKGROUND};
    for (size_t c = 0; c < sizeof order / sizeof order[0]; c++) {
        if (!tandem__class_allows(classes, order[c])) continue;
        for (int i = 0; i < engine->lane_count; i++) {
            engine_lane *lane = &engine->lanes[i];
            if (lane->backend->lane_class == order[c] && lane->probe.is_available) return lane;
        }
    }
    return NULL;
}

static engine_lane *find_lane(tandem_engine *engine, const char *name) {
    for (int i = 0; i < engine->lane_count; i++) {
        if (strcmp(engine->lanes[i].backend->name, name) == 0) return &engine->lanes[i];
    }
    return NULL;
}

/* What a request says about its lane. */
typedef struct lane_wish {
    const char *name;
    tandem_fallback fallback;
    uint8_t classes;
} lane_wish;

/* This engine has nothing for the wish. */
static tandem_status fail_wish(const lane_wish *wish, tandem_error *err) {
    if (wish->classes == 0)
        return TANDEM_FAIL(err, DEVICE, "this machine has no lane that can serve");
    char words[SCHED_CLASS_BYTES];
    return TANDEM_FAIL(err, DEVICE,
                       "this machine has no lane of the classes that the request may use: %s",
                       tandem__class_words(wish->classes, words));
}

/* As tandem__engine_lane. */
static tandem_status find_wish(tandem_engine *engine, const lane_wish *wish, engine_lane **lane,
                               char *reason, tandem_error *err) {
    const char *name = wish->name;
    engine_lane *found = is_auto(name) ? NULL : find_lane(engine, name);
    if (!is_auto(name) && found == NULL) {
        return TANDEM_FAIL(err, INVALID,
                           "lane: \"%s\", expected auto, ane, metal, cuda, cpu or ref", name);
    }
    if (found != NULL)
        TANDEM_TRY(tandem__class_check(name, found->backend->lane_class, wish->classes, err));
    if (found != NULL && found->probe.is_available) {
        (void)snprintf(reason, PIPELINE_REASON_BYTES, "asked for");
    } else if (!is_auto(name) && wish->fallback == TANDEM_FALLBACK_NONE) {
        return TANDEM_FAIL(err, DEVICE, "lane %s is not available: %s", name, found->probe.reason);
    } else {
        const char *why = found == NULL ? "" : found->probe.reason;
        found = next_lane(engine, wish->classes);
        if (found == NULL) return fail_wish(wish, err);
        if (is_auto(name))
            (void)snprintf(reason, PIPELINE_REASON_BYTES,
                           "first available of latency, throughput, background");
        else
            (void)snprintf(reason, PIPELINE_REASON_BYTES, "fallback: lane %s: %.80s", name, why);
    }
    TANDEM_TRY(lane_open(engine, found, err));
    *lane = found;
    return TANDEM_OK;
}

tandem_status tandem__engine_lane(tandem_engine *engine, const char *name, tandem_fallback fallback,
                                  engine_lane **lane, char *reason, tandem_error *err) {
    const lane_wish wish = {.name = name, .fallback = fallback};
    return find_wish(engine, &wish, lane, reason, err);
}

tandem_status tandem__engine_route(tandem_engine *engine, const tandem_request *request,
                                   pipeline_job *job, char *reason, tandem_error *err) {
    lane_wish wish = {.name = request->lane,
                      .fallback = request->fallback,
                      .classes = (uint8_t)request->lane_classes};
    engine_lane *lane = NULL;
    if (is_auto(wish.name) && !engine->is_lane_named) {
        lane = next_lane(engine, wish.classes);
        if (lane == NULL) return fail_wish(&wish, err);
        job->lane = SCHED_NO_LANE;
        job->home = (int32_t)(lane - engine->lanes);
        return TANDEM_OK;
    }
    if (is_auto(wish.name)) { // the engine serves on one lane alone: nobody asked for it by name
        wish.name = engine->lane_name;
        const tandem_lane_class lane_class = find_lane(engine, wish.name)->backend->lane_class;
        if (!tandem__class_allows(wish.classes, lane_class)) return fail_wish(&wish, err);
    }
    TANDEM_TRY(find_wish(engine, &wish, &lane, reason, err));
    job->lane = (int32_t)(lane - engine->lanes);
    job->home = job->lane;
    return TANDEM_OK;
}

static tandem_status open_source(const tandem_engine_options *options, tandem_engine *engine,
                                 tandem_error *err) {
    if (options->shape != NULL) {
        return tandem__source_random(options->shape, 1, &engine->source, err);
    }
    const char *model = options->model == NULL ? DEFAULT_MODEL : options->model;
    return tandem__source_open(model, &engine->source, err);
}

static tandem_status check_vocabulary(const tandem_engine *engine, tandem_error *err) {
    const int32_t size = tandem_tokenizer_vocab_size(engine->tokenizer);
    if (size <= engine->source->plan->vocab) return TANDEM_OK;
    return TANDEM_FAIL(err, FORMAT, "%s: %d tokens, but the embedding table has %d rows",
                       engine->source->tokenizer_path, size, engine->source->plan->vocab);
}

/* The tokenizer, opened while the lane packs its weights: for models of many languages it takes the
 * longer time of the two. */
typedef struct tokenizer_job {
    tandem_engine *engine;
    tandem_status status;
    tandem_error err;
} tokenizer_job;

static void *open_tokenizer(void *context) {
    tokenizer_job *job = context;
    tandem_engine *engine = job->engine;
    job->status =
        tandem_tokenizer_open(engine->source->tokenizer_path, &engine->tokenizer, &job->err);
    if (job->status == TANDEM_OK) job->status = check_vocabulary(engine, &job->err);
    return NULL;
}

/* A lane that cannot serve this model is as one that the machine lacks. */
static void leave_out(engine_lane *lane, const tandem_error *why) {
    lane->probe.is_available = false;
    (void)snprintf(lane->probe.reason, sizeof lane->probe.reason, "%.*s",
                   (int)sizeof lane->probe.reason - 1, why->message);
}

/* Every lane that may serve; those that fail are left out as long as one is left. */
static tandem_status open_every(tandem_engine *engine, tandem_error *err) {
    tandem_error first = {.status = TANDEM_OK};
    int opened = 0;
    for (int i = 0; i < engine->lane_count; i++) {
        engine_lane *lane = &engine->lanes[i];
        if (lane->backend->lane_class == TANDEM_CLASS_NONE || !lane->probe.is_available) continue;
        if (!lane->backend->has_dtype(engine->dtype)) continue;
        tandem_error why = {.status = TANDEM_OK};
        if (lane_open(engine, lane, &why) == TANDEM_OK) {
            opened++;
            continue;
        }
        if (first.status == TANDEM_OK) first = why;
        leave_out(lane, &why);
    }
    if (opened > 1) return tandem__dispatch_warm(engine, err);
    if (opened == 1) return TANDEM_OK;
    if (first.status == TANDEM_OK)
        return TANDEM_FAIL(err, DEVICE, "this machine has no lane that can serve");
    if (err != NULL && err->status == TANDEM_OK) *err = first;
    return first.status;
}

/* The lane that is named, or the one that takes its place; else every lane that may serve. */
static tandem_status open_lanes(const tandem_engine_options *options, tandem_engine *engine,
                                tandem_error *err) {
    if (is_auto(options->lane)) return open_every(engine, err);
    engine_lane *lane = NULL;
    char reason[PIPELINE_REASON_BYTES];
    TANDEM_TRY(
        tandem__engine_lane(engine, options->lane, TANDEM_FALLBACK_NEXT, &lane, reason, err));
    engine->is_lane_named = true;
    engine->lane_name = lane->backend->name;
    return TANDEM_OK;
}

/* Of two errors the tokenizer's is told, whichever came first. With one thread, or where the system
 * gives no other, one after the other. */
static tandem_status open_both(const tandem_engine_options *options, tandem_engine *engine,
                               tandem_error *err) {
    if (options->shape != NULL) return open_lanes(options, engine, err);
    tokenizer_job job = {.engine = engine};
    tandem_error lane_err = {0};
    tandem_status lane_status = TANDEM_OK;
    pthread_t thread;
    if (tandem__pool_threads(engine->pool) > 1 &&
        pthread_create(&thread, NULL, open_tokenizer, &job) == 0) {
        lane_status = open_lanes(options, engine, &lane_err);
        (void)pthread_join(thread, NULL);
    } else {
        (void)open_tokenizer(&job);
        if (job.status == TANDEM_OK) lane_status = open_lanes(options, engine, &lane_err);
    }
    const tandem_status status = job.status != TANDEM_OK ? job.status : lane_status;
    if (status != TANDEM_OK && err != NULL && err->status == TANDEM_OK) {
        *err = job.status != TANDEM_OK ? job.err : lane_err;
    }
    return status;
}

static tandem_status set_limits(const tandem_engine_options *options, tandem_engine *engine,
                                tandem_error *err) {
    const int32_t positions = engine->source->plan->positions_max;
    if (options->max_length < 0 || options->max_length > positions) {
        return TANDEM_FAIL(err, INVALID, "max_length: %d, expected 1 to the model's %d",
                           options->max_length, positions);
    }
    engine->max_length = options->max_length > 0 ? options->max_length : engine->source->max_length;
    if (options->batch_tokens < 0 || options->batch_tokens > 1 << 20) {
        return TANDEM_FAIL(err, INVALID, "batch_tokens: %d, expected 1 to %d",
                           options->batch_tokens, 1 << 20);
    }
    engine->batch_tokens = options->batch_tokens > 0 ? options->batch_tokens : DEFAULT_BATCH_TOKENS;
    engine->dtype = TANDEM_DTYPE_F16;
    if (options->dtype != NULL && !tandem__dtype_from_word(options->dtype, &engine->dtype)) {
        return TANDEM_FAIL(err, INVALID, "dtype: \"%s\", expected f16, f32, bf16, i8, fp8 or auto",
                           options->dtype);
    }
    return TANDEM_OK;
}

/* f16 is both the default and the fastest mode that every lane of today has. */
static tandem_status settle_dtype(tandem_engine *engine, const char *lane, tandem_error *err) {
    if (engine->dtype == TANDEM_DTYPE_AUTO) engine->dtype = TANDEM_DTYPE_F16;
    const engine_lane *wanted = is_auto(lane) ? NULL : find_lane(engine, lane);
    if (wanted == NULL || !wanted->probe.is_available) wanted = next_lane(engine, 0);
    if (wanted == NULL || wanted->backend->lane_class == TANDEM_CLASS_NONE) return TANDEM_OK;
    if (wanted->backend->has_dtype(engine->dtype)) return TANDEM_OK;
    char has[80] = "";
    for (int d = TANDEM_DTYPE_F32; d <= TANDEM_DTYPE_FP8; d++) {
        if (!wanted->backend->has_dtype((tandem_dtype)d)) continue;
        const size_t at = strlen(has);
        (void)snprintf(has + at, sizeof has - at, "%s%s", at == 0 ? "" : " and ",
                       tandem__dtype_word((tandem_dtype)d));
    }
    return TANDEM_FAIL(err, UNSUPPORTED, "dtype: %s, lane %s has %s",
                       tandem__dtype_word(engine->dtype), wanted->backend->name, has);
}

static tandem_status list_prompts(tandem_engine *engine, tandem_error *err) {
    const int32_t count = engine->source->prompt_count;
    if (count == 0) return TANDEM_OK;
    const char **names = tandem__mem_calloc((size_t)count, sizeof *names);
    if (names == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for %d prompts", count);
    for (int32_t i = 0; i < count; i++) names[i] = engine->source->prompts[i].name;
    engine->prompt_names = names;
    return TANDEM_OK;
}

static tandem_status set_policy(const tandem_engine_options *options, tandem_engine *engine,
                                tandem_error *err) {
    static const char *const words[] = {"predict", "rules", "rules-simple"};
    const char *word = options->policy == NULL ? words[0] : options->policy;
    int policy = 0;
    while (policy < 3 && strcmp(words[policy], word) != 0) policy++;
    if (policy == 3)
        return TANDEM_FAIL(err, INVALID, "policy: \"%s\", expected predict, rules or rules-simple",
                           word);
    if (options->queue_tokens_max < 0 || options->tenant_tokens_max < 0)
        return TANDEM_FAIL(err, INVALID, "queue_tokens_max and tenant_tokens_max: negative");
    if (!(options->queue_ms_max >= 0 && options->queue_ms_max <= 1e9))
        return TANDEM_FAIL(err, INVALID, "queue_ms_max: %g, expected 0 to 1e9",
                           options->queue_ms_max);
    engine->queue_ns_max = (uint64_t)(options->queue_ms_max * 1e6);
    engine->policy = (sched_policy)policy;
    engine->queue_tokens_max = options->queue_tokens_max;
    engine->tenant_tokens_max = options->tenant_tokens_max;
    return TANDEM_OK;
}

static tandem_status engine_fill(const tandem_engine_options *options,
                                 const tandem_backend *const *backends, int count,
                                 tandem_engine *engine, tandem_error *err) {
    for (int i = 0; i < count; i++) {
        engine->lanes[i].backend = backends[i];
        backends[i]->probe(&engine->lanes[i].probe);
    }
    engine->lane_count = count;
    if (options->threads < 0 || options->threads > 1024) {
        return TANDEM_FAIL(err, INVALID, "threads: %d, expected 1 to 1024", options->threads);
    }
    if (engine->share != NULL)
        engine->pool = engine->share->pool;
    else
        TANDEM_TRY(tandem__machine_pool(options->threads, &engine->pool, err));
    TANDEM_TRY(open_source(options, engine, err));
    TANDEM_TRY(set_limits(options, engine, err));
    TANDEM_TRY(settle_dtype(engine, options->lane, err));
    TANDEM_TRY(list_prompts(engine, err));
    tandem__pooling_words(engine->source->plan, engine->poolings, sizeof engine->poolings);
    TANDEM_TRY(set_policy(options, engine, err));
    engine->metrics = tandem__mem_calloc(1, sizeof *engine->metrics);
    if (engine->metrics == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for the metrics");
    if (options->cache_bytes < 0 || options->cache_bytes > (int64_t)1 << 40)
        return TANDEM_FAIL(err, INVALID, "cache_bytes: %lld, expected 0 to 2^40",
                           (long long)options->cache_bytes);
    engine->cache_bytes = (size_t)options->cache_bytes;
    if (options->cache_bytes > 0)
        TANDEM_TRY(tandem__cache_open((size_t)options->cache_bytes, &engine->cache, err));
    TANDEM_TRY(tandem__dispatch_open(engine, err));
    return open_both(options, engine, err);
}

tandem_status tandem_engine_open(const tandem_engine_options *options, tandem_engine **engine,
                                 tandem_error *err) {
    int count = 0;
    const tandem_backend *const *backends = tandem__backends(&count);
    return tandem__engine_open_with(options, backends, count, NULL, engine, err);
}

tandem_status tandem__engine_open_with(const tandem_engine_options *options,
                                       const tandem_backend *const *backends, int count,
                                       pipeline_share *share, tandem_engine **engine,
                                       tandem_error *err) {
    tandem_engine *opened = tandem__mem_calloc(1, sizeof *opened);
    if (opened == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for an engine");
    opened->share = share;
    bool is_made = pthread_mutex_init(&opened->open_mutex, NULL) == 0;
    is_made = pthread_mutex_init(&opened->calls_mutex, NULL) == 0 && is_made;
    is_made = pthread_mutex_init(&opened->dispatch.mutex, NULL) == 0 && is_made;
    is_made = tandem__cond_init(&opened->dispatch.drained) && is_made;
    is_made = tandem__watch_open(&opened->dispatch.watch) && is_made;
    for (int i = 0; i < TANDEM_LANES_MAX; i++)
        is_made = tandem__cond_init(&opened->lanes[i].wake) && is_made;
    const tandem_status status =
        is_made ? engine_fill(options, backends, count, opened, err)
                : TANDEM_FAIL(err, MEMORY, "no memory for the engine's mutexes");
    if (status != TANDEM_OK) {
        tandem_engine_close(opened);
        return status;
    }
    *engine = opened;
    return TANDEM_OK;
}

void tandem_engine_close(tandem_engine *engine) {
    if (engine == NULL) return;
    if (engine->dispatch.scheduler != NULL)
        (void)tandem__dispatch_drain(engine, tandem__clock_ns() + CLOSE_WAIT_NS);
    tandem__dispatch_close(engine);
    tandem__calls_free(engine);
    tandem__cache_close(engine->cache);
    tandem__mem_free(engine->metrics);
    for (int i = 0; i < engine->lane_count; i++) {
        if (engine->lanes[i].lane != NULL) engine->lanes[i].backend->close(engine->lanes[i].lane);
    }
    tandem_tokenizer_close(engine->tokenizer);
    tandem__source_close(engine->source);
    if (engine->share == NULL) tandem__pool_close(engine->pool);
    tandem__mem_free((void *)(uintptr_t)engine->prompt_names);
    for (int i = 0; i < TANDEM_LANES_MAX; i++) (void)pthread_cond_destroy(&engine->lanes[i].wake);
    (void)pthread_cond_destroy(&engine->dispatch.watch.wake);
    (void)pthread_cond_destroy(&engine->dispatch.drained);
    (void)pthread_mutex_destroy(&engine->dispatch.mutex);
    (void)pthread_mutex_destroy(&engine->calls_mutex);
    (void)pthread_mutex_destroy(&engine->open_mutex);
    tandem__mem_free(engine);
}

void tandem_engine_model(const tandem_engine *engine, tandem_model_info *info) {
    const tandem_source *source = engine->source;
    const tandem_plan *plan = source->plan;
    *info = (tandem_model_info){
        .name = source->name,
        .folder = source->folder,
        .family = plan->family,
        .revision = source->revision,
        .similarity = source->similarity,
        .parameters = plan->parameters,
        .dimensions = plan->dimensions,
        .hidden = plan->hidden,
        .layers = plan->layer_count,
        .heads = plan->heads,
        .ffn = plan->ffn,
        .vocab = plan->vocab,
        .positions_max = plan->positions_max,
        .max_length = engine->max_length,
        .labels = plan->labels,
        .label_names = source->labels,
        .pooling = engine->poolings,
        .score = tandem__score_word(plan->labels > 0 ? source->score : TANDEM_SCORE_IDENTITY),
        .prompt_count = source->prompt_count,
        .prompt_names = engine->prompt_names,
        .is_normalized = plan->is_normalized,
        .has_embedding = tandem__model_embeds(plan),
        .has_sparse = tandem__model_is_sparse(plan),
    };
    tandem__plan_words(plan, info);
}

const tandem_tokenizer *tandem_engine_tokenizer(const tandem_engine *engine) {
    return engine->tokenizer;
}

static void describe_lane(const tandem_backend *backend, const tandem_probe *probe,
                          tandem_lane_info *info) {
    *info = (tandem_lane_info){.name = backend->name,
                               .lane_class = class_words[backend->lane_class],
                               .dtype = "",
                               .is_available = probe->is_available};
    (void)snprintf(info->device, sizeof info->device, "%s", probe->device);
    (void)snprintf(info->reason, sizeof info->reason, "%s", probe->reason);
}

int tandem_lanes(const tandem_engine *engine, tandem_lane_info *lanes) {
    int count = 0;
    const tandem_backend *const *backends = tandem__backends(&count);
    if (engine != NULL) count = engine->lane_count;
    for (int i = 0; i < count; i++) {
        if (engine == NULL) {
            tandem_probe probe = {0};
            backends[i]->probe(&probe);
            describe_lane(backends[i], &probe, &lanes[i]);
            continue;
        }
        const engine_lane *lane = &engine->lanes[i];
        describe_lane(lane->backend, &lane->probe, &lanes[i]);
        if (!atomic_load_explicit(&lane->is_open, memory_order_acquire)) continue;
        lanes[i].is_open = true;
        lanes[i].dtype = tandem__dtype_word(lane->capabilities.dtype);
        lanes[i].weights_bytes = lane->capabilities.weights_bytes;
        lanes[i].workspace_bytes = lane->capabilities.workspace_bytes;
        lanes[i].tokens_max = lane->capabilities.tokens_max;
    }
    return count;
}
