/* SPDX-License-Identifier: Apache-2.0 */
/* The routes of Text Embeddings Inference: their readers and writers share what is here. */
#ifndef TANDEM_SERVER_ROUTES_TEI_H
#define TANDEM_SERVER_ROUTES_TEI_H

#include "server/ask.h"

/* ask->own of these routes. */
typedef struct server_tei {
    server_write_function *write; /* POST / is one of the others: which */
    size_t characters;            /* of all texts, for x-compute-characters */
    size_t cut;                   /* lists of token ids that lost some */
    bool is_single;               /* /predict: one text or pair, not a list */
    bool is_nested;               /* ... but answered as if it were: the Hub's own inference API */
    bool returns_text;            /* /rerank */
    uint32_t top;                 /* ... and /predict: at most so many labels; 0 = all */
    uint32_t *order;              /* made by the writer */
    size_t token;                 /* /embed_all: the writer's place in a text */
} server_tei;

/* Makes ask->own; TANDEM_INVALID unless the body is an object. */
tandem_status server_tei_begin(server_ask *ask, const tandem_json *body, server_tei **own,
                               tandem_error *err) TANDEM_NODISCARD;

/* `truncate` and `truncation_direction`; names as in fields.h. */
tandem_status server_tei_truncation(server_ask *ask, const tandem_json *object,
                                    const char *truncate, const char *direction,
                                    tandem_error *err) TANDEM_NODISCARD;

/* TEI's x-... headers, with what is true of them. */
tandem_status server_tei_headers(server_ask *ask, const tandem_result *result,
                                 tandem_error *err) TANDEM_NODISCARD;

server_read_function server_tei_embed_read, server_tei_embed_all_read, server_tei_sparse_read,
    server_tei_similarity_read, server_tei_rerank_read, server_tei_predict_read,
    server_tei_task_read;
server_write_function server_tei_embed_write, server_tei_embed_all_write, server_tei_sparse_write,
    server_tei_similarity_write, server_tei_rerank_write, server_tei_predict_write,
    server_tei_task_write;
server_answer_function server_tei_tokenize_answer, server_tei_decode_answer, server_tei_info_answer,
    server_tei_health_answer;

#endif
