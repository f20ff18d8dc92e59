/* SPDX-License-Identifier: Apache-2.0 */
/* Where results go: standard output, or a file that appears whole or not at all.
 *
 * A regular file is written beside its target and renamed at commit; a signal that ends the program
 * removes the unfinished one. Devices and pipes are written as they are. Bytes are gathered and
 * written in large pieces; every failed write is an error of cli_sink_flush or cli_sink_commit at
 * the latest. One thread. */
#ifndef TANDEM_CLI_SINK_H
#define TANDEM_CLI_SINK_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/buffer.h"
#include "base/file.h"
#include "tandem/status.h"

typedef struct cli_sink {
    int fd;
    const char *name;      /* for messages: the path, or "standard output" */
    tandem_buffer pending; /* not yet written; push to it, then cli_sink_settle */
    off_t start;           /* position of the first byte, where is_patchable */
    bool is_patchable;     /* a regular file whose bytes can be written again */
    bool is_open;
    bool is_renamed; /* at commit */
    char target[TANDEM_PATH_MAX];
    char beside[TANDEM_PATH_MAX];
} cli_sink;

/* `path` NULL or "-" is standard output. */
tandem_status cli_sink_open(const char *path, cli_sink *sink, tandem_error *err) TANDEM_NODISCARD;

/* Writes what is pending if it is a large piece. */
tandem_status cli_sink_settle(cli_sink *sink, tandem_error *err) TANDEM_NODISCARD;

/* Writes what is pending. */
tandem_status cli_sink_flush(cli_sink *sink, tandem_error *err) TANDEM_NODISCARD;

/* Overwrites `len` bytes at `offset` from the first. Only where is_patchable, after a flush. */
tandem_status cli_sink_patch(cli_sink *sink, size_t offset, const void *bytes, size_t len,
                             tandem_error *err) TANDEM_NODISCARD;

/* Writes what is left and makes the file appear. */
tandem_status cli_sink_commit(cli_sink *sink, tandem_error *err) TANDEM_NODISCARD;

/* Frees; without a commit the unfinished file is removed. After a commit nothing but memory is
 * freed. A sink that is all zero is allowed. */
void cli_sink_close(cli_sink *sink);

/* True once a write found that nobody reads our standard output any more. */
bool cli_sink_is_reader_gone(void);

#endif
