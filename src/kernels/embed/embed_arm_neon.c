/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/vec16/vec16_neon.h"

#include "kernels/embed/embed_vec16.h"

EMBED_ADD_BODY(tandem_embed_add__neon)
