/* SPDX-License-Identifier: Apache-2.0 */
/* float32 to the shortest decimal that reads back as the same float32, without the locale.
 *
 * Of all decimals with the fewest digits it is the one nearest to the value. The form is Python's
 * repr, which JSON takes too: 0.1, 1e-07, -0.0, 16777216.0, 1e+16. Any thread. */
#ifndef TANDEM_BASE_FLOAT_TEXT_H
#define TANDEM_BASE_FLOAT_TEXT_H

#include <stddef.h>

#define TANDEM_FLOAT_TEXT_MAX 24 /* bytes that `out` needs room for; no NUL is written */

/* Writes `value`, which must be finite (a programmer error otherwise: NaN and infinity have no JSON
 * form and are refused before). Returns the length. */
size_t tandem__float_text(float value, char *out);

#endif
