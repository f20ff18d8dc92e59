/* SPDX-License-Identifier: Apache-2.0 */
/* What src/apple says of libSystem, beside the headers of macOS themselves: compiled for macOS, not
 * run. They have an open licence and come with zig; the frameworks' do not (signatures.tsv). */
#include <mach/mach.h>
#include <pthread/qos.h>
#include <stddef.h>
#include <sys/qos.h>
#include <sys/sysctl.h>

#include "apple/symbols.h"

#define SAME_TYPE(function)                                                                        \
    _Static_assert(__builtin_types_compatible_p(function##_function, __typeof__(function)),        \
                   #function)

SAME_TYPE(sysctlbyname);
SAME_TYPE(mach_host_self);
SAME_TYPE(host_statistics64);

/* Its first argument is of an enumerated type. */
_Static_assert(sizeof(qos_class_t) == sizeof(unsigned int), "qos_class_t");
_Static_assert((int)QOS_USER_INITIATED == (int)QOS_CLASS_USER_INITIATED, "a class");
_Static_assert((int)QOS_UTILITY == (int)QOS_CLASS_UTILITY, "a class");
_Static_assert(MACH_HOST_VM_INFO64 == HOST_VM_INFO64, "the flavor");
_Static_assert(KERN_SUCCESS == 0, "system.c takes 0 for success");

/* Where system.c's vm_pages has them. */
_Static_assert(offsetof(struct vm_statistics64, free_count) == 0, "free");
_Static_assert(offsetof(struct vm_statistics64, inactive_count) == 8, "inactive");
_Static_assert(offsetof(struct vm_statistics64, purgeable_count) == 88, "purgeable");
