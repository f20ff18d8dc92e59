/* SPDX-License-Identifier: Apache-2.0 */
/* A growable array of items of one type, kept between calls so that steady work allocates
 * nothing. `ptr` converts to the item's pointer; every function is told the item's size. */
#ifndef TANDEM_TEXT_ARRAY_H
#define TANDEM_TEXT_ARRAY_H

#include <stddef.h>

#include "tandem/status.h"

typedef struct tandem_array {
    void *ptr;
    size_t count;    /* items in use */
    size_t capacity; /* items */
} tandem_array;

/* The slow half of tandem__array_reserve. */
tandem_status tandem__array_grow(tandem_array *array, size_t more, size_t item_bytes,
                                 tandem_error *err) TANDEM_NODISCARD;

/* Room for `more` items after `count`. On failure nothing has changed. */
static inline tandem_status tandem__array_reserve(tandem_array *array, size_t more,
                                                  size_t item_bytes, tandem_error *err) {
    if (more <= array->capacity - array->count) return TANDEM_OK;
    return tandem__array_grow(array, more, item_bytes, err);
}

void tandem__array_deinit(tandem_array *array);

#endif
