/* SPDX-License-Identifier: Apache-2.0 */
#include "text/normalizer.h"

#include <stdio.h>

#include "base/fail.h"
#include "text/part_json.h"

#define SEQUENCE_PARTS_MAX 64

typedef struct sequence {
    tandem_normalizer *parts;
    size_t count;
} sequence;

static const tandem_normalizer_type *const types[] = {
    &tandem__normalizer_bert_type,     &tandem__normalizer_precompiled_type,
    &tandem__normalizer_replace_type,  &tandem__normalizer_prepend_type,
    &tandem__normalizer_strip_type,    &tandem__normalizer_lowercase_type,
    &tandem__normalizer_nfc_type,      &tandem__normalizer_nfd_type,
    &tandem__normalizer_nfkc_type,     &tandem__normalizer_nfkd_type,
    &tandem__normalizer_nmt_type,      &tandem__normalizer_strip_accents_type,
    &tandem__normalizer_sequence_type, &tandem__normalizer_byte_level_type};

tandem_status tandem__normalizer_read(tandem_normalizer *normalizer, const tandem_json *json,
                                      tandem_arena *arena, tandem_error *err) {
    if (json == NULL || json->kind == TANDEM_JSON_NULL) return TANDEM_OK;
    tandem_str name = {0};
    TANDEM_TRY(tandem__part_name(json, &name, err));
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (!tandem__str_is(name, types[i]->name)) continue;
        normalizer->type = types[i];
        normalizer->config = tandem__arena_alloc(arena, types[i]->config_bytes);
        if (normalizer->config == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for settings");
        return types[i]->read(json, arena, normalizer->config, err);
    }
    return TANDEM_FAIL(
        err, UNSUPPORTED,
        "type: \"%.*s\" is not supported, expected BertNormalizer, ByteLevel, Lowercase, "
        "NFC, NFD, NFKC, NFKD, Nmt, Precompiled, Prepend, Replace, Sequence, Strip "
        "or StripAccents",
        TANDEM_STR_ARG(name));
}

tandem_status tandem__normalizer_apply(const tandem_normalizer *normalizer, tandem_view in,
                                       bool wants_origins, tandem_normalized *out,
                                       tandem_normalizer_scratch *scratch, tandem_error *err) {
    tandem__normalized_reset(out, in.base, wants_origins);
    TANDEM_TRY(tandem__normalized_reserve(out, 0, err));
    if (normalizer->type == NULL) return tandem__normalized_append(out, in, 0, in.len, err);
    if (in.origins != NULL) TANDEM_TRY(tandem__normalized_make_explicit(out, 0, err));
    return normalizer->type->apply(normalizer->config, in, out, scratch, err);
}

void tandem__normalizer_scratch_deinit(tandem_normalizer_scratch *scratch) {
    tandem__marks_deinit(&scratch->marks);
    tandem__regex_scratch_deinit(&scratch->regex);
    tandem__array_deinit(&scratch->behind);
    for (int i = 0; i < 2; i++) tandem__normalized_deinit(&scratch->steps[i]);
}

static tandem_status sequence_read(const tandem_json *json, tandem_arena *arena, void *config,
                                   tandem_error *err) {
    sequence *const all = config;
    const tandem_json *const list = tandem__json_get(json, "normalizers");
    if (list == NULL || list->kind != TANDEM_JSON_ARRAY || list->count > SEQUENCE_PARTS_MAX) {
        const tandem_json_label label = tandem__json_label(list);
        return TANDEM_FAIL(err, FORMAT, "normalizers: %s, expected an array of at most %d parts",
                           label.text, SEQUENCE_PARTS_MAX);
    }
    all->parts = tandem__arena_array(arena, list->count, sizeof *all->parts);
    if (all->parts == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for a sequence");
    TANDEM_JSON_EACH(item, list) {
        tandem_normalizer *const part = &all->parts[all->count++];
        char place[48];
        snprintf(place, sizeof place, "normalizers[%zu]", all->count - 1);
        tandem_status status = tandem__normalizer_read(part, item, arena, err);
        if (status == TANDEM_OK && part->type == &tandem__normalizer_sequence_type) {
            status =
                TANDEM_FAIL(err, UNSUPPORTED, "type: \"Sequence\" in a Sequence is not supported");
        }
        if (status != TANDEM_OK) return tandem__fail_prefix(err, status, place);
    }
    return TANDEM_OK;
}

static tandem_status sequence_apply(const void *config, tandem_view in, tandem_normalized *out,
                                    tandem_normalizer_scratch *scratch, tandem_error *err) {
    const sequence *const all = config;
    if (all->count == 0) return tandem__normalized_append(out, in, 0, in.len, err);
    for (size_t i = 0; i < all->count; i++) {
        tandem_normalized *const to = i + 1 == all->count ? out : &scratch->steps[i % 2];
        TANDEM_TRY(
            tandem__normalizer_apply(&all->parts[i], in, out->wants_origins, to, scratch, err));
        in = tandem__normalized_view(to);
    }
    return TANDEM_OK;
}

const tandem_normalizer_type tandem__normalizer_sequence_type = {
    .name = "Sequence",
    .config_bytes = sizeof(sequence),
    .read = sequence_read,
    .apply = sequence_apply,
};
