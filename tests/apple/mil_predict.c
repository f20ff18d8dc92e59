/* SPDX-License-Identifier: Apache-2.0 */
/* The interpreter of packages as a program, for the oracle's scripts:
 *
 *     mil_predict PACKAGE                    checks it and prints what it has, a line each
 *     mil_predict PACKAGE INPUTS OUTPUT      f16 of all inputs, in the order printed, to the f16 of
 *                                            the first output */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apple/mil_run.h"

#define INPUTS_MAX 16

static void print_features(const char *what, const mil_run_feature *features, int count) {
    for (int i = 0; i < count; i++) {
        printf("%s %s", what, features[i].name);
        for (int j = 0; j < features[i].rank; j++) printf(" %d", (int)features[i].shape[j]);
        printf("\n");
    }
}

static void describe(const mil_run *run) {
    int count;
    const mil_run_feature *features = mil_run_inputs(run, &count);
    print_features("input", features, count);
    features = mil_run_outputs(run, &count);
    print_features("output", features, count);
    const mil_run_operation *operations = mil_run_operations(run, &count);
    for (int i = 0; i < count; i++) printf("%s %s\n", operations[i].type, operations[i].output);
}

static int fail(const char *what, const char *why) {
    (void)fprintf(stderr, "mil_predict: %s: %s\n", what, why);
    return 1;
}

/* Reads the inputs one after the other; 0 where the file has more or less. */
static int read_inputs(const char *path, const mil_run_feature *features, int count,
                       uint16_t **inputs) {
    FILE *file = fopen(path, "rb");
    int is_whole = file != NULL;
    for (int i = 0; i < count && is_whole; i++) {
        inputs[i] = calloc(features[i].count, sizeof **inputs);
        is_whole = inputs[i] != NULL &&
                   fread(inputs[i], sizeof **inputs, features[i].count, file) == features[i].count;
    }
    is_whole = is_whole && fgetc(file) == EOF;
    if (file != NULL) (void)fclose(file);
    return is_whole;
}

static int write_output(const char *path, const uint16_t *out, size_t count) {
    FILE *file = fopen(path, "wb");
    if (file == NULL) return 0;
    const int is_whole = fwrite(out, sizeof *out, count, file) == count;
    return fclose(file) == 0 && is_whole;
}

static int predict(const mil_run *run, const char *from, const char *to) {
    char error[512] = "";
    uint16_t *inputs[INPUTS_MAX] = {NULL};
    const char *names[INPUTS_MAX];
    int count;
    int outputs;
    const mil_run_feature *features = mil_run_inputs(run, &count);
    const mil_run_feature *output = mil_run_outputs(run, &outputs);
    uint16_t *out = calloc(output->count, sizeof *out);
    int status = 0;
    for (int i = 0; i < count; i++) names[i] = features[i].name;
    if (out == NULL || !read_inputs(from, features, count, inputs))
        status = fail(from, "not the inputs' bytes");
    else if (!mil_run_predict(run, count, names, (const uint16_t *const *)inputs, output->name, out,
                              error, sizeof error))
        status = fail("prediction", error);
    else if (!write_output(to, out, output->count))
        status = fail(to, "not written");
    for (int i = 0; i < count; i++) free(inputs[i]);
    free(out);
    return status;
}

int main(int argc, char **argv) {
    char error[512] = "";
    if (argc != 2 && argc != 4) return fail("usage", "mil_predict PACKAGE [INPUTS OUTPUT]");
    mil_run *run = mil_run_open(argv[1], error, sizeof error);
    if (run == NULL) return fail(argv[1], error);
    int status = 0;
    if (argc == 2)
        describe(run);
    else
        status = predict(run, argv[2], argv[3]);
    mil_run_close(run);
    return status;
}
