/* SPDX-License-Identifier: Apache-2.0 */
/* NumPy's file format 1.0 for a float32 matrix:
 *
 *     offset 0   6 bytes  93 'N' 'U' 'M' 'P' 'Y'
 *            6   2 bytes  01 00                    version
 *            8   2 bytes  76 00                    bytes of the header text, little-endian
 *           10 118 bytes  {'descr': '<f4', 'fortran_order': False, 'shape': (n, d), }  and spaces
 *          128   4 * n * d bytes, row-major, little-endian
 *
 * The header has one size for every shape, so that n can be written when it is known. */
#ifndef TANDEM_CLI_NPY_H
#define TANDEM_CLI_NPY_H

#include <stdint.h>

#define CLI_NPY_HEADER_BYTES 128

void cli_npy_header(uint64_t rows, int32_t columns, char out[CLI_NPY_HEADER_BYTES]);

#endif
