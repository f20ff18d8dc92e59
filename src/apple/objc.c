/* SPDX-License-Identifier: Apache-2.0 */
/* Finding the runtime. Frameworks lie in the system's shared cache and not on the disk: dlopen by
 * their full path is right although no such file exists. */
#include "apple/objc.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

#include "base/fail.h"

#define RUNTIME_PATH "/usr/lib/libobjc.A.dylib"
#define FRAMEWORK    "/System/Library/Frameworks/%s.framework/%s"

static void *open_library(const char *path) {
    return dlopen(path, RTLD_NOW | RTLD_GLOBAL);
}

static const objc_loader system_loader = {.open = open_library, .symbol = dlsym};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const objc_loader *loader = &system_loader;
static bool is_open; /* under the lock */

objc_runtime tandem__objc;

#define FIRST(first, ...)                 first
#define SELECTOR(name, owner, since, ...) FIRST(__VA_ARGS__, ),
static const char *const selectors[] = {OBJC_MESSAGES(SELECTOR, SELECTOR, SELECTOR, SELECTOR,
                                                      SELECTOR, SELECTOR, SELECTOR, SELECTOR,
                                                      SELECTOR, SELECTOR)};

void tandem__objc_use(const objc_loader *other) {
    (void)pthread_mutex_lock(&lock);
    loader = other == NULL ? &system_loader : other;
    is_open = false;
    tandem__objc = (objc_runtime){0};
    (void)pthread_mutex_unlock(&lock);
}

static void *open_framework(const char *name) {
    char path[128];
    (void)snprintf(path, sizeof path, FRAMEWORK, name, name);
    return loader->open(path);
}

/* A function's address out of a data pointer: POSIX's dlsym has no other way. */
#define FIND(field, library, name)                                                                 \
    do {                                                                                           \
        void *found_ = loader->symbol(library, name);                                              \
        if (found_ == NULL) return TANDEM_FAIL(err, DEVICE, "%s has no %s", RUNTIME_PATH, name);   \
        *(void **)(void *)&(field) = found_;                                                       \
    } while (0)

static tandem_status open_runtime(tandem_error *err) {
    if (is_open) return TANDEM_OK;
    void *runtime = loader->open(RUNTIME_PATH);
    if (runtime == NULL || open_framework("Foundation") == NULL)
        return TANDEM_FAIL(err, DEVICE, "needs macOS: this system has no %s", RUNTIME_PATH);
    FIND(tandem__objc.send, runtime, "objc_msgSend");
    FIND(tandem__objc.selector, runtime, "sel_registerName");
    FIND(tandem__objc.class_of, runtime, "objc_getClass");
    FIND(tandem__objc.pool_push, runtime, "objc_autoreleasePoolPush");
    FIND(tandem__objc.pool_pop, runtime, "objc_autoreleasePoolPop");
    /* In libSystem, which every process has: any handle finds it. */
    FIND(tandem__objc.global_block, runtime, "_NSConcreteGlobalBlock");
    for (int i = 0; i < OBJC_MESSAGE_COUNT; i++)
        tandem__objc.selectors[i] = tandem__objc.selector(selectors[i]);
    is_open = true;
    return TANDEM_OK;
}

tandem_status tandem__objc_open(const char *framework, void **library, tandem_error *err) {
    (void)pthread_mutex_lock(&lock);
    tandem_status status = open_runtime(err);
    if (status == TANDEM_OK) {
        *library = open_framework(framework);
        if (*library == NULL)
            status = TANDEM_FAIL(err, DEVICE, "this macOS has no framework %s", framework);
    }
    (void)pthread_mutex_unlock(&lock);
    return status;
}

void *tandem__objc_library(const char *name) {
    (void)pthread_mutex_lock(&lock);
    void *library = name[0] == '/' ? loader->open(name) : open_framework(name);
    (void)pthread_mutex_unlock(&lock);
    return library;
}

void *tandem__objc_symbol(void *library, const char *name) {
    return loader->symbol(library, name);
}

tandem_status tandem__objc_fail(tandem_error *err, const char *what, objc_id error) {
    const char *text = error == NULL ? NULL : ns_utf8(ns_error_text(error));
    return TANDEM_FAIL(err, DEVICE, "%s: %s", what,
                       text == NULL ? "the system gave no reason" : text);
}
