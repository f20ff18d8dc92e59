/* SPDX-License-Identifier: Apache-2.0 */
/* The table of service.h. Rates were chosen in simulation (docs/internals/scheduler.md). */
#include "sched/service.h"

#include "base/assert.h"

#define LEARN_ALL    0.20 /* share of a surprise that every knot takes */
#define LEARN_NEAR   0.05 /* ... and the two beside it besides */
#define LEARN_SHARED 0.05
#define SURPRISE_MAX 4.0 /* a page fault is not a new speed */
#define NS_MIN       1.0
#define KNEE_SLACK   1.05

void tandem__service_init(service_table *table, double base_ns, double token_ns) {
    TANDEM_ASSERT(base_ns >= 0 && token_ns >= 0);
    for (int k = 0; k < SERVICE_KNOTS; k++) {
        const double ns = base_ns + token_ns * (double)((int64_t)1 << k);
        table->ns[k] = ns > NS_MIN ? ns : NS_MIN;
    }
    table->shared = 1.0;
    table->seen = 0;
    table->largest = 1;
}

/* The knot at or below, and how far towards the next in [0, 1]. */
static int knot_below(int64_t tokens, double *part) {
    int k = 0;
    while (k + 1 < SERVICE_KNOTS - 1 && ((int64_t)2 << k) <= tokens) k++;
    const double low = (double)((int64_t)1 << k);
    const double at = ((double)tokens - low) / low;
    *part = at < 0 ? 0 : at > 1 ? 1 : at;
    return k;
}

double tandem__service_ns(const service_table *table, int64_t tokens) {
    if (tokens > SERVICE_TOKENS_MAX) {
        return table->ns[SERVICE_KNOTS - 1] * ((double)tokens / SERVICE_TOKENS_MAX);
    }
    double part;
    const int k = knot_below(tokens, &part);
    return table->ns[k] + part * (table->ns[k + 1] - table->ns[k]);
}

void tandem__service_learn(service_table *table, int64_t tokens, double ns, int is_shared) {
    if (tokens > SERVICE_TOKENS_MAX) tokens = SERVICE_TOKENS_MAX;
    const double factor = is_shared ? table->shared : 1.0;
    const double predicted = tandem__service_ns(table, tokens) * factor;
    double ratio = ns / predicted;
    if (ratio > SURPRISE_MAX) ratio = SURPRISE_MAX;
    if (ratio < 1 / SURPRISE_MAX) ratio = 1 / SURPRISE_MAX;
    double part;
    const int k = knot_below(tokens, &part);
    table->seen++;
    if (tokens > table->largest) table->largest = tokens;
    if (is_shared) {
        table->shared *= 1 + LEARN_SHARED * (ratio - 1);
        if (table->shared < 0.5) table->shared = 0.5;
        if (table->shared > 8) table->shared = 8;
    }
    for (int i = 0; i < SERVICE_KNOTS; i++) table->ns[i] *= 1 + LEARN_ALL * (ratio - 1);
    table->ns[k] *= 1 + LEARN_NEAR * (1 - part) * (ratio - 1);
    table->ns[k + 1] *= 1 + LEARN_NEAR * part * (ratio - 1);
    for (int i = k - 1; i >= 0; i--) {
        if (table->ns[i] > table->ns[i + 1]) table->ns[i] = table->ns[i + 1];
    }
    for (int i = k + 1; i < SERVICE_KNOTS; i++) {
        if (table->ns[i] < table->ns[i - 1]) table->ns[i] = table->ns[i - 1];
    }
    for (int i = 0; i < SERVICE_KNOTS; i++) {
        if (table->ns[i] < NS_MIN) table->ns[i] = NS_MIN;
    }
}

int64_t tandem__service_knee(const service_table *table, int64_t tokens_max) {
    double best = -1;
    if (tokens_max > 2 * table->largest) tokens_max = 2 * table->largest;
    for (int k = 0; k < SERVICE_KNOTS && ((int64_t)1 << k) <= tokens_max; k++) {
        const double each = table->ns[k] / (double)((int64_t)1 << k);
        if (best < 0 || each < best) best = each;
    }
    for (int k = 0; k < SERVICE_KNOTS && ((int64_t)1 << k) <= tokens_max; k++) {
        if (table->ns[k] / (double)((int64_t)1 << k) <= best * KNEE_SLACK) return (int64_t)1 << k;
    }
    return 1;
}
