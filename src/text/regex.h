/* SPDX-License-Identifier: Apache-2.0 */
/* Regular expressions as tokenizer.json has them: Oniguruma's syntax in its Ruby flavour, by the
 * leftmost match whose first choices hold.
 *
 *     literals   abc \n \r \t \f \v \a \e \0 \xHH \x{H} \uHHHH and \ before any mark
 *     sets       . [a-z] [^\s\p{L}] [a[bc]&&[^c]] \s \d \w \h \S \D \W \H \p{Lu} \p{^Lu} \P{Han}
 *     groups     (..) (?<name>..) (?:..) (?i:..) (?i) (?#..) | (?=..) (?!..) (?<=c) (?<!c)
 *     times      ? * + {m} {m,} {,n} {m,n}, each lazy with ?; ?+ *+ ++ of one character
 *     places     ^ $ \A \z \Z \b \B
 *
 * Any other is refused by name and place. Time is linear in text and program: a search backtracks
 * with a budget; a text that uses it up goes on with a record of what has failed where, so that
 * nothing is tried twice. Read-only once compiled; any thread, each with its own scratch. */
#ifndef TANDEM_TEXT_REGEX_H
#define TANDEM_TEXT_REGEX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "text/array.h"

typedef struct tandem_regex tandem_regex;

/* Start with all zero. */
typedef struct tandem_regex_scratch {
    tandem_array stack;
    tandem_array failed; /* uint64_t: a bit for each choice of the program at each byte */
    tandem_array holds;  /* the same: a look-ahead came through here */
    tandem_array runs;   /* the last run of each possessive repeat */
} tandem_regex_scratch;

/* Compiles into `arena`. TANDEM_UNSUPPORTED names what is not supported and its byte,
 * TANDEM_FORMAT what is no pattern, TANDEM_CAPACITY a pattern that becomes too large. */
tandem_status tandem__regex_compile(tandem_str pattern, tandem_arena *arena,
                                    const tandem_regex **regex, tandem_error *err) TANDEM_NODISCARD;

/* Whether it may match no text at all. */
bool tandem__regex_is_nullable(const tandem_regex *regex);

/* All matches of a text, in order. */
typedef struct tandem_regex_search {
    const tandem_regex *regex;
    tandem_regex_scratch *scratch;
    const uint8_t *bytes; /* valid UTF-8, [len] */
    size_t len;
    size_t at;       /* the search goes on here */
    size_t last_end; /* of the last match; SIZE_MAX before the first */
    uint64_t budget; /* steps left before the search turns careful */
    bool is_careful; /* keeps a record of what has failed */
    size_t start;    /* the match found */
    size_t end;
} tandem_regex_search;

tandem_status tandem__regex_begin(tandem_regex_search *search, const tandem_regex *regex,
                                  tandem_regex_scratch *scratch, const uint8_t *bytes, size_t len,
                                  tandem_error *err) TANDEM_NODISCARD;

/* Finds the next match, in search->start and end; `*found` is false at the end. A match of nothing
 * does not touch the one before. */
tandem_status tandem__regex_next(tandem_regex_search *search, bool *found,
                                 tandem_error *err) TANDEM_NODISCARD;

void tandem__regex_scratch_deinit(tandem_regex_scratch *scratch);

#endif
