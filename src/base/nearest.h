/* SPDX-License-Identifier: Apache-2.0 */
/* What a mistyped name was meant to be. Any thread. */
#ifndef TANDEM_BASE_NEAREST_H
#define TANDEM_BASE_NEAREST_H

/* Changes, insertions and deletions that make `a` into `b`; both are cut at 32 bytes. */
int tandem__edit_distance(const char *a, const char *b);

#endif
