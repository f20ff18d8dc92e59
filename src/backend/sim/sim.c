/* SPDX-License-Identifier: Apache-2.0 */
/* See sim.h. Tickets are numbers of flights; the flights are a small array, searched. */
#include "backend/sim/sim.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/chance.h"
#include "base/fail.h"
#include "base/mem.h"

#define FLIGHTS_MAX 64
#define SLICE_NS    200000 /* a wait looks again this often */
#define NORMAL_MAX  3.0
#define FACTOR_MIN  0.5
#define FAIL_PART   0.1 /* of its service time until a dead lane says so */

typedef struct sim_flight {
    tandem_ticket ticket; /* 0 = free */
    uint64_t done_ns;
    bool fails;
} sim_flight;

typedef struct sim_lane {
    tandem_sim_options options;
    pthread_mutex_t mutex;
    tandem_sim_fault fault;
    tandem_random random;
    sim_flight flights[FLIGHTS_MAX];
    tandem_ticket last;
} sim_lane;

static void sim_probe(tandem_probe *probe) {
    *probe = (tandem_probe){.is_available = true};
    (void)snprintf(probe->device, sizeof probe->device, "simulated");
}

static bool sim_has_dtype(tandem_dtype dtype) {
    return dtype == TANDEM_DTYPE_F32;
}

tandem_status tandem__sim_open(const tandem_sim_options *options, tandem_lane **lane,
                               tandem_error *err) {
    if (options->in_flight_max < 1 || options->in_flight_max > FLIGHTS_MAX)
        return TANDEM_FAIL(err, INVALID, "%d batches in flight, expected 1 to %d",
                           options->in_flight_max, FLIGHTS_MAX);
    sim_lane *sim = tandem__mem_calloc(1, sizeof *sim);
    if (sim == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for a simulated lane");
    if (pthread_mutex_init(&sim->mutex, NULL) != 0) {
        tandem__mem_free(sim);
        return TANDEM_FAIL(err, MEMORY, "no memory for a mutex");
    }
    sim->options = *options;
    tandem__random_init(&sim->random, options->seed);
    *lane = (tandem_lane *)sim;
    return TANDEM_OK;
}

static tandem_status sim_open(const tandem_plan *plan, const tandem_backend_options *options,
                              tandem_lane **lane, tandem_error *err) {
    (void)plan;
    (void)options;
    (void)lane;
    return TANDEM_FAIL(err, UNSUPPORTED, "a simulated lane runs no model");
}

static void sim_capabilities(const tandem_lane *lane, tandem_capabilities *capabilities) {
    const sim_lane *sim = (const void *)lane;
    *capabilities = (tandem_capabilities){
        .dtype = TANDEM_DTYPE_F32,
        .tokens_max = sim->options.tokens_max,
        .sequences_max = sim->options.sequences_max,
        .in_flight_max = sim->options.in_flight_max,
        .buckets = sim->options.buckets,
        .bucket_count = sim->options.bucket_count,
        .is_exact = true,
    };
}

void tandem__sim_fault(tandem_lane *lane, const tandem_sim_fault *fault) {
    sim_lane *sim = (void *)lane;
    (void)pthread_mutex_lock(&sim->mutex);
    sim->fault = *fault;
    (void)pthread_mutex_unlock(&sim->mutex);
}

static double service_ns(sim_lane *sim, const tandem_batch *batch) {
    const tandem_sim_options *options = &sim->options;
    double ns =
        options->base_ns + options->text_ns * batch->sequences + options->token_ns * batch->tokens;
    if (options->jitter > 0) {
        double n = tandem__random_normal(&sim->random);
        if (n > NORMAL_MAX) n = NORMAL_MAX;
        const double factor = 1 + options->jitter * n;
        ns *= factor < FACTOR_MIN ? FACTOR_MIN : factor;
    }
    return sim->fault.slow > 0 ? ns * sim->fault.slow : ns;
}

/* The vector of a sequence depends on its ids alone, as a model's does. */
static void fill(sim_lane *sim, const tandem_batch *batch, float *out) {
    const int32_t width = sim->options.width;
    for (int32_t b = 0; b < batch->sequences; b++) {
        uint64_t hash = 0;
        for (int32_t t = batch->offsets[b]; t < batch->offsets[b + 1]; t++)
            hash = hash * 31 + (uint64_t)(uint32_t)batch->ids[t] + 1;
        const bool is_bad =
            sim->fault.nan_share > 0 && tandem__random_unit(&sim->random) < sim->fault.nan_share;
        float *row = out + (size_t)b * (size_t)width;
        for (int32_t i = 0; i < width; i++)
            row[i] = is_bad ? NAN : (float)((hash + (uint64_t)i) % 1000 + 1);
    }
}

static tandem_status check_lengths(const sim_lane *sim, const tandem_batch *batch,
                                   tandem_error *err) {
    const int32_t count = sim->options.bucket_count;
    for (int32_t b = 0; b < batch->sequences && count > 0; b++) {
        const int32_t tokens = batch->offsets[b + 1] - batch->offsets[b];
        if (tokens > sim->options.buckets[count - 1])
            return TANDEM_FAIL(err, CAPACITY, "%d tokens, the largest bucket has %d", tokens,
                               sim->options.buckets[count - 1]);
    }
    return TANDEM_OK;
}

static tandem_status sim_submit(tandem_lane *lane, const tandem_batch *batch, tandem_output output,
                                float *out, tandem_ticket *ticket, tandem_error *err) {
    sim_lane *sim = (void *)lane;
    (void)output;
    TANDEM_TRY(check_lengths(sim, batch, err));
    (void)pthread_mutex_lock(&sim->mutex);
    sim_flight *flight = NULL;
    for (int i = 0; i < sim->options.in_flight_max && flight == NULL; i++) {
        if (sim->flights[i].ticket == 0) flight = &sim->flights[i];
    }
    if (flight != NULL) {
        const double ns = service_ns(sim, batch);
        const uint64_t now_ns = sim->options.clock(sim->options.clock_context);
        const double share = sim->fault.fail_share;
        flight->ticket = ++sim->last;
        flight->fails = share > 0 && tandem__random_unit(&sim->random) < share;
        flight->done_ns = now_ns + (uint64_t)(flight->fails ? ns * FAIL_PART : ns);
        if (sim->fault.is_hung) flight->done_ns = UINT64_MAX;
        *ticket = flight->ticket;
        if (out != NULL) fill(sim, batch, out);
    }
    (void)pthread_mutex_unlock(&sim->mutex);
    if (flight != NULL) return TANDEM_OK;
    return TANDEM_FAIL(err, CAPACITY, "%d batches are in flight", sim->options.in_flight_max);
}

static sim_flight *find(sim_lane *sim, tandem_ticket ticket) {
    for (int i = 0; i < FLIGHTS_MAX; i++) {
        if (sim->flights[i].ticket == ticket) return &sim->flights[i];
    }
    return NULL;
}

static tandem_status sim_poll(tandem_lane *lane, tandem_ticket ticket, bool *is_done,
                              tandem_error *err) {
    sim_lane *sim = (void *)lane;
    (void)pthread_mutex_lock(&sim->mutex);
    sim_flight *flight = find(sim, ticket);
    bool fails = false;
    *is_done = flight == NULL || flight->done_ns <= sim->options.clock(sim->options.clock_context);
    if (flight != NULL && *is_done) {
        fails = flight->fails;
        flight->ticket = 0;
    }
    (void)pthread_mutex_unlock(&sim->mutex);
    return fails ? TANDEM_FAIL(err, DEVICE, "simulated failure") : TANDEM_OK;
}

static tandem_status sim_wait(tandem_lane *lane, tandem_ticket ticket, uint64_t timeout_ns,
                              tandem_error *err) {
    const sim_lane *sim = (const void *)lane;
    const uint64_t start_ns = sim->options.clock(sim->options.clock_context);
    for (;;) {
        bool is_done = false;
        TANDEM_TRY(sim_poll(lane, ticket, &is_done, err));
        if (is_done) return TANDEM_OK;
        if (sim->options.clock(sim->options.clock_context) - start_ns >= timeout_ns)
            return TANDEM_FAIL(err, TIMEOUT, "simulated lane %s is busy", sim->options.name);
        const struct timespec slice = {.tv_nsec = SLICE_NS};
        (void)nanosleep(&slice, NULL);
    }
}

static void sim_abandon(tandem_lane *lane, tandem_ticket ticket) {
    sim_lane *sim = (void *)lane;
    (void)pthread_mutex_lock(&sim->mutex);
    sim_flight *flight = find(sim, ticket);
    if (flight != NULL) flight->ticket = 0;
    (void)pthread_mutex_unlock(&sim->mutex);
}

uint64_t tandem__sim_done_ns(const tandem_lane *lane, tandem_ticket ticket) {
    const sim_lane *sim = (const void *)lane;
    for (int i = 0; i < FLIGHTS_MAX; i++) {
        if (sim->flights[i].ticket == ticket) return sim->flights[i].done_ns;
    }
    return UINT64_MAX;
}

static void sim_close(tandem_lane *lane) {
    sim_lane *sim = (void *)lane;
    if (sim == NULL) return;
    (void)pthread_mutex_destroy(&sim->mutex);
    tandem__mem_free(sim);
}

const tandem_backend tandem__backend_sim = {
    .name = "sim",
    .lane_class = TANDEM_CLASS_NONE,
    .is_trusted = true,
    .has_dtype = sim_has_dtype,
    .probe = sim_probe,
    .open = sim_open,
    .capabilities = sim_capabilities,
    .submit = sim_submit,
    .poll = sim_poll,
    .wait = sim_wait,
    .abandon = sim_abandon,
    .close = sim_close,
};
