/* SPDX-License-Identifier: Apache-2.0 */
/* Weights on disk: safetensors, one file or shards with an index, mapped read-only.
 *
 *     OFFSET  SIZE  DESCRIPTION (github.com/huggingface/safetensors)
 *     0       8     N, length of the header, little-endian; at most 100,000,000
 *     8       N     JSON: {"name": {"dtype", "shape", "data_offsets": [begin, end]}, ...},
 *                   padded with spaces; "__metadata__" holds strings and is ignored
 *     8 + N   rest  the tensors' bytes, row-major, little-endian; offsets count from here
 *
 * Everything is checked when the file is opened: header length, every dtype, shape, offset, the
 * product of a shape against its bytes, repeated names, overlaps, holes and bytes after the last
 * tensor. After that a tensor is a view that can be read without a further check. Immutable once
 * open; any thread. */
#ifndef TANDEM_FORMAT_SAFETENSORS_H
#define TANDEM_FORMAT_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "tandem/dtype.h"
#include "tandem/status.h"

#define TANDEM_TENSOR_RANK_MAX 8

typedef struct tandem_tensor {
    tandem_str name;
    const char *path;       /* the file it is in, for messages */
    const char *dtype_word; /* as the file writes it: "F32", "I16", ... */
    tandem_dtype dtype;     /* TANDEM_DTYPE_AUTO where tandem has no such number format */
    int rank;
    int64_t shape[TANDEM_TENSOR_RANK_MAX]; /* row-major, [rank] used, each >= 0 */
    const void *data; /* little-endian; writers align it, but the format does not promise it:
                         read with memcpy or unaligned loads */
    size_t bytes;
} tandem_tensor;

typedef struct tandem_weights tandem_weights;

/* Opens `folder`/model.safetensors, or the shards that `folder`/model.safetensors.index.json
 * names; or, where `folder` is a file, that file. A folder with pytorch_model.bin alone is
 * TANDEM_UNSUPPORTED with the reason; one without weights TANDEM_NOT_FOUND. */
tandem_status tandem__weights_open(const char *folder, tandem_weights **weights,
                                   tandem_error *err) TANDEM_NODISCARD;

/* As one file's bytes in memory, borrowed until close (for tests and fuzzing). `name` is copied. */
tandem_status tandem__weights_open_memory(const void *bytes, size_t len, const char *name,
                                          tandem_weights **weights,
                                          tandem_error *err) TANDEM_NODISCARD;

/* NULL is allowed. */
void tandem__weights_close(tandem_weights *weights);

/* NULL if there is none. Borrowed until close. */
const tandem_tensor *tandem__weights_find(const tandem_weights *weights, const char *name);

/* In the order of their names (by bytes). */
size_t tandem__weights_count(const tandem_weights *weights);
const tandem_tensor *tandem__weights_at(const tandem_weights *weights, size_t index);

/* The file or the index, for messages about what is not in it. Borrowed until close. */
const char *tandem__weights_path(const tandem_weights *weights);

/* The tensor that holds the byte at `data`, or NULL. For messages: it looks at every tensor. */
const tandem_tensor *tandem__weights_owner(const tandem_weights *weights, const void *data);

/* Lets the pages of [data, data + bytes) leave the resident set; they come back if read again.
 * Does nothing for data of other weights. */
void tandem__weights_release(const tandem_weights *weights, const void *data, size_t bytes);

#endif
