/* SPDX-License-Identifier: Apache-2.0 */
#include "hub/hub_curl.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/fail.h"

/* The OpenSSL flavour first; Debian's others have the same interface. */
static const char *const libraries[] = {
#ifdef __APPLE__
    "libcurl.4.dylib",
    "/opt/homebrew/opt/curl/lib/libcurl.4.dylib",
#else
    "libcurl.so.4",
    "libcurl-gnutls.so.4",
#endif
};

static const struct {
    const char *name;
    size_t offset;
} functions[] = {
    {"curl_easy_init", offsetof(tandem_curl, easy_init)},
    {"curl_easy_reset", offsetof(tandem_curl, easy_reset)},
    {"curl_easy_cleanup", offsetof(tandem_curl, easy_cleanup)},
    {"curl_easy_setopt", offsetof(tandem_curl, easy_setopt)},
    {"curl_easy_getinfo", offsetof(tandem_curl, easy_getinfo)},
    {"curl_easy_perform", offsetof(tandem_curl, easy_perform)},
    {"curl_easy_strerror", offsetof(tandem_curl, easy_strerror)},
    {"curl_global_init", offsetof(tandem_curl, global_init)},
    {"curl_slist_append", offsetof(tandem_curl, slist_append)},
    {"curl_slist_free_all", offsetof(tandem_curl, slist_free_all)},
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static tandem_curl loaded;
static bool is_loaded;

_Static_assert(sizeof(void *) == sizeof(CURL * (*)(void)), "dlsym gives functions as pointers");

static void load(void) {
    void *library = NULL;
    for (size_t i = 0; library == NULL && i < sizeof libraries / sizeof libraries[0]; i++) {
        library = dlopen(libraries[i], RTLD_NOW | RTLD_LOCAL);
    }
    if (library == NULL) return;
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        void *symbol = dlsym(library, functions[i].name);
        if (symbol == NULL) return;
        memcpy((char *)&loaded + functions[i].offset, &symbol, sizeof symbol);
    }
    is_loaded = loaded.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

tandem_status tandem__curl_load(const tandem_curl **curl, tandem_error *err) {
    if (pthread_once(&once, load) != 0 || !is_loaded) {
        return TANDEM_FAIL(err, UNSUPPORTED,
                           "downloading needs %s, which is not on this machine: install libcurl "
                           "(Debian: libcurl4)",
                           libraries[0]);
    }
    *curl = &loaded;
    return TANDEM_OK;
}
