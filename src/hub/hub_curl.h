/* SPDX-License-Identifier: Apache-2.0 */
/* libcurl, opened when the first request is made. Linking it would cost every run of the command
 * line the loading of some thirty libraries (5 ms and 6 MB, measured on Debian 12) for the one
 * command that downloads, and would keep a machine without it from embedding at all. Its header is
 * needed to build; its binary interface has been stable since 2006 (libcurl.so.4). */
#ifndef TANDEM_HUB_CURL_H
#define TANDEM_HUB_CURL_H

#include <curl/curl.h>

#include "tandem/status.h"

typedef struct tandem_curl {
    CURL *(*easy_init)(void);
    void (*easy_reset)(CURL *handle);
    void (*easy_cleanup)(CURL *handle);
    CURLcode (*easy_setopt)(CURL *handle, CURLoption option, ...);
    CURLcode (*easy_getinfo)(CURL *handle, CURLINFO info, ...);
    CURLcode (*easy_perform)(CURL *handle);
    const char *(*easy_strerror)(CURLcode code);
    CURLcode (*global_init)(long flags);
    struct curl_slist *(*slist_append)(struct curl_slist *list, const char *line);
    void (*slist_free_all)(struct curl_slist *list);
} tandem_curl;

/* The library, loaded once and kept. TANDEM_UNSUPPORTED says what to install. Any thread. */
tandem_status tandem__curl_load(const tandem_curl **curl, tandem_error *err) TANDEM_NODISCARD;

#endif
