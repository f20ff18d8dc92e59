/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server: gathers its settings and runs it.
 *
 * Every setting is a row of SERVER_SETTING_MAP, of which the options here are made. What was given
 * as a flag or in the environment stays text until the file has been read; then the server's own
 * functions judge it, as they judge the file. */
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "server/server.h"
#include "server/server_config.h"
#include "server/usage.h"

#define AT(field) offsetof(cli_settings, field)

_Static_assert(SERVER_SETTINGS <= CLI_SERVE_MAX, "every setting has its place");

/* Where a setting's text is, and how it is given: a switch may stand alone. */
#define PLACE(name)   (AT(serve) + (size_t)SERVER_SETTING_##name * sizeof(cli_given))
#define GIVEN_TEXT    CLI_GIVEN
#define GIVEN_WORD    CLI_GIVEN
#define GIVEN_INT     CLI_GIVEN
#define GIVEN_BYTES   CLI_GIVEN
#define GIVEN_SECONDS CLI_GIVEN
#define GIVEN_SWITCH  CLI_GIVEN_SWITCH

static const cli_option setting_options[] = {
#define ROW(type, name, flag, kind, fallback, min, max, words, help)                               \
    {GIVEN_##kind, PLACE(name), flag, 0, false, words, fallback, 0, 0, help},
    SERVER_SETTING_MAP(ROW)
#undef ROW
};

/* clang-format off */
static const cli_option main_options[] = {
    {CLI_LIST, AT(models), "model", 'm', false, "NAME|PATH", NULL, 0, 0,
     "a Hub name that is in the cache, or a folder; may be given several times"},
    {CLI_TEXT, AT(served_name), "served-model-name", 0, false, "NAME", NULL, 0, 0,
     "how answers call the first model; requests may use both names"},
    {CLI_PATH, AT(config), "config", 'c', false, "FILE", NULL, 0, 0,
     "YAML file of settings; options and TANDEM_ variables win over it"},
    {CLI_TEXT, AT(api_key), "api-key", 0, false, "KEY", NULL, 0, 0,
     "one key for everybody; better as TANDEM_API_KEY, which no list of processes shows"},
};

/* Options of Text Embeddings Inference: under its names, or with what to use instead. */
#define REFUSED(name, text) {CLI_REFUSED, 0, name, 0, true, NULL, NULL, 0, 0, text}
static const cli_option tei_options[] = {
    {CLI_LIST, AT(models), "model-id", 0, true, "NAME|PATH", NULL, 0, 0, ""},
    {CLI_GIVEN, PLACE(host), "hostname", 0, true, "ADDRESS", NULL, 0, 0, ""},
    {CLI_SWITCH, AT(is_json_log), "json-output", 0, true, NULL, NULL, 0, 0, ""},
    REFUSED("max-concurrent-requests",
            "not counted in requests here; --max-queue-tokens bounds what waits"),
    REFUSED("max-batch-requests", "batches are bounded by tokens: use --max-batch-tokens"),
    REFUSED("tokenization-workers", "texts are cut into tokens as they come: leave it out"),
    REFUSED("pooling", "the model's own files say how it pools: leave it out"),
    REFUSED("dense-path", "dense layers are found in the model's folder: leave it out"),
    REFUSED("revision", "get it by tandem model pull NAME --revision REVISION, which prints the "
                        "folder to give as --model"),
    REFUSED("hf-token", "the server fetches nothing; set HF_TOKEN for tandem model pull"),
    REFUSED("hf-api-token", "the server fetches nothing; set HF_TOKEN for tandem model pull"),
    REFUSED("huggingface-hub-cache", "set HF_HUB_CACHE, the Hub's own variable"),
    REFUSED("disable-spans", "there are no spans to switch off: leave it out"),
    REFUSED("otlp-endpoint", "traces are not exported; traceparent headers are passed on and "
                             "/metrics has the times"),
    REFUSED("otlp-service-name", "traces are not exported: leave it out"),
    REFUSED("prometheus-port", "metrics are at /metrics of the server's own port"),
};
/* clang-format on */

static const cli_group main_group = CLI_GROUP("Models and settings", main_options);
static const cli_group setting_group = CLI_GROUP("Server", setting_options);
static const cli_group tei_group = CLI_GROUP("", tei_options);

static tandem_status take_given(const cli_settings *settings, server_config *config,
                                tandem_error *err) {
    for (int i = 0; i < SERVER_SETTINGS; i++) {
        const cli_given *given = &settings->serve[i];
        if (given->value == NULL) continue;
        char source[CLI_TWIN_MAX + 2];
        if (given->is_environment)
            cli_option_twin(&setting_options[i], source);
        else
            (void)snprintf(source, sizeof source, "--%s", setting_options[i].name);
        const char *value = given->value;
        if (i == SERVER_SETTING_dtype) { /* TEI's words */
            if (strcmp(value, "float16") == 0) value = "f16";
            if (strcmp(value, "float32") == 0) value = "f32";
            if (strcmp(value, "bfloat16") == 0) value = "bf16";
        }
        TANDEM_TRY(server_config_set(config, (server_setting_id)i, value, source, err));
    }
    return TANDEM_OK;
}

static tandem_status take_models(const cli_settings *settings, server_config *config,
                                 tandem_error *err) {
    if (settings->models.count > 0) config->model_count = 0; /* options win over the file */
    for (int i = 0; i < settings->models.count; i++)
        TANDEM_TRY(server_config_add_model(config, settings->models.items[i], err));
    if (settings->served_name == NULL) return TANDEM_OK;
    if (config->model_count == 0)
        TANDEM_TRY(server_config_add_model(config, CLI_DEFAULT_MODEL, err));
    config->models[0].served_name = settings->served_name;
    return TANDEM_OK;
}

static tandem_status serve(const cli_settings *settings, server_config *config, tandem_error *err) {
    if (settings->is_json_log) config->log_format = "json";
    config->api_key = settings->api_key;
    TANDEM_TRY(take_models(settings, config, err));
    TANDEM_TRY(server_config_read_keys(config, err));
    if (server_config_has_keys(config) && config->ledger == NULL)
        TANDEM_TRY(server_usage_path(&config->arena, true, &config->ledger, err));
    if (!settings->is_quiet && settings->verbosity == 0) tandem__log_set_level(TANDEM_LOG_INFO);
    tandem__log_set_json(strcmp(config->log_format, "json") == 0);
    return server_run_config(config, err);
}

static cli_exit run(const cli_settings *settings) {
    server_config config;
    tandem_error err = {0};
    cli_exit code = CLI_DONE;
    if (settings->api_key != NULL && settings->api_key[0] == '\0')
        return cli_usage(&cli_command_serve, "--api-key: empty, expected a key");
    server_config_init(&config);
    tandem_status status = TANDEM_OK;
    if (settings->config != NULL) status = server_config_read(&config, settings->config, &err);
    if (status == TANDEM_OK && take_given(settings, &config, &err) != TANDEM_OK)
        code = cli_usage(&cli_command_serve, "%s", err.message);
    else if (status == TANDEM_OK)
        status = serve(settings, &config, &err);
    if (status != TANDEM_OK) code = cli_fail(&err);
    server_config_deinit(&config);
    return code;
}

const cli_command cli_command_serve = {
    .name = "serve",
    .usage = "[OPTION]...",
    .summary = "Answer requests over HTTP",
    .details = "Speaks the APIs of Text Embeddings Inference, OpenAI (/v1/embeddings), Cohere\n"
               "and Jina (/v1/rerank, /v2/rerank) and KServe (/v2/models/...). GET /openapi.json\n"
               "lists all routes, GET / is a page that shows what the lanes do, GET /ready says\n"
               "whether inference works. A route whose request names no model uses the first\n"
               "one given that is for its task.\n"
               "\n"
               "Every option of the server is also a line of --config FILE, with _ for -. Where\n"
               "that file (or --keys-file) lists tenants, requests need a key; see 'tandem key'.\n"
               "The options of Text Embeddings Inference work too, or say what to use instead.\n",
    .example = "  tandem serve -m sentence-transformers/all-MiniLM-L6-v2 --port 8080\n"
               "  curl -s localhost:8080/embed -H 'Content-Type: application/json' \\\n"
               "       -d '{\"inputs\":\"What a day!\"}'\n",
    .args_max = 0,
    .groups = {&main_group, &setting_group, &cli_group_common, &tei_group},
    .run = run,
};
