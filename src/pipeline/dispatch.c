/* SPDX-License-Identifier: Apache-2.0 */
/* The scheduler in real time: one mutex around it, a thread a batch in flight, and the callers.
 *
 *     caller ─ submit ─┬─ a lane is idle: the caller takes the batch and computes it here
 *                      └─ all are busy: it sleeps; the lanes' workers take what waits
 *
 * A blocking call on an idle lane thus costs no change of thread. When it is done and more work
 * waits, a worker goes on. Workers start when they are first needed, so a program that embeds a
 * file has none. Rows are handed to their requests under the mutex: a request that is cancelled
 * meanwhile is not written to. The alternative, a pin count on each request, is not worth its cost
 * while a batch's rows are some tens of microseconds of copying. */
#include "pipeline/pipeline_internal.h"

#include <string.h>

#include "apple/system.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/fail.h"
#include "base/mem.h"

#define SLOT_BYTES_MAX   ((size_t)1 << 40)
#define SYNC_HANG_NS     ((uint64_t)60 * 1000000000) /* nothing can be done about those */
#define ASYNC_HANG_NS    ((uint64_t)500 * 1000000)
#define WAIT_SLACK_NS    ((uint64_t)1000000)
#define FIRST_BASE_NS    30000.0 /* a guess until the first batches are in */
#define FLOPS_PER_NS     100.0   /* ... of one thread */
#define FOLLOWERS_MAX    1024    /* of one request; more count as waiting tokens */
#define RULES_LIMIT_WORK 32
#define RULES_LIMIT_CPU  8

const char *tandem__reason_text(sched_reason reason) {
    switch (reason) {
    case SCHED_REASON_ASKED:
        return "asked for";
    case SCHED_REASON_FALLBACK:
        return "fallback: the lane asked for is out of service";
    case SCHED_REASON_EARLIEST:
        return "earliest predicted finish";
    case SCHED_REASON_OVERFLOW:
        return "latency lane helps to keep the bound of other work";
    case SCHED_REASON_AGED:
        return "had waited for its age limit";
    case SCHED_REASON_ONLY:
        return "only lane that may serve";
    case SCHED_REASON_SPREAD:
        return "heat: load spread over the lanes by their rates";
    case SCHED_REASON_RULE:
        return "selected rule";
    case SCHED_REASON_RETRY:
        return "retry after a failed batch";
    case SCHED_REASON_CACHE:
        return "cached";
    case SCHED_REASON_CLASS:
        return "lane of the classes that the request may use";
    case SCHED_REASON_LENGTH:
        return "lane that takes a text this long";
    case SCHED_REASON_NONE:
        break;
    }
    return "nothing to compute";
}

/* What the scheduler is told of a lane before it has been measured. */
static sched_lane_options describe_lane(const tandem_engine *engine, int32_t index) {
    const engine_lane *lane = &engine->lanes[index];
    const tandem_lane_class lane_class = lane->backend->lane_class;
    const tandem_plan *plan = engine->source->plan;
    const double flops = 2.0 * (double)(plan->parameters - (int64_t)plan->vocab * plan->hidden);
    const int32_t limit = lane_class == TANDEM_CLASS_LATENCY      ? 1
                          : lane_class == TANDEM_CLASS_BACKGROUND ? RULES_LIMIT_CPU
                                                                  : RULES_LIMIT_WORK;
    sched_lane_options options = {.name = lane->backend->name,
                                  .lane_class = lane_class,
                                  .tokens_max = engine->batch_tokens,
                                  .sequences_max = PIPELINE_SEQUENCES_MAX,
                                  .slots = 1,
                                  .slots_max = SCHED_SLOTS_MAX,
                                  .rules_limit = limit,
                                  .batch_tokens = engine->batch_tokens,
                                  .hang_min_ns = SYNC_HANG_NS};
    const double threads = tandem__pool_threads(engine->pool);
    tandem__service_init(&options.service, FIRST_BASE_NS,
                         (flops > 0 ? flops : 1.0) / (FLOPS_PER_NS * threads));
    options.service.largest = engine->batch_tokens;
    return options;
}

tandem_status tandem__dispatch_open(tandem_engine *engine, tandem_error *err) {
    pipeline_dispatch *dispatch = &engine->dispatch;
    sched_options options = {.policy = engine->policy,
                             .lane_count = engine->lane_count,
                             .tokens_max = engine->queue_tokens_max,
                             .tenant_tokens_max = engine->tenant_tokens_max,
                             .queue_ns_max = engine->queue_ns_max};
    for (int32_t i = 0; i < engine->lane_count; i++) options.lanes[i] = describe_lane(engine, i);
    TANDEM_TRY(tandem__sched_open(&options, &dispatch->scheduler, err));
    dispatch->tick_ns = UINT64_MAX;
    const size_t slots = (size_t)engine->lane_count * SCHED_SLOTS_MAX;
    dispatch->slots = tandem__mem_calloc(slots, sizeof *dispatch->slots);
    dispatch->workers = tandem__mem_calloc(slots, sizeof *dispatch->workers);
    if (dispatch->slots == NULL || dispatch->workers == NULL)
        return TANDEM_FAIL(err, MEMORY, "no memory for %zu batches in flight", slots);
    for (size_t i = 0; i < slots; i++) {
        tandem__buffer_init(&dispatch->slots[i].pack, SLOT_BYTES_MAX);
        tandem__buffer_init(&dispatch->slots[i].raw, SLOT_BYTES_MAX);
        dispatch->workers[i].engine = engine;
        dispatch->workers[i].lane = (int32_t)(i / SCHED_SLOTS_MAX);
    }
    return TANDEM_OK;
}

void tandem__dispatch_lane_open(tandem_engine *engine, int32_t index) {
    pipeline_dispatch *dispatch = &engine->dispatch;
    if (dispatch->scheduler == NULL) return;
    const tandem_capabilities *has = &engine->lanes[index].capabilities;
    (void)pthread_mutex_lock(&dispatch->mutex);
    sched_lane *lane = &dispatch->scheduler->lanes[index];
    if (has->tokens_max < lane->options.tokens_max) lane->options.tokens_max = has->tokens_max;
    if (has->sequences_max < lane->options.sequences_max)
        lane->options.sequences_max = has->sequences_max;
    const int32_t longest =
        has->bucket_count > 0 ? has->buckets[has->bucket_count - 1] : has->tokens_max;
    if (longest < engine->source->plan->positions_max) lane->options.unit_tokens_max = longest;
    if (!has->is_synchronous) lane->options.hang_min_ns = ASYNC_HANG_NS;
    lane->options.slots_max =
        has->in_flight_max < SCHED_SLOTS_MAX ? has->in_flight_max : SCHED_SLOTS_MAX;
    tandem__sched_lane_found(dispatch->scheduler, index, tandem__clock_ns());
    (void)pthread_mutex_unlock(&dispatch->mutex);
}

void tandem__dispatch_lane_lost(tandem_engine *engine, int32_t index) {
    pipeline_dispatch *dispatch = &engine->dispatch;
    if (dispatch->scheduler == NULL) return;
    (void)pthread_mutex_lock(&dispatch->mutex);
    dispatch->scheduler->lanes[index].state = SCHED_LANE_MISSING;
    (void)pthread_mutex_unlock(&dispatch->mutex);
}

static pipeline_slot *slot_of(const tandem_engine *engine, const sched_batch *batch) {
    const sched *scheduler = engine->dispatch.scheduler;
    return &engine->dispatch.slots[batch - scheduler->batches];
}

static bool is_drained(const pipeline_dispatch *dispatch) {
    return dispatch->scheduler->alive == NULL && dispatch->telling == 0;
}

static pipeline_job **leader_slot(pipeline_dispatch *dispatch, const pipeline_job *job) {
    return &dispatch->leaders[job->hash & (PIPELINE_LEADERS_MAX - 1)];
}

static bool is_same_text(const pipeline_job *a, const pipeline_job *b) {
    if (a->hash != b->hash || a->output != b->output) return false;
    const pipeline_key x = tandem__unit_key(a, (const void *)a->result->memory->units.ptr);
    const pipeline_key y = tandem__unit_key(b, (const void *)b->result->memory->units.ptr);
    if (x.tokens != y.tokens || x.skip != y.skip) return false;
    if ((x.types == NULL) != (y.types == NULL)) return false;
    const size_t bytes = (size_t)x.tokens * sizeof(int32_t);
    if (memcmp(x.ids, y.ids, bytes) != 0) return false;
    return x.types == NULL || memcmp(x.types, y.types, bytes) == 0;
}

/* Whether `leader`, which computes already, serves `job` at least as soon as a lane of its own
 * would: it is as urgent and free to use the same lanes. */
static bool may_follow(const pipeline_job *leader, const pipeline_job *job) {
    const uint8_t led = leader->sched.classes;
    const uint8_t own = job->sched.classes;
    if (led != 0 && (own == 0 || (own & ~led) != 0)) return false;
    return leader->sched.priority <= job->sched.priority &&
           leader->follower_count < FOLLOWERS_MAX && is_same_text(leader, job);
}

/* Hands a job to the scheduler, or to the job that computes the same already. */
static tandem_status begin(pipeline_job *job, tandem_error *err) {
    pipeline_dispatch *dispatch = &job->engine->dispatch;
    pipeline_job **slot = job->hash != 0 ? leader_slot(dispatch, job) : NULL;
    if (slot != NULL && *slot != NULL && may_follow(*slot, job)) {
        job->leader = *slot;
        job->next_over = (*slot)->followers;
        (*slot)->followers = job;
        (*slot)->follower_count++;
        return TANDEM_OK;
    }
    TANDEM_TRY(tandem__sched_submit(dispatch->scheduler, &job->sched, tandem__clock_ns(),
                                    &job->result->retry_ns, err));
    if (slot != NULL && *slot == NULL) *slot = job;
    tandem__histogram_add(&job->engine->metrics->queue_depth,
                          (uint64_t)dispatch->scheduler->waiting_jobs - 1);
    return TANDEM_OK;
}

/* A job that the scheduler does not hold is over. */
static void end(pipeline_job *job, tandem_status status) {
    pipeline_dispatch *dispatch = &job->engine->dispatch;
    job->sched.status = status;
    job->sched.reason = SCHED_REASON_CACHE;
    job->sched.served_lane = SCHED_NO_LANE;
    job->leader = NULL;
    job->next_over = dispatch->over;
    dispatch->over = job;
}

/* What a leader's followers do now: take its row from the cache, or compute after all. */
static void release_followers(pipeline_job *leader) {
    pipeline_dispatch *dispatch = &leader->engine->dispatch;
    pipeline_job **slot = leader->hash != 0 ? leader_slot(dispatch, leader) : NULL;
    if (slot != NULL && *slot == leader) *slot = NULL;
    pipeline_job *job = leader->followers;
    leader->followers = NULL;
    while (job != NULL) {
        pipeline_job *next = job->next_over;
        struct tandem_result_memory *memory = job->result->memory;
        const pipeline_unit *unit = (const void *)memory->units.ptr;
        const pipeline_key key = tandem__unit_key(job, unit);
        float *row = (void *)memory->row.ptr;
        job->leader = NULL;
        tandem_status status = TANDEM_OK;
        if (tandem__cache_get(job->engine->cache, &key, job->hash, row, job->width)) {
            tandem__rows_add(job, unit, 1, row);
            job->result->cached++;
            end(job, TANDEM_OK);
        } else {
            if (leader->sched.status == TANDEM_OK) job->hash = 0; // not kept: all at once, then
            status = begin(job, &job->error);
        }
        if (status != TANDEM_OK) end(job, status);
        job = next;
    }
}

/* The next job that is over, or NULL. */
static pipeline_job *next_over(pipeline_dispatch *dispatch) {
    pipeline_job *job = dispatch->over;
    if (job != NULL) {
        dispatch->over = job->next_over;
        return job;
    }
    job = (pipeline_job *)(void *)tandem__sched_finished(dispatch->scheduler);
    if (job != NULL) release_followers(job);
    return job;
}

/* Callers of jobs that are over; called with the mutex, which is released around callbacks. */
static void deliver(tandem_engine *engine) {
    pipeline_dispatch *dispatch = &engine->dispatch;
    pipeline_job *first = NULL;
    pipeline_job **last = &first;
    for (;;) {
        pipeline_job *job = next_over(dispatch);
        if (job == NULL) break;
        job->is_over = true;
        if (job->finished == NULL) {
            (void)pthread_cond_signal(&job->result->memory->over);
            continue;
        }
        job->next_over = NULL;
        *last = job;
        last = &job->next_over;
    }
    if (first != NULL) {
        dispatch->telling++;
        (void)pthread_mutex_unlock(&dispatch->mutex);
        while (first != NULL) {
            pipeline_job *next = first->next_over;
            first->finished(first);
            first = next;
        }
        (void)pthread_mutex_lock(&dispatch->mutex);
        dispatch->telling--;
    }
    if (dispatch->is_refusing && is_drained(dispatch))
        (void)pthread_cond_broadcast(&dispatch->drained);
}

/* Wakes a worker of each lane that has a slot free, except `busy`, where something waits. */
static void wake_workers(tandem_engine *engine, int32_t busy);

/* Units of a batch that is given up wait again, for other lanes. */
static void tick(tandem_engine *engine) {
    pipeline_dispatch *dispatch = &engine->dispatch;
    dispatch->tick_ns = tandem__sched_tick(dispatch->scheduler, tandem__clock_ns());
    wake_workers(engine, SCHED_NO_LANE);
}

/* What is due: work that is too late is dropped also while no lane rests. */
static void tick_if_due(tandem_engine *engine) {
    if (tandem__clock_ns() < engine->dispatch.tick_ns) return;
    tick(engine);
    deliver(engine);
}

/* Waits for an asynchronous lane, until the scheduler gives the batch up. */
static tandem_status wait_for(tandem_engine *engine, const sched_batch *batch, tandem_ticket ticket,
                              tandem_error *err) {
    engine_lane *lane = &engine->lanes[batch->lane];
    for (;;) {
        const uint64_t now_ns = tandem__clock_ns();
        const uint64_t left_ns = batch->give_up_ns > now_ns ? batch->give_up_ns - now_ns : 0;
        tandem_error late = {.status = TANDEM_OK};
        const tandem_status status =
            lane->backend->wait(lane->lane, ticket, left_ns + WAIT_SLACK_NS, &late);
        if (status != TANDEM_TIMEOUT) {
            if (err != NULL && status != TANDEM_OK) *err = late;
            return status;
        }
        (void)pthread_mutex_lock(&engine->dispatch.mutex);
        tick(engine);
        const bool is_given_up = batch->state == SCHED_SLOT_HUNG;
        deliver(engine);
        (void)pthread_mutex_unlock(&engine->dispatch.mutex);
        if (!is_given_up) continue;
        lane->backend->abandon(lane->lane, ticket);
        return TANDEM_FAIL(err, TIMEOUT, "lane %s hung", lane->backend->name);
    }
}

static tandem_status compute(tandem_engine *engine, const sched_batch *batch, pipeline_slot *slot,
                             const tandem_batch *packed, tandem_error *err) {
    engine_lane *lane = &engine->lanes[batch->lane];
    const tandem_output output =
        batch->item_count == 0 ? TANDEM_OUTPUT_TOKENS : (tandem_output)batch->kind;
    const size_t bytes = tandem__batch_floats(engine, batch) * sizeof(float);
    slot->raw.len = 0;
    TANDEM_TRY(tandem__buffer_reserve(&slot->raw, bytes, err));
    tandem_ticket ticket = 0;
    TANDEM_TRY(
        lane->backend->submit(lane->lane, packed, output, (void *)slot->raw.ptr, &ticket, err));
    return wait_for(engine, batch, ticket, err);
}

/* Where engines share the machine, one batch at a time on each processor. */
static tandem_status compute_in_turn(tandem_engine *engine, sched_batch *batch, pipeline_slot *slot,
                                     const tandem_batch *packed, tandem_error *err) {
    if (engine->share == NULL) return compute(engine, batch, slot, packed, err);
    pipeline_gate *gate = &engine->share->gates[batch->lane];
    tandem__gate_enter(gate, batch->is_realtime);
    (void)pthread_mutex_lock(&engine->dispatch.mutex);
    tandem__sched_started(batch, tandem__clock_ns());
    (void)pthread_mutex_unlock(&engine->dispatch.mutex);
    const tandem_status status = compute(engine, batch, slot, packed, err);
    tandem__gate_leave(gate);
    return status;
}

/* Computes a batch that was taken; called with the mutex, which is released meanwhile. */
static void run_batch(tandem_engine *engine, sched_batch *batch) {
    pipeline_dispatch *dispatch = &engine->dispatch;
    pipeline_slot *slot = slot_of(engine, batch);
    const int32_t lane = batch->lane;
    const uint64_t retried = dispatch->scheduler->counters.retried_units;
    tandem_error err = {.status = TANDEM_OK};
    tandem_batch packed = {.sequences = 0};
    if (batch->give_up_ns < dispatch->tick_ns) dispatch->tick_ns = batch->give_up_ns;
    tandem_status status = tandem__batch_pack(engine, batch, slot, &packed, &err);
    wake_workers(engine, SCHED_NO_LANE);
    (void)pthread_mutex_unlock(&dispatch->mutex);
    bool is_any = false;
    if (status == TANDEM_OK) status = compute_in_turn(engine, batch, slot, &packed, &err);
    if (status == TANDEM_OK) is_any = tandem__batch_look(engine, batch, &packed, slot);
    (void)pthread_mutex_lock(&dispatch->mutex);
    for (uint32_t i = 0; status != TANDEM_OK && i < batch->item_count; i++) {
        pipeline_job *job = (pipeline_job *)(void *)batch->items[i].job;
        if (job != NULL) job->error = err;
    }
    if (status == TANDEM_OK && batch->item_count > 0)
        is_any = tandem__batch_scatter(engine, batch, &packed, slot);
    tandem__sched_done(dispatch->scheduler, batch, tandem__clock_ns(), status,
                       is_any ? slot->failed : NULL);
    if (dispatch->scheduler->counters.retried_units != retried) wake_workers(engine, lane);
    if (dispatch->scheduler->lanes[lane].state == SCHED_LANE_OUT)
        tandem__watch_start(engine); // its worker has to probe it, also where all calls block
}

static uint64_t next_look_ns(const pipeline_dispatch *dispatch, uint64_t wake_ns) {
    return wake_ns < dispatch->tick_ns ? wake_ns : dispatch->tick_ns;
}

static void *work(void *context) {
    pipeline_worker *worker = context;
    tandem_engine *engine = worker->engine;
    pipeline_dispatch *dispatch = &engine->dispatch;
    tandem__system_thread(SYSTEM_THREAD_COMPUTE);
    (void)pthread_mutex_lock(&dispatch->mutex);
    for (tick_if_due(engine); !dispatch->is_closing; tick_if_due(engine)) {
        uint64_t wake_ns = UINT64_MAX;
        sched_batch *batch =
            tandem__sched_take(dispatch->scheduler, worker->lane, tandem__clock_ns(), &wake_ns);
        if (batch != NULL) {
            run_batch(engine, batch);
            deliver(engine);
            continue;
        }
        worker->is_asleep = true;
        tandem__cond_wait(&engine->lanes[worker->lane].wake, &dispatch->mutex,
                          next_look_ns(dispatch, wake_ns));
        worker->is_asleep = false;
    }
    (void)pthread_mutex_unlock(&dispatch->mutex);
    return NULL;
}

static bool start_worker(pipeline_worker *worker) {
    if (!worker->is_started && !worker->engine->dispatch.is_closing)
        worker->is_started = pthread_create(&worker->thread, NULL, work, worker) == 0;
    return worker->is_started;
}

static void wake_callers(const pipeline_dispatch *dispatch) {
    for (sched_job *alive = dispatch->scheduler->alive; alive != NULL; alive = alive->next_alive) {
        const pipeline_job *job = (const pipeline_job *)(void *)alive;
        if (job->finished == NULL) (void)pthread_cond_signal(&job->result->memory->over);
    }
}

/* Where no worker can be started the callers that wait compute themselves; it is tried again with
 * the next request. */
void tandem__dispatch_wake_lane(tandem_engine *engine, int32_t index) {
    pipeline_dispatch *dispatch = &engine->dispatch;
    pipeline_worker *workers = dispatch->workers + (size_t)index * SCHED_SLOTS_MAX;
    for (int32_t i = 0; i < dispatch->scheduler->lanes[index].slots; i++) {
        if (!workers[i].is_started) {
            if (!start_worker(&workers[i])) wake_callers(dispatch);
            return;
        }
        if (!workers[i].is_asleep) continue;
        (void)pthread_cond_signal(&engine->lanes[index].wake);
        return;
    }
}

static void wake_workers(tandem_engine *engine, int32_t busy) {
    const sched *scheduler = engine->dispatch.scheduler;
    if (scheduler->waiting_jobs == 0) return;
    for (int32_t i = 0; i < engine->lane_count; i++) {
        const sched_lane *lane = &scheduler->lanes[i];
        if (i == busy || lane->state != SCHED_LANE_UP) continue;
        if (lane->running + lane->hung < lane->slots) tandem__dispatch_wake_lane(engine, i);
    }
}

/* FNV-1a; a collision of two tenants' names makes them share a bound. */
static uint32_t tenant_of(pipeline_dispatch *dispatch, const char *name) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (const char *c = name == NULL ? "" : name; *c != 0; c++)
        hash = (hash ^ (uint8_t)*c) * 0x100000001b3u;
    hash |= 1;
    uint32_t free = SCHED_TENANTS_MAX;
    for (uint32_t i = 0; i < SCHED_TENANTS_MAX; i++) {
        const uint32_t at = (uint32_t)((hash + i) % SCHED_TENANTS_MAX);
        if (dispatch->tenants[at] == hash) return at;
        if (free == SCHED_TENANTS_MAX && dispatch->scheduler->tenant_tokens[at] == 0) free = at;
        if (dispatch->tenants[at] == 0) break;
    }
    if (free == SCHED_TENANTS_MAX) return (uint32_t)(hash % SCHED_TENANTS_MAX);
    dispatch->tenants[free] = hash;
    return free;
}

/* By its first unit that is computed: the same when the request is tried again. */
static uint64_t identity_of(const pipeline_job *job) {
    const pipeline_unit *units = (const void *)job->result->memory->units.ptr;
    const pipeline_key key = tandem__unit_key(job, &units[tandem__job_unit(job, 0)]);
    const uint64_t who = (uint64_t)job->sched.tenant << 32 | job->sched.unit_count;
    return (tandem__cache_hash(&key) ^ who * 0x9e3779b97f4a7c15u) | 1u << 31;
}

/* Called with the mutex. */
static tandem_status submit(pipeline_job *job, tandem_error *err) {
    pipeline_dispatch *dispatch = &job->engine->dispatch;
    if (dispatch->is_refusing)
        return TANDEM_FAIL(err, CANCELLED, "the engine is closing: no request is taken in");
    job->sched.tenant = tenant_of(dispatch, job->request.tenant);
    if (job->engine->queue_ns_max > 0) job->sched.identity = identity_of(job);
    TANDEM_TRY(begin(job, err));
    const uint64_t deadline_ns = job->sched.deadline_ns;
    if (deadline_ns > 0 && deadline_ns < dispatch->tick_ns) dispatch->tick_ns = deadline_ns;
    return TANDEM_OK;
}

/* What an idle lane would do now, on this thread; probes are for its worker, if there is one. Once
 * the caller's own work is on lanes, other work is for their workers. */
static sched_batch *take_any(tandem_engine *engine, const pipeline_job *job, uint64_t *wake_ns) {
    sched *scheduler = engine->dispatch.scheduler;
    const bool is_waiting = job->sched.waiting_units > 0;
    for (int32_t i = 0; i < engine->lane_count; i++) {
        const bool is_up = scheduler->lanes[i].state == SCHED_LANE_UP;
        const bool has_worker = engine->dispatch.workers[i * SCHED_SLOTS_MAX].is_started;
        if (has_worker && (!is_up || !is_waiting)) continue;
        const uint64_t now_ns = tandem__clock_ns();
        sched_batch *batch = is_up ? tandem__sched_take_work(scheduler, i, now_ns, wake_ns)
                                   : tandem__sched_take(scheduler, i, now_ns, wake_ns);
        if (batch != NULL) return batch;
    }
    return NULL;
}

tandem_status tandem__dispatch_run(pipeline_job *job, tandem_error *err) {
    tandem_engine *engine = job->engine;
    pipeline_dispatch *dispatch = &engine->dispatch;
    (void)pthread_mutex_lock(&dispatch->mutex);
    const tandem_status status = submit(job, err);
    while (status == TANDEM_OK && !job->is_over) {
        uint64_t wake_ns = UINT64_MAX;
        sched_batch *batch = take_any(engine, job, &wake_ns);
        if (batch != NULL) {
            run_batch(engine, batch);
        } else {
            tandem__cond_wait(&job->result->memory->over, &dispatch->mutex,
                              next_look_ns(dispatch, wake_ns));
            if (tandem__clock_ns() >= dispatch->tick_ns) tick(engine);
        }
        deliver(engine);
    }
    wake_workers(engine, SCHED_NO_LANE);
    (void)pthread_mutex_unlock(&dispatch->mutex);
    return status;
}

/* Nobody waits for the job who could compute it: its lanes need their threads. */
static tandem_status need_workers(const pipeline_job *job, tandem_error *err) {
    tandem_engine *engine = job->engine;
    for (int32_t i = 0; i < engine->lane_count; i++) {
        const sched_lane *lane = &engine->dispatch.scheduler->lanes[i];
        if (lane->state == SCHED_LANE_MISSING) continue;
        if (lane->options.lane_class == TANDEM_CLASS_NONE && i != job->lane) continue;
        if (!start_worker(&engine->dispatch.workers[i * SCHED_SLOTS_MAX]))
            return TANDEM_FAIL(err, MEMORY, "lane %s: the system gives no thread",
                               lane->options.name);
    }
    return TANDEM_OK;
}

tandem_status tandem__dispatch_start(pipeline_job *job, tandem_error *err) {
    tandem_engine *engine = job->engine;
    (void)pthread_mutex_lock(&engine->dispatch.mutex);
    tandem_status status = need_workers(job, err);
    if (status == TANDEM_OK) status = submit(job, err);
    tandem__watch_start(engine);
    wake_workers(engine, SCHED_NO_LANE);
    (void)pthread_mutex_unlock(&engine->dispatch.mutex);
    return status;
}

void tandem__dispatch_cancel(pipeline_job *job) {
    tandem_engine *engine = job->engine;
    (void)pthread_mutex_lock(&engine->dispatch.mutex);
    if (job->leader != NULL) {
        pipeline_job **link = &job->leader->followers;
        while (*link != job) link = &(*link)->next_over;
        *link = job->next_over;
        job->leader->follower_count--;
        end(job, TANDEM_CANCELLED);
    } else {
        tandem__sched_cancel(engine->dispatch.scheduler, &job->sched, tandem__clock_ns());
    }
    deliver(engine);
    wake_workers(engine, SCHED_NO_LANE); // its followers may compute now
    (void)pthread_mutex_unlock(&engine->dispatch.mutex);
}

bool tandem__dispatch_drain(tandem_engine *engine, uint64_t until_ns) {
    pipeline_dispatch *dispatch = &engine->dispatch;
    (void)pthread_mutex_lock(&dispatch->mutex);
    dispatch->is_refusing = true;
    while (!is_drained(dispatch) && tandem__clock_ns() < until_ns)
        tandem__cond_wait(&dispatch->drained, &dispatch->mutex, until_ns);
    const bool is_done = dispatch->scheduler->alive == NULL;
    while (dispatch->scheduler->alive != NULL) { // followers of a cancelled job come after it
        tandem__sched_cancel(dispatch->scheduler, dispatch->scheduler->alive, tandem__clock_ns());
        deliver(engine);
    }
    while (dispatch->telling > 0)
        tandem__cond_wait(&dispatch->drained, &dispatch->mutex, UINT64_MAX);
    (void)pthread_mutex_unlock(&dispatch->mutex);
    return is_done;
}

void tandem__dispatch_close(tandem_engine *engine) {
    pipeline_dispatch *dispatch = &engine->dispatch;
    if (dispatch->scheduler == NULL) return;
    const size_t slots = (size_t)engine->lane_count * SCHED_SLOTS_MAX;
    (void)pthread_mutex_lock(&dispatch->mutex);
    dispatch->is_closing = true;
    for (int32_t i = 0; i < engine->lane_count; i++)
        (void)pthread_cond_broadcast(&engine->lanes[i].wake);
    (void)pthread_cond_broadcast(&dispatch->watch.wake);
    (void)pthread_mutex_unlock(&dispatch->mutex);
    tandem__watch_close(&dispatch->watch);
    for (size_t i = 0; dispatch->workers != NULL && i < slots; i++) {
        if (dispatch->workers[i].is_started) (void)pthread_join(dispatch->workers[i].thread, NULL);
    }
    for (size_t i = 0; dispatch->slots != NULL && i < slots; i++) {
        tandem__buffer_deinit(&dispatch->slots[i].pack);
        tandem__buffer_deinit(&dispatch->slots[i].raw);
    }
    tandem__mem_free(dispatch->workers);
    tandem__mem_free(dispatch->slots);
    tandem__sched_close(dispatch->scheduler);
}
