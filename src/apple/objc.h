/* SPDX-License-Identifier: Apache-2.0 */
/* The Objective-C runtime from C, without its headers and without linking to it.
 *
 * tandem__objc_open finds the runtime and a framework by dlopen, once a process; where that fails
 * (every system but macOS) it says why and nothing of Apple's is ever called. After it each line of
 * messages.h is a C function whose first argument is the receiver:
 *
 *     objc_id library = mtl_new_library(device, source, options, &error);
 *
 * A call casts objc_msgSend to the message's own type: on arm64 a variadic call would put the
 * arguments elsewhere. A message to NULL answers 0, as in Objective-C.
 *
 * Ownership: what `ns_alloc`, `ns_retain` and the functions named `..._new_...` return is the
 * caller's to release; everything else belongs to the pool that is open on this thread. */
#ifndef TANDEM_APPLE_OBJC_H
#define TANDEM_APPLE_OBJC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "apple/messages.h"
#include "tandem/status.h"

typedef struct objc_object *objc_id;
typedef struct objc_selector *objc_sel;
typedef unsigned long objc_uint; /* NSUInteger */
typedef long objc_int;           /* NSInteger */
#if defined(__aarch64__)
typedef bool objc_bool;
#else
typedef signed char objc_bool;
#endif

/* MTLSize: on arm64 it is passed by a hidden reference, on x86-64 on the stack. */
typedef struct objc_size {
    objc_uint width;
    objc_uint height;
    objc_uint depth;
} objc_size;

/* NSOperatingSystemVersion: passed as objc_size is. */
typedef struct objc_version {
    objc_int major;
    objc_int minor;
    objc_int patch;
} objc_version;

/* A block made by hand, of the kind that is never copied ("global"): it must outlive the call that
 * it is given to and the last call of it. Layout: Clang's "Block Implementation Specification".
 * Fields of its own may follow in a struct that begins with this one. */
typedef struct objc_block {
    const void *isa;
    int32_t flags;
    int32_t reserved;
    void (*invoke)(void); /* cast from a function whose first argument is the block */
    const struct objc_block_layout *layout;
} objc_block;

typedef struct objc_block_layout {
    unsigned long reserved;
    unsigned long bytes; /* of the whole block */
} objc_block_layout;

/* Where libraries and symbols come from: dlopen and dlsym, or a test's stand-in. */
typedef struct objc_loader {
    void *(*open)(const char *path); /* NULL: not there */
    void *(*symbol)(void *library, const char *name);
} objc_loader;

/* clang-format off */
#define OBJC_INDEX(name, ...) OBJC_AT_##name,
enum {
    OBJC_MESSAGES(OBJC_INDEX, OBJC_INDEX, OBJC_INDEX, OBJC_INDEX, OBJC_INDEX, OBJC_INDEX,
                  OBJC_INDEX, OBJC_INDEX, OBJC_INDEX, OBJC_INDEX)
    OBJC_MESSAGE_COUNT
};
/* clang-format on */

typedef struct objc_runtime {
    void (*send)(void); /* objc_msgSend */
    objc_sel selectors[OBJC_MESSAGE_COUNT];
    objc_sel (*selector)(const char *name);
    objc_id (*class_of)(const char *name);
    void *(*pool_push)(void);
    void (*pool_pop)(void *pool);
    const void *global_block; /* isa of objc_block */
} objc_runtime;

/* Read only; filled by tandem__objc_open. */
extern objc_runtime tandem__objc;

/* Replaces dlopen and dlsym, and forgets what was opened; for tests, before the first use and with
 * no lane open. NULL: dlopen and dlsym again. */
void tandem__objc_use(const objc_loader *loader);

/* The runtime, Foundation, and `framework` ("Metal"), whose handle goes to *library. TANDEM_DEVICE
 * says what is missing. May be called again; any thread. */
tandem_status tandem__objc_open(const char *framework, void **library,
                                tandem_error *err) TANDEM_NODISCARD;

/* A framework of plain C functions ("Accelerate"), or a library by its path, without the runtime;
 * NULL where there is none. Any thread. */
void *tandem__objc_library(const char *name);

/* A function or variable of an opened framework, or NULL. */
void *tandem__objc_symbol(void *library, const char *name);

/* TANDEM_DEVICE with the system's own words: "what: localizedDescription". `error` may be NULL. */
tandem_status tandem__objc_fail(tandem_error *err, const char *what, objc_id error);

/* NULL where the system has no such class. */
static inline objc_id objc_class(const char *name) {
    return tandem__objc.class_of(name);
}

/* clang-format off */
#define OBJC_TYPE(result, ...) ((result (*)(__VA_ARGS__))tandem__objc.send)
#define OBJC_AT(name) tandem__objc.selectors[OBJC_AT_##name]
#define OBJC_SEND0(name, owner, since, selector, R) \
    static inline R name(objc_id to) \
    { return OBJC_TYPE(R, objc_id, objc_sel)(to, OBJC_AT(name)); }
#define OBJC_SEND1(name, owner, since, selector, R, A) \
    static inline R name(objc_id to, A a) \
    { return OBJC_TYPE(R, objc_id, objc_sel, A)(to, OBJC_AT(name), a); }
#define OBJC_SEND2(name, owner, since, selector, R, A, B) \
    static inline R name(objc_id to, A a, B b) \
    { return OBJC_TYPE(R, objc_id, objc_sel, A, B)(to, OBJC_AT(name), a, b); }
#define OBJC_SEND3(name, owner, since, selector, R, A, B, C) \
    static inline R name(objc_id to, A a, B b, C c) \
    { return OBJC_TYPE(R, objc_id, objc_sel, A, B, C)(to, OBJC_AT(name), a, b, c); }
#define OBJC_SEND4(name, owner, since, selector, R, A, B, C, D) \
    static inline R name(objc_id to, A a, B b, C c, D d) \
    { return OBJC_TYPE(R, objc_id, objc_sel, A, B, C, D)(to, OBJC_AT(name), a, b, c, d); }
#define OBJC_SEND6(name, owner, since, selector, R, A, B, C, D, E, F) \
    static inline R name(objc_id to, A a, B b, C c, D d, E e, F f) \
    { return OBJC_TYPE(R, objc_id, objc_sel, A, B, C, D, E, F)( \
          to, OBJC_AT(name), a, b, c, d, e, f); }
#define OBJC_VOID0(name, owner, since, selector) \
    static inline void name(objc_id to) \
    { OBJC_TYPE(void, objc_id, objc_sel)(to, OBJC_AT(name)); }
#define OBJC_VOID1(name, owner, since, selector, A) \
    static inline void name(objc_id to, A a) \
    { OBJC_TYPE(void, objc_id, objc_sel, A)(to, OBJC_AT(name), a); }
#define OBJC_VOID2(name, owner, since, selector, A, B) \
    static inline void name(objc_id to, A a, B b) \
    { OBJC_TYPE(void, objc_id, objc_sel, A, B)(to, OBJC_AT(name), a, b); }
#define OBJC_VOID3(name, owner, since, selector, A, B, C) \
    static inline void name(objc_id to, A a, B b, C c) \
    { OBJC_TYPE(void, objc_id, objc_sel, A, B, C)(to, OBJC_AT(name), a, b, c); }
OBJC_MESSAGES(OBJC_SEND0, OBJC_SEND1, OBJC_SEND2, OBJC_SEND3, OBJC_SEND4, OBJC_SEND6,
              OBJC_VOID0, OBJC_VOID1, OBJC_VOID2, OBJC_VOID3)
/* clang-format on */

/* Whether an object takes a message that is newer than OBJC_SINCE_MIN. */
static inline bool objc_responds(objc_id object, const char *selector) {
    return ns_responds(object, tandem__objc.selector(selector)) != 0;
}

static inline objc_id objc_text(const char *text) {
    return ns_string(objc_class("NSString"), text);
}

#endif
