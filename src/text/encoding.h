/* SPDX-License-Identifier: Apache-2.0 */
/* What an encoding keeps between calls, and how its arrays are put together from tokens, windows
 * and a template. One thread at a time. */
#ifndef TANDEM_TEXT_ENCODING_H
#define TANDEM_TEXT_ENCODING_H

#include "tandem/tokenizer.h"
#include "text/normalizer.h"
#include "text/post_template.h"
#include "text/token_model.h"

/* Where a token's own text is: an offset in token_texts, or one of these. */
#define TANDEM_TOKEN_TEXT_MODEL   (-1) /* the model's word */
#define TANDEM_TOKEN_TEXT_ADDED   (-2) /* the added token's pattern */
#define TANDEM_TOKEN_TEXT_SPECIAL (-3) /* -3 - n: special token n of the template */

struct tandem_encoding_memory {
    /* Work of one text. */
    tandem_normalized normalized;
    tandem_normalizer_scratch normalizer;
    tandem_pretokenizer_scratch pretokenizer;
    tandem_tokens tokens[2];  /* of the text and of its pair */
    tandem_array windows[2];  /* tandem_split: range of tokens */
    tandem_array token_texts; /* char: texts of added tokens, each after its uint32_t length */
    /* The result, all windows together. */
    tandem_array ids;     /* int32_t */
    tandem_array types;   /* int32_t */
    tandem_array bytes;   /* tandem_span */
    tandem_array chars;   /* tandem_span */
    tandem_array words;   /* int32_t */
    tandem_array special; /* uint8_t */
    tandem_array texts;   /* int32_t */
    tandem_array starts;  /* int32_t */
    tandem_array choice;  /* uint32_t: window of each piece of the template */
};

/* Fills the arrays from memory->tokens and memory->windows. */
tandem_status tandem__encoding_assemble(tandem_encoding *encoding, const tandem_post *post,
                                        const tandem_post_template *template, bool wants_offsets,
                                        tandem_error *err) TANDEM_NODISCARD;

/* Empties the result; the memory stays. */
void tandem__encoding_clear(tandem_encoding *encoding);

#endif
