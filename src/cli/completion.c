/* SPDX-License-Identifier: Apache-2.0 */
/* Completion scripts for bash, zsh and fish, from the option tables. */
#include <stdio.h>
#include <string.h>

#include "cli/help.h"
#include "cli/options.h"

#define COMMANDS(c)                                                                                \
    for (int index_##c = 0; index_##c < cli_command_count; index_##c++)                            \
        for (const cli_command *c = cli_commands[index_##c]; c != NULL; c = NULL)

typedef void (*option_printer)(const cli_command *command, const cli_option *option);

static void each_option(const cli_command *command, option_printer print) {
    for (int g = 0; command->groups[g] != NULL; g++) {
        for (size_t i = 0; i < command->groups[g]->count; i++) {
            const cli_option *option = &command->groups[g]->options[i];
            if (!option->is_hidden) print(command, option);
        }
    }
}

/* Whether the value is a file's name, or may be. */
static bool is_file(const cli_option *option) {
    return option->kind == CLI_PATH || option->kind == CLI_MAYBE ||
           (option->value != NULL && strcmp(option->value, "FILE") == 0);
}

/* "a|b|c" with `separator` for the bars. */
static void print_words(const char *words, char separator) {
    for (const char *at = words; *at != '\0'; at++) (void)putchar(*at == '|' ? separator : *at);
}

static void bash_name(const cli_command *command, const cli_option *option) {
    (void)command;
    (void)printf(" --%s", option->name);
    if (option->letter != 0) (void)printf(" -%c", option->letter);
}

static void bash_value(const cli_command *command, const cli_option *option) {
    if (option->value == NULL) return;
    (void)printf("        %s:--%s", command->name, option->name);
    if (option->letter != 0) (void)printf("|%s:-%c", command->name, option->letter);
    (void)printf(") ");
    if (cli_option_words(option) != NULL) {
        (void)printf("COMPREPLY=($(compgen -W \"");
        print_words(option->value, ' ');
        (void)printf("\" -- \"$cur\"))");
    } else if (is_file(option) || strcmp(option->name, "model") == 0) {
        (void)printf("COMPREPLY=($(compgen -f -- \"$cur\"))");
    } else {
        (void)printf("COMPREPLY=()");
    }
    (void)printf("; return ;;\n");
}

static void print_bash(void) {
    (void)printf("# bash completion for tandem\n_tandem() {\n"
                 "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
                 "    local command=${COMP_WORDS[1]}\n"
                 "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
                 "        COMPREPLY=($(compgen -W \"");
    COMMANDS(command)(void) printf("%s ", command->name);
    (void)printf("\" -- \"$cur\")); return\n    fi\n    case \"$command:$prev\" in\n");
    COMMANDS(command) each_option(command, bash_value);
    (void)printf("    esac\n    case \"$cur\" in\n    -*) ;;\n"
                 "    *) COMPREPLY=(); return ;;\n    esac\n    case \"$command\" in\n");
    COMMANDS(command) {
        (void)printf("        %s) COMPREPLY=($(compgen -W \"--help", command->name);
        each_option(command, bash_name);
        (void)printf("\" -- \"$cur\")) ;;\n");
    }
    (void)printf("    esac\n}\ncomplete -o filenames -F _tandem tandem\n");
}

/* Help in zsh's single quotes: brackets and colons are escaped, apostrophes leave the quotes. */
static void print_zsh_text(const char *text) {
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '[' || *at == ']' || *at == ':') (void)putchar('\\');
        if (*at == '\'') (void)fputs("'\\'", stdout);
        (void)putchar(*at);
    }
}

static void zsh_option(const cli_command *command, const cli_option *option) {
    (void)command;
    (void)printf("            ");
    if (option->letter != 0) {
        (void)printf("{-%c,--%s}'", option->letter, option->name);
    } else {
        (void)printf("'--%s", option->name);
    }
    (void)printf("[");
    print_zsh_text(option->help);
    (void)printf("]");
    if (option->value != NULL) {
        (void)printf(cli_option_is_maybe(option) ? "::%s:" : ":%s:", option->name);
        if (cli_option_words(option) != NULL) {
            (void)printf("(");
            print_words(option->value, ' ');
            (void)printf(")");
        } else if (is_file(option)) {
            (void)printf("_files");
        } else if (strcmp(option->name, "model") == 0) {
            (void)printf("_files -/");
        }
    }
    (void)printf("' \\\n");
}

static void print_zsh(void) {
    (void)printf("#compdef tandem\n_tandem() {\n    local -a commands\n    commands=(\n");
    COMMANDS(command) {
        (void)printf("        '%s:", command->name);
        print_zsh_text(command->summary);
        (void)printf("'\n");
    }
    (void)printf("    )\n    if (( CURRENT == 2 )); then\n"
                 "        _describe command commands\n        return\n    fi\n"
                 "    local command=$words[2]\n    shift words\n    (( CURRENT-- ))\n"
                 "    case $command in\n");
    COMMANDS(command) {
        (void)printf("        %s)\n            _arguments \\\n", command->name);
        each_option(command, zsh_option);
        (void)printf("            {-h,--help}'[help]' '*:argument:' ;;\n");
    }
    (void)printf("    esac\n}\n_tandem \"$@\"\n");
}

static void print_fish_text(const char *text) {
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '\'' || *at == '\\') (void)putchar('\\');
        (void)putchar(*at);
    }
}

static void fish_option(const cli_command *command, const cli_option *option) {
    (void)printf("complete -c tandem -n '__fish_seen_subcommand_from %s' -l %s", command->name,
                 option->name);
    if (option->letter != 0) (void)printf(" -s %c", option->letter);
    if (cli_option_words(option) != NULL) {
        (void)printf(cli_option_is_maybe(option) ? " -a '" : " -x -a '");
        print_words(option->value, ' ');
        (void)printf("'");
    } else if (option->kind == CLI_MAYBE) {
        (void)printf(" -F");
    } else if (is_file(option) || strcmp(option->name, "model") == 0) {
        (void)printf(" -r -F");
    } else if (option->value != NULL) {
        (void)printf(" -x");
    }
    (void)printf(" -d '");
    print_fish_text(option->help);
    (void)printf("'\n");
}

static void print_fish(void) {
    (void)printf("# fish completion for tandem\ncomplete -c tandem -f\n");
    COMMANDS(command) {
        (void)printf("complete -c tandem -n __fish_use_subcommand -a %s -d '", command->name);
        print_fish_text(command->summary);
        (void)printf("'\n");
        each_option(command, fish_option);
    }
}

void cli_help_completion(const char *shell) {
    if (strcmp(shell, "bash") == 0)
        print_bash();
    else if (strcmp(shell, "zsh") == 0)
        print_zsh();
    else
        print_fish();
}
