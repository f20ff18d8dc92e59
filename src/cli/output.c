/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/output.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/fail.h"
#include "base/json_text.h"
#include "cli/npy.h"

#define COPY_BYTES ((size_t)64 << 10)

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "npy and f32 are written as the machine has them, which has to be little-endian"
#endif

static const struct {
    const char *word;
    cli_format format;
} formats[] = {
    {"jsonl", CLI_FORMAT_JSONL}, {"json", CLI_FORMAT_JSON}, {"csv", CLI_FORMAT_CSV},
    {"npy", CLI_FORMAT_NPY},     {"f32", CLI_FORMAT_F32},
};

cli_format cli_output_format(const cli_settings *settings) {
    const char *dot = settings->output == NULL ? NULL : strrchr(settings->output, '.');
    const char *word = settings->format != NULL ? settings->format : dot == NULL ? "" : dot + 1;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (strcmp(formats[i].word, word) == 0) return formats[i].format;
    }
    return CLI_FORMAT_JSONL;
}

static tandem_status push_header(cli_output *output, uint64_t rows, tandem_error *err) {
    char header[CLI_NPY_HEADER_BYTES];
    cli_npy_header(rows, output->dimensions, header);
    return tandem__buffer_push(&output->sink->pending, header, sizeof header, err);
}

tandem_status cli_output_open(cli_output *output, cli_sink *sink, cli_format format,
                              int32_t dimensions, int64_t rows, tandem_error *err) {
    *output = (cli_output){.sink = sink, .format = format, .dimensions = dimensions};
    if (format == CLI_FORMAT_JSON) return tandem__buffer_push(&sink->pending, "[", 1, err);
    if (format != CLI_FORMAT_NPY) return TANDEM_OK;
    if (rows < 0 && !sink->is_patchable) {
        output->spool = tmpfile();
        if (output->spool != NULL) return TANDEM_OK;
        return tandem__fail_errno(err, "temporary file", "cannot create");
    }
    return push_header(output, rows < 0 ? 0 : (uint64_t)rows, err);
}

static tandem_status push_json(cli_output *output, const float *vector, tandem_error *err) {
    tandem_buffer *out = &output->sink->pending;
    const bool is_array = output->format == CLI_FORMAT_JSON;
    const char *separator = !is_array ? "" : output->rows == 0 ? "\n" : ",\n";
    TANDEM_TRY(tandem__buffer_printf(out, err, "%s{\"index\":%" PRIu64 ",\"embedding\":", separator,
                                     output->rows));
    TANDEM_TRY(tandem__json_text_floats(out, vector, (size_t)output->dimensions, err));
    return tandem__buffer_push(out, "}\n", is_array ? 1 : 2, err);
}

static tandem_status push_csv(cli_output *output, const float *vector, tandem_error *err) {
    tandem_buffer *out = &output->sink->pending;
    TANDEM_TRY(tandem__json_text_join(out, vector, (size_t)output->dimensions, ',', err));
    return tandem__buffer_push(out, "\n", 1, err);
}

static tandem_status fail_spool(tandem_error *err) {
    return tandem__fail_errno(err, "temporary file", "cannot write");
}

static tandem_status push_binary(cli_output *output, const float *vector, tandem_error *err) {
    const size_t bytes = (size_t)output->dimensions * sizeof *vector;
    if (output->spool == NULL) {
        return tandem__buffer_push(&output->sink->pending, vector, bytes, err);
    }
    if (fwrite(vector, 1, bytes, output->spool) != bytes) return fail_spool(err);
    return TANDEM_OK;
}

static tandem_status push_row(cli_output *output, const float *vector, tandem_error *err) {
    switch (output->format) {
    case CLI_FORMAT_JSONL:
    case CLI_FORMAT_JSON:
        return push_json(output, vector, err);
    case CLI_FORMAT_CSV:
        return push_csv(output, vector, err);
    case CLI_FORMAT_NPY:
    case CLI_FORMAT_F32:
        return push_binary(output, vector, err);
    }
    return TANDEM_FAIL(err, INVALID, "format %d is none", (int)output->format);
}

tandem_status cli_output_rows(cli_output *output, const float *vectors, size_t count,
                              tandem_error *err) {
    for (size_t i = 0; i < count; i++) {
        const float *vector = vectors + i * (size_t)output->dimensions;
        TANDEM_TRY(push_row(output, vector, err));
        output->rows++;
        TANDEM_TRY(cli_sink_settle(output->sink, err));
    }
    return TANDEM_OK;
}

static tandem_status copy_spool(cli_output *output, tandem_error *err) {
    if (fflush(output->spool) != 0) return fail_spool(err);
    rewind(output->spool);
    tandem_buffer *out = &output->sink->pending;
    for (;;) {
        TANDEM_TRY(tandem__buffer_reserve(out, COPY_BYTES, err));
        const size_t got = fread(out->ptr + out->len, 1, COPY_BYTES, output->spool);
        if (got == 0) break;
        out->len += got;
        TANDEM_TRY(cli_sink_settle(output->sink, err));
    }
    if (ferror(output->spool) == 0) return TANDEM_OK;
    return tandem__fail_errno(err, "temporary file", "cannot read");
}

tandem_status cli_output_finish(cli_output *output, tandem_error *err) {
    tandem_buffer *out = &output->sink->pending;
    if (output->format == CLI_FORMAT_JSON) return tandem__buffer_push(out, "\n]\n", 3, err);
    if (output->format != CLI_FORMAT_NPY) return TANDEM_OK;
    if (output->spool != NULL) {
        TANDEM_TRY(push_header(output, output->rows, err));
        return copy_spool(output, err);
    }
    if (!output->sink->is_patchable) return TANDEM_OK;
    char header[CLI_NPY_HEADER_BYTES];
    cli_npy_header(output->rows, output->dimensions, header);
    TANDEM_TRY(cli_sink_flush(output->sink, err));
    return cli_sink_patch(output->sink, 0, header, sizeof header, err);
}

void cli_output_close(cli_output *output) {
    if (output->spool != NULL) (void)fclose(output->spool);
    *output = (cli_output){.spool = NULL};
}
