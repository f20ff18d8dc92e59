/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as requests on a connection: heads, bodies by length or in chunks, and each body as a
 * stream's, as lines and as an object. Pieces must not depend on where the bytes are cut: every
 * body is cut up whole and in small steps, and the results compared. */
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "server/http_chunks.h"
#include "server/http_head.h"
#include "server/pieces.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What the pieces of a body were, in one number. */
typedef struct outcome {
    size_t count;
    uint64_t sum;
    tandem_status status;
} outcome;

static void add_piece(outcome *so_far, tandem_str piece) {
    so_far->count++;
    for (size_t i = 0; i < piece.len; i++)
        so_far->sum = so_far->sum * 1099511628211u + (unsigned char)piece.ptr[i];
    so_far->sum = so_far->sum * 31 + piece.len;
}

static outcome cut_up(tandem_str body, bool is_lines, size_t step) {
    server_pieces pieces;
    outcome result = {.status = TANDEM_OK};
    server_pieces_init(&pieces, is_lines, (size_t)1 << 20);
    for (size_t at = 0; result.status == TANDEM_OK && !pieces.is_whole; at += step) {
        const size_t left = at < body.len ? body.len - at : 0;
        const tandem_str some = {body.ptr + (body.len - left), left < step ? left : step};
        pieces.is_whole = left <= step;
        if (some.len > 0) result.status = server_pieces_push(&pieces, some, NULL);
        tandem_str piece = {NULL, 1};
        while (result.status == TANDEM_OK && piece.len > 0) {
            result.status = server_pieces_next(&pieces, &piece, NULL);
            if (result.status == TANDEM_OK && piece.len > 0) add_piece(&result, piece);
        }
    }
    server_pieces_deinit(&pieces);
    return result;
}

static void check_body(tandem_str body) {
    for (int is_lines = 0; is_lines < 2; is_lines++) {
        const outcome whole = cut_up(body, is_lines != 0, body.len + 1);
        const outcome small = cut_up(body, is_lines != 0, 3);
        TANDEM_ASSERT(whole.status == small.status);
        TANDEM_ASSERT(whole.count == small.count);
        TANDEM_ASSERT(whole.sum == small.sum);
    }
}

/* The data of a chunked body, into `out` which has room for all; *taken of the bytes are used. */
static bool unchunk(tandem_str bytes, char *out, size_t *out_len, size_t *taken) {
    http_chunks chunks = {.part = HTTP_CHUNK_SIZE};
    *taken = 0;
    *out_len = 0;
    for (;;) {
        size_t used = 0;
        tandem_str some = {NULL, 0};
        const http_chunk_got got = http_chunks_next(
            &chunks, (tandem_str){bytes.ptr + *taken, bytes.len - *taken}, &used, &some);
        TANDEM_ASSERT(used <= bytes.len - *taken);
        if (some.len > 0) memcpy(out + *out_len, some.ptr, some.len);
        *out_len += some.len;
        *taken += used;
        if (got == HTTP_CHUNK_DONE) return true;
        if (got != HTTP_CHUNK_GOT) return false;
    }
}

/* One request at the front; the bytes it took, 0 where the connection ends. */
static size_t take_request(tandem_str bytes, char *room) {
    http_head head;
    const char *why = NULL;
    const size_t end = http_head_end(bytes.ptr, bytes.len, 0);
    if (end == 0) return 0;
    TANDEM_ASSERT(end == http_head_end(bytes.ptr, bytes.len, end - 1));
    const int code = http_head_parse(bytes.ptr, end, &head, &why);
    TANDEM_ASSERT(code == 0 || (code >= 400 && code < 600 && why != NULL));
    if (code != 0) return 0;
    TANDEM_ASSERT(!(head.is_chunked && head.content_length >= 0));
    const tandem_str rest = {bytes.ptr + end, bytes.len - end};
    (void)http_list_has(http_head_get(&head, "accept"), "application/x-ndjson");
    if (head.is_chunked) {
        size_t len = 0;
        size_t taken = 0;
        if (!unchunk(rest, room, &len, &taken)) return 0;
        check_body((tandem_str){room, len});
        return end + taken;
    }
    const size_t length = head.content_length < 0 ? 0 : (size_t)head.content_length;
    if (length > rest.len) return 0;
    check_body((tandem_str){rest.ptr, length});
    return end + length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > (size_t)64 << 10) return 0;
    char *copy = tandem__mem_calloc(1, size + 1);
    char *room = tandem__mem_calloc(1, size + 1);
    TANDEM_ASSERT(copy != NULL && room != NULL);
    if (size > 0) memcpy(copy, data, size);
    for (size_t at = 0; at < size;) {
        const size_t used = take_request((tandem_str){copy + at, size - at}, room);
        if (used == 0) break;
        at += used;
    }
    check_body((tandem_str){copy, size});
    tandem__mem_free(room);
    tandem__mem_free(copy);
    return 0;
}
