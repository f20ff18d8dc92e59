/* SPDX-License-Identifier: Apache-2.0 */
/* Spans of byte-level tokens without the white space that the tokens begin and end with, which is
 * what trim_offsets of ByteLevel and RobertaProcessing asks for. */
#ifndef TANDEM_TEXT_TRIM_H
#define TANDEM_TEXT_TRIM_H

#include "tandem/tokenizer.h"
#include "text/post_template.h"
#include "text/token_model.h"

/* White space of one token, in characters of the token. */
typedef struct tandem_trim {
    uint32_t before;
    uint32_t after;
} tandem_trim;

tandem_trim tandem__trim_of(tandem_str token);

/* Spans of one window, of tokens [first, first + count), in bytes and characters of `text`. */
typedef struct tandem_trim_window {
    const uint8_t *text;
    const tandem_trim *trims;
    tandem_span *bytes;
    tandem_span *chars;
    size_t count;
} tandem_trim_window;

/* With `keeps_first` a single space stays where nothing or the start of the text is before it, as
 * it was put there. */
void tandem__trim_apply(const tandem_trim_window *window, bool keeps_first);

#endif
