/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/utf8.h"

#define LINE_BYTES_MAX    1024
#define ESCAPED_BYTES_MAX (6 * LINE_BYTES_MAX)

static _Atomic int log_level = TANDEM_LOG_WARN;

void tandem__log_set_level(tandem_log_level level) {
    atomic_store(&log_level, (int)level);
}

static _Atomic bool is_json_wanted;

void tandem__log_set_json(bool is_json) {
    atomic_store(&is_json_wanted, is_json);
}

static tandem_log_level current_level(void) {
    return (tandem_log_level)atomic_load(&log_level);
}

/* `line` as the inside of a JSON string; what is no UTF-8, as after a cut, becomes "?". */
static void escape(const char *line, char out[ESCAPED_BYTES_MAX]) {
    const size_t len = strlen(line);
    size_t used = 0;
    for (size_t i = 0; i < len;) {
        uint32_t code = 0;
        const size_t size = tandem__utf8_decode((const uint8_t *)line + i, len - i, &code);
        if (size == 0) {
            out[used++] = '?';
            i++;
        } else if (code < 0x20 || code == '"' || code == '\\') {
            used += (size_t)snprintf(out + used, 7, "\\u%04x", (unsigned)code);
            i++;
        } else {
            memcpy(out + used, line + i, size);
            used += size;
            i += size;
        }
    }
    out[used] = '\0';
}

/* `rest` are further members, a comma before each. */
static void write_json(const char *level, const char *line, const char *rest) {
    char escaped[ESCAPED_BYTES_MAX];
    char date[32] = "";
    struct timespec now;
    struct tm parts;
    escape(line, escaped);
    if (clock_gettime(CLOCK_REALTIME, &now) == 0 && gmtime_r(&now.tv_sec, &parts) != NULL)
        (void)strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
    (void)fprintf(stderr, "{\"time\":\"%s.%03dZ\",\"level\":\"%s\",\"message\":\"%s\"%s}\n", date,
                  (int)(now.tv_nsec / 1000000), level, escaped, rest);
}

static const char *const words[] = {"error", "warning", "info", "debug"};

/* One field as it stands in the line; the length that it has or would have. */
static size_t format_field(const tandem_log_field *field, bool is_json, char *out, size_t size) {
    int len = 0;
    if (field->text.ptr == NULL) {
        len = snprintf(out, size, is_json ? ",\"%s\":%.12g" : " %s=%.12g", field->name,
                       field->number);
    } else {
        char value[LINE_BYTES_MAX];
        char escaped[ESCAPED_BYTES_MAX];
        const size_t given = field->text.len;
        const size_t used = given < sizeof value ? given : sizeof value - 1;
        memcpy(value, field->text.ptr, used);
        value[used] = '\0';
        escape(value, escaped);
        len = is_json ? snprintf(out, size, ",\"%s\":\"%s\"", field->name, escaped)
                      : snprintf(out, size, " %s=%s", field->name, value);
    }
    return len < 0 ? size : (size_t)len;
}

void tandem__log_fields(tandem_log_level level, const char *message, const tandem_log_field *fields,
                        size_t count) {
    if (level > current_level()) return;
    const bool is_json = atomic_load(&is_json_wanted);
    char rest[ESCAPED_BYTES_MAX] = "";
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        const size_t len = format_field(&fields[i], is_json, rest + used, sizeof rest - used);
        if (len < sizeof rest - used) used += len;
        rest[used] = '\0';
    }
    if (is_json)
        write_json(words[level], message, rest);
    else
        (void)fprintf(stderr, "tandem: %s: %s%s\n", words[level], message, rest);
}

void tandem__log(tandem_log_level level, const char *format, ...) {
    if (level > current_level()) return;
    char line[LINE_BYTES_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (atomic_load(&is_json_wanted))
        write_json(words[level], line, "");
    else
        (void)fprintf(stderr, "tandem: %s: %s\n", words[level], line);
}
