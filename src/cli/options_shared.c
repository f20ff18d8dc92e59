/* SPDX-License-Identifier: Apache-2.0 */
/* The options that several commands have. */
#include "cli/cli.h"

#define AT(field)      offsetof(cli_settings, field)
#define THREADS_MAX    1024
#define MAX_LENGTH_MAX (1 << 20) /* tokens */
#define LANE_WORDS     "auto|ane|metal|cuda|cpu|ref"
#define DTYPE_WORDS    "f16|f32|bf16|i8|fp8|auto"

/* clang-format off */
#define MODEL_ROW                                                                                  \
    {CLI_TEXT, AT(model), "model", 'm', false, "NAME|PATH", CLI_DEFAULT_MODEL, 0, 0,               \
     "a Hub name that is in the cache, or a folder"}
#define MAX_LENGTH_ROW(text)                                                                       \
    {CLI_INT, AT(max_length), "max-length", 0, false, "N", "0", 0, MAX_LENGTH_MAX, text}

static const cli_option model_options[] = {
    MODEL_ROW,
    {CLI_WORD, AT(lane), "lane", 0, false, LANE_WORDS, "auto", 0, 0,
     "the processor to work on; one that is missing is replaced by the next"},
    {CLI_WORD, AT(dtype), "dtype", 0, false, DTYPE_WORDS, "f16", 0, 0,
     "number format of weights and arithmetic"},
    {CLI_INT, AT(threads), "threads", 0, false, "N", "0", 0, THREADS_MAX,
     "compute threads; 0 is the processors that this process may use"},
    MAX_LENGTH_ROW("longest text in tokens; 0 is the model's own, at most its positions"),
};

static const cli_option tokenizer_options[] = {
    MODEL_ROW,
    MAX_LENGTH_ROW("cut to this many tokens, special ones included; 0 cuts nothing"),
};

static const cli_option input_options[] = {
    {CLI_PATH, AT(file), "file", 'f', false, "FILE", NULL, 0, 0,
     "texts from FILE, one a line; - is standard input"},
    {CLI_WORD, AT(input_format), "input-format", 0, false, "lines|jsonl", "lines", 0, 0,
     "a text a line, or a JSON object a line"},
    {CLI_TEXT, AT(field), "field", 0, false, "NAME", "text", 0, 0,
     "the member of a jsonl row that is the text"},
    {CLI_SWITCH, AT(is_strict), "strict", 0, false, NULL, NULL, 0, 0,
     "refuse input that is not UTF-8 instead of replacing it"},
};

static const cli_option common_options[] = {
    {CLI_SWITCH, AT(is_offline), "offline", 0, false, NULL, NULL, 0, 0,
     "stay off the network; only 'tandem model pull' ever uses it"},
    {CLI_SWITCH, AT(is_quiet), "quiet", 'q', false, NULL, NULL, 0, 0,
     "errors only on stderr"},
    {CLI_COUNT, AT(verbosity), "verbose", 'v', false, NULL, NULL, 0, 0,
     "say more on stderr; twice for more still"},
};
/* clang-format on */

const cli_group cli_group_model = CLI_GROUP("Model and lane", model_options);
const cli_group cli_group_tokenizer = CLI_GROUP("Tokenizer", tokenizer_options);
const cli_group cli_group_input = CLI_GROUP("Input", input_options);
const cli_group cli_group_common = CLI_GROUP("Common", common_options);
