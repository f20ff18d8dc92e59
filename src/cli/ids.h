/* SPDX-License-Identifier: Apache-2.0 */
/* Token ids as people and programs write them, a text's on a line: `101 7592 102`, `[101, 7592]`,
 * or a JSON object with a list. */
#ifndef TANDEM_CLI_IDS_H
#define TANDEM_CLI_IDS_H

#include "base/buffer.h"
#include "base/str.h"
#include "tandem/status.h"

/* Puts the ids of a line into `ids` (int32_t each), which is emptied first. `field` is the member
 * of an object that is the list. Messages say what is wrong, not where. */
tandem_status cli_ids_parse(tandem_str line, const char *field, tandem_buffer *ids,
                            tandem_error *err) TANDEM_NODISCARD;

#endif
