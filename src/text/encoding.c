/* SPDX-License-Identifier: Apache-2.0 */
/* Windows of a template. A template that names a text of several windows gives one window for
 * each choice; with two texts, for each pair of choices. The reference merges piece by piece,
 * which comes down to this order: first everything of first choices, then the choices sorted by
 * the place of the first piece that differs from it, then as numbers are:
 *
 *     A0 B0,  A1 B0, A1 B1, A2 B0, A2 B1,  A0 B1 */
#include "text/encoding.h"

#include <string.h>

#include "base/assert.h"
#include "base/fail.h"
#include "base/mem.h"
#include "text/trim.h"

typedef struct assembly {
    struct tandem_encoding_memory *memory;
    const tandem_post *post;
    const tandem_post_template *template;
    uint32_t *choice; /* [pieces] */
    bool wants_offsets;
    tandem_error *err;
} assembly;

static size_t window_count(const assembly *a, uint32_t piece) {
    const int32_t sequence = a->template->pieces[piece].sequence;
    return sequence < 0 ? 1 : a->memory->windows[sequence].count;
}

static tandem_split window_of(const assembly *a, uint32_t piece) {
    const int32_t sequence = a->template->pieces[piece].sequence;
    return ((const tandem_split *)a->memory->windows[sequence].ptr)[a->choice[piece]];
}

static tandem_status reserve(assembly *a, size_t more) {
    struct tandem_encoding_memory *const m = a->memory;
    if (more > (size_t)INT32_MAX - m->ids.count) {
        return TANDEM_FAIL(a->err, CAPACITY, "windows of over %d tokens in all", INT32_MAX);
    }
    /* The arrays grow together; ids alone keeps count. */
    const struct {
        tandem_array *array;
        size_t item_bytes;
    } arrays[] = {
        {&m->ids, sizeof(int32_t)},       {&m->types, sizeof(int32_t)},
        {&m->bytes, sizeof(tandem_span)}, {&m->chars, sizeof(tandem_span)},
        {&m->words, sizeof(int32_t)},     {&m->special, sizeof(uint8_t)},
        {&m->texts, sizeof(int32_t)},
    };
    const size_t used = a->wants_offsets ? sizeof arrays / sizeof arrays[0] : 2;
    for (size_t i = 0; i < used; i++) {
        arrays[i].array->count = m->ids.count;
        TANDEM_TRY(tandem__array_reserve(arrays[i].array, more, arrays[i].item_bytes, a->err));
    }
    return TANDEM_OK;
}

static void put_specials(assembly *a, const tandem_post_piece *piece) {
    struct tandem_encoding_memory *const m = a->memory;
    for (uint32_t i = 0; i < piece->count; i++) {
        const uint32_t index = piece->first + i;
        const size_t at = m->ids.count++;
        ((int32_t *)m->ids.ptr)[at] = a->post->specials[index].id;
        ((int32_t *)m->types.ptr)[at] = piece->type;
        if (!a->wants_offsets) continue;
        ((tandem_span *)m->bytes.ptr)[at] = (tandem_span){0, 0};
        ((tandem_span *)m->chars.ptr)[at] = (tandem_span){0, 0};
        ((int32_t *)m->words.ptr)[at] = -1;
        ((uint8_t *)m->special.ptr)[at] = 1;
        ((int32_t *)m->texts.ptr)[at] = TANDEM_TOKEN_TEXT_SPECIAL - (int32_t)index;
    }
}

/* Spans of tokens have unsigned halves, public ones signed: texts are at most 1 GiB. */
_Static_assert(sizeof(tandem_split) == sizeof(tandem_span), "spans are copied as they are");

static void put_sequence(assembly *a, uint32_t index) {
    struct tandem_encoding_memory *const m = a->memory;
    const tandem_post_piece *const piece = &a->template->pieces[index];
    const tandem_tokens *const tokens = &m->tokens[piece->sequence];
    const tandem_split window = window_of(a, index);
    const size_t count = window.end - window.start;
    const int32_t type = a->choice[index] == 0 ? piece->type : piece->type_overflow;
    const size_t at = m->ids.count;
    m->ids.count += count;
    if (count == 0) return;
    int32_t *const types = (int32_t *)m->types.ptr + at;
    for (size_t i = 0; i < count; i++) types[i] = type;
    memcpy((int32_t *)m->ids.ptr + at, (const int32_t *)tokens->ids.ptr + window.start,
           count * sizeof(int32_t));
    if (!a->wants_offsets) return;
    memcpy((tandem_span *)m->bytes.ptr + at, (const tandem_split *)tokens->spans.ptr + window.start,
           count * sizeof(tandem_span));
    memcpy((tandem_span *)m->chars.ptr + at, (const tandem_split *)tokens->chars.ptr + window.start,
           count * sizeof(tandem_span));
    memcpy((int32_t *)m->words.ptr + at, (const int32_t *)tokens->words.ptr + window.start,
           count * sizeof(int32_t));
    memcpy((int32_t *)m->texts.ptr + at, (const int32_t *)tokens->texts.ptr + window.start,
           count * sizeof(int32_t));
    memset((uint8_t *)m->special.ptr + at, 0, count);
}

/* The spans that put_sequence has put last. */
static void trim_spans(assembly *a, uint32_t index) {
    struct tandem_encoding_memory *const m = a->memory;
    const tandem_tokens *const tokens = &m->tokens[a->template->pieces[index].sequence];
    const tandem_split part = window_of(a, index);
    const size_t count = part.end - part.start;
    if (count == 0) return;
    const size_t at = m->ids.count - count;
    const tandem_trim_window window = {
        .text = tokens->text,
        .trims = (const tandem_trim *)tokens->trims.ptr + part.start,
        .bytes = (tandem_span *)m->bytes.ptr + at,
        .chars = (tandem_span *)m->chars.ptr + at,
        .count = count,
    };
    for (uint32_t i = 0; i < a->post->trims_count; i++) {
        tandem__trim_apply(&window, a->post->trims_keep_first[i]);
    }
}

/* One window, of the present choice. */
static tandem_status put_window(assembly *a) {
    const tandem_post_template *const template = a->template;
    size_t count = template->special_count;
    for (uint32_t i = 0; i < template->count; i++) {
        if (template->pieces[i].sequence < 0) continue;
        const tandem_split window = window_of(a, i);
        count += window.end - window.start;
    }
    TANDEM_TRY(reserve(a, count));
    for (uint32_t i = 0; i < template->count; i++) {
        if (template->pieces[i].sequence < 0) {
            put_specials(a, &template->pieces[i]);
            continue;
        }
        put_sequence(a, i);
        if (a->wants_offsets && a->post->trims_count > 0) trim_spans(a, i);
    }
    tandem_array *const starts = &a->memory->starts;
    TANDEM_TRY(tandem__array_reserve(starts, 1, sizeof(int32_t), a->err));
    ((int32_t *)starts->ptr)[starts->count++] = (int32_t)a->memory->ids.count;
    return TANDEM_OK;
}

/* Counts the pieces from `first` on up, the last one fastest; false after the last choice. */
static bool next_choice(assembly *a, uint32_t first) {
    for (uint32_t i = a->template->count; i-- > first;) {
        a->choice[i]++;
        if (a->choice[i] < window_count(a, i)) return true;
        a->choice[i] = 0;
    }
    return false;
}

/* All choices in which `differs` is the first piece that is not at its first window. */
static tandem_status put_overflow(assembly *a, uint32_t differs) {
    if (window_count(a, differs) < 2) return TANDEM_OK;
    a->choice[differs] = 1;
    do {
        TANDEM_TRY(put_window(a));
    } while (next_choice(a, differs));
    return TANDEM_OK;
}

static void publish(tandem_encoding *encoding, bool wants_offsets) {
    const struct tandem_encoding_memory *const m = encoding->memory;
    encoding->ids = m->ids.ptr;
    encoding->types = m->types.ptr;
    encoding->bytes = wants_offsets ? m->bytes.ptr : NULL;
    encoding->chars = wants_offsets ? m->chars.ptr : NULL;
    encoding->words = wants_offsets ? m->words.ptr : NULL;
    encoding->special = wants_offsets ? m->special.ptr : NULL;
    encoding->starts = m->starts.ptr;
    encoding->count = (int32_t)m->ids.count;
    encoding->windows = (int32_t)m->starts.count - 1;
}

tandem_status tandem__encoding_assemble(tandem_encoding *encoding, const tandem_post *post,
                                        const tandem_post_template *template, bool wants_offsets,
                                        tandem_error *err) {
    struct tandem_encoding_memory *const m = encoding->memory;
    assembly a = {.memory = m,
                  .post = post,
                  .template = template,
                  .wants_offsets = wants_offsets,
                  .err = err};
    m->ids.count = 0;
    m->starts.count = 0;
    m->choice.count = 0;
    TANDEM_TRY(reserve(&a, 1)); /* so that the arrays of an empty result are not NULL */
    TANDEM_TRY(tandem__array_reserve(&m->starts, 1, sizeof(int32_t), err));
    ((int32_t *)m->starts.ptr)[m->starts.count++] = 0;
    TANDEM_TRY(tandem__array_reserve(&m->choice, template->count + 1, sizeof(uint32_t), err));
    a.choice = m->choice.ptr;
    memset(a.choice, 0, template->count * sizeof(uint32_t));
    TANDEM_TRY(put_window(&a));
    for (uint32_t i = 0; i < template->count; i++) TANDEM_TRY(put_overflow(&a, i));
    publish(encoding, wants_offsets);
    return TANDEM_OK;
}

void tandem__encoding_clear(tandem_encoding *encoding) {
    *encoding = (tandem_encoding){.memory = encoding->memory};
}

static void tokens_deinit(tandem_tokens *tokens) {
    tandem__array_deinit(&tokens->ids);
    tandem__array_deinit(&tokens->spans);
    tandem__array_deinit(&tokens->chars);
    tandem__array_deinit(&tokens->words);
    tandem__array_deinit(&tokens->texts);
    tandem__array_deinit(&tokens->trims);
    tandem__array_deinit(&tokens->lattice);
    tandem__array_deinit(&tokens->merging);
}

void tandem_encoding_deinit(tandem_encoding *encoding) {
    if (encoding == NULL) return;
    struct tandem_encoding_memory *const m = encoding->memory;
    if (m != NULL) {
        tandem__normalized_deinit(&m->normalized);
        tandem__normalizer_scratch_deinit(&m->normalizer);
        tandem__pretokenizer_scratch_deinit(&m->pretokenizer);
        for (int i = 0; i < 2; i++) {
            tokens_deinit(&m->tokens[i]);
            tandem__array_deinit(&m->windows[i]);
        }
        tandem_array *const arrays[] = {&m->token_texts, &m->ids,   &m->types,   &m->bytes,
                                        &m->chars,       &m->words, &m->special, &m->texts,
                                        &m->starts,      &m->choice};
        for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) {
            tandem__array_deinit(arrays[i]);
        }
        tandem__mem_free(m);
    }
    *encoding = (tandem_encoding){0};
}
