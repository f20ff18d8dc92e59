/* SPDX-License-Identifier: Apache-2.0 */
/* What requests leave behind when they are answered; see metrics.c. */
#ifndef TANDEM_PIPELINE_MEASURE_H
#define TANDEM_PIPELINE_MEASURE_H

#include "base/histogram.h"
#include "tandem/metrics.h"

typedef enum pipeline_stage {
    PIPELINE_TOKENIZE = 0,
    PIPELINE_QUEUE = 1,
    PIPELINE_INFER = 2,
    PIPELINE_TOTAL = 3,
    PIPELINE_STAGES = 4,
} pipeline_stage;

/* 420 KB, of which only what is counted to is ever touched. Any thread, no lock. */
typedef struct pipeline_metrics {
    tandem_histogram stages[TANDEM_BANDS][PIPELINE_STAGES];
    tandem_histogram all;         /* total, of every band */
    tandem_histogram queue_depth; /* that a request found */
    _Atomic uint64_t laneless;    /* requests that were answered without a lane */
    _Atomic uint64_t laneless_texts;
    _Atomic uint64_t cached; /* ... because the cache had it all */
} pipeline_metrics;

struct pipeline_job;

/* The job has been answered. */
void tandem__metrics_answered(const struct pipeline_job *job);

#endif
