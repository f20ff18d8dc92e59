/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <setjmp.h>
#include <stdalign.h>
#include <stdio.h>
#include <yajl/yajl_parse.h>

#include "base/fail.h"
#include "base/mem.h"
#include "base/number.h"
#include "base/utf8.h"

/* yajl does not look at what its allocator returns. So its blocks are kept in a list, and where one
 * cannot be had the parse is left by a jump and the list is freed. */
typedef struct yajl_block {
    struct yajl_block *previous;
    struct yajl_block *next;
    alignas(max_align_t) unsigned char bytes[];
} yajl_block;

typedef struct builder {
    tandem_str input;
    tandem_arena *arena;
    tandem_json *root;
    tandem_json *open[TANDEM_JSON_DEPTH_MAX]; /* containers from the root down */
    tandem_json *last[TANDEM_JSON_DEPTH_MAX]; /* newest child of each */
    uint32_t depth;
    tandem_str key; /* of the member that comes next */
    const tandem_json_large *large;
    bool is_strict;
    tandem_json *kept;    /* the container under way that stays text, or NULL */
    tandem_json *escaped; /* its newest string with an escape */
    uint32_t kept_depth;  /* containers open inside of it */
    tandem_status status;
    tandem_error *err;
    yajl_block *blocks; /* newest */
    jmp_buf no_memory;
} builder;

static int give_up(builder *b, tandem_status status) {
    b->status = status;
    return 0;
}

static int fail_bound(builder *b) {
    return give_up(b, TANDEM_FAIL(b->err, CAPACITY, "JSON document needs over %zu bytes",
                                  b->arena->bytes_max));
}

/* The bytes where they stand in the input, else a copy. */
static bool keep(builder *b, const unsigned char *bytes, size_t len, tandem_str *out) {
    const char *ptr = (const char *)bytes;
    const bool is_inside = ptr >= b->input.ptr && ptr + len <= b->input.ptr + b->input.len;
    if (!is_inside) ptr = tandem__arena_copy(b->arena, ptr, len);
    *out = (tandem_str){ptr, len};
    return ptr != NULL;
}

static tandem_json *add(builder *b, tandem_json_kind kind) {
    tandem_json *node = tandem__arena_alloc(b->arena, sizeof *node);
    if (node == NULL) {
        (void)fail_bound(b);
        return NULL;
    }
    node->kind = kind;
    if (b->depth == 0) {
        b->root = node;
        return node;
    }
    tandem_json *parent = b->open[b->depth - 1];
    tandem_json *last = b->last[b->depth - 1];
    if (parent->kind == TANDEM_JSON_OBJECT) node->key = b->key;
    if (last == NULL)
        parent->first = node;
    else
        last->next = node;
    b->last[b->depth - 1] = node;
    parent->count++;
    return node;
}

/* An item of a container that stays text, or something inside of one. */
static void count_kept(builder *b) {
    if (b->kept_depth == 0) b->kept->count++;
}

/* Its strings and keys: those that do not stand in the input as they are. */
static int keep_escaped(builder *b, const unsigned char *bytes, size_t len) {
    tandem_str text = {NULL, 0};
    if (!keep(b, bytes, len, &text)) return fail_bound(b);
    if (text.ptr == (const char *)bytes) return 1;
    tandem_json *node = tandem__arena_alloc(b->arena, sizeof *node);
    if (node == NULL) return fail_bound(b);
    *node = (tandem_json){.kind = TANDEM_JSON_STRING, .text = text};
    if (b->escaped == NULL)
        b->kept->escaped = node;
    else
        b->escaped->next = node;
    b->escaped = node;
    return 1;
}

static int on_null(void *ctx) {
    builder *b = ctx;
    if (b->kept == NULL) return add(b, TANDEM_JSON_NULL) != NULL;
    count_kept(b);
    return 1;
}

static int on_bool(void *ctx, int value) {
    builder *b = ctx;
    if (b->kept != NULL) {
        count_kept(b);
        return 1;
    }
    tandem_json *node = add(b, TANDEM_JSON_BOOL);
    if (node == NULL) return 0;
    node->count = value != 0;
    return 1;
}

static int on_text(builder *b, tandem_json_kind kind, const unsigned char *bytes, size_t len) {
    tandem_json *node = add(b, kind);
    if (node == NULL) return 0;
    return keep(b, bytes, len, &node->text) ? 1 : fail_bound(b);
}

static int on_number(void *ctx, const char *text, size_t len) {
    builder *b = ctx;
    if (b->kept == NULL) return on_text(b, TANDEM_JSON_NUMBER, (const unsigned char *)text, len);
    count_kept(b);
    return 1;
}

static int on_string(void *ctx, const unsigned char *bytes, size_t len) {
    builder *b = ctx;
    if (b->kept == NULL) return on_text(b, TANDEM_JSON_STRING, bytes, len);
    count_kept(b);
    return keep_escaped(b, bytes, len);
}

/* The key that comes next is new in its object. */
static int check_key(builder *b) {
    const tandem_json *parent = b->open[b->depth - 1];
    if (parent->count == TANDEM_JSON_MEMBERS_MAX)
        return give_up(b, TANDEM_FAIL(b->err, FORMAT, "a JSON object has over %d members",
                                      TANDEM_JSON_MEMBERS_MAX));
    for (const tandem_json *at = parent->first; at != NULL; at = at->next) {
        if (tandem__str_equal(at->key, b->key))
            return give_up(b, TANDEM_FAIL(b->err, FORMAT, "duplicate key \"%.*s\" in JSON",
                                          TANDEM_STR_ARG(b->key)));
    }
    return 1;
}

static int on_key(void *ctx, const unsigned char *bytes, size_t len) {
    builder *b = ctx;
    if (b->kept != NULL) return keep_escaped(b, bytes, len);
    if (!keep(b, bytes, len, &b->key)) return fail_bound(b);
    return b->is_strict ? check_key(b) : 1;
}

/* Whether the container that was just opened, in open[depth], is one that stays text. A key that is
 * written with escapes does not count. */
static bool is_large(const builder *b) {
    if (b->large == NULL || b->depth != 2 || b->open[1]->kind != TANDEM_JSON_OBJECT ||
        !tandem__str_is(b->open[1]->key, b->large->outer)) {
        return false;
    }
    const bool is_inside = b->key.ptr >= b->input.ptr && b->key.ptr < b->input.ptr + b->input.len;
    for (size_t i = 0; is_inside && b->large->inner[i] != NULL; i++) {
        if (tandem__str_is(b->key, b->large->inner[i])) return true;
    }
    return false;
}

/* The text of a member's container from its first item on: what follows the bracket. */
static tandem_str text_inside(const builder *b) {
    const char *at = b->key.ptr + b->key.len;
    while (*at != '[' && *at != '{') at++; /* quote, colon and white space: yajl has seen them */
    at++;
    return (tandem_str){at, (size_t)(b->input.ptr + b->input.len - at)};
}

static int on_open(builder *b, tandem_json_kind kind) {
    const uint32_t depth = b->depth + (b->kept == NULL ? 0 : 1 + b->kept_depth);
    if (depth == TANDEM_JSON_DEPTH_MAX) {
        return give_up(b, TANDEM_FAIL(b->err, FORMAT, "JSON is nested deeper than %d levels",
                                      TANDEM_JSON_DEPTH_MAX));
    }
    if (b->kept != NULL) {
        count_kept(b);
        b->kept_depth++;
        return 1;
    }
    tandem_json *node = add(b, kind);
    if (node == NULL) return 0;
    if (is_large(b)) {
        node->text = text_inside(b);
        b->kept = node;
        b->escaped = NULL;
        return 1;
    }
    b->open[b->depth] = node;
    b->last[b->depth] = NULL;
    b->depth++;
    return 1;
}

static int on_map(void *ctx) {
    return on_open(ctx, TANDEM_JSON_OBJECT);
}
static int on_array(void *ctx) {
    return on_open(ctx, TANDEM_JSON_ARRAY);
}

static int on_close(void *ctx) {
    builder *b = ctx;
    if (b->kept == NULL)
        b->depth--;
    else if (b->kept_depth > 0)
        b->kept_depth--;
    else
        b->kept = NULL;
    return 1;
}

static yajl_block *block_of(void *bytes) {
    return (yajl_block *)(void *)((unsigned char *)bytes - offsetof(yajl_block, bytes));
}

static void *block_resize(builder *b, yajl_block *old, size_t size) {
    const size_t header = offsetof(yajl_block, bytes);
    yajl_block *block = size > SIZE_MAX - header ? NULL : tandem__mem_realloc(old, header + size);
    if (block == NULL) longjmp(b->no_memory, 1);
    if (old == NULL) {
        *block = (yajl_block){.previous = b->blocks};
    }
    if (block->previous != NULL) block->previous->next = block;
    if (block->next != NULL)
        block->next->previous = block;
    else
        b->blocks = block;
    return block->bytes;
}

static void *yajl_get(void *ctx, size_t size) {
    return block_resize(ctx, NULL, size);
}

static void *yajl_resize(void *ctx, void *block, size_t size) {
    return block_resize(ctx, block == NULL ? NULL : block_of(block), size);
}

static void yajl_release(void *ctx, void *bytes) {
    builder *b = ctx;
    if (bytes == NULL) return;
    yajl_block *block = block_of(bytes);
    if (block->previous != NULL) block->previous->next = block->next;
    if (block->next != NULL)
        block->next->previous = block->previous;
    else
        b->blocks = block->previous;
    tandem__mem_free(block);
}

/* The code unit of an escape (backslash, u, four hex digits) at `at`, or 0 where there is none. */
static uint32_t escaped_unit(tandem_str text, size_t at) {
    if (text.len - at < 6 || text.ptr[at] != '\\' || text.ptr[at + 1] != 'u') return 0;
    uint32_t unit = 0;
    for (size_t i = at + 2; i < at + 6; i++) {
        const unsigned char c = (unsigned char)text.ptr[i];
        const uint32_t letter = (c | 0x20u) - 'a';
        const uint32_t digit = c >= '0' && c <= '9' ? c - (uint32_t)'0' : letter + 10;
        if (digit > 15) return 0;
        unit = unit << 4 | digit;
    }
    return unit;
}

/* Offset of the first escape that is half of a surrogate pair, `text.len` if there is none. yajl
 * would make another character of it without a word. */
static size_t find_lone_surrogate(tandem_str text) {
    for (size_t at = 0; at < text.len;) {
        const char *next = memchr(text.ptr + at, '\\', text.len - at);
        if (next == NULL) return text.len;
        at = (size_t)(next - text.ptr);
        const uint32_t unit = escaped_unit(text, at);
        if (unit >= 0xdc00 && unit <= 0xdfff) return at;
        if (unit >= 0xd800 && unit <= 0xdbff) {
            const uint32_t low = text.len - at > 6 ? escaped_unit(text, at + 6) : 0;
            if (low < 0xdc00 || low > 0xdfff) return at;
            at += 12;
        } else {
            at += 2;
        }
    }
    return text.len;
}

static tandem_status fail_at(tandem_str text, size_t at, const char *why, tandem_error *err) {
    size_t line = 1;
    size_t line_start = 0;
    if (at > text.len) at = text.len;
    for (size_t i = 0; i < at; i++) {
        if (text.ptr[i] == '\n') {
            line++;
            line_start = i + 1;
        }
    }
    return TANDEM_FAIL(err, FORMAT, "not valid JSON at line %zu, byte %zu: %s", line,
                       at - line_start + 1, why);
}

/* yajl's text is "parse error: why\n"; only the why is wanted. */
static tandem_status fail_yajl(yajl_handle handle, tandem_str text, tandem_error *err) {
    unsigned char *message = yajl_get_error(handle, 0, NULL, 0);
    char why[120] = "unexpected end";
    if (message != NULL) {
        const char *colon = strstr((const char *)message, ": ");
        const char *start = colon == NULL ? (const char *)message : colon + 2;
        const size_t len = strcspn(start, "\n");
        (void)snprintf(why, sizeof why, "%.*s", len > 100 ? 100 : (int)len, start);
        yajl_free_error(handle, message);
    }
    return fail_at(text, yajl_get_bytes_consumed(handle), why, err);
}

static const yajl_callbacks callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_bool,
    .yajl_number = on_number,
    .yajl_string = on_string,
    .yajl_start_map = on_map,
    .yajl_map_key = on_key,
    .yajl_end_map = on_close,
    .yajl_start_array = on_array,
    .yajl_end_array = on_close,
};

static void run_yajl(builder *b) {
    yajl_alloc_funcs heap = {
        .malloc = yajl_get, .realloc = yajl_resize, .free = yajl_release, .ctx = b};
    yajl_handle handle = yajl_alloc(&callbacks, &heap, b);
    (void)yajl_config(handle, yajl_dont_validate_strings, 1);
    yajl_status parsed = yajl_parse(handle, (const unsigned char *)b->input.ptr, b->input.len);
    if (parsed == yajl_status_ok) parsed = yajl_complete_parse(handle);
    if (b->status == TANDEM_OK && parsed != yajl_status_ok) {
        b->status = fail_yajl(handle, b->input, b->err);
    }
    yajl_free(handle);
}

/* False: yajl had no memory and was left where it stood. */
static bool run_guarded(builder *b) {
    if (setjmp(b->no_memory) != 0) return false;
    run_yajl(b);
    return true;
}

static tandem_status parse(builder *b, const tandem_json **root) {
    const tandem_str text = b->input;
    tandem_error *err = b->err;
    const size_t valid = tandem__utf8_valid_prefix((const uint8_t *)text.ptr, text.len);
    if (valid != text.len) return fail_at(text, valid, "byte is not UTF-8", err);
    const size_t lone = find_lone_surrogate(text);
    if (lone != text.len) {
        return fail_at(text, lone, "half of a surrogate pair, which is no character", err);
    }
    if (!run_guarded(b)) b->status = TANDEM_FAIL(err, MEMORY, "no memory for the JSON parser");
    while (b->blocks != NULL) yajl_release(b, b->blocks->bytes);
    if (b->status == TANDEM_OK && b->root == NULL) {
        b->status = fail_at(text, 0, "document is empty", err);
    }
    if (b->status == TANDEM_OK) *root = b->root;
    return b->status;
}

tandem_status tandem__json_parse(tandem_str text, tandem_arena *arena, const tandem_json **root,
                                 tandem_error *err) {
    return tandem__json_parse_large(text, NULL, arena, root, err);
}

tandem_status tandem__json_parse_strict(tandem_str text, tandem_arena *arena,
                                        const tandem_json **root, tandem_error *err) {
    builder b = {.input = text, .arena = arena, .is_strict = true, .err = err};
    return parse(&b, root);
}

tandem_status tandem__json_parse_large(tandem_str text, const tandem_json_large *large,
                                       tandem_arena *arena, const tandem_json **root,
                                       tandem_error *err) {
    builder b = {.input = text, .arena = arena, .large = large, .err = err};
    return parse(&b, root);
}
