/* SPDX-License-Identifier: Apache-2.0 */
#include "text/pretokenizer.h"

#include <stdio.h>

#include "base/fail.h"
#include "text/part_json.h"

#define SEQUENCE_PARTS_MAX 64
#define SPLITS_ROOM        256 /* words between two checks of the room */

static const tandem_pretokenizer_type *const types[] = {&tandem__pretokenizer_bert_type,
                                                        &tandem__pretokenizer_byte_level_type,
                                                        &tandem__pretokenizer_metaspace_type,
                                                        &tandem__pretokenizer_whitespace_type,
                                                        &tandem__pretokenizer_whitespace_split_type,
                                                        &tandem__pretokenizer_split_type,
                                                        &tandem__pretokenizer_digits_type,
                                                        &tandem__pretokenizer_punctuation_type,
                                                        &tandem__pretokenizer_delimiter_type};

static tandem_status read_part(tandem_pretokenizer *all, const tandem_json *json,
                               tandem_arena *arena, tandem_error *err) {
    tandem_pretokenizer_part *const part = &all->parts[all->count++];
    tandem_str name = {0};
    TANDEM_TRY(tandem__part_name(json, &name, err));
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (!tandem__str_is(name, types[i]->name)) continue;
        part->type = types[i];
        part->config = tandem__arena_alloc(arena, types[i]->config_bytes);
        if (part->config == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for settings");
        TANDEM_TRY(types[i]->read(json, arena, part->config, err));
        all->is_whole |= types[i]->split == NULL;
        all->needs_origins |= types[i] == &tandem__pretokenizer_metaspace_type &&
                              tandem__metaspace_needs_origins(part->config);
        return TANDEM_OK;
    }
    return TANDEM_FAIL(
        err, UNSUPPORTED,
        "type: \"%.*s\" is not supported, expected BertPreTokenizer, ByteLevel, "
        "CharDelimiterSplit, Digits, Metaspace, Punctuation, Split, Whitespace, WhitespaceSplit or "
        "a Sequence of these",
        TANDEM_STR_ARG(name));
}

static tandem_status new_parts(tandem_pretokenizer *all, size_t count, tandem_arena *arena,
                               tandem_error *err) {
    all->parts = tandem__arena_array(arena, count, sizeof *all->parts);
    if (all->parts == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for a pre-tokeniser");
    return TANDEM_OK;
}

tandem_status tandem__pretokenizer_read(tandem_pretokenizer *pretokenizer, const tandem_json *json,
                                        tandem_arena *arena, tandem_error *err) {
    if (json == NULL || json->kind == TANDEM_JSON_NULL) return TANDEM_OK;
    tandem_str name = {0};
    TANDEM_TRY(tandem__part_name(json, &name, err));
    if (!tandem__str_is(name, "Sequence")) {
        TANDEM_TRY(new_parts(pretokenizer, 1, arena, err));
        return read_part(pretokenizer, json, arena, err);
    }
    const tandem_json *const list = tandem__json_get(json, "pretokenizers");
    if (list == NULL || list->kind != TANDEM_JSON_ARRAY || list->count > SEQUENCE_PARTS_MAX) {
        const tandem_json_label label = tandem__json_label(list);
        return TANDEM_FAIL(err, FORMAT, "pretokenizers: %s, expected an array of at most %d parts",
                           label.text, SEQUENCE_PARTS_MAX);
    }
    TANDEM_TRY(new_parts(pretokenizer, list->count, arena, err));
    TANDEM_JSON_EACH(item, list) {
        char place[48];
        snprintf(place, sizeof place, "pretokenizers[%zu]", pretokenizer->count);
        const tandem_status status = read_part(pretokenizer, item, arena, err);
        if (status != TANDEM_OK) return tandem__fail_prefix(err, status, place);
    }
    return TANDEM_OK;
}

bool tandem__pretokenizer_ends_in_bytes(const tandem_pretokenizer *pretokenizer) {
    const size_t count = pretokenizer->count;
    return count > 0 &&
           pretokenizer->parts[count - 1].type == &tandem__pretokenizer_byte_level_type;
}

void tandem__pretokenizer_leave_bytes(tandem_pretokenizer *pretokenizer) {
    tandem__byte_level_leave_bytes(&pretokenizer->parts[pretokenizer->count - 1]);
    pretokenizer->is_whole = false;
    for (size_t i = 0; i < pretokenizer->count; i++) {
        pretokenizer->is_whole |= pretokenizer->parts[i].type->split == NULL;
    }
}

size_t tandem__pretokenizer_split(const tandem_pretokenizer *pretokenizer, const uint8_t *bytes,
                                  size_t end, size_t *at, tandem_split *splits, size_t max) {
    if (*at == end) return 0;
    if (pretokenizer->count > 0) {
        const tandem_pretokenizer_part *const part = &pretokenizer->parts[0];
        return part->type->split(part->config, bytes, end, at, splits, max);
    }
    splits[0] = (tandem_split){(uint32_t)*at, (uint32_t)end};
    *at = end;
    return 1;
}

tandem_status tandem__splits_push(tandem_array *splits, size_t start, size_t end,
                                  tandem_error *err) {
    if (start == end) return TANDEM_OK;
    TANDEM_TRY(tandem__array_reserve(splits, 1, sizeof(tandem_split), err));
    ((tandem_split *)splits->ptr)[splits->count++] = (tandem_split){(uint32_t)start, (uint32_t)end};
    return TANDEM_OK;
}

static tandem_status split_word(const tandem_pretokenizer_part *part, tandem_view in,
                                tandem_split word, tandem_array *splits, tandem_error *err) {
    size_t at = word.start;
    while (at < word.end) {
        TANDEM_TRY(tandem__array_reserve(splits, SPLITS_ROOM, sizeof(tandem_split), err));
        tandem_split *const to = (tandem_split *)splits->ptr + splits->count;
        splits->count += part->type->split(part->config, in.bytes, word.end, &at, to, SPLITS_ROOM);
    }
    return TANDEM_OK;
}

static tandem_status run_part(const tandem_pretokenizer_part *part, tandem_view in,
                              const tandem_array *words, tandem_normalized *out,
                              tandem_regex_scratch *scratch, tandem_array *splits,
                              tandem_error *err) {
    const tandem_split *const word = words->ptr;
    splits->count = 0;
    for (size_t i = 0; i < words->count; i++) {
        if (part->type->rewrite != NULL) {
            TANDEM_TRY(part->type->rewrite(part->config, in, word[i], out, splits, err));
        } else if (part->type->cut != NULL) {
            TANDEM_TRY(part->type->cut(part->config, in.bytes, word[i], scratch, splits, err));
        } else {
            TANDEM_TRY(split_word(part, in, word[i], splits, err));
        }
    }
    return TANDEM_OK;
}

tandem_status tandem__pretokenizer_run(const tandem_pretokenizer *pretokenizer, tandem_view in,
                                       tandem_split range, tandem_pretokenizer_scratch *scratch,
                                       tandem_pretokenized *words, tandem_error *err) {
    tandem_array *splits = &scratch->splits[0];
    tandem_normalized *text = &scratch->texts[0];
    splits->count = 0;
    TANDEM_TRY(tandem__splits_push(splits, range.start, range.end, err));
    for (size_t i = 0; i < pretokenizer->count; i++) {
        const tandem_pretokenizer_part *const part = &pretokenizer->parts[i];
        tandem_array *const next = &scratch->splits[(i + 1) % 2];
        if (part->type->rewrite != NULL) {
            text = text == &scratch->texts[0] ? &scratch->texts[1] : &scratch->texts[0];
            tandem__normalized_reset(text, in.base, scratch->wants_origins);
            TANDEM_TRY(tandem__normalized_make_explicit(text, 0, err));
        }
        TANDEM_TRY(run_part(part, in, splits, text, &scratch->regex, next, err));
        if (part->type->rewrite != NULL) in = tandem__normalized_view(text);
        splits = next;
    }
    *words = (tandem_pretokenized){in, splits->ptr, splits->count};
    return TANDEM_OK;
}

void tandem__pretokenizer_scratch_deinit(tandem_pretokenizer_scratch *scratch) {
    tandem__regex_scratch_deinit(&scratch->regex);
    for (int i = 0; i < 2; i++) {
        tandem__normalized_deinit(&scratch->texts[i]);
        tandem__array_deinit(&scratch->splits[i]);
    }
}
