/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/file.h"
#include "base/number.h"
#include "base/str.h"
#include "cli/bench_mix.h"
#include "tandem/engine.h"

#define FILE_BYTES_MAX ((size_t)64 << 20)
#define AT_MS_MAX      86400000.0 /* a day */
#define WORDS_MAX      4
#define DEADLINE_MAX   86400000.0

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

/* Words of a line up to its comment; returns their number, WORDS_MAX + 1 if there are more. */
static int split(tandem_str line, tandem_str words[WORDS_MAX]) {
    int count = 0;
    size_t at = 0;
    for (;;) {
        while (at < line.len && is_blank(line.ptr[at])) at++;
        if (at == line.len || line.ptr[at] == '#') return count;
        if (count == WORDS_MAX) return WORDS_MAX + 1;
        const size_t start = at;
        while (at < line.len && !is_blank(line.ptr[at]) && line.ptr[at] != '#') at++;
        words[count++] = (tandem_str){line.ptr + start, at - start};
    }
}

static tandem_status read_request(const tandem_str *words, int count, int32_t positions,
                                  double earliest_ms, cli_mix_request *request, tandem_error *err) {
    int64_t tokens = 0;
    *request = (cli_mix_request){.at_ms = 0.0};
    if (count < 2 || count > WORDS_MAX)
        return TANDEM_FAIL(err, FORMAT, "expected AT_MS TOKENS [PRIORITY [DEADLINE_MS]]");
    if (!tandem__number_parse_double(words[0], &request->at_ms) ||
        !(request->at_ms >= earliest_ms && request->at_ms <= AT_MS_MAX)) {
        return TANDEM_FAIL(err, FORMAT, "AT_MS: \"%.*s\", expected a number from %.6g to %.0f",
                           TANDEM_STR_ARG(words[0]), earliest_ms, AT_MS_MAX);
    }
    if (!tandem__number_parse_int(words[1], &tokens) || tokens < 1 || tokens > positions) {
        return TANDEM_FAIL(err, FORMAT,
                           "TOKENS: \"%.*s\", expected a whole number from 1 to the model's %d",
                           TANDEM_STR_ARG(words[1]), positions);
    }
    request->tokens = (int32_t)tokens;
    if (count > 2)
        TANDEM_TRY(tandem_priority_parse(words[2].ptr, words[2].len, &request->priority, err));
    if (count > 3 && (!tandem__number_parse_double(words[3], &request->deadline_ms) ||
                      !(request->deadline_ms > 0 && request->deadline_ms <= DEADLINE_MAX))) {
        return TANDEM_FAIL(err, FORMAT, "DEADLINE_MS: \"%.*s\", expected a number over 0 to %.0f",
                           TANDEM_STR_ARG(words[3]), DEADLINE_MAX);
    }
    return TANDEM_OK;
}

static tandem_status read_lines(tandem_str text, int32_t positions, cli_mix *mix,
                                tandem_error *err) {
    double earliest_ms = 0.0;
    size_t number = 0;
    for (size_t at = 0; at < text.len;) {
        const char *end = memchr(text.ptr + at, '\n', text.len - at);
        const size_t len = end == NULL ? text.len - at : (size_t)(end - text.ptr) - at;
        tandem_str words[WORDS_MAX];
        const int count = split((tandem_str){text.ptr + at, len}, words);
        at += len + 1;
        number++;
        if (count == 0) continue;
        cli_mix_request request;
        tandem_error cause = {0};
        const tandem_status status =
            read_request(words, count, positions, earliest_ms, &request, &cause);
        if (status != TANDEM_OK) {
            return tandem__fail(err, status, __FILE__, __LINE__, "%s: line %zu: %s", mix->path,
                                number, cause.message);
        }
        earliest_ms = request.at_ms;
        mix->tokens += request.tokens;
        if (request.tokens > mix->tokens_max) mix->tokens_max = request.tokens;
        TANDEM_TRY(tandem__buffer_push(&mix->memory, &request, sizeof request, err));
    }
    mix->requests = (const void *)mix->memory.ptr;
    mix->count = mix->memory.len / sizeof *mix->requests;
    if (mix->count > 0) return TANDEM_OK;
    return TANDEM_FAIL(err, FORMAT, "%s: no request, expected lines of AT_MS TOKENS [PRIORITY]",
                       mix->path);
}

tandem_status cli_mix_load(const char *path, int32_t positions, cli_mix *mix, tandem_error *err) {
    tandem_buffer file;
    *mix = (cli_mix){.path = path};
    tandem__buffer_init(&mix->memory, FILE_BYTES_MAX);
    tandem__buffer_init(&file, FILE_BYTES_MAX);
    tandem_status status = tandem__file_read(path, &file, err);
    if (status == TANDEM_OK)
        status = read_lines((tandem_str){file.ptr, file.len}, positions, mix, err);
    tandem__buffer_deinit(&file);
    return status;
}

void cli_mix_deinit(cli_mix *mix) {
    tandem__buffer_deinit(&mix->memory);
    *mix = (cli_mix){.count = 0};
}
