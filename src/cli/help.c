/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/help.h"

#include <stdio.h>
#include <string.h>

#include "cli/options.h"

#define NAME_COLUMN 28 /* where an option's help begins */
#define WIDTH       78
#define LINE_BYTES  512

void cli_help_program(void) {
    (void)printf("Usage: tandem COMMAND [OPTION]... [ARGUMENT]...\n\n"
                 "Encoder language models on every processor of this machine.\n\nCommands:\n");
    for (int i = 0; i < cli_command_count; i++) {
        (void)printf("  %-12s %s\n", cli_commands[i]->name, cli_commands[i]->summary);
    }
    (void)printf("\n%s\n'tandem COMMAND --help' says more of each.\n", CLI_DETAILS_GLOBAL);
}

/* `text` from column NAME_COLUMN on, broken at spaces; the cursor stands at `column`. */
static void print_wrapped(const char *text, int column) {
    if (column > NAME_COLUMN - 2) {
        (void)putchar('\n');
        column = 0;
    }
    (void)printf("%*s", NAME_COLUMN - column, "");
    column = NAME_COLUMN;
    while (*text != '\0') {
        const int word = (int)strcspn(text, " ");
        if (column > NAME_COLUMN && column + 1 + word > WIDTH) {
            (void)printf("\n%*s", NAME_COLUMN, "");
            column = NAME_COLUMN;
        }
        if (column > NAME_COLUMN) column += printf(" ");
        column += printf("%.*s", word, text);
        text += word + (text[word] == ' ' ? 1 : 0);
    }
    (void)putchar('\n');
}

static void print_option(const cli_option *option) {
    char line[LINE_BYTES];
    char letter[5] = "    ";
    if (option->letter != 0) (void)snprintf(letter, sizeof letter, "-%c, ", option->letter);
    const bool is_maybe = cli_option_is_maybe(option);
    const char *value = option->value == NULL ? "" : option->value;
    const int column = printf("  %s--%s%s%s%s", letter, option->name, value[0] == '\0' ? "" : " ",
                              is_maybe ? "[" : "", value) +
                       printf("%s", is_maybe ? "]" : "");
    const char *fallback = cli_option_default(option);
    (void)snprintf(line, sizeof line, "%s%s%s%s", option->help,
                   fallback == NULL ? "" : " (default ", fallback == NULL ? "" : fallback,
                   fallback == NULL ? "" : ")");
    print_wrapped(line, column);
}

void cli_help_command(const cli_command *command) {
    (void)printf("Usage: tandem %s%s%s\n\n%s.\n", command->name,
                 command->usage[0] == '\0' ? "" : " ", command->usage, command->summary);
    if (command->details[0] != '\0') (void)printf("\n%s", command->details);
    for (int g = 0; command->groups[g] != NULL; g++) {
        if (command->groups[g]->options[0].is_hidden) continue;
        (void)printf("\n%s:\n", command->groups[g]->title);
        for (size_t i = 0; i < command->groups[g]->count; i++) {
            const cli_option *option = &command->groups[g]->options[i];
            if (!option->is_hidden) print_option(option);
        }
    }
    (void)printf("  -h, --help");
    print_wrapped("this text", 12);
    if (command->example != NULL) (void)printf("\nExamples:\n%s", command->example);
}
