/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/npy.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

#define PREFIX_BYTES 10
#define TEXT_BYTES   (CLI_NPY_HEADER_BYTES - PREFIX_BYTES)

_Static_assert(TEXT_BYTES == 118, "the length in the prefix");

void cli_npy_header(uint64_t rows, int32_t columns, char out[CLI_NPY_HEADER_BYTES]) {
    static const char prefix[PREFIX_BYTES] = "\x93NUMPY\x01\x00\x76"; /* and a NUL */
    char text[TEXT_BYTES + 1];
    const int len = snprintf(
        text, sizeof text, "{'descr': '<f4', 'fortran_order': False, 'shape': (%" PRIu64 ", %d), }",
        rows, columns);
    TANDEM_ASSERT(len > 0 && len < TEXT_BYTES);
    memset(text + len, ' ', (size_t)(TEXT_BYTES - len));
    text[TEXT_BYTES - 1] = '\n';
    memcpy(out, prefix, PREFIX_BYTES);
    memcpy(out + PREFIX_BYTES, text, TEXT_BYTES);
}
