/* SPDX-License-Identifier: Apache-2.0 */
#include "model/locate.h"

#include <stdio.h>

#include "base/fail.h"
#include "base/hub_cache.h"

static tandem_status locate_cached(const char *text, char *folder, tandem_error *err) {
    tandem_hub_name name;
    tandem_error ignored = {.status = TANDEM_OK};
    if (tandem__hub_name_parse(text, &name, &ignored) != TANDEM_OK) {
        return TANDEM_FAIL(err, NOT_FOUND,
                           "model \"%.200s\": no such folder, and not a name such as org/name",
                           text);
    }
    char cache[TANDEM_PATH_MAX];
    char repo_folder[TANDEM_PATH_MAX];
    char snapshots[TANDEM_PATH_MAX];
    char commit[TANDEM_HUB_NAME_MAX];
    TANDEM_TRY(tandem__hub_cache_folder(cache, err));
    TANDEM_TRY(tandem__hub_repo_folder(cache, name.repo, repo_folder, err));
    TANDEM_TRY(tandem__hub_read_ref(repo_folder, name.revision, commit, err));
    TANDEM_TRY(tandem__path_join(repo_folder, "snapshots", snapshots, err));
    TANDEM_TRY(tandem__path_join(snapshots, commit, folder, err));
    if (tandem__file_is_directory(folder)) return TANDEM_OK;
    return TANDEM_FAIL(err, NOT_FOUND,
                       "model %s: not in the Hub's cache %.200s (revision %s) and no such folder; "
                       "tandem model pull %s gets it",
                       name.repo, cache, name.revision, text);
}

tandem_status tandem__model_locate(const char *name, char *folder, tandem_error *err) {
    if (name[0] == '\0')
        return TANDEM_FAIL(err, INVALID, "model: empty, expected a name or folder");
    if (!tandem__file_is_directory(name)) return locate_cached(name, folder, err);
    const int need = snprintf(folder, TANDEM_PATH_MAX, "%s", name);
    if (need >= 0 && need < TANDEM_PATH_MAX) return TANDEM_OK;
    return TANDEM_FAIL(err, CAPACITY, "model: path is longer than %d bytes", TANDEM_PATH_MAX - 1);
}
