/* SPDX-License-Identifier: Apache-2.0 */
#include "server/prometheus.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

static void push(server_prom *prom, const char *bytes, size_t len) {
    if (prom->status != TANDEM_OK) return;
    prom->status = tandem__buffer_push(prom->out, bytes, len, prom->err);
}

static void push_text(server_prom *prom, const char *text) {
    push(prom, text, strlen(text));
}

/* Backslash and line feed are escaped, in label values the quote as well. */
static void push_escaped(server_prom *prom, const char *text, bool is_label) {
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '\\')
            push_text(prom, "\\\\");
        else if (*at == '\n')
            push_text(prom, "\\n");
        else if (*at == '"' && is_label)
            push_text(prom, "\\\"");
        else
            push(prom, at, 1);
    }
}

static void push_number(server_prom *prom, double value) {
    char text[32];
    if (isnan(value))
        (void)snprintf(text, sizeof text, "NaN");
    else if (isinf(value))
        (void)snprintf(text, sizeof text, value > 0 ? "+Inf" : "-Inf");
    else
        (void)snprintf(text, sizeof text, "%.15g", value);
    push_text(prom, text);
}

void server_prom_family(server_prom *prom, const char *name, const char *type, const char *help) {
    push_text(prom, "# HELP ");
    push_text(prom, name);
    push_text(prom, " ");
    push_escaped(prom, help, false);
    push_text(prom, "\n# TYPE ");
    push_text(prom, name);
    push_text(prom, " ");
    push_text(prom, type);
    push_text(prom, "\n");
}

/* `le` is one more label, for histograms; NULL without. */
static void push_sample(server_prom *prom, const char *name, const char *suffix,
                        const server_labels *labels, const char *le, double value) {
    push_text(prom, name);
    push_text(prom, suffix);
    const char *before = "{";
    for (int i = 0; labels != NULL && i < SERVER_LABELS_MAX && labels->at[i].key != NULL; i++) {
        push_text(prom, before);
        push_text(prom, labels->at[i].key);
        push_text(prom, "=\"");
        if (labels->at[i].value != NULL) push_escaped(prom, labels->at[i].value, true);
        push_text(prom, "\"");
        before = ",";
    }
    if (le != NULL) {
        push_text(prom, before);
        push_text(prom, "le=\"");
        push_text(prom, le);
        push_text(prom, "\"");
        before = ",";
    }
    push_text(prom, before[0] == ',' ? "} " : " ");
    push_number(prom, value);
    push_text(prom, "\n");
}

void server_prom_value(server_prom *prom, const char *name, const server_labels *labels,
                       double value) {
    push_sample(prom, name, "", labels, NULL, value);
}

void server_prom_histogram(server_prom *prom, const char *name, const server_labels *labels,
                           const server_histogram *histogram, const server_bounds *bounds) {
    TANDEM_ASSERT(bounds->count <= SERVER_BUCKETS_MAX);
    uint64_t seen = 0;
    for (int i = 0; i < bounds->count; i++) {
        char le[32];
        seen += server_read(&histogram->counts[i]);
        (void)snprintf(le, sizeof le, "%.15g", bounds->shown[i]);
        push_sample(prom, name, "_bucket", labels, le, (double)seen);
    }
    seen += server_read(&histogram->counts[bounds->count]);
    push_sample(prom, name, "_bucket", labels, "+Inf", (double)seen);
    push_sample(prom, name, "_sum", labels, NULL,
                (double)server_read(&histogram->sum) * bounds->scale);
    push_sample(prom, name, "_count", labels, NULL, (double)seen);
}
