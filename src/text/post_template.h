/* SPDX-License-Identifier: Apache-2.0 */
/* Post-processing: where the special tokens go and which type each token has. All processors
 * (TemplateProcessing, BertProcessing, RobertaProcessing, none) become templates of this form;
 * what trims offsets (ByteLevel, RobertaProcessing) is noted beside them.
 *
 *     [CLS] $A [SEP] $B [SEP]        pieces: special, sequence 0, special, sequence 1, special
 *
 * Read-only once built; any thread. */
#ifndef TANDEM_TEXT_POST_TEMPLATE_H
#define TANDEM_TEXT_POST_TEMPLATE_H

#include "base/json.h"
#include "text/vocab.h"

#define TANDEM_POST_TRIMS_MAX 8

typedef struct tandem_post_piece {
    int32_t sequence;      /* 0 the text, 1 its pair, -1 special tokens */
    int32_t type;          /* of all tokens of the piece */
    int32_t type_overflow; /* the same where the piece is not the sequence's first window */
    uint32_t first;        /* special tokens: range in tandem_post.specials */
    uint32_t count;
} tandem_post_piece;

typedef struct tandem_post_template {
    tandem_post_piece *pieces;
    uint32_t count;
    uint32_t special_count; /* tokens */
} tandem_post_template;

typedef struct tandem_post_special {
    int32_t id;
    tandem_str text; /* what the template calls it; in the arena, NUL-terminated */
} tandem_post_special;

typedef struct tandem_post {
    tandem_post_template templates[2][2]; /* [pair][0 with, 1 without special tokens] */
    tandem_post_special *specials;
    uint32_t specials_count;
    uint32_t trims_count;
    bool trims_keep_first[TANDEM_POST_TRIMS_MAX]; /* add_prefix_space of each, see trim.h */
} tandem_post;

/* `json` may be NULL or null: no special tokens. Messages start with the field's name. The ids of
 * special tokens are not checked against the vocabulary. */
tandem_status tandem__post_read(tandem_post *post, const tandem_json *json, tandem_arena *arena,
                                tandem_error *err) TANDEM_NODISCARD;

#endif
