/* SPDX-License-Identifier: Apache-2.0 */
/* WordPiece, BPEDecoder, Metaspace, Replace, Strip, Fuse: decoders that go token by token. */
#include "base/fail.h"
#include "text/decoder.h"
#include "text/part_json.h"
#include "text/pretokenizer.h"

typedef struct wordpiece {
    tandem_str prefix;
    bool cleans;
} wordpiece;

typedef struct strip {
    tandem_str content; /* one character */
    int64_t start;      /* so many at most */
    int64_t stop;
} strip;

static tandem_status wordpiece_read(const tandem_json *json, tandem_arena *arena, void *config,
                                    tandem_error *err) {
    wordpiece *const w = config;
    const tandem_json *const field = tandem__json_get(json, "cleanup");
    if (field == NULL || field->kind != TANDEM_JSON_BOOL) {
        const tandem_json_label label = tandem__json_label(field);
        return TANDEM_FAIL(err, FORMAT, "cleanup: %s, expected true or false", label.text);
    }
    w->cleans = field->count != 0;
    return tandem__part_text(json, "prefix", arena, &w->prefix, err);
}

/* Takes spaces out that tokenizing put before punctuation and endings, one rule after the other
 * as the reference does. No rule makes text longer. Returns the bytes left. */
static size_t clean_up(char *text, size_t len) {
    static const char *const rules[][2] = {
        {" .", "."},   {" ?", "?"},     {" !", "!"},     {" ,", ","},
        {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},   {" do not", " don't"},
        {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        const tandem_str from = tandem__str(rules[i][0]);
        const tandem_str to = tandem__str(rules[i][1]);
        size_t kept = 0;
        for (size_t at = 0; at < len;) {
            if (len - at >= from.len && memcmp(text + at, from.ptr, from.len) == 0) {
                memcpy(text + kept, to.ptr, to.len);
                kept += to.len;
                at += from.len;
            } else {
                text[kept++] = text[at++];
            }
        }
        len = kept;
    }
    return len;
}

static tandem_status wordpiece_decode(const void *config, const tandem_pieces *in,
                                      tandem_pieces *out, tandem_decoder_scratch *scratch,
                                      tandem_error *err) {
    (void)scratch;
    const wordpiece *const w = config;
    for (size_t i = 0; i < tandem__pieces_count(in); i++) {
        tandem_str text = tandem__pieces_at(in, i);
        const size_t start = out->bytes.count;
        const bool continues = i > 0 && text.len >= w->prefix.len &&
                               memcmp(text.ptr, w->prefix.ptr, w->prefix.len) == 0;
        if (continues) {
            text.ptr += w->prefix.len;
            text.len -= w->prefix.len;
        } else if (i > 0) {
            TANDEM_TRY(tandem__pieces_put(out, TANDEM_STR(" "), err));
        }
        TANDEM_TRY(tandem__pieces_put(out, text, err));
        if (w->cleans && out->bytes.count > start) {
            char *const made = (char *)out->bytes.ptr + start;
            out->bytes.count = start + clean_up(made, out->bytes.count - start);
        }
        TANDEM_TRY(tandem__pieces_end(out, err));
    }
    return TANDEM_OK;
}

const tandem_decoder_type tandem__decoder_wordpiece_type = {
    .name = "WordPiece",
    .config_bytes = sizeof(wordpiece),
    .read = wordpiece_read,
    .decode = wordpiece_decode,
};

static tandem_status bpe_read(const tandem_json *json, tandem_arena *arena, void *config,
                              tandem_error *err) {
    tandem_str *const suffix = config;
    TANDEM_TRY(tandem__part_text(json, "suffix", arena, suffix, err));
    if (suffix->len > 0) return TANDEM_OK;
    return TANDEM_FAIL(err, UNSUPPORTED, "suffix: empty, expected a text");
}

/* The text with another in the place of `from`, as a piece. */
static tandem_status put_replaced(tandem_pieces *out, tandem_str text, tandem_str from,
                                  tandem_str to, tandem_error *err) {
    const uint8_t *const bytes = (const uint8_t *)text.ptr;
    size_t done = 0;
    for (;;) {
        const size_t at = tandem__bytes_find(bytes, text.len, done, from);
        TANDEM_TRY(tandem__pieces_put(out, (tandem_str){text.ptr + done, at - done}, err));
        if (at == text.len) break;
        TANDEM_TRY(tandem__pieces_put(out, to, err));
        done = at + from.len;
    }
    return tandem__pieces_end(out, err);
}

static tandem_status bpe_decode(const void *config, const tandem_pieces *in, tandem_pieces *out,
                                tandem_decoder_scratch *scratch, tandem_error *err) {
    (void)scratch;
    const tandem_str *const suffix = config;
    const size_t count = tandem__pieces_count(in);
    for (size_t i = 0; i < count; i++) {
        const tandem_str gap = i + 1 == count ? TANDEM_STR("") : TANDEM_STR(" ");
        TANDEM_TRY(put_replaced(out, tandem__pieces_at(in, i), *suffix, gap, err));
    }
    return TANDEM_OK;
}

const tandem_decoder_type tandem__decoder_bpe_type = {
    .name = "BPEDecoder",
    .config_bytes = sizeof(tandem_str),
    .read = bpe_read,
    .decode = bpe_decode,
};

/* The settings are those of the pre-tokenizer. */
static tandem_status metaspace_read(const tandem_json *json, tandem_arena *arena, void *config,
                                    tandem_error *err) {
    void **const settings = config;
    *settings = tandem__arena_alloc(arena, tandem__pretokenizer_metaspace_type.config_bytes);
    if (*settings == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for settings");
    return tandem__pretokenizer_metaspace_type.read(json, arena, *settings, err);
}

static tandem_status metaspace_decode(const void *config, const tandem_pieces *in,
                                      tandem_pieces *out, tandem_decoder_scratch *scratch,
                                      tandem_error *err) {
    (void)scratch;
    bool prepends = false;
    const tandem_str mark = tandem__metaspace_mark(*(void *const *)config, &prepends);
    for (size_t i = 0; i < tandem__pieces_count(in); i++) {
        const tandem_str gap = i == 0 && prepends ? TANDEM_STR("") : TANDEM_STR(" ");
        TANDEM_TRY(put_replaced(out, tandem__pieces_at(in, i), mark, gap, err));
    }
    return TANDEM_OK;
}

const tandem_decoder_type tandem__decoder_metaspace_type = {
    .name = "Metaspace",
    .config_bytes = sizeof(void *),
    .read = metaspace_read,
    .decode = metaspace_decode,
};

static tandem_status replace_read(const tandem_json *json, tandem_arena *arena, void *config,
                                  tandem_error *err) {
    tandem_normalizer *const replace = config;
    replace->type = &tandem__normalizer_replace_type;
    replace->config = tandem__arena_alloc(arena, replace->type->config_bytes);
    if (replace->config == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for settings");
    return replace->type->read(json, arena, replace->config, err);
}

/* As the normalizer does it, token by token. */
static tandem_status replace_decode(const void *config, const tandem_pieces *in, tandem_pieces *out,
                                    tandem_decoder_scratch *scratch, tandem_error *err) {
    for (size_t i = 0; i < tandem__pieces_count(in); i++) {
        const tandem_str text = tandem__pieces_at(in, i);
        const tandem_view view = {.bytes = (const uint8_t *)text.ptr, .len = text.len};
        TANDEM_TRY(tandem__normalizer_apply(config, view, false, &scratch->replaced,
                                            &scratch->normalizer, err));
        const tandem_str made = {scratch->replaced.bytes.ptr, scratch->replaced.bytes.count};
        TANDEM_TRY(tandem__pieces_put(out, made, err));
        TANDEM_TRY(tandem__pieces_end(out, err));
    }
    return TANDEM_OK;
}

const tandem_decoder_type tandem__decoder_replace_type = {
    .name = "Replace",
    .config_bytes = sizeof(tandem_normalizer),
    .read = replace_read,
    .decode = replace_decode,
};

static tandem_status strip_read(const tandem_json *json, tandem_arena *arena, void *config,
                                tandem_error *err) {
    strip *const s = config;
    TANDEM_TRY(tandem__part_text(json, "content", arena, &s->content, err));
    if (tandem__utf8_count((const uint8_t *)s->content.ptr, s->content.len) != 1) {
        return TANDEM_FAIL(err, FORMAT, "content: \"%.*s\", expected one character",
                           TANDEM_STR_ARG(s->content));
    }
    TANDEM_TRY(tandem__json_read_int(json, "start", 0, INT32_MAX, &s->start, err));
    return tandem__json_read_int(json, "stop", 0, INT32_MAX, &s->stop, err);
}

static tandem_status strip_decode(const void *config, const tandem_pieces *in, tandem_pieces *out,
                                  tandem_decoder_scratch *scratch, tandem_error *err) {
    (void)scratch;
    const strip *const s = config;
    const size_t step = s->content.len;
    for (size_t i = 0; i < tandem__pieces_count(in); i++) {
        tandem_str text = tandem__pieces_at(in, i);
        for (int64_t n = 0; n < s->start && text.len >= step; n++) {
            if (memcmp(text.ptr, s->content.ptr, step) != 0) break;
            text.ptr += step;
            text.len -= step;
        }
        for (int64_t n = 0; n < s->stop && text.len >= step; n++) {
            if (memcmp(text.ptr + text.len - step, s->content.ptr, step) != 0) break;
            text.len -= step;
        }
        TANDEM_TRY(tandem__pieces_put(out, text, err));
        TANDEM_TRY(tandem__pieces_end(out, err));
    }
    return TANDEM_OK;
}

const tandem_decoder_type tandem__decoder_strip_type = {
    .name = "Strip",
    .config_bytes = sizeof(strip),
    .read = strip_read,
    .decode = strip_decode,
};

static tandem_status fuse_read(const tandem_json *json, tandem_arena *arena, void *config,
                               tandem_error *err) {
    (void)json;
    (void)arena;
    (void)config;
    (void)err;
    return TANDEM_OK;
}

static tandem_status fuse_decode(const void *config, const tandem_pieces *in, tandem_pieces *out,
                                 tandem_decoder_scratch *scratch, tandem_error *err) {
    (void)config;
    (void)scratch;
    TANDEM_TRY(tandem__pieces_put(out, (tandem_str){in->bytes.ptr, in->bytes.count}, err));
    return tandem__pieces_end(out, err);
}

const tandem_decoder_type tandem__decoder_fuse_type = {
    .name = "Fuse",
    .config_bytes = 0,
    .read = fuse_read,
    .decode = fuse_decode,
};
