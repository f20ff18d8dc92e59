/* SPDX-License-Identifier: Apache-2.0 */
/* A stand-in for Core ML, over objc_sim.h: models are compiled by copying and predict by the
 * interpreter of packages (mil_run.h), so that the lane `ane` runs whole on Linux. Beyond what
 * objc_sim finds, it is misuse
 *
 *   - to load a model without asking for the Neural Engine, or one that was not compiled;
 *   - to predict with one model from two threads at a time;
 *   - to give inputs or outputs of another type, shape, stride or name than the model's.
 *
 * Each prediction overwrites its output whole; what is given in place of an output's memory has
 * rows that lie further apart. */
#ifndef TANDEM_TESTS_APPLE_COREML_SIM_H
#define TANDEM_TESTS_APPLE_COREML_SIM_H

#include "apple/objc_sim.h"

/* What goes wrong, with these words; NULL: nothing. Set between calls of the lane. */
typedef struct coreml_sim_faults {
    const char *compile_error;
    const char *load_error;
    const char *predict_error;
    const char *plan_error;
    int predict_error_at;  /* the how-manieth prediction, from 1; 0: every one */
    bool has_no_engine;    /* the machine has a processor and a GPU alone */
    bool takes_no_backing; /* outputs are arrays of Core ML's own */
    bool is_hanging;       /* predictions do not come back until it is false again */
    int hanging_max;       /* of them, so many at a time; 0: all */
    bool writes_nan;       /* the first number of an output */
    int wrong_from;        /* outputs of this length and longer are turned; 0: none */
} coreml_sim_faults;

/* Since coreml_sim_start. */
typedef struct coreml_sim_counts {
    int compiled;
    int loaded;
    int predicted;
    int at_once; /* most predictions under way together */
} coreml_sim_counts;

/* Starts objc_sim with this framework as macOS `version` (0: 14.0), no faults, counts of 0. */
void coreml_sim_start(int version);

/* objc_sim_stop, when the threads of Core ML's own have ended. */
int coreml_sim_stop(void);

/* Any thread. */
void coreml_sim_set_faults(const coreml_sim_faults *faults);
coreml_sim_counts coreml_sim_count(void);

/* The system's build, "23A344" at the start; at most 31 bytes. */
void coreml_sim_set_build(const char *build);

#endif
