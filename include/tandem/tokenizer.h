/* SPDX-License-Identifier: Apache-2.0 */
/* Text to token ids and back, exactly as the Hugging Face `tokenizers` package does it from the
 * same tokenizer.json.
 *
 * A tokenizer is immutable once open: any number of threads may encode with it at the same time,
 * each with its own tandem_encoding. An encoding keeps its memory between calls, so that encoding
 * text after text allocates nothing once it has grown. */
#ifndef TANDEM_TOKENIZER_H
#define TANDEM_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tandem/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tandem_tokenizer tandem_tokenizer;

typedef enum tandem_truncation {
    TANDEM_TRUNCATION_LONGEST_FIRST = 0, /* tokens leave the longer text of a pair first */
    TANDEM_TRUNCATION_ONLY_FIRST = 1,
    TANDEM_TRUNCATION_ONLY_SECOND = 2,
} tandem_truncation;

/* What an encoding should hold besides ids and types. Offsets cost time: leave them out where
 * nobody reads them. */
typedef enum tandem_encode_want {
    TANDEM_WANT_IDS = 0,
    TANDEM_WANT_OFFSETS = 1, /* bytes, chars, words and special as well */
} tandem_encode_want;

/* All zero is the default: no limit, special tokens added. */
typedef struct tandem_encode_options {
    int32_t max_length; /* tokens, special ones included; 0 = no limit */
    int32_t stride;     /* tokens that neighbouring windows share; < max_length */
    tandem_truncation truncation;
    tandem_encode_want want;
    bool truncate_left; /* drop from the start of the text instead of its end */
    bool keep_overflow; /* what max_length cuts off follows in further windows; of a pair, each
                         * window of one text with each of the other */
    bool skip_special;  /* no [CLS], [SEP] and the like */
} tandem_encode_options;

/* Half-open range in the text that was given. */
typedef struct tandem_span {
    int32_t start;
    int32_t end;
} tandem_span;

/* Owned by the caller; start with all zero, end with tandem_encoding_deinit. The arrays belong to
 * the encoding and hold until it is used again. Window w is tokens starts[w] to starts[w + 1];
 * without keep_overflow there is one window. */
typedef struct tandem_encoding {
    const int32_t *ids;       /* [count] */
    const int32_t *types;     /* [count] 0, or 1 for the second text of a pair */
    const tandem_span *bytes; /* [count] UTF-8 offsets; NULL unless wanted; special tokens {0, 0} */
    const tandem_span *chars; /* [count] code point offsets, as `tokenizers` gives them in Python */
    const int32_t *words;     /* [count] index of the pre-token, -1 for a special token */
    const uint8_t *special;   /* [count] 1 where the post-processor added the token */
    const int32_t *starts;    /* [windows + 1] */
    int32_t count;            /* tokens of all windows */
    int32_t windows;
    int32_t dropped;                       /* tokens of the text that are in no window */
    struct tandem_encoding_memory *memory; /* private */
} tandem_encoding;

/* Reads a tokenizer.json. `name` is used in messages. The truncation and padding that the file
 * may hold are ignored, as sentence-transformers does. TANDEM_FORMAT names the field at fault;
 * TANDEM_UNSUPPORTED names a part that this version does not know. */
TANDEM_API tandem_status tandem_tokenizer_open(const char *path, tandem_tokenizer **tokenizer,
                                               tandem_error *err) TANDEM_NODISCARD;
TANDEM_API tandem_status tandem_tokenizer_open_memory(const char *json, size_t len,
                                                      const char *name,
                                                      tandem_tokenizer **tokenizer,
                                                      tandem_error *err) TANDEM_NODISCARD;

/* NULL is allowed. No encode may be under way. */
TANDEM_API void tandem_tokenizer_close(tandem_tokenizer *tokenizer);

/* Encodes `text`, or the pair `text` and `pair` (NULL for none). Both are UTF-8, NUL bytes are
 * ordinary; text that is not UTF-8 is TANDEM_FORMAT (see tandem_utf8_replace). `options` may be
 * NULL. TANDEM_CAPACITY where max_length leaves no room for the special tokens, or a text is over
 * 1 GiB. On failure the encoding is empty. */
TANDEM_API tandem_status tandem_tokenizer_encode(const tandem_tokenizer *tokenizer,
                                                 const char *text, size_t text_len,
                                                 const char *pair, size_t pair_len,
                                                 const tandem_encode_options *options,
                                                 tandem_encoding *encoding,
                                                 tandem_error *err) TANDEM_NODISCARD;

TANDEM_API void tandem_encoding_deinit(tandem_encoding *encoding);

/* The text of token `index` of the encoding, NUL-terminated, its length in `*len` (NULL allowed);
 * NULL if there is no such token. With TANDEM_WANT_OFFSETS an added token has the white space
 * that it swallowed, as `tokenizers` gives it; without, every token is the text of its id. Holds
 * until the encoding is used again or the tokenizer, the one that it came from, closes. */
TANDEM_API const char *tandem_encoding_token(const tandem_encoding *encoding,
                                             const tandem_tokenizer *tokenizer, int32_t index,
                                             size_t *len);

/* Decodes `ids` to UTF-8 as the file's decoder says, equal to Tokenizer.decode of `tokenizers`; an
 * id that the vocabulary lacks is passed over as there. `skip_special` leaves out added tokens that
 * are special. As snprintf: `out`, the caller's, gets at most `size` bytes, whole characters and a
 * NUL, and `*len` the bytes that the whole text has without it; so len >= size means that it was
 * cut. NULL and 0 only measure. Any thread. TANDEM_UNSUPPORTED or TANDEM_FORMAT where the file's
 * decoder is not known or malformed, which encoding does not mind. */
TANDEM_API tandem_status tandem_tokenizer_decode(const tandem_tokenizer *tokenizer,
                                                 const int32_t *ids, size_t count,
                                                 bool skip_special, char *out, size_t size,
                                                 size_t *len, tandem_error *err) TANDEM_NODISCARD;

/* Number of ids, added tokens included: ids are below it. */
TANDEM_API int32_t tandem_tokenizer_vocab_size(const tandem_tokenizer *tokenizer);

/* The text of an id, NUL-terminated, its length in `*len` (NULL allowed); NULL for an id that the
 * vocabulary lacks. Borrowed until the tokenizer closes. */
TANDEM_API const char *tandem_tokenizer_token(const tandem_tokenizer *tokenizer, int32_t id,
                                              size_t *len);

/* The id of a token's text, -1 if there is none. */
TANDEM_API int32_t tandem_tokenizer_id(const tandem_tokenizer *tokenizer, const char *token,
                                       size_t len);

/* Special tokens that the post-processor adds to one text (pair = false) or to a pair. */
TANDEM_API int32_t tandem_tokenizer_special_count(const tandem_tokenizer *tokenizer, bool pair);

/* Offset of the first byte that is not UTF-8, `len` if all is well. */
TANDEM_API size_t tandem_utf8_check(const char *bytes, size_t len);

/* Replaces what is not UTF-8 by U+FFFD as Python's decoder does with errors="replace". `out` needs
 * room for 3 * len bytes; returns the bytes written. */
TANDEM_API size_t tandem_utf8_replace(const char *bytes, size_t len, char *out);

#ifdef __cplusplus
}
#endif
#endif
