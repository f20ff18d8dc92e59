/* SPDX-License-Identifier: Apache-2.0 */
/* One file's header, read into a list of tensors; weights.c puts the lists of all files together.
 */
#ifndef TANDEM_FORMAT_SAFETENSORS_INTERNAL_H
#define TANDEM_FORMAT_SAFETENSORS_INTERNAL_H

#include "base/arena.h"
#include "format/safetensors.h"

/* Checks `len` bytes of a file and lists its tensors in `arena`, in the order of their offsets.
 * `path` is kept in each tensor and must live as long; messages do not hold it. */
tandem_status tandem__safetensors_parse(const uint8_t *bytes, size_t len, const char *path,
                                        tandem_arena *arena, tandem_tensor **tensors, size_t *count,
                                        tandem_error *err) TANDEM_NODISCARD;

#endif
