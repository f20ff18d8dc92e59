/* SPDX-License-Identifier: Apache-2.0 */
/* tandem.1, from the same tables as --help. */
#include <stdio.h>
#include <string.h>

#include "cli/help.h"
#include "cli/options.h"
#include "tandem/version.h"

/* Text with what roff would take as its own escaped; `is_upper` for section titles. */
static void print_roff(const char *text, bool is_upper) {
    bool is_line_start = true;
    for (const char *at = text; *at != '\0'; at++) {
        char c = *at;
        if (is_line_start && (c == '.' || c == '\'')) (void)fputs("\\&", stdout);
        is_line_start = c == '\n';
        if (is_upper && c >= 'a' && c <= 'z') c = (char)(c - 'a' + 'A');
        if (c == '\\')
            (void)fputs("\\e", stdout);
        else if (c == '-')
            (void)fputs("\\-", stdout);
        else
            (void)putchar(c);
    }
}

static void print_option(const cli_option *option) {
    char twin[CLI_TWIN_MAX];
    cli_option_twin(option, twin);
    (void)fputs(".TP\n", stdout);
    if (option->letter != 0) (void)printf("\\fB\\-%c\\fR, ", option->letter);
    (void)fputs("\\fB\\-\\-", stdout);
    print_roff(option->name, false);
    (void)fputs("\\fR", stdout);
    if (option->value != NULL) {
        (void)fputs(cli_option_is_maybe(option) ? " [\\fI" : " \\fI", stdout);
        print_roff(option->value, false);
        (void)fputs(cli_option_is_maybe(option) ? "\\fR]" : "\\fR", stdout);
    }
    (void)fputs("\n", stdout);
    print_roff(option->help, false);
    const char *fallback = cli_option_default(option);
    if (fallback != NULL) {
        (void)fputs(" (default ", stdout);
        print_roff(fallback, false);
        (void)fputs(")", stdout);
    }
    (void)printf(". Environment: %s.\n", twin);
}

static void print_command(const cli_command *command) {
    (void)printf(".SS tandem %s ", command->name);
    print_roff(command->usage, false);
    (void)fputs("\n", stdout);
    print_roff(command->summary, false);
    (void)fputs(".\n.PP\n", stdout);
    for (const char *at = command->details; *at != '\0';) {
        const char *end = strstr(at, "\n\n");
        const size_t len = end == NULL ? strlen(at) : (size_t)(end - at) + 1;
        char paragraph[2048];
        (void)snprintf(paragraph, sizeof paragraph, "%.*s", (int)len, at);
        print_roff(paragraph, false);
        at += len;
        if (*at == '\n') {
            (void)fputs(".PP\n", stdout);
            at++;
        }
    }
    for (int g = 0; command->groups[g] != NULL; g++) {
        for (size_t i = 0; i < command->groups[g]->count; i++) {
            const cli_option *option = &command->groups[g]->options[i];
            if (!option->is_hidden) print_option(option);
        }
    }
    if (command->example == NULL) return;
    (void)fputs(".PP\n.nf\n", stdout);
    print_roff(command->example, false);
    (void)fputs(".fi\n", stdout);
}

void cli_help_manual(void) {
    (void)printf(".TH TANDEM 1 \"\" \"tandem %s\" \"User Commands\"\n", TANDEM_VERSION);
    (void)fputs(".SH NAME\ntandem \\- encoder language models on every processor\n"
                ".SH SYNOPSIS\n\\fBtandem\\fR \\fICOMMAND\\fR [\\fIOPTION\\fR]... "
                "[\\fIARGUMENT\\fR]...\n.SH DESCRIPTION\n",
                stdout);
    print_roff(CLI_DETAILS_GLOBAL, false);
    (void)fputs(".SH COMMANDS\n", stdout);
    for (int i = 0; i < cli_command_count; i++) print_command(cli_commands[i]);
    (void)fputs(".SH EXIT STATUS\n0 done, 1 failed, 2 wrong usage.\n"
                ".SH ENVIRONMENT\n.TP\n\\fBHF_HUB_CACHE\\fR, \\fBHF_HOME\\fR\n"
                "Where models are looked for.\n.TP\n\\fBTANDEM_CPU\\fR\n"
                "Highest instruction set to use: c, avx2, avx512, neon and so on.\n"
                ".TP\n\\fBTANDEM_SGEMM\\fR\n"
                "On a Mac, whether lane cpu computes by Accelerate: never, always; else where it\n"
                "is faster.\n"
                ".TP\n\\fBTANDEM_START_CHECK\\fR\n"
                "again: lanes of devices are held against the reference at this start too.\n",
                stdout);
}
