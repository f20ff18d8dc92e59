/* SPDX-License-Identifier: Apache-2.0 */
/* The Hub's names and its cache on disk, as Python's huggingface_hub lays it out:
 *
 *     <cache>/models--<org>--<name>/blobs/<etag>                content, named by its hash
 *     <cache>/models--<org>--<name>/refs/<revision>             one line: the commit
 *     <cache>/models--<org>--<name>/snapshots/<commit>/<file>   links into ../../blobs
 *
 * <cache> is HF_HUB_CACHE, else HF_HOME/hub, else XDG_CACHE_HOME/huggingface/hub, else
 * ~/.cache/huggingface/hub. These are the rules that the engine, which only looks for a model, and
 * the downloader share. Nothing is downloaded or changed here. Any thread. */
#ifndef TANDEM_BASE_HUB_CACHE_H
#define TANDEM_BASE_HUB_CACHE_H

#include "base/file.h"
#include "tandem/status.h"

#define TANDEM_HUB_NAME_MAX         256 /* bytes of a name, revision or commit, the NUL included */
#define TANDEM_HUB_DEFAULT_OWNER    "sentence-transformers"
#define TANDEM_HUB_DEFAULT_REVISION "main"

typedef struct tandem_hub_name {
    char repo[TANDEM_HUB_NAME_MAX];     /* "org/name" */
    char revision[TANDEM_HUB_NAME_MAX]; /* branch, tag or commit; "main" where none is said */
} tandem_hub_name;

/* Reads "org/name", "org/name@revision" or "name", whose owner is TANDEM_HUB_DEFAULT_OWNER.
 * TANDEM_INVALID for what the Hub would not take as a name, so that a name is safe in a path. */
tandem_status tandem__hub_name_parse(const char *text, tandem_hub_name *name,
                                     tandem_error *err) TANDEM_NODISCARD;

/* A set, non-empty environment variable, or NULL. */
const char *tandem__hub_environment(const char *variable);

/* The folder of the Hub's own settings (HF_HOME and what stands for it), and the cache folder,
 * into TANDEM_PATH_MAX bytes each, whether or not they exist. */
tandem_status tandem__hub_home(char *folder, tandem_error *err) TANDEM_NODISCARD;
tandem_status tandem__hub_cache_folder(char *folder, tandem_error *err) TANDEM_NODISCARD;

/* <cache>/models--<org>--<name> of a parsed `repo` into TANDEM_PATH_MAX bytes. */
tandem_status tandem__hub_repo_folder(const char *cache, const char *repo, char *folder,
                                      tandem_error *err) TANDEM_NODISCARD;

/* What refs/<revision> names, into TANDEM_HUB_NAME_MAX bytes; where there is no such file, the
 * revision itself, which may be a commit. TANDEM_FORMAT if the file holds no commit. */
tandem_status tandem__hub_read_ref(const char *repo_folder, const char *revision, char *commit,
                                   tandem_error *err) TANDEM_NODISCARD;

#endif
