/* SPDX-License-Identifier: Apache-2.0 */
#include "text/array.h"

#include <stdint.h>

#include "base/fail.h"
#include "base/mem.h"

#define BYTES_MIN ((size_t)256)
#define BYTES_MAX ((size_t)1 << 36) /* of one array; texts are at most 1 GiB */

tandem_status tandem__array_grow(tandem_array *array, size_t more, size_t item_bytes,
                                 tandem_error *err) {
    const size_t limit = BYTES_MAX / item_bytes;
    if (more > limit - array->count) {
        return TANDEM_FAIL(err, CAPACITY, "array of %zu items needs %zu more, limit %zu",
                           array->count, more, limit);
    }
    size_t capacity = array->capacity + array->capacity / 2;
    if (capacity < array->count + more) capacity = array->count + more;
    if (capacity * item_bytes < BYTES_MIN) capacity = BYTES_MIN / item_bytes;
    void *ptr = tandem__mem_realloc(array->ptr, capacity * item_bytes);
    if (ptr == NULL) {
        return TANDEM_FAIL(err, MEMORY, "no memory for %zu bytes", capacity * item_bytes);
    }
    array->ptr = ptr;
    array->capacity = capacity;
    return TANDEM_OK;
}

void tandem__array_deinit(tandem_array *array) {
    tandem__mem_free(array->ptr);
    *array = (tandem_array){0};
}
