/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes for people: "438.1 MB", in powers of 1000. Any thread. */
#ifndef TANDEM_BASE_BYTES_TEXT_H
#define TANDEM_BASE_BYTES_TEXT_H

#include <stdint.h>

typedef struct tandem_bytes_text {
    char text[32];
} tandem_bytes_text;

/* `bytes` is not negative. */
tandem_bytes_text tandem__bytes_text(int64_t bytes);

#endif
