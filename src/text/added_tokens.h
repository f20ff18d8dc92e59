/* SPDX-License-Identifier: Apache-2.0 */
/* Added tokens: words that are cut out of the text before the model sees it, such as [MASK].
 *
 * Some are looked for in the text as it was given, the others (normalized = true) in normalised
 * text, in their own normalised form. A search takes the leftmost match and of several there the
 * longest, then goes on behind it. Patterns are sorted, so that the ones which agree with the text
 * so far are one range, narrowed byte by byte; a table of first bytes skips the rest of the text.
 * Read-only once built; any thread. */
#ifndef TANDEM_TEXT_ADDED_TOKENS_H
#define TANDEM_TEXT_ADDED_TOKENS_H

#include "base/json.h"
#include "text/normalizer.h"
#include "text/token_model.h"

typedef struct tandem_added_token {
    tandem_str content;
    tandem_str pattern; /* content, normalised if so */
    int32_t id;
    bool is_single_word; /* no word character may touch it */
    bool strips_left;    /* it swallows white space on its left */
    bool strips_right;
    bool is_normalized;
} tandem_added_token;

/* Patterns that are looked for together. */
typedef struct tandem_pattern_set {
    const tandem_added_token **tokens; /* [count] sorted by pattern, all different */
    uint32_t count;
    bool starts[256]; /* the first bytes of the patterns */
    int only_start;   /* the one first byte, or -1 */
} tandem_pattern_set;

typedef struct tandem_added_tokens {
    tandem_added_token *tokens; /* [count] ascending, different ids */
    uint32_t count;
    tandem_vocab by_content; /* every content that the file names, and its id */
    tandem_vocab specials;   /* those that are special */
    tandem_pattern_set raw;
    tandem_pattern_set normalized;
} tandem_added_tokens;

typedef struct tandem_added_source {
    const tandem_json *json; /* the array added_tokens; NULL for none */
    const tandem_vocab *vocab;
    const tandem_normalizer *normalizer;
    tandem_arena *arena;
} tandem_added_source;

tandem_status tandem__added_read(tandem_added_tokens *added, const tandem_added_source *source,
                                 tandem_error *err) TANDEM_NODISCARD;

/* The token of an id, or NULL. */
const tandem_added_token *tandem__added_by_id(const tandem_added_tokens *added, int32_t id);

/* A search through `bytes[0 .. len)`; start with `at` and `done` zero. */
typedef struct tandem_added_search {
    const tandem_pattern_set *set;
    const uint8_t *bytes;
    size_t len;
    size_t at;   /* the search goes on here */
    size_t done; /* text before this has been given out */
} tandem_added_search;

typedef struct tandem_added_match {
    const tandem_added_token *token;
    size_t gap_start; /* text before the match that has not been given out yet */
    size_t start;     /* of the match with the white space that it swallows */
    size_t end;
} tandem_added_match;

/* The next match. False at the end; the text from search->done on is then the last gap. */
bool tandem__added_next(tandem_added_search *search, tandem_added_match *match);

#endif
