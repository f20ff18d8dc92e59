/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/input.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/fail.h"
#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"

#define READ_BYTES      ((size_t)256 << 10)
#define TEXT_BYTES_MAX  ((size_t)1 << 36)
#define PATIENCE_MS     2 /* a pipe that is refilled while we compute is not slow */
#define NO_LINE         SIZE_MAX
#define BYTE_ORDER_MARK "\xef\xbb\xbf"

/* A tree has a node for at least every two bytes, or one more for the text itself. */
#define TREE_BYTES(len) ((len)*128 + ((size_t)1 << 20))

static bool is_stdin_word(const cli_settings *settings, int first_arg) {
    return settings->arg_count == first_arg + 1 && strcmp(settings->args[first_arg], "-") == 0;
}

bool cli_input_is_ambiguous(const cli_settings *settings, int first_arg) {
    return settings->file != NULL && settings->arg_count > first_arg;
}

static tandem_status open_descriptor(cli_input *input, const char *path, tandem_error *err) {
    struct stat info;
    input->fd = STDIN_FILENO;
    input->name = "standard input";
    if (path != NULL && strcmp(path, "-") != 0) {
        input->name = path;
        input->fd = open(path, O_RDONLY | O_CLOEXEC);
        if (input->fd < 0) return tandem__fail_errno(err, path, "cannot open");
    }
    if (fstat(input->fd, &info) != 0) return tandem__fail_errno(err, input->name, "cannot stat");
    if (S_ISDIR(info.st_mode)) {
        return TANDEM_FAIL(err, INVALID, "%s: is a directory, expected a file of texts",
                           input->name);
    }
    input->is_pipe = !S_ISREG(info.st_mode);
    if (!input->is_pipe) input->bytes_total = (uint64_t)info.st_size;
    if (isatty(input->fd) && !input->settings->is_quiet) {
        cli_note("reading texts from the terminal, one a line; Ctrl-D ends");
    }
    return TANDEM_OK;
}

tandem_status cli_input_open(cli_input *input, const cli_settings *settings, int first_arg,
                             tandem_error *err) {
    *input = (cli_input){.settings = settings, .fd = -1};
    TANDEM_ASSERT(!cli_input_is_ambiguous(settings, first_arg));
    tandem__buffer_init(&input->raw, TEXT_BYTES_MAX);
    tandem__buffer_init(&input->bytes, TEXT_BYTES_MAX);
    tandem__buffer_init(&input->texts_memory, TEXT_BYTES_MAX);
    tandem__buffer_init(&input->lines_memory, TEXT_BYTES_MAX);
    input->is_jsonl = strcmp(settings->input_format, "jsonl") == 0;
    if (settings->arg_count == first_arg || is_stdin_word(settings, first_arg)) {
        return open_descriptor(input, settings->file, err);
    }
    input->name = "arguments";
    input->args = settings->args + first_arg;
    input->first_arg = first_arg;
    input->arg_count = settings->arg_count - first_arg;
    return TANDEM_OK;
}

void cli_input_close(cli_input *input) {
    if (input->settings == NULL) return;
    if (input->fd > STDIN_FILENO) (void)close(input->fd);
    tandem__buffer_deinit(&input->raw);
    tandem__buffer_deinit(&input->bytes);
    tandem__buffer_deinit(&input->texts_memory);
    tandem__buffer_deinit(&input->lines_memory);
    *input = (cli_input){.fd = -1};
}

int64_t cli_input_count(const cli_input *input) {
    return input->args == NULL ? -1 : input->arg_count;
}

static cli_place place(const cli_input *input, uint64_t line) {
    cli_place out;
    if (input->args != NULL) line += (uint64_t)input->first_arg;
    (void)snprintf(out.text, sizeof out.text, "%s %" PRIu64, input->args == NULL ? "line" : "text",
                   line);
    return out;
}

cli_place cli_input_place(const cli_input *input, size_t i) {
    TANDEM_ASSERT(i < input->count);
    return place(input, input->lines[i]);
}

/* Errors about a text have one place: its line or argument, and the file where there are several.
 */
static tandem_status fail_line(const cli_input *input, tandem_status status, const char *line,
                               const char *why, tandem_error *err) {
    const bool is_file = input->fd > STDIN_FILENO;
    return tandem__fail(err, status, __FILE__, __LINE__, "%s%s%s: %s", is_file ? input->name : "",
                        is_file ? ": " : "", line, why);
}

tandem_status cli_input_fail(const cli_input *input, size_t i, tandem_status status,
                             const char *why, tandem_error *err) {
    return fail_line(input, status, cli_input_place(input, i).text, why, err);
}

static bool is_waiting_in_vain(const cli_input *input) {
    struct pollfd ready = {.fd = input->fd, .events = POLLIN};
    return input->is_pipe && poll(&ready, 1, PATIENCE_MS) == 0;
}

/* Reads once; sets is_at_end where there is nothing more. */
static tandem_status fill(cli_input *input, tandem_error *err) {
    tandem_buffer *raw = &input->raw;
    if (input->raw_at > 0) {
        raw->len -= input->raw_at;
        memmove(raw->ptr, raw->ptr + input->raw_at, raw->len);
        input->raw_at = 0;
    }
    TANDEM_TRY(tandem__buffer_reserve(raw, READ_BYTES, err));
    for (;;) {
        const ssize_t got = read(input->fd, raw->ptr + raw->len, raw->capacity - raw->len);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return tandem__fail_errno(err, input->name, "cannot read");
        if (got == 0) input->is_at_end = true;
        raw->len += (size_t)got;
        return TANDEM_OK;
    }
}

/* The length of the next line without its end, or NO_LINE at the end of the input or, where
 * `is_patient` is false, while none is waiting. `*used` counts the end as well. */
static tandem_status find_line(cli_input *input, bool is_patient, size_t *len, size_t *used,
                               tandem_error *err) {
    size_t seen = 0; /* bytes after raw_at that hold no line end */
    *len = NO_LINE;
    for (;;) {
        const size_t have = input->raw.len - input->raw_at;
        const char *start = input->raw.ptr == NULL ? NULL : input->raw.ptr + input->raw_at;
        const char *end = have > seen ? memchr(start + seen, '\n', have - seen) : NULL;
        if (end != NULL) {
            *len = (size_t)(end - start);
            *used = *len + 1;
            break;
        }
        seen = have;
        if (input->is_at_end && have == 0) return TANDEM_OK;
        if (input->is_at_end) {
            *len = *used = have;
            break;
        }
        if (!is_patient && is_waiting_in_vain(input)) return TANDEM_OK;
        TANDEM_TRY(fill(input, err));
    }
    if (*len > 0 && input->raw.ptr[input->raw_at + *len - 1] == '\r') *len -= 1;
    return TANDEM_OK;
}

static tandem_status add_text(cli_input *input, tandem_str text, tandem_error *err) {
    /* The bytes may move while the chunk grows: until it is done, ptr is NULL and only the length
     * counts. */
    const tandem_text record = {NULL, text.len};
    TANDEM_TRY(tandem__buffer_push(&input->bytes, text.ptr, text.len, err));
    TANDEM_TRY(tandem__buffer_push(&input->texts_memory, &record, sizeof record, err));
    return tandem__buffer_push(&input->lines_memory, &input->line, sizeof input->line, err);
}

/* The text of a row, borrowed from `arena`. */
static tandem_status read_row(tandem_str row, const char *field, tandem_arena *arena,
                              tandem_str *out, tandem_error *err) {
    const tandem_json *root = NULL;
    tandem_error cause = {0};
    const tandem_status status = tandem__json_parse(row, arena, &root, &cause);
    if (status != TANDEM_OK) {
        /* A row is one line: the parser's own count of lines would be a second one. */
        static const char first_line[] = "not valid JSON at line 1, ";
        const bool is_placed = strncmp(cause.message, first_line, sizeof first_line - 1) == 0;
        return tandem__fail(err, status, __FILE__, __LINE__, "not a JSON object: %s",
                            cause.message + (is_placed ? sizeof first_line - 1 : 0));
    }
    if (root->kind != TANDEM_JSON_OBJECT) {
        return TANDEM_FAIL(err, FORMAT, "is %s, expected an object with \"%s\"",
                           tandem__json_label(root).text, field);
    }
    const tandem_json *text = tandem__json_get(root, field);
    if (text == NULL)
        return TANDEM_FAIL(err, FORMAT, "no field \"%s\" (--field names another)", field);
    if (text->kind != TANDEM_JSON_STRING) {
        return TANDEM_FAIL(err, FORMAT, "field \"%s\" is %s, expected a string", field,
                           tandem__json_label(text).text);
    }
    *out = text->text;
    return TANDEM_OK;
}

static tandem_status add_row(cli_input *input, tandem_str row, tandem_error *err) {
    size_t blank = 0;
    while (blank < row.len && (row.ptr[blank] == ' ' || row.ptr[blank] == '\t')) blank++;
    if (blank == row.len) return TANDEM_OK;
    tandem_arena arena;
    tandem_error cause = {0};
    tandem_str text = TANDEM_STR("");
    tandem__arena_init(&arena, TREE_BYTES(row.len));
    tandem_status status = read_row(row, input->settings->field, &arena, &text, &cause);
    if (status == TANDEM_OK)
        status = add_text(input, text, err);
    else
        status = fail_line(input, status, place(input, input->line).text, cause.message, err);
    tandem__arena_deinit(&arena);
    return status;
}

static tandem_status add_valid(cli_input *input, tandem_str text, tandem_error *err) {
    return input->is_jsonl && input->args == NULL ? add_row(input, text, err)
                                                  : add_text(input, text, err);
}

/* One line or argument, made UTF-8. */
static tandem_status add(cli_input *input, tandem_str text, tandem_error *err) {
    const size_t valid = tandem__utf8_valid_prefix((const uint8_t *)text.ptr, text.len);
    if (valid == text.len) return add_valid(input, text, err);
    if (input->settings->is_strict) {
        char why[96];
        (void)snprintf(why, sizeof why,
                       "byte %zu (0x%02x) is not UTF-8; without --strict it is replaced", valid + 1,
                       (unsigned)(unsigned char)text.ptr[valid]);
        return fail_line(input, TANDEM_FORMAT, place(input, input->line).text, why, err);
    }
    tandem_buffer replaced;
    tandem__buffer_init(&replaced, TEXT_BYTES_MAX);
    tandem_status status = tandem__buffer_reserve(&replaced, 3 * text.len, err);
    if (status == TANDEM_OK) {
        replaced.len =
            tandem__utf8_replace((const uint8_t *)text.ptr, text.len, (uint8_t *)replaced.ptr);
        status = add_valid(input, (tandem_str){replaced.ptr, replaced.len}, err);
    }
    tandem__buffer_deinit(&replaced);
    return status;
}

/* Adds one line; *is_more is false when the chunk has to end here. */
static tandem_status take_line(cli_input *input, bool *is_more, tandem_error *err) {
    size_t len = 0;
    size_t used = 0;
    const bool is_patient = input->texts_memory.len == 0;
    TANDEM_TRY(find_line(input, is_patient, &len, &used, err));
    *is_more = len != NO_LINE;
    if (!*is_more) return TANDEM_OK;
    tandem_str line = {input->raw.ptr + input->raw_at, len};
    if (input->line == 0 && tandem__str_starts(line, BYTE_ORDER_MARK)) {
        line.ptr += strlen(BYTE_ORDER_MARK);
        line.len -= strlen(BYTE_ORDER_MARK);
    }
    input->raw_at += used;
    input->bytes_taken += used;
    input->line++;
    return add(input, line, err);
}

static tandem_status take_argument(cli_input *input, bool *is_more, tandem_error *err) {
    *is_more = input->line < (uint64_t)input->arg_count;
    if (!*is_more) return TANDEM_OK;
    return add(input, tandem__str(input->args[input->line++]), err);
}

static tandem_status check_failure(const cli_input *input, tandem_error *err) {
    if (input->failure.status == TANDEM_OK) return TANDEM_OK;
    return tandem__fail(err, input->failure.status, __FILE__, __LINE__, "%s",
                        input->failure.message);
}

tandem_status cli_input_next(cli_input *input, size_t texts_max, size_t bytes_max,
                             tandem_error *err) {
    input->bytes.len = 0;
    input->texts_memory.len = 0;
    input->lines_memory.len = 0;
    input->count = 0;
    TANDEM_TRY(check_failure(input, err));
    bool is_more = true;
    while (is_more && input->texts_memory.len < texts_max * sizeof(tandem_text) &&
           input->bytes.len < bytes_max) {
        const tandem_status status = input->args == NULL
                                         ? take_line(input, &is_more, &input->failure)
                                         : take_argument(input, &is_more, &input->failure);
        if (status != TANDEM_OK) is_more = false;
    }
    tandem_text *texts = (void *)input->texts_memory.ptr;
    input->count = input->texts_memory.len / sizeof *texts;
    const char *at = input->bytes.ptr == NULL ? "" : input->bytes.ptr;
    for (size_t i = 0; i < input->count; i++) {
        texts[i].ptr = at;
        at += texts[i].len;
    }
    input->texts = texts;
    input->lines = (const void *)input->lines_memory.ptr;
    return input->count == 0 ? check_failure(input, err) : TANDEM_OK;
}
