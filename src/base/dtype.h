/* SPDX-License-Identifier: Apache-2.0 */
/* Words and sizes of the number formats in include/tandem/dtype.h. */
#ifndef TANDEM_BASE_DTYPE_H
#define TANDEM_BASE_DTYPE_H

#include <stdbool.h>
#include <stddef.h>

#include "tandem/dtype.h"

/* "f16" and so on; "auto" for TANDEM_DTYPE_AUTO. Static. */
const char *tandem__dtype_word(tandem_dtype dtype);

/* Bytes of one element; TANDEM_DTYPE_AUTO has none and is a programmer error. */
size_t tandem__dtype_bytes(tandem_dtype dtype);

/* The format a word names, "auto" included; false for an unknown word. */
bool tandem__dtype_from_word(const char *word, tandem_dtype *dtype);

#endif
