/* SPDX-License-Identifier: Apache-2.0 */
/* An interpreter of Core ML packages (ML Programs), for tests. It shares nothing with what writes
 * them: it reads Manifest.json, model.mlmodel and weight.bin from the disk, with its own reader of
 * protobuf's wire format, and is strict where Core ML may be lenient or crash:
 *
 *   fields          those of the published schema that a program needs; another is an error
 *   names           identifiers, made once, used after they are made
 *   types, shapes   declared ones against those that follow from the operation's inputs
 *   parameters      known to the operation, constant where Core ML asks for constants
 *   weight.bin      blobs lie one behind the other, counted by the header; packages of several
 *                   lengths share the file, so that one of them need not use them all
 *   description     inputs and outputs as the program's function has them
 *   Manifest.json   keys, versions, paths that exist
 *
 * Operations compute in f32 and round their results to f16 where that is the declared type, as
 * hardware does. A result that is not finite is an error: the Neural Engine takes NaN for infinity.
 *
 * One package may be predicted with from several threads at a time. Errors: 0, and a line of text
 * in `error` of `size` bytes; 1 is success. */
#ifndef TANDEM_TESTS_MIL_RUN_H
#define TANDEM_TESTS_MIL_RUN_H

#include <stddef.h>
#include <stdint.h>

#define MIL_RUN_RANK_MAX 5

typedef struct mil_run mil_run;

/* An input or an output, f16, row-major. Lives as long as the mil_run. */
typedef struct mil_run_feature {
    const char *name;
    int rank;
    int64_t shape[MIL_RUN_RANK_MAX];
    size_t count; /* elements */
} mil_run_feature;

/* An operation that is no const, in the program's order. */
typedef struct mil_run_operation {
    const char *type;   /* "conv" */
    const char *output; /* of its first result */
} mil_run_operation;

/* `package`: the .mlpackage folder. NULL on an error. */
mil_run *mil_run_open(const char *package, char *error, size_t size);
void mil_run_close(mil_run *run);

/* Counts go to *count. */
const mil_run_feature *mil_run_inputs(const mil_run *run, int *count);
const mil_run_feature *mil_run_outputs(const mil_run *run, int *count);
const mil_run_operation *mil_run_operations(const mil_run *run, int *count);

/* All inputs by name, in any order, as many elements as the feature has; `output`'s elements go to
 * `out`. */
int mil_run_predict(const mil_run *run, int count, const char *const *names,
                    const uint16_t *const *inputs, const char *output, uint16_t *out, char *error,
                    size_t size);

#endif
