/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the room: how a source is put together, for disk, memory and random weights. */
#ifndef TANDEM_MODEL_SOURCE_H
#define TANDEM_MODEL_SOURCE_H

#include "base/file.h"
#include "model/bind.h"
#include "model/config.h"
#include "model/folder.h"
#include "model/model.h"
#include "model/settings.h"

struct tandem_source_memory {
    tandem_source source;
    tandem_plan plan;
    tandem_arena arena; /* strings, layers, labels */
    tandem_weights *weights[1 + TANDEM_DENSE_MAX];
    int32_t weights_count;
    tandem_map generated; /* random weights; else empty */
};

/* Heap object with an empty plan. */
tandem_status tandem__source_create(const char *name, struct tandem_source_memory **self,
                                    tandem_error *err) TANDEM_NODISCARD;

/* All JSON documents of `folder` into the plan and the settings: everything but the views. */
tandem_status tandem__source_read(struct tandem_source_memory *self, const tandem_folder *folder,
                                  tandem_config *config, tandem_modules *modules,
                                  tandem_error *err) TANDEM_NODISCARD;

/* The weights of a module after the pooling; counted in `parameters`. */
tandem_status tandem__bind_module(tandem_supply supply, const tandem_dense_module *module,
                                  tandem_plan_dense *dense, int64_t *parameters,
                                  tandem_error *err) TANDEM_NODISCARD;

/* As tandem__source_open, from documents in memory, borrowed until close: for tests and fuzzing.
 * Without a document "model.safetensors" everything else is read and the result is
 * TANDEM_NOT_FOUND. */
tandem_status tandem__source_open_memory(const tandem_document *documents, size_t count,
                                         tandem_source **source,
                                         tandem_error *err) TANDEM_NODISCARD;

#endif
