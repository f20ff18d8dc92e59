/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of a server: makes one, shows it once, and prints what to put into the server's file. */
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/json_text.h"
#include "cli/cli.h"
#include "cli/sink.h"
#include "server/new_key.h"

#define AT(field)       offsetof(cli_settings, field)
#define INPUT_BYTES_MAX 4096

/* clang-format off */
static const cli_option options[] = {
    {CLI_TEXT, AT(tenant), "tenant", 't', false, "NAME", NULL, 0, 0,
     "whose key it is"},
    {CLI_TEXT, AT(tier), "tier", 0, false, "NAME", NULL, 0, 0,
     "the tenant's tier, as the server's file calls it"},
    {CLI_SWITCH, AT(is_json), "json", 0, false, NULL, NULL, 0, 0,
     "one JSON object instead"},
};
/* clang-format on */

static const cli_group key_group = CLI_GROUP("Key", options);

static tandem_status print_json(const cli_settings *settings, const char *key, const char *hash,
                                tandem_buffer *out, tandem_error *err) {
    TANDEM_TRY(tandem__buffer_printf(out, err, "{\"key\":\"%s\",\"hash\":\"%s\"", key, hash));
    TANDEM_TRY(tandem__buffer_printf(out, err, ",\"tenant\":"));
    TANDEM_TRY(tandem__json_text_string(out, tandem__str(settings->tenant), err));
    if (settings->tier != NULL) {
        TANDEM_TRY(tandem__buffer_printf(out, err, ",\"tier\":"));
        TANDEM_TRY(tandem__json_text_string(out, tandem__str(settings->tier), err));
    }
    return tandem__buffer_printf(out, err, "}\n");
}

static tandem_status print_yaml(const cli_settings *settings, const char *key, const char *hash,
                                tandem_buffer *out, tandem_error *err) {
    TANDEM_TRY(
        tandem__buffer_printf(out, err, "%s\n\ntenants:\n  - name: %s\n", key, settings->tenant));
    if (settings->tier != NULL)
        TANDEM_TRY(tandem__buffer_printf(out, err, "    tier: %s\n", settings->tier));
    return tandem__buffer_printf(out, err, "    keys:\n      - %s\n", hash);
}

static tandem_status make(const cli_settings *settings, tandem_buffer *out, tandem_error *err) {
    char key[SERVER_KEY_BYTES];
    char hash[SERVER_KEY_HASH_BYTES];
    TANDEM_TRY(server_key_make(key, err));
    server_key_say_hash(key, strlen(key), hash);
    return settings->is_json ? print_json(settings, key, hash, out, err)
                             : print_yaml(settings, key, hash, out, err);
}

/* The hash of a key that comes on standard input, where no list of processes shows it. */
static tandem_status hash_input(tandem_buffer *out, tandem_error *err) {
    char key[INPUT_BYTES_MAX];
    size_t len = fread(key, 1, sizeof key, stdin);
    if (len == sizeof key) {
        return TANDEM_FAIL(err, CAPACITY, "standard input: expected a key of less than %d bytes",
                           INPUT_BYTES_MAX);
    }
    while (len > 0 && (key[len - 1] == '\n' || key[len - 1] == '\r')) len--;
    if (len == 0) return TANDEM_FAIL(err, INVALID, "standard input: empty, expected a key");
    char hash[SERVER_KEY_HASH_BYTES];
    server_key_say_hash(key, len, hash);
    return tandem__buffer_printf(out, err, "%s\n", hash);
}

static cli_exit run(const cli_settings *settings) {
    const bool is_new = strcmp(settings->args[0], "new") == 0;
    if (!is_new && strcmp(settings->args[0], "hash") != 0) {
        return cli_usage(&cli_command_key, "\"%.40s\", expected new or hash", settings->args[0]);
    }
    if (is_new && !server_is_name(settings->tenant)) {
        return cli_usage(&cli_command_key,
                         "new needs --tenant NAME, of up to 63 letters, digits or - _ . @");
    }
    if (settings->tier != NULL && !server_is_name(settings->tier)) {
        return cli_usage(&cli_command_key,
                         "--tier: \"%.40s\", expected up to 63 letters, digits or - _ . @",
                         settings->tier);
    }
    tandem_error err = {0};
    cli_sink sink;
    tandem_status status = cli_sink_open(NULL, &sink, &err);
    if (status == TANDEM_OK)
        status = is_new ? make(settings, &sink.pending, &err) : hash_input(&sink.pending, &err);
    if (status == TANDEM_OK) status = cli_sink_commit(&sink, &err);
    cli_sink_close(&sink);
    return status == TANDEM_OK ? CLI_DONE : cli_fail(&err);
}

const cli_command cli_command_key = {
    .name = "key",
    .usage = "new --tenant NAME [--tier TIER] | hash",
    .summary = "Make keys for the users of a server",
    .details = "new   makes a key and prints it, once, then the lines for the server's file;\n"
               "      there only its hash stands, from which nobody finds the key again\n"
               "hash  reads a key that you have from standard input and prints its hash\n"
               "\n"
               "A server reads its file again when it changes, and on SIGHUP.\n",
    .example = "  tandem key new --tenant acme --tier premium\n",
    .args_min = 1,
    .args_max = 1,
    .groups = {&key_group, &cli_group_common},
    .run = run,
};
