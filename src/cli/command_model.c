/* SPDX-License-Identifier: Apache-2.0 */
/* Models on disk and the way they get there: `tandem model ACTION [NAME]`. An action is a row of
 * the table at the end; all of them are calls of tandem/hub.h. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes_text.h"
#include "base/fail.h"
#include "base/json_text.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "cli/sink.h"
#include "tandem/hub.h"

#define AT(field)  offsetof(cli_settings, field)
#define SHORT_HASH 12

/* clang-format off */
static const cli_option options[] = {
    {CLI_TEXT, AT(revision), "revision", 0, false, "REVISION", NULL, 0, 0,
     "a branch, a tag or a commit; else the name's own after @, else main"},
    {CLI_SWITCH, AT(is_json), "json", 0, false, NULL, NULL, 0, 0,
     "a JSON object a line (list, info, verify)"},
    {CLI_SWITCH, AT(is_sure), "yes", 'y', false, NULL, NULL, 0, 0,
     "do not ask before removing"},
};
/* clang-format on */

static const cli_group model_group = CLI_GROUP("Model", options);

typedef struct job {
    const cli_settings *settings;
    const char *name; /* NULL = all */
    tandem_hub_options hub;
    cli_progress progress;
    cli_sink sink;
} job;

static bool on_progress(void *context, const tandem_hub_progress *hub) {
    job *j = context;
    const char *what = hub->waiting[0] != '\0' ? hub->waiting : hub->file;
    const int64_t moved = hub->bytes_fetched > 0 ? hub->bytes_fetched : hub->bytes_done;
    cli_progress_bytes(&j->progress, what, (uint64_t)hub->bytes_done, (uint64_t)hub->bytes_total,
                       (uint64_t)moved);
    return false;
}

static tandem_status pull(job *j, tandem_error *err) {
    tandem_hub_pulled pulled;
    TANDEM_TRY(tandem_hub_pull(&j->hub, j->name, j->settings->revision, &pulled, err));
    cli_progress_clear(&j->progress);
    if (j->settings->verbosity > 0) {
        cli_note("%s: commit %s, %d files, %s, of which %s were fetched", j->name, pulled.commit,
                 pulled.files, tandem__bytes_text(pulled.bytes).text,
                 tandem__bytes_text(pulled.bytes_fetched).text);
    }
    return tandem__buffer_printf(&j->sink.pending, err, "%s\n", pulled.folder);
}

/* What names a snapshot to a user: its refs, or the start of its commit. */
static const char *label_of(const tandem_hub_snapshot *snapshot, char label[SHORT_HASH + 1]) {
    if (snapshot->refs[0] != '\0') return snapshot->refs;
    (void)snprintf(label, SHORT_HASH + 1, "%s", snapshot->commit);
    return label;
}

static tandem_status push_member(tandem_buffer *out, const char *key, const char *value,
                                 tandem_error *err) {
    TANDEM_TRY(tandem__buffer_printf(out, err, "\"%s\":", key));
    TANDEM_TRY(tandem__json_text_string(out, tandem__str(value), err));
    return tandem__buffer_push(out, ",", 1, err);
}

static const char *state_word(tandem_hub_state state) {
    switch (state) {
    case TANDEM_HUB_UNCHECKED:
        return "unchecked";
    case TANDEM_HUB_GOOD:
        return "good";
    case TANDEM_HUB_DAMAGED:
        return "damaged";
    case TANDEM_HUB_MISSING:
        return "missing";
    case TANDEM_HUB_UNNAMED:
        return "not named by a hash";
    }
    return "";
}

static tandem_status push_files(tandem_buffer *out, const tandem_hub_snapshot *snapshot,
                                tandem_error *err) {
    TANDEM_TRY(tandem__buffer_printf(out, err, ",\"files\":["));
    for (size_t i = 0; i < snapshot->file_count; i++) {
        const tandem_hub_file *file = &snapshot->files[i];
        TANDEM_TRY(tandem__buffer_printf(out, err, "%s{", i == 0 ? "" : ","));
        TANDEM_TRY(push_member(out, "name", file->name, err));
        TANDEM_TRY(push_member(out, "blob", file->blob, err));
        TANDEM_TRY(push_member(out, "state", state_word(file->state), err));
        TANDEM_TRY(tandem__buffer_printf(out, err, "\"bytes\":%lld}", (long long)file->bytes));
    }
    return tandem__buffer_push(out, "]", 1, err);
}

static tandem_status push_snapshot(tandem_buffer *out, const tandem_hub_snapshot *snapshot,
                                   bool has_files, tandem_error *err) {
    TANDEM_TRY(tandem__buffer_push(out, "{", 1, err));
    TANDEM_TRY(push_member(out, "name", snapshot->name, err));
    TANDEM_TRY(push_member(out, "commit", snapshot->commit, err));
    TANDEM_TRY(push_member(out, "refs", snapshot->refs, err));
    TANDEM_TRY(push_member(out, "folder", snapshot->folder, err));
    TANDEM_TRY(push_member(out, "missing", snapshot->missing, err));
    TANDEM_TRY(tandem__buffer_printf(
        out, err, "\"bytes\":%lld,\"modified\":%lld,\"file_count\":%zu", (long long)snapshot->bytes,
        (long long)snapshot->modified_unix_s, snapshot->file_count));
    if (has_files) TANDEM_TRY(push_files(out, snapshot, err));
    return tandem__buffer_push(out, "}\n", 2, err);
}

static tandem_status print_table(job *j, const tandem_hub_inventory *inventory, tandem_error *err) {
    tandem_buffer *out = &j->sink.pending;
    int width = 0;
    for (size_t i = 0; i < inventory->count; i++) {
        const int len = (int)strlen(inventory->snapshots[i].name);
        if (len > width) width = len;
    }
    for (size_t i = 0; i < inventory->count; i++) {
        const tandem_hub_snapshot *s = &inventory->snapshots[i];
        char label[SHORT_HASH + 1];
        TANDEM_TRY(tandem__buffer_printf(out, err, "%-*s  %-12s  %10s%s%s\n", width, s->name,
                                         label_of(s, label), tandem__bytes_text(s->bytes).text,
                                         s->missing[0] == '\0' ? "" : "  not whole: ", s->missing));
        TANDEM_TRY(cli_sink_settle(&j->sink, err));
    }
    TANDEM_TRY(cli_sink_flush(&j->sink, err));
    if (!j->settings->is_quiet) {
        cli_note("%zu in %s, %s on disk", inventory->count, inventory->cache,
                 tandem__bytes_text(inventory->bytes).text);
    }
    return TANDEM_OK;
}

static tandem_status print_json(job *j, const tandem_hub_inventory *inventory, bool has_files,
                                tandem_error *err) {
    for (size_t i = 0; i < inventory->count; i++) {
        TANDEM_TRY(push_snapshot(&j->sink.pending, &inventory->snapshots[i], has_files, err));
        TANDEM_TRY(cli_sink_settle(&j->sink, err));
    }
    return TANDEM_OK;
}

static tandem_status list(job *j, tandem_error *err) {
    tandem_hub_inventory inventory = {0};
    TANDEM_TRY(tandem_hub_list(&j->hub, j->name, j->settings->revision, &inventory, err));
    const tandem_status status = j->settings->is_json ? print_json(j, &inventory, false, err)
                                                      : print_table(j, &inventory, err);
    tandem_hub_inventory_deinit(&inventory);
    return status;
}

static tandem_status print_info(job *j, const tandem_hub_snapshot *s, tandem_error *err) {
    tandem_buffer *out = &j->sink.pending;
    TANDEM_TRY(tandem__buffer_printf(out, err, "name    %s\ncommit  %s\nrefs    %s\nfolder  %s\n",
                                     s->name, s->commit, s->refs, s->folder));
    TANDEM_TRY(tandem__buffer_printf(out, err, "size    %s in %zu files\nstate   %s%s\n",
                                     tandem__bytes_text(s->bytes).text, s->file_count,
                                     s->missing[0] == '\0' ? "whole" : "not whole: ", s->missing));
    for (size_t i = 0; i < s->file_count; i++) {
        const tandem_hub_file *file = &s->files[i];
        TANDEM_TRY(tandem__buffer_printf(
            out, err, "  %10s  %s%s%s\n", tandem__bytes_text(file->bytes).text, file->name,
            file->state == TANDEM_HUB_UNCHECKED ? "" : "  ",
            file->state == TANDEM_HUB_UNCHECKED ? "" : state_word(file->state)));
        TANDEM_TRY(cli_sink_settle(&j->sink, err));
    }
    return TANDEM_OK;
}

static tandem_status print_infos(job *j, const tandem_hub_inventory *inventory, tandem_error *err) {
    if (j->settings->is_json) return print_json(j, inventory, true, err);
    for (size_t i = 0; i < inventory->count; i++) {
        if (i > 0) TANDEM_TRY(tandem__buffer_push(&j->sink.pending, "\n", 1, err));
        TANDEM_TRY(print_info(j, &inventory->snapshots[i], err));
    }
    return TANDEM_OK;
}

static tandem_status info(job *j, tandem_error *err) {
    tandem_hub_inventory inventory = {0};
    TANDEM_TRY(tandem_hub_list(&j->hub, j->name, j->settings->revision, &inventory, err));
    const tandem_status status = print_infos(j, &inventory, err);
    tandem_hub_inventory_deinit(&inventory);
    return status;
}

/* What was found is shown, good or bad; the first damage is also the error. */
static tandem_status verify(job *j, tandem_error *err) {
    tandem_hub_inventory inventory = {0};
    const tandem_status verdict =
        tandem_hub_verify(&j->hub, j->name, j->settings->revision, &inventory, err);
    cli_progress_clear(&j->progress);
    if (inventory.count == 0) return verdict;
    tandem_error why = {.status = TANDEM_OK};
    tandem_status status = print_infos(j, &inventory, &why);
    tandem_hub_inventory_deinit(&inventory);
    if (status == TANDEM_OK && verdict != TANDEM_OK) status = cli_sink_flush(&j->sink, &why);
    if (verdict != TANDEM_OK) return verdict;
    if (status != TANDEM_OK && err != NULL) *err = why;
    return status;
}

static tandem_status ask(const job *j, const tandem_hub_inventory *inventory, bool *is_sure,
                         tandem_error *err) {
    if (isatty(STDIN_FILENO) == 0) {
        return TANDEM_FAIL(err, INVALID, "removing %s: nobody to ask, --yes removes without asking",
                           j->name);
    }
    for (size_t i = 0; i < inventory->count; i++) {
        char label[SHORT_HASH + 1];
        const tandem_hub_snapshot *s = &inventory->snapshots[i];
        (void)fprintf(stderr, "%s  %s  %s\n", s->name, label_of(s, label),
                      tandem__bytes_text(s->bytes).text);
    }
    (void)fprintf(stderr, "Remove? [y/N] ");
    char answer[16] = "";
    *is_sure =
        fgets(answer, sizeof answer, stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y');
    return TANDEM_OK;
}

static tandem_status drop(job *j, tandem_error *err) {
    bool is_sure = j->settings->is_sure;
    int64_t bytes = 0;
    if (!is_sure) {
        /* What an interrupted pull has left is in no list. */
        tandem_hub_inventory inventory = {0};
        tandem_status status =
            tandem_hub_list(&j->hub, j->name, j->settings->revision, &inventory, NULL);
        if (status != TANDEM_OK && status != TANDEM_NOT_FOUND) {
            return tandem_hub_list(&j->hub, j->name, j->settings->revision, &inventory, err);
        }
        status = ask(j, &inventory, &is_sure, err);
        tandem_hub_inventory_deinit(&inventory);
        if (status != TANDEM_OK) return status;
    }
    if (!is_sure) return TANDEM_FAIL(err, CANCELLED, "%s was not removed", j->name);
    TANDEM_TRY(tandem_hub_remove(&j->hub, j->name, j->settings->revision, &bytes, err));
    if (!j->settings->is_quiet) {
        cli_note("%s: removed, %s freed", j->name, tandem__bytes_text(bytes).text);
    }
    return TANDEM_OK;
}

static const struct action {
    const char *word;
    bool needs_name;
    tandem_status (*run)(job *j, tandem_error *err);
} actions[] = {
    {"pull", true, pull},      {"list", false, list},  {"info", true, info},
    {"verify", false, verify}, {"remove", true, drop},
};

static cli_exit act(const cli_settings *settings, const struct action *action) {
    job j = {.settings = settings, .name = settings->arg_count > 1 ? settings->args[1] : NULL};
    if (action->needs_name && j.name == NULL) {
        return cli_usage(&cli_command_model, "%s needs the name of a model", action->word);
    }
    if (j.name == NULL && settings->revision != NULL) {
        return cli_usage(&cli_command_model, "--revision needs the name of a model");
    }
    j.hub = (tandem_hub_options){
        .progress = on_progress, .progress_context = &j, .is_offline = settings->is_offline};
    tandem_error err = {.status = TANDEM_OK};
    cli_progress_start(&j.progress, settings->is_quiet);
    tandem_status status = cli_sink_open(NULL, &j.sink, &err);
    if (status == TANDEM_OK) status = action->run(&j, &err);
    cli_progress_clear(&j.progress);
    if (status == TANDEM_OK) status = cli_sink_commit(&j.sink, &err);
    cli_sink_close(&j.sink);
    return status == TANDEM_OK ? CLI_DONE : cli_fail(&err);
}

static cli_exit run(const cli_settings *settings) {
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        if (strcmp(settings->args[0], actions[i].word) == 0) return act(settings, &actions[i]);
    }
    return cli_usage(&cli_command_model, "\"%.40s\", expected pull, list, info, verify or remove",
                     settings->args[0]);
}

const cli_command cli_command_model = {
    .name = "model",
    .usage = "pull|list|info|verify|remove [OPTION]... [NAME]",
    .summary = "Get models from the Hugging Face Hub, and keep those on disk",
    .details = "pull NAME      fetch what is needed to run the model, and print its folder\n"
               "list [NAME]    the models in the cache\n"
               "info NAME      its commit, folder and files\n"
               "verify [NAME]  read every file and compare it with its hash\n"
               "remove NAME    take it, or one --revision of it, out of the cache\n"
               "\n"
               "NAME is org/name, or org/name@revision; without org it is\n"
               "sentence-transformers'. A pull that was cut off goes on where it stopped. The\n"
               "cache is the one of Python's huggingface_hub, and its variables count:\n"
               "HF_HUB_CACHE, HF_HOME, HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE.\n",
    .example = "  tandem model pull BAAI/bge-small-en-v1.5\n"
               "  tandem model list\n"
               "  tandem model remove --yes BAAI/bge-small-en-v1.5\n",
    .args_min = 1,
    .args_max = 2,
    .groups = {&model_group, &cli_group_common},
    .run = run,
};
