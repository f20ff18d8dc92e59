/* SPDX-License-Identifier: Apache-2.0 */
/* Tickets, and the threads that predict.
 *
 *     submit   free ─ open: embeds, puts the sequences up
 *     worker   takes the next sequence of the oldest open ticket; pads, predicts, puts its rows
 * back wait     all back: finishes on the caller's thread, ─ free abandon  sequences that nobody
 * took are dropped; ─ free, at once or when the last is back
 *
 * Padding: its columns repeat the last token's, so that they are ordinary numbers (a column of
 * zeros has no variance to be divided by), and the mask hides them as keys.
 *
 * A lane is checked before it serves with texts that the smallest bucket takes. Each other bucket
 * is a program of its own, which may go wrong by itself: so before a worker's first answer from
 * one, the text's first tokens go through it and through the smallest, which must say the same. */
#include <math.h>
#include <string.h>

#include "apple/system.h"
#include "backend/coreml/ane_internal.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/fail.h"
#include "base/mem.h"
#include "base/wait.h"

/* How long close waits for a prediction before it leaves it behind. */
#define CLOSE_NS 2000000000u

/* The same arithmetic, differently cut: far above what a wrong program would reach. */
#define CHECK_COSINE 0.998
#define CHECK_TOKENS 16

static ane_net *net_for(ane_worker *worker, int32_t tokens) {
    const ane_lane *lane = worker->lane;
    int32_t i = 0;
    while (lane->buckets[i] < tokens) i++;
    return &worker->nets[i];
}

/* rows [tokens, width] f32 to hidden [channels, length] f16 and the mask, a block of tokens at a
 * time: rows are converted whole, columns written in runs. */
static void fill_net(const ane_lane *lane, ane_net *net, const float *rows, int32_t tokens) {
    const uint16_t masked = tandem_convert_value_f16(ANE_MASKED);
    const int32_t length = net->length;
    const size_t width = (size_t)lane->embed_width;
    for (int32_t first = 0; first < length; first += ANE_BLOCK) {
        for (int32_t i = 0; i < ANE_BLOCK; i++) {
            const int32_t t = first + i < tokens ? first + i : tokens - 1;
            lane->kernels->convert.f32_f16(net->block + (size_t)i * width,
                                           rows + (size_t)t * (size_t)lane->stride, width);
        }
        for (size_t c = 0; c < width; c++) {
            uint16_t *to = net->hidden + c * (size_t)length + first;
            for (size_t i = 0; i < ANE_BLOCK; i++) to[i] = net->block[i * width + c];
        }
    }
    for (int32_t t = 0; t < length; t++) net->mask[t] = t < tokens ? 0 : masked;
}

static void read_net(const ane_lane *lane, const ane_net *net, float *rows, int32_t tokens) {
    const size_t width = (size_t)net->hidden_size;
    for (int32_t first = 0; first < tokens; first += ANE_BLOCK) {
        for (size_t c = 0; c < width; c++) {
            const uint16_t *from = net->states + c * (size_t)net->length + first;
            for (size_t i = 0; i < ANE_BLOCK; i++) net->block[i * width + c] = from[i];
        }
        for (int32_t i = 0; i < ANE_BLOCK && first + i < tokens; i++) {
            lane->kernels->convert.f16_f32(rows + (size_t)(first + i) * (size_t)lane->stride,
                                           net->block + (size_t)i * width, width);
        }
    }
}

/* Mean cosine of the states of the first tokens of two buckets; NaN where one is not finite. */
static double likeness(const ane_net *a, const ane_net *b, int32_t tokens) {
    double sum = 0.0;
    for (int32_t t = 0; t < tokens; t++) {
        double ab = 0.0;
        double aa = 0.0;
        double bb = 0.0;
        for (int32_t c = 0; c < a->hidden_size; c++) {
            const double x = (double)tandem_convert_f16_value(a->states[c * a->length + t]);
            const double y = (double)tandem_convert_f16_value(b->states[c * b->length + t]);
            ab += x * y;
            aa += x * x;
            bb += y * y;
        }
        sum += ab / sqrt(aa * bb) / tokens;
    }
    return sum;
}

/* A text that the smallest bucket cannot compute either is no proof against the other. */
static tandem_status check_net(ane_worker *worker, ane_net *net, const float *rows, int32_t tokens,
                               tandem_error *err) {
    const ane_lane *lane = worker->lane;
    ane_net *least = &worker->nets[0];
    const int32_t count = tokens < CHECK_TOKENS ? tokens : CHECK_TOKENS;
    if (net == least || net->is_checked) return TANDEM_OK;
    fill_net(lane, least, rows, count);
    TANDEM_TRY(tandem__ane_net_run(least, err));
    if (!isfinite(likeness(least, least, count))) return TANDEM_OK;
    fill_net(lane, net, rows, count);
    TANDEM_TRY(tandem__ane_net_run(net, err));
    const double cosine = likeness(least, net, count);
    if (!(cosine >= CHECK_COSINE))
        return TANDEM_FAIL(err, DEVICE,
                           "the model of length %d is wrong: cosine %.6f with that of length %d",
                           (int)net->length, cosine, (int)least->length);
    net->is_checked = true;
    return TANDEM_OK;
}

/* The oldest ticket with a sequence that nobody has taken. Under the lock. */
static ane_job *find_work(ane_lane *lane) {
    ane_job *oldest = NULL;
    for (int i = 0; i < ANE_TICKETS_MAX; i++) {
        ane_job *job = &lane->jobs[i];
        if (job->state != ANE_TICKET_OPEN || job->next == job->sequences) continue;
        if (oldest == NULL || job->serial < oldest->serial) oldest = job;
    }
    return oldest;
}

static tandem_status predict(ane_worker *worker, const ane_job *job, int32_t sequence,
                             tandem_error *err) {
    const ane_lane *lane = worker->lane;
    const int32_t first = job->offsets[sequence];
    const int32_t tokens = job->offsets[sequence + 1] - first;
    float *rows = job->rows + (size_t)first * (size_t)lane->stride;
    ane_net *net = net_for(worker, tokens);
    TANDEM_TRY(check_net(worker, net, rows, tokens, err));
    fill_net(lane, net, rows, tokens);
    TANDEM_TRY(tandem__ane_net_run(net, err));
    read_net(lane, net, rows, tokens);
    return TANDEM_OK;
}

/* Under the lock, which is open during the prediction. */
static void work_on(ane_worker *worker, ane_job *job) {
    ane_lane *lane = worker->lane;
    tandem_error err = {.status = TANDEM_OK};
    const int32_t sequence = job->next++;
    job->flying++;
    (void)pthread_mutex_unlock(&lane->lock);
    const tandem_status status = predict(worker, job, sequence, &err);
    (void)pthread_mutex_lock(&lane->lock);
    job->flying--;
    if (status != TANDEM_OK && job->err.status == TANDEM_OK) {
        job->err = err;
        job->next = job->sequences; /* the rest would be thrown away */
    }
    if (job->state == ANE_TICKET_ABANDONED && job->flying == 0) job->state = ANE_TICKET_FREE;
    (void)pthread_cond_broadcast(&lane->done);
}

static void close_nets(ane_worker *worker) {
    for (int32_t i = 0; i < worker->lane->bucket_count; i++)
        tandem__ane_net_close(&worker->nets[i]);
}

static void *run_worker(void *context) {
    ane_worker *worker = context;
    ane_lane *lane = worker->lane;
    tandem__system_thread(SYSTEM_THREAD_COMPUTE);
    (void)pthread_mutex_lock(&lane->lock);
    while (!lane->is_closing) {
        ane_job *job = find_work(lane);
        if (job == NULL)
            tandem__cond_wait(&lane->work, &lane->lock, UINT64_MAX);
        else
            work_on(worker, job);
    }
    (void)pthread_mutex_unlock(&lane->lock);
    close_nets(worker);
    (void)pthread_mutex_lock(&lane->lock);
    const bool is_heir = --lane->alive == 0 && lane->is_orphan;
    (void)pthread_cond_broadcast(&lane->done);
    (void)pthread_mutex_unlock(&lane->lock);
    if (is_heir) tandem__ane_lane_free(lane);
    return NULL;
}

static tandem_status open_worker(ane_lane *lane, ane_worker *worker, tandem_error *err) {
    worker->lane = lane;
    for (int32_t i = 0; i < lane->bucket_count; i++) {
        worker->nets[i] = (ane_net){.length = lane->buckets[i],
                                    .channels = lane->channels,
                                    .hidden_size = lane->plan->hidden};
        TANDEM_TRY(tandem__ane_net_open(&worker->nets[i], lane->folder, err));
        lane->capabilities.workspace_bytes += (int64_t)worker->nets[i].bytes;
    }
    return TANDEM_OK;
}

static tandem_status start_workers(ane_lane *lane, tandem_error *err) {
    for (int i = 0; i < ANE_WORKERS; i++) {
        ane_worker *worker = &lane->workers[i];
        (void)pthread_mutex_lock(&lane->lock);
        lane->alive++;
        (void)pthread_mutex_unlock(&lane->lock);
        worker->is_started = pthread_create(&worker->thread, NULL, run_worker, worker) == 0;
        if (worker->is_started) continue;
        (void)pthread_mutex_lock(&lane->lock);
        lane->alive--;
        (void)pthread_mutex_unlock(&lane->lock);
        return TANDEM_FAIL(err, MEMORY, "no thread for the ane lane");
    }
    return TANDEM_OK;
}

tandem_status tandem__ane_work_open(ane_lane *lane, tandem_error *err) {
    tandem_status status = TANDEM_OK;
    for (int i = 0; i < ANE_WORKERS && status == TANDEM_OK; i++)
        status = open_worker(lane, &lane->workers[i], err);
    if (status == TANDEM_OK) status = start_workers(lane, err);
    if (status == TANDEM_OK) return TANDEM_OK;
    (void)tandem__ane_work_close(lane);
    return status;
}

static void abandon(ane_job *job) {
    job->sequences = job->next;
    job->state = job->flying > 0 ? ANE_TICKET_ABANDONED : ANE_TICKET_FREE;
}

bool tandem__ane_work_close(ane_lane *lane) {
    const uint64_t until_ns = tandem__clock_ns() + CLOSE_NS;
    (void)pthread_mutex_lock(&lane->lock);
    lane->is_closing = true;
    for (int i = 0; i < ANE_TICKETS_MAX; i++) {
        if (lane->jobs[i].state == ANE_TICKET_OPEN) abandon(&lane->jobs[i]);
    }
    (void)pthread_cond_broadcast(&lane->work);
    while (lane->alive > 0 && tandem__clock_ns() < until_ns)
        tandem__cond_wait(&lane->done, &lane->lock, until_ns);
    const bool is_over = lane->alive == 0;
    lane->is_orphan = !is_over;
    for (int i = 0; i < ANE_WORKERS; i++) {
        /* Joined when all have left; what one of several leaves late is nobody's to wait for. */
        if (lane->workers[i].is_started && !is_over) (void)pthread_detach(lane->workers[i].thread);
    }
    (void)pthread_mutex_unlock(&lane->lock);
    if (!is_over) return false;
    for (int i = 0; i < ANE_WORKERS; i++) {
        ane_worker *worker = &lane->workers[i];
        if (worker->is_started)
            (void)pthread_join(worker->thread, NULL);
        else if (worker->lane != NULL)
            close_nets(worker);
        worker->is_started = false;
        worker->lane = NULL;
    }
    lane->is_closing = false;
    return true;
}

static ane_lane *lane_of(tandem_lane *opaque) {
    return (ane_lane *)(void *)opaque;
}

/* A ticket is its serial and its place, counted from 1. */
static tandem_ticket ticket_of(const ane_lane *lane, const ane_job *job) {
    return job->serial * ANE_TICKETS_MAX + (uint64_t)(job - lane->jobs) + ANE_TICKETS_MAX;
}

static ane_job *job_of(ane_lane *lane, tandem_ticket ticket) {
    ane_job *job = &lane->jobs[ticket % ANE_TICKETS_MAX];
    TANDEM_ASSERT(job->state == ANE_TICKET_OPEN);
    TANDEM_ASSERT(ticket_of(lane, job) == ticket);
    return job;
}

static tandem_status check_lengths(const ane_lane *lane, const tandem_batch *batch,
                                   tandem_error *err) {
    const int32_t most = lane->buckets[lane->bucket_count - 1];
    for (int32_t i = 0; i < batch->sequences; i++) {
        const int32_t tokens = batch->offsets[i + 1] - batch->offsets[i];
        if (tokens > most)
            return TANDEM_FAIL(err, CAPACITY, "sequence %d: %d tokens, the ane lane takes %d",
                               (int)i, (int)tokens, (int)most);
    }
    return TANDEM_OK;
}

/* A free job, marked as taken but not yet open to the workers. */
static ane_job *take_job(ane_lane *lane) {
    ane_job *found = NULL;
    (void)pthread_mutex_lock(&lane->lock);
    for (int i = 0; i < lane->capabilities.in_flight_max && found == NULL; i++) {
        if (lane->jobs[i].state == ANE_TICKET_FREE) found = &lane->jobs[i];
    }
    if (found != NULL) {
        found->state = ANE_TICKET_OPEN;
        found->sequences = 0;
        found->next = 0;
        found->flying = 0;
        found->serial = ++lane->serial;
        found->err = (tandem_error){.status = TANDEM_OK};
    }
    (void)pthread_mutex_unlock(&lane->lock);
    return found;
}

tandem_status tandem__ane_submit(tandem_lane *opaque, const tandem_batch *batch,
                                 tandem_output output, float *out, tandem_ticket *ticket,
                                 tandem_error *err) {
    ane_lane *lane = lane_of(opaque);
    if (output == TANDEM_OUTPUT_STATES)
        return TANDEM_FAIL(err, UNSUPPORTED, "the ane lane has no states of single layers");
    TANDEM_TRY(tandem__output_check(lane->plan, output, err));
    TANDEM_TRY(tandem__batch_check(lane->plan, &lane->capabilities, batch, err));
    TANDEM_TRY(check_lengths(lane, batch, err));
    ane_job *job = take_job(lane);
    if (job == NULL)
        return TANDEM_FAIL(err, CAPACITY, "%d batches are under way on the ane lane",
                           (int)lane->capabilities.in_flight_max);
    job->batch = *batch;
    job->output = output;
    job->out = out;
    memcpy(job->offsets, batch->offsets, ((size_t)batch->sequences + 1) * sizeof *job->offsets);
    const tandem_status status = tandem__ane_embed_run(lane, batch, job->rows, err);
    (void)pthread_mutex_lock(&lane->lock);
    if (status == TANDEM_OK) {
        job->sequences = batch->sequences;
        *ticket = ticket_of(lane, job);
        (void)pthread_cond_broadcast(&lane->work);
    } else {
        job->state = ANE_TICKET_FREE;
    }
    (void)pthread_mutex_unlock(&lane->lock);
    return status;
}

static bool is_back(const ane_job *job) {
    return job->next == job->sequences && job->flying == 0;
}

/* All sequences are back; nobody but the caller knows of the job. */
static tandem_status finish(ane_lane *lane, ane_job *job, tandem_error *err) {
    const tandem_error failed = job->err;
    if (failed.status == TANDEM_OK)
        tandem__finish_states(lane->finish, &job->batch, job->output, job->rows,
                              (size_t)lane->stride, job->out);
    (void)pthread_mutex_lock(&lane->lock);
    job->state = ANE_TICKET_FREE;
    (void)pthread_mutex_unlock(&lane->lock);
    if (failed.status != TANDEM_OK && err != NULL && err->status == TANDEM_OK) *err = failed;
    return failed.status;
}

tandem_status tandem__ane_poll(tandem_lane *opaque, tandem_ticket ticket, bool *is_done,
                               tandem_error *err) {
    ane_lane *lane = lane_of(opaque);
    (void)pthread_mutex_lock(&lane->lock);
    ane_job *job = job_of(lane, ticket);
    *is_done = is_back(job);
    (void)pthread_mutex_unlock(&lane->lock);
    return *is_done ? finish(lane, job, err) : TANDEM_OK;
}

tandem_status tandem__ane_wait(tandem_lane *opaque, tandem_ticket ticket, uint64_t timeout_ns,
                               tandem_error *err) {
    ane_lane *lane = lane_of(opaque);
    const uint64_t now_ns = tandem__clock_ns();
    const uint64_t until_ns = timeout_ns > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + timeout_ns;
    (void)pthread_mutex_lock(&lane->lock);
    ane_job *job = job_of(lane, ticket);
    while (!is_back(job) && tandem__clock_ns() < until_ns)
        tandem__cond_wait(&lane->done, &lane->lock, until_ns);
    const bool is_done = is_back(job);
    (void)pthread_mutex_unlock(&lane->lock);
    if (is_done) return finish(lane, job, err);
    return TANDEM_FAIL(err, TIMEOUT, "the ane lane has not finished in %.3f s",
                       (double)timeout_ns / 1e9);
}

void tandem__ane_abandon(tandem_lane *opaque, tandem_ticket ticket) {
    ane_lane *lane = lane_of(opaque);
    (void)pthread_mutex_lock(&lane->lock);
    abandon(job_of(lane, ticket));
    (void)pthread_mutex_unlock(&lane->lock);
}
