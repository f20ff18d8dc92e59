/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON documents and weights of a model, from a folder on disk or from memory (tests and
 * fuzzing), so that everything above reads both alike. One thread at a time. */
#ifndef TANDEM_MODEL_FOLDER_H
#define TANDEM_MODEL_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/str.h"
#include "format/safetensors.h"

typedef struct tandem_document {
    const char *name; /* "config.json", "1_Pooling/config.json", "model.safetensors" */
    tandem_str bytes;
} tandem_document;

typedef struct tandem_folder {
    const char *path;                 /* for messages, and where `documents` is NULL to read from */
    const tandem_document *documents; /* [document_count], or NULL: on disk */
    size_t document_count;
    tandem_arena *scratch; /* texts and trees; lives as long as they are used */
} tandem_folder;

/* "folder/inner/name" into `out` of TANDEM_PATH_MAX bytes; `inner` may be "". */
tandem_status tandem__folder_path(const tandem_folder *folder, const char *inner, const char *name,
                                  char *out, tandem_error *err) TANDEM_NODISCARD;

/* Parses the document, whose root must be of `kind`. Where there is none, `root` is NULL and the
 * result TANDEM_OK. Messages hold the path. */
tandem_status tandem__folder_json(const tandem_folder *folder, const char *inner, const char *name,
                                  tandem_json_kind kind, const tandem_json **root,
                                  tandem_error *err) TANDEM_NODISCARD;

/* Opens the weights in `inner`, "" for the folder itself. */
tandem_status tandem__folder_weights(const tandem_folder *folder, const char *inner,
                                     tandem_weights **weights, tandem_error *err) TANDEM_NODISCARD;

/* Puts "folder/inner/name: " before the message of an error already raised. */
tandem_status tandem__folder_blame(const tandem_folder *folder, const char *inner, const char *name,
                                   tandem_status status, tandem_error *err);

#endif
