/* SPDX-License-Identifier: Apache-2.0 */
/* A child process that runs bench_peer.py and answers by lines. Its standard error is dropped: a
 * package that complains is not our user's concern, and a child that dies is a missing baseline. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/number.h"
#include "cli/bench.h"
#include <bench_peer_script.h> /* made of bench_peer.py by the build */

#define READY_MS       30000
#define ANSWER_MS      60000
#define LINE_BYTES     1024
#define TREE_BYTES_MAX ((size_t)1 << 20)

extern char **environ;

typedef struct cli_bench_peer {
    pid_t pid;
    int to;
    int from;
} cli_bench_peer;

static void peer_close(cli_baseline *baseline) {
    cli_bench_peer *peer = baseline->peer;
    if (peer == NULL) return;
    (void)close(peer->to); /* the end of its input is its end */
    (void)close(peer->from);
    (void)kill(peer->pid, SIGTERM);
    while (waitpid(peer->pid, NULL, 0) < 0 && errno == EINTR) {
    }
    tandem__mem_free(peer);
    baseline->peer = NULL;
}

static tandem_status spawn(const char *python, const char *which, const int in[2], const int out[2],
                           pid_t *pid, tandem_error *err) {
    char *const argv[] = {(char *)(uintptr_t)python, (char *)(uintptr_t) "-c",
                          (char *)(uintptr_t)cli_bench_peer_script, (char *)(uintptr_t)which, NULL};
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init(&actions) != 0) {
        return TANDEM_FAIL(err, MEMORY, "%s: no memory to start it", python);
    }
    (void)posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    (void)posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    (void)posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    const int code = posix_spawnp(pid, python, &actions, NULL, argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    if (code == 0) return TANDEM_OK;
    errno = code;
    return tandem__fail_errno(err, python, "cannot start");
}

static tandem_status open_pipe(int ends[2], tandem_error *err) {
    if (pipe(ends) != 0) return tandem__fail_errno(err, "pipe", "cannot make");
    (void)fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    (void)fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    return TANDEM_OK;
}

tandem_status cli_bench_peer_start(cli_baseline *baseline, const char *which, const char *python,
                                   tandem_error *err) {
    int in[2];
    int out[2];
    TANDEM_TRY(open_pipe(in, err));
    tandem_status status = open_pipe(out, err);
    if (status != TANDEM_OK) {
        (void)close(in[0]);
        (void)close(in[1]);
        return status;
    }
    pid_t pid = 0;
    cli_bench_peer *peer = tandem__mem_calloc(1, sizeof *peer);
    status = peer == NULL ? TANDEM_FAIL(err, MEMORY, "no memory for a baseline")
                          : spawn(python, which, in, out, &pid, err);
    (void)close(in[0]);
    (void)close(out[1]);
    if (status != TANDEM_OK) {
        (void)close(in[1]);
        (void)close(out[0]);
        tandem__mem_free(peer);
        return status;
    }
    *peer = (cli_bench_peer){.pid = pid, .to = in[1], .from = out[0]};
    baseline->peer = peer;
    baseline->close = peer_close;
    return TANDEM_OK;
}

/* One line without its end; the child writes no more than one before it is asked again. */
static tandem_status read_line(const cli_bench_peer *peer, int timeout_ms, char line[LINE_BYTES],
                               tandem_error *err) {
    size_t len = 0;
    while (len + 1 < LINE_BYTES) {
        struct pollfd ready = {.fd = peer->from, .events = POLLIN};
        const int count = poll(&ready, 1, timeout_ms);
        if (count < 0 && errno == EINTR) continue;
        if (count == 0) {
            return TANDEM_FAIL(err, TIMEOUT, "baseline: no answer in %d s", timeout_ms / 1000);
        }
        const ssize_t got = read(peer->from, line + len, LINE_BYTES - 1 - len);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return TANDEM_FAIL(err, NOT_FOUND, "baseline: python ended early");
        len += (size_t)got;
        if (line[len - 1] != '\n') continue;
        line[len - 1] = '\0';
        return TANDEM_OK;
    }
    return TANDEM_FAIL(err, FORMAT, "baseline: an answer of more than %d bytes", LINE_BYTES);
}

static tandem_status say(const cli_bench_peer *peer, const char *line, tandem_error *err) {
    const size_t len = strlen(line);
    if (write(peer->to, line, len) == (ssize_t)len) return TANDEM_OK;
    return TANDEM_FAIL(err, IO, "baseline: python ended early");
}

static tandem_status peer_run(cli_baseline *baseline, int32_t tokens, int32_t batch, uint64_t *ns,
                              tandem_error *err) {
    const cli_bench_peer *peer = baseline->peer;
    char line[LINE_BYTES];
    (void)snprintf(line, sizeof line, "%d %d\n", tokens, batch);
    TANDEM_TRY(say(peer, line, err));
    TANDEM_TRY(read_line(peer, ANSWER_MS, line, err));
    int64_t value = 0;
    if (!tandem__number_parse_int(tandem__str(line), &value) || value <= 0) {
        return TANDEM_FAIL(err, FORMAT, "baseline: \"%.40s\", expected nanoseconds", line);
    }
    *ns = (uint64_t)value;
    return TANDEM_OK;
}

tandem_status cli_bench_peer_wait(cli_baseline *baseline, const cli_bench_sizes *sizes,
                                  tandem_error *err) {
    char line[LINE_BYTES];
    (void)snprintf(line, sizeof line, "%d %d %d %d %d %d %d\n", sizes->hidden, sizes->layers,
                   sizes->heads, sizes->ffn, sizes->vocab, sizes->positions, sizes->threads);
    TANDEM_TRY(say(baseline->peer, line, err));
    tandem_arena arena;
    const tandem_json *root = NULL;
    tandem_str name = {NULL, 0};
    tandem_str none = {"", 0};
    TANDEM_TRY(read_line(baseline->peer, READY_MS, line, err));
    tandem__arena_init(&arena, TREE_BYTES_MAX);
    tandem_status status = tandem__json_parse(tandem__str(line), &arena, &root, err);
    if (status == TANDEM_OK) status = tandem__json_read_str(root, "name", &name, err);
    if (status == TANDEM_OK) status = tandem__json_read_str(root, "none", &none, err);
    if (status == TANDEM_OK && name.ptr == NULL) {
        status = TANDEM_FAIL(err, NOT_FOUND, "baseline: %.*s", TANDEM_STR_ARG(none));
    }
    if (status == TANDEM_OK) {
        (void)snprintf(baseline->name, sizeof baseline->name, "%.*s f32",
                       (int)(name.len < 60 ? name.len : 60), name.ptr);
        baseline->run = peer_run;
    }
    tandem__arena_deinit(&arena);
    return status;
}
