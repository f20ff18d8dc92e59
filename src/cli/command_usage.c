/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger for people: a table, or with --json what GET /usage answers. */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/fail.h"
#include "cli/cli.h"
#include "cli/sink.h"
#include "server/server_config.h"
#include "server/usage.h"

#define AT(field)       offsetof(cli_settings, field)
#define ARENA_BYTES_MAX ((size_t)256 << 20)
#define NUMBERS         (1 + SERVER_USAGE_OUTCOMES + 3)
#define COLUMNS         (SERVER_USAGE_BYS + NUMBERS + 1) /* and the amount */
#define CELL_BYTES      32
#define MICROS          1000000

/* clang-format off */
static const cli_option options[] = {
    {CLI_PATH, AT(ledger), "ledger", 'l', false, "FILE", NULL, 0, 0,
     "the server's file of usage; else that of --config, else this user's own"},
    {CLI_PATH, AT(config), "config", 'c', false, "FILE", NULL, 0, 0,
     "the server's YAML file, which names its ledger"},
    {CLI_TEXT, AT(by), "by", 0, false, "day,tenant,model,lane", "tenant", 0, 0,
     "what to sum up by: one of these or several with commas; \"\" for one sum"},
    {CLI_TEXT, AT(tenant), "tenant", 't', false, "NAME", NULL, 0, 0,
     "of this tenant alone"},
    {CLI_TEXT, AT(since), "since", 0, false, "DAY", NULL, 0, 0,
     "from this day on, such as 2026-11-01 (UTC)"},
    {CLI_TEXT, AT(until), "until", 0, false, "DAY", NULL, 0, 0,
     "to the end of this day"},
    {CLI_SWITCH, AT(is_json), "json", 0, false, NULL, NULL, 0, 0,
     "one JSON object instead of a table"},
};
/* clang-format on */

static const cli_group usage_group = CLI_GROUP("Usage", options);

typedef struct line {
    const char *cells[COLUMNS]; /* NULL = no such column */
    struct line *next;
} line;

typedef struct table {
    tandem_arena arena;
    uint32_t by;
    line *first;
    line *last;
    size_t widths[COLUMNS];
    server_usage_sum total;
    size_t rows;
} table;

static tandem_status add_line(table *t, const char *const cells[COLUMNS], tandem_error *err) {
    line *row = tandem__arena_alloc(&t->arena, sizeof *row);
    if (row == NULL) return TANDEM_FAIL(err, CAPACITY, "too many rows for a table: use --json");
    for (size_t i = 0; i < COLUMNS; i++) {
        if (cells[i] == NULL) continue;
        const size_t len = strlen(cells[i]);
        row->cells[i] = tandem__arena_copy(&t->arena, cells[i], len);
        if (row->cells[i] == NULL)
            return TANDEM_FAIL(err, CAPACITY, "too many rows for a table: use --json");
        if (len > t->widths[i]) t->widths[i] = len;
    }
    if (t->first == NULL)
        t->first = row;
    else
        t->last->next = row;
    t->last = row;
    return TANDEM_OK;
}

static tandem_status add_sum(table *t, const server_usage_sum *sum, tandem_error *err) {
    char numbers[NUMBERS + 1][CELL_BYTES];
    int64_t values[NUMBERS] = {sum->requests};
    for (int i = 0; i < SERVER_USAGE_OUTCOMES; i++) values[1 + i] = sum->outcomes[i];
    values[NUMBERS - 3] = sum->texts;
    values[NUMBERS - 2] = sum->cached_texts;
    values[NUMBERS - 1] = sum->tokens;
    const char *cells[COLUMNS] = {NULL};
    for (int i = 0; i < SERVER_USAGE_BYS; i++) {
        if ((t->by & 1U << i) == 0) continue;
        const bool is_blank = sum->by[i][0] == '\0' && sum != &t->total; /* no lane served */
        cells[i] = is_blank ? "-" : sum->by[i];
    }
    for (int i = 0; i < NUMBERS; i++) {
        (void)snprintf(numbers[i], CELL_BYTES, "%lld", (long long)values[i]);
        cells[SERVER_USAGE_BYS + i] = numbers[i];
    }
    (void)snprintf(numbers[NUMBERS], CELL_BYTES, "%lld.%06lld", (long long)(sum->amount / MICROS),
                   (long long)(sum->amount % MICROS));
    cells[COLUMNS - 1] = numbers[NUMBERS];
    return add_line(t, cells, err);
}

static tandem_status take_sum(void *context, const server_usage_sum *sum, tandem_error *err) {
    table *t = context;
    t->rows++;
    t->total.requests += sum->requests;
    for (int i = 0; i < SERVER_USAGE_OUTCOMES; i++) t->total.outcomes[i] += sum->outcomes[i];
    t->total.texts += sum->texts;
    t->total.cached_texts += sum->cached_texts;
    t->total.tokens += sum->tokens;
    t->total.amount += sum->amount;
    return add_sum(t, sum, err);
}

static tandem_status add_head(table *t, tandem_error *err) {
    const char *cells[COLUMNS] = {NULL};
    for (int i = 0; i < SERVER_USAGE_BYS; i++)
        cells[i] = (t->by & 1U << i) == 0 ? NULL : server_usage_by_word(i);
    cells[SERVER_USAGE_BYS] = "requests";
    for (int i = 0; i < SERVER_USAGE_OUTCOMES; i++)
        cells[SERVER_USAGE_BYS + 1 + i] = server_usage_outcome_word(i);
    cells[COLUMNS - 4] = "texts";
    cells[COLUMNS - 3] = "cached texts";
    cells[COLUMNS - 2] = "tokens";
    cells[COLUMNS - 1] = "amount";
    return add_line(t, cells, err);
}

/* Names to the left, numbers to the right. */
static tandem_status print_lines(const table *t, cli_sink *sink, tandem_error *err) {
    for (const line *row = t->first; row != NULL; row = row->next) {
        bool is_first = true;
        for (int i = 0; i < COLUMNS; i++) {
            if (row->cells[i] == NULL) continue;
            const int width = (int)t->widths[i];
            TANDEM_TRY(tandem__buffer_printf(&sink->pending, err, "%s%*s", is_first ? "" : "  ",
                                             i < SERVER_USAGE_BYS ? -width : width, row->cells[i]));
            is_first = false;
        }
        TANDEM_TRY(tandem__buffer_push(&sink->pending, "\n", 1, err));
        TANDEM_TRY(cli_sink_settle(sink, err));
    }
    return TANDEM_OK;
}

static tandem_status print_table(const char *path, const server_usage_query *query, cli_sink *sink,
                                 tandem_error *err) {
    table t = {.by = query->by, .total = {.by = {"total", "", "", ""}}};
    tandem__arena_init(&t.arena, ARENA_BYTES_MAX);
    for (int i = SERVER_USAGE_BYS - 1; i >= 0;
         i--) { /* "total" in the first column that is there */
        if ((query->by & 1U << i) == 0) continue;
        for (int k = 0; k < SERVER_USAGE_BYS; k++) t.total.by[k] = k == i ? "total" : "";
    }
    tandem_status status = add_head(&t, err);
    if (status == TANDEM_OK) status = server_usage_read(path, query, take_sum, &t, err);
    if (status == TANDEM_OK && t.rows > 1) status = add_sum(&t, &t.total, err);
    if (status == TANDEM_OK) status = print_lines(&t, sink, err);
    tandem__arena_deinit(&t.arena);
    return status;
}

static tandem_status find_ledger(const cli_settings *settings, server_config *config,
                                 const char **path, tandem_error *err) {
    *path = settings->ledger;
    if (*path != NULL) return TANDEM_OK;
    if (settings->config != NULL) TANDEM_TRY(server_config_read(config, settings->config, err));
    *path = config->ledger;
    return *path != NULL ? TANDEM_OK : server_usage_path(&config->arena, false, path, err);
}

static tandem_status print(const cli_settings *settings, cli_sink *sink, tandem_error *err) {
    server_usage_query query = {
        .tenant = settings->tenant, .since = settings->since, .until = settings->until};
    TANDEM_TRY(server_usage_by_parse(tandem__str(settings->by), "--by", &query.by, err));
    server_config config;
    const char *path = NULL;
    server_config_init(&config);
    tandem_status status = find_ledger(settings, &config, &path, err);
    if (status == TANDEM_OK && settings->is_json) {
        status = server_usage_json(path, &query, &sink->pending, err);
        if (status == TANDEM_OK) status = tandem__buffer_push(&sink->pending, "\n", 1, err);
    } else if (status == TANDEM_OK) {
        status = print_table(path, &query, sink, err);
    }
    server_config_deinit(&config);
    return status;
}

static cli_exit run(const cli_settings *settings) {
    tandem_error err = {0};
    cli_sink sink;
    tandem_status status = cli_sink_open(NULL, &sink, &err);
    if (status == TANDEM_OK) status = print(settings, &sink, &err);
    if (status == TANDEM_OK) status = cli_sink_commit(&sink, &err);
    cli_sink_close(&sink);
    return status == TANDEM_OK ? CLI_DONE : cli_fail(&err);
}

const cli_command cli_command_usage = {
    .name = "usage",
    .usage = "[OPTION]...",
    .summary = "Who used a server for what, and what it costs",
    .details = "Sums of the ledger that 'tandem serve' keeps: requests by how they ended, texts,\n"
               "tokens, and the amount by the prices at that time, in the prices' own unit. What\n"
               "was known from the cache costs nothing. A server may be writing meanwhile; it\n"
               "enters what was used within a second.\n",
    .example = "  tandem usage --by day,tenant --since 2026-11-01\n"
               "  tandem usage --ledger /var/lib/tandem/usage.db --tenant acme --by model --json\n",
    .args_max = 0,
    .groups = {&usage_group, &cli_group_common},
    .run = run,
};
