/* SPDX-License-Identifier: Apache-2.0 */
/* Lower case of a whole text, as Python's str.lower: what sentence-transformers applies before the
 * tokenizer where sentence_bert_config.json says do_lower_case. Any thread. */
#ifndef TANDEM_TEXT_LOWER_H
#define TANDEM_TEXT_LOWER_H

#include "base/buffer.h"
#include "base/str.h"
#include "tandem/status.h"

/* Appends the lower case of `text` to `out`. A capital sigma becomes the final one after a letter
 * and before none, marks not counted; letters without case count as letters here, which Python's
 * rule leaves out. Bytes that are not UTF-8 are copied: the tokenizer names them. */
tandem_status tandem__text_lower(tandem_str text, tandem_buffer *out,
                                 tandem_error *err) TANDEM_NODISCARD;

#endif
