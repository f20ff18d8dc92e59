/* SPDX-License-Identifier: Apache-2.0 */
/* How close two vectors of the model are. */
#ifndef TANDEM_CLI_VECTORS_H
#define TANDEM_CLI_VECTORS_H

#include <stddef.h>
#include <stdint.h>

/* Cosine of a [n] and b [n], in double; 0 where one of them has no length. */
double cli_cosine(const float *a, const float *b, int32_t n);

double cli_dot(const float *a, const float *b, int32_t n);

/* Of a [V] with `count` entries of another vector. */
double cli_dot_sparse(const float *a, const int32_t *ids, const float *weights, size_t count);

#endif
