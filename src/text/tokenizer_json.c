/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer.json to the parts of a tokenizer. This file knows the frame; each part reads its own
 * object. Memory: vocabularies are read from the document's text, the tree of the rest goes when
 * the parts are built, and a part allocates no more than a small multiple of the document's size.
 */
#include "base/fail.h"
#include "base/mem.h"
#include "text/part_json.h"
#include "text/tokenizer_internal.h"

#define TREE_BYTES_MAX ((size_t)4 << 30)

/* The part's type, NULL for an absent part. */
static tandem_status read_type(const tandem_json *part, tandem_str *type, tandem_error *err) {
    *type = (tandem_str){NULL, 0};
    if (part == NULL || part->kind == TANDEM_JSON_NULL) return TANDEM_OK;
    return tandem__part_name(part, type, err);
}

static tandem_status fail_unknown(tandem_str type, const char *known, tandem_error *err) {
    return TANDEM_FAIL(err, UNSUPPORTED, "type: \"%.*s\" is not supported, expected %s",
                       TANDEM_STR_ARG(type), known);
}

/* Settings of a part, zeroed. */
static tandem_status new_config(tandem_tokenizer *tokenizer, size_t bytes, void **config,
                                tandem_error *err) {
    *config = tandem__arena_alloc(&tokenizer->arena, bytes);
    if (*config != NULL) return TANDEM_OK;
    return TANDEM_FAIL(err, MEMORY, "no memory for %zu bytes of settings", bytes);
}

static tandem_status read_normalizer(tandem_tokenizer *tokenizer, const tandem_json *json,
                                     tandem_error *err) {
    return tandem__normalizer_read(&tokenizer->normalizer, json, &tokenizer->arena, err);
}

static tandem_status read_pretokenizer(tandem_tokenizer *tokenizer, const tandem_json *json,
                                       tandem_error *err) {
    return tandem__pretokenizer_read(&tokenizer->pretokenizer, json, &tokenizer->arena, err);
}

/* Files of 2020 do not name their model. The reference takes the first that reads without error,
 * which comes down to a field that no other has. */
static const tandem_model_type *guess_model(const tandem_json *json) {
    if (tandem__json_get(json, "type") != NULL) return NULL;
    if (tandem__json_get(json, "merges") != NULL) return &tandem__model_bpe_type;
    const bool is_wordpiece = tandem__json_get(json, "max_input_chars_per_word") != NULL;
    return is_wordpiece ? &tandem__model_wordpiece_type : NULL;
}

static tandem_status find_model(const tandem_json *json, const tandem_model_type **type,
                                tandem_error *err) {
    tandem_str name;
    *type = guess_model(json);
    if (*type != NULL) return TANDEM_OK;
    TANDEM_TRY(read_type(json, &name, err));
    if (name.ptr == NULL) {
        const tandem_json_label label = tandem__json_label(json);
        return TANDEM_FAIL(err, FORMAT, "%s, expected an object", label.text);
    }
    *type = tandem__model_type_find(name);
    return *type != NULL ? TANDEM_OK : fail_unknown(name, "BPE, Unigram or WordPiece", err);
}

static tandem_status read_model(tandem_tokenizer *tokenizer, const tandem_json *json,
                                tandem_error *err) {
    const tandem_model_type *type = NULL;
    TANDEM_TRY(find_model(json, &type, err));
    tandem_model_part *const part = &tokenizer->model;
    TANDEM_TRY(new_config(tokenizer, type->config_bytes, &part->config, err));
    part->type = type;
    TANDEM_TRY(type->read(json, &tokenizer->arena, part->config, err));
    tokenizer->vocab = type->vocab(part->config);
    if (type->prepare == NULL) return TANDEM_OK;
    bool in_bytes = tandem__pretokenizer_ends_in_bytes(&tokenizer->pretokenizer);
    TANDEM_TRY(type->prepare(part->config, &in_bytes, &tokenizer->arena, err));
    if (in_bytes) tandem__pretokenizer_leave_bytes(&tokenizer->pretokenizer);
    return TANDEM_OK;
}

static tandem_status read_added(tandem_tokenizer *tokenizer, const tandem_json *json,
                                tandem_error *err) {
    const tandem_added_source source = {.json = json,
                                        .vocab = tokenizer->vocab,
                                        .normalizer = &tokenizer->normalizer,
                                        .arena = &tokenizer->arena};
    return tandem__added_read(&tokenizer->added, &source, err);
}

/* Callers index tables by id, so no id may come out that is not in the vocabulary. */
static tandem_status read_post(tandem_tokenizer *tokenizer, const tandem_json *json,
                               tandem_error *err) {
    TANDEM_TRY(tandem__post_read(&tokenizer->post, json, &tokenizer->arena, err));
    for (uint32_t i = 0; i < tokenizer->post.specials_count; i++) {
        const tandem_post_special *const special = &tokenizer->post.specials[i];
        if (tandem_tokenizer_token(tokenizer, special->id, NULL) != NULL) continue;
        return TANDEM_FAIL(err, FORMAT, "token \"%.*s\" has id %d, expected one of the vocabulary",
                           TANDEM_STR_ARG(special->text), special->id);
    }
    return TANDEM_OK;
}

/* What is wrong with a decoder is said when it is asked for: encoding needs none. */
static tandem_status read_decoder(tandem_tokenizer *tokenizer, const tandem_json *json,
                                  tandem_error *err) {
    (void)err;
    tandem__decoder_read(&tokenizer->decoder, json, &tokenizer->arena);
    return TANDEM_OK;
}

static tandem_status read_version(tandem_tokenizer *tokenizer, const tandem_json *json,
                                  tandem_error *err) {
    (void)tokenizer;
    if (json == NULL) return TANDEM_OK;
    if (json->kind == TANDEM_JSON_STRING && tandem__str_is(json->text, "1.0")) return TANDEM_OK;
    const tandem_json_label label = tandem__json_label(json);
    return TANDEM_FAIL(err, UNSUPPORTED, "%s, expected \"1.0\"", label.text);
}

static tandem_status read_parts(tandem_tokenizer *tokenizer, const tandem_json *root,
                                tandem_error *err) {
    /* In this order: a model may want to know how words come, added tokens need the normaliser
     * and the model, templates all ids. */
    static const struct {
        const char *field;
        tandem_status (*read)(tandem_tokenizer *tokenizer, const tandem_json *json,
                              tandem_error *err);
    } parts[] = {
        {"version", read_version},
        {"normalizer", read_normalizer},
        {"pre_tokenizer", read_pretokenizer},
        {"model", read_model},
        {"added_tokens", read_added},
        {"post_processor", read_post},
        {"decoder", read_decoder},
    };
    if (root->kind != TANDEM_JSON_OBJECT) {
        const tandem_json_label label = tandem__json_label(root);
        return TANDEM_FAIL(err, FORMAT, "%s, expected an object", label.text);
    }
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        const tandem_status status =
            parts[i].read(tokenizer, tandem__json_get(root, parts[i].field), err);
        if (status != TANDEM_OK) return tandem__fail_prefix(err, status, parts[i].field);
    }
    return TANDEM_OK;
}

tandem_status tandem__tokenizer_read(tandem_tokenizer *tokenizer, tandem_str json,
                                     tandem_error *err) {
    tandem_arena tree;
    const tandem_json *root = NULL;
    tandem__arena_init(&tree, TREE_BYTES_MAX);
    static const tandem_json_large large = {"model", {"vocab", "merges", NULL}};
    tandem_status status = tandem__json_parse_large(json, &large, &tree, &root, err);
    if (status == TANDEM_OK) status = read_parts(tokenizer, root, err);
    tandem__arena_deinit(&tree);
    return status;
}
