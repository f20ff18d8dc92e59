/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fail.h"
#include "base/number.h"
#include "base/str.h"
#include "tandem/engine.h"

tandem_status tandem_priority_parse(const char *word, size_t len, int32_t *priority,
                                    tandem_error *err) {
    static const struct {
        const char *word;
        tandem_priority priority;
    } words[] = {{"realtime", TANDEM_PRIORITY_REALTIME},
                 {"real_time", TANDEM_PRIORITY_REALTIME},
                 {"urgent", TANDEM_PRIORITY_REALTIME},
                 {"standard", TANDEM_PRIORITY_STANDARD},
                 {"background", TANDEM_PRIORITY_BACKGROUND}};
    const tandem_str text = {word, len};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (!tandem__str_is(text, words[i].word)) continue;
        *priority = words[i].priority;
        return TANDEM_OK;
    }
    int64_t number = 0;
    const bool has_plus = len > 1 && word[0] == '+' && word[1] != '-'; // "+10", as one says it
    const tandem_str digits = {has_plus ? word + 1 : word, has_plus ? len - 1 : len};
    if (!tandem__number_parse_int(digits, &number) || number < INT32_MIN || number > INT32_MAX)
        return TANDEM_FAIL(err, INVALID,
                           "priority: \"%.*s\", expected realtime, standard, background or a whole "
                           "number, lower first",
                           TANDEM_STR_ARG(text));
    *priority = (int32_t)number;
    return TANDEM_OK;
}
