/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "cli/cli.h"
#include "tandem/version.h"

static cli_exit run(const cli_settings *settings) {
    (void)settings;
    (void)printf("tandem %s\n", tandem_version());
    return CLI_DONE;
}

const cli_command cli_command_version = {
    .name = "version",
    .usage = "",
    .summary = "Print the version",
    .details = "",
    .groups = {&cli_group_common},
    .run = run,
};
