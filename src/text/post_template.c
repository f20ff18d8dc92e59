/* SPDX-License-Identifier: Apache-2.0 */
#include "text/post_template.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/fail.h"

#define SPECIAL_COUNT_MAX 4096 /* special tokens in one template, and names for them */
#define PIECE_COUNT_MAX   4096

typedef struct reader {
    tandem_post *post;
    tandem_arena *arena;
    const tandem_json *names; /* special_tokens: what a name stands for */
    tandem_error *err;
} reader;

static tandem_status fail_field(const char *field, const tandem_json *node, const char *expected,
                                tandem_error *err) {
    const tandem_json_label label = tandem__json_label(node);
    return TANDEM_FAIL(err, FORMAT, "%s: %s, expected %s", field, label.text, expected);
}

static tandem_status add_special(reader *r, int32_t id, tandem_str text) {
    tandem_post_special *const special = &r->post->specials[r->post->specials_count];
    special->id = id;
    special->text.len = text.len;
    special->text.ptr = tandem__arena_copy(r->arena, text.ptr, text.len);
    if (special->text.ptr == NULL) return TANDEM_FAIL(r->err, MEMORY, "no memory for a template");
    r->post->specials_count++;
    return TANDEM_OK;
}

/* ids and tokens of one entry of special_tokens. */
static tandem_status read_special(reader *r, const tandem_json *entry) {
    const tandem_json *const ids = tandem__json_get(entry, "ids");
    const tandem_json *const tokens = tandem__json_get(entry, "tokens");
    if (ids == NULL || ids->kind != TANDEM_JSON_ARRAY) {
        return fail_field("ids", ids, "an array", r->err);
    }
    if (tokens == NULL || tokens->kind != TANDEM_JSON_ARRAY || tokens->count != ids->count) {
        return fail_field("tokens", tokens, "an array as long as ids", r->err);
    }
    const tandem_json *token = tokens->first;
    TANDEM_JSON_EACH(item, ids) {
        int64_t id = 0;
        if (!tandem__json_to_int(item, &id) || id < 0 || id > TANDEM_TOKEN_ID_MAX) {
            return fail_field("ids", item, "token ids", r->err);
        }
        if (token->kind != TANDEM_JSON_STRING) {
            return fail_field("tokens", token, "strings", r->err);
        }
        TANDEM_TRY(add_special(r, (int32_t)id, token->text));
        token = token->next;
    }
    return TANDEM_OK;
}

static tandem_status read_specials(reader *r) {
    size_t count = 0;
    TANDEM_JSON_EACH(entry, r->names) {
        const tandem_json *const ids = tandem__json_get(entry, "ids");
        count += ids != NULL && ids->kind == TANDEM_JSON_ARRAY ? ids->count : 0;
    }
    r->post->specials = tandem__arena_array(r->arena, count, sizeof *r->post->specials);
    if (r->post->specials == NULL) return TANDEM_FAIL(r->err, MEMORY, "no memory for a template");
    TANDEM_JSON_EACH(entry, r->names) {
        const tandem_status status = read_special(r, entry);
        if (status == TANDEM_OK) continue;
        char where[80];
        (void)snprintf(where, sizeof where, "special_tokens.%.*s",
                       entry->key.len < 40 ? (int)entry->key.len : 40, entry->key.ptr);
        return tandem__fail_prefix(r->err, status, where);
    }
    return TANDEM_OK;
}

/* The range of specials that a name stands for. A name that comes twice counts with its last. */
static bool find_special(const reader *r, tandem_str name, uint32_t *first, uint32_t *count) {
    uint32_t at = 0;
    bool is_found = false;
    TANDEM_JSON_EACH(entry, r->names) {
        const uint32_t entry_count = tandem__json_get(entry, "ids")->count;
        if (tandem__str_equal(entry->key, name)) {
            *first = at;
            *count = entry_count;
            is_found = true;
        }
        at += entry_count;
    }
    return is_found;
}

static tandem_status read_sequence(reader *r, const tandem_json *json, bool is_pair,
                                   tandem_post_piece *piece) {
    const tandem_json *const id = tandem__json_get(json, "id");
    const bool is_string = id != NULL && id->kind == TANDEM_JSON_STRING;
    if (is_string && tandem__str_is(id->text, "A")) {
        piece->sequence = 0;
    } else if (is_string && is_pair && tandem__str_is(id->text, "B")) {
        piece->sequence = 1;
    } else {
        return fail_field("Sequence.id", id, is_pair ? "\"A\" or \"B\"" : "\"A\"", r->err);
    }
    piece->type_overflow = piece->sequence;
    return TANDEM_OK;
}

static tandem_status read_piece(reader *r, const tandem_json *json, bool is_pair,
                                tandem_post_piece *piece) {
    const tandem_json *const sequence = tandem__json_get(json, "Sequence");
    const tandem_json *const special = tandem__json_get(json, "SpecialToken");
    const tandem_json *const body = sequence != NULL ? sequence : special;
    if (body == NULL || body->kind != TANDEM_JSON_OBJECT || json->count != 1) {
        return fail_field("piece", json, "a Sequence or a SpecialToken", r->err);
    }
    int64_t type = -1;
    TANDEM_TRY(tandem__json_read_int(body, "type_id", 0, TANDEM_TOKEN_ID_MAX, &type, r->err));
    if (type < 0) return fail_field("type_id", NULL, "an integer", r->err);
    piece->type = (int32_t)type;
    if (sequence != NULL) return read_sequence(r, body, is_pair, piece);
    const tandem_json *const id = tandem__json_get(body, "id");
    piece->sequence = -1;
    piece->type_overflow = piece->type;
    if (id == NULL || id->kind != TANDEM_JSON_STRING ||
        !find_special(r, id->text, &piece->first, &piece->count)) {
        return fail_field("SpecialToken.id", id, "a name from special_tokens", r->err);
    }
    return TANDEM_OK;
}

/* The same template for callers that want no special tokens. */
static tandem_status add_bare(reader *r, bool is_pair) {
    const tandem_post_template *const full = &r->post->templates[is_pair][0];
    tandem_post_template *const bare = &r->post->templates[is_pair][1];
    bare->pieces = tandem__arena_array(r->arena, full->count, sizeof *bare->pieces);
    if (bare->pieces == NULL) return TANDEM_FAIL(r->err, MEMORY, "no memory for a template");
    for (uint32_t i = 0; i < full->count; i++) {
        if (full->pieces[i].sequence >= 0) bare->pieces[bare->count++] = full->pieces[i];
    }
    return TANDEM_OK;
}

static tandem_status read_template(reader *r, const tandem_json *json, bool is_pair) {
    if (json == NULL || json->kind != TANDEM_JSON_ARRAY) {
        return fail_field("template", json, "an array of pieces", r->err);
    }
    if (json->count > PIECE_COUNT_MAX) {
        return fail_field("template", json, "at most 4096 pieces", r->err);
    }
    tandem_post_template *const full = &r->post->templates[is_pair][0];
    full->pieces = tandem__arena_array(r->arena, json->count, sizeof *full->pieces);
    if (full->pieces == NULL) return TANDEM_FAIL(r->err, MEMORY, "no memory for a template");
    TANDEM_JSON_EACH(item, json) {
        tandem_post_piece *const piece = &full->pieces[full->count++];
        TANDEM_TRY(read_piece(r, item, is_pair, piece));
        if (piece->count > SPECIAL_COUNT_MAX - full->special_count) {
            return TANDEM_FAIL(r->err, FORMAT, "over %d special tokens, expected fewer",
                               SPECIAL_COUNT_MAX);
        }
        full->special_count += piece->count;
    }
    return add_bare(r, is_pair);
}

static tandem_status read_template_processing(reader *r, const tandem_json *json) {
    static const char *const names[2] = {"single", "pair"};
    r->names = tandem__json_get(json, "special_tokens");
    if (r->names == NULL || r->names->kind != TANDEM_JSON_OBJECT) {
        return fail_field("special_tokens", r->names, "an object", r->err);
    }
    if (r->names->count > SPECIAL_COUNT_MAX) {
        return fail_field("special_tokens", r->names, "at most 4096", r->err);
    }
    TANDEM_TRY(read_specials(r));
    for (int i = 0; i < 2; i++) {
        const tandem_status status = read_template(r, tandem__json_get(json, names[i]), i == 1);
        if (status != TANDEM_OK) return tandem__fail_prefix(r->err, status, names[i]);
    }
    return TANDEM_OK;
}

/* `layout` has a letter a piece: A, B the sequences, c the special token before, s the one after.
 * Types are 0 up to the piece that is `second_type` pieces from the start, then 1. */
static tandem_status set_layout(reader *r, bool is_pair, const char *layout, uint32_t second_type) {
    tandem_post_template *const full = &r->post->templates[is_pair][0];
    full->pieces = tandem__arena_array(r->arena, strlen(layout), sizeof *full->pieces);
    if (full->pieces == NULL) return TANDEM_FAIL(r->err, MEMORY, "no memory for a template");
    for (const char *letter = layout; *letter != '\0'; letter++) {
        tandem_post_piece *const piece = &full->pieces[full->count];
        const int32_t type = full->count >= second_type;
        *piece = (tandem_post_piece){.sequence = -1, .type = type, .type_overflow = type};
        if (*letter == 'A' || *letter == 'B') {
            piece->sequence = *letter - 'A';
        } else {
            piece->first = *letter == 's';
            piece->count = 1;
            full->special_count++;
        }
        full->count++;
    }
    return add_bare(r, is_pair);
}

/* A field of the form ["[CLS]", 101]. */
static tandem_status read_token_pair(reader *r, const tandem_json *json, const char *key) {
    const tandem_json *const field = tandem__json_get(json, key);
    int64_t id = 0;
    if (field == NULL || field->kind != TANDEM_JSON_ARRAY || field->count != 2 ||
        field->first->kind != TANDEM_JSON_STRING || !tandem__json_to_int(field->first->next, &id) ||
        id < 0 || id > TANDEM_TOKEN_ID_MAX) {
        return fail_field(key, field, "a token and its id", r->err);
    }
    return add_special(r, (int32_t)id, field->first->text);
}

static tandem_status read_cls_and_sep(reader *r, const tandem_json *json) {
    r->post->specials = tandem__arena_array(r->arena, 2, sizeof *r->post->specials);
    if (r->post->specials == NULL) return TANDEM_FAIL(r->err, MEMORY, "no memory for a template");
    TANDEM_TRY(read_token_pair(r, json, "cls"));
    return read_token_pair(r, json, "sep");
}

static tandem_status read_bert_processing(reader *r, const tandem_json *json) {
    TANDEM_TRY(read_cls_and_sep(r, json));
    TANDEM_TRY(set_layout(r, false, "cAs", UINT32_MAX));
    return set_layout(r, true, "cAsBs", 3);
}

static tandem_status require_bool(reader *r, const tandem_json *json, const char *key,
                                  bool *value) {
    const tandem_json *const field = tandem__json_get(json, key);
    if (field == NULL || field->kind != TANDEM_JSON_BOOL) {
        return fail_field(key, field, "true or false", r->err);
    }
    *value = field->count != 0;
    return TANDEM_OK;
}

/* trim_offsets and add_prefix_space of RobertaProcessing and ByteLevel. */
static tandem_status read_trim(reader *r, const tandem_json *json) {
    bool trims = false;
    bool keeps_first = false;
    TANDEM_TRY(require_bool(r, json, "trim_offsets", &trims));
    TANDEM_TRY(require_bool(r, json, "add_prefix_space", &keeps_first));
    if (!trims) return TANDEM_OK;
    if (r->post->trims_count == TANDEM_POST_TRIMS_MAX) {
        return TANDEM_FAIL(r->err, UNSUPPORTED, "trim_offsets: over %d of them, expected fewer",
                           TANDEM_POST_TRIMS_MAX);
    }
    r->post->trims_keep_first[r->post->trims_count++] = keeps_first;
    return TANDEM_OK;
}

/* Every token has type 0; only where no special tokens are wanted, later windows of the second
 * text keep the 1 that they came with. */
static tandem_status read_roberta_processing(reader *r, const tandem_json *json) {
    TANDEM_TRY(read_cls_and_sep(r, json));
    TANDEM_TRY(read_trim(r, json));
    TANDEM_TRY(set_layout(r, false, "cAs", UINT32_MAX));
    TANDEM_TRY(set_layout(r, true, "cAssBs", UINT32_MAX));
    r->post->templates[true][1].pieces[1].type_overflow = 1;
    return TANDEM_OK;
}

static tandem_status read_nothing(reader *r) {
    r->post->specials = NULL;
    TANDEM_TRY(set_layout(r, false, "A", UINT32_MAX));
    return set_layout(r, true, "AB", 1);
}

static tandem_status read_byte_level(reader *r, const tandem_json *json) {
    TANDEM_TRY(read_trim(r, json));
    return read_nothing(r);
}

typedef struct processor_type {
    const char *name;
    tandem_status (*read)(reader *r, const tandem_json *json);
} processor_type;

static tandem_status find_type(const tandem_json *json, const processor_type **type,
                               tandem_error *err) {
    static const processor_type types[] = {
        {"BertProcessing", read_bert_processing},
        {"ByteLevel", read_byte_level},
        {"RobertaProcessing", read_roberta_processing},
        {"TemplateProcessing", read_template_processing},
    };
    const tandem_json *const name = tandem__json_get(json, "type");
    if (name == NULL || name->kind != TANDEM_JSON_STRING) {
        return fail_field("type", name, "the name of a post-processor", err);
    }
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        *type = &types[i];
        if (tandem__str_is(name->text, types[i].name)) return TANDEM_OK;
    }
    return TANDEM_FAIL(err, UNSUPPORTED,
                       "type: \"%.*s\" is not supported, expected BertProcessing, ByteLevel, "
                       "RobertaProcessing, TemplateProcessing or a Sequence of these",
                       TANDEM_STR_ARG(name->text));
}

/* One that places tokens, and ByteLevel as often as one likes: only that is of use. Behind Bert-
 * and RobertaProcessing the reference would see a special token first in each window. */
static tandem_status read_step(reader *r, const tandem_json *json, const processor_type **placing) {
    const processor_type *type = NULL;
    TANDEM_TRY(find_type(json, &type, r->err));
    if (type->read != read_byte_level) {
        if (*placing != NULL) {
            return TANDEM_FAIL(r->err, UNSUPPORTED, "type: \"%s\" after \"%s\" is not supported",
                               type->name, (*placing)->name);
        }
        *placing = type;
        return type->read(r, json);
    }
    if (*placing != NULL && (*placing)->read != read_template_processing) {
        return TANDEM_FAIL(r->err, UNSUPPORTED, "type: \"%s\" after \"%s\" is not supported",
                           type->name, (*placing)->name);
    }
    return read_trim(r, json);
}

static tandem_status read_steps(reader *r, const tandem_json *json) {
    const tandem_json *const list = tandem__json_get(json, "processors");
    const processor_type *placing = NULL;
    size_t index = 0;
    if (list == NULL || list->kind != TANDEM_JSON_ARRAY) {
        return fail_field("processors", list, "an array of post-processors", r->err);
    }
    TANDEM_JSON_EACH(item, list) {
        const tandem_status status = read_step(r, item, &placing);
        if (status != TANDEM_OK) {
            char place[48];
            (void)snprintf(place, sizeof place, "processors[%zu]", index);
            return tandem__fail_prefix(r->err, status, place);
        }
        index++;
    }
    return placing != NULL ? TANDEM_OK : read_nothing(r);
}

tandem_status tandem__post_read(tandem_post *post, const tandem_json *json, tandem_arena *arena,
                                tandem_error *err) {
    const processor_type *type = NULL;
    *post = (tandem_post){0};
    reader r = {.post = post, .arena = arena, .err = err};
    if (json == NULL || json->kind == TANDEM_JSON_NULL) return read_nothing(&r);
    const tandem_json *const name = tandem__json_get(json, "type");
    if (name != NULL && name->kind == TANDEM_JSON_STRING &&
        tandem__str_is(name->text, "Sequence")) {
        return read_steps(&r, json);
    }
    TANDEM_TRY(find_type(json, &type, err));
    return type->read(&r, json);
}
