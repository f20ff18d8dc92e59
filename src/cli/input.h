/* SPDX-License-Identifier: Apache-2.0 */
/* Texts from arguments, lines or jsonl rows, in chunks of bounded memory.
 *
 *   lines  "\n" ends a text and a "\r" before it goes with it; the last line needs no end; an empty
 *          line is an empty text. A "\r" alone is a character like any other, so that there are as
 *          many texts as `wc -l` counts lines.
 *   jsonl  one JSON object a line, whose member `field` is a string; lines of white space are
 *          skipped.
 *
 * A byte order mark at the start of the input is no part of it. What is not UTF-8 is replaced by
 * U+FFFD as Python's decoder does, or, with --strict, an error that names the line.
 *
 * From a pipe, a chunk also ends when no more input is waiting, so that a slow producer gets its
 * vectors as it goes. One thread. */
#ifndef TANDEM_CLI_INPUT_H
#define TANDEM_CLI_INPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "cli/cli.h"
#include "tandem/engine.h"

typedef struct cli_input {
    const cli_settings *settings;
    const char *name;        /* for messages: the path, "standard input" or "arguments" */
    const char *const *args; /* NULL: from fd */
    int arg_count;
    int first_arg; /* how many came before args[0], for messages */
    int fd;
    bool is_jsonl;
    bool is_pipe;      /* may have nothing to read for a while */
    bool is_at_end;    /* of fd */
    tandem_buffer raw; /* read from fd, not yet taken from raw_at on */
    size_t raw_at;
    uint64_t line; /* lines, or arguments, taken so far */
    uint64_t bytes_taken;
    uint64_t bytes_total; /* of a regular file; 0 = not known */

    /* The chunk that cli_input_next made; valid until it is called again. */
    const tandem_text *texts; /* [count] */
    const uint64_t *lines;    /* [count] line of each text, from 1 */
    size_t count;

    tandem_error failure; /* met while the chunk was made */
    tandem_buffer bytes;  /* of the texts */
    tandem_buffer texts_memory;
    tandem_buffer lines_memory;
} cli_input;

/* Reads the arguments from `first_arg` on, or where there is none (or it is a single "-"), --file
 * or standard input. Arguments and --file together are wrong usage: the caller checks with
 * cli_input_is_ambiguous. */
tandem_status cli_input_open(cli_input *input, const cli_settings *settings, int first_arg,
                             tandem_error *err) TANDEM_NODISCARD;

bool cli_input_is_ambiguous(const cli_settings *settings, int first_arg);

/* The next texts, at most `texts_max`, and about `bytes_max` unless one text alone is longer.
 * count == 0 is the end. Texts before a bad one come first: the error is the next call's. */
tandem_status cli_input_next(cli_input *input, size_t texts_max, size_t bytes_max,
                             tandem_error *err) TANDEM_NODISCARD;

/* "line 3", or "text 3" of arguments, for messages about text `i` of the chunk. */
typedef struct cli_place {
    char text[80];
} cli_place;
cli_place cli_input_place(const cli_input *input, size_t i);

/* Fills `err` with "why" after the place of text `i`, and its file if it came from one; returns
 * `status`. */
tandem_status cli_input_fail(const cli_input *input, size_t i, tandem_status status,
                             const char *why, tandem_error *err);

/* Number of texts where it is known before reading, else -1. */
int64_t cli_input_count(const cli_input *input);

void cli_input_close(cli_input *input);

#endif
