/* SPDX-License-Identifier: Apache-2.0 */
/* Settings that every part of a tokenizer.json spells alike. Unlike the typed reads of base/json.h
 * these must be there: the reference refuses a part that lacks one. */
#ifndef TANDEM_TEXT_PART_JSON_H
#define TANDEM_TEXT_PART_JSON_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/json.h"

/* The part's "type"; TANDEM_FORMAT where the part is no object or has none. Borrowed. */
tandem_status tandem__part_name(const tandem_json *part, tandem_str *name,
                                tandem_error *err) TANDEM_NODISCARD;

/* A string, copied into the arena. */
tandem_status tandem__part_text(const tandem_json *part, const char *key, tandem_arena *arena,
                                tandem_str *text, tandem_error *err) TANDEM_NODISCARD;

tandem_status tandem__part_flag(const tandem_json *part, const char *key, bool *value,
                                tandem_error *err) TANDEM_NODISCARD;

#endif
