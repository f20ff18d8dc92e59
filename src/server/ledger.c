/* SPDX-License-Identifier: Apache-2.0 */
#include "server/ledger.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/fail.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wait.h"
#include "server/ledger_file.h"
#include "server/ledger_rows.h"

#define WRITE_NS    UINT64_C(500000000)  /* between two batches */
#define BACKOFF_MAX UINT64_C(8000000000) /* ... while they fail */
#define CLOSING_NS  UINT64_C(2000000000) /* for the last one */
#define RETRY_NS    UINT64_C(50000000)   /* ... between its tries */
#define DAY_SECONDS 86400

struct server_ledger {
    pthread_mutex_t mutex; /* of filling, state, fault, is_closing */
    pthread_cond_t cond;
    server_ledger_rows filling;
    server_ledger_state state;
    char fault[480];
    size_t writing_count; /* rows of `writing` */
    bool is_closing;
    pthread_t writer;
    char *path;
    /* The writer's own. */
    server_ledger_rows writing;
    server_ledger_file file;
};

const char *server_outcome_word(server_outcome outcome) {
    static const char *const words[SERVER_OUTCOMES] = {"answered", "cached", "refused", "cancelled",
                                                       "failed"};
    return words[outcome];
}

void server_ledger_add(server_ledger *ledger, const server_usage *usage) {
    const int32_t day = (int32_t)(time(NULL) / DAY_SECONDS);
    (void)pthread_mutex_lock(&ledger->mutex);
    if (!server_ledger_rows_add(&ledger->filling, usage, day))
        ledger->state.merged += (uint64_t)usage->requests;
    ledger->state.entered += (uint64_t)usage->requests;
    (void)pthread_mutex_unlock(&ledger->mutex);
}

static void set_fault(server_ledger *ledger, const char *fault) {
    (void)pthread_mutex_lock(&ledger->mutex);
    const bool was_well = ledger->fault[0] == '\0';
    const bool is_new = strcmp(ledger->fault, fault) != 0;
    (void)snprintf(ledger->fault, sizeof ledger->fault, "%s", fault);
    (void)pthread_mutex_unlock(&ledger->mutex);
    if (fault[0] != '\0' && is_new)
        tandem__log(TANDEM_LOG_ERROR, "ledger: usage waits in memory: %s", fault);
    if (fault[0] == '\0' && !was_well)
        tandem__log(TANDEM_LOG_WARN, "ledger: %s is written again", ledger->path);
}

/* One try to write what there is. True if nothing is left that the file should have. */
static bool write_once(server_ledger *ledger) {
    if (ledger->writing.count == 0) {
        (void)pthread_mutex_lock(&ledger->mutex);
        const server_ledger_rows full = ledger->filling;
        ledger->filling = ledger->writing;
        ledger->writing = full;
        ledger->writing_count = full.count;
        (void)pthread_mutex_unlock(&ledger->mutex);
    }
    if (ledger->writing.count == 0) return true;
    tandem_error err = {.status = TANDEM_OK};
    const tandem_status status = server_ledger_file_write(&ledger->file, &ledger->writing, &err);
    (void)pthread_mutex_lock(&ledger->mutex);
    if (status == TANDEM_OK) {
        ledger->state.batches++;
        ledger->state.written += ledger->writing.requests;
        ledger->writing_count = 0;
    } else {
        ledger->state.failures++;
    }
    (void)pthread_mutex_unlock(&ledger->mutex);
    if (status == TANDEM_OK) server_ledger_rows_clear(&ledger->writing);
    set_fault(ledger, err.message);
    return status == TANDEM_OK;
}

/* What came since the last batch, and that batch if it is not written yet. */
static void write_last(server_ledger *ledger) {
    const uint64_t until_ns = tandem__clock_ns() + CLOSING_NS;
    for (;;) {
        const bool is_written = write_once(ledger);
        (void)pthread_mutex_lock(&ledger->mutex);
        const bool is_over = is_written && ledger->filling.count == 0;
        (void)pthread_mutex_unlock(&ledger->mutex);
        if (is_over) return;
        if (is_written) continue;
        if (tandem__clock_ns() > until_ns) break;
        const struct timespec pause = {.tv_nsec = (long)RETRY_NS};
        (void)nanosleep(&pause, NULL);
    }
    tandem__log(TANDEM_LOG_ERROR, "ledger: %llu requests are lost: %s",
                (unsigned long long)(ledger->state.entered - ledger->state.written), ledger->fault);
}

static void *write_on(void *context) {
    server_ledger *ledger = context;
    uint64_t pause_ns = WRITE_NS;
    (void)pthread_mutex_lock(&ledger->mutex);
    while (!ledger->is_closing) {
        const uint64_t until_ns = tandem__clock_ns() + pause_ns;
        while (!ledger->is_closing && tandem__clock_ns() < until_ns)
            tandem__cond_wait(&ledger->cond, &ledger->mutex, until_ns);
        if (ledger->is_closing) break;
        (void)pthread_mutex_unlock(&ledger->mutex);
        const bool is_written = write_once(ledger);
        if (is_written)
            pause_ns = WRITE_NS;
        else if (pause_ns < BACKOFF_MAX)
            pause_ns *= 2;
        (void)pthread_mutex_lock(&ledger->mutex);
    }
    (void)pthread_mutex_unlock(&ledger->mutex);
    write_last(ledger);
    return NULL;
}

static void release(server_ledger *ledger) {
    server_ledger_file_close(&ledger->file);
    server_ledger_rows_deinit(&ledger->filling);
    server_ledger_rows_deinit(&ledger->writing);
    tandem__mem_free(ledger->path);
    (void)pthread_cond_destroy(&ledger->cond);
    (void)pthread_mutex_destroy(&ledger->mutex);
    tandem__mem_free(ledger);
}

static tandem_status start(server_ledger *ledger, const char *path, tandem_error *err) {
    ledger->path = tandem__mem_calloc(strlen(path) + 1, 1);
    if (ledger->path == NULL || !server_ledger_rows_init(&ledger->filling) ||
        !server_ledger_rows_init(&ledger->writing))
        return TANDEM_FAIL(err, MEMORY, "no memory for the ledger");
    memcpy(ledger->path, path, strlen(path));
    tandem_error fault = {.status = TANDEM_OK};
    const tandem_status status = server_ledger_file_open(&ledger->file, ledger->path, &fault);
    if (status == TANDEM_CAPACITY)
        set_fault(ledger, fault.message);
    else if (status != TANDEM_OK)
        return TANDEM_FAIL(err, INVALID, "ledger: %s", fault.message);
    if (pthread_create(&ledger->writer, NULL, write_on, ledger) != 0)
        return TANDEM_FAIL(err, MEMORY, "no thread for the ledger");
    return TANDEM_OK;
}

tandem_status server_ledger_open(const char *path, server_ledger **out, tandem_error *err) {
    *out = NULL;
    server_ledger *ledger = tandem__mem_calloc(1, sizeof *ledger);
    if (ledger == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for the ledger");
    if (!tandem__cond_init(&ledger->cond)) {
        tandem__mem_free(ledger);
        return TANDEM_FAIL(err, MEMORY, "no memory for the ledger");
    }
    (void)pthread_mutex_init(&ledger->mutex, NULL);
    const tandem_status status = start(ledger, path, err);
    if (status != TANDEM_OK) {
        release(ledger);
        return status;
    }
    *out = ledger;
    return TANDEM_OK;
}

void server_ledger_close(server_ledger *ledger) {
    if (ledger == NULL) return;
    (void)pthread_mutex_lock(&ledger->mutex);
    ledger->is_closing = true;
    (void)pthread_cond_signal(&ledger->cond);
    (void)pthread_mutex_unlock(&ledger->mutex);
    (void)pthread_join(ledger->writer, NULL);
    release(ledger);
}

bool server_ledger_fault(server_ledger *ledger, char *out, size_t size) {
    (void)pthread_mutex_lock(&ledger->mutex);
    (void)snprintf(out, size, "%s", ledger->fault);
    (void)pthread_mutex_unlock(&ledger->mutex);
    return out[0] != '\0';
}

void server_ledger_describe(server_ledger *ledger, server_ledger_state *state) {
    (void)pthread_mutex_lock(&ledger->mutex);
    *state = ledger->state;
    state->rows = ledger->filling.count + ledger->writing_count;
    (void)pthread_mutex_unlock(&ledger->mutex);
}

const char *server_ledger_path(const server_ledger *ledger) {
    return ledger->path;
}
