/* SPDX-License-Identifier: Apache-2.0 */
/* In place of command_key.c, command_serve.c and command_usage.c in a build without TANDEM_SERVER:
 * the commands are in every list, and say that this build lacks them. */
#include "cli/cli.h"

#define LACKS "this build of tandem lacks the server (TANDEM_SERVER=OFF)"

const cli_command cli_command_serve = {
    .name = "serve",
    .usage = "",
    .summary = "Answer requests over HTTP (not in this build)",
    .details = "",
    .groups = {&cli_group_common},
    .lacks = LACKS,
};

const cli_command cli_command_usage = {
    .name = "usage",
    .usage = "",
    .summary = "Who used a server for what, and what it costs (not in this build)",
    .details = "",
    .groups = {&cli_group_common},
    .lacks = LACKS,
};

const cli_command cli_command_key = {
    .name = "key",
    .usage = "",
    .summary = "Make keys for the users of a server (not in this build)",
    .details = "",
    .groups = {&cli_group_common},
    .lacks = LACKS,
};
