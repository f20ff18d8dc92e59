/* SPDX-License-Identifier: Apache-2.0 */
/* The header of one safetensors file: read, checked against the file, listed.
 *
 * The header is parsed into a JSON tree in an arena of its own, which is dropped when the list is
 * made. Offsets are checked on the sorted list: in a valid file each tensor starts where the one
 * before it ends, which finds overlaps, holes and trailing bytes in one pass. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "base/fail.h"
#include "base/json.h"
#include "format/safetensors_internal.h"

#define HEADER_BYTES_MAX 100000000u        /* the format's own limit */
#define HEADER_TREE_MAX  ((size_t)1 << 28) /* bytes: some 400,000 tensors */
#define LENGTH_BYTES     8

/* Every dtype of the format; those that tandem can compute with have one of its own. */
static const struct {
    const char *word;
    unsigned bits; /* of one element */
    tandem_dtype dtype;
} dtypes[] = {
    {"F32", 32, TANDEM_DTYPE_F32},     {"F16", 16, TANDEM_DTYPE_F16},
    {"BF16", 16, TANDEM_DTYPE_BF16},   {"F64", 64, TANDEM_DTYPE_F64},
    {"I64", 64, TANDEM_DTYPE_I64},     {"I32", 32, TANDEM_DTYPE_I32},
    {"I8", 8, TANDEM_DTYPE_I8},        {"U8", 8, TANDEM_DTYPE_U8},
    {"BOOL", 8, TANDEM_DTYPE_BOOL},    {"F8_E4M3", 8, TANDEM_DTYPE_FP8},
    {"F8_E5M2", 8, TANDEM_DTYPE_AUTO}, {"F8_E8M0", 8, TANDEM_DTYPE_AUTO},
    {"I16", 16, TANDEM_DTYPE_AUTO},    {"U16", 16, TANDEM_DTYPE_AUTO},
    {"U32", 32, TANDEM_DTYPE_AUTO},    {"U64", 64, TANDEM_DTYPE_AUTO},
    {"C64", 64, TANDEM_DTYPE_AUTO},    {"F6_E2M3", 6, TANDEM_DTYPE_AUTO},
    {"F6_E3M2", 6, TANDEM_DTYPE_AUTO}, {"F4", 4, TANDEM_DTYPE_AUTO},
};
#define DTYPE_COUNT (sizeof dtypes / sizeof dtypes[0])

/* The bytes after the header. */
typedef struct data_span {
    const uint8_t *data;
    size_t len;
} data_span;

static tandem_status read_dtype(const tandem_json *node, tandem_tensor *tensor, unsigned *bits,
                                tandem_error *err) {
    if (node != NULL && node->kind == TANDEM_JSON_STRING) {
        for (size_t i = 0; i < DTYPE_COUNT; i++) {
            if (!tandem__str_is(node->text, dtypes[i].word)) continue;
            tensor->dtype = dtypes[i].dtype;
            tensor->dtype_word = dtypes[i].word;
            *bits = dtypes[i].bits;
            return TANDEM_OK;
        }
    }
    return TANDEM_FAIL(err, FORMAT, "%.*s: dtype: %s, expected F32, F16, BF16 or another known one",
                       TANDEM_STR_ARG(tensor->name), tandem__json_label(node).text);
}

static tandem_status read_shape(const tandem_json *node, tandem_tensor *tensor, tandem_error *err) {
    if (node == NULL || node->kind != TANDEM_JSON_ARRAY || node->count > TANDEM_TENSOR_RANK_MAX) {
        return TANDEM_FAIL(err, FORMAT, "%.*s: shape: %s, expected an array of at most %d sizes",
                           TANDEM_STR_ARG(tensor->name), tandem__json_label(node).text,
                           TANDEM_TENSOR_RANK_MAX);
    }
    TANDEM_JSON_EACH(item, node) {
        int64_t size = 0;
        if (!tandem__json_to_int(item, &size) || size < 0) {
            return TANDEM_FAIL(err, FORMAT, "%.*s: shape: %s, expected an integer from 0",
                               TANDEM_STR_ARG(tensor->name), tandem__json_label(item).text);
        }
        tensor->shape[tensor->rank] = size;
        tensor->rank++;
    }
    return TANDEM_OK;
}

/* Bytes of a shape, or false where they pass 64 bits or are no whole number. */
static bool shape_bytes(const tandem_tensor *tensor, unsigned bits, uint64_t *bytes) {
    uint64_t product = bits;
    for (int i = 0; i < tensor->rank; i++) {
        const uint64_t size = (uint64_t)tensor->shape[i];
        if (size != 0 && product > UINT64_MAX / size) return false;
        product *= size;
    }
    *bytes = product / 8;
    return product % 8 == 0;
}

static tandem_status read_offsets(const tandem_json *node, data_span body, tandem_tensor *tensor,
                                  tandem_error *err) {
    int64_t begin = -1;
    int64_t end = -1;
    const bool is_pair = node != NULL && node->kind == TANDEM_JSON_ARRAY && node->count == 2 &&
                         tandem__json_to_int(node->first, &begin) &&
                         tandem__json_to_int(node->first->next, &end);
    if (!is_pair || begin < 0 || end < begin) {
        return TANDEM_FAIL(err, FORMAT, "%.*s: data_offsets: %s, expected [begin, end]",
                           TANDEM_STR_ARG(tensor->name), tandem__json_label(node).text);
    }
    if ((uint64_t)end > body.len) {
        return TANDEM_FAIL(err, FORMAT,
                           "%.*s: ends at byte %" PRId64
                           " of the data, but the file has %zu: it is truncated",
                           TANDEM_STR_ARG(tensor->name), end, body.len);
    }
    tensor->data = body.data + begin;
    tensor->bytes = (size_t)(end - begin);
    return TANDEM_OK;
}

static tandem_status read_tensor(const tandem_json *node, data_span body, tandem_tensor *tensor,
                                 tandem_error *err) {
    if (node->kind != TANDEM_JSON_OBJECT) {
        return TANDEM_FAIL(err, FORMAT,
                           "%.*s: %s, expected an object with dtype, shape and "
                           "data_offsets",
                           TANDEM_STR_ARG(tensor->name), tandem__json_label(node).text);
    }
    unsigned bits = 0;
    TANDEM_TRY(read_dtype(tandem__json_get(node, "dtype"), tensor, &bits, err));
    TANDEM_TRY(read_shape(tandem__json_get(node, "shape"), tensor, err));
    TANDEM_TRY(read_offsets(tandem__json_get(node, "data_offsets"), body, tensor, err));
    uint64_t bytes = 0;
    if (!shape_bytes(tensor, bits, &bytes)) {
        return TANDEM_FAIL(err, FORMAT,
                           "%.*s: shape times dtype %s is no whole number of bytes "
                           "in 64 bits",
                           TANDEM_STR_ARG(tensor->name), tensor->dtype_word);
    }
    if (bytes != tensor->bytes) {
        return TANDEM_FAIL(err, FORMAT,
                           "%.*s: data_offsets: %zu bytes, expected %" PRIu64
                           " from its shape and dtype %s",
                           TANDEM_STR_ARG(tensor->name), tensor->bytes, bytes, tensor->dtype_word);
    }
    return TANDEM_OK;
}

static int compare_data(const void *a, const void *b) {
    const tandem_tensor *x = a;
    const tandem_tensor *y = b;
    if (x->data != y->data) return (const uint8_t *)x->data < (const uint8_t *)y->data ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static tandem_status check_tiling(const tandem_tensor *tensors, size_t count, data_span body,
                                  tandem_error *err) {
    size_t end = 0;
    for (size_t i = 0; i < count; i++) {
        const size_t begin = (size_t)((const uint8_t *)tensors[i].data - body.data);
        if (begin != end) {
            return TANDEM_FAIL(err, FORMAT,
                               "%.*s: starts at byte %zu of the data, expected %zu: "
                               "tensors %s",
                               TANDEM_STR_ARG(tensors[i].name), begin, end,
                               begin < end ? "overlap" : "leave a hole");
        }
        end += tensors[i].bytes;
    }
    if (end != body.len) {
        return TANDEM_FAIL(err, FORMAT, "%zu bytes of data, but the tensors fill %zu", body.len,
                           end);
    }
    return TANDEM_OK;
}

static tandem_status list_tensors(const tandem_json *root, data_span body, const char *path,
                                  tandem_arena *arena, tandem_tensor **tensors, size_t *count,
                                  tandem_error *err) {
    tandem_tensor *list = tandem__arena_array(arena, root->count, sizeof *list);
    if (list == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for %u tensors", root->count);
    size_t used = 0;
    TANDEM_JSON_EACH(item, root) {
        if (tandem__str_is(item->key, "__metadata__")) {
            if (item->kind == TANDEM_JSON_OBJECT) continue;
            return TANDEM_FAIL(err, FORMAT, "__metadata__: %s, expected an object",
                               tandem__json_label(item).text);
        }
        tandem_tensor *tensor = &list[used];
        const char *name = tandem__arena_copy(arena, item->key.ptr, item->key.len);
        if (name == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for tensor names");
        tensor->name = (tandem_str){name, item->key.len};
        tensor->path = path;
        TANDEM_TRY(read_tensor(item, body, tensor, err));
        used++;
    }
    if (used > 0) qsort(list, used, sizeof *list, compare_data);
    TANDEM_TRY(check_tiling(list, used, body, err));
    *tensors = list;
    *count = used;
    return TANDEM_OK;
}

static tandem_status split(const uint8_t *bytes, size_t len, tandem_str *header, data_span *body,
                           tandem_error *err) {
    if (len < LENGTH_BYTES) {
        return TANDEM_FAIL(err, FORMAT, "%zu bytes, expected a safetensors file of at least %d",
                           len, LENGTH_BYTES);
    }
    if (memcmp(bytes, "version ", LENGTH_BYTES) == 0) {
        return TANDEM_FAIL(err, FORMAT,
                           "is a git-lfs pointer and not the file itself: run "
                           "`git lfs pull`");
    }
    uint64_t size = 0;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--) size = size << 8 | bytes[i];
    if (size > HEADER_BYTES_MAX) {
        return TANDEM_FAIL(err, FORMAT,
                           "header of %" PRIu64 " bytes, expected at most %u: this is "
                           "no safetensors file",
                           size, HEADER_BYTES_MAX);
    }
    if (size > len - LENGTH_BYTES) {
        return TANDEM_FAIL(err, FORMAT,
                           "header of %" PRIu64 " bytes, but only %zu follow: the "
                           "file is truncated",
                           size, len - LENGTH_BYTES);
    }
    *header = (tandem_str){(const char *)bytes + LENGTH_BYTES, (size_t)size};
    body->data = bytes + LENGTH_BYTES + size;
    body->len = len - LENGTH_BYTES - (size_t)size;
    return TANDEM_OK;
}

tandem_status tandem__safetensors_parse(const uint8_t *bytes, size_t len, const char *path,
                                        tandem_arena *arena, tandem_tensor **tensors, size_t *count,
                                        tandem_error *err) {
    tandem_str header = {NULL, 0};
    data_span body = {NULL, 0};
    TANDEM_TRY(split(bytes, len, &header, &body, err));
    tandem_arena scratch;
    tandem__arena_init(&scratch, HEADER_TREE_MAX);
    const tandem_json *root = NULL;
    tandem_status status = tandem__json_parse(header, &scratch, &root, err);
    if (status != TANDEM_OK) {
        (void)tandem__fail_prefix(err, status, "header");
    } else if (root->kind != TANDEM_JSON_OBJECT) {
        status = TANDEM_FAIL(err, FORMAT, "header: %s, expected an object",
                             tandem__json_label(root).text);
    } else {
        status = list_tensors(root, body, path, arena, tensors, count, err);
    }
    tandem__arena_deinit(&scratch);
    return status;
}
