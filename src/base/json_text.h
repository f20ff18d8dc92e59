/* SPDX-License-Identifier: Apache-2.0 */
/* JSON out: the pieces that need care. Structure is the caller's own printf. Any thread, one
 * buffer each. */
#ifndef TANDEM_BASE_JSON_TEXT_H
#define TANDEM_BASE_JSON_TEXT_H

#include "base/buffer.h"
#include "base/str.h"
#include "tandem/status.h"

/* Appends `text` (UTF-8) as a JSON string with its quotes. Quote, backslash and control characters
 * are escaped, everything else stays as it is. */
tandem_status tandem__json_text_string(tandem_buffer *out, tandem_str text,
                                       tandem_error *err) TANDEM_NODISCARD;

/* Appends "[v,v,...]", each float32 in the fewest digits that read back the same. TANDEM_NUMERIC
 * for a value that is not finite. */
tandem_status tandem__json_text_floats(tandem_buffer *out, const float *values, size_t count,
                                       tandem_error *err) TANDEM_NODISCARD;

/* Appends the values with `separator` between them; errors as above. */
tandem_status tandem__json_text_join(tandem_buffer *out, const float *values, size_t count,
                                     char separator, tandem_error *err) TANDEM_NODISCARD;

#endif
