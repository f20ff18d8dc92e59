/* SPDX-License-Identifier: Apache-2.0 */
/* The package around the program: Manifest.json, and the blobs of weight.bin.
 *
 *     weight.bin   [count u32][version u32 = 2][zeros]                            64 bytes
 *     a blob       [0xDEADBEEF u32][type u32][bytes u64][data offset u64]         64 bytes
 *                  [padding bits u64][zeros] [data]                               64-aligned
 *
 * The program names a blob by the offset of its metadata. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "apple/mil_run_internal.h"
#include "base/json.h"

#define BLOB_ALIGNMENT 64
#define BLOB_VERSION   2
#define BLOB_SENTINEL  0xDEADBEEF
#define BLOBS_MAX      100000
#define MODEL_PATH     "com.apple.CoreML/model.mlmodel"

typedef struct blob {
    uint32_t sentinel;
    uint32_t type;
    uint64_t bytes;
    uint64_t offset;
    uint64_t padding_bits;
    uint64_t zeros[4];
} blob;

_Static_assert(sizeof(blob) == BLOB_ALIGNMENT, "the file's layout");

static uint64_t aligned(uint64_t at) {
    return (at + BLOB_ALIGNMENT - 1) / BLOB_ALIGNMENT * BLOB_ALIGNMENT;
}

static tandem_status check_blob(const mil_run *run, uint64_t at, blob *out, tandem_error *err) {
    static const uint64_t zeros[4] = {0};
    MIL_RUN_CHECK(at + sizeof *out <= run->weights.len, "blob at %llu: the file ends at %zu",
                  (unsigned long long)at, run->weights.len);
    memcpy(out, run->weights.bytes + at, sizeof *out);
    MIL_RUN_CHECK(out->sentinel == BLOB_SENTINEL, "blob at %llu: begins with %08x",
                  (unsigned long long)at, out->sentinel);
    MIL_RUN_CHECK(out->type == 1 || out->type == 2, "blob at %llu: type %u is not known here",
                  (unsigned long long)at, out->type);
    MIL_RUN_CHECK(out->offset == at + sizeof *out, "blob at %llu: its data is said to be at %llu",
                  (unsigned long long)at, (unsigned long long)out->offset);
    MIL_RUN_CHECK(out->bytes > 0 && out->bytes <= run->weights.len - out->offset,
                  "blob at %llu: %llu bytes in a file of %zu", (unsigned long long)at,
                  (unsigned long long)out->bytes, run->weights.len);
    MIL_RUN_CHECK(out->padding_bits == 0 && memcmp(out->zeros, zeros, sizeof zeros) == 0,
                  "blob at %llu: its reserved fields are not 0", (unsigned long long)at);
    return TANDEM_OK;
}

tandem_status mil_run_blobs(mil_run *run, tandem_error *err) {
    uint32_t head[16];
    MIL_RUN_CHECK(run->weights.len >= sizeof head, "a file of %zu bytes", run->weights.len);
    memcpy(head, run->weights.bytes, sizeof head);
    MIL_RUN_CHECK(head[1] == BLOB_VERSION, "version %u, expected %d", head[1], BLOB_VERSION);
    for (int i = 2; i < 16; i++) MIL_RUN_CHECK(head[i] == 0, "its reserved fields are not 0");
    MIL_RUN_CHECK(head[0] <= BLOBS_MAX, "%u blobs", head[0]);
    run->blob_count = head[0];
    run->blobs = tandem__arena_array(&run->arena, head[0] + 1, sizeof *run->blobs);
    if (run->blobs == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for %u blobs", head[0]);
    uint64_t at = sizeof head;
    for (uint32_t i = 0; i < head[0]; i++) {
        blob meta;
        TANDEM_TRY(check_blob(run, at, &meta, err));
        run->blobs[i] = at;
        at = aligned(meta.offset + meta.bytes);
    }
    MIL_RUN_CHECK(run->weights.len <= at && at - run->weights.len < BLOB_ALIGNMENT,
                  "%u blobs end at %llu, the file at %zu", head[0], (unsigned long long)at,
                  run->weights.len);
    return TANDEM_OK;
}

tandem_status mil_run_blob(mil_run *run, mil_run_value *value, uint64_t offset, tandem_error *err) {
    blob meta;
    uint32_t i = 0;
    while (i < run->blob_count && run->blobs[i] != offset) i++;
    MIL_RUN_CHECK(i < run->blob_count, "no blob of weight.bin is at %llu",
                  (unsigned long long)offset);
    TANDEM_TRY(check_blob(run, offset, &meta, err));
    const bool is_half = value->type == MIL_RUN_F16;
    MIL_RUN_CHECK((is_half && meta.type == 1) || (value->type == MIL_RUN_F32 && meta.type == 2),
                  "blob at %llu: type %u for data type %d", (unsigned long long)offset, meta.type,
                  value->type);
    MIL_RUN_CHECK(meta.bytes == (uint64_t)value->count * (is_half ? 2 : 4),
                  "blob at %llu: %llu bytes for %s", (unsigned long long)offset,
                  (unsigned long long)meta.bytes, mil_run_shape_text(&value->shape).text);
    const void *data = run->weights.bytes + meta.offset;
    if (is_half)
        value->half = data;
    else
        value->numbers = data;
    return TANDEM_OK;
}

/* "8-4-4-4-12" of hexadecimal digits. */
static bool is_uuid(tandem_str text) {
    for (size_t i = 0; i < text.len; i++) {
        const char c = text.ptr[i];
        const bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
        const bool is_digit = isxdigit((unsigned char)c) != 0;
        if (is_dash ? c != '-' : !is_digit) return false;
    }
    return text.len == 36;
}

static tandem_status check_item(const char *package, const tandem_json *item, tandem_error *err) {
    char path[TANDEM_PATH_MAX];
    tandem_str name = {"", 0};
    MIL_RUN_CHECK(is_uuid(item->key), "\"%.*s\" is no UUID", TANDEM_STR_ARG(item->key));
    TANDEM_JSON_EACH(field, item) {
        const char *const fields = "author|description|name|path";
        char key[32];
        (void)snprintf(key, sizeof key, "%.*s", TANDEM_STR_ARG(field->key));
        MIL_RUN_CHECK(tandem__str_is_one_of(fields, key) && field->kind == TANDEM_JSON_STRING,
                      "an item's \"%s\"", key);
    }
    MIL_RUN_CHECK(item->count == 4, "an item with %u fields, expected 4", item->count);
    TANDEM_TRY(tandem__json_read_str(item, "path", &name, err));
    (void)snprintf(path, sizeof path, "%s/Data/%.*s", package, TANDEM_STR_ARG(name));
    MIL_RUN_CHECK(tandem__file_exists(path) || tandem__file_is_directory(path), "no \"%.*s\"",
                  TANDEM_STR_ARG(name));
    return TANDEM_OK;
}

static tandem_status check_manifest(const char *package, const tandem_json *root,
                                    tandem_error *err) {
    tandem_str version = {"", 0};
    tandem_str identifier = {"", 0};
    tandem_str path = {"", 0};
    char key[64];
    const tandem_json *items = tandem__json_get(root, "itemInfoEntries");
    MIL_RUN_CHECK(root->kind == TANDEM_JSON_OBJECT && root->count == 3 && items != NULL &&
                      items->kind == TANDEM_JSON_OBJECT,
                  "expected fileFormatVersion, itemInfoEntries, rootModelIdentifier");
    TANDEM_TRY(tandem__json_read_str(root, "fileFormatVersion", &version, err));
    TANDEM_TRY(tandem__json_read_str(root, "rootModelIdentifier", &identifier, err));
    MIL_RUN_CHECK(tandem__str_is(version, "1.0.0"), "fileFormatVersion \"%.*s\"",
                  TANDEM_STR_ARG(version));
    TANDEM_JSON_EACH(item, items) TANDEM_TRY(check_item(package, item, err));
    (void)snprintf(key, sizeof key, "%.*s", TANDEM_STR_ARG(identifier));
    const tandem_json *model = tandem__json_get(items, key);
    MIL_RUN_CHECK(model != NULL, "rootModelIdentifier \"%s\" is no item", key);
    TANDEM_TRY(tandem__json_read_str(model, "path", &path, err));
    MIL_RUN_CHECK(tandem__str_is(path, MODEL_PATH), "the root is \"%.*s\", expected " MODEL_PATH,
                  TANDEM_STR_ARG(path));
    return TANDEM_OK;
}

tandem_status mil_run_manifest(mil_run *run, const char *package, tandem_error *err) {
    char path[TANDEM_PATH_MAX];
    tandem_map map = {0};
    const tandem_json *root = NULL;
    TANDEM_TRY(tandem__path_join(package, "Manifest.json", path, err));
    TANDEM_TRY(tandem__file_map(path, &map, err));
    const tandem_str text = {(const char *)map.bytes, map.len};
    tandem_status status = tandem__json_parse_strict(text, &run->arena, &root, err);
    if (status == TANDEM_OK) status = check_manifest(package, root, err);
    tandem__file_unmap(&map);
    return status == TANDEM_OK ? status : tandem__fail_prefix(err, status, "Manifest.json");
}
