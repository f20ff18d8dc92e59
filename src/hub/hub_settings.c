/* SPDX-License-Identifier: Apache-2.0 */
#include "hub/hub_settings.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/clock.h"
#include "base/fail.h"
#include "base/number.h"

#define DEFAULT_ENDPOINT   "https://huggingface.co"
#define DEFAULT_BYTES_MAX  ((int64_t)100 * 1000 * 1000 * 1000)
#define DEFAULT_TIMEOUT_MS 30000
#define DEFAULT_RETRIES    5
#define DEFAULT_PAUSE_MS   500
#define TICK_NS            100000000u

/* As huggingface_hub reads its switches. */
static bool is_true(const char *value) {
    static const char *const words[] = {"1", "on", "yes", "true"};
    for (size_t i = 0; value != NULL && i < sizeof words / sizeof words[0]; i++) {
        if (strcasecmp(value, words[i]) == 0) return true;
    }
    return false;
}

static tandem_status read_endpoint(const char *value, tandem_hub_settings *settings,
                                   tandem_error *err) {
    if (value == NULL) value = tandem__hub_environment("HF_ENDPOINT");
    if (value == NULL) value = DEFAULT_ENDPOINT;
    size_t len = strlen(value);
    while (len > 0 && value[len - 1] == '/') len--;
    const bool is_address = strncmp(value, "https://", 8) == 0 || strncmp(value, "http://", 7) == 0;
    bool is_clean = true;
    for (size_t i = 0; i < len; i++) {
        const unsigned char c = (unsigned char)value[i];
        if (c <= ' ' || c >= 0x7f || strchr("\\@?#\"<>", c) != NULL) is_clean = false;
    }
    if (!is_address || !is_clean || len >= sizeof settings->endpoint) {
        return TANDEM_FAIL(err, INVALID, "HF_ENDPOINT: \"%.200s\", expected an address such as %s",
                           value, DEFAULT_ENDPOINT);
    }
    (void)snprintf(settings->endpoint, sizeof settings->endpoint, "%.*s", (int)len, value);
    return TANDEM_OK;
}

/* Without the white space around it. Anything else that is not plain would end up in a header. */
static tandem_status keep_token(const char *text, size_t len, const char *source,
                                tandem_hub_settings *settings, tandem_error *err) {
    while (len > 0 && (unsigned char)text[len - 1] <= ' ') len--;
    while (len > 0 && (unsigned char)text[0] <= ' ') {
        text++;
        len--;
    }
    bool is_plain = len < sizeof settings->token;
    for (size_t i = 0; i < len; i++) is_plain = is_plain && text[i] > ' ' && text[i] < 0x7f;
    if (!is_plain) {
        return TANDEM_FAIL(err, INVALID,
                           "the Hub's token in %s: holds white space or characters "
                           "that no token has, or is too long",
                           source);
    }
    (void)snprintf(settings->token, sizeof settings->token, "%.*s", (int)len, text);
    return TANDEM_OK;
}

static tandem_status read_token_file(tandem_hub_settings *settings, tandem_error *err) {
    char path[TANDEM_PATH_MAX];
    const char *value = tandem__hub_environment("HF_TOKEN_PATH");
    tandem_error ignored = {.status = TANDEM_OK};
    if (value != NULL) {
        if (strlen(value) >= sizeof path) return TANDEM_OK;
        memcpy(path, value, strlen(value) + 1);
    } else {
        char home[TANDEM_PATH_MAX];
        if (tandem__hub_home(home, &ignored) != TANDEM_OK) return TANDEM_OK;
        TANDEM_TRY(tandem__path_join(home, "token", path, err));
    }
    tandem_buffer text;
    tandem__buffer_init(&text, TANDEM_HUB_TOKEN_MAX + 64);
    tandem_status status = tandem__file_read(path, &text, &ignored);
    if (status == TANDEM_OK)
        status = keep_token(text.ptr, text.len, path, settings, err);
    else if (status == TANDEM_NOT_FOUND)
        status = TANDEM_OK;
    else
        status = TANDEM_FAIL(err, PERMISSION, "the Hub's token: %s", ignored.message);
    tandem__buffer_deinit(&text);
    return status;
}

static tandem_status read_token(const char *value, tandem_hub_settings *settings,
                                tandem_error *err) {
    if (value != NULL) return keep_token(value, strlen(value), "the options", settings, err);
    if (is_true(tandem__hub_environment("HF_HUB_DISABLE_IMPLICIT_TOKEN"))) return TANDEM_OK;
    value = tandem__hub_environment("HF_TOKEN");
    if (value == NULL) value = tandem__hub_environment("HUGGING_FACE_HUB_TOKEN");
    if (value != NULL) return keep_token(value, strlen(value), "HF_TOKEN", settings, err);
    return read_token_file(settings, err);
}

/* Seconds, as huggingface_hub's own variable has them. */
static int32_t default_timeout_ms(void) {
    const char *value = tandem__hub_environment("HF_HUB_DOWNLOAD_TIMEOUT");
    int64_t seconds = 0;
    const bool is_said = value != NULL && tandem__number_parse_int(tandem__str(value), &seconds) &&
                         seconds > 0 && seconds <= 86400;
    return is_said ? (int32_t)seconds * 1000 : DEFAULT_TIMEOUT_MS;
}

tandem_status tandem__hub_settings_read(const tandem_hub_options *options, bool has_network,
                                        tandem_hub_settings *settings, tandem_error *err) {
    static const tandem_hub_options none;
    if (options == NULL) options = &none;
    *settings = (tandem_hub_settings){
        .bytes_max = options->bytes_max > 0 ? options->bytes_max : DEFAULT_BYTES_MAX,
        .timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : default_timeout_ms(),
        .retries = options->retries == 0 ? DEFAULT_RETRIES : options->retries,
        .pause_ms = options->pause_ms > 0 ? options->pause_ms : DEFAULT_PAUSE_MS,
        .is_offline = options->is_offline || is_true(tandem__hub_environment("HF_HUB_OFFLINE")),
    };
    if (options->cache == NULL) {
        TANDEM_TRY(tandem__hub_cache_folder(settings->cache, err));
    } else if (strlen(options->cache) >= sizeof settings->cache) {
        return TANDEM_FAIL(err, CAPACITY, "cache folder: path is longer than %d bytes",
                           TANDEM_PATH_MAX - 1);
    } else {
        memcpy(settings->cache, options->cache, strlen(options->cache) + 1);
    }
    if (!has_network || settings->is_offline) return TANDEM_OK;
    TANDEM_TRY(read_endpoint(options->endpoint, settings, err));
    return read_token(options->token, settings, err);
}

tandem_status tandem__hub_settings_name(const char *name, const char *revision,
                                        tandem_hub_name *parsed, bool *is_said, tandem_error *err) {
    if (is_said != NULL) *is_said = revision != NULL || strchr(name, '@') != NULL;
    if (revision == NULL) return tandem__hub_name_parse(name, parsed, err);
    char both[2 * TANDEM_HUB_NAME_MAX];
    const int need =
        snprintf(both, sizeof both, "%.*s@%s", (int)strcspn(name, "@"), name, revision);
    if (need < 0 || (size_t)need >= sizeof both) {
        return TANDEM_FAIL(err, INVALID, "model \"%.100s\", revision \"%.100s\": too long", name,
                           revision);
    }
    return tandem__hub_name_parse(both, parsed, err);
}

void tandem__hub_watch_init(tandem_hub_watch *watch, const tandem_hub_options *options) {
    *watch = (tandem_hub_watch){.progress = {.name = "", .file = "", .waiting = ""}};
    if (options == NULL) return;
    watch->function = options->progress;
    watch->context = options->progress_context;
}

bool tandem__hub_watch_tick(tandem_hub_watch *watch, bool is_news) {
    if (watch->function == NULL || watch->is_cancelled) return watch->is_cancelled;
    const uint64_t now_ns = tandem__clock_ns();
    if (!is_news && now_ns - watch->told_ns < TICK_NS) return false;
    watch->told_ns = now_ns;
    watch->is_cancelled = watch->function(watch->context, &watch->progress);
    return watch->is_cancelled;
}

tandem_status tandem__hub_watch_fail(const tandem_hub_watch *watch, tandem_error *err) {
    return TANDEM_FAIL(err, CANCELLED,
                       "%s: cancelled; what has come is kept, and pulling it again "
                       "goes on from there",
                       watch->progress.name);
}

tandem_status tandem__hub_watch_sleep(tandem_hub_watch *watch, int64_t ms, const char *why,
                                      tandem_error *err) {
    const uint64_t end_ns = tandem__clock_ns() + (uint64_t)ms * 1000000u;
    tandem_status status = TANDEM_OK;
    watch->progress.waiting = why;
    bool is_news = true;
    while (status == TANDEM_OK) {
        if (tandem__hub_watch_tick(watch, is_news)) {
            status = tandem__hub_watch_fail(watch, err);
            break;
        }
        is_news = false;
        const uint64_t now_ns = tandem__clock_ns();
        if (now_ns >= end_ns) break;
        const uint64_t left_ns = end_ns - now_ns;
        const struct timespec nap = {.tv_nsec = left_ns < 50000000u ? (long)left_ns : 50000000};
        (void)nanosleep(&nap, NULL);
    }
    watch->progress.waiting = "";
    return status;
}
