/* SPDX-License-Identifier: Apache-2.0 */
/* Lanes that this build has no backend for. They stand in the table so that a user is shown them
 * with the reason, and so that no caller needs an #ifdef. */
#ifndef TANDEM_BACKEND_NONE_H
#define TANDEM_BACKEND_NONE_H

#include "backend/backend.h"

extern const tandem_backend tandem__backend_no_cuda;

#endif
