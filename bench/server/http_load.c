/* SPDX-License-Identifier: Apache-2.0 */
/* Load for an HTTP server that embeds: one thread, epoll, requests made before the clock starts,
 * answers counted by their framing alone, so that it takes little of the machine that it shares
 * with the server. What it takes is in its report.
 *
 *     http_load --port P --texts FILE [--mode closed] [--connections 64] [--seconds 10] ...
 *
 * closed   each kept connection sends its next request when its answer is there
 * open     requests are due at random times (Poisson, --rate) whether or not answers come; latency
 *          counts from the time a request was due, so that a server that stalls cannot hide it
 * idle     holds connections open that have had one answer each, then sees which still serve
 * loris    connections whose head comes a byte at a time
 * trickle  ... whose body does
 * stream   one request without an end in sight: texts go out while vectors come in
 *
 * Prints one JSON object. Exit status: 0 even if the server refused, 1 if nothing could be
 * measured, 2 wrong usage. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json_text.h"
#include "base/mem.h"
#include "base/number.h"
#include "load.h"

#define REQUEST_BYTES_MAX ((size_t)1 << 30)

_Noreturn void load_die(const char *what, const char *detail) {
    (void)fprintf(stderr, "http_load: %s: %s\n", what, detail);
    exit(1);
}

static _Noreturn void usage(const char *what) {
    (void)fprintf(stderr,
                  "http_load: %s\n"
                  "usage: http_load --port P --texts FILE [--host 127.0.0.1]\n"
                  "  [--mode closed|open|idle|loris|trickle|stream] [--route embed|openai|"
                  "openai-base64|infinity]\n"
                  "  [--connections 64] [--seconds 10] [--warmup 1] [--rate N] [--batch 1]\n"
                  "  [--requests N] [--interval 1] [--form ndjson|json] [--model NAME]\n"
                  "  [--header 'Name: value'] [--seed 1]\n",
                  what);
    exit(2);
}

static bool read_word(load_options *o, const char *name, const char *value) {
    const struct {
        const char *name;
        const char **to;
    } words[] = {{"--mode", &o->mode},   {"--host", &o->host},   {"--route", &o->route},
                 {"--texts", &o->texts}, {"--model", &o->model}, {"--form", &o->form}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(name, words[i].name) != 0) continue;
        *words[i].to = value;
        return true;
    }
    return false;
}

static bool read_number(load_options *o, const char *name, const char *value) {
    const struct {
        const char *name;
        int64_t *to;
    } counts[] = {{"--port", &o->port},
                  {"--connections", &o->connections},
                  {"--batch", &o->batch},
                  {"--requests", &o->requests},
                  {"--seed", &o->seed}};
    const struct {
        const char *name;
        double *to;
    } reals[] = {{"--seconds", &o->seconds},
                 {"--warmup", &o->warmup_s},
                 {"--rate", &o->rate},
                 {"--interval", &o->interval_s}};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        if (strcmp(name, counts[i].name) != 0) continue;
        if (!tandem__number_parse_int(tandem__str(value), counts[i].to)) usage(name);
        return true;
    }
    for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++) {
        if (strcmp(name, reals[i].name) != 0) continue;
        if (!tandem__number_parse_double(tandem__str(value), reals[i].to)) usage(name);
        return true;
    }
    return false;
}

static void load_options_read(load_options *options, int argc, char **argv) {
    *options = (load_options){.mode = "closed",
                              .host = "127.0.0.1",
                              .route = "embed",
                              .model = "model",
                              .form = "ndjson",
                              .connections = 64,
                              .batch = 1,
                              .seconds = 10,
                              .warmup_s = 1,
                              .interval_s = 1,
                              .seed = 1};
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc) usage(argv[i]);
        if (strcmp(argv[i], "--header") == 0) {
            if (options->header_count == LOAD_HEADERS_MAX) usage("too many headers");
            options->headers[options->header_count++] = argv[i + 1];
        } else if (!read_word(options, argv[i], argv[i + 1]) &&
                   !read_number(options, argv[i], argv[i + 1])) {
            usage(argv[i]);
        }
    }
    if (options->port < 1 || options->port > 65535) usage("--port");
    if (options->texts == NULL) usage("--texts");
    if (options->connections < 1 || options->connections > LOAD_CONNECTIONS_MAX) {
        usage("--connections");
    }
    if (options->batch < 1) usage("--batch");
    if (strcmp(options->mode, "open") == 0 && !(options->rate > 0)) usage("--rate");
}

tandem_str *load_texts_read(const char *path, size_t *count) {
    tandem_map map = {0};
    tandem_error err = {0};
    if (tandem__file_map(path, &map, &err)) load_die("texts", err.message);
    const char *at = (const char *)map.bytes;
    const char *end = at + map.len;
    size_t lines = 1;
    for (const char *c = at; c < end; c++) lines += *c == '\n';
    tandem_str *texts = tandem__mem_calloc(lines, sizeof texts[0]);
    if (texts == NULL) load_die("texts", "out of memory");
    *count = 0;
    while (at < end) {
        const char *next = memchr(at, '\n', (size_t)(end - at));
        if (next == NULL) next = end;
        if (next > at) texts[(*count)++] = (tandem_str){at, (size_t)(next - at)};
        at = next + 1;
    }
    if (*count == 0) load_die(path, "no text in it");
    return texts; // and the map, until the program ends
}

static void push(tandem_buffer *out, const char *text) {
    if (tandem__buffer_push(out, text, strlen(text), NULL)) load_die("requests", "out of memory");
}

static const char *route_path(const load_options *options) {
    if (strcmp(options->route, "embed") == 0) return "/embed";
    if (strcmp(options->route, "openai") == 0) return "/v1/embeddings";
    if (strcmp(options->route, "openai-base64") == 0) return "/v1/embeddings";
    if (strcmp(options->route, "infinity") == 0) return "/embeddings";
    usage("--route");
}

void load_head_push(tandem_buffer *out, const load_options *options, int64_t length) {
    const bool is_lines = length < 0 && strcmp(options->form, "ndjson") == 0;
    push(out, "POST ");
    push(out, route_path(options));
    push(out, " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/");
    push(out, is_lines ? "x-ndjson\r\n" : "json\r\n");
    for (int64_t i = 0; i < options->header_count; i++) {
        push(out, options->headers[i]);
        push(out, "\r\n");
    }
    if (length < 0) {
        push(out, "Accept: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n");
    } else if (tandem__buffer_printf(out, NULL, "Content-Length: %lld\r\n\r\n",
                                     (long long)length)) {
        load_die("requests", "out of memory");
    }
}

static void push_body(tandem_buffer *out, const load_options *options, const tandem_str *texts) {
    const bool is_embed = strcmp(options->route, "embed") == 0;
    const bool is_list = options->batch > 1 || strcmp(options->route, "infinity") == 0;
    push(out, is_embed ? "{\"inputs\":" : "{\"input\":");
    if (is_list) push(out, "[");
    for (int64_t i = 0; i < options->batch; i++) {
        if (i > 0) push(out, ",");
        if (tandem__json_text_string(out, texts[i], NULL)) load_die("requests", "out of memory");
    }
    if (is_list) push(out, "]");
    if (!is_embed) {
        push(out, ",\"model\":");
        if (tandem__json_text_string(out, tandem__str(options->model), NULL)) {
            load_die("requests", "out of memory");
        }
    }
    if (strcmp(options->route, "openai-base64") == 0) push(out, ",\"encoding_format\":\"base64\"");
    push(out, "}");
}

void load_requests_make(load_requests *requests, const load_options *options) {
    size_t text_count = 0;
    tandem_str *texts = load_texts_read(options->texts, &text_count);
    const size_t batch = (size_t)options->batch;
    requests->count = text_count / batch;
    if (requests->count == 0) load_die(options->texts, "fewer lines than --batch");
    requests->offsets = tandem__mem_calloc(requests->count + 1, sizeof(size_t));
    if (requests->offsets == NULL) load_die("requests", "out of memory");
    tandem__buffer_init(&requests->bytes, REQUEST_BYTES_MAX);
    tandem_buffer body;
    tandem__buffer_init(&body, REQUEST_BYTES_MAX);
    for (size_t i = 0; i < requests->count; i++) {
        body.len = 0;
        push_body(&body, options, texts + i * batch);
        load_head_push(&requests->bytes, options, (int64_t)body.len);
        if (tandem__buffer_push(&requests->bytes, body.ptr, body.len, NULL)) {
            load_die("requests", "out of memory");
        }
        requests->offsets[i + 1] = requests->bytes.len;
    }
    tandem__buffer_deinit(&body);
    tandem__mem_free(texts);
}

int load_connect(const load_options *options) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)options->port)};
    if (inet_pton(AF_INET, options->host, &address.sin_addr) != 1) {
        load_die(options->host, "expected an IPv4 address");
    }
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) load_die("socket", strerror(errno));
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        (void)close(fd);
        return -1;
    }
    const int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

double load_processor_s(void) {
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static double quantile_ms(const tandem_histogram *latency, double share) {
    return (double)tandem__histogram_quantile(latency, share) / 1e6;
}

void load_class_print(const char *name, const tandem_histogram *latency, double seconds) {
    const uint64_t count = atomic_load(&latency->total);
    (void)printf("\"%s\":{\"count\":%llu,\"per_s\":%.2f,\"p50_ms\":%.4f,\"p95_ms\":%.4f,"
                 "\"p99_ms\":%.4f,\"max_ms\":%.4f}",
                 name, (unsigned long long)count, (double)count / seconds,
                 quantile_ms(latency, 0.5), quantile_ms(latency, 0.95), quantile_ms(latency, 0.99),
                 quantile_ms(latency, 1));
}

static void allow_many_files(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv) {
    load_options options;
    load_options_read(&options, argc, argv);
    allow_many_files();
    const char *mode = options.mode;
    if (strcmp(mode, "closed") == 0 || strcmp(mode, "open") == 0) return load_loop_run(&options);
    if (strcmp(mode, "idle") == 0 || strcmp(mode, "loris") == 0 || strcmp(mode, "trickle") == 0) {
        return load_hold_run(&options);
    }
    if (strcmp(mode, "stream") == 0) return load_stream_run(&options);
    usage("--mode");
}
