/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TANDEM_TEXT_TOKENIZER_INTERNAL_H
#define TANDEM_TEXT_TOKENIZER_INTERNAL_H

#include "tandem/tokenizer.h"
#include "text/added_tokens.h"
#include "text/decoder.h"
#include "text/normalizer.h"
#include "text/post_template.h"
#include "text/pretokenizer.h"
#include "text/token_model.h"

/* Everything lives in the arena and is read-only once open. */
struct tandem_tokenizer {
    tandem_arena arena;
    tandem_normalizer normalizer;
    tandem_pretokenizer pretokenizer;
    tandem_model_part model;
    const tandem_vocab *vocab; /* the model's */
    tandem_added_tokens added;
    tandem_post post;
    tandem_decoder decoder;
};

/* Fills the parts of an empty tokenizer whose arena is ready. */
tandem_status tandem__tokenizer_read(tandem_tokenizer *tokenizer, tandem_str json,
                                     tandem_error *err) TANDEM_NODISCARD;

#endif
