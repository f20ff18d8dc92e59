/* SPDX-License-Identifier: Apache-2.0 */
/* The scheduler in virtual time: see tandem/simulate.h. One loop goes from event to event (an
 * arrival, a batch that is done, a fault, a time at which the scheduler wants to be asked again)
 * and does what the engine's threads do in real time. */
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/fail.h"
#include "base/histogram.h"
#include "base/mem.h"
#include "pipeline/simulate_internal.h"
#include "sched/observers.h"

#define MS               1e6
#define SLOTS            SCHED_SLOTS_MAX
#define BATCH_MAX        1024 /* texts of one request */
#define REQUESTS_DEFAULT 100000
#define TOKENS_DEFAULT   ((int64_t)1 << 20)
#define HANG_MIN_NS      ((uint64_t)100000000)
#define DRAIN_NS_MAX     ((uint64_t)3600 * 1000000000) /* after the last arrival */
#define QUARTERS         4
#define DISPATCH_TOKENS  65536

typedef struct sim_request {
    sched_job job; /* first: a finished job is its request */
    int64_t index; /* of its arrival */
    bool is_alive;
} sim_request;

typedef struct sim_flight {
    sched_batch *batch; /* NULL = none */
    tandem_ticket ticket;
    uint64_t done_ns;
} sim_flight;

typedef struct simulation {
    const tandem_simulation_options *options;
    tandem_simulation_report *report;
    simulate_machine machine;
    simulate_faults faults;
    int32_t next_fault;
    sched *scheduler;
    tandem_lane *lanes[TANDEM_SIMULATION_LANES];
    sim_flight flights[TANDEM_SIMULATION_LANES][SLOTS];
    sim_request *requests; /* [request_count] */
    size_t request_count;
    size_t *free_list; /* indices; a stack */
    size_t free_count;
    int64_t alive;
    uint64_t now_ns;
    uint64_t wake_ns;
    uint64_t tick_ns;
    uint64_t observe_ns;
    sched_observers observers;
    int32_t speed_percent[TANDEM_SIMULATION_LANES];
    simulate_traffic traffic;
    tandem_random random; /* what kind a request is, and other choices */
    int64_t offered;
    int64_t answered_texts;
    int64_t measured_texts; /* offered after the warm-up */
    int32_t batch;
    int32_t unit_tokens[BATCH_MAX];
    int32_t *ids; /* zeros */
    int32_t offsets[SCHED_UNITS_MAX + 1];
    float out[SCHED_UNITS_MAX];
    bool failed[SCHED_UNITS_MAX];
    tandem_histogram all;
    tandem_histogram bands[SCHED_BANDS];
    tandem_histogram quarters[QUARTERS];
} simulation;

static uint64_t virtual_clock(void *context) {
    return ((const simulation *)context)->now_ns;
}

static tandem_status check_options(const tandem_simulation_options *options, tandem_error *err) {
    if (!(options->load > 0 && options->load <= 100))
        return TANDEM_FAIL(err, INVALID, "load: %g, expected over 0 to 100", options->load);
    if (!(options->realtime >= 0 && options->background >= 0 &&
          options->realtime + options->background <= 1))
        return TANDEM_FAIL(err, INVALID,
                           "realtime %g and background %g: expected shares that make at most 1",
                           options->realtime, options->background);
    if (options->batch < 0 || options->batch > BATCH_MAX)
        return TANDEM_FAIL(err, INVALID, "batch: %d, expected 1 to %d", options->batch, BATCH_MAX);
    if (options->requests < 0)
        return TANDEM_FAIL(err, INVALID, "requests: %lld, expected 1 or more",
                           (long long)options->requests);
    if (!(options->cancelled >= 0 && options->cancelled <= 1))
        return TANDEM_FAIL(err, INVALID, "cancelled: %g, expected 0 to 1", options->cancelled);
    if (!(options->mistaken >= 0 && options->mistaken <= 100))
        return TANDEM_FAIL(err, INVALID, "mistaken: %g, expected a factor over 0 to 100",
                           options->mistaken);
    return TANDEM_OK;
}

static tandem_status parse_policy(const char *word, sched_policy *policy, tandem_error *err) {
    static const char *const words[] = {"predict", "rules", "rules-simple"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(word == NULL ? "predict" : word, words[i]) != 0) continue;
        *policy = (sched_policy)i;
        return TANDEM_OK;
    }
    return TANDEM_FAIL(err, INVALID, "policy: \"%s\", expected predict, rules or rules-simple",
                       word);
}

static tandem_status open_lanes(simulation *sim, sched_options *options, tandem_error *err) {
    const double mistaken = sim->options->mistaken > 0 ? sim->options->mistaken : 1;
    for (int i = 0; i < sim->machine.lane_count; i++) {
        const simulate_lane *lane = &sim->machine.lanes[i];
        const int32_t tokens_max = lane->texts_max * sim->machine.text_tokens;
        const tandem_sim_options made = {
            .name = lane->name,
            .lane_class = lane->lane_class,
            .base_ns = lane->base_ns,
            .text_ns = lane->text_ns,
            .token_ns = lane->token_ns,
            .jitter = lane->jitter,
            .tokens_max = tokens_max,
            .sequences_max = lane->texts_max,
            .in_flight_max = SLOTS,
            .width = 1,
            .seed = sim->options->seed * 31 + (uint64_t)i,
            .clock = virtual_clock,
            .clock_context = sim,
        };
        TANDEM_TRY(tandem__sim_open(&made, &sim->lanes[i], err));
        sched_lane_options *to = &options->lanes[i];
        *to = (sched_lane_options){.name = lane->name,
                                   .lane_class = lane->lane_class,
                                   .tokens_max = tokens_max,
                                   .sequences_max = lane->texts_max,
                                   .slots = lane->slots,
                                   .slots_max = lane->slots_max,
                                   .rules_limit = lane->rules_limit,
                                   .hang_min_ns = HANG_MIN_NS,
                                   .is_available = sim->options->lanes_out == NULL ||
                                                   !sim->options->lanes_out[i]};
        tandem__service_init(&to->service, mistaken * lane->base_ns,
                             mistaken *
                                 (lane->token_ns + lane->text_ns / sim->machine.text_tokens));
        to->service.largest = tokens_max;
    }
    options->lane_count = sim->machine.lane_count;
    return TANDEM_OK;
}

static tandem_status open_memory(simulation *sim, int64_t tokens_max, tandem_error *err) {
    /* Waiting ones, in the worst case of one text each, and those in flight. */
    sim->request_count = (size_t)(tokens_max / sim->machine.text_tokens) + 2 +
                         (size_t)sim->machine.lane_count * SLOTS * SCHED_UNITS_MAX;
    sim->requests = tandem__mem_calloc(sim->request_count, sizeof *sim->requests);
    sim->free_list = tandem__mem_calloc(sim->request_count, sizeof *sim->free_list);
    sim->ids = tandem__mem_calloc((size_t)SCHED_UNITS_MAX * (size_t)sim->machine.text_tokens,
                                  sizeof *sim->ids);
    if (sim->requests == NULL || sim->free_list == NULL || sim->ids == NULL)
        return TANDEM_FAIL(err, MEMORY, "no memory for %zu simulated requests", sim->request_count);
    for (size_t i = sim->request_count; i-- > 0;) sim->free_list[sim->free_count++] = i;
    for (int i = 0; i < BATCH_MAX; i++) sim->unit_tokens[i] = sim->machine.text_tokens;
    for (int i = 0; i <= SCHED_UNITS_MAX; i++) sim->offsets[i] = i * sim->machine.text_tokens;
    return TANDEM_OK;
}

static tandem_status simulation_open(simulation *sim, tandem_error *err) {
    const tandem_simulation_options *options = sim->options;
    TANDEM_TRY(check_options(options, err));
    TANDEM_TRY(tandem__simulate_machine(options->machine, &sim->machine, err));
    TANDEM_TRY(tandem__simulate_faults(options->faults, &sim->machine, &sim->faults, err));
    sched_options made = {.policy = SCHED_PREDICT};
    TANDEM_TRY(parse_policy(options->policy, &made.policy, err));
    made.tokens_max = options->tokens_max > 0 ? (int64_t)options->tokens_max : TOKENS_DEFAULT;
    made.background_age_ns = (uint64_t)(options->background_age_ms * MS);
    TANDEM_TRY(open_lanes(sim, &made, err));
    TANDEM_TRY(open_memory(sim, made.tokens_max, err));
    TANDEM_TRY(tandem__sched_open(&made, &sim->scheduler, err));
    sim->batch = options->batch > 0 ? options->batch : 1;
    double capacity = 0;
    for (int i = 0; i < sim->machine.lane_count; i++)
        capacity += tandem__simulate_lane_rate(&sim->machine, &sim->machine.lanes[i]);
    const double texts_per_s = options->load * capacity;
    sim->report->load = options->load;
    sim->report->capacity_per_s = capacity;
    const double requests_per_s =
        texts_per_s * (options->realtime + (1 - options->realtime) / sim->batch);
    tandem__simulate_traffic_init(&sim->traffic, requests_per_s, options->is_bursty, options->seed);
    tandem__random_init(&sim->random, options->seed ^ 0x5bd1e995u);
    return TANDEM_OK;
}

static void simulation_close(simulation *sim) {
    while (sim->scheduler != NULL && sim->scheduler->alive != NULL)
        tandem__sched_cancel(sim->scheduler, sim->scheduler->alive, sim->now_ns);
    tandem__sched_close(sim->scheduler);
    for (int i = 0; i < sim->machine.lane_count; i++) tandem__backend_sim.close(sim->lanes[i]);
    tandem__mem_free(sim->requests);
    tandem__mem_free(sim->free_list);
    tandem__mem_free(sim->ids);
    tandem__mem_free(sim);
}

static uint64_t warmup_ns(const simulation *sim) {
    return (uint64_t)(sim->options->warmup_ms * MS);
}

/* A request that is over. */
static void settle(simulation *sim, sim_request *request) {
    tandem_simulation_report *report = sim->report;
    if (!request->is_alive) {
        report->doubled++;
        return;
    }
    request->is_alive = false;
    sim->alive--;
    sim->free_list[sim->free_count++] = (size_t)(request - sim->requests);
    const sched_job *job = &request->job;
    report->failed += job->failed_units;
    if (job->status == TANDEM_CANCELLED) report->cancelled++;
    if (job->status == TANDEM_TIMEOUT) report->expired++;
    if (job->status == TANDEM_DEVICE) report->dropped++;
    if (job->status != TANDEM_OK) return;
    report->answered++;
    const int64_t total = sim->options->requests > 0 ? sim->options->requests : REQUESTS_DEFAULT;
    if (job->finished_ns >= warmup_ns(sim) && sim->offered < total)
        sim->answered_texts += job->unit_count;
    if (job->submitted_ns < warmup_ns(sim)) return;
    const uint64_t ns = job->finished_ns - job->submitted_ns;
    const int band = job->priority < 0    ? SCHED_REALTIME
                     : job->priority == 0 ? SCHED_STANDARD
                                          : SCHED_BACKGROUND;
    tandem__histogram_add(&sim->all, ns);
    tandem__histogram_add(&sim->bands[band], ns);
    const int64_t quarter = request->index * QUARTERS / total;
    tandem__histogram_add(&sim->quarters[quarter < QUARTERS ? quarter : QUARTERS - 1], ns);
}

static void settle_finished(simulation *sim) {
    for (;;) {
        sched_job *job = tandem__sched_finished(sim->scheduler);
        if (job == NULL) return;
        settle(sim, (sim_request *)(void *)job);
    }
}

static void batch_done(simulation *sim, int32_t lane, sim_flight *flight) {
    bool is_done = false;
    sched_batch *batch = flight->batch;
    const tandem_status status =
        tandem__backend_sim.poll(sim->lanes[lane], flight->ticket, &is_done, NULL);
    TANDEM_ASSERT(is_done);
    const uint32_t units = batch->units > 0 ? batch->units : 1;
    bool is_any = false;
    for (uint32_t u = 0; u < units; u++) {
        sim->failed[u] = isnan(sim->out[u]) != 0;
        is_any = is_any || sim->failed[u];
    }
    flight->batch = NULL;
    tandem__sched_done(sim->scheduler, batch, sim->now_ns, status, is_any ? sim->failed : NULL);
}

/* Starts what every free lane wants to start. */
static void dispatch(simulation *sim) {
    for (int32_t i = 0; i < sim->machine.lane_count; i++) {
        for (;;) {
            sched_batch *batch = tandem__sched_take(sim->scheduler, i, sim->now_ns, &sim->wake_ns);
            if (batch == NULL) break;
            sim_flight *flight = sim->flights[i];
            while (flight->batch != NULL) flight++;
            TANDEM_ASSERT(flight < sim->flights[i] + SLOTS);
            const int32_t units = batch->units > 0 ? (int32_t)batch->units : 1;
            const tandem_batch packed = {.ids = sim->ids,
                                         .offsets = sim->offsets,
                                         .tokens = sim->offsets[units],
                                         .sequences = units};
            flight->batch = batch;
            const tandem_status status = tandem__backend_sim.submit(
                sim->lanes[i], &packed, TANDEM_OUTPUT_POOLED, sim->out, &flight->ticket, NULL);
            TANDEM_ASSERT(status == TANDEM_OK);
            flight->done_ns = tandem__sim_done_ns(sim->lanes[i], flight->ticket);
            if (batch->give_up_ns < sim->tick_ns) sim->tick_ns = batch->give_up_ns;
        }
    }
}

/* Batches that the scheduler gave up are left behind. */
static void abandon_hung(simulation *sim) {
    for (int32_t i = 0; i < sim->machine.lane_count; i++) {
        for (sim_flight *flight = sim->flights[i]; flight < sim->flights[i] + SLOTS; flight++) {
            if (flight->batch == NULL || flight->batch->state != SCHED_SLOT_HUNG) continue;
            tandem__backend_sim.abandon(sim->lanes[i], flight->ticket);
            sched_batch *batch = flight->batch;
            flight->batch = NULL;
            tandem__sched_done(sim->scheduler, batch, sim->now_ns, TANDEM_TIMEOUT, NULL);
        }
    }
}

static void apply_fault(simulation *sim, const simulate_fault *fault) {
    tandem_sim_fault state = {.slow = 1};
    sim->speed_percent[fault->lane] = 100;
    switch (fault->kind) {
    case SIMULATE_WELL:
        break;
    case SIMULATE_DEAD:
        state.fail_share = 1;
        break;
    case SIMULATE_FAIL:
        state.fail_share = fault->value;
        break;
    case SIMULATE_NAN:
        state.nan_share = fault->value;
        break;
    case SIMULATE_HANG:
        state.is_hung = true;
        break;
    case SIMULATE_SLOW:
        state.slow = fault->value;
        break;
    case SIMULATE_HEAT:
        state.slow = 100 / fault->value;
        sim->speed_percent[fault->lane] = (int32_t)fault->value;
        break;
    }
    tandem__sim_fault(sim->lanes[fault->lane], &state);
}

/* As the engine's watch thread does. */
static void observe(simulation *sim) {
    sched_machine_view machine = {.memory_bytes = -1,
                                  .memory_available_bytes = -1,
                                  .memory_stall_percent = -1,
                                  .speed_percent = 100};
    for (int32_t i = 0; i < sim->machine.lane_count; i++) {
        if (sim->speed_percent[i] < machine.speed_percent)
            machine.speed_percent = sim->speed_percent[i];
    }
    (void)tandem__observe(&sim->observers, sim->scheduler, &machine, sim->now_ns);
    sim->observe_ns = sim->now_ns + OBSERVE_EVERY_NS;
}

static void offer(simulation *sim) {
    const tandem_simulation_options *options = sim->options;
    tandem_simulation_report *report = sim->report;
    const int64_t index = sim->offered++;
    report->offered++;
    /* Shares are of texts; a realtime request has one, others have `batch`. */
    const double kind = tandem__random_unit(&sim->random);
    const double others = (1 - options->realtime) / sim->batch;
    const double realtime = options->realtime / (options->realtime + others);
    const double background =
        options->realtime >= 1 ? 0 : options->background / (1 - options->realtime);
    const bool is_realtime = kind < realtime;
    const bool is_background = !is_realtime && kind < realtime + (1 - realtime) * background;
    const int32_t texts = is_realtime ? 1 : sim->batch;
    if (sim->now_ns >= warmup_ns(sim)) sim->measured_texts += texts;
    if (options->cancelled > 0 && tandem__random_unit(&sim->random) < options->cancelled) {
        sim_request *victim =
            &sim->requests[tandem__random_next(&sim->random) % sim->request_count];
        for (size_t i = 0; i < 64 && !victim->is_alive && sim->scheduler->alive != NULL; i++)
            victim = (sim_request *)(void *)sim->scheduler->alive;
        if (victim->is_alive) tandem__sched_cancel(sim->scheduler, &victim->job, sim->now_ns);
        settle_finished(sim);
    }
    TANDEM_ASSERT(sim->free_count > 0);
    sim_request *request = &sim->requests[sim->free_list[--sim->free_count]];
    *request = (sim_request){.index = index};
    sched_job *job = &request->job;
    job->unit_tokens = sim->unit_tokens;
    job->unit_count = (uint32_t)texts;
    job->texts = (uint32_t)texts;
    job->lane = SCHED_NO_LANE;
    job->priority = is_realtime ? -10 : is_background ? 10 : 0;
    if (is_realtime && options->deadline_ms > 0)
        job->deadline_ns = sim->now_ns + (uint64_t)(options->deadline_ms * MS);
    uint64_t retry_ns = 0;
    const tandem_status status =
        tandem__sched_submit(sim->scheduler, job, sim->now_ns, &retry_ns, NULL);
    if (status == TANDEM_OK) {
        request->is_alive = true;
        sim->alive++;
        if (sim->scheduler->waiting_jobs > report->queue_max)
            report->queue_max = sim->scheduler->waiting_jobs;
        if (job->deadline_ns > 0 && job->deadline_ns < sim->tick_ns)
            sim->tick_ns = job->deadline_ns;
        return;
    }
    sim->free_list[sim->free_count++] = (size_t)(request - sim->requests);
    if (status == TANDEM_TIMEOUT)
        report->expired++;
    else if (status == TANDEM_DEVICE)
        report->dropped++;
    else
        report->refused++;
}

static uint64_t earliest(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* Everything that happens at now_ns, except an arrival. */
static void happen(simulation *sim) {
    while (sim->next_fault < sim->faults.count &&
           sim->faults.list[sim->next_fault].at_ns <= sim->now_ns)
        apply_fault(sim, &sim->faults.list[sim->next_fault++]);
    for (int32_t i = 0; i < sim->machine.lane_count; i++) {
        for (sim_flight *flight = sim->flights[i]; flight < sim->flights[i] + SLOTS; flight++) {
            if (flight->batch != NULL && flight->done_ns <= sim->now_ns) batch_done(sim, i, flight);
        }
    }
    if (sim->tick_ns <= sim->now_ns) {
        sim->tick_ns = tandem__sched_tick(sim->scheduler, sim->now_ns);
        abandon_hung(sim);
    }
    if (sim->observe_ns <= sim->now_ns) observe(sim);
    settle_finished(sim);
}

static uint64_t next_event(const simulation *sim) {
    uint64_t at_ns = earliest(earliest(sim->wake_ns, sim->tick_ns), sim->observe_ns);
    if (sim->next_fault < sim->faults.count)
        at_ns = earliest(at_ns, sim->faults.list[sim->next_fault].at_ns);
    for (int32_t i = 0; i < sim->machine.lane_count; i++) {
        for (int f = 0; f < SLOTS; f++) {
            if (sim->flights[i][f].batch != NULL)
                at_ns = earliest(at_ns, sim->flights[i][f].done_ns);
        }
    }
    return at_ns;
}

static void run(simulation *sim) {
    const int64_t total = sim->options->requests > 0 ? sim->options->requests : REQUESTS_DEFAULT;
    uint64_t arrival_ns = tandem__simulate_arrival(&sim->traffic);
    uint64_t last_arrival_ns = 0;
    sim->tick_ns = UINT64_MAX;
    sim->wake_ns = UINT64_MAX;
    sim->observe_ns = OBSERVE_EVERY_NS;
    for (int i = 0; i < TANDEM_SIMULATION_LANES; i++) sim->speed_percent[i] = 100;
    while (sim->offered < total || sim->alive > 0) {
        const uint64_t event_ns = next_event(sim);
        const bool is_arrival = sim->offered < total && arrival_ns <= event_ns;
        const uint64_t at_ns = is_arrival ? arrival_ns : event_ns;
        if (at_ns == UINT64_MAX || at_ns > last_arrival_ns + DRAIN_NS_MAX + arrival_ns) break;
        if (at_ns > sim->now_ns) sim->now_ns = at_ns;
        sim->wake_ns = UINT64_MAX;
        if (is_arrival) {
            offer(sim);
            last_arrival_ns = arrival_ns;
            arrival_ns = tandem__simulate_arrival(&sim->traffic);
        } else {
            happen(sim);
        }
        dispatch(sim);
        settle_finished(sim);
        if (sim->options->is_checked) tandem__sched_check(sim->scheduler);
    }
    const uint64_t measured_ns = last_arrival_ns - earliest(warmup_ns(sim), last_arrival_ns);
    tandem_simulation_report *report = sim->report;
    report->seconds = (double)sim->now_ns / 1e9;
    report->offered_per_s =
        measured_ns > 0 ? (double)sim->measured_texts / (double)measured_ns * 1e9 : 0;
    report->answered_per_s =
        measured_ns > 0 ? (double)sim->answered_texts / (double)measured_ns * 1e9 : 0;
    report->lost = sim->alive;
}

static double ms_of(const tandem_histogram *histogram, double share) {
    return (double)tandem__histogram_quantile(histogram, share) / MS;
}

static void fill_report(const simulation *sim) {
    tandem_simulation_report *report = sim->report;
    report->realtime_p50_ms = ms_of(&sim->bands[SCHED_REALTIME], 0.5);
    report->realtime_p95_ms = ms_of(&sim->bands[SCHED_REALTIME], 0.95);
    report->realtime_max_ms = ms_of(&sim->bands[SCHED_REALTIME], 1);
    report->standard_p95_ms = ms_of(&sim->bands[SCHED_STANDARD], 0.95);
    report->standard_max_ms = ms_of(&sim->bands[SCHED_STANDARD], 1);
    report->background_p95_ms = ms_of(&sim->bands[SCHED_BACKGROUND], 0.95);
    report->background_max_ms = ms_of(&sim->bands[SCHED_BACKGROUND], 1);
    report->all_p95_ms = ms_of(&sim->all, 0.95);
    report->first_quarter_p95_ms = ms_of(&sim->quarters[0], 0.95);
    report->last_quarter_p95_ms = ms_of(&sim->quarters[QUARTERS - 1], 0.95);
    report->lane_count = sim->machine.lane_count;
    for (int i = 0; i < sim->machine.lane_count; i++) {
        const sched_lane *lane = &sim->scheduler->lanes[i];
        tandem_simulation_lane *to = &report->lanes[i];
        memcpy(to->name, sim->machine.lanes[i].name, sizeof to->name);
        to->utilisation =
            sim->now_ns > 0 ? (double)lane->busy_ns / (double)sim->now_ns / lane->slots : 0;
        to->texts = (int64_t)lane->units_done;
        to->batches = (int64_t)lane->batches_done;
        to->times_out = (int64_t)lane->times_out;
    }
}

tandem_status tandem_simulate(const tandem_simulation_options *options,
                              tandem_simulation_report *report, tandem_error *err) {
    *report = (tandem_simulation_report){.load = 0};
    simulation *sim = tandem__mem_calloc(1, sizeof *sim);
    if (sim == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for a simulation");
    sim->options = options;
    sim->report = report;
    const tandem_status status = simulation_open(sim, err);
    if (status == TANDEM_OK) {
        run(sim);
        fill_report(sim);
    }
    simulation_close(sim);
    return status;
}
