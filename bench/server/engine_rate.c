/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's own rate, without HTTP: one text a request, a fixed number of them under way,
 * through the completion queue from one thread. What http_load measures is held against this.
 *
 *     engine_rate MODEL TEXTS [outstanding] [seconds] [warmup seconds]
 *
 * TEXTS is a file of lines, drawn at random with the same generator as http_load's. Prints one JSON
 * object; latency is from before the submit to the result in hand. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/chance.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/histogram.h"
#include "base/mem.h"
#include "base/number.h"
#include "tandem/tandem.h"

#define OUTSTANDING_MAX 4096

typedef struct runner {
    tandem_engine *engine;
    tandem_queue *queue;
    tandem_text *texts;
    size_t text_count;
    tandem_random random;
    uint64_t started_ns[OUTSTANDING_MAX]; /* a slot a request under way */
    tandem_histogram latency;
    int64_t tokens;
    int64_t failed;
    bool is_counting;
} runner;

static void die(const char *what) {
    (void)fprintf(stderr, "engine_rate: %s\n", what);
    exit(1);
}

static void read_texts(runner *self, const char *path) {
    tandem_map map = {0};
    tandem_error err = {0};
    if (tandem__file_map(path, &map, &err)) die(err.message);
    const char *at = (const char *)map.bytes;
    const char *end = at + map.len;
    size_t lines = 1;
    for (const char *c = at; c < end; c++) lines += *c == '\n';
    self->texts = tandem__mem_calloc(lines, sizeof self->texts[0]);
    if (self->texts == NULL) die("out of memory");
    while (at < end) {
        const char *next = memchr(at, '\n', (size_t)(end - at));
        if (next == NULL) next = end;
        if (next > at) self->texts[self->text_count++] = (tandem_text){at, (size_t)(next - at)};
        at = next + 1;
    }
    if (self->text_count == 0) die("no text in the file");
}

static void submit(runner *self, size_t slot) {
    const size_t i = (size_t)(tandem__random_next(&self->random) % self->text_count);
    const tandem_request request = {.texts = &self->texts[i], .count = 1};
    tandem_error err = {0};
    self->started_ns[slot] = tandem__clock_ns();
    if (tandem_queue_submit(self->queue, self->engine, &request, &self->started_ns[slot], NULL,
                            NULL, &err)) {
        die(err.message);
    }
}

/* Takes what is done, and submits again in its place until `until_ns`. Returns how many it took. */
static size_t take(runner *self, uint64_t until_ns) {
    size_t count = 0;
    for (tandem_call *call; (call = tandem_queue_next(self->queue)) != NULL; count++) {
        const tandem_result *result = NULL;
        uint64_t *started_ns = tandem_call_context(call);
        const tandem_status status = tandem_call_result(call, &result, NULL);
        const uint64_t now_ns = tandem__clock_ns();
        if (self->is_counting) {
            tandem__histogram_add(&self->latency, now_ns - *started_ns);
            if (status == TANDEM_OK) self->tokens += result->tokens;
            self->failed += status != TANDEM_OK;
        }
        tandem_call_close(call);
        if (now_ns < until_ns) submit(self, (size_t)(started_ns - self->started_ns));
    }
    return count;
}

static void run_until(runner *self, uint64_t until_ns, uint64_t submit_until_ns) {
    while (tandem__clock_ns() < until_ns) {
        if (take(self, submit_until_ns) > 0) continue;
        struct pollfd wait = {.fd = tandem_queue_fd(self->queue), .events = POLLIN};
        (void)poll(&wait, 1, 100);
    }
}

static double processor_s(void) {
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static double number(int argc, char **argv, int i, double value) {
    if (i < argc && !tandem__number_parse_double(tandem__str(argv[i]), &value)) die(argv[i]);
    return value;
}

static void measure(runner *self, size_t outstanding, double warmup, double seconds) {
    const uint64_t start_ns = tandem__clock_ns() + (uint64_t)(warmup * 1e9);
    const uint64_t end_ns = start_ns + (uint64_t)(seconds * 1e9);
    for (size_t slot = 0; slot < outstanding; slot++) submit(self, slot);
    run_until(self, start_ns, end_ns);
    self->is_counting = true;
    const uint64_t counted_ns = tandem__clock_ns();
    const double before_s = processor_s();
    run_until(self, end_ns, end_ns);
    const double passed_s = (double)(tandem__clock_ns() - counted_ns) / 1e9;
    const double used_s = processor_s() - before_s;
    const uint64_t done = atomic_load(&self->latency.total);
    (void)printf("{\"outstanding\":%zu,\"per_s\":%.2f,\"p50_ms\":%.4f,\"p95_ms\":%.4f,"
                 "\"p99_ms\":%.4f,\"tokens_per_s\":%.0f,\"failed\":%lld,\"seconds\":%.3f,"
                 "\"processor_s\":%.3f}\n",
                 outstanding, (double)done / passed_s,
                 (double)tandem__histogram_quantile(&self->latency, 0.5) / 1e6,
                 (double)tandem__histogram_quantile(&self->latency, 0.95) / 1e6,
                 (double)tandem__histogram_quantile(&self->latency, 0.99) / 1e6,
                 (double)self->tokens / passed_s, (long long)self->failed, passed_s, used_s);
}

int main(int argc, char **argv) {
    static runner self;
    const double outstanding = number(argc, argv, 3, 64);
    if (argc < 3 || outstanding < 1 || outstanding > OUTSTANDING_MAX) {
        (void)fprintf(stderr, "usage: engine_rate MODEL TEXTS [outstanding] [seconds] [warmup]\n");
        return 2;
    }
    read_texts(&self, argv[2]);
    tandem__random_init(&self.random, 1);
    const tandem_engine_options options = {.model = argv[1]};
    tandem_error err = {0};
    if (tandem_engine_open(&options, &self.engine, &err)) die(err.message);
    if (tandem_queue_open(&self.queue, &err)) die(err.message);
    measure(&self, (size_t)outstanding, number(argc, argv, 5, 1), number(argc, argv, 4, 10));
    if (tandem_engine_drain(self.engine, 5000, &err)) die(err.message);
    (void)take(&self, 0);
    tandem_queue_close(self.queue);
    tandem_engine_close(self.engine);
    return atomic_load(&self.latency.total) > 0 ? 0 : 1;
}
