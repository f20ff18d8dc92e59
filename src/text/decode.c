/* SPDX-License-Identifier: Apache-2.0 */
/* Token ids to text: the text of each id, special ones left out if so, then the decoder. */
#include <string.h>

#include "base/assert.h"
#include "base/fail.h"
#include "text/tokenizer_internal.h"

/* The texts of the ids; one that is in no vocabulary is passed over, as the reference does. */
static tandem_status put_tokens(const tandem_tokenizer *tokenizer, const int32_t *ids, size_t count,
                                bool skip_special, tandem_pieces *pieces, tandem_error *err) {
    for (size_t i = 0; i < count; i++) {
        tandem_str text = {0};
        text.ptr = tandem_tokenizer_token(tokenizer, ids[i], &text.len);
        if (text.ptr == NULL) continue;
        if (skip_special && tandem__vocab_find(&tokenizer->added.specials, text) >= 0) continue;
        TANDEM_TRY(tandem__pieces_put(pieces, text, err));
        TANDEM_TRY(tandem__pieces_end(pieces, err));
    }
    return TANDEM_OK;
}

/* Without a decoder tokens are joined by spaces. */
static tandem_status join_by_spaces(tandem_decoder_scratch *scratch, tandem_error *err) {
    const tandem_pieces *const in = &scratch->pieces[0];
    tandem_pieces *const out = &scratch->pieces[1];
    for (size_t i = 0; i < tandem__pieces_count(in); i++) {
        if (i > 0) TANDEM_TRY(tandem__pieces_put(out, TANDEM_STR(" "), err));
        TANDEM_TRY(tandem__pieces_put(out, tandem__pieces_at(in, i), err));
    }
    return TANDEM_OK;
}

/* Copies as much as fits in whole characters, and a NUL. */
static void copy_out(tandem_str text, char *out, size_t size) {
    if (size == 0) return;
    size_t len = text.len;
    if (len >= size) {
        len = size - 1;
        while (len > 0 && ((uint8_t)text.ptr[len] & 0xc0) == 0x80) len--;
    }
    if (len > 0) memcpy(out, text.ptr, len);
    out[len] = '\0';
}

static tandem_status decode(const tandem_tokenizer *tokenizer, const int32_t *ids, size_t count,
                            bool skip_special, tandem_decoder_scratch *scratch, tandem_str *text,
                            tandem_error *err) {
    const tandem_pieces *result = &scratch->pieces[1];
    TANDEM_TRY(put_tokens(tokenizer, ids, count, skip_special, &scratch->pieces[0], err));
    if (tokenizer->decoder.is_given)
        TANDEM_TRY(tandem__decoder_run(&tokenizer->decoder, scratch, &result, err));
    else
        TANDEM_TRY(join_by_spaces(scratch, err));
    *text = (tandem_str){result->bytes.ptr, result->bytes.count};
    return TANDEM_OK;
}

tandem_status tandem_tokenizer_decode(const tandem_tokenizer *tokenizer, const int32_t *ids,
                                      size_t count, bool skip_special, char *out, size_t size,
                                      size_t *len, tandem_error *err) {
    TANDEM_ASSERT(tokenizer != NULL);
    TANDEM_ASSERT(ids != NULL || count == 0);
    TANDEM_ASSERT(out != NULL || size == 0);
    tandem_decoder_scratch scratch = {0};
    tandem_str text = {0};
    const tandem_status status = decode(tokenizer, ids, count, skip_special, &scratch, &text, err);
    if (status == TANDEM_OK) {
        copy_out(text, out, size);
        *len = text.len;
    }
    tandem__decoder_scratch_deinit(&scratch);
    return status;
}
