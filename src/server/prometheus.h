/* SPDX-License-Identifier: Apache-2.0 */
/* Prometheus' text format 0.0.4, written family by family.
 *
 *     server_prom prom = {.out = out, .err = err};
 *     server_prom_family(&prom, "tandem_texts_total", "counter", "Texts that were answered.");
 *     server_prom_value(&prom, "tandem_texts_total", &SERVER_LABELS({"model", name}), 12);
 *     return prom.status;
 *
 * The first failure (no memory, the buffer is full) stays in `status` and nothing is written after
 * it, so that callers ask once. Label values are escaped here. One thread at a time. */
#ifndef TANDEM_SERVER_PROMETHEUS_H
#define TANDEM_SERVER_PROMETHEUS_H

#include <stdbool.h>

#include "base/buffer.h"
#include "server/stats_state.h"
#include "tandem/status.h"

typedef struct server_prom {
    tandem_buffer *out;
    tandem_error *err;
    tandem_status status;
} server_prom;

#define SERVER_LABELS_MAX 6

/* Ends before the first label without a key. A value may be NULL: it is written as "". */
typedef struct server_label {
    const char *key;
    const char *value;
} server_label;

typedef struct server_labels {
    server_label at[SERVER_LABELS_MAX];
} server_labels;

#define SERVER_LABELS(...) ((server_labels){{__VA_ARGS__}})

/* `type` is "counter", "gauge", "histogram" or "summary". Every sample of a family follows it. */
void server_prom_family(server_prom *prom, const char *name, const char *type, const char *help);

/* `labels` may be NULL, here and below. */
void server_prom_value(server_prom *prom, const char *name, const server_labels *labels,
                       double value);

/* A histogram's buckets, sum and count. */
void server_prom_histogram(server_prom *prom, const char *name, const server_labels *labels,
                           const server_histogram *histogram, const server_bounds *bounds);

#endif
