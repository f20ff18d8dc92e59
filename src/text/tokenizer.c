/* SPDX-License-Identifier: Apache-2.0 */
/* The way of a text:
 *
 *     text ─ added tokens ─ normalise ─ added tokens ─ pre-tokenise ─ model ─ windows ─ template
 *            as given                   normalised
 *
 * Each stage works through the whole text but for the words, which pass through a small buffer.
 * Offsets are ranges of normalised text until the model is done with it, then they are led back
 * to the original; without TANDEM_WANT_OFFSETS none of that happens. */
#include <string.h>

#include "base/assert.h"
#include "base/fail.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "text/encoding.h"
#include "text/tokenizer_internal.h"
#include "text/trim.h"
#include "text/windows.h"

#define ARENA_BYTES_MAX ((size_t)4 << 30)
#define TEXT_BYTES_MAX  ((size_t)1 << 30)
#define SPLITS_MAX      512

typedef struct encoder {
    const tandem_tokenizer *tokenizer;
    struct tandem_encoding_memory *memory;
    tandem_tokens *tokens; /* of the text at hand */
    const uint8_t *text;
    size_t len;
    tandem_error *err;
} encoder;

tandem_status tandem_tokenizer_open(const char *path, tandem_tokenizer **tokenizer,
                                    tandem_error *err) {
    tandem_map map = {0};
    TANDEM_TRY(tandem__file_map(path, &map, err));
    const tandem_status status =
        tandem_tokenizer_open_memory((const char *)map.bytes, map.len, path, tokenizer, err);
    tandem__file_unmap(&map);
    return status;
}

tandem_status tandem_tokenizer_open_memory(const char *json, size_t len, const char *name,
                                           tandem_tokenizer **tokenizer, tandem_error *err) {
    tandem_tokenizer *const made = tandem__mem_calloc(1, sizeof *made);
    if (made == NULL) return TANDEM_FAIL(err, MEMORY, "%s: no memory for a tokenizer", name);
    tandem__arena_init(&made->arena, ARENA_BYTES_MAX);
    const tandem_str text = {json == NULL ? "" : json, len};
    const tandem_status status = tandem__tokenizer_read(made, text, err);
    if (status != TANDEM_OK) {
        tandem_tokenizer_close(made);
        return tandem__fail_prefix(err, status, name);
    }
    tandem_error *const refused = &made->decoder.refused;
    if (refused->status != TANDEM_OK) (void)tandem__fail_prefix(refused, refused->status, name);
    *tokenizer = made;
    return TANDEM_OK;
}

void tandem_tokenizer_close(tandem_tokenizer *tokenizer) {
    if (tokenizer == NULL) return;
    tandem__arena_deinit(&tokenizer->arena);
    tandem__mem_free(tokenizer);
}

/* Bytes of the character that starts with `lead`; the text is valid UTF-8. */
static uint32_t char_bytes(uint8_t lead) {
    return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/* Spans from token `first` on, from normalised text to the original. */
static void lead_back(const encoder *e, tandem_view from, size_t first) {
    tandem_split *const spans = e->tokens->spans.ptr;
    for (size_t i = first; i < e->tokens->spans.count; i++) {
        const size_t last_byte = spans[i].end - 1;
        const uint32_t start = from.base + spans[i].start;
        const uint32_t last =
            from.origins == NULL ? from.base + (uint32_t)last_byte : from.origins[last_byte];
        spans[i].start = from.origins == NULL ? start : from.origins[spans[i].start];
        spans[i].end = last + char_bytes(e->text[last]);
    }
}

static tandem_str model_text(const tandem_tokenizer *tokenizer, int32_t id) {
    const tandem_vocab_word *const word = tandem__vocab_word(tokenizer->vocab, id);
    if (word == NULL) return (tandem_str){NULL, 0};
    return (tandem_str){tokenizer->vocab->text + word->offset, word->len};
}

static tandem_str id_text(const tandem_tokenizer *tokenizer, int32_t id) {
    const tandem_added_token *const added = tandem__added_by_id(&tokenizer->added, id);
    return added != NULL ? added->pattern : model_text(tokenizer, id);
}

/* The text of a token whose text is at `at`, see encoding.h. */
static tandem_str token_text(const tandem_tokenizer *tokenizer,
                             const struct tandem_encoding_memory *memory, int32_t id, int32_t at) {
    if (at == TANDEM_TOKEN_TEXT_ADDED) return id_text(tokenizer, id);
    if (at == TANDEM_TOKEN_TEXT_MODEL) return model_text(tokenizer, id);
    if (at < 0) return tokenizer->post.specials[TANDEM_TOKEN_TEXT_SPECIAL - at].text;
    const char *const own = (const char *)memory->token_texts.ptr + at;
    uint32_t own_len = 0;
    memcpy(&own_len, own, sizeof own_len);
    return (tandem_str){own + sizeof own_len, own_len};
}

/* Copies the text of a token to the pool; `*at` is then its place there. */
static tandem_status keep_text(encoder *e, tandem_str own, int32_t *at) {
    tandem_array *const pool = &e->memory->token_texts;
    const uint32_t own_len = (uint32_t)own.len;
    TANDEM_TRY(tandem__array_reserve(pool, own.len + sizeof own_len + 1, 1, e->err));
    if (pool->count + own.len + sizeof own_len >= INT32_MAX) {
        return TANDEM_FAIL(e->err, CAPACITY, "tokens not in the vocabulary: over %d bytes",
                           INT32_MAX);
    }
    char *const to = (char *)pool->ptr + pool->count;
    memcpy(to, &own_len, sizeof own_len);
    memcpy(to + sizeof own_len, own.ptr, own.len);
    to[sizeof own_len + own.len] = '\0';
    *at = (int32_t)pool->count;
    pool->count += sizeof own_len + own.len + 1;
    return TANDEM_OK;
}

/* An added token whose own text is `bytes`. */
static tandem_status push_added(encoder *e, const tandem_added_token *token, const uint8_t *bytes,
                                tandem_split span) {
    tandem_tokens *const tokens = e->tokens;
    const size_t len = span.end - span.start;
    if (len == 0) return TANDEM_OK;
    TANDEM_TRY(tandem__tokens_reserve(tokens, 1, e->err));
    tandem__tokens_push(tokens, token->id, span);
    tokens->word++;
    const tandem_str own = {(const char *)bytes + span.start, len};
    if (!tokens->wants_spans) return TANDEM_OK;
    int32_t *const text = (int32_t *)tokens->texts.ptr + tokens->texts.count - 1;
    *text = TANDEM_TOKEN_TEXT_ADDED;
    if (tandem__str_equal(own, token->pattern)) return TANDEM_OK;
    return keep_text(e, own, text);
}

/* What a model wants kept of its tokens from `first` on, and the way back of their spans. */
static tandem_status finish_tokens(encoder *e, tandem_view from, size_t first) {
    if (!e->tokens->wants_spans) return TANDEM_OK;
    const tandem_split *const spans = e->tokens->spans.ptr;
    int32_t *const texts = e->tokens->texts.ptr;
    for (size_t i = first; i < e->tokens->spans.count; i++) {
        if (texts[i] != TANDEM_TOKEN_TEXT_SPAN) continue;
        const tandem_str own = {(const char *)from.bytes + spans[i].start,
                                spans[i].end - spans[i].start};
        TANDEM_TRY(keep_text(e, own, &texts[i]));
    }
    lead_back(e, from, first);
    return TANDEM_OK;
}

/* Words of bytes [at, end) of normalised text to tokens. */
static tandem_status encode_words(encoder *e, size_t at, size_t end) {
    const tandem_tokenizer *const tokenizer = e->tokenizer;
    const tandem_model_part *const model = &tokenizer->model;
    const size_t first = e->tokens->spans.count;
    const tandem_view view = tandem__normalized_view(&e->memory->normalized);
    if (at == end) return TANDEM_OK;
    if (!tandem__pretokenizer_is_simple(&tokenizer->pretokenizer)) {
        tandem_pretokenizer_scratch *const scratch = &e->memory->pretokenizer;
        const tandem_split range = {(uint32_t)at, (uint32_t)end};
        tandem_pretokenized words;
        scratch->wants_origins = e->memory->normalized.wants_origins;
        TANDEM_TRY(tandem__pretokenizer_run(&tokenizer->pretokenizer, view, range, scratch, &words,
                                            e->err));
        TANDEM_TRY(model->type->tokenize(model->config, words.text.bytes, words.splits, words.count,
                                         e->tokens, e->err));
        return finish_tokens(e, words.text, first);
    }
    tandem_split splits[SPLITS_MAX];
    while (at < end) {
        const size_t count = tandem__pretokenizer_split(&tokenizer->pretokenizer, view.bytes, end,
                                                        &at, splits, SPLITS_MAX);
        TANDEM_TRY(
            model->type->tokenize(model->config, view.bytes, splits, count, e->tokens, e->err));
    }
    return finish_tokens(e, view, first);
}

/* Bytes [start, end) of the text, without added tokens of the first kind. */
static tandem_status encode_gap(encoder *e, size_t start, size_t end) {
    if (start == end) return TANDEM_OK;
    const tandem_tokenizer *const tokenizer = e->tokenizer;
    tandem_normalized *const text = &e->memory->normalized;
    const tandem_view in = {.bytes = e->text + start, .len = end - start, .base = (uint32_t)start};
    const bool wants_origins = e->tokens->wants_spans || tokenizer->pretokenizer.needs_origins;
    TANDEM_TRY(tandem__normalizer_apply(&tokenizer->normalizer, in, wants_origins, text,
                                        &e->memory->normalizer, e->err));
    tandem_added_search search = {
        .set = &tokenizer->added.normalized, .bytes = text->bytes.ptr, .len = text->bytes.count};
    tandem_added_match match;
    while (tandem__added_next(&search, &match)) {
        TANDEM_TRY(encode_words(e, match.gap_start, match.start));
        const tandem_split span = {(uint32_t)match.start, (uint32_t)match.end};
        const size_t first = e->tokens->spans.count;
        TANDEM_TRY(push_added(e, match.token, text->bytes.ptr, span));
        if (e->tokens->wants_spans) lead_back(e, tandem__normalized_view(text), first);
    }
    return encode_words(e, search.done, text->bytes.count);
}

/* Moves `*chars`, the number of characters before `*at`, to the byte `to`. */
static void count_to(const uint8_t *text, uint32_t to, uint32_t *at, uint32_t *chars) {
    if (to >= *at)
        *chars += (uint32_t)tandem__utf8_count(text + *at, to - *at);
    else
        *chars -= (uint32_t)tandem__utf8_count(text + to, *at - to);
    *at = to;
}

/* Spans in characters. Starts and ends only grow, but for added tokens that overlap, so that one
 * walk over the text each will do. */
static tandem_status count_chars(encoder *e) {
    tandem_tokens *const tokens = e->tokens;
    tokens->chars.count = 0;
    const size_t count = tokens->spans.count;
    TANDEM_TRY(tandem__array_reserve(&tokens->chars, count, sizeof(tandem_split), e->err));
    const tandem_split *const spans = tokens->spans.ptr;
    tandem_split *const chars = tokens->chars.ptr;
    tandem_split at = {0, 0};
    tandem_split seen = {0, 0};
    for (size_t i = 0; i < count; i++) {
        count_to(e->text, spans[i].start, &at.start, &seen.start);
        count_to(e->text, spans[i].end, &at.end, &seen.end);
        chars[i] = seen;
    }
    tokens->chars.count = count;
    return TANDEM_OK;
}

/* White space of each token, for assembling. */
static tandem_status find_trims(encoder *e) {
    tandem_tokens *const tokens = e->tokens;
    const size_t count = tokens->ids.count;
    tokens->trims.count = 0;
    TANDEM_TRY(tandem__array_reserve(&tokens->trims, count, sizeof(tandem_trim), e->err));
    const int32_t *const ids = tokens->ids.ptr;
    const int32_t *const texts = tokens->texts.ptr;
    tandem_trim *const trims = tokens->trims.ptr;
    for (size_t i = 0; i < count; i++) {
        trims[i] = tandem__trim_of(token_text(e->tokenizer, e->memory, ids[i], texts[i]));
    }
    tokens->trims.count = count;
    return TANDEM_OK;
}

/* All tokens of one text. */
static tandem_status encode_text(encoder *e) {
    tandem_tokens *const tokens = e->tokens;
    tokens->ids.count = tokens->spans.count = tokens->words.count = tokens->texts.count = 0;
    tokens->word = 0;
    tokens->text = e->text;
    if (e->len > TEXT_BYTES_MAX) {
        return TANDEM_FAIL(e->err, CAPACITY, "text of %zu bytes, limit %zu", e->len,
                           TEXT_BYTES_MAX);
    }
    const size_t valid = tandem__utf8_valid_prefix(e->text, e->len);
    if (valid != e->len) {
        return TANDEM_FAIL(e->err, FORMAT, "text: byte 0x%02x at %zu, expected UTF-8",
                           e->text[valid], valid);
    }
    tandem_added_search search = {.set = &e->tokenizer->added.raw, .bytes = e->text, .len = e->len};
    tandem_added_match match;
    while (tandem__added_next(&search, &match)) {
        TANDEM_TRY(encode_gap(e, match.gap_start, match.start));
        const tandem_split span = {(uint32_t)match.start, (uint32_t)match.end};
        TANDEM_TRY(push_added(e, match.token, e->text, span));
    }
    TANDEM_TRY(encode_gap(e, search.done, e->len));
    if (!tokens->wants_spans) return TANDEM_OK;
    TANDEM_TRY(count_chars(e));
    return e->tokenizer->post.trims_count > 0 ? find_trims(e) : TANDEM_OK;
}

static tandem_status check_options(const tandem_encode_options *options, tandem_error *err) {
    if (options->max_length < 0) {
        return TANDEM_FAIL(err, INVALID, "max_length: %d, expected 0 or more", options->max_length);
    }
    if (options->stride < 0) {
        return TANDEM_FAIL(err, INVALID, "stride: %d, expected 0 or more", options->stride);
    }
    if ((unsigned)options->truncation > TANDEM_TRUNCATION_ONLY_SECOND) {
        return TANDEM_FAIL(err, INVALID, "truncation: %d, expected 0 to %d",
                           (int)options->truncation, TANDEM_TRUNCATION_ONLY_SECOND);
    }
    if ((unsigned)options->want > TANDEM_WANT_OFFSETS) {
        return TANDEM_FAIL(err, INVALID, "want: %d, expected 0 to %d", (int)options->want,
                           TANDEM_WANT_OFFSETS);
    }
    return TANDEM_OK;
}

static tandem_status cut_and_assemble(encoder *e, bool is_pair,
                                      const tandem_encode_options *options,
                                      tandem_encoding *encoding) {
    struct tandem_encoding_memory *const m = e->memory;
    const tandem_post *const post = &e->tokenizer->post;
    const tandem_post_template *const template = &post->templates[is_pair][options->skip_special];
    const size_t counts[2] = {m->tokens[0].ids.count, is_pair ? m->tokens[1].ids.count : 0};
    tandem_window_plan plan;
    TANDEM_TRY(
        tandem__windows_plan(options, counts, is_pair, template->special_count, &plan, e->err));
    size_t dropped = 0;
    for (int i = 0; i <= is_pair; i++) {
        TANDEM_TRY(tandem__windows_cut(options, counts[i], plan.limits[i], &m->windows[i], e->err));
        const tandem_split first = *(const tandem_split *)m->windows[i].ptr;
        if (m->windows[i].count == 1) dropped += counts[i] - (first.end - first.start);
    }
    TANDEM_TRY(tandem__encoding_assemble(encoding, post, template,
                                         options->want == TANDEM_WANT_OFFSETS, e->err));
    encoding->dropped = dropped > INT32_MAX ? INT32_MAX : (int32_t)dropped;
    return TANDEM_OK;
}

tandem_status tandem_tokenizer_encode(const tandem_tokenizer *tokenizer, const char *text,
                                      size_t text_len, const char *pair, size_t pair_len,
                                      const tandem_encode_options *options,
                                      tandem_encoding *encoding, tandem_error *err) {
    static const tandem_encode_options defaults = {0};
    TANDEM_ASSERT(tokenizer != NULL);
    TANDEM_ASSERT(encoding != NULL);
    if (options == NULL) options = &defaults;
    tandem__encoding_clear(encoding);
    TANDEM_TRY(check_options(options, err));
    if (encoding->memory == NULL) {
        encoding->memory = tandem__mem_calloc(1, sizeof *encoding->memory);
        if (encoding->memory == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for an encoding");
    }
    encoder e = {.tokenizer = tokenizer, .memory = encoding->memory, .err = err};
    e.memory->token_texts.count = 0;
    const char *const texts[2] = {text == NULL ? "" : text, pair};
    const size_t lens[2] = {text == NULL ? 0 : text_len, pair_len};
    for (int i = 0; i < 2 && texts[i] != NULL; i++) {
        e.tokens = &e.memory->tokens[i];
        e.tokens->wants_spans = options->want == TANDEM_WANT_OFFSETS;
        e.text = (const uint8_t *)texts[i];
        e.len = lens[i];
        TANDEM_TRY(encode_text(&e));
    }
    return cut_and_assemble(&e, pair != NULL, options, encoding);
}

const char *tandem_encoding_token(const tandem_encoding *encoding,
                                  const tandem_tokenizer *tokenizer, int32_t index, size_t *len) {
    if (index < 0 || index >= encoding->count) return NULL;
    const struct tandem_encoding_memory *const m = encoding->memory;
    const int32_t at =
        encoding->bytes == NULL ? TANDEM_TOKEN_TEXT_ADDED : ((const int32_t *)m->texts.ptr)[index];
    const tandem_str text = token_text(tokenizer, m, encoding->ids[index], at);
    if (len != NULL) *len = text.len;
    return text.ptr;
}

int32_t tandem_tokenizer_vocab_size(const tandem_tokenizer *tokenizer) {
    const tandem_added_tokens *const added = &tokenizer->added;
    const int32_t added_max = added->count == 0 ? -1 : added->tokens[added->count - 1].id;
    return 1 + (tokenizer->vocab->id_max > added_max ? tokenizer->vocab->id_max : added_max);
}

const char *tandem_tokenizer_token(const tandem_tokenizer *tokenizer, int32_t id, size_t *len) {
    const tandem_str text = id_text(tokenizer, id);
    if (len != NULL && text.ptr != NULL) *len = text.len;
    return text.ptr;
}

int32_t tandem_tokenizer_id(const tandem_tokenizer *tokenizer, const char *token, size_t len) {
    const tandem_str text = {token, len};
    const int32_t id = tandem__vocab_find(&tokenizer->added.by_content, text);
    return id >= 0 ? id : tandem__vocab_find(tokenizer->vocab, text);
}

int32_t tandem_tokenizer_special_count(const tandem_tokenizer *tokenizer, bool pair) {
    return (int32_t)tokenizer->post.templates[pair][0].special_count;
}

size_t tandem_utf8_check(const char *bytes, size_t len) {
    return tandem__utf8_valid_prefix((const uint8_t *)bytes, len);
}

size_t tandem_utf8_replace(const char *bytes, size_t len, char *out) {
    return tandem__utf8_replace((const uint8_t *)bytes, len, (uint8_t *)out);
}
