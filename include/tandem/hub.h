/* SPDX-License-Identifier: Apache-2.0 */
/* Models over the network: from the Hugging Face Hub into its cache on disk, in the layout that
 * Python's huggingface_hub reads and writes. A library of its own, libtandem_hub: the engine never
 * reaches for the network.
 *
 *     tandem_hub_pulled pulled;
 *     tandem_error err = {0};
 *     if (tandem_hub_pull(NULL, "BAAI/bge-small-en-v1.5", NULL, &pulled, &err)) puts(err.message);
 *     else puts(pulled.folder);            // what tandem_engine_options.model takes
 *
 * The Hub's own variables count: HF_ENDPOINT, HF_TOKEN (else the file HF_TOKEN_PATH, else
 * HF_HOME/token), HF_HUB_OFFLINE, HF_HUB_DOWNLOAD_TIMEOUT, HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME.
 * Proxies are libcurl's (https_proxy, no_proxy).
 *
 * A name is "org/name" or "org/name@revision"; a name without owner is sentence-transformers'.
 * Calls block; any thread may make them, and any process beside: each blob is taken under a lock,
 * the same that Python takes. */
#ifndef TANDEM_HUB_H
#define TANDEM_HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tandem/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tandem_hub_progress {
    const char *name;    /* "org/name" */
    const char *file;    /* being fetched now; "" while the files are listed */
    const char *waiting; /* why nothing moves ("429, again in 8 s"), or "" */
    int64_t bytes_done;  /* of the files that are needed, what is on disk */
    int64_t bytes_total; /* 0 = not known yet */
    int64_t bytes_fetched;
    int32_t files_done;
    int32_t files_total;
} tandem_hub_progress;

/* Called at least once a second, on the caller's thread. Returning true cancels: what has come so
 * far is kept and the next pull goes on from there. */
typedef bool (*tandem_hub_progress_function)(void *context, const tandem_hub_progress *progress);

/* All zero, or NULL instead of a pointer to it, means the default everywhere. */
typedef struct tandem_hub_options {
    const char *cache;    /* folder; NULL = as the variables say */
    const char *endpoint; /* NULL = HF_ENDPOINT, else https://huggingface.co */
    const char *token;    /* NULL = as the variables say, "" = none */
    tandem_hub_progress_function progress;
    void *progress_context;
    int64_t bytes_max;  /* refuse a larger model; 0 = 100 GB */
    int32_t timeout_ms; /* to connect, and without a byte; 0 = the variable's, else 30,000 */
    int32_t retries;    /* without a new byte between them; 0 = 5, negative = none */
    int32_t pause_ms;   /* before the first of them, then twice that, ...; 0 = 500 */
    bool is_offline;    /* nothing is fetched; also with HF_HUB_OFFLINE=1 */
} tandem_hub_options;

typedef struct tandem_hub_pulled {
    char folder[4096]; /* <cache>/models--org--name/snapshots/<commit> */
    char commit[72];
    int64_t bytes; /* of all files that are needed */
    int64_t bytes_fetched;
    int32_t files;
    int32_t files_fetched;
} tandem_hub_pulled;

/* Fetches what is needed to run the model: configuration, tokenizer, safetensors; never a pickle,
 * and no other engine's files. What is there already is not fetched again, what was cut off goes
 * on where it stopped, and every file's hash is checked before it gets its name. `revision` is a
 * branch, a tag or a commit and wins over the name's; NULL = the name's, else "main".
 *   TANDEM_NOT_FOUND    no such model or revision, or offline and not in the cache
 *   TANDEM_PERMISSION   gated, private, a token that is refused, or a folder that is not writable
 *   TANDEM_UNSUPPORTED  no safetensors in it, or libcurl is not on this machine
 *   TANDEM_FORMAT       an answer that makes no sense, or content that does not have its hash
 *   TANDEM_CAPACITY     larger than options->bytes_max, or than the space that is free
 *   TANDEM_IO, TANDEM_TIMEOUT, TANDEM_CANCELLED, TANDEM_INVALID, TANDEM_MEMORY */
TANDEM_API tandem_status tandem_hub_pull(const tandem_hub_options *options, const char *name,
                                         const char *revision, tandem_hub_pulled *pulled,
                                         tandem_error *err) TANDEM_NODISCARD;

typedef enum tandem_hub_state {
    TANDEM_HUB_UNCHECKED = 0,
    TANDEM_HUB_GOOD = 1,    /* its content has the hash that it is named by */
    TANDEM_HUB_DAMAGED = 2, /* it has another */
    TANDEM_HUB_MISSING = 3, /* the link is there, its content is not */
    TANDEM_HUB_UNNAMED = 4, /* not named by a hash, so that it cannot be checked */
} tandem_hub_state;

typedef struct tandem_hub_file {
    const char *name; /* "1_Pooling/config.json" */
    const char *blob; /* the name of its content: SHA-256, or git's SHA-1; "" if it is no link */
    int64_t bytes;
    tandem_hub_state state;
} tandem_hub_file;

/* One commit of one model. */
typedef struct tandem_hub_snapshot {
    const char *name;   /* "org/name" */
    const char *commit; /* the folder's name */
    const char *refs;   /* what points here: "main, v1.0"; "" for none */
    const char *folder;
    const char
        *missing; /* what it lacks to be opened ("no model.safetensors"), "" if it is whole */
    const tandem_hub_file *files; /* [file_count], by name */
    size_t file_count;
    int64_t bytes;           /* of all its files; snapshots may share them */
    int64_t modified_unix_s; /* of the newest */
} tandem_hub_snapshot;

/* Start with all zero; tandem_hub_inventory_deinit frees it. */
typedef struct tandem_hub_inventory {
    const tandem_hub_snapshot *snapshots; /* [count], by name, then newest first */
    size_t count;
    int64_t bytes;                    /* on disk, each blob once */
    const char *cache;                /* the folder that was looked at */
    struct tandem_hub_memory *memory; /* private */
} tandem_hub_inventory;

/* What is in the cache. `name` NULL = every model; else only its snapshots, those of `revision` or
 * of the name's "@revision" if one is said. Nothing found is TANDEM_NOT_FOUND with a name, and an
 * empty inventory without. Uses no network. */
TANDEM_API tandem_status tandem_hub_list(const tandem_hub_options *options, const char *name,
                                         const char *revision, tandem_hub_inventory *inventory,
                                         tandem_error *err) TANDEM_NODISCARD;

/* The same, and reads every file to compare it with the hash it is named by: see
 * tandem_hub_file.state. Damage is TANDEM_FORMAT, names the first such file, and the inventory is
 * filled all the same. Progress is called with bytes_done and bytes_total. Uses no network. */
TANDEM_API tandem_status tandem_hub_verify(const tandem_hub_options *options, const char *name,
                                           const char *revision, tandem_hub_inventory *inventory,
                                           tandem_error *err) TANDEM_NODISCARD;

/* Removes the snapshot of `revision` (or of the name's), every snapshot where none is said, and the
 * blobs that no snapshot uses any more. Never touches anything outside the cache: a link is
 * removed, not followed. `bytes_freed` may be NULL. */
TANDEM_API tandem_status tandem_hub_remove(const tandem_hub_options *options, const char *name,
                                           const char *revision, int64_t *bytes_freed,
                                           tandem_error *err) TANDEM_NODISCARD;

TANDEM_API void tandem_hub_inventory_deinit(tandem_hub_inventory *inventory);

#ifdef __cplusplus
}
#endif
#endif
