/* SPDX-License-Identifier: Apache-2.0 */
/* A server's configuration file: any bytes are settings or an error that names a line. */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "server/server_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    server_config config;
    tandem_error err = {.status = TANDEM_OK};
    server_config_init(&config);
    const tandem_str text = {(const char *)data, size};
    const tandem_status status = server_config_parse(&config, text, "t.yaml", &err);
    TANDEM_ASSERT((status == TANDEM_OK) == (err.message[0] == '\0'));
    for (size_t i = 0; status == TANDEM_OK && i < config.tenants.count; i++)
        TANDEM_ASSERT(config.tenants.entries[i].tier != NULL);
    for (size_t i = 0; status == TANDEM_OK && i < config.tenants.key_count; i++)
        TANDEM_ASSERT(config.tenants.keys[i].tenant < config.tenants.count);
    server_config_deinit(&config);
    return 0;
}
