/* SPDX-License-Identifier: Apache-2.0 */
#include "hub/hub_http.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/fail.h"
#include "base/mem.h"
#include "base/number.h"
#include "hub/hub_curl.h"
#include "tandem/version.h"

#define REDIRECTS_MAX     8
#define REFUSAL_BYTES_MAX 65536 /* of a body that nobody reads */

struct tandem_hub_http {
    const tandem_curl *curl;
    CURL *handle;
    const tandem_hub_settings *settings;
    tandem_hub_watch *watch;
    bool has_connected; /* an answer came once: a failure now may pass */

    /* Of the request under way. */
    const tandem_hub_request *request;
    tandem_hub_reply *reply;
    tandem_error *err;
    tandem_status status; /* of the sink */
    size_t refusal_bytes;
    char url[TANDEM_HUB_URL_MAX];
    char range[24];
    char detail[CURL_ERROR_SIZE];
};

/* The length of "https://host:port" at the start of `url`; 0 if there is none, or if the host
 * holds anything by which two readers could see two hosts in it. */
static size_t origin_len(const char *url) {
    const size_t scheme = strncasecmp(url, "https://", 8) == 0  ? 8
                          : strncasecmp(url, "http://", 7) == 0 ? 7
                                                                : 0;
    if (scheme == 0) return 0;
    const size_t host = strcspn(url + scheme, "/?#");
    for (size_t i = 0; i < host; i++) {
        const char c = url[scheme + i];
        const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                              (c >= '0' && c <= '9') || (c != '\0' && strchr("-._:[]", c) != NULL);
        if (!is_plain) return 0;
    }
    return host == 0 ? 0 : scheme + host;
}

static bool is_same_origin(const char *a, const char *b) {
    const size_t len = origin_len(a);
    return len > 0 && len == origin_len(b) && strncasecmp(a, b, len) == 0;
}

/* "http://127.0.0.1:8080" and the like: what is sent there does not leave the machine. */
static bool is_loopback(const char *url) {
    static const char *const hosts[] = {"http://127.0.0.1", "http://localhost", "http://[::1]"};
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        const size_t len = strlen(hosts[i]);
        if (strncasecmp(url, hosts[i], len) == 0 && strchr(":/", url[len]) != NULL) return true;
    }
    return false;
}

static bool is_secure(const char *url) {
    return strncasecmp(url, "https:", 6) == 0;
}

/* A header's value between `line` and its end, without white space; false for another header. */
static bool header_is(const char *line, size_t len, const char *name, tandem_str *value) {
    const size_t name_len = strlen(name);
    if (len <= name_len || line[name_len] != ':' || strncasecmp(line, name, name_len) != 0) {
        return false;
    }
    size_t start = name_len + 1;
    while (start < len && (unsigned char)line[start] <= ' ') start++;
    while (len > start && (unsigned char)line[len - 1] <= ' ') len--;
    *value = (tandem_str){line + start, len - start};
    return true;
}

static void keep_text(tandem_str value, char *out, size_t size) {
    (void)snprintf(out, size, "%.*s", value.len < size ? (int)value.len : 0, value.ptr);
}

static void keep_etag(tandem_str value, char *out, size_t size) {
    if (tandem__str_starts(value, "W/")) value = (tandem_str){value.ptr + 2, value.len - 2};
    if (value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"') {
        value = (tandem_str){value.ptr + 1, value.len - 2};
    }
    keep_text(value, out, size);
}

static int64_t read_size(tandem_str value) {
    int64_t number = 0;
    return tandem__number_parse_int(value, &number) && number >= 0 ? number : -1;
}

/* "bytes 100-199/200" */
static int64_t read_range_start(tandem_str value) {
    if (!tandem__str_starts(value, "bytes ")) return -1;
    const char *dash = memchr(value.ptr, '-', value.len);
    if (dash == NULL) return -1;
    return read_size((tandem_str){value.ptr + 6, (size_t)(dash - value.ptr) - 6});
}

static size_t on_header(char *line, size_t size, size_t count, void *context) {
    tandem_hub_http *http = context;
    tandem_hub_reply *reply = http->reply;
    const size_t len = size * count;
    tandem_str value;
    if (len > 5 && strncmp(line, "HTTP/", 5) == 0) { /* of the next hop, or after a 100 */
        reply->length = -1;
        reply->range_start = -1;
        reply->etag[0] = '\0';
        reply->error_code[0] = '\0';
    } else if (header_is(line, len, "Content-Length", &value)) {
        reply->length = read_size(value);
    } else if (header_is(line, len, "Content-Range", &value)) {
        reply->range_start = read_range_start(value);
    } else if (header_is(line, len, "ETag", &value)) {
        keep_etag(value, reply->etag, sizeof reply->etag);
    } else if (header_is(line, len, "X-Linked-Etag", &value)) {
        if (reply->linked_etag[0] == '\0') {
            keep_etag(value, reply->linked_etag, sizeof reply->linked_etag);
        }
    } else if (header_is(line, len, "X-Linked-Size", &value)) {
        if (reply->linked_bytes < 0) reply->linked_bytes = read_size(value);
    } else if (header_is(line, len, "X-Repo-Commit", &value)) {
        if (reply->commit[0] == '\0') keep_text(value, reply->commit, sizeof reply->commit);
    } else if (header_is(line, len, "X-Error-Code", &value)) {
        keep_text(value, reply->error_code, sizeof reply->error_code);
    }
    return len;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *context) {
    tandem_hub_http *http = context;
    const size_t len = size * count;
    (void)http->curl->easy_getinfo(http->handle, CURLINFO_RESPONSE_CODE, &http->reply->code);
    if (http->reply->code != 200 && http->reply->code != 206) {
        http->refusal_bytes += len;
        return http->refusal_bytes <= REFUSAL_BYTES_MAX ? len : 0;
    }
    if (http->request->sink == NULL) return len;
    http->status = http->request->sink(http->request->context, http->reply, bytes, len, http->err);
    return http->status == TANDEM_OK ? len : 0;
}

static int on_tick(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    (void)a, (void)b, (void)c, (void)d;
    const tandem_hub_http *http = context;
    return tandem__hub_watch_tick(http->watch, false) ? 1 : 0;
}

/* Certificates of a company's own, by the variables that other tools take. */
static const char *certificates(void) {
    static const char *const variables[] = {"SSL_CERT_FILE", "CURL_CA_BUNDLE",
                                            "REQUESTS_CA_BUNDLE"};
    const char *path = NULL;
    for (size_t i = 0; path == NULL && i < sizeof variables / sizeof variables[0]; i++) {
        path = tandem__hub_environment(variables[i]);
    }
    return path;
}

/* Options are refused only by a libcurl that lacks them; each of these is older than libcurl.so.4's
 * oldest release in use. */
#define SET(option, value) (void)curl->easy_setopt(http->handle, (option), (value))

static struct curl_slist *add_headers(tandem_hub_http *http) {
    const tandem_curl *curl = http->curl;
    char line[TANDEM_HUB_TOKEN_MAX + 32];
    http->reply->has_token = http->settings->token[0] != '\0' &&
                             is_same_origin(http->url, http->settings->endpoint) &&
                             (is_secure(http->url) || is_loopback(http->url));
    struct curl_slist *headers = NULL;
    if (http->reply->has_token) {
        (void)snprintf(line, sizeof line, "Authorization: Bearer %s", http->settings->token);
        headers = curl->slist_append(headers, line);
    }
    return headers;
}

static void set_up(tandem_hub_http *http, const struct curl_slist *headers) {
    const tandem_curl *curl = http->curl;
    const tandem_hub_request *request = http->request;
    const long timeout_ms = http->settings->timeout_ms;
    curl->easy_reset(http->handle); /* keeps the connection */
    SET(CURLOPT_URL, http->url);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_USERAGENT, "tandem/" TANDEM_VERSION);
    SET(CURLOPT_ERRORBUFFER, http->detail);
    SET(CURLOPT_CONNECTTIMEOUT_MS, timeout_ms);
    SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
    SET(CURLOPT_LOW_SPEED_TIME, (timeout_ms + 999) / 1000);
    SET(CURLOPT_NOPROGRESS, 0L);
    SET(CURLOPT_XFERINFOFUNCTION, on_tick);
    SET(CURLOPT_XFERINFODATA, http);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, http);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, http);
    SET(CURLOPT_BUFFERSIZE, 131072L);
    if (request->is_head) SET(CURLOPT_NOBODY, 1L);
    if (request->offset > 0) { /* as RESUME_FROM, but a 200 is for the sink to judge */
        (void)snprintf(http->range, sizeof http->range, "%lld-", (long long)request->offset);
        SET(CURLOPT_RANGE, http->range);
    }
    if (certificates() != NULL) SET(CURLOPT_CAINFO, certificates());
    if (headers != NULL) SET(CURLOPT_HTTPHEADER, headers);
}

static bool is_passing(long code) {
    return code == 408 || code == 429 || (code >= 500 && code < 600);
}

/* What a failed exchange means. A wrong name, a wall or a bad certificate will not pass by itself;
 * a connection that had worked may. */
static tandem_status fail_exchange(tandem_hub_http *http, CURLcode code) {
    if (http->status != TANDEM_OK) return http->status;
    if (code == CURLE_ABORTED_BY_CALLBACK) return tandem__hub_watch_fail(http->watch, http->err);
    const char *why = http->detail[0] != '\0' ? http->detail : http->curl->easy_strerror(code);
    const int origin = (int)origin_len(http->url);
    http->reply->is_transient = http->has_connected && code != CURLE_PEER_FAILED_VERIFICATION;
    if (code == CURLE_OPERATION_TIMEDOUT) {
        http->reply->is_transient = true;
        return TANDEM_FAIL(http->err, TIMEOUT, "%.*s: nothing came for %d s", origin, http->url,
                           (http->settings->timeout_ms + 999) / 1000);
    }
    if (code == CURLE_WRITE_ERROR) {
        http->reply->is_transient = is_passing(http->reply->code);
        return TANDEM_FAIL(http->err, FORMAT, "%.*s: code %ld with an endless body", origin,
                           http->url, http->reply->code);
    }
    return TANDEM_FAIL(http->err, IO, "%.*s: %s", origin, http->url, why);
}

static tandem_status exchange(tandem_hub_http *http) {
    const tandem_curl *curl = http->curl;
    struct curl_slist *headers = add_headers(http);
    if (http->reply->has_token && headers == NULL) {
        return TANDEM_FAIL(http->err, MEMORY, "no memory for a request");
    }
    set_up(http, headers);
    http->detail[0] = '\0';
    http->refusal_bytes = 0;
    http->reply->code = 0;
    const CURLcode code = curl->easy_perform(http->handle);
    curl_off_t retry_after_s = 0;
    (void)curl->easy_getinfo(http->handle, CURLINFO_RESPONSE_CODE, &http->reply->code);
    (void)curl->easy_getinfo(http->handle, CURLINFO_RETRY_AFTER, &retry_after_s);
    curl->slist_free_all(headers);
    http->reply->retry_after_s = retry_after_s > 0 ? (int64_t)retry_after_s : -1;
    if (http->reply->code > 0) http->has_connected = true;
    if (code != CURLE_OK) return fail_exchange(http, code);
    http->reply->is_transient = is_passing(http->reply->code);
    return TANDEM_OK;
}

static bool is_redirect(long code) {
    return code == 301 || code == 302 || code == 303 || code == 307 || code == 308;
}

/* Moves http->url on; `is_end` where the redirect is the answer itself. */
static tandem_status follow(tandem_hub_http *http, bool *is_end) {
    char *next = NULL; /* absolute, libcurl's until the next request */
    (void)http->curl->easy_getinfo(http->handle, CURLINFO_REDIRECT_URL, &next);
    const int origin = (int)origin_len(http->url);
    if (next == NULL || origin_len(next) == 0 || strlen(next) >= sizeof http->url) {
        return TANDEM_FAIL(http->err, FORMAT, "%.*s: code %ld to an address that is none: %.100s",
                           origin, http->url, http->reply->code, next == NULL ? "" : next);
    }
    if (is_secure(http->url) && !is_secure(next)) {
        return TANDEM_FAIL(http->err, FORMAT, "%.*s: redirects from https to %.100s", origin,
                           http->url, next);
    }
    *is_end = http->request->is_head && !is_same_origin(next, http->settings->endpoint);
    if (!*is_end) memcpy(http->url, next, strlen(next) + 1);
    return TANDEM_OK;
}

tandem_status tandem__hub_http_send(tandem_hub_http *http, const tandem_hub_request *request,
                                    tandem_hub_reply *reply, tandem_error *err) {
    *reply = (tandem_hub_reply){
        .length = -1, .range_start = -1, .linked_bytes = -1, .retry_after_s = -1};
    if (strlen(request->url) >= sizeof http->url) {
        return TANDEM_FAIL(err, CAPACITY, "%.100s...: address is longer than %d bytes",
                           request->url, TANDEM_HUB_URL_MAX - 1);
    }
    memcpy(http->url, request->url, strlen(request->url) + 1);
    http->request = request;
    http->reply = reply;
    http->err = err;
    http->status = TANDEM_OK;
    for (int hop = 0; hop <= REDIRECTS_MAX; hop++) {
        TANDEM_TRY(exchange(http));
        if (!is_redirect(reply->code)) return TANDEM_OK;
        bool is_end = false;
        TANDEM_TRY(follow(http, &is_end));
        if (is_end) return TANDEM_OK;
    }
    return TANDEM_FAIL(err, FORMAT, "%.*s: more than %d redirects", (int)origin_len(request->url),
                       request->url, REDIRECTS_MAX);
}

tandem_status tandem__hub_http_open(const tandem_hub_settings *settings, tandem_hub_watch *watch,
                                    tandem_hub_http **http, tandem_error *err) {
    const tandem_curl *curl = NULL;
    TANDEM_TRY(tandem__curl_load(&curl, err));
    tandem_hub_http *self = tandem__mem_calloc(1, sizeof *self);
    CURL *handle = self == NULL ? NULL : curl->easy_init();
    if (handle == NULL) {
        tandem__mem_free(self);
        return TANDEM_FAIL(err, MEMORY, "no memory for a connection");
    }
    self->curl = curl;
    self->handle = handle;
    self->settings = settings;
    self->watch = watch;
    *http = self;
    return TANDEM_OK;
}

void tandem__hub_http_close(tandem_hub_http *http) {
    if (http == NULL) return;
    http->curl->easy_cleanup(http->handle);
    tandem__mem_free(http);
}
