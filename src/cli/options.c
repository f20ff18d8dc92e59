/* SPDX-License-Identifier: Apache-2.0 */
/* One parser for all commands. getopt_long was rejected: it knows neither the environment nor
 * value ranges, cannot suggest a name, and accepts abbreviations that break when options are
 * added. */
#include "cli/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/nearest.h"
#include "base/number.h"
#include "base/str.h"

#define WORD_BYTES_MAX 80

typedef struct parser {
    const cli_command *command;
    int argc;
    char *const *argv;
    int at; /* next of argv */
    cli_settings *settings;
    bool *is_help;
    bool *is_given; /* [sizeof(cli_settings)] by offset: fields that the command line set */
} parser;

void cli_option_twin(const cli_option *option, char out[CLI_TWIN_MAX]) {
    const int len = snprintf(out, CLI_TWIN_MAX, "TANDEM_%s", option->name);
    TANDEM_ASSERT(len > 0 && len < CLI_TWIN_MAX);
    for (char *p = out; *p != '\0'; p++) {
        if (*p == '-') *p = '_';
        if (*p >= 'a' && *p <= 'z') *p = (char)(*p - 'a' + 'A');
    }
}

const char *cli_option_default(const cli_option *option) {
    const char *fallback = option->fallback;
    return fallback == NULL || strcmp(fallback, "0") == 0 ? NULL : fallback;
}

const char *cli_option_words(const cli_option *option) {
    if (option->kind == CLI_WORD) return option->value;
    const bool is_given = option->kind == CLI_GIVEN || option->kind == CLI_GIVEN_SWITCH;
    return is_given && strchr(option->value, '|') != NULL ? option->value : NULL;
}

bool cli_option_is_maybe(const cli_option *option) {
    return option->kind == CLI_MAYBE || option->kind == CLI_GIVEN_SWITCH;
}

/* The option of that long name (`len` bytes) or of that letter; NULL if there is none. */
static const cli_option *find(const cli_command *command, const char *name, size_t len,
                              char letter) {
    for (int g = 0; command->groups[g] != NULL; g++) {
        for (size_t i = 0; i < command->groups[g]->count; i++) {
            const cli_option *option = &command->groups[g]->options[i];
            if (letter != 0 && option->letter == letter) return option;
            if (letter == 0 && strlen(option->name) == len &&
                memcmp(option->name, name, len) == 0) {
                return option;
            }
        }
    }
    return NULL;
}

static cli_exit unknown_option(const cli_command *command, const char *name, size_t len) {
    char given[WORD_BYTES_MAX];
    (void)snprintf(given, sizeof given, "%.*s", (int)(len < 60 ? len : 60), name);
    const char *nearest = "help";
    int least = tandem__edit_distance(given, nearest);
    for (int g = 0; command->groups[g] != NULL; g++) {
        for (size_t i = 0; i < command->groups[g]->count; i++) {
            const cli_option *option = &command->groups[g]->options[i];
            if (option->is_hidden) continue;
            const int distance = tandem__edit_distance(given, option->name);
            if (distance >= least) continue;
            least = distance;
            nearest = option->name;
        }
    }
    return cli_usage(command, "unknown option --%s, the nearest is --%s", given, nearest);
}

static bool is_true_word(const char *value, bool *is_true) {
    if (tandem__str_is_one_of("1|true|yes|on", value))
        *is_true = true;
    else if (tandem__str_is_one_of("0|false|no|off", value))
        *is_true = false;
    else
        return false;
    return true;
}

static cli_exit assign_item(const parser *p, cli_list *list, const char *source,
                            const char *value) {
    if (value[0] == '\0') return cli_usage(p->command, "%s: empty, expected a value", source);
    if (list->count == CLI_LIST_MAX)
        return cli_usage(p->command, "%s: given over %d times", source, CLI_LIST_MAX);
    list->items[list->count++] = value;
    return CLI_DONE;
}

/* Puts `value` into the option's field. `source` is how the user gave it: "--threads" or
 * "TANDEM_THREADS". */
static cli_exit assign(const parser *p, const cli_option *option, const char *source,
                       const char *value) {
    void *field = (char *)p->settings + option->offset;
    switch (option->kind) {
    case CLI_SWITCH:
        if (is_true_word(value, field)) return CLI_DONE;
        return cli_usage(p->command, "%s: \"%s\", expected 1 or 0", source, value);
    case CLI_COUNT:
    case CLI_INT: {
        int64_t *number = field;
        const int64_t max = option->kind == CLI_COUNT ? 9 : option->max;
        int64_t parsed = 0;
        if (!tandem__number_parse_int(tandem__str(value), &parsed) || parsed < option->min ||
            parsed > max) {
            return cli_usage(p->command, "%s: \"%s\", expected a whole number from %lld to %lld",
                             source, value, (long long)option->min, (long long)max);
        }
        *number = parsed;
        return CLI_DONE;
    }
    case CLI_REAL: {
        double parsed = 0.0;
        if (!tandem__number_parse_double(tandem__str(value), &parsed) ||
            parsed < (double)option->min || parsed > (double)option->max) {
            return cli_usage(p->command, "%s: \"%s\", expected a number from %lld to %lld", source,
                             value, (long long)option->min, (long long)option->max);
        }
        *(double *)field = parsed;
        return CLI_DONE;
    }
    case CLI_WORD:
        if (!tandem__str_is_one_of(option->value, value)) {
            return cli_usage(p->command, "%s: \"%s\", expected one of %s", source, value,
                             option->value);
        }
        break;
    case CLI_PATH:
        if (value[0] != '\0') break;
        return cli_usage(p->command, "%s: empty, expected a path", source);
    case CLI_LIST:
        return assign_item(p, field, source, value);
    case CLI_GIVEN:
    case CLI_GIVEN_SWITCH:
        *(cli_given *)field = (cli_given){value, source[0] != '-'};
        return CLI_DONE;
    case CLI_REFUSED:
        return cli_usage(p->command, "%s: %s", source, option->help);
    case CLI_TEXT:
    case CLI_MAYBE:
        break;
    }
    *(const char **)field = value;
    return CLI_DONE;
}

static void assign_defaults(const parser *p) {
    for (int g = 0; p->command->groups[g] != NULL; g++) {
        for (size_t i = 0; i < p->command->groups[g]->count; i++) {
            const cli_option *option = &p->command->groups[g]->options[i];
            if (option->fallback == NULL || option->kind == CLI_GIVEN ||
                option->kind == CLI_GIVEN_SWITCH)
                continue;
            const cli_exit code = assign(p, option, option->name, option->fallback);
            TANDEM_ASSERT(code == CLI_DONE);
        }
    }
}

/* "a,b" of the environment, which is cut up in place. */
static cli_exit assign_list(const parser *p, const cli_option *option, const char *source,
                            char *values) {
    for (char *at = values; at != NULL;) {
        char *comma = strchr(at, ',');
        if (comma != NULL) *comma = '\0';
        const cli_exit code = assign(p, option, source, at);
        if (code != CLI_DONE) return code;
        at = comma == NULL ? NULL : comma + 1;
    }
    return CLI_DONE;
}

/* Options that the command line left alone, so that it wins over a bad value too. */
static cli_exit assign_environment(const parser *p) {
    for (int g = 0; p->command->groups[g] != NULL; g++) {
        for (size_t i = 0; i < p->command->groups[g]->count; i++) {
            const cli_option *option = &p->command->groups[g]->options[i];
            if (option->is_hidden || p->is_given[option->offset]) continue;
            char twin[CLI_TWIN_MAX];
            cli_option_twin(option, twin);
            char *value = getenv(twin);
            if (value == NULL || value[0] == '\0') continue;
            const cli_exit code = option->kind == CLI_LIST ? assign_list(p, option, twin, value)
                                                           : assign(p, option, twin, value);
            if (code != CLI_DONE) return code;
        }
    }
    return CLI_DONE;
}

/* An option without a value: a switch, a count, or a value that may be left out. */
static void assign_bare(const parser *p, const cli_option *option) {
    void *field = (char *)p->settings + option->offset;
    if (option->kind == CLI_SWITCH)
        *(bool *)field = true;
    else if (option->kind == CLI_COUNT)
        *(int64_t *)field += 1;
    else if (option->kind == CLI_GIVEN_SWITCH)
        *(cli_given *)field = (cli_given){.value = "true"};
    else
        *(const char **)field = "";
}

static bool takes_value(const cli_option *option) {
    return option->kind != CLI_SWITCH && option->kind != CLI_COUNT;
}

/* The value of `option` when it is the next argument, for the form "--name value". */
static cli_exit take_next(parser *p, const cli_option *option, const char *source) {
    const bool has_next = p->at < p->argc;
    if (cli_option_is_maybe(option) && (!has_next || p->argv[p->at][0] == '-')) {
        assign_bare(p, option);
        return CLI_DONE;
    }
    if (!has_next) {
        return cli_usage(p->command, "%s needs a value: %s", source, option->value);
    }
    return assign(p, option, source, p->argv[p->at++]);
}

static cli_exit parse_long(parser *p, const char *text) {
    const size_t len = strcspn(text, "=");
    const char *value = text[len] == '=' ? text + len + 1 : NULL;
    if (len == 4 && memcmp(text, "help", 4) == 0 && value == NULL) {
        *p->is_help = true;
        return CLI_DONE;
    }
    const cli_option *option = find(p->command, text, len, 0);
    if (option == NULL) return unknown_option(p->command, text, len);
    p->is_given[option->offset] = true;
    char source[WORD_BYTES_MAX];
    (void)snprintf(source, sizeof source, "--%s", option->name);
    if (option->kind == CLI_REFUSED) return assign(p, option, source, "");
    if (value != NULL && !takes_value(option)) {
        return cli_usage(p->command, "%s takes no value, \"%s\" was given", source, value);
    }
    if (value != NULL) return assign(p, option, source, value);
    if (takes_value(option)) return take_next(p, option, source);
    assign_bare(p, option);
    return CLI_DONE;
}

/* "-qv", "-mNAME", "-m NAME". */
static cli_exit parse_short(parser *p, const char *letters) {
    for (const char *at = letters; *at != '\0'; at++) {
        if (*at == 'h') {
            *p->is_help = true;
            continue;
        }
        const cli_option *option = find(p->command, NULL, 0, *at);
        if (option == NULL) {
            return cli_usage(p->command, "unknown option -%c; a text that starts with - follows --",
                             *at >= 0x20 && *at < 0x7f ? *at : '?');
        }
        p->is_given[option->offset] = true;
        const char source[3] = {'-', *at, '\0'};
        if (!takes_value(option)) {
            assign_bare(p, option);
            continue;
        }
        if (at[1] != '\0') return assign(p, option, source, at + (at[1] == '=' ? 2 : 1));
        return take_next(p, option, source);
    }
    return CLI_DONE;
}

cli_exit cli_options_parse(const cli_command *command, int argc, char *const *argv,
                           const char **args, cli_settings *settings, bool *is_help) {
    *settings = (cli_settings){.args = args};
    *is_help = false;
    bool is_given[sizeof(cli_settings)] = {false};
    parser p = {command, argc, argv, 0, settings, is_help, is_given};
    cli_exit code = CLI_DONE;
    bool is_rest = false;
    assign_defaults(&p);
    while (code == CLI_DONE && p.at < argc) {
        const char *arg = argv[p.at++];
        if (is_rest || arg[0] != '-' || arg[1] == '\0')
            args[settings->arg_count++] = arg;
        else if (strcmp(arg, "--") == 0)
            is_rest = true;
        else if (arg[1] == '-')
            code = parse_long(&p, arg + 2);
        else
            code = parse_short(&p, arg + 1);
    }
    if (*is_help) return CLI_DONE; /* whatever the environment holds */
    if (code == CLI_DONE) code = assign_environment(&p);
    if (code != CLI_DONE) return code;
    if (settings->arg_count < command->args_min) {
        return cli_usage(command, "%d arguments, expected at least %d: tandem %s %s",
                         settings->arg_count, command->args_min, command->name, command->usage);
    }
    if (settings->arg_count > command->args_max) {
        return cli_usage(command, "unexpected argument \"%.60s\"", args[command->args_max]);
    }
    return CLI_DONE;
}
