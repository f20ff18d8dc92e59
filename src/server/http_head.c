/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http_head.h"

#include <strings.h>

#define LENGTH_DIGITS_MAX 18

static bool is_tchar(char c) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
    return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

static bool is_word(tandem_str text, const char *word) {
    return text.len == strlen(word) && strncasecmp(text.ptr, word, text.len) == 0;
}

static tandem_str trim(tandem_str text) {
    while (text.len > 0 && is_blank(text.ptr[0])) {
        text.ptr++;
        text.len--;
    }
    while (text.len > 0 && is_blank(text.ptr[text.len - 1])) text.len--;
    return text;
}

size_t http_head_end(const char *bytes, size_t len, size_t from) {
    size_t at = from < 3 ? 0 : from - 3; // the empty line may have begun before
    while (at < len) {
        const char *line_end = memchr(bytes + at, '\n', len - at);
        if (line_end == NULL) return 0;
        at = (size_t)(line_end - bytes) + 1;
        if (at < len && bytes[at] == '\n') return at + 1;
        if (at + 1 < len && bytes[at] == '\r' && bytes[at + 1] == '\n') return at + 2;
    }
    return 0;
}

/* The next line without its CRLF; false where it ends with LF alone. */
static bool next_line(tandem_str *rest, tandem_str *line) {
    const char *end = memchr(rest->ptr, '\n', rest->len);
    if (end == NULL || end == rest->ptr || end[-1] != '\r') return false;
    *line = (tandem_str){rest->ptr, (size_t)(end - rest->ptr) - 1};
    rest->len -= (size_t)(end - rest->ptr) + 1;
    rest->ptr = end + 1;
    return true;
}

/* "http://host/path?query" and "/path?query" alike; "*" stays. */
static bool split_target(tandem_str target, http_head *head) {
    static const char scheme[] = "http://";
    for (size_t i = 0; i < target.len; i++) {
        if (target.ptr[i] <= ' ' || target.ptr[i] >= 0x7f) return false;
    }
    if (target.len > sizeof scheme - 1 && strncasecmp(target.ptr, scheme, sizeof scheme - 1) == 0) {
        target.ptr += sizeof scheme - 1;
        target.len -= sizeof scheme - 1;
        const char *slash = memchr(target.ptr, '/', target.len);
        if (slash == NULL) {
            head->path = TANDEM_STR("/");
            return true;
        }
        target.len -= (size_t)(slash - target.ptr);
        target.ptr = slash;
    }
    if (target.len == 0 || (target.ptr[0] != '/' && !tandem__str_is(target, "*"))) return false;
    const char *mark = memchr(target.ptr, '?', target.len);
    const size_t path_len = mark == NULL ? target.len : (size_t)(mark - target.ptr);
    head->path = (tandem_str){target.ptr, path_len};
    if (mark != NULL) head->query = (tandem_str){mark + 1, target.len - path_len - 1};
    return true;
}

static int parse_request_line(tandem_str line, http_head *head, const char **why) {
    const char *space = line.len == 0 ? NULL : memchr(line.ptr, ' ', line.len);
    const size_t method_len = space == NULL ? 0 : (size_t)(space - line.ptr);
    *why = "the request line is not \"METHOD target HTTP/1.1\"";
    if (method_len == 0 || method_len > 32) return 400;
    for (size_t i = 0; i < method_len; i++) {
        if (!is_tchar(line.ptr[i])) return 400;
    }
    head->method = (tandem_str){line.ptr, method_len};
    static const char version[] = " HTTP/1.1";
    const size_t version_len = sizeof version - 1;
    if (line.len < method_len + 1 + version_len) return 400;
    const char *tail = line.ptr + line.len - version_len;
    if (memcmp(tail, " HTTP/", 6) != 0 || tail[7] != '.') return 400;
    if (tail[6] != '1' || (tail[8] != '0' && tail[8] != '1')) {
        *why = "only HTTP/1.0 and HTTP/1.1 are spoken here";
        return 505;
    }
    head->minor = tail[8] - '0';
    const tandem_str target = {space + 1, (size_t)(tail - space) - 1};
    if (!split_target(target, head)) {
        *why = "the target is neither a path nor an http:// address";
        return 400;
    }
    return 0;
}

static int parse_field(tandem_str line, http_field *field, const char **why) {
    const char *colon = memchr(line.ptr, ':', line.len);
    if (colon == NULL || colon == line.ptr) {
        *why = is_blank(line.ptr[0]) ? "a header is folded over two lines"
                                     : "a header is not \"Name: value\"";
        return 400;
    }
    field->name = (tandem_str){line.ptr, (size_t)(colon - line.ptr)};
    for (size_t i = 0; i < field->name.len; i++) {
        if (!is_tchar(field->name.ptr[i])) {
            *why = "a header's name has a character that is not allowed in one";
            return 400;
        }
    }
    field->value = trim((tandem_str){colon + 1, line.len - field->name.len - 1});
    for (size_t i = 0; i < field->value.len; i++) {
        const unsigned char c = (unsigned char)field->value.ptr[i];
        if ((c < ' ' && c != '\t') || c == 0x7f) {
            *why = "a header's value has a control character";
            return 400;
        }
    }
    return 0;
}

static int take_length(tandem_str value, http_head *head, const char **why) {
    int64_t length = 0;
    *why = "Content-Length is not a number of bytes";
    if (value.len == 0 || value.len > LENGTH_DIGITS_MAX) return 400;
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] < '0' || value.ptr[i] > '9') return 400;
        length = length * 10 + (value.ptr[i] - '0');
    }
    *why = "two Content-Length headers say different things";
    if (head->content_length >= 0 && head->content_length != length) return 400;
    head->content_length = length;
    return 0;
}

static int take_encoding(tandem_str value, http_head *head, const char **why) {
    *why = "Transfer-Encoding: only chunked, once, in HTTP/1.1";
    if (head->is_chunked || head->minor == 0) return 400;
    if (!is_word(value, "chunked")) return 501;
    head->is_chunked = true;
    return 0;
}

/* The fields that say where the message ends and what becomes of the connection. */
static int take_framing(http_head *head, const char **why) {
    int hosts = 0;
    for (size_t i = 0; i < head->field_count; i++) {
        const http_field *field = &head->fields[i];
        int code = 0;
        if (is_word(field->name, "Content-Length")) {
            code = take_length(field->value, head, why);
        } else if (is_word(field->name, "Transfer-Encoding")) {
            code = take_encoding(field->value, head, why);
        } else if (is_word(field->name, "Host")) {
            hosts++;
        } else if (is_word(field->name, "Connection")) {
            if (http_list_has(field->value, "close"))
                head->is_keep_alive = false;
            else if (http_list_has(field->value, "keep-alive"))
                head->is_keep_alive = true;
        } else if (is_word(field->name, "Expect")) {
            head->wants_continue = is_word(field->value, "100-continue") && head->minor == 1;
            if (!head->wants_continue && head->minor == 1) {
                *why = "Expect: only 100-continue";
                code = 417;
            }
        }
        if (code != 0) return code;
    }
    if (head->is_chunked && head->content_length >= 0) {
        *why = "Content-Length and Transfer-Encoding in one request";
        return 400;
    }
    if (hosts > 1 || (hosts == 0 && head->minor == 1)) {
        *why = "HTTP/1.1 wants one Host header";
        return 400;
    }
    return 0;
}

int http_head_parse(const char *bytes, size_t len, http_head *head, const char **why) {
    *head = (http_head){.content_length = -1};
    tandem_str rest = {bytes, len};
    tandem_str line;
    *why = "a line of the head ends without CR LF";
    if (!next_line(&rest, &line)) return 400;
    const int code = parse_request_line(line, head, why);
    if (code != 0) return code;
    head->is_keep_alive = head->minor == 1;
    for (;;) {
        *why = "a line of the head ends without CR LF";
        if (!next_line(&rest, &line)) return 400;
        if (line.len == 0) break;
        if (head->field_count == HTTP_FIELDS_MAX) {
            *why = "more than 64 headers";
            return 431;
        }
        const int wrong = parse_field(line, &head->fields[head->field_count], why);
        if (wrong != 0) return wrong;
        head->field_count++;
    }
    return take_framing(head, why);
}

tandem_str http_head_get(const http_head *head, const char *name) {
    for (size_t i = 0; i < head->field_count; i++) {
        if (is_word(head->fields[i].name, name)) return head->fields[i].value;
    }
    return (tandem_str){"", 0};
}

bool http_list_has(tandem_str list, const char *word) {
    while (list.len > 0) {
        const char *comma = memchr(list.ptr, ',', list.len);
        tandem_str item = {list.ptr, comma == NULL ? list.len : (size_t)(comma - list.ptr)};
        list.ptr += item.len + (comma != NULL);
        list.len -= item.len + (comma != NULL);
        const char *parameters = item.len == 0 ? NULL : memchr(item.ptr, ';', item.len);
        if (parameters != NULL) item.len = (size_t)(parameters - item.ptr);
        if (is_word(trim(item), word)) return true;
    }
    return false;
}
