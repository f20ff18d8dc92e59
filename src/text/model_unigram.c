/* SPDX-License-Identifier: Apache-2.0 */
/* Unigram: of all ways to cut a word into pieces the one whose scores add up highest (Viterbi).
 *
 * From each character on, one walk through a trie meets every piece that starts there and
 * improves the best way to where the piece ends. A character that is no piece itself may pass as
 * unknown, ten below the worst score. Neighbouring unknown characters are one token. Scores are
 * doubles added in the reference's order, so that ties fall alike. Work is the length of the word
 * times that of the longest piece that its places start. */
#include <stdio.h>

#include "base/fail.h"
#include "base/number.h"
#include "text/piece_trie.h"
#include "text/token_model.h"

#define UNKNOWN_PENALTY 10.0
#define NOWHERE         UINT32_MAX

typedef struct unigram {
    tandem_vocab vocab;
    tandem_piece_trie trie;
    double *scores; /* by id */
    double unk_score;
    int32_t unk_id; /* -1: none */
    bool falls_back;
    int32_t bytes[256]; /* ids of <0x00> to <0xFF>; -1 */
} unigram;

/* The best way to a byte of the word. */
typedef struct lattice_node {
    double score;
    uint32_t start; /* of its last piece; NOWHERE: no way yet */
    int32_t id;
    uint32_t next; /* on the best way of all: where the next piece ends */
    uint32_t unused;
} lattice_node;

static tandem_status fail_field(const char *key, const tandem_json *field, const char *expected,
                                tandem_error *err) {
    const tandem_json_label label = tandem__json_label(field);
    return TANDEM_FAIL(err, FORMAT, "%s: %s, expected %s", key, label.text, expected);
}

/* A piece and its score: ["▁the", -3.4]. */
static tandem_status read_piece(unigram *model, const tandem_json *json, tandem_error *err) {
    const tandem_json *const text = json->kind == TANDEM_JSON_ARRAY ? json->first : NULL;
    const tandem_json *const score = text == NULL ? NULL : text->next;
    const int32_t id = (int32_t)model->vocab.words_count;
    if (text == NULL || json->count != 2 || text->kind != TANDEM_JSON_STRING ||
        score->kind != TANDEM_JSON_NUMBER ||
        !tandem__number_parse_double(score->text, &model->scores[id])) {
        const tandem_json_label label = tandem__json_label(json);
        return TANDEM_FAIL(err, FORMAT, "vocab: piece %d is %s, expected a text and its score", id,
                           label.text);
    }
    return tandem__vocab_add(&model->vocab, text->text, id, err);
}

static tandem_status read_vocab(unigram *model, const tandem_json *json, tandem_arena *arena,
                                tandem_error *err) {
    tandem_vocab *const vocab = &model->vocab;
    tandem_vocab_room room = {.words = json->count, .has_trie = true};
    TANDEM_JSON_EACH(item, json) {
        if (item->kind == TANDEM_JSON_ARRAY && item->first != NULL) {
            room.text_bytes += item->first->text.len;
        }
    }
    TANDEM_TRY(tandem__vocab_init(vocab, arena, room, err));
    model->scores = tandem__arena_array(arena, json->count, sizeof *model->scores);
    if (model->scores == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for scores");
    double worst = 0;
    size_t count = 0;
    TANDEM_JSON_EACH(item, json) {
        TANDEM_TRY(read_piece(model, item, err));
        if (count == 0 || model->scores[count] < worst) worst = model->scores[count];
        count++;
    }
    model->unk_score = worst - UNKNOWN_PENALTY;
    const tandem_status status =
        tandem__piece_trie_init(&model->trie, vocab->text, vocab->words, count, arena, err);
    if (status != TANDEM_OK) return tandem__fail_prefix(err, status, "vocab");
    vocab->trie = &model->trie;
    tandem__vocab_seal(vocab);
    return TANDEM_OK;
}

static void find_bytes(unigram *model) {
    for (unsigned i = 0; i < 256; i++) {
        char name[16];
        const int len = snprintf(name, sizeof name, "<0x%02X>", i);
        model->bytes[i] = tandem__vocab_find(&model->vocab, (tandem_str){name, (size_t)len});
    }
}

static tandem_status unigram_read(const tandem_json *json, tandem_arena *arena, void *config,
                                  tandem_error *err) {
    unigram *const model = config;
    const tandem_json *const vocab = tandem__json_get(json, "vocab");
    if (vocab == NULL || vocab->kind != TANDEM_JSON_ARRAY) {
        return fail_field("vocab", vocab, "an array of pieces", err);
    }
    if (vocab->count > TANDEM_TOKEN_ID_MAX) {
        return fail_field("vocab", vocab, "at most 16777215 pieces", err);
    }
    if (vocab->count == 0) return fail_field("vocab", vocab, "at least one piece", err);
    int64_t unk_id = -1;
    TANDEM_TRY(tandem__json_read_int(json, "unk_id", 0, (int64_t)vocab->count - 1, &unk_id, err));
    TANDEM_TRY(tandem__json_read_bool(json, "byte_fallback", &model->falls_back, err));
    model->unk_id = (int32_t)unk_id;
    TANDEM_TRY(read_vocab(model, vocab, arena, err));
    find_bytes(model);
    return TANDEM_OK;
}

static void improve(lattice_node *nodes, uint32_t from, uint32_t to, double score, int32_t id) {
    const double sum = score + nodes[from].score;
    if (nodes[to].start != NOWHERE && sum <= nodes[to].score) return;
    nodes[to].score = sum;
    nodes[to].start = from;
    nodes[to].id = id;
}

/* All pieces that start at byte `at` of the word; whether its first character is one. */
static bool extend(const unigram *model, const uint8_t *word, uint32_t len, uint32_t at,
                   uint32_t char_end, lattice_node *nodes) {
    bool has_single = false;
    uint32_t node = model->trie.roots[word[at]];
    for (uint32_t end = at + 1; node != TANDEM_TRIE_NONE; end++) {
        const int32_t id = model->trie.nodes[node].id;
        if (id >= 0) {
            improve(nodes, at, end, model->scores[id], id);
            has_single |= end == char_end;
        }
        if (end == len) break;
        node = tandem__piece_trie_child(&model->trie, node, word[end]);
    }
    return has_single;
}

/* A run of unknown characters, by chance perhaps a piece. */
static void push_unknown(const unigram *model, const uint8_t *bytes, tandem_split span,
                         tandem_tokens *tokens) {
    const size_t len = span.end - span.start;
    const tandem_str text = {(const char *)bytes + span.start, len};
    const int32_t id = tandem__vocab_find(&model->vocab, text);
    bool falls_back = model->falls_back && id < 0;
    for (uint32_t i = span.start; i < span.end && falls_back; i++) {
        falls_back = model->bytes[bytes[i]] >= 0;
    }
    if (falls_back) {
        for (uint32_t i = span.start; i < span.end; i++) {
            tandem__tokens_push(tokens, model->bytes[bytes[i]], span);
        }
        return;
    }
    tandem__tokens_push(tokens, id >= 0 ? id : model->unk_id, span);
    if (id < 0) tandem__tokens_keep_text(tokens);
}

/* The best way, from its end to its start and back. */
static void push_best(const unigram *model, const uint8_t *bytes, tandem_split word,
                      lattice_node *nodes, tandem_tokens *tokens) {
    const uint32_t len = word.end - word.start;
    for (uint32_t at = len; at > 0; at = nodes[at].start) nodes[nodes[at].start].next = at;
    for (uint32_t at = 0; at < len;) {
        uint32_t end = nodes[at].next;
        const int32_t id = nodes[end].id;
        tandem_split span = {word.start + at, word.start + end};
        if (id != model->unk_id) {
            tandem__tokens_push(tokens, id, span);
        } else {
            while (end < len && nodes[nodes[end].next].id == id) end = nodes[end].next;
            span.end = word.start + end;
            push_unknown(model, bytes, span, tokens);
        }
        at = end;
    }
}

static tandem_status cut(const unigram *model, const uint8_t *bytes, tandem_split word,
                         tandem_tokens *tokens, tandem_error *err) {
    const uint32_t len = word.end - word.start;
    const uint8_t *const text = bytes + word.start;
    tokens->lattice.count = 0;
    TANDEM_TRY(tandem__array_reserve(&tokens->lattice, (size_t)len + 1, sizeof(lattice_node), err));
    TANDEM_TRY(tandem__tokens_reserve(tokens, len, err));
    lattice_node *const nodes = tokens->lattice.ptr;
    nodes[0].score = 0;
    for (uint32_t i = 0; i <= len; i++) nodes[i].start = NOWHERE;
    for (uint32_t at = 0; at < len;) {
        const uint8_t lead = text[at];
        const uint32_t end = at + (lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4);
        if (!extend(model, text, len, at, end, nodes)) {
            if (model->unk_id < 0) {
                return TANDEM_FAIL(err, FORMAT,
                                   "model.unk_id: absent, needed for a word of %u bytes", len);
            }
            improve(nodes, at, end, model->unk_score, model->unk_id);
        }
        at = end;
    }
    push_best(model, bytes, word, nodes, tokens);
    return TANDEM_OK;
}

static tandem_status unigram_tokenize(const void *config, const uint8_t *bytes,
                                      const tandem_split *splits, size_t count,
                                      tandem_tokens *tokens, tandem_error *err) {
    for (size_t i = 0; i < count; i++) {
        TANDEM_TRY(cut(config, bytes, splits[i], tokens, err));
        tokens->word++;
    }
    return TANDEM_OK;
}

static const tandem_vocab *unigram_vocab(const void *config) {
    return &((const unigram *)config)->vocab;
}

const tandem_model_type tandem__model_unigram_type = {
    .name = "Unigram",
    .config_bytes = sizeof(unigram),
    .read = unigram_read,
    .tokenize = unigram_tokenize,
    .vocab = unigram_vocab,
};
