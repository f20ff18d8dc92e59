/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the body of any request: parsed, read, and answered with a result that has what the
 * request asks for; or refused, with an error that is JSON.
 *
 *     route | length, 2 bytes little-endian | body
 *
 * The first byte picks the route. The length is of KServe's JSON header, 0xffff for none; the other
 * routes do without it. */
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/fail.h"
#include "server/ask.h"

#define TEXTS_MAX 8
#define WIDTH     4
#define BYTES_MAX ((size_t)4 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct fuzz_route {
    const char *method;
    const char *path;
} fuzz_route;

/* The order is the corpus's: new ones come last. */
static const fuzz_route routes[] = {
    {"POST", "/embed"},
    {"POST", "/embed_all"},
    {"POST", "/embed_sparse"},
    {"POST", "/similarity"},
    {"POST", "/rerank"},
    {"POST", "/predict"},
    {"POST", "/"},
    {"POST", "/tokenize"},
    {"POST", "/decode"},
    {"POST", "/embeddings"},
    {"POST", "/v1/embeddings"},
    {"POST", "/v1/rerank"},
    {"POST", "/v2/rerank"},
    {"POST", "/v2/models/embedder/infer"},
    {"POST", "/v2/models/classifier/versions/1/infer"},
    {"POST", "/v2/repository/index"},
    {"POST", "/v2/models/sparse/infer"},
    {"GET", "/v1/models"},
    {"GET", "/v1/models/embedder"},
};

static const char tokenizer_json[] =
    "{\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":"
    "true,"
    "\"strip_accents\":null,\"lowercase\":true},\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},"
    "\"added_tokens\":[{\"id\":1,\"content\":\"[S]\",\"special\":true,\"single_word\":false,"
    "\"lstrip\":false,\"rstrip\":false,\"normalized\":false}],"
    "\"decoder\":{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true},"
    "\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"[S]\",1],\"cls\":[\"[S]\",1]},"
    "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[U]\",\"continuing_subword_prefix\":\"##\","
    "\"max_input_chars_per_word\":100,\"vocab\":{\"[U]\":0,\"[S]\":1,\"a\":2,\"b\":3,\"##c\":4,"
    "\"the\":5,\"\xc3\xa9\":6}}}";

static const char *const names[] = {"a", "b", "c"};

static server_catalog catalog = {
    .models =
        {{.name = "org/embedder",
          .size = "small",
          .info = {.dimensions = WIDTH, .vocab = 100, .max_length = 8, .has_embedding = true}},
         {.name = "org/sparse",
          .size = "small",
          .info = {.dimensions = 100, .vocab = 100, .max_length = 8, .has_sparse = true}},
         {.name = "org/reranker",
          .size = "small",
          .info = {.vocab = 100, .max_length = 8, .labels = 1, .label_names = names}},
         {.name = "org/classifier",
          .size = "small",
          .info = {.vocab = 100, .max_length = 8, .labels = 3, .label_names = names}}},
    .count = 4,
    .limits = {.body_bytes = 1 << 20, .batch_texts = TEXTS_MAX, .queue_tokens = 1 << 16},
    .version = "0",
};

static void open_tokenizer(void) {
    if (catalog.models[0].tokenizer != NULL) return;
    static tandem_tokenizer *tokenizer; // until the process ends
    TANDEM_ASSERT(tandem_tokenizer_open_memory(tokenizer_json, sizeof tokenizer_json - 1, "fuzz",
                                               &tokenizer, NULL) == TANDEM_OK);
    for (size_t i = 0; i < catalog.count; i++) catalog.models[i].tokenizer = tokenizer;
}

static void check_json(tandem_arena *arena, const tandem_buffer *out) {
    const tandem_json *root = NULL;
    const tandem_str text = {out->ptr, out->len};
    TANDEM_ASSERT(tandem__json_parse(text, arena, &root, NULL) == TANDEM_OK);
}

/* What a request promises to the engine. */
static void check_request(const server_ask *ask) {
    const tandem_request *request = &ask->request;
    TANDEM_ASSERT(ask->model != NULL);
    TANDEM_ASSERT(request->count > 0 && request->count <= TEXTS_MAX);
    TANDEM_ASSERT((request->texts != NULL) != (request->id_offsets != NULL));
    TANDEM_ASSERT(!(request->force_normalize && request->skip_normalize));
    TANDEM_ASSERT(request->dimensions >= 0 && request->dimensions <= ask->model->info.dimensions);
    for (size_t i = 0; request->texts != NULL && i < request->count; i++) {
        // Every byte is there to be read.
        (void)tandem_utf8_check(request->texts[i].ptr, request->texts[i].len);
    }
    if (request->id_offsets == NULL) return;
    TANDEM_ASSERT(request->id_offsets[0] == 0);
    for (size_t i = 0; i < request->count; i++) {
        const int32_t count = request->id_offsets[i + 1] - request->id_offsets[i];
        TANDEM_ASSERT(count > 0 && count <= ask->model->info.max_length);
    }
    for (int32_t i = 0; i < request->id_offsets[request->count]; i++)
        TANDEM_ASSERT(request->ids[i] >= 0 && request->ids[i] < ask->model->info.vocab);
}

static void answer_result(server_ask *ask, tandem_arena *arena, tandem_buffer *out) {
    static const float vectors[TEXTS_MAX * 100] = {0.5f, 1.0f, -1e-7f, 3.0f, 0.5f};
    static const int32_t sparse_ids[TEXTS_MAX] = {7, 1};
    static const int64_t offsets[TEXTS_MAX + 1] = {0, 2, 2, 2, 2, 2, 2, 2, 2};
    tandem_text_result texts[TEXTS_MAX] = {{.tokens = 1}};
    const bool is_classified = ask->request.task == TANDEM_TASK_CLASSIFY;
    for (size_t i = 0; i < TEXTS_MAX; i++)
        texts[i] = (tandem_text_result){.tokens = 1, .first_row = (int32_t)i};
    const tandem_result result = {
        .vectors = (float *)(uintptr_t)vectors,
        .sparse_ids = (int32_t *)(uintptr_t)sparse_ids,
        .sparse_offsets = (int64_t *)(uintptr_t)offsets,
        .sparse_weights = (float *)(uintptr_t)vectors,
        .texts = texts,
        .count = ask->request.count,
        .rows = ask->request.count,
        .dimensions = is_classified                 ? ask->model->info.labels
                      : ask->request.dimensions > 0 ? ask->request.dimensions
                                                    : ask->model->info.dimensions,
    };
    for (size_t row = 0; row != SERVER_ROWS_DONE;)
        TANDEM_ASSERT(ask->route->write(ask, &result, &row, out, NULL) == TANDEM_OK);
    if (ask->answer_type == NULL) check_json(arena, out);
}

static void check_error(server_ask *ask, tandem_error *err, tandem_arena *arena,
                        tandem_buffer *out) {
    TANDEM_ASSERT(err->status != TANDEM_OK && err->message[0] != '\0');
    out->len = 0;
    const int code = server_error_write(ask, err, out);
    TANDEM_ASSERT(code >= 400 && code < 500);
    check_json(arena, out);
}

static tandem_status read(server_ask *ask, tandem_str body, tandem_buffer *out, tandem_error *err) {
    const tandem_json *root = NULL;
    if (ask->route->read_bytes != NULL) return ask->route->read_bytes(ask, body, err);
    if (body.len > 0) TANDEM_TRY(tandem__json_parse_strict(body, ask->arena, &root, err));
    if (ask->route->answer != NULL) return ask->route->answer(ask, root, out, err);
    return ask->route->read(ask, root, err);
}

static void run(server_ask *ask, tandem_str body, tandem_buffer *out) {
    tandem_error err = {0};
    const tandem_status status = read(ask, body, out, &err);
    TANDEM_ASSERT(status == err.status);
    if (status == TANDEM_MEMORY) return; // the arena is full
    if (status != TANDEM_OK) {
        check_error(ask, &err, ask->arena, out);
    } else if (ask->route->answer != NULL) {
        check_json(ask->arena, out);
    } else {
        check_request(ask);
        answer_result(ask, ask->arena, out);
    }
}

/* Two bytes in decimal. */
static size_t write_length(char *text, const uint8_t *bytes) {
    unsigned length = bytes[0] | (unsigned)bytes[1] << 8;
    size_t digits = 1;
    for (unsigned left = length; left >= 10; left /= 10) digits++;
    for (size_t i = digits; i-- > 0; length /= 10) text[i] = (char)('0' + length % 10);
    return digits;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3 || data[0] >= sizeof routes / sizeof *routes) return 0;
    open_tokenizer();
    char length[8];
    const size_t digits = write_length(length, data + 1);
    const bool has_length = data[1] != 0xff || data[2] != 0xff;
    const fuzz_route *from = &routes[data[0]];
    bool is_known = false;
    tandem_arena arena;
    tandem_buffer out;
    tandem_buffer headers;
    tandem__arena_init(&arena, BYTES_MAX);
    tandem__buffer_init(&out, BYTES_MAX);
    tandem__buffer_init(&headers, BYTES_MAX);
    server_ask ask = {.arena = &arena,
                      .catalog = &catalog,
                      .id = "id",
                      .inference_header_length = {length, has_length ? digits : 0},
                      .more_headers = &headers};
    ask.route = server_route_find(tandem__str(from->method), tandem__str(from->path),
                                  &ask.path_model, &is_known);
    TANDEM_ASSERT(ask.route != NULL);
    run(&ask, (tandem_str){(const char *)data + 3, size - 3}, &out);
    tandem__buffer_deinit(&headers);
    tandem__buffer_deinit(&out);
    tandem__arena_deinit(&arena);
    return 0;
}
