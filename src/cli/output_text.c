/* SPDX-License-Identifier: Apache-2.0 */
/* What of a result is no plain vector: token vectors, sparse vectors, and texts in tables. */
#include <inttypes.h>
#include <string.h>

#include "base/fail.h"
#include "base/float_text.h"
#include "base/json_text.h"
#include "cli/output.h"

tandem_status cli_output_number(tandem_buffer *out, float value, tandem_error *err) {
    char number[TANDEM_FLOAT_TEXT_MAX];
    const size_t len = tandem__float_text(value, number);
    return tandem__buffer_push(out, number, len, err);
}

tandem_status cli_output_plain(tandem_buffer *out, tandem_text text, tandem_error *err) {
    const size_t start = out->len;
    TANDEM_TRY(tandem__buffer_push(out, text.ptr, text.len, err));
    for (size_t i = start; i < out->len; i++) {
        const unsigned char c = (unsigned char)out->ptr[i];
        if (c < 0x20 || c == 0x7f) out->ptr[i] = ' ';
    }
    return TANDEM_OK;
}

tandem_status cli_output_line(tandem_buffer *out, tandem_text text, tandem_error *err) {
    TANDEM_TRY(cli_output_plain(out, text, err));
    return tandem__buffer_push(out, "\n", 1, err);
}

static tandem_status push_token(tandem_buffer *out, const tandem_tokenizer *tokenizer, int32_t id,
                                tandem_error *err) {
    size_t len = 0;
    const char *token = tandem_tokenizer_token(tokenizer, id, &len);
    if (token == NULL) return tandem__buffer_push(out, "null", 4, err);
    return tandem__json_text_string(out, (tandem_str){token, len}, err);
}

/* "{"index":7," of the next row, after what stands between rows. */
static tandem_status begin_row(const cli_output *output, const char *name, tandem_error *err) {
    const bool is_array = output->format == CLI_FORMAT_JSON;
    const char *separator = !is_array ? "" : output->rows == 0 ? "\n" : ",\n";
    return tandem__buffer_printf(&output->sink->pending, err, "%s{\"index\":%" PRIu64 ",\"%s\":[",
                                 separator, output->rows, name);
}

static tandem_status end_row(cli_output *output, tandem_error *err) {
    const bool is_array = output->format == CLI_FORMAT_JSON;
    TANDEM_TRY(tandem__buffer_push(&output->sink->pending, "]}\n", is_array ? 2 : 3, err));
    output->rows++;
    return cli_sink_settle(output->sink, err);
}

tandem_status cli_output_tokens(cli_output *output, const tandem_result *result,
                                const tandem_tokenizer *tokenizer, tandem_error *err) {
    tandem_buffer *out = &output->sink->pending;
    const size_t width = (size_t)result->dimensions;
    for (size_t i = 0; i < result->count; i++) {
        const size_t first = (size_t)result->texts[i].first_row;
        const size_t count = (size_t)result->texts[i].tokens;
        TANDEM_TRY(begin_row(output, "tokens", err));
        for (size_t t = 0; t < count; t++) {
            if (t > 0) TANDEM_TRY(tandem__buffer_push(out, ",", 1, err));
            TANDEM_TRY(push_token(out, tokenizer, result->ids[first + t], err));
        }
        TANDEM_TRY(tandem__buffer_printf(out, err, "],\"embeddings\":["));
        for (size_t t = 0; t < count; t++) {
            if (t > 0) TANDEM_TRY(tandem__buffer_push(out, ",", 1, err));
            const float *row = result->vectors + (first + t) * width;
            TANDEM_TRY(tandem__json_text_floats(out, row, width, err));
        }
        TANDEM_TRY(end_row(output, err));
    }
    return TANDEM_OK;
}

tandem_status cli_output_sparse(cli_output *output, const tandem_result *result,
                                const tandem_tokenizer *tokenizer, tandem_error *err) {
    tandem_buffer *out = &output->sink->pending;
    for (size_t i = 0; i < result->count; i++) {
        TANDEM_TRY(begin_row(output, "sparse", err));
        for (int64_t k = result->sparse_offsets[i]; k < result->sparse_offsets[i + 1]; k++) {
            TANDEM_TRY(tandem__buffer_printf(
                out, err, "%s{\"index\":%d,\"token\":", k == result->sparse_offsets[i] ? "" : ",",
                (int)result->sparse_ids[k]));
            TANDEM_TRY(push_token(out, tokenizer, result->sparse_ids[k], err));
            TANDEM_TRY(tandem__buffer_push(out, ",\"value\":", 9, err));
            TANDEM_TRY(cli_output_number(out, result->sparse_weights[k], err));
            TANDEM_TRY(tandem__buffer_push(out, "}", 1, err));
        }
        TANDEM_TRY(end_row(output, err));
    }
    return TANDEM_OK;
}
