/* SPDX-License-Identifier: Apache-2.0 */
/* A stand-in for the Objective-C runtime and Foundation, so that the host code of the Apple lanes
 * runs unchanged on Linux and every misuse of an object is found there.
 *
 * objc_sim_start gives objc.c a loader that knows the runtime, Foundation and the frameworks it is
 * told of (metal_sim.c, coreml_sim.c), and a version of macOS to be. From then on it is misuse
 *
 *   - to send a message to an object whose class does not take it, that is freed, or that was
 *     allocated and not initialised; or through the line of messages.h of another class;
 *   - to send a message that is newer than the simulated macOS;
 *   - to release once too often, or what only a pool owns;
 *   - to autorelease where the thread has no pool open, or to pop a pool that is not open;
 *   - whatever a framework's stand-in calls so, by objc_sim_misuse.
 *
 * Misuse aborts with its message, or is counted where the test wants to see it. Objects live on
 * after they are freed, as zombies, until objc_sim_stop, which says what leaked by its class.
 *
 * A framework is a list of classes with methods, each tied to its line of messages.h: an
 * implementation of another type does not compile. Any thread. */
#ifndef TANDEM_TESTS_APPLE_OBJC_SIM_H
#define TANDEM_TESTS_APPLE_OBJC_SIM_H

#include "apple/objc.h"

/* The type of each line's implementation: objc_sim_ns_release is void(objc_id, objc_sel). */
/* clang-format off */
#define OBJC_SIM_TYPE0(name, owner, since, selector, R) \
    typedef R objc_sim_##name(objc_id, objc_sel);
#define OBJC_SIM_TYPE(name, owner, since, selector, R, ...) \
    typedef R objc_sim_##name(objc_id, objc_sel, __VA_ARGS__);
#define OBJC_SIM_VOID0(name, owner, since, selector) \
    typedef void objc_sim_##name(objc_id, objc_sel);
#define OBJC_SIM_VOID(name, owner, since, selector, ...) \
    typedef void objc_sim_##name(objc_id, objc_sel, __VA_ARGS__);
OBJC_MESSAGES(OBJC_SIM_TYPE0, OBJC_SIM_TYPE, OBJC_SIM_TYPE, OBJC_SIM_TYPE, OBJC_SIM_TYPE,
              OBJC_SIM_TYPE, OBJC_SIM_VOID0, OBJC_SIM_VOID, OBJC_SIM_VOID, OBJC_SIM_VOID)
/* clang-format on */

typedef struct objc_sim_method {
    int message; /* OBJC_AT_... */
    void (*deed)(void);
} objc_sim_method;

/* A line of a class's table: {OBJC_SIM_METHOD(mtl_commit, commit), ...}. */
#define OBJC_SIM_METHOD(name, function)                                                            \
    { OBJC_AT_##name, (void (*)(void)) _Generic(&(function), objc_sim_##name * : &(function)) }

/* A class, or a protocol that the stand-in's objects have in place of one. */
typedef struct objc_sim_class {
    const char *name;                    /* as the owner in messages.h, without its sign */
    const struct objc_sim_class *parent; /* whose messages it takes too; NULL: NSObject alone */
    int since;                           /* as in messages.h; an older macOS has no such class */
    bool is_protocol;                    /* objc_class() knows nothing of it */
    size_t data_bytes;                   /* of an object's own data, zeroed; see objc_sim_data */
    void (*drop)(objc_id object);        /* gives back what the data holds, or NULL */
    const objc_sim_method *methods;
    int method_count;
} objc_sim_class;

typedef struct objc_sim_symbol {
    const char *name;
    void *address;      /* of a variable, or NULL */
    void (*call)(void); /* a function, or NULL */
} objc_sim_symbol;

typedef struct objc_sim_framework {
    const char *name; /* "Metal", or of a library its path */
    const objc_sim_class *const *classes;
    int class_count;
    const objc_sim_symbol *symbols;
    int symbol_count;
} objc_sim_framework;

typedef struct objc_sim_options {
    int version;         /* of macOS: major * 100 + minor, 1400; 0: 1400 */
    bool is_counting;    /* misuse is counted and does not abort */
    const char *missing; /* a framework's, symbol's or class's name that is not there, or NULL */
    const objc_sim_framework *const *frameworks;
    int framework_count; /* at most 4 */
} objc_sim_options;

/* No lane may be open. */
void objc_sim_start(const objc_sim_options *options);

/* dlopen and dlsym again. Returns misuses + leaks, each said on standard error; 0 is well. Every
 * thread that sent messages has ended or sends no more. */
int objc_sim_stop(void);

int objc_sim_version(void);

/* What a test looks at. */
int objc_sim_misuses(void);
const char *objc_sim_first_misuse(void);   /* its text, or "" */
int objc_sim_live(const char *class_name); /* objects not freed; NULL: of every class */

/* Of NSProcessInfo: 0 nominal to 3 critical. */
void objc_sim_set_thermal_state(long state);

/* For the stand-ins. */

void objc_sim_misuse(const char *format, ...) TANDEM_PRINTF(1, 2);

/* An initialised object with one reference, the caller's. */
objc_id objc_sim_new(const objc_sim_class *class);
void *objc_sim_data(objc_id object);
objc_id objc_sim_retain(objc_id object); /* NULL is allowed in these three */
void objc_sim_release(objc_id object);
objc_id objc_sim_autorelease(objc_id object);

/* Whether `object` is alive, initialised and a `class_name`; misuse if not, told with `what`
 * ("setBuffer:"). NULL is none. */
bool objc_sim_is(objc_id object, const char *class_name, const char *what);

/* Autoreleased, as what their classes' methods return. */
objc_id objc_sim_string(const char *text);
objc_id objc_sim_error(long code, const char *text);
objc_id objc_sim_array(const objc_id *objects, unsigned long count);

/* What is in an NSString, NSURL (its path), NSNumber, NSArray, NSDictionary (by string keys). */
const char *objc_sim_text(objc_id string);
long objc_sim_integer(objc_id number);
unsigned long objc_sim_count(objc_id array);
objc_id objc_sim_at(objc_id array, unsigned long index);
objc_id objc_sim_get(objc_id dictionary, const char *key);
unsigned long objc_sim_entries(objc_id dictionary);
const char *objc_sim_key(objc_id dictionary, unsigned long index);

/* Foundation's classes, for objc_sim.c (objc_sim_foundation.c). */
extern const objc_sim_framework objc_sim_foundation;
extern const objc_sim_class objc_sim_nsobject;

#endif
