/* SPDX-License-Identifier: Apache-2.0 */
/* Several models on one machine: loaded when they are first asked for, found by name or by size,
 * and given up, least recently used first, when memory runs short.
 *
 *     const char *names[] = {"sentence-transformers/all-MiniLM-L6-v2", "BAAI/bge-large-en-v1.5"};
 *     tandem_models *models = NULL;
 *     if (tandem_models_open(names, 2, &options, 0, &models, &err)) ...
 *     tandem_engine *engine = NULL;
 *     if (tandem_models_get(models, "small", &engine, &err)) ...     // loads it if need be
 *     ... tandem_engine_infer(engine, ...) ...
 *     tandem_models_put(models, engine);
 *
 * Each model has an engine of its own, with its own scheduler; they share the compute threads, and
 * on each processor one batch at a time runs, realtime ones first. Loading one model never makes
 * the requests of another wait. Any thread. */
#ifndef TANDEM_MODELS_H
#define TANDEM_MODELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tandem/engine.h"
#include "tandem/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tandem_models tandem_models;

/* small < 200M parameters <= medium < 600M <= large: the guide's 110M, 340M and 1B. */
typedef enum tandem_model_size {
    TANDEM_MODEL_SMALL = 0,
    TANDEM_MODEL_MEDIUM = 1,
    TANDEM_MODEL_LARGE = 2,
} tandem_model_size;

typedef struct tandem_model_entry {
    const char *name; /* as it was given; borrowed until the models close */
    int64_t parameters;
    tandem_model_size size;
    bool is_loaded;
    int32_t users;         /* engines that were got and not put back */
    int64_t weights_bytes; /* on its lanes, 0 where it is not loaded */
    int64_t loads;         /* times it was loaded */
} tandem_model_entry;

/* Looks at every model without loading it: a name that is not there, or a folder that cannot be
 * served, is an error now. `options` are those of each engine, `model` and `shape` aside (NULL: the
 * defaults). `bytes_max` bounds the weights that are loaded at a time; 0 = what the machine's
 * memory allows. */
TANDEM_API tandem_status tandem_models_open(const char *const *names, size_t count,
                                            const tandem_engine_options *options, int64_t bytes_max,
                                            tandem_models **models,
                                            tandem_error *err) TANDEM_NODISCARD;

/* NULL is allowed. Every engine must have been put back. */
TANDEM_API void tandem_models_close(tandem_models *models);

/* The engine of a model: by its name, by "small", "medium" or "large" (one that is loaded before
 * one that is not; the first in the order given), or the first model for NULL. Loads it if need be,
 * giving up models that nobody uses, and waits for that; a second caller waits for the same load.
 * TANDEM_NOT_FOUND names what there is. To be put back. */
TANDEM_API tandem_status tandem_models_get(tandem_models *models, const char *name,
                                           tandem_engine **engine,
                                           tandem_error *err) TANDEM_NODISCARD;

/* Gives an engine back; it stays loaded until its memory is wanted. */
TANDEM_API void tandem_models_put(tandem_models *models, tandem_engine *engine);

/* Gives up models that nobody uses, least recently used first, until `bytes` of weights are gone
 * or none is left. Returns the bytes. For memory pressure. */
TANDEM_API int64_t tandem_models_shrink(tandem_models *models, int64_t bytes);

/* Fills at most `max` entries in the order given; returns how many models there are. */
TANDEM_API size_t tandem_models_list(tandem_models *models, tandem_model_entry *entries,
                                     size_t max);

/* "small", "medium" or "large". Static. */
TANDEM_API const char *tandem_model_size_word(tandem_model_size size);

#ifdef __cplusplus
}
#endif
#endif
