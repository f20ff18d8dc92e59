/* SPDX-License-Identifier: Apache-2.0 */
/* Shapes of well-known models, each as the config.json it has on the Hub. */
#include "model/shapes.h"

#define BERT(hidden, layers, heads, ffn, vocab)                                                    \
    "{\"model_type\":\"bert\",\"hidden_size\":" #hidden ",\"num_hidden_layers\":" #layers          \
    ",\"num_attention_heads\":" #heads ",\"intermediate_size\":" #ffn ",\"vocab_size\":" #vocab    \
    "}"

/* clang-format off */
const tandem_shape tandem__shapes[] = {
    {"minilm",     BERT( 384,  6, 12, 1536, 30522)}, /* sentence-transformers/all-MiniLM-L6-v2 */
    {"minilm-l12", BERT( 384, 12, 12, 1536, 30522)}, /* sentence-transformers/all-MiniLM-L12-v2 */
    {"bge-small",  BERT( 384, 12, 12, 1536, 30522)}, /* BAAI/bge-small-en-v1.5 */
    {"bge-base",   BERT( 768, 12, 12, 3072, 30522)}, /* BAAI/bge-base-en-v1.5 */
    {"bge-large",  BERT(1024, 24, 16, 4096, 30522)}, /* BAAI/bge-large-en-v1.5 */
    {"bert-tiny",  BERT( 128,  2,  2,  512, 30522)}, /* google/bert_uncased_L-2_H-128_A-2 */
    {"bert-base",  BERT( 768, 12, 12, 3072, 30522)}, /* google-bert/bert-base-uncased */
    {"bert-large", BERT(1024, 24, 16, 4096, 30522)}, /* google-bert/bert-large-uncased */
    {"bert-1.2b",  BERT(2048, 22, 32, 8192, 30522)}, /* no model's: 1.2 billion parameters */
    /* distilbert/distilbert-base-uncased */
    {"distilbert", "{\"model_type\":\"distilbert\"}"},
    /* intfloat/multilingual-e5-small */
    {"e5-small", BERT(384, 12, 12, 1536, 250037)},
    /* FacebookAI/xlm-roberta-base, BAAI/bge-reranker-base */
    {"xlm-roberta-base", "{\"model_type\":\"xlm-roberta\",\"vocab_size\":250002,"
                         "\"max_position_embeddings\":514,\"type_vocab_size\":1}"},
    /* sentence-transformers/all-mpnet-base-v2 */
    {"mpnet-base", "{\"model_type\":\"mpnet\",\"max_position_embeddings\":514}"},
    /* nomic-ai/nomic-embed-text-v1.5 */
    {"nomic", "{\"model_type\":\"nomic_bert\",\"n_positions\":8192}"},
    /* answerdotai/ModernBERT-base */
    {"modernbert-base", "{\"model_type\":\"modernbert\"}"},
    {NULL, NULL},
};
/* clang-format on */
