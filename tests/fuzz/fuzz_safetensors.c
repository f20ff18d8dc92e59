/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a safetensors file. What opens has to be readable from end to end. */
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "format/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tandem_weights *weights = NULL;
    tandem_error err = {0};
    const tandem_status status = tandem__weights_open_memory(data, size, "fuzz", &weights, &err);
    if (status != TANDEM_OK) {
        TANDEM_ASSERT(weights == NULL);
        TANDEM_ASSERT(err.status == status && err.message[0] != '\0');
        TANDEM_ASSERT(strchr(err.message, '\n') == NULL);
        return 0;
    }
    size_t total = 0;
    for (size_t i = 0; i < tandem__weights_count(weights); i++) {
        const tandem_tensor *tensor = tandem__weights_at(weights, i);
        const uint8_t *bytes = tensor->data;
        TANDEM_ASSERT(bytes >= data && tensor->bytes <= size - (size_t)(bytes - data));
        const bool has_nul = memchr(tensor->name.ptr, '\0', tensor->name.len) != NULL;
        if (!has_nul) TANDEM_ASSERT(tandem__weights_find(weights, tensor->name.ptr) == tensor);
        total += tensor->bytes;
        tandem__weights_release(weights, bytes, tensor->bytes);
    }
    TANDEM_ASSERT(total <= size);
    tandem__weights_close(weights);
    return 0;
}
