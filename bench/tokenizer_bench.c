/* SPDX-License-Identifier: Apache-2.0 */
/* The C half of tools/bench_tokenizer.py: encodes a set of texts on demand and says how long it
 * took, so that another program can take turns with it.
 *
 *     tokenizer_bench TOKENIZER.json TEXTS
 *
 * TEXTS holds the texts, each after its length as a native int32. A line on stdin, `ids` or
 * `offsets`, encodes all texts once, each by its own call; the answer is a line: nanoseconds,
 * tokens. The first line on stdout is the time that opening took. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "tandem/tokenizer.h"

/* Tokens of all texts, -1 on failure. */
static int64_t encode_all(const tandem_tokenizer *tokenizer, const tandem_map *texts,
                          const tandem_encode_options *options, tandem_encoding *encoding) {
    int64_t tokens = 0;
    for (size_t at = 0; at + sizeof(int32_t) <= texts->len;) {
        int32_t len = 0;
        memcpy(&len, texts->bytes + at, sizeof len);
        at += sizeof len;
        tandem_error err = {0};
        if (tandem_tokenizer_encode(tokenizer, (const char *)texts->bytes + at, (size_t)len, NULL,
                                    0, options, encoding, &err) != TANDEM_OK) {
            (void)fprintf(stderr, "%s\n", err.message);
            return -1;
        }
        tokens += encoding->count;
        at += (size_t)len;
    }
    return tokens;
}

static int serve(const tandem_tokenizer *tokenizer, const tandem_map *texts) {
    tandem_encoding encoding = {0};
    char line[32];
    int64_t tokens = 0;
    while (tokens >= 0 && fgets(line, sizeof line, stdin) != NULL) {
        const tandem_encode_options options = {
            .want = strncmp(line, "offsets", 7) == 0 ? TANDEM_WANT_OFFSETS : TANDEM_WANT_IDS};
        const uint64_t start = tandem__clock_ns();
        tokens = encode_all(tokenizer, texts, &options, &encoding);
        (void)printf("%llu %lld\n", (unsigned long long)(tandem__clock_ns() - start),
                     (long long)tokens);
        (void)fflush(stdout);
    }
    tandem_encoding_deinit(&encoding);
    return tokens < 0;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        (void)fprintf(stderr, "usage: tokenizer_bench TOKENIZER.json TEXTS\n");
        return 2;
    }
    tandem_error err = {0};
    tandem_tokenizer *tokenizer = NULL;
    tandem_map texts = {0};
    const uint64_t start = tandem__clock_ns();
    tandem_status status = tandem_tokenizer_open(argv[1], &tokenizer, &err);
    const uint64_t open_ns = tandem__clock_ns() - start;
    if (status == TANDEM_OK) status = tandem__file_map(argv[2], &texts, &err);
    if (status != TANDEM_OK) {
        (void)fprintf(stderr, "%s\n", err.message);
        tandem_tokenizer_close(tokenizer);
        return 1;
    }
    (void)printf("%llu\n", (unsigned long long)open_ns);
    (void)fflush(stdout);
    const int failed = serve(tokenizer, &texts);
    tandem__file_unmap(&texts);
    tandem_tokenizer_close(tokenizer);
    return failed;
}
