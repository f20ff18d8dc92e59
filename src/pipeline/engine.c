/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and closing an engine; engine_lanes.c has which lanes serve.
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
#include "pipeline/engine_lanes.h"
#include "pipeline/engine_open.h"
#include "pipeline/pipeline_internal.h"

#define DEFAULT_MODEL        "sentence-transformers/all-MiniLM-L6-v2"
#define DEFAULT_BATCH_TOKENS 1024
#define CLOSE_WAIT_NS        ((uint64_t)1000000000)

static const char *const class_words[] = {"none", "latency", "throughput", "background"};

_Static_assert(TANDEM_LANES_LATENCY == 1u << TANDEM_CLASS_LATENCY, "a bit for each class");
_Static_assert(TANDEM_LANES_THROUGHPUT == 1u << TANDEM_CLASS_THROUGHPUT, "a bit for each class");
_Static_assert(TANDEM_LANES_BACKGROUND == 1u << TANDEM_CLASS_BACKGROUND, "a bit for each class");

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

/* Of two errors the tokenizer's is told, whichever came first. With one thread, or where the system
 * gives no other, one after the other. */
static tandem_status open_both(const tandem_engine_options *options, tandem_engine *engine,
                               tandem_error *err) {
    if (options->shape != NULL) return tandem__engine_open_lanes(engine, options->lane, err);
    tokenizer_job job = {.engine = engine};
    tandem_error lane_err = {0};
    tandem_status lane_status = TANDEM_OK;
    pthread_t thread;
    if (tandem__pool_threads(engine->pool) > 1 &&
        pthread_create(&thread, NULL, open_tokenizer, &job) == 0) {
        lane_status = tandem__engine_open_lanes(engine, options->lane, &lane_err);
        (void)pthread_join(thread, NULL);
    } else {
        (void)open_tokenizer(&job);
        if (job.status == TANDEM_OK)
            lane_status = tandem__engine_open_lanes(engine, options->lane, &lane_err);
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
    TANDEM_TRY(tandem__engine_settle_dtype(engine, options->lane, err));
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

static void describe_check(const engine_lane *lane, tandem_lane_info *info) {
    const start_check *check = &lane->check;
    if (lane->backend->is_trusted) return;
    (void)snprintf(info->check, sizeof info->check, "cosine %.6f, distance %.3g against ref%s",
                   check->cosine_mean, check->distance_max, check->is_kept ? ", kept" : ", now");
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
        lanes[i].is_available = tandem__lane_is_usable(lane);
        (void)snprintf(lanes[i].reason, sizeof lanes[i].reason, "%s", tandem__lane_reason(lane));
        if (!atomic_load_explicit(&lane->is_open, memory_order_acquire)) continue;
        lanes[i].is_open = true;
        describe_check(lane, &lanes[i]);
        lanes[i].dtype = tandem__dtype_word(lane->capabilities.dtype);
        lanes[i].weights_bytes = lane->capabilities.weights_bytes;
        lanes[i].workspace_bytes = lane->capabilities.workspace_bytes;
        lanes[i].tokens_max = lane->capabilities.tokens_max;
    }
    return count;
}
