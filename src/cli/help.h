/* SPDX-License-Identifier: Apache-2.0 */
/* What the option tables say, for people, for man and for shells. All print on stdout. */
#ifndef TANDEM_CLI_HELP_H
#define TANDEM_CLI_HELP_H

#include "cli/cli.h"

#define CLI_DETAILS_GLOBAL                                                                         \
    "Results go to standard output, everything else to standard error.\n"                          \
    "Exit status: 0 done, 1 failed, 2 wrong usage. Every option has an\n"                          \
    "environment twin: TANDEM_MAX_LENGTH=128 is --max-length 128. Models are\n"                    \
    "looked for in the Hugging Face Hub's cache (HF_HUB_CACHE, HF_HOME).\n"

/* `tandem --help`. */
void cli_help_program(void);

/* `tandem COMMAND --help`. */
void cli_help_command(const cli_command *command);

/* tandem.1 in roff's man macros. */
void cli_help_manual(void);

/* `shell` is "bash", "zsh" or "fish". */
void cli_help_completion(const char *shell);

#endif
