/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TANDEM_VERSION_H
#define TANDEM_VERSION_H

#include "tandem/status.h"

#define TANDEM_VERSION_MAJOR 0
#define TANDEM_VERSION_MINOR 1
#define TANDEM_VERSION_PATCH 0
#define TANDEM_VERSION       "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the library in use, as opposed to TANDEM_VERSION of the headers. Static. */
TANDEM_API const char *tandem_version(void);

#ifdef __cplusplus
}
#endif
#endif
