/* SPDX-License-Identifier: Apache-2.0 */
/* Objects, messages and pools of the stand-in.
 *
 * An object has three kinds of owner, counted apart, so that a release too many is seen when it
 * happens and not when the last owner lets go: `refs` are the caller's (new, alloc, retain),
 * `pending` are releases that open pools will do, `held` are other objects of the stand-in. It is
 * freed when all are 0, and its memory stays, to name it if it is spoken to again.
 *
 * A selector is made anew for each line of messages.h, although lines may share a name: so a
 * message tells which line it was sent through, and a receiver that is not of that line's owner is
 * found even where it takes a message of the same name. */
#include "objc_sim.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FRAMEWORKS_MAX = 4, TEXT_MAX = 400 };

struct objc_object {
    const objc_sim_class *class;
    struct objc_object *next; /* of all ever made */
    void *data;
    int refs;
    int pending;
    int held;
    bool is_class;
    bool is_initialised;
    bool is_freed;
};

struct objc_selector {
    const char *name;
    int row; /* of messages.h, -1: of none, or of one that has its selector */
    struct objc_selector *next;
};

typedef struct row {
    const char *name;
    const char *owner;
    int since;
    const char *selector;
} row;

#define FIRST(first, ...)            first
#define ROW(name, owner, since, ...) {#name, owner, since, FIRST(__VA_ARGS__, )},
static const row rows[] = {OBJC_MESSAGES(ROW, ROW, ROW, ROW, ROW, ROW, ROW, ROW, ROW, ROW)};

typedef struct pool {
    struct pool *below;
    objc_id *objects;
    int count;
    int capacity;
} pool;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all that follows but top */
static objc_sim_options options;
static struct objc_object *objects;
static struct objc_selector *selectors;
static int misuses;
static char first_misuse[TEXT_MAX];
static int open_pools;
static _Thread_local pool *top;

/* Called with the lock or without it: it may abort, and then nothing else matters. */
static void count_misuse(const char *format, va_list arguments) TANDEM_PRINTF(1, 0);
static void count_misuse(const char *format, va_list arguments) {
    char text[TEXT_MAX];
    (void)vsnprintf(text, sizeof text, format, arguments);
    (void)fprintf(stderr, "objc_sim: %s\n", text);
    if (!options.is_counting) abort();
    if (misuses++ == 0) (void)snprintf(first_misuse, sizeof first_misuse, "%s", text);
}

static void misuse_locked(const char *format, ...) TANDEM_PRINTF(1, 2);
static void misuse_locked(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    count_misuse(format, arguments);
    va_end(arguments);
}

void objc_sim_misuse(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)pthread_mutex_lock(&lock);
    count_misuse(format, arguments);
    (void)pthread_mutex_unlock(&lock);
    va_end(arguments);
}

/* Objects. */

static void *clear_memory(size_t bytes) {
    void *memory = calloc(1, bytes == 0 ? 1 : bytes);
    if (memory == NULL) abort();
    return memory;
}

static objc_id make(const objc_sim_class *class, bool is_class) {
    struct objc_object *object = clear_memory(sizeof *object);
    object->class = class;
    object->is_class = is_class;
    object->data = is_class ? NULL : clear_memory(class->data_bytes);
    object->refs = is_class ? 0 : 1;
    (void)pthread_mutex_lock(&lock);
    object->next = objects;
    objects = object;
    (void)pthread_mutex_unlock(&lock);
    return object;
}

objc_id objc_sim_new(const objc_sim_class *class) {
    objc_id object = make(class, false);
    object->is_initialised = true;
    return object;
}

void *objc_sim_data(objc_id object) {
    return object->data;
}

/* Under the lock; true if nobody owns the object any more, and then the caller frees it. */
static bool is_done(objc_id object) {
    if (object->refs + object->pending + object->held > 0) return false;
    object->is_freed = true;
    return true;
}

static void free_data(objc_id object) {
    if (object->class->drop != NULL && object->is_initialised) object->class->drop(object);
    free(object->data);
    object->data = NULL;
    /* Whoever takes the lock after this knows that it is done. */
    (void)pthread_mutex_lock(&lock);
    (void)pthread_mutex_unlock(&lock);
}

objc_id objc_sim_retain(objc_id object) {
    if (object == NULL || object->is_class) return object;
    (void)pthread_mutex_lock(&lock);
    object->held++;
    (void)pthread_mutex_unlock(&lock);
    return object;
}

void objc_sim_release(objc_id object) {
    if (object == NULL || object->is_class) return;
    (void)pthread_mutex_lock(&lock);
    object->held--;
    const bool is_last = is_done(object);
    (void)pthread_mutex_unlock(&lock);
    if (is_last) free_data(object);
}

objc_id objc_sim_autorelease(objc_id object) {
    if (object == NULL) return NULL;
    (void)pthread_mutex_lock(&lock);
    if (top == NULL) {
        misuse_locked("a %s is autoreleased with no pool in place: it leaks", object->class->name);
    } else {
        if (top->count == top->capacity) {
            top->capacity = top->capacity * 2 + 16;
            top->objects = realloc(top->objects, (size_t)top->capacity * sizeof *top->objects);
            if (top->objects == NULL) abort();
        }
        top->objects[top->count++] = object;
        object->refs--;
        object->pending++;
    }
    (void)pthread_mutex_unlock(&lock);
    return object;
}

static bool conforms(const objc_sim_class *class, const char *name) {
    for (; class != NULL; class = class->parent) {
        if (strcmp(class->name, name) == 0) return true;
    }
    return false;
}

bool objc_sim_is(objc_id object, const char *class_name, const char *what) {
    (void)pthread_mutex_lock(&lock);
    bool is_right = false;
    if (object == NULL)
        misuse_locked("%s: nil, expected a %s", what, class_name);
    else if (object->is_freed)
        misuse_locked("%s: a %s that is freed", what, object->class->name);
    else if (object->is_class || !conforms(object->class, class_name))
        misuse_locked("%s: a %s, expected a %s", what, object->class->name, class_name);
    else if (!object->is_initialised)
        misuse_locked("%s: a %s that is not initialised", what, object->class->name);
    else
        is_right = true;
    (void)pthread_mutex_unlock(&lock);
    return is_right;
}

/* NSObject. */

static objc_id object_alloc(objc_id self, objc_sel selector) {
    (void)selector;
    return make(self->class, false);
}

static objc_id object_init(objc_id self, objc_sel selector) {
    (void)selector;
    return self;
}

static objc_id object_retain(objc_id self, objc_sel selector) {
    (void)selector;
    (void)pthread_mutex_lock(&lock);
    self->refs++;
    (void)pthread_mutex_unlock(&lock);
    return self;
}

static void object_release(objc_id self, objc_sel selector) {
    (void)selector;
    if (self->is_class) return;
    (void)pthread_mutex_lock(&lock);
    bool is_last = false;
    if (self->refs == 0) {
        misuse_locked("a %s is released once too often: %s owns it", self->class->name,
                      self->pending > 0 ? "a pool" : "another object");
    } else {
        self->refs--;
        is_last = is_done(self);
    }
    (void)pthread_mutex_unlock(&lock);
    if (is_last) free_data(self);
}

/* The method of a class for a message; its line of messages.h goes to *found. */
static const objc_sim_method *find_method(const objc_sim_class *class, const char *selector,
                                          bool is_class, const row **found) {
    for (; class != NULL; class = class->parent) {
        for (int i = 0; i < class->method_count; i++) {
            const row *line = &rows[class->methods[i].message];
            if (strcmp(line->selector, selector) != 0) continue;
            if ((line->owner[0] == '+') != is_class) continue;
            *found = line;
            return &class->methods[i];
        }
    }
    return NULL;
}

static objc_bool object_responds(objc_id self, objc_sel selector, objc_sel asked) {
    const row *line = NULL;
    (void)selector;
    return find_method(self->class, asked->name, self->is_class, &line) != NULL &&
           line->since <= options.version;
}

static const objc_sim_method object_methods[] = {
    OBJC_SIM_METHOD(ns_alloc, object_alloc),       OBJC_SIM_METHOD(ns_init, object_init),
    OBJC_SIM_METHOD(ns_retain, object_retain),     OBJC_SIM_METHOD(ns_release, object_release),
    OBJC_SIM_METHOD(ns_responds, object_responds),
};

const objc_sim_class objc_sim_nsobject = {
    .name = "NSObject",
    .methods = object_methods,
    .method_count = sizeof object_methods / sizeof object_methods[0],
};

/* Messages. */

static bool is_init(const char *selector) {
    return strncmp(selector, "init", 4) == 0;
}

/* What is wrong with the receiver, or true. */
static bool is_receiver(objc_id self, const objc_sel selector) {
    const char *class_name = self->class->name;
    if (self->is_freed) {
        misuse_locked("-%s sent to a freed %s", selector->name, class_name);
        return false;
    }
    if (self->is_class || strcmp(selector->name, "release") == 0) return true;
    if (is_init(selector->name) && self->is_initialised) {
        misuse_locked("-%s sent to a %s that is initialised already", selector->name, class_name);
        return false;
    }
    if (is_init(selector->name)) {
        self->is_initialised = true;
    } else if (!self->is_initialised) {
        misuse_locked("-%s sent to a %s that is not initialised", selector->name, class_name);
        return false;
    }
    return true;
}

static void (*find_deed(objc_id self, objc_sel selector))(void) {
    const char *class_name = self->class->name;
    const row *line = NULL;
    if (!is_receiver(self, selector)) return NULL;
    const objc_sim_method *method = find_method(self->class, selector->name, self->is_class, &line);
    if (method == NULL) {
        misuse_locked("%s sent to a %s%s: unrecognized selector", selector->name, class_name,
                      self->is_class ? " class" : "");
        return NULL;
    }
    if (selector->row < 0 || &rows[selector->row] != line) {
        misuse_locked("%s sent to a %s as to a %s", selector->name, class_name,
                      selector->row < 0 ? "stranger" : rows[selector->row].owner + 1);
        return NULL;
    }
    if (line->since > options.version) {
        misuse_locked("%s sent to a %s: this macOS is %d, the message came with %d", selector->name,
                      class_name, options.version, line->since);
        return NULL;
    }
    return method->deed;
}

/* The implementation that the trampoline jumps to. Its caller is the assembly below. */
void (*objc_sim_lookup(objc_id self, objc_sel selector))(void);
void objc_sim_send(void);
void objc_sim_nothing(void);

void (*objc_sim_lookup(objc_id self, objc_sel selector))(void) {
    (void)pthread_mutex_lock(&lock);
    void (*deed)(void) = find_deed(self, selector);
    (void)pthread_mutex_unlock(&lock);
    return deed == NULL ? objc_sim_nothing : deed;
}

/* objc_msgSend: keeps every register that may carry an argument, asks, and jumps with the caller's
 * stack, where larger arguments lie. nil answers 0. */
__asm__(".text\n"
        ".globl objc_sim_send\n"
        ".type objc_sim_send, @function\n"
        "objc_sim_send:\n"
        "  test %rdi, %rdi\n"
        "  jz objc_sim_nothing\n"
        "  push %rdi\n  push %rsi\n  push %rdx\n  push %rcx\n  push %r8\n  push %r9\n"
        "  sub $72, %rsp\n"
        "  movsd %xmm0, (%rsp)\n  movsd %xmm1, 8(%rsp)\n"
        "  movsd %xmm2, 16(%rsp)\n  movsd %xmm3, 24(%rsp)\n"
        "  movsd %xmm4, 32(%rsp)\n  movsd %xmm5, 40(%rsp)\n"
        "  movsd %xmm6, 48(%rsp)\n  movsd %xmm7, 56(%rsp)\n"
        "  call objc_sim_lookup@PLT\n"
        "  movsd (%rsp), %xmm0\n  movsd 8(%rsp), %xmm1\n"
        "  movsd 16(%rsp), %xmm2\n  movsd 24(%rsp), %xmm3\n"
        "  movsd 32(%rsp), %xmm4\n  movsd 40(%rsp), %xmm5\n"
        "  movsd 48(%rsp), %xmm6\n  movsd 56(%rsp), %xmm7\n"
        "  add $72, %rsp\n"
        "  pop %r9\n  pop %r8\n  pop %rcx\n  pop %rdx\n  pop %rsi\n  pop %rdi\n"
        "  jmp *%rax\n"
        ".globl objc_sim_nothing\n"
        ".type objc_sim_nothing, @function\n"
        "objc_sim_nothing:\n"
        "  xor %eax, %eax\n  xor %edx, %edx\n  pxor %xmm0, %xmm0\n  ret\n"
        ".section .note.GNU-stack,\"\",@progbits\n"
        ".text\n");

/* The runtime's functions. */

static objc_sel register_name(const char *name) {
    (void)pthread_mutex_lock(&lock);
    int free_row = -1;
    for (int i = OBJC_MESSAGE_COUNT - 1; i >= 0; i--) {
        if (strcmp(rows[i].selector, name) != 0) continue;
        bool is_taken = false;
        for (const struct objc_selector *s = selectors; s != NULL; s = s->next)
            is_taken = is_taken || s->row == i;
        if (!is_taken) free_row = i;
    }
    struct objc_selector *made = clear_memory(sizeof *made);
    made->name = free_row >= 0 ? rows[free_row].selector : strdup(name);
    made->row = free_row;
    made->next = selectors;
    selectors = made;
    (void)pthread_mutex_unlock(&lock);
    return made;
}

static bool is_missing(const char *name) {
    return options.missing != NULL && strcmp(name, options.missing) == 0;
}

static const objc_sim_framework *framework_at(int index) {
    return index < 0 ? &objc_sim_foundation : options.frameworks[index];
}

static const objc_sim_class *find_class(const char *name) {
    for (int i = -1; i < options.framework_count; i++) {
        const objc_sim_framework *framework = framework_at(i);
        for (int j = 0; j < framework->class_count; j++) {
            const objc_sim_class *class = framework->classes[j];
            if (class->is_protocol || class->since > options.version) continue;
            if (strcmp(class->name, name) == 0) return class;
        }
    }
    return NULL;
}

static objc_id get_class(const char *name) {
    const objc_sim_class *class = is_missing(name) ? NULL : find_class(name);
    objc_id found = NULL;
    if (class == NULL) return NULL;
    (void)pthread_mutex_lock(&lock);
    for (struct objc_object *object = objects; object != NULL; object = object->next) {
        if (object->is_class && object->class == class) found = object;
    }
    (void)pthread_mutex_unlock(&lock);
    return found == NULL ? make(class, true) : found;
}

static void *pool_push(void) {
    pool *made = clear_memory(sizeof *made);
    made->below = top;
    top = made;
    (void)pthread_mutex_lock(&lock);
    open_pools++;
    (void)pthread_mutex_unlock(&lock);
    return made;
}

static void pool_release(objc_id object) {
    (void)pthread_mutex_lock(&lock);
    object->pending--;
    const bool is_last = is_done(object);
    (void)pthread_mutex_unlock(&lock);
    if (is_last) free_data(object);
}

static void pool_pop(void *token) {
    if (token != top || top == NULL) {
        objc_sim_misuse("a pool is popped that is not the last one opened on this thread");
        return;
    }
    pool *popped = top;
    while (popped->count > 0) pool_release(popped->objects[--popped->count]);
    top = popped->below;
    free(popped->objects);
    free(popped);
    (void)pthread_mutex_lock(&lock);
    open_pools--;
    (void)pthread_mutex_unlock(&lock);
}

/* The loader. */

#define CALL(word, function)                                                                       \
    { .name = word, .call = (void (*)(void))(function) }

static const void *global_block; /* what it points to does not matter */

static const objc_sim_symbol runtime_symbols[] = {
    CALL("objc_msgSend", objc_sim_send),
    CALL("sel_registerName", register_name),
    CALL("objc_getClass", get_class),
    CALL("objc_autoreleasePoolPush", pool_push),
    CALL("objc_autoreleasePoolPop", pool_pop),
    {.name = "_NSConcreteGlobalBlock", .address = &global_block},
};

static const objc_sim_framework runtime = {
    .name = "libobjc.A.dylib",
    .symbols = runtime_symbols,
    .symbol_count = sizeof runtime_symbols / sizeof runtime_symbols[0],
};

static void *open_library(const char *path) {
    char expected[128];
    if (strcmp(path, "/usr/lib/libobjc.A.dylib") == 0)
        return is_missing("libobjc") ? NULL : (void *)(uintptr_t)&runtime;
    for (int i = -1; i < options.framework_count; i++) {
        const objc_sim_framework *framework = framework_at(i);
        (void)snprintf(expected, sizeof expected, "/System/Library/Frameworks/%s.framework/%s",
                       framework->name, framework->name);
        if (framework->name[0] == '/')
            (void)snprintf(expected, sizeof expected, "%s", framework->name);
        if (strcmp(path, expected) != 0 || is_missing(framework->name)) continue;
        return (void *)(uintptr_t)framework;
    }
    return NULL;
}

static void *find_symbol(void *library, const char *name) {
    const objc_sim_framework *framework = library;
    if (library == NULL || is_missing(name)) return NULL;
    for (int i = 0; i < framework->symbol_count; i++) {
        const objc_sim_symbol *symbol = &framework->symbols[i];
        if (strcmp(symbol->name, name) != 0) continue;
        return symbol->call == NULL ? symbol->address : *(void *const *)(const void *)&symbol->call;
    }
    return NULL;
}

static const objc_loader loader = {.open = open_library, .symbol = find_symbol};

void objc_sim_start(const objc_sim_options *wanted) {
    if (wanted->framework_count > FRAMEWORKS_MAX) abort();
    options = *wanted;
    if (options.version == 0) options.version = OBJC_SINCE_MIN;
    misuses = 0;
    first_misuse[0] = '\0';
    objc_sim_set_thermal_state(0);
    tandem__objc_use(&loader);
}

/* Says what is alive, by class; returns how many objects are. */
static int say_leaks(void) {
    int leaks = 0;
    for (const struct objc_object *object = objects; object != NULL; object = object->next) {
        if (object->is_class || object->is_freed) continue;
        leaks++;
        (void)fprintf(stderr, "objc_sim: a %s leaks: %d references, %d in pools, %d of others\n",
                      object->class->name, object->refs, object->pending, object->held);
    }
    return leaks;
}

static void forget(void) {
    for (struct objc_object *object = objects; object != NULL; object = object->next) {
        if (object->is_class || object->is_freed) continue;
        object->is_freed = true;
        free_data(object);
    }
    while (objects != NULL) {
        struct objc_object *next = objects->next;
        free(objects->data);
        free(objects);
        objects = next;
    }
    while (selectors != NULL) {
        struct objc_selector *next = selectors->next;
        if (selectors->row < 0) free((void *)(uintptr_t)selectors->name);
        free(selectors);
        selectors = next;
    }
}

int objc_sim_stop(void) {
    int faults = misuses + say_leaks();
    if (open_pools > 0) {
        (void)fprintf(stderr, "objc_sim: %d pools are left open\n", open_pools);
        faults += open_pools;
        open_pools = 0;
    }
    while (top != NULL) {
        pool *below = top->below;
        free(top->objects);
        free(top);
        top = below;
    }
    tandem__objc_use(NULL);
    forget();
    return faults;
}

int objc_sim_version(void) {
    return options.version;
}

int objc_sim_misuses(void) {
    (void)pthread_mutex_lock(&lock);
    const int count = misuses;
    (void)pthread_mutex_unlock(&lock);
    return count;
}

const char *objc_sim_first_misuse(void) {
    return first_misuse;
}

int objc_sim_live(const char *class_name) {
    int count = 0;
    (void)pthread_mutex_lock(&lock);
    for (const struct objc_object *object = objects; object != NULL; object = object->next) {
        if (object->is_class || object->is_freed) continue;
        count += class_name == NULL || strcmp(object->class->name, class_name) == 0;
    }
    (void)pthread_mutex_unlock(&lock);
    return count;
}
