/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "cli/bench.h"

static bool is_peer_word(const char *which) {
    return strcmp(which, "auto") == 0 || strcmp(which, "torch") == 0 || strcmp(which, "onnx") == 0;
}

void cli_baseline_start(cli_baseline *baseline, const char *which, const char *python) {
    *baseline = (cli_baseline){.run = NULL};
    if (strcmp(which, "none") == 0) {
        (void)snprintf(baseline->reason, sizeof baseline->reason, "not asked for");
        return;
    }
    tandem_error err = {0};
    if (is_peer_word(which) && cli_bench_peer_start(baseline, which, python, &err)) {
        (void)snprintf(baseline->reason, sizeof baseline->reason, "%.200s", err.message);
    }
}

void cli_baseline_settle(cli_baseline *baseline, const char *which, const cli_bench_sizes *sizes) {
    tandem_error err = {0};
    if (baseline->peer != NULL && cli_bench_peer_wait(baseline, sizes, &err) == TANDEM_OK) return;
    if (baseline->peer != NULL) {
        cli_baseline_close(baseline);
        (void)snprintf(baseline->reason, sizeof baseline->reason, "%.200s", err.message);
    }
    if (strcmp(which, "auto") != 0 && strcmp(which, "blas") != 0) return;
    tandem_error_clear(&err);
    if (cli_bench_blas_open(baseline, sizes, &err) == TANDEM_OK) return;
    (void)snprintf(baseline->reason, sizeof baseline->reason,
                   "none here: install PyTorch, ONNX Runtime or OpenBLAS");
}

void cli_baseline_close(cli_baseline *baseline) {
    if (baseline->close != NULL) baseline->close(baseline);
    baseline->close = NULL;
    baseline->run = NULL;
}
