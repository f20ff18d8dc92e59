/* SPDX-License-Identifier: Apache-2.0 */
/* Programmer errors. TANDEM_ASSERT is always on and must be cheap; TANDEM_DCHECK may cost O(n)
 * and is compiled in debug builds only. Operating errors (files, sizes, devices) are returned
 * with base/fail.h instead. */
#ifndef TANDEM_BASE_ASSERT_H
#define TANDEM_BASE_ASSERT_H

#define TANDEM_ASSERT(condition)                                                                   \
    ((condition) ? (void)0 : tandem__assert_fail(#condition, __FILE__, __LINE__))

#ifdef NDEBUG
#define TANDEM_DCHECK(condition) ((void)0)
#else
#define TANDEM_DCHECK(condition) TANDEM_ASSERT(condition)
#endif

/* Prints one line on stderr and aborts. */
_Noreturn void tandem__assert_fail(const char *condition, const char *file, int line);

#endif
