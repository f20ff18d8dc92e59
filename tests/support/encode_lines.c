/* SPDX-License-Identifier: Apache-2.0 */
/* A tokenizer behind a pipe, for tools/check_tokenizer.py.
 *
 *     encode_lines TOKENIZER.json
 *
 * Request on stdin, native integers: int32 [max_length, stride, truncation, truncate_left,
 * keep_overflow, skip_special, want, has_pair, text_len, pair_len], then the bytes of both texts.
 * Answer on stdout: int32 status; if it is 0, int32 [count, windows, dropped], ids, types, starts,
 * and where offsets were wanted bytes, chars, words, special as int32 and each token's text as
 * int32 length and bytes. A status that is not 0 is followed by an int32 length and the message. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "tandem/tokenizer.h"

enum { MAX_LENGTH, STRIDE, TRUNCATION, LEFT, OVERFLOW, SKIP, WANT, HAS_PAIR, TEXT, PAIR, FIELDS };

static void put(const void *values, size_t count) {
    if (count > 0) (void)fwrite(values, sizeof(int32_t), count, stdout);
}

static void put_int(int32_t value) {
    put(&value, 1);
}

static void put_text(const char *text, size_t len) {
    put_int((int32_t)len);
    (void)fwrite(text, 1, len, stdout);
}

static void put_encoding(const tandem_tokenizer *tokenizer, const tandem_encoding *e) {
    const size_t count = (size_t)e->count;
    put_int(e->count);
    put_int(e->windows);
    put_int(e->dropped);
    put(e->ids, count);
    put(e->types, count);
    put(e->starts, (size_t)e->windows + 1);
    if (e->bytes == NULL) return;
    put(e->bytes, 2 * count);
    put(e->chars, 2 * count);
    put(e->words, count);
    for (size_t i = 0; i < count; i++) put_int(e->special[i]);
    for (int32_t i = 0; i < e->count; i++) {
        size_t len = 0;
        const char *const text = tandem_encoding_token(e, tokenizer, i, &len);
        put_text(text, len);
    }
}

static int serve(const tandem_tokenizer *tokenizer) {
    tandem_encoding encoding = {0};
    char *text = NULL;
    int32_t request[FIELDS];
    int status = 0;
    while (fread(request, sizeof request, 1, stdin) == 1) {
        if (request[TEXT] < 0) {
            (void)fflush(stdout);
            continue;
        }
        const size_t text_len = (size_t)request[TEXT];
        const size_t pair_len = (size_t)request[PAIR];
        char *const grown = tandem__mem_realloc(text, text_len + pair_len + 1);
        if (grown == NULL) break;
        text = grown;
        if (fread(text, 1, text_len + pair_len, stdin) != text_len + pair_len) break;
        const tandem_encode_options options = {.max_length = request[MAX_LENGTH],
                                               .stride = request[STRIDE],
                                               .truncation = (tandem_truncation)request[TRUNCATION],
                                               .want = (tandem_encode_want)request[WANT],
                                               .truncate_left = request[LEFT] != 0,
                                               .keep_overflow = request[OVERFLOW] != 0,
                                               .skip_special = request[SKIP] != 0};
        tandem_error err = {0};
        status = (int)tandem_tokenizer_encode(tokenizer, text, text_len,
                                              request[HAS_PAIR] ? text + text_len : NULL, pair_len,
                                              &options, &encoding, &err);
        put_int(status);
        if (status == TANDEM_OK)
            put_encoding(tokenizer, &encoding);
        else
            put_text(err.message, strlen(err.message));
    }
    tandem__mem_free(text);
    tandem_encoding_deinit(&encoding);
    return ferror(stdin) || fflush(stdout) != 0;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        (void)fprintf(stderr, "usage: encode_lines TOKENIZER.json\n");
        return 2;
    }
    tandem_tokenizer *tokenizer = NULL;
    tandem_error err = {0};
    if (tandem_tokenizer_open(argv[1], &tokenizer, &err) != TANDEM_OK) {
        (void)fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    const int failed = serve(tokenizer);
    tandem_tokenizer_close(tokenizer);
    return failed;
}
