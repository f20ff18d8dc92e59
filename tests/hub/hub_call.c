/* SPDX-License-Identifier: Apache-2.0 */
/* Calls tandem_hub for test_pull.py, so that its short time-outs and pauses need no option on the
 * command line:
 *
 *     hub_call pull|list|verify|remove NAME|- [REVISION|-] [KEY=VALUE]...
 *
 * One line "status STATUS", one "message TEXT" if it failed, then "KEY VALUE" lines of the result.
 * cancel_at=BYTES cancels once so many have come; fail_at=N makes the N-th allocation fail;
 * threads=N makes N threads pull the same at once, and the first failure counts. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/mem.h"
#include "tandem/hub.h"

#define THREADS_MAX 16

typedef struct call {
    tandem_hub_options options;
    const char *name;
    const char *revision;
    long long cancel_at;
    long long ticks;
    long long total;
    int waits;
    int threads;
    char file[200]; /* the last one that progress named */
} call;

static bool on_progress(void *context, const tandem_hub_progress *progress) {
    call *c = context;
    c->ticks++;
    c->total = progress->bytes_total;
    if (progress->waiting[0] != '\0') {
        c->waits++;
        (void)fprintf(stderr, "waiting: %s\n", progress->waiting);
    }
    (void)snprintf(c->file, sizeof c->file, "%s", progress->file);
    return c->cancel_at > 0 && progress->bytes_fetched >= c->cancel_at;
}

static bool read_option(call *c, const char *text) {
    const char *equal = strchr(text, '=');
    if (equal == NULL) return false;
    const size_t len = (size_t)(equal - text);
    const long long number = strtoll(equal + 1, NULL, 10);
    if (strncmp(text, "cache", len) == 0)
        c->options.cache = equal + 1;
    else if (strncmp(text, "endpoint", len) == 0)
        c->options.endpoint = equal + 1;
    else if (strncmp(text, "token", len) == 0)
        c->options.token = equal + 1;
    else if (strncmp(text, "offline", len) == 0)
        c->options.is_offline = number != 0;
    else if (strncmp(text, "bytes_max", len) == 0)
        c->options.bytes_max = number;
    else if (strncmp(text, "timeout_ms", len) == 0)
        c->options.timeout_ms = (int)number;
    else if (strncmp(text, "retries", len) == 0)
        c->options.retries = (int)number;
    else if (strncmp(text, "pause_ms", len) == 0)
        c->options.pause_ms = (int)number;
    else if (strncmp(text, "fail_at", len) == 0)
        tandem__mem_fail_at((uint64_t)number);
    else if (strncmp(text, "threads", len) == 0 && number > 0 && number <= THREADS_MAX)
        c->threads = (int)number;
    else if (strncmp(text, "cancel_at", len) == 0)
        c->cancel_at = number;
    else
        return false;
    return true;
}

static tandem_status pull(const call *c, tandem_error *err) {
    tandem_hub_pulled pulled;
    TANDEM_TRY(tandem_hub_pull(&c->options, c->name, c->revision, &pulled, err));
    (void)printf("folder %s\ncommit %s\nbytes %lld\nbytes_fetched %lld\nfiles %d\n"
                 "files_fetched %d\n",
                 pulled.folder, pulled.commit, (long long)pulled.bytes,
                 (long long)pulled.bytes_fetched, pulled.files, pulled.files_fetched);
    return TANDEM_OK;
}

typedef struct puller {
    pthread_t thread;
    tandem_hub_options options;
    const call *c;
    tandem_error err;
} puller;

static void *pull_beside(void *context) {
    puller *p = context;
    tandem_hub_pulled pulled;
    p->err.status = tandem_hub_pull(&p->options, p->c->name, p->c->revision, &pulled, &p->err);
    return NULL;
}

static tandem_status pull_in_threads(const call *c, tandem_error *err) {
    static puller pullers[THREADS_MAX];
    for (int i = 0; i < c->threads; i++) {
        pullers[i] = (puller){.options = c->options, .c = c};
        pullers[i].options.progress = NULL;
        if (pthread_create(&pullers[i].thread, NULL, pull_beside, &pullers[i]) != 0) {
            return TANDEM_IO;
        }
    }
    for (int i = 0; i < c->threads; i++) {
        if (pthread_join(pullers[i].thread, NULL) != 0) return TANDEM_IO;
        if (err->status == TANDEM_OK) *err = pullers[i].err;
    }
    return err->status;
}

static void print(const tandem_hub_inventory *inventory) {
    static const char *const states[] = {"unchecked", "good", "damaged", "missing", "unnamed"};
    (void)printf("bytes %lld\n", (long long)inventory->bytes);
    for (size_t i = 0; i < inventory->count; i++) {
        const tandem_hub_snapshot *s = &inventory->snapshots[i];
        (void)printf("snapshot %s %s [%s] %lld %s\n", s->name, s->commit, s->refs,
                     (long long)s->bytes, s->missing);
        for (size_t j = 0; j < s->file_count; j++) {
            (void)printf("file %s %s %lld %s\n", s->files[j].name, s->files[j].blob,
                         (long long)s->files[j].bytes, states[s->files[j].state]);
        }
    }
}

static tandem_status look(const call *c, bool is_verify, tandem_error *err) {
    tandem_hub_inventory inventory = {0};
    const tandem_status status =
        is_verify ? tandem_hub_verify(&c->options, c->name, c->revision, &inventory, err)
                  : tandem_hub_list(&c->options, c->name, c->revision, &inventory, err);
    print(&inventory);
    tandem_hub_inventory_deinit(&inventory);
    return status;
}

static tandem_status drop(const call *c, tandem_error *err) {
    int64_t bytes = 0;
    const tandem_status status = tandem_hub_remove(&c->options, c->name, c->revision, &bytes, err);
    (void)printf("bytes_freed %lld\n", (long long)bytes);
    return status;
}

int main(int argc, char **argv) {
    call c = {.cancel_at = 0};
    if (argc < 3) return 2;
    int at = 3;
    if (strcmp(argv[2], "-") != 0) c.name = argv[2];
    if (argc > 3 && strchr(argv[3], '=') == NULL) at = 4;
    if (at == 4 && strcmp(argv[3], "-") != 0) c.revision = argv[3];
    for (; at < argc; at++) {
        if (!read_option(&c, argv[at])) return 2;
    }
    c.options.progress = on_progress;
    c.options.progress_context = &c;
    tandem_error err = {.status = TANDEM_OK};
    tandem_status status = TANDEM_INVALID;
    if (strcmp(argv[1], "pull") == 0) {
        status = c.threads > 0 ? pull_in_threads(&c, &err) : pull(&c, &err);
    }
    if (strcmp(argv[1], "list") == 0) status = look(&c, false, &err);
    if (strcmp(argv[1], "verify") == 0) status = look(&c, true, &err);
    if (strcmp(argv[1], "remove") == 0) status = drop(&c, &err);
    (void)printf("status %d\nticks %lld\nwaits %d\ntotal %lld\nlast_file %s\n", (int)status,
                 c.ticks, c.waits, c.total, c.file);
    if (status != TANDEM_OK) (void)printf("message %s\n", err.message);
    if (status != err.status) (void)printf("mismatch %d\n", (int)err.status);
    return 0;
}
