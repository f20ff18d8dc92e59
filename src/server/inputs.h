/* SPDX-License-Identifier: Apache-2.0 */
/* What TEI's `inputs` and OpenAI's `input` have in common: a text, token ids, or a list of either.
 *
 * Token ids are taken as the lanes get them, special tokens included, as TEI does without a prompt.
 * An id outside the vocabulary is refused with a hint, since a client that sends the ids of another
 * tokenizer would get vectors of nonsense. */
#ifndef TANDEM_SERVER_INPUTS_H
#define TANDEM_SERVER_INPUTS_H

#include "server/ask.h"

#define SERVER_ITEMS_MAX 2048 /* of one request to OpenAI */

typedef struct server_inputs {
    const char *name;      /* "inputs": in errors */
    size_t count_max;      /* besides the server's own bound; 0 = none */
    bool is_cut_to_length; /* token ids beyond the model's length are left out */
    bool is_cut_left;      /* ... at the start of the list instead of its end */
    bool is_single;        /* out: one text or one list of ids, not in a list */
    size_t characters;     /* out: of all texts; of ids their number */
    size_t cut;            /* out: lists of ids that lost some */
} server_inputs;

/* Into ask->request.texts, or ids and id_offsets; ask->model is set before. */
tandem_status server_inputs_read(server_ask *ask, const tandem_json *object, server_inputs *inputs,
                                 tandem_error *err) TANDEM_NODISCARD;

/* The token ids of the request as texts again, which is what a prompt can be put before. */
tandem_status server_inputs_decode(server_ask *ask, tandem_error *err) TANDEM_NODISCARD;

/* Code points. */
size_t server_characters(tandem_text text);

/* A list of strings: `*texts` is [list->count] in the ask's arena, pointing to the body. */
tandem_status server_texts_read(server_ask *ask, const tandem_json *list, const char *name,
                                tandem_text **texts, tandem_error *err) TANDEM_NODISCARD;

#endif
