/* SPDX-License-Identifier: Apache-2.0 */
/* A model on disk, as sentence-transformers lays it out, read into a plan and settings.
 *
 *     config.json                      architecture and sizes          -> plan
 *     model.safetensors[.index.json]   weights                         -> views in the plan
 *     modules.json, 1_Pooling/, 2_Normalize/, 2_Dense/                 -> pooling, dense, normalise
 *     sentence_bert_config.json        max_seq_length                  -> settings
 *     config_sentence_transformers.json  prompts, similarity, truncate_dim -> settings
 *     tokenizer.json                   left to text/
 *
 * A family is one entry of the table in families_tables.c. Immutable once open; any thread. */
#ifndef TANDEM_MODEL_MODEL_H
#define TANDEM_MODEL_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "model/plan.h"
#include "tandem/status.h"

typedef struct tandem_prompt {
    const char *name;
    const char *text;
} tandem_prompt;

/* What makes a score of a classifier's logits: sentence-transformers' CrossEncoder applies it. */
typedef enum tandem_score {
    TANDEM_SCORE_IDENTITY = 0,
    TANDEM_SCORE_SIGMOID = 1,
    TANDEM_SCORE_SOFTMAX = 2,
} tandem_score;

typedef struct tandem_source {
    const tandem_plan *plan;
    const char *name;             /* what the user asked for */
    const char *folder;           /* where it was found; "" for random weights */
    const char *tokenizer_path;   /* "" for random weights */
    const char *revision;         /* the Hub's commit, or "" */
    int32_t max_length;           /* default truncation in tokens: sentence-transformers' own */
    int32_t truncate_dim;         /* matryoshka default, 0 = none */
    bool is_lowercased;           /* texts are lower-cased before the tokenizer's own normaliser */
    const tandem_prompt *prompts; /* "query" and "document" are always there, perhaps empty */
    int32_t prompt_count;
    int32_t default_prompt;              /* index, or -1 */
    bool is_prompt_pooled;               /* include_prompt of the pooling's configuration */
    const char *similarity;              /* "cosine" unless the model says another */
    const char *const *labels;           /* [plan->labels], names from id2label */
    tandem_score score;                  /* of a classifier */
    struct tandem_source_memory *memory; /* private */
} tandem_source;

/* `name` is a folder, or a Hub name such as "sentence-transformers/all-MiniLM-L6-v2" (optionally
 * "@revision") that is looked up in the Hub's cache: HF_HUB_CACHE, else HF_HOME/hub, else
 * ~/.cache/huggingface/hub; "all-MiniLM-L6-v2" alone is tried under sentence-transformers/. Not
 * there: TANDEM_NOT_FOUND, with the places that were looked at and what to run. */
tandem_status tandem__source_open(const char *name, tandem_source **source,
                                  tandem_error *err) TANDEM_NODISCARD;

/* A model of a known shape with pseudo-random weights, for measuring: "minilm", "bert-base",
 * "bert-large", ... or a folder with a config.json and no weights. The same seed gives the same
 * weights: matrices with standard deviation 1/sqrt(K), biases not zero, norm gains not one. */
tandem_status tandem__source_random(const char *shape, uint64_t seed, tandem_source **source,
                                    tandem_error *err) TANDEM_NODISCARD;

/* NULL is allowed. Closes what the plan's views point into. */
void tandem__source_close(tandem_source *source);

#endif
