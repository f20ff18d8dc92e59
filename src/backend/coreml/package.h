/* SPDX-License-Identifier: Apache-2.0 */
/* Model packages on disk, as Core ML takes them:
 *
 *     <path>/Manifest.json
 *     <path>/Data/com.apple.CoreML/model.mlmodel
 *     <path>/Data/com.apple.CoreML/weights/weight.bin
 *
 * Packages of several lengths have one weight file, each a hard link to it. Any thread. */
#ifndef TANDEM_BACKEND_COREML_PACKAGE_H
#define TANDEM_BACKEND_COREML_PACKAGE_H

#include "backend/coreml/mil.h"

/* Writes the weight file to `path`. */
tandem_status tandem__package_weights(const mil_weights *weights, const char *path,
                                      tandem_error *err) TANDEM_NODISCARD;

/* Writes the package `path` of the bytes of a model and of a weight file, which is linked, or
 * copied where the file system has no links. What was at `path` is replaced; nobody sees half of
 * it. */
tandem_status tandem__package_write(const char *path, const tandem_buffer *model,
                                    const char *weights_path, tandem_error *err) TANDEM_NODISCARD;

/* Removes a folder and all in it, or a file; links are not followed. Nothing there is no error. */
tandem_status tandem__package_remove(const char *path, tandem_error *err);

/* Moves a folder, by copying where it lies on another file system. */
tandem_status tandem__package_move(const char *from, const char *to,
                                   tandem_error *err) TANDEM_NODISCARD;

#endif
