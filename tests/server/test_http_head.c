/* SPDX-License-Identifier: Apache-2.0 */
/* Heads, chunks and the pieces of streams: what is understood, what is refused, and that it does
 * not matter where the bytes are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/http_chunks.h"
#include "server/http_head.h"
#include "server/pieces.h"

#define HOST "Host: x\r\n"

static int parse(const char *text, http_head *head, const char **why) {
    const size_t len = strlen(text);
    assert_int_equal(http_head_end(text, len, 0), len);
    for (size_t cut = 0; cut < len; cut++) assert_int_equal(http_head_end(text, cut, 0), 0);
    for (size_t from = 0; from < len; from++) assert_int_equal(http_head_end(text, len, from), len);
    return http_head_parse(text, len, head, why);
}

static void test_head_understood(void **state) {
    (void)state;
    http_head head;
    const char *why = NULL;
    assert_int_equal(parse("POST /embed?x=1 HTTP/1.1\r\nhost: a\r\nContent-Length:  12 \r\n"
                           "X-Thing: a, Close;q=1 ,b\r\n\r\n",
                           &head, &why),
                     0);
    assert_true(tandem__str_is(head.method, "POST"));
    assert_true(tandem__str_is(head.path, "/embed"));
    assert_true(tandem__str_is(head.query, "x=1"));
    assert_int_equal(head.content_length, 12);
    assert_int_equal(head.minor, 1);
    assert_true(head.is_keep_alive);
    assert_false(head.is_chunked);
    assert_true(tandem__str_is(http_head_get(&head, "HOST"), "a"));
    assert_int_equal(http_head_get(&head, "absent").len, 0);
    assert_true(http_list_has(http_head_get(&head, "x-thing"), "close"));
    assert_true(http_list_has(http_head_get(&head, "x-thing"), "B"));
    assert_false(http_list_has(http_head_get(&head, "x-thing"), "clos"));

    assert_int_equal(parse("GET http://a.b:80/c?d HTTP/1.1\r\n" HOST
                           "Transfer-Encoding: CHUNKED\r\nExpect: 100-Continue\r\n\r\n",
                           &head, &why),
                     0);
    assert_true(tandem__str_is(head.path, "/c"));
    assert_true(head.is_chunked && head.wants_continue);
    assert_int_equal(head.content_length, -1);
    assert_int_equal(parse("GET http://a.b HTTP/1.1\r\n" HOST "\r\n", &head, &why), 0);
    assert_true(tandem__str_is(head.path, "/"));
    assert_int_equal(parse("OPTIONS * HTTP/1.0\r\n\r\n", &head, &why), 0);
    assert_false(head.is_keep_alive);
    assert_int_equal(parse("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", &head, &why), 0);
    assert_true(head.is_keep_alive);
    assert_int_equal(parse("GET / HTTP/1.1\r\n" HOST "Connection: x, close\r\n\r\n", &head, &why),
                     0);
    assert_false(head.is_keep_alive);
}

static void test_head_refused(void **state) {
    (void)state;
    static const struct {
        int code;
        const char *text;
    } cases[] = {
        {400, "\r\n\r\n"},
        {400, "GET\r\n\r\n"},
        {400, "GET /\r\n\r\n"},
        {400, "GET / HTTP/1.1\n" HOST "\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: x\n\r\n"},
        {400, "G@T / HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET  HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET / / HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET x HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /\x80 HTTP/1.1\r\n" HOST "\r\n"},
        {505, "GET / HTTP/1.x\r\n" HOST "\r\n"},
        {505, "GET / HTTP/2.0\r\n" HOST "\r\n"},
        {400, "GET / HTTP/1.1\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST HOST "\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "Folded: a\r\n b\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "Name : a\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "no colon\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST ": a\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "A: \x01\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 1x\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Content-Length: \r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 9999999999999999999\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 2\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {501, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST
              "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {417, "POST / HTTP/1.1\r\n" HOST "Expect: tea\r\n\r\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        http_head head;
        const char *why = NULL;
        const size_t len = strlen(cases[i].text);
        assert_int_equal(http_head_parse(cases[i].text, len, &head, &why), cases[i].code);
        assert_non_null(why);
    }
}

static void test_head_many_fields(void **state) {
    (void)state;
    char text[4096] = "GET / HTTP/1.1\r\n";
    size_t len = strlen(text);
    for (int i = 0; i < HTTP_FIELDS_MAX + 1; i++) {
        memcpy(text + len, HOST, sizeof HOST - 1);
        len += sizeof HOST - 1;
    }
    memcpy(text + len, "\r\n", 2);
    http_head head;
    const char *why = NULL;
    assert_int_equal(http_head_parse(text, len + 2, &head, &why), 431);
}

/* The data of a chunked body, fed `step` bytes at a time; -1 where it is wrong, the length else. */
static int unchunk(const char *text, size_t step, char *out, http_chunks *chunks) {
    const size_t len = strlen(text);
    size_t out_len = 0;
    *chunks = (http_chunks){.part = HTTP_CHUNK_SIZE};
    for (size_t at = 0; at < len;) {
        const size_t more = len - at < step ? len - at : step;
        size_t used = 0;
        while (used < more) {
            size_t taken = 0;
            tandem_str data = {NULL, 0};
            const http_chunk_got got = http_chunks_next(
                chunks, (tandem_str){text + at + used, more - used}, &taken, &data);
            if (got == HTTP_CHUNK_WRONG) return -1;
            if (data.len > 0) memcpy(out + out_len, data.ptr, data.len);
            out_len += data.len;
            used += taken;
            if (got == HTTP_CHUNK_DONE) return (int)out_len;
            if (got == HTTP_CHUNK_MORE) break;
        }
        at += more;
    }
    return (int)out_len;
}

static void test_chunks(void **state) {
    (void)state;
    static const char good[] = "5\r\nhello\r\n00a ;ext=\"1\"\r\n, 12345678\r\n0\r\nT: v\r\n\r\n";
    char out[256];
    http_chunks chunks;
    for (size_t step = 1; step < sizeof good; step++) {
        assert_int_equal(unchunk(good, step, out, &chunks), 15);
        assert_memory_equal(out, "hello, 12345678", 15);
        assert_int_equal(chunks.part, HTTP_CHUNK_END);
    }
    static const char *const bad[] = {
        "x\r\n",           "\r\n",
        "5\nhello",        "5\r\nhelloo\r\n",
        "5\r\nhello\n",    "ffffffffffffffff\r\n",
        "-1\r\n",          "5;\nx",
        "0\r\nT: v\n\r\n", "5 \n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(unchunk(bad[i], 64, out, &chunks), -1);
}

/* All pieces joined by '|', or "!" and the status where it fails. */
static void cut_up(const char *text, bool is_lines, size_t step, char *out, char *options) {
    server_pieces pieces;
    tandem_error err = {0};
    server_pieces_init(&pieces, is_lines, (size_t)1 << 20);
    const size_t len = strlen(text);
    size_t out_len = 0;
    tandem_status status = TANDEM_OK;
    for (size_t at = 0; status == TANDEM_OK; at += step) {
        if (at >= len) pieces.is_whole = true;
        const size_t more = at >= len ? 0 : len - at < step ? len - at : step;
        if (more > 0) status = server_pieces_push(&pieces, (tandem_str){text + at, more}, &err);
        while (status == TANDEM_OK) {
            tandem_str piece;
            status = server_pieces_next(&pieces, &piece, &err);
            if (status != TANDEM_OK || piece.len == 0) break;
            memcpy(out + out_len, piece.ptr, piece.len);
            out_len += piece.len;
            out[out_len++] = '|';
        }
        if (pieces.is_whole) break;
    }
    if (status != TANDEM_OK) out[out_len++] = '!';
    out[out_len] = '\0';
    memcpy(options, pieces.options.ptr == NULL ? "" : pieces.options.ptr, pieces.options.len);
    options[pieces.options.len] = '\0';
    server_pieces_deinit(&pieces);
}

static void test_pieces(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *pieces;
        const char *options;
        bool is_lines;
    } cases[] = {
        {"{\"inputs\":[\"a\",\"b,]}\\\"\" , [1,2] ]}", "\"a\"|\"b,]}\\\"\"|[1,2]|", "", false},
        {" { \"normalize\" : false , \"x\":{\"y\":[1]}, \"inputs\" : [ \"a\" ] } ", "\"a\"|",
         "\"normalize\":false,\"x\":{\"y\":[1]}", false},
        {"{\"inputs\":\"one\"}", "\"one\"|", "", false},
        {"{\"inputs\":[]}", "", "", false},
        {"{}", "!", "", false},
        {"{\"x\":1}", "!", "\"x\":1", false},
        {"{\"inputs\":\"one\",\"x\":1}", "\"one\"|!", "", false},
        {"{\"inputs\":[\"a\"],\"x\":1}", "\"a\"|!", "", false},
        {"{\"inputs\":[\"a\" \"b\"]}", "\"a\"|!", "", false},
        {"{\"inputs\":[\"a\",]}", "\"a\"|!", "", false},
        {"{\"inputs\":[,\"a\"]}", "!", "", false},
        {"{\"inputs\":[\"a\"", "\"a\"|!", "", false},
        {"{\"inputs\":[\"a\"]} x", "\"a\"|!", "", false},
        {"[\"a\"]", "!", "", false},
        {"{inputs:[]}", "!", "", false},
        {"{\"a\" 1}", "!", "", false},
        {"{\"a", "!", "", false},
        {"\"a\"\n\n  {\"inputs\":\"b\"} \r\n\"c\"", "\"a\"|{\"inputs\":\"b\"}|\"c\"|", "", true},
        {"", "", "", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t step = 1; step <= strlen(cases[i].text) + 1; step++) {
            char out[512];
            char options[512];
            cut_up(cases[i].text, cases[i].is_lines, step, out, options);
            assert_string_equal(out, cases[i].pieces);
            assert_string_equal(options, cases[i].options);
        }
    }
}

static void test_piece_too_long(void **state) {
    (void)state;
    static char text[SERVER_PIECE_BYTES_MAX + 64];
    memset(text, 'a', sizeof text);
    memcpy(text, "{\"inputs\":[\"", 12);
    for (int is_lines = 0; is_lines < 2; is_lines++) {
        server_pieces pieces;
        tandem_error err = {0};
        tandem_str piece;
        server_pieces_init(&pieces, is_lines != 0, (size_t)1 << 20);
        assert_int_equal(server_pieces_push(&pieces, (tandem_str){text, sizeof text}, &err), 0);
        assert_int_equal(server_pieces_next(&pieces, &piece, &err), TANDEM_CAPACITY);
        server_pieces_deinit(&pieces);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head_understood),  cmocka_unit_test(test_head_refused),
        cmocka_unit_test(test_head_many_fields), cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_pieces),           cmocka_unit_test(test_piece_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
