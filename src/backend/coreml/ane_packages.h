/* SPDX-License-Identifier: Apache-2.0 */
/* A model's programs as packages in a folder, one a bucket, with one weight file among them. */
#ifndef TANDEM_BACKEND_COREML_ANE_PACKAGES_H
#define TANDEM_BACKEND_COREML_ANE_PACKAGES_H

#include "backend/coreml/ane_encoder.h"
#include "base/sha.h"

/* Writes `folder`/s32.mlpackage and so on; `folder` exists. TANDEM_NUMERIC names a weight that f16
 * does not hold. */
tandem_status tandem__ane_packages_write(const ane_model *model, const char *folder,
                                         tandem_error *err) TANDEM_NODISCARD;

/* `folder`/s<bucket>.<suffix> into TANDEM_PATH_MAX bytes. */
tandem_status tandem__ane_package_path(const char *folder, int32_t bucket, const char *suffix,
                                       char *path, tandem_error *err) TANDEM_NODISCARD;

/* SHA-256 of `salt` and of all that the packages would hold, without writing them. */
tandem_status tandem__ane_packages_key(const ane_model *model, const char *salt,
                                       char key[TANDEM_SHA_HEX_MAX],
                                       tandem_error *err) TANDEM_NODISCARD;

#endif
