/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: what its files share.
 *
 *     main.c ─ options.c ─ command_embed.c ─ input.c ─┐
 *                          command_….c                ├─ include/tandem ─ sink.c, output.c, npy.c
 *
 * A command is a row of data: its name, its help and its options, and one function. Parsing, the
 * environment's twins, --help, the manual page and shell completion all read the same tables, so
 * they cannot disagree.
 *
 * Names here start with cli_ instead of tandem__: this is a program, linked into no other. */
#ifndef TANDEM_CLI_CLI_H
#define TANDEM_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tandem/status.h"

/* Exit status of the program. */
typedef enum cli_exit {
    CLI_DONE = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
} cli_exit;

#define CLI_LIST_MAX 64

typedef struct cli_list {
    const char *items[CLI_LIST_MAX];
    int count;
} cli_list;

/* A setting of a server as it was given: judged by the command, together with those of a file. */
typedef struct cli_given {
    const char *value; /* NULL = not given */
    bool is_environment;
} cli_given;

#define CLI_SERVE_MAX 32

/* What the options of all commands set; a command reads the fields that its tables name. Texts
 * point into argv, the environment or the tables. */
typedef struct cli_settings {
    const char *const *args; /* [arg_count] what is no option, in order */
    int arg_count;

    const char *model;
    const char *shape; /* NULL = a model */
    const char *lane;
    const char *dtype;
    int64_t threads;    /* 0 = all */
    int64_t max_length; /* 0 = the model's own */
    bool is_offline;
    bool is_quiet;
    int64_t verbosity; /* times that -v was given */

    const char *file; /* NULL = arguments or stdin */
    const char *input_format;
    const char *field;
    bool is_strict;

    const char *output;  /* NULL = stdout */
    const char *format;  /* NULL = by the ending of `output`, else jsonl */
    int64_t dimensions;  /* 0 = the model's */
    bool skip_normalize; /* vectors as the pooling gives them */
    const char *prompt;
    const char *long_texts;
    const char *order;
    bool is_sparse;
    bool is_all_tokens;
    int64_t top; /* 0 = all */
    bool is_raw;
    bool is_paired;

    bool is_decoding;  /* ids to text */
    bool skip_special; /* special tokens are left out */

    bool is_json;
    bool is_explained;
    int64_t tokens;
    int64_t batch; /* 0 = 1 for latency, a large one for throughput */
    double seconds;
    const char *compare;
    const char *mix; /* NULL = tables */
    const char *machine;
    const char *policy;
    const char *loads; /* "0.4,0.8" */
    const char *faults;
    double realtime;
    double background;
    int64_t requests;
    int64_t seed;
    double warmup_ms;
    bool is_bursty;
    const char *report; /* "" = a default name, NULL = none */
    const char *baseline;
    const char *python;
    const char *revision; /* NULL = the name's own, else main */
    bool is_sure;         /* asked already */
    bool is_manual;
    const char *completion;

    cli_list models;                /* of a server; none = the default one */
    cli_given serve[CLI_SERVE_MAX]; /* by server_setting_id */
    const char *config;             /* file; NULL = none */
    const char *served_name;
    const char *api_key;
    bool is_json_log;

    const char *ledger; /* NULL = that of `config` or of the user */
    const char *by;     /* "day,tenant" */
    const char *tenant; /* NULL = all */
    const char *since;
    const char *until;
    const char *tier;
} cli_settings;

typedef enum cli_kind {
    CLI_SWITCH = 0, /* bool */
    CLI_COUNT = 1,  /* int64_t, one more each time it is given */
    CLI_INT = 2,    /* int64_t within [min, max] */
    CLI_REAL = 3,   /* double within [min, max] */
    CLI_TEXT = 4,   /* const char * */
    CLI_WORD = 5,   /* const char *, one of `words` */
    CLI_PATH = 6,   /* const char *, completed as a file name */
    CLI_MAYBE = 7,  /* const char *, may stand without a value: then "" */
    CLI_LIST = 8,   /* cli_list, one more text each time; commas separate them in the environment */
    CLI_GIVEN = 9,  /* cli_given; its fallback is for help alone */
    CLI_GIVEN_SWITCH = 10, /* the same, may stand without a value: then "true" */
    CLI_REFUSED = 11,      /* what others have: `help` says what to use instead */
} cli_kind;

typedef struct cli_option {
    cli_kind kind;
    size_t offset;        /* of its field in cli_settings */
    const char *name;     /* long form without dashes; its twin is TANDEM_ + NAME */
    char letter;          /* short form, or 0 */
    bool is_hidden;       /* not in help */
    const char *value;    /* how help calls the value; words for CLI_WORD: "a|b|c" */
    const char *fallback; /* the value without the option, as text; NULL = none */
    int64_t min;
    int64_t max;
    const char *help; /* one sentence without full stop */
} cli_option;

typedef struct cli_group {
    const char *title;
    const cli_option *options;
    size_t count;
} cli_group;

#define CLI_GROUPS_MAX 6
#define CLI_GROUP(title, table)                                                                    \
    { (title), (table), sizeof(table) / sizeof *(table) }

/* A group of options that several commands have; see options_shared.c. */
extern const cli_group cli_group_model;     /* --model --lane --dtype --threads --max-length */
extern const cli_group cli_group_tokenizer; /* --model --max-length */
extern const cli_group cli_group_input;     /* --file --input-format --field --strict */
extern const cli_group cli_group_common;    /* --offline -q -v -h */

typedef struct cli_command {
    const char *name;
    const char *usage;   /* what follows the name: "[OPTION]... [TEXT]..." */
    const char *summary; /* one line */
    const char *details; /* paragraphs for help and manual, lines of at most 78 */
    const char *example; /* lines of shell */
    int args_min;
    int args_max;
    const cli_group *groups[CLI_GROUPS_MAX]; /* NULL ends */
    cli_exit (*run)(const cli_settings *settings);
    const char *lacks; /* NULL, or why this build cannot run it: all that it says */
} cli_command;

extern const cli_command cli_command_embed;
extern const cli_command cli_command_similarity;
extern const cli_command cli_command_rerank;
extern const cli_command cli_command_classify;
extern const cli_command cli_command_tokenize;
extern const cli_command cli_command_bench;
extern const cli_command cli_command_simulate;
extern const cli_command cli_command_doctor;
extern const cli_command cli_command_selftest;
extern const cli_command cli_command_serve;
extern const cli_command cli_command_key;
extern const cli_command cli_command_usage;
extern const cli_command cli_command_model;
extern const cli_command cli_command_version;
extern const cli_command cli_command_help;

/* [cli_command_count], in the order of help. */
extern const cli_command *const cli_commands[];
extern const int cli_command_count;

#define CLI_DEFAULT_MODEL "sentence-transformers/all-MiniLM-L6-v2"

/* One line on stderr, "tandem: ...". */
void cli_note(const char *format, ...) TANDEM_PRINTF(1, 2);

/* Says what failed and returns CLI_FAILED; a reader that closed our stdout is no failure:
 * CLI_DONE, silently. */
cli_exit cli_fail(const tandem_error *err);

/* Says what was wrong and where help is; returns CLI_USAGE. `command` may be NULL. */
cli_exit cli_usage(const cli_command *command, const char *format, ...) TANDEM_PRINTF(2, 3);

#endif
