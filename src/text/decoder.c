/* SPDX-License-Identifier: Apache-2.0 */
#include "text/decoder.h"

#include <stdio.h>

#include "base/fail.h"
#include "text/part_json.h"

#define SEQUENCE_PARTS_MAX 64
#define TEXT_BYTES_MAX     ((size_t)1 << 32)

static const tandem_decoder_type *const types[] = {
    &tandem__decoder_bpe_type,        &tandem__decoder_byte_fallback_type,
    &tandem__decoder_byte_level_type, &tandem__decoder_fuse_type,
    &tandem__decoder_metaspace_type,  &tandem__decoder_replace_type,
    &tandem__decoder_strip_type,      &tandem__decoder_wordpiece_type};

tandem_status tandem__pieces_put(tandem_pieces *pieces, tandem_str text, tandem_error *err) {
    if (text.len > TEXT_BYTES_MAX - pieces->bytes.count) {
        return TANDEM_FAIL(err, CAPACITY, "decoded text of over %zu bytes", TEXT_BYTES_MAX);
    }
    /* One more, so that even an empty list has an address. */
    TANDEM_TRY(tandem__array_reserve(&pieces->bytes, text.len + 1, 1, err));
    if (text.len > 0) {
        memcpy((char *)pieces->bytes.ptr + pieces->bytes.count, text.ptr, text.len);
    }
    pieces->bytes.count += text.len;
    return TANDEM_OK;
}

tandem_status tandem__pieces_end(tandem_pieces *pieces, tandem_error *err) {
    TANDEM_TRY(tandem__array_reserve(&pieces->ends, 1, sizeof(size_t), err));
    ((size_t *)pieces->ends.ptr)[pieces->ends.count++] = pieces->bytes.count;
    return TANDEM_OK;
}

static tandem_status read_part(tandem_decoder *decoder, const tandem_json *json,
                               tandem_arena *arena, tandem_error *err) {
    tandem_decoder_part *const part = &decoder->parts[decoder->count++];
    tandem_str name = {0};
    TANDEM_TRY(tandem__part_name(json, &name, err));
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (!tandem__str_is(name, types[i]->name)) continue;
        part->type = types[i];
        part->config = tandem__arena_alloc(arena, types[i]->config_bytes);
        if (part->config == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for settings");
        return types[i]->read(json, arena, part->config, err);
    }
    return TANDEM_FAIL(err, UNSUPPORTED,
                       "type: \"%.*s\" is not supported, expected BPEDecoder, ByteFallback, "
                       "ByteLevel, Fuse, Metaspace, Replace, Strip, WordPiece or a Sequence of "
                       "these",
                       TANDEM_STR_ARG(name));
}

static tandem_status new_parts(tandem_decoder *decoder, size_t count, tandem_arena *arena,
                               tandem_error *err) {
    decoder->parts = tandem__arena_array(arena, count, sizeof *decoder->parts);
    if (decoder->parts == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for a decoder");
    return TANDEM_OK;
}

static tandem_status read_sequence(tandem_decoder *decoder, const tandem_json *json,
                                   tandem_arena *arena, tandem_error *err) {
    const tandem_json *const list = tandem__json_get(json, "decoders");
    if (list == NULL || list->kind != TANDEM_JSON_ARRAY || list->count > SEQUENCE_PARTS_MAX) {
        const tandem_json_label label = tandem__json_label(list);
        return TANDEM_FAIL(err, FORMAT, "decoders: %s, expected an array of at most %d parts",
                           label.text, SEQUENCE_PARTS_MAX);
    }
    TANDEM_TRY(new_parts(decoder, list->count, arena, err));
    TANDEM_JSON_EACH(item, list) {
        char place[48];
        (void)snprintf(place, sizeof place, "decoders[%zu]", decoder->count);
        const tandem_status status = read_part(decoder, item, arena, err);
        if (status != TANDEM_OK) return tandem__fail_prefix(err, status, place);
    }
    return TANDEM_OK;
}

static tandem_status read_all(tandem_decoder *decoder, const tandem_json *json, tandem_arena *arena,
                              tandem_error *err) {
    tandem_str name = {0};
    TANDEM_TRY(tandem__part_name(json, &name, err));
    if (tandem__str_is(name, "Sequence")) return read_sequence(decoder, json, arena, err);
    TANDEM_TRY(new_parts(decoder, 1, arena, err));
    return read_part(decoder, json, arena, err);
}

void tandem__decoder_read(tandem_decoder *decoder, const tandem_json *json, tandem_arena *arena) {
    if (json == NULL || json->kind == TANDEM_JSON_NULL) return;
    decoder->is_given = true;
    const tandem_status status = read_all(decoder, json, arena, &decoder->refused);
    if (status != TANDEM_OK) (void)tandem__fail_prefix(&decoder->refused, status, "decoder");
}

tandem_status tandem__decoder_run(const tandem_decoder *decoder, tandem_decoder_scratch *scratch,
                                  const tandem_pieces **result, tandem_error *err) {
    if (decoder->refused.status != TANDEM_OK) {
        return tandem__fail(err, decoder->refused.status, decoder->refused.file,
                            decoder->refused.line, "%s", decoder->refused.message);
    }
    tandem_pieces *from = &scratch->pieces[0];
    tandem_pieces *to = &scratch->pieces[1];
    for (size_t i = 0; i < decoder->count; i++) {
        const tandem_decoder_part *const part = &decoder->parts[i];
        to->bytes.count = to->ends.count = 0;
        TANDEM_TRY(part->type->decode(part->config, from, to, scratch, err));
        tandem_pieces *const last = from;
        from = to;
        to = last;
    }
    *result = from;
    return TANDEM_OK;
}

void tandem__decoder_scratch_deinit(tandem_decoder_scratch *scratch) {
    for (int i = 0; i < 2; i++) {
        tandem__array_deinit(&scratch->pieces[i].bytes);
        tandem__array_deinit(&scratch->pieces[i].ends);
    }
    tandem__normalized_deinit(&scratch->replaced);
    tandem__normalizer_scratch_deinit(&scratch->normalizer);
}
