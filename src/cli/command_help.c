/* SPDX-License-Identifier: Apache-2.0 */
/* `tandem help [COMMAND]`; hidden: --man and --completion, by which the build writes the manual
 * page and the completion scripts. */
#include <string.h>

#include "cli/cli.h"
#include "cli/help.h"

#define AT(field) offsetof(cli_settings, field)

/* clang-format off */
static const cli_option options[] = {
    {CLI_SWITCH, AT(is_manual), "man", 0, true, NULL, NULL, 0, 0,
     "print the manual page"},
    {CLI_WORD, AT(completion), "completion", 0, true, "bash|zsh|fish", NULL, 0, 0,
     "print a completion script"},
};
/* clang-format on */

static const cli_group options_group = CLI_GROUP("Output", options);

static cli_exit run(const cli_settings *settings) {
    if (settings->is_manual) {
        cli_help_manual();
        return CLI_DONE;
    }
    if (settings->completion != NULL) {
        cli_help_completion(settings->completion);
        return CLI_DONE;
    }
    if (settings->arg_count == 0) {
        cli_help_program();
        return CLI_DONE;
    }
    for (int i = 0; i < cli_command_count; i++) {
        if (strcmp(cli_commands[i]->name, settings->args[0]) != 0) continue;
        cli_help_command(cli_commands[i]);
        return CLI_DONE;
    }
    return cli_usage(NULL, "unknown command \"%.60s\"", settings->args[0]);
}

const cli_command cli_command_help = {
    .name = "help",
    .usage = "[COMMAND]",
    .summary = "Explain a command",
    .details = "",
    .args_max = 1,
    .groups = {&options_group, &cli_group_common},
    .run = run,
};
