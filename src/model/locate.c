/* SPDX-License-Identifier: Apache-2.0 */
#include "model/locate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/str.h"

#define NAME_BYTES_MAX   256
#define DEFAULT_OWNER    "sentence-transformers"
#define COMMIT_BYTES_MAX 128

/* A set, non-empty environment variable, or NULL. */
static const char *environment(const char *name) {
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static tandem_status join3(const char *a, const char *b, const char *c, char *out,
                           tandem_error *err) {
    const int need = snprintf(out, TANDEM_PATH_MAX, "%s/%s/%s", a, b, c);
    if (need >= 0 && need < TANDEM_PATH_MAX) return TANDEM_OK;
    return TANDEM_FAIL(err, CAPACITY, "%s/%s/%s: path is longer than %d bytes", a, b, c,
                       TANDEM_PATH_MAX - 1);
}

tandem_status tandem__model_cache(char *folder, tandem_error *err) {
    const char *value = environment("HF_HUB_CACHE");
    if (value == NULL) value = environment("HUGGINGFACE_HUB_CACHE"); /* its older name */
    if (value != NULL) {
        const int need = snprintf(folder, TANDEM_PATH_MAX, "%s", value);
        if (need >= 0 && need < TANDEM_PATH_MAX) return TANDEM_OK;
        return TANDEM_FAIL(err, CAPACITY, "HF_HUB_CACHE: path is longer than %d bytes",
                           TANDEM_PATH_MAX - 1);
    }
    value = environment("HF_HOME");
    if (value != NULL) return tandem__path_join(value, "hub", folder, err);
    value = environment("XDG_CACHE_HOME");
    if (value != NULL) return join3(value, "huggingface", "hub", folder, err);
    value = environment("HOME");
    if (value == NULL) return TANDEM_FAIL(err, NOT_FOUND, "HOME is not set, nor HF_HUB_CACHE");
    return join3(value, ".cache/huggingface", "hub", folder, err);
}

/* "org/name@revision" in parts. A name is what the Hub allows: no "..", no leading slash or dot. */
static tandem_status split_name(const char *name, char *repo, char *revision, tandem_error *err) {
    const size_t len = strlen(name);
    const char *at = strrchr(name, '@');
    const size_t repo_len = at == NULL ? len : (size_t)(at - name);
    const char *wanted = at == NULL ? "main" : at + 1;
    size_t slashes = 0;
    for (size_t i = 0; i < repo_len; i++) slashes += name[i] == '/';
    const bool is_name = repo_len > 0 && len < NAME_BYTES_MAX && slashes <= 1 && name[0] != '/' &&
                         name[0] != '.' && name[repo_len - 1] != '/' &&
                         strstr(name, "..") == NULL && wanted[0] != '\0' &&
                         strchr(wanted, '/') == NULL;
    if (!is_name) {
        return TANDEM_FAIL(err, NOT_FOUND,
                           "model \"%.200s\": no such folder, and not a name such as org/name",
                           name);
    }
    (void)snprintf(repo, NAME_BYTES_MAX, "%s%.*s", slashes == 0 ? DEFAULT_OWNER "/" : "",
                   (int)repo_len, name);
    (void)snprintf(revision, NAME_BYTES_MAX, "%s", wanted);
    return TANDEM_OK;
}

/* What refs/<revision> names, else the revision itself (a commit). */
static tandem_status read_commit(const char *repo_folder, const char *revision, char *commit,
                                 tandem_error *err) {
    char path[TANDEM_PATH_MAX];
    TANDEM_TRY(join3(repo_folder, "refs", revision, path, err));
    tandem_buffer text;
    tandem__buffer_init(&text, COMMIT_BYTES_MAX);
    tandem_error ignored = {.status = TANDEM_OK};
    const tandem_status status = tandem__file_read(path, &text, &ignored);
    size_t len = status == TANDEM_OK ? text.len : 0;
    while (len > 0 && (text.ptr[len - 1] == '\n' || text.ptr[len - 1] == '\r')) len--;
    const bool is_commit = len > 0 && memchr(text.ptr, '/', len) == NULL && text.ptr[0] != '.';
    if (is_commit)
        (void)snprintf(commit, NAME_BYTES_MAX, "%.*s", (int)len, text.ptr);
    else
        (void)snprintf(commit, NAME_BYTES_MAX, "%s", revision);
    tandem__buffer_deinit(&text);
    return TANDEM_OK;
}

static tandem_status locate_cached(const char *name, char *folder, tandem_error *err) {
    char repo[NAME_BYTES_MAX + sizeof DEFAULT_OWNER];
    char revision[NAME_BYTES_MAX];
    char cache[TANDEM_PATH_MAX];
    TANDEM_TRY(split_name(name, repo, revision, err));
    TANDEM_TRY(tandem__model_cache(cache, err));
    char entry[2 * NAME_BYTES_MAX] = "models--";
    size_t at = strlen(entry);
    for (const char *c = repo; *c != '\0'; c++) {
        if (*c == '/') entry[at++] = '-';
        entry[at++] = *c == '/' ? '-' : *c;
    }
    entry[at] = '\0';
    char repo_folder[TANDEM_PATH_MAX];
    char commit[NAME_BYTES_MAX];
    TANDEM_TRY(tandem__path_join(cache, entry, repo_folder, err));
    TANDEM_TRY(read_commit(repo_folder, revision, commit, err));
    TANDEM_TRY(join3(repo_folder, "snapshots", commit, folder, err));
    if (tandem__file_is_directory(folder)) return TANDEM_OK;
    return TANDEM_FAIL(err, NOT_FOUND,
                       "model %s: not in the Hub's cache %.200s (revision %s) and no such folder; "
                       "download it there or give a folder",
                       repo, cache, revision);
}

tandem_status tandem__model_locate(const char *name, char *folder, tandem_error *err) {
    if (name[0] == '\0')
        return TANDEM_FAIL(err, INVALID, "model: empty, expected a name or folder");
    if (!tandem__file_is_directory(name)) return locate_cached(name, folder, err);
    const int need = snprintf(folder, TANDEM_PATH_MAX, "%s", name);
    if (need >= 0 && need < TANDEM_PATH_MAX) return TANDEM_OK;
    return TANDEM_FAIL(err, CAPACITY, "model: path is longer than %d bytes", TANDEM_PATH_MAX - 1);
}
