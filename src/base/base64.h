/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as base64 text (RFC 4648, section 4, with padding). Any thread. */
#ifndef TANDEM_BASE_BASE64_H
#define TANDEM_BASE_BASE64_H

#include "base/buffer.h"

tandem_status tandem__base64_push(tandem_buffer *out, const void *bytes, size_t len,
                                  tandem_error *err) TANDEM_NODISCARD;

#endif
