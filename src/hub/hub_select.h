/* SPDX-License-Identifier: Apache-2.0 */
/* Which of a model's files are needed to run it:
 *
 *     modules.json                 names the folders of the modules ("" and "1_Pooling" and so on)
 *     <folder>/config.json, tokenizer.json, ...                    small ones, where there are any
 *     <folder>/model.safetensors   or model.safetensors.index.json and the files that it names
 *
 * and never other engines' weights, nor a pickle, which could run code. The same rules say whether
 * a snapshot on disk is whole. Pure but for `read`. */
#ifndef TANDEM_HUB_SELECT_H
#define TANDEM_HUB_SELECT_H

#include "base/arena.h"
#include "base/str.h"
#include "tandem/status.h"

typedef struct tandem_hub_tree {
    const char *const *paths; /* [count], all of the model's files, sorted by strcmp */
    size_t count;
    /* The content of one of them; borrowed as long as the arena lives. */
    tandem_status (*read)(void *context, const char *path, tandem_str *text, tandem_error *err);
    void *context;
} tandem_hub_tree;

typedef struct tandem_hub_selection {
    const char **paths; /* [count], in the arena; the weights last */
    size_t count;
} tandem_hub_selection;

/* TANDEM_UNSUPPORTED where there are no weights that tandem reads, and says what there is instead;
 * TANDEM_FORMAT where modules.json or an index names what is not there or not allowed. Messages do
 * not name the model. */
tandem_status tandem__hub_select(const tandem_hub_tree *tree, tandem_arena *arena,
                                 tandem_hub_selection *selection,
                                 tandem_error *err) TANDEM_NODISCARD;

#endif
