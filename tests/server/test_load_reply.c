/* SPDX-License-Identifier: Apache-2.0 */
/* The load generator finds the ends of answers, however the network cuts them: a figure of the
 * benchmark is only as good as that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../bench/server/load_reply.h"

#include <string.h>

static load_reply reply;
static char body[256];
static size_t body_len;

static void keep(void *context, const char *bytes, size_t len) {
    (void)context;
    assert_true(body_len + len < sizeof body);
    memcpy(body + body_len, bytes, len);
    body_len += len;
    body[body_len] = '\0';
}

/* Feeds `text` in pieces of `size` bytes; returns how many were taken. */
static size_t feed(const char *text, size_t size) {
    const size_t len = strlen(text);
    size_t used = 0;
    reply.body = keep;
    body_len = 0;
    load_reply_reset(&reply);
    while (used < len) {
        const size_t more = size < len - used ? size : len - used;
        const size_t taken = load_reply_feed(&reply, text + used, more);
        used += taken;
        if (taken < more) break;
    }
    return used;
}

static void test_length(void **state) {
    (void)state;
    static const char text[] =
        "HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\nContent-Length: 5\r\n\r\nhelloHTTP";
    for (size_t size = 1; size < sizeof text; size++) {
        assert_int_equal(feed(text, size), sizeof text - 5);
        assert_int_equal(reply.phase, LOAD_DONE);
        assert_int_equal(reply.code, 429);
        assert_int_equal(reply.retry_after_s, 7);
        assert_int_equal(reply.body_bytes, 5);
        assert_false(reply.is_last);
        assert_string_equal(body, "hello");
    }
}

static void test_chunks(void **state) {
    (void)state;
    static const char text[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                               "3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\n";
    for (size_t size = 1; size < sizeof text; size++) {
        assert_int_equal(feed(text, size), sizeof text - 1);
        assert_int_equal(reply.phase, LOAD_DONE);
        assert_int_equal(reply.body_bytes, 13);
        assert_string_equal(body, "abc0123456789");
    }
}

static void test_not_whole(void **state) {
    (void)state;
    (void)feed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", 4);
    assert_int_not_equal(reply.phase, LOAD_DONE);
    (void)feed("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc", 4);
    assert_int_equal(reply.phase, LOAD_LENGTH);
    (void)feed("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc", 4);
    assert_int_equal(reply.phase, LOAD_UNTIL_CLOSE);
    assert_true(reply.is_last);
}

static void test_not_http(void **state) {
    (void)state;
    (void)feed("SSH-2.0-OpenSSH\r\n\r\n", 100);
    assert_int_equal(reply.phase, LOAD_BAD);
    (void)feed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 100);
    assert_int_equal(reply.phase, LOAD_BAD);
}

static void test_continue(void **state) {
    (void)state;
    (void)feed("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 1);
    assert_int_equal(reply.phase, LOAD_DONE);
    assert_int_equal(reply.code, 200);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_length),    cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_not_whole), cmocka_unit_test(test_not_http),
        cmocka_unit_test(test_continue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
