/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hub_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/str.h"

#define PART_BYTES_MAX 96 /* of an owner's or a model's name, the Hub's own limit */

const char *tandem__hub_environment(const char *variable) {
    const char *value = getenv(variable);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static tandem_status join3(const char *a, const char *b, const char *c, char *out,
                           tandem_error *err) {
    const int need = snprintf(out, TANDEM_PATH_MAX, "%s/%s/%s", a, b, c);
    if (need >= 0 && need < TANDEM_PATH_MAX) return TANDEM_OK;
    return TANDEM_FAIL(err, CAPACITY, "%s/%s/%s: path is longer than %d bytes", a, b, c,
                       TANDEM_PATH_MAX - 1);
}

/* A folder from the environment; a leading "~/" is the user's own, as in Python. */
static tandem_status expand(const char *variable, const char *value, char *folder,
                            tandem_error *err) {
    const char *home = tandem__hub_environment("HOME");
    const bool is_home = value[0] == '~' && (value[1] == '/' || value[1] == '\0') && home != NULL;
    const int need = is_home ? snprintf(folder, TANDEM_PATH_MAX, "%s%s", home, value + 1)
                             : snprintf(folder, TANDEM_PATH_MAX, "%s", value);
    if (need >= 0 && need < TANDEM_PATH_MAX) return TANDEM_OK;
    return TANDEM_FAIL(err, CAPACITY, "%s: path is longer than %d bytes", variable,
                       TANDEM_PATH_MAX - 1);
}

tandem_status tandem__hub_home(char *folder, tandem_error *err) {
    const char *value = tandem__hub_environment("HF_HOME");
    if (value != NULL) return expand("HF_HOME", value, folder, err);
    value = tandem__hub_environment("XDG_CACHE_HOME");
    if (value != NULL) return tandem__path_join(value, "huggingface", folder, err);
    value = tandem__hub_environment("HOME");
    if (value == NULL) return TANDEM_FAIL(err, NOT_FOUND, "HOME is not set, nor HF_HUB_CACHE");
    return tandem__path_join(value, ".cache/huggingface", folder, err);
}

tandem_status tandem__hub_cache_folder(char *folder, tandem_error *err) {
    const char *variable = "HF_HUB_CACHE";
    const char *value = tandem__hub_environment(variable);
    if (value == NULL) {
        variable = "HUGGINGFACE_HUB_CACHE"; /* its older name */
        value = tandem__hub_environment(variable);
    }
    if (value != NULL) return expand(variable, value, folder, err);
    char home[TANDEM_PATH_MAX];
    TANDEM_TRY(tandem__hub_home(home, err));
    return tandem__path_join(home, "hub", folder, err);
}

/* An owner's or a model's name: letters, digits, and "-_." inside; "--" parts names on disk. */
static bool is_name_part(const char *text, size_t len) {
    if (len == 0 || len > PART_BYTES_MAX) return false;
    if (text[0] == '-' || text[0] == '.' || text[len - 1] == '-' || text[len - 1] == '.') {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        const char c = text[i];
        const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                              (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
        const bool is_twice = i > 0 && c == text[i - 1] && (c == '-' || c == '.');
        if (!is_plain || is_twice) return false;
    }
    return true;
}

/* Branches and tags may hold slashes ("refs/pr/1"); each part becomes a file or folder name. */
static bool is_revision(const char *text) {
    const size_t len = strlen(text);
    if (len == 0 || len >= TANDEM_HUB_NAME_MAX) return false;
    const char *part = text;
    for (size_t i = 0; i <= len; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (c == '/' || c == '\0') {
            if (text + i == part || *part == '.') return false;
            part = text + i + 1;
        } else if (c <= ' ' || c == 0x7f || strchr("\\:*?\"<>|~^@", c) != NULL) {
            return false;
        }
    }
    return true;
}

tandem_status tandem__hub_name_parse(const char *text, tandem_hub_name *name, tandem_error *err) {
    const size_t len = strcspn(text, "@");
    const char *slash = memchr(text, '/', len);
    const size_t owner_len = slash == NULL ? 0 : (size_t)(slash - text);
    const char *model = slash == NULL ? text : slash + 1;
    const size_t model_len = len - (size_t)(model - text);
    const bool is_repo =
        is_name_part(model, model_len) && (slash == NULL || is_name_part(text, owner_len));
    if (!is_repo) {
        return TANDEM_FAIL(err, INVALID, "model \"%.200s\": expected a name such as org/name",
                           text);
    }
    const char *revision = text[len] == '@' ? text + len + 1 : TANDEM_HUB_DEFAULT_REVISION;
    if (!is_revision(revision)) {
        return TANDEM_FAIL(err, INVALID,
                           "revision \"%.200s\": expected a branch, a tag or a commit", revision);
    }
    (void)snprintf(name->repo, sizeof name->repo, "%s%.*s",
                   slash == NULL ? TANDEM_HUB_DEFAULT_OWNER "/" : "", (int)len, text);
    (void)snprintf(name->revision, sizeof name->revision, "%s", revision);
    return TANDEM_OK;
}

tandem_status tandem__hub_repo_folder(const char *cache, const char *repo, char *folder,
                                      tandem_error *err) {
    char entry[TANDEM_HUB_NAME_MAX + sizeof "models--" + 1];
    const int owner_len = (int)strcspn(repo, "/");
    const char *model = repo[owner_len] == '/' ? repo + owner_len + 1 : "";
    (void)snprintf(entry, sizeof entry, "models--%.*s%s%s", owner_len, repo,
                   model[0] == '\0' ? "" : "--", model);
    return tandem__path_join(cache, entry, folder, err);
}

tandem_status tandem__hub_read_ref(const char *repo_folder, const char *revision, char *commit,
                                   tandem_error *err) {
    char path[TANDEM_PATH_MAX];
    TANDEM_TRY(join3(repo_folder, "refs", revision, path, err));
    tandem_buffer text;
    tandem__buffer_init(&text, TANDEM_HUB_NAME_MAX);
    tandem_error ignored = {.status = TANDEM_OK};
    tandem_status status = tandem__file_read(path, &text, &ignored);
    if (status != TANDEM_OK) {
        (void)snprintf(commit, TANDEM_HUB_NAME_MAX, "%s", revision);
        status = TANDEM_OK;
    } else {
        size_t len = text.len;
        while (len > 0 && (text.ptr[len - 1] == '\n' || text.ptr[len - 1] == '\r')) len--;
        if (is_name_part(text.ptr, len))
            (void)snprintf(commit, TANDEM_HUB_NAME_MAX, "%.*s", (int)len, text.ptr);
        else
            status = TANDEM_FAIL(err, FORMAT, "%s: holds no commit", path);
    }
    tandem__buffer_deinit(&text);
    return status;
}
