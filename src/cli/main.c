/* SPDX-License-Identifier: Apache-2.0 */
/* tandem: finds the command, reads its options, runs it.
 *
 * SIGPIPE is ignored, so that a reader that goes away is an ordinary write error: the program ends
 * quietly with status 0, as it does for `tandem ... | head`. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/nearest.h"
#include "cli/cli.h"
#include "cli/help.h"
#include "cli/options.h"
#include "cli/sink.h"

const cli_command *const cli_commands[] = {
    &cli_command_embed,    &cli_command_similarity, &cli_command_rerank, &cli_command_classify,
    &cli_command_tokenize, &cli_command_serve,      &cli_command_usage,  &cli_command_key,
    &cli_command_bench,    &cli_command_simulate,   &cli_command_doctor, &cli_command_selftest,
    &cli_command_model,    &cli_command_version,    &cli_command_help,
};
const int cli_command_count = sizeof cli_commands / sizeof *cli_commands;

void cli_note(const char *format, ...) {
    char line[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    (void)fprintf(stderr, "tandem: %s\n", line);
}

cli_exit cli_fail(const tandem_error *err) {
    if (cli_sink_is_reader_gone()) return CLI_DONE;
    cli_note("%s", err->message);
    return CLI_FAILED;
}

cli_exit cli_usage(const cli_command *command, const char *format, ...) {
    char line[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    cli_note("%s; try 'tandem %s%s--help'", line, command == NULL ? "" : command->name,
             command == NULL ? "" : " ");
    return CLI_USAGE;
}

static const cli_command *find_command(const char *name) {
    for (int i = 0; i < cli_command_count; i++) {
        if (strcmp(cli_commands[i]->name, name) == 0) return cli_commands[i];
    }
    return NULL;
}

static cli_exit unknown_command(const char *name) {
    const char *nearest = cli_commands[0]->name;
    for (int i = 1; i < cli_command_count; i++) {
        const char *candidate = cli_commands[i]->name;
        if (tandem__edit_distance(name, candidate) < tandem__edit_distance(name, nearest)) {
            nearest = candidate;
        }
    }
    return cli_usage(NULL, "unknown %s \"%.60s\", the nearest command is %s",
                     name[0] == '-' ? "option" : "command", name, nearest);
}

static cli_exit run_command(const cli_command *command, int argc, char **argv) {
    cli_settings settings;
    bool is_help = false;
    if (command->lacks != NULL) {
        cli_note("%s: %s", command->name, command->lacks);
        return CLI_FAILED;
    }
    const char **args = tandem__mem_calloc((size_t)argc + 1, sizeof *args);
    if (args == NULL) {
        cli_note("no memory for %d arguments", argc);
        return CLI_FAILED;
    }
    cli_exit code = cli_options_parse(command, argc, argv, args, &settings, &is_help);
    if (code == CLI_DONE && is_help) {
        cli_help_command(command);
    } else if (code == CLI_DONE) {
        const int level =
            settings.is_quiet ? TANDEM_LOG_ERROR : TANDEM_LOG_WARN + (int)settings.verbosity;
        tandem__log_set_level(level > TANDEM_LOG_DEBUG ? TANDEM_LOG_DEBUG
                                                       : (tandem_log_level)level);
        code = command->run(&settings);
    }
    tandem__mem_free(args);
    return code;
}

static cli_exit dispatch(int argc, char **argv) {
    if (argc < 2) return cli_usage(NULL, "no command");
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        cli_help_program();
        return CLI_DONE;
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) name = "version";
    const cli_command *command = find_command(name);
    if (command == NULL) return unknown_command(name);
    return run_command(command, argc - 2, argv + 2);
}

int main(int argc, char **argv) {
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a file over the shell's limit: an ordinary write error too */
    const cli_exit code = dispatch(argc, argv);
    errno = 0;
    if (fflush(stdout) == 0 && ferror(stdout) == 0) return (int)code;
    if (errno == EPIPE) return (int)code;
    tandem_error err = {0};
    (void)tandem__fail_errno(&err, "standard output", "cannot write");
    cli_note("%s", err.message);
    return code == CLI_DONE ? (int)CLI_FAILED : (int)code;
}
