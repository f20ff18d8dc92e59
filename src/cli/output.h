/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors in the format that was asked for.
 *
 *     jsonl  {"index":0,"embedding":[...]}      a line a text
 *     json   the same objects in one array
 *     csv    the numbers of a text on a line, no header
 *     npy    NumPy 1.0, float32 [n, d]
 *     f32    the bare numbers, little-endian
 *
 * Token vectors and sparse vectors (output_text.c) are jsonl or json alone.
 *
 * npy names the number of rows first. Where the output is a file the header is written again at
 * the end; into a pipe, and where the number is not known before, the rows wait in a temporary
 * file, so that memory stays bounded. */
#ifndef TANDEM_CLI_OUTPUT_H
#define TANDEM_CLI_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/sink.h"
#include "tandem/engine.h"

typedef enum cli_format {
    CLI_FORMAT_JSONL = 0,
    CLI_FORMAT_JSON = 1,
    CLI_FORMAT_CSV = 2,
    CLI_FORMAT_NPY = 3,
    CLI_FORMAT_F32 = 4,
} cli_format;

typedef struct cli_output {
    cli_sink *sink; /* borrowed until closed */
    cli_format format;
    int32_t dimensions;
    uint64_t rows;
    FILE *spool; /* npy into a pipe; else NULL */
} cli_output;

/* The format of --format, else that of the ending of --output, else jsonl. */
cli_format cli_output_format(const cli_settings *settings);

/* `rows` is the number to come, or -1 where it is not known. */
tandem_status cli_output_open(cli_output *output, cli_sink *sink, cli_format format,
                              int32_t dimensions, int64_t rows, tandem_error *err) TANDEM_NODISCARD;

/* Appends `count` vectors, [count, dimensions] row-major. Index follows index. */
tandem_status cli_output_rows(cli_output *output, const float *vectors, size_t count,
                              tandem_error *err) TANDEM_NODISCARD;

/* Appends the token vectors of each text: {"index":0,"tokens":[...],"embeddings":[[...],...]}.
 * jsonl and json alone, here and below. */
tandem_status cli_output_tokens(cli_output *output, const tandem_result *result,
                                const tandem_tokenizer *tokenizer,
                                tandem_error *err) TANDEM_NODISCARD;

/* Appends {"index":0,"sparse":[{"index":2003,"token":"is","value":0.7},...]} of each text. */
tandem_status cli_output_sparse(cli_output *output, const tandem_result *result,
                                const tandem_tokenizer *tokenizer,
                                tandem_error *err) TANDEM_NODISCARD;

/* Pieces of other commands' rows: a float in the fewest digits that read back the same, and a text
 * with control characters as spaces, plain or with its line feed: one row, one line. */
tandem_status cli_output_number(tandem_buffer *out, float value,
                                tandem_error *err) TANDEM_NODISCARD;
tandem_status cli_output_plain(tandem_buffer *out, tandem_text text,
                               tandem_error *err) TANDEM_NODISCARD;
tandem_status cli_output_line(tandem_buffer *out, tandem_text text,
                              tandem_error *err) TANDEM_NODISCARD;

/* Ends the document; the sink is then ready to be committed. */
tandem_status cli_output_finish(cli_output *output, tandem_error *err) TANDEM_NODISCARD;

/* Frees. All zero is allowed. */
void cli_output_close(cli_output *output);

#endif
