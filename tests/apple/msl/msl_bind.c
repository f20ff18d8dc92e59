/* SPDX-License-Identifier: Apache-2.0 */
/* msl_bind THUNKS NAMES SOURCE...: reads the kernels' signatures in Metal sources. THUNKS, for
 * clang, includes them and has for each kernel a function that takes its arguments from an
 * msl_thread and a list of what they are; both have a name MSL_NAME(...) that differs between
 * builds. NAMES has a line MSL_KERNEL(name) for each. Attributes make that easy: each parameter
 * stands between commas outside of brackets and must carry one. */
#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SOURCE_MAX = 1 << 20, NAME_MAX_LEN = 64, TEXT_MAX = 8192 };

typedef struct bind_text {
    char data[TEXT_MAX];
    size_t len;
} bind_text;

static char source[SOURCE_MAX];
static FILE *thunks;
static FILE *names;

static void stop(const char *kernel, const char *what, const char *detail) {
    (void)fprintf(stderr, "msl_bind: %s: %s%s\n", kernel, what, detail);
    exit(1);
}

__attribute__((format(printf, 2, 3))) static void add(bind_text *text, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const int wrote = vsnprintf(text->data + text->len, TEXT_MAX - text->len, format, args);
    va_end(args);
    if (wrote < 0 || (size_t)wrote >= TEXT_MAX - text->len) stop(text->data, "too long", "");
    text->len += (size_t)wrote;
}

static bool is_word(char c) {
    return isalnum((unsigned char)c) || c == '_';
}

/* Comments become spaces, lines stay. */
static void strip_comments(char *at) {
    while (*at != '\0') {
        const char *end = NULL;
        if (strncmp(at, "//", 2) == 0) end = at + strcspn(at, "\n");
        if (strncmp(at, "/*", 2) == 0) {
            end = strstr(at, "*/");
            end = end == NULL ? at + strlen(at) : end + 2;
        }
        if (end == NULL) at++;
        while (end != NULL && at < end) {
            if (*at != '\n') *at = ' ';
            at++;
        }
    }
}

/* [at, end) without space at its ends, into `word`. */
static void copy_trimmed(char *word, size_t size, const char *at, const char *end) {
    while (at < end && isspace((unsigned char)*at)) at++;
    while (end > at && isspace((unsigned char)end[-1])) end--;
    const size_t len = (size_t)(end - at);
    if (len >= size) stop(at, "too long a name or type", "");
    memcpy(word, at, len);
    word[len] = '\0';
}

/* A [[thread_position_in_grid]] and its like: an array of 3 or a number in msl_thread. */
static void bind_builtin(const char *kernel, const char *type, const char *attribute,
                         bind_text *call) {
    static const char *const vectors[] = {"threadgroup_position_in_grid", "thread_position_in_grid",
                                          "thread_position_in_threadgroup",
                                          "threads_per_threadgroup", "threadgroups_per_grid"};
    static const char *const scalars[] = {"thread_index_in_threadgroup",
                                          "thread_index_in_simdgroup",
                                          "simdgroup_index_in_threadgroup"};
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        if (strcmp(attribute, vectors[i]) != 0) continue;
        const char last = type[strlen(type) - 1];
        const int count = isdigit((unsigned char)last) ? last - '0' : 1;
        add(call, "(%s)(", type);
        for (int k = 0; k < count; k++) add(call, "%st->%s[%d]", k > 0 ? ", " : "", attribute, k);
        add(call, ")");
        return;
    }
    for (size_t i = 0; i < sizeof scalars / sizeof scalars[0]; i++) {
        if (strcmp(attribute, scalars[i]) != 0) continue;
        add(call, "(%s)t->%s", type, attribute);
        return;
    }
    stop(kernel, "an attribute that the tests do not know: ", attribute);
}

/* One parameter, [at, end): "TYPE NAME [[ATTRIBUTE]]" or "TYPE NAME [[ATTRIBUTE(INDEX)]]". */
static void bind_parameter(const char *kernel, const char *at, const char *end, bind_text *call,
                           bind_text *list) {
    char parameter[512];
    char type[256];
    char attribute[NAME_MAX_LEN];
    copy_trimmed(parameter, sizeof parameter, at, end);
    char *mark = strstr(parameter, "[[");
    if (mark == NULL) stop(kernel, "a parameter without an attribute: ", parameter);
    const char *from = mark + 2;
    copy_trimmed(attribute, sizeof attribute, from, from + strcspn(from, "(]"));
    const char *open = strchr(from, '(');
    const int index = open == NULL ? 0 : (int)strtol(open + 1, NULL, 10);
    const char *name = mark;
    while (name > parameter && isspace((unsigned char)name[-1])) name--;
    while (name > parameter && is_word(name[-1])) name--;
    copy_trimmed(type, sizeof type, parameter, name);
    if (call->len > 0) add(call, ", ");
    if (strcmp(attribute, "threadgroup") == 0) {
        add(call, "(%s)t->threadgroups[%d]", type, index);
        add(list, "{'t', %d, 0}, ", index);
    } else if (strcmp(attribute, "buffer") != 0) {
        bind_builtin(kernel, type, attribute, call);
    } else if (type[strlen(type) - 1] == '&') {
        type[strlen(type) - 1] = '\0';
        add(call, "*(%s *)t->buffers[%d]", type, index);
        const bool is_constant = strncmp(type, "constant ", 9) == 0;
        add(list, "{'r', %d, sizeof(%s)}, ", index, type + (is_constant ? 9 : 0));
    } else {
        const bool is_read = strstr(type, "const ") != NULL || strstr(type, "constant ") != NULL;
        add(call, "(%s)t->buffers[%d]", type, index);
        add(list, "{'%c', %d, 0}, ", is_read ? 'i' : 'o', index);
    }
}

/* The kernel whose name begins at `at`; returns where its parameters end. */
static const char *bind_kernel(const char *at) {
    static bind_text call;
    static bind_text list;
    char name[NAME_MAX_LEN];
    call.len = list.len = 0;
    call.data[0] = list.data[0] = '\0';
    const char *open = at + strcspn(at, "(");
    copy_trimmed(name, sizeof name, at, open);
    if (*open == '\0') stop(name, "no parameters", "");
    const char *from = open + 1;
    int depth = 0;
    for (at = from; depth >= 0; at++) {
        if (*at == '\0') stop(name, "no end of parameters", "");
        if (strchr("([{", *at) != NULL) depth++;
        if (strchr(")]}", *at) != NULL) depth--;
        if (depth < 0 || (depth == 0 && *at == ',')) {
            bind_parameter(name, from, at, &call, &list);
            from = at + 1;
        }
    }
    (void)fprintf(thunks,
                  "extern \"C\" __attribute__((no_sanitize(\"thread\")))\n"
                  "void MSL_NAME(msl_thunk_%s)(__private const msl_thread *t) {\n    %s(%s);\n}\n"
                  "extern \"C\" __constant msl_argument MSL_NAME(msl_arguments_%s)[] = {\n"
                  "    %s{0, 0, 0}};\n",
                  name, name, call.data, name, list.data);
    (void)fprintf(names, "MSL_KERNEL(%s)\n", name);
    return at;
}

static void bind_source(const char *path) {
    FILE *file = fopen(path, "r");
    if (file == NULL) stop(path, "cannot open", "");
    source[fread(source, 1, sizeof source - 1, file)] = '\0';
    (void)fclose(file);
    strip_comments(source);
    (void)fprintf(thunks, "#include \"%s\"\n", path);
    for (const char *at = source; (at = strstr(at, "kernel")) != NULL;) {
        const bool is_start = at == source || !is_word(at[-1]);
        at += strlen("kernel");
        if (!is_start || is_word(*at)) continue;
        at += strspn(at, " \n");
        if (strncmp(at, "void ", 5) == 0) at = bind_kernel(at + 5);
    }
}

int main(int argc, char **argv) {
    if (argc < 4) stop("usage", "msl_bind THUNKS NAMES SOURCE...", "");
    thunks = fopen(argv[1], "w");
    names = fopen(argv[2], "w");
    if (thunks == NULL || names == NULL) stop(argv[1], "cannot write", "");
    for (int i = 3; i < argc; i++) bind_source(argv[i]);
    return fclose(thunks) != 0 || fclose(names) != 0;
}
