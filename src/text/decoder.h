/* SPDX-License-Identifier: Apache-2.0 */
/* Decoders: the texts of tokens back to one text. A table entry named by the "type" of its JSON
 * object; see normalizer.h for what that means. A decoder rewrites a list of pieces, one a token
 * to begin with; what is left at the end is joined. */
#ifndef TANDEM_TEXT_DECODER_H
#define TANDEM_TEXT_DECODER_H

#include "base/json.h"
#include "text/normalizer.h"

/* Texts one after the other; piece i ends at ends[i] and starts where the one before ends. */
typedef struct tandem_pieces {
    tandem_array bytes; /* char */
    tandem_array ends;  /* size_t */
} tandem_pieces;

static inline size_t tandem__pieces_count(const tandem_pieces *pieces) {
    return pieces->ends.count;
}

static inline tandem_str tandem__pieces_at(const tandem_pieces *pieces, size_t i) {
    const size_t *const ends = pieces->ends.ptr;
    const size_t start = i == 0 ? 0 : ends[i - 1];
    return (tandem_str){(const char *)pieces->bytes.ptr + start, ends[i] - start};
}

/* Appends to the piece that is being written. `text` is none of these pieces. */
tandem_status tandem__pieces_put(tandem_pieces *pieces, tandem_str text,
                                 tandem_error *err) TANDEM_NODISCARD;

/* What was put since the last end is a piece. */
tandem_status tandem__pieces_end(tandem_pieces *pieces, tandem_error *err) TANDEM_NODISCARD;

typedef struct tandem_decoder_scratch {
    tandem_pieces pieces[2];
    tandem_normalized replaced;
    tandem_normalizer_scratch normalizer;
} tandem_decoder_scratch;

typedef struct tandem_decoder_type {
    const char *name;
    size_t config_bytes;
    tandem_status (*read)(const tandem_json *json, tandem_arena *arena, void *config,
                          tandem_error *err);
    /* Writes what becomes of `in` to `out`, which is empty. */
    tandem_status (*decode)(const void *config, const tandem_pieces *in, tandem_pieces *out,
                            tandem_decoder_scratch *scratch, tandem_error *err);
} tandem_decoder_type;

typedef struct tandem_decoder_part {
    const tandem_decoder_type *type;
    void *config;
} tandem_decoder_part;

/* One part after the other. */
typedef struct tandem_decoder {
    tandem_decoder_part *parts;
    size_t count;
    bool is_given;        /* else tokens are joined by spaces */
    tandem_error refused; /* why it cannot be used; found when the file is opened */
} tandem_decoder;

extern const tandem_decoder_type tandem__decoder_bpe_type;
extern const tandem_decoder_type tandem__decoder_byte_fallback_type;
extern const tandem_decoder_type tandem__decoder_byte_level_type;
extern const tandem_decoder_type tandem__decoder_fuse_type;
extern const tandem_decoder_type tandem__decoder_metaspace_type;
extern const tandem_decoder_type tandem__decoder_replace_type;
extern const tandem_decoder_type tandem__decoder_strip_type;
extern const tandem_decoder_type tandem__decoder_wordpiece_type;

/* Reads a part or a Sequence of them. Nothing fails here: one who encodes needs no decoder. What
 * is wrong with it is kept for those who decode. */
void tandem__decoder_read(tandem_decoder *decoder, const tandem_json *json, tandem_arena *arena);

/* Decodes scratch->pieces[0]; the result is in `*result`, one of scratch->pieces, as pieces that
 * are yet to be joined. */
tandem_status tandem__decoder_run(const tandem_decoder *decoder, tandem_decoder_scratch *scratch,
                                  const tandem_pieces **result, tandem_error *err) TANDEM_NODISCARD;

void tandem__decoder_scratch_deinit(tandem_decoder_scratch *scratch);

#endif
