/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a command's options by its tables. */
#ifndef TANDEM_CLI_OPTIONS_H
#define TANDEM_CLI_OPTIONS_H

#include "cli/cli.h"

#define CLI_TWIN_MAX 64 /* bytes of an environment variable's name, NUL included */

/* Fills `settings`: the tables' defaults, then `argv` (what follows the command's name), then the
 * environment where argv says nothing. Options may stand anywhere; after "--" everything is an
 * argument; "-" alone is one. `args` has room for argc pointers and is where settings->args points.
 * Returns CLI_USAGE with a line on stderr for an unknown option (and the nearest known one), a
 * value that is missing or out of range, or too few or many arguments. `*is_help` is set for -h. */
cli_exit cli_options_parse(const cli_command *command, int argc, char *const *argv,
                           const char **args, cli_settings *settings, bool *is_help);

/* TANDEM_MAX_LENGTH of "max-length". */
void cli_option_twin(const cli_option *option, char out[CLI_TWIN_MAX]);

/* The value without the option where it is worth saying, else NULL: 0 is explained by the help. */
const char *cli_option_default(const cli_option *option);

/* "a|b" where the value is one of these, else NULL. */
const char *cli_option_words(const cli_option *option);

/* Whether the option may stand without its value. */
bool cli_option_is_maybe(const cli_option *option);

#endif
