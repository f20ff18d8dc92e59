/* SPDX-License-Identifier: Apache-2.0 */
/* What the lanes `metal` and `ane` would do at least on Apple's chips, counted and not measured:
 *
 *     apple_cost SHAPE|FOLDER [TOKENS [SEQUENCES]]          bert-base, 128 tokens, 1 sequence
 *
 * The dispatches are those that the metal lane encodes, the operations those of the package that
 * the ane lane writes: both lanes hand over their own lists. A step takes the longer of its
 * arithmetic and its way to memory, at rates that others published; docs/apple.md has the sources,
 * and says which assumption carries each bound. `tandem bench --report` on a Mac is the test. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/coreml/ane_cost.h"
#include "backend/metal/metal_lane.h"
#include "base/fail.h"
#include "model/model.h"

/* Rates: docs/apple.md, "Chips". 0: nobody has published one. */
typedef struct chip {
    const char *name;
    double memory_gbs;
    int gpu_cores;
    double gpu_tflops;     /* f32; f16 is no faster before the M5's tensor units, not used here */
    double ane_tflops;     /* f16, operations that follow each other in one program */
    double ane_weight_gbs; /* weights into the engine */
} chip;

static const chip chips[] = {
    {"M1", 68, 8, 2.6, 12.0, 51},       {"M1 Max", 400, 32, 10.4, 12.0, 51},
    {"M2", 100, 10, 3.6, 7.3, 0},       {"M3", 100, 10, 4.1, 9.0, 0},
    {"M4", 120, 10, 4.3, 19.0, 0},      {"M5", 153.6, 10, 3.8, 14.3, 145},
    {"M5 Max", 614, 40, 16.0, 19.3, 0},
};

/* Assumed where nothing is published. */
#define GPU_EFFICIENCY 0.75  /* of the arithmetic rate, in matrix products whose tiles fill it */
#define MEMORY_SHARE   0.75  /* of the nominal rate that one engine draws */
#define GPU_STEP_US    3.0   /* between dependent dispatches of one encoder */
#define GPU_SUBMIT_US  150.0 /* of a command buffer, from commit until the caller runs again */
#define ANE_SUBMIT_US  250.0 /* of a prediction: the upper end of what is published */

enum { KINDS_MAX = 64 };

/* Steps of one kind, added up. */
typedef struct kind {
    char name[64];
    char how[32];
    int count;
    double flops;
    double bytes;
} kind;

typedef struct tally {
    kind kinds[KINDS_MAX];
    int kind_count;
    int step_count;
    double flops;
    double bytes;
    double weight_bytes;
    double operand_bytes; /* the largest */
    double seconds[sizeof chips / sizeof chips[0]];
} tally;

static double larger(double a, double b) {
    return a > b ? a : b;
}

static void count(tally *t, const char *name, const char *how, double flops, double bytes) {
    int i = 0;
    while (i < t->kind_count &&
           (strcmp(t->kinds[i].name, name) != 0 || strcmp(t->kinds[i].how, how) != 0))
        i++;
    if (i == KINDS_MAX) i = KINDS_MAX - 1; /* the last one takes the rest */
    kind *k = &t->kinds[i];
    if (i == t->kind_count) {
        t->kind_count++;
        (void)snprintf(k->name, sizeof k->name, "%s", name);
        (void)snprintf(k->how, sizeof k->how, "%s", how);
    }
    k->count++;
    k->flops += flops;
    k->bytes += bytes;
    t->step_count++;
    t->flops += flops;
    t->bytes += bytes;
}

/* A dispatch runs in waves of a threadgroup a core: the last one leaves cores idle. */
static void count_metal(void *context, const tandem_metal_cost *cost) {
    tally *t = context;
    const double bytes = cost->bytes_read + cost->bytes_written;
    count(t, cost->op, cost->kernel, cost->flops, bytes);
    for (size_t i = 0; i < sizeof chips / sizeof chips[0]; i++) {
        const chip *c = &chips[i];
        const int waves = (cost->groups + c->gpu_cores - 1) / c->gpu_cores;
        const double filled = (double)cost->groups / ((double)waves * c->gpu_cores);
        const double arithmetic = cost->flops / (c->gpu_tflops * 1e12 * GPU_EFFICIENCY * filled);
        const double memory = bytes / (c->memory_gbs * 1e9 * MEMORY_SHARE);
        t->seconds[i] += larger(arithmetic, memory) + GPU_STEP_US * 1e-6;
    }
}

/* The engine keeps activations of these sizes in its own memory; weights come from outside. */
static void count_ane(void *context, const tandem_ane_cost *cost) {
    tally *t = context;
    count(t, cost->op, cost->is_matrix ? "multipliers" : "", cost->flops,
          cost->weight_bytes + cost->bytes_read + cost->bytes_written);
    t->weight_bytes += cost->weight_bytes;
    t->operand_bytes = larger(t->operand_bytes, cost->operand_bytes);
    for (size_t i = 0; i < sizeof chips / sizeof chips[0]; i++) {
        const chip *c = &chips[i];
        const double rate =
            c->ane_weight_gbs > 0 ? c->ane_weight_gbs : c->memory_gbs * MEMORY_SHARE;
        t->seconds[i] +=
            larger(cost->flops / (c->ane_tflops * 1e12), cost->weight_bytes / (rate * 1e9));
    }
}

static void print_kinds(const tally *t, const char *title) {
    printf("%s: %d steps, %.2f GFLOP, %.1f MB\n", title, t->step_count, t->flops * 1e-9,
           t->bytes * 1e-6);
    printf("  %-28s %-14s %6s %10s %9s %10s\n", "step", "kernel", "count", "MFLOP", "MB",
           "FLOP/byte");
    for (int i = 0; i < t->kind_count; i++) {
        const kind *k = &t->kinds[i];
        printf("  %-28s %-14s %6d %10.1f %9.2f %10.1f\n", k->name, k->how, k->count,
               k->flops * 1e-6, k->bytes * 1e-6, k->bytes > 0 ? k->flops / k->bytes : 0.0);
    }
    printf("\n");
}

static void print_bounds(const tally *metal, const tally *ane, bool has_ane) {
    printf("Bounds in ms by the rates of docs/apple.md; nothing here was measured on a Mac.\n");
    printf("  %-8s %8s %8s\n", "chip", "metal", has_ane ? "ane" : "");
    for (size_t i = 0; i < sizeof chips / sizeof chips[0]; i++) {
        printf("  %-8s %8.2f", chips[i].name, metal->seconds[i] * 1e3 + GPU_SUBMIT_US * 1e-3);
        if (has_ane) printf(" %8.2f", ane->seconds[i] * 1e3 + ANE_SUBMIT_US * 1e-3);
        printf("\n");
    }
    printf("\nmetal: %.0f %% of the f32 rate where tiles fill the cores, %.0f us a dispatch, %.0f "
           "us a command\nbuffer.",
           GPU_EFFICIENCY * 100, GPU_STEP_US, GPU_SUBMIT_US);
    if (has_ane) {
        printf(" ane: operations that follow each other, %.0f us a prediction; every microsecond\n"
               "that an operation costs by itself adds %.2f ms.",
               ANE_SUBMIT_US, ane->step_count * 1e-3);
    }
    printf("\n");
}

static tandem_status run(const tandem_plan *plan, int tokens, int sequences, tandem_error *err) {
    static tally metal;
    static tally ane;
    static int32_t lengths[4096];
    for (int i = 0; i < sequences; i++) lengths[i] = tokens;
    tandem_status status = tandem__metal_cost(plan, lengths, sequences, count_metal, &metal, err);
    if (status != TANDEM_OK) return status;
    print_kinds(&metal, "metal");
    /* One sequence a prediction: more are as many predictions. */
    int bucket = 32;
    while (bucket < tokens && bucket < 512) bucket *= 2;
    if (bucket < tokens)
        status = TANDEM_FAIL(err, UNSUPPORTED, "%d tokens, the largest bucket has 512", tokens);
    else
        status = tandem__ane_cost(plan, bucket, count_ane, &ane, err);
    if (status == TANDEM_OK) {
        print_kinds(&ane, "ane, one sequence");
        printf("ane: bucket of %d tokens, weights %.1f MB, largest operand %.2f MB\n\n", bucket,
               ane.weight_bytes * 1e-6, ane.operand_bytes * 1e-6);
    }
    print_bounds(&metal, &ane, status == TANDEM_OK);
    if (status != TANDEM_OK) printf("ane: %s\n", err->message);
    return TANDEM_OK;
}

int main(int argc, char **argv) {
    tandem_error err = {0};
    const long tokens = argc > 2 ? strtol(argv[2], NULL, 10) : 128;
    const long sequences = argc > 3 ? strtol(argv[3], NULL, 10) : 1;
    if (argc > 4 || tokens < 1 || tokens > 8192 || sequences < 1 || sequences > 4096) {
        (void)fprintf(stderr, "usage: apple_cost [SHAPE|FOLDER [TOKENS [SEQUENCES]]], tokens up to "
                              "8192, sequences up to 4096\n");
        return 2;
    }
    tandem_source *source = NULL;
    tandem_status status =
        tandem__source_random(argc > 1 ? argv[1] : "bert-base", 1, &source, &err);
    if (status == TANDEM_OK) {
        printf("%s, %ld tokens, %ld sequences\n\n", argc > 1 ? argv[1] : "bert-base", tokens,
               sequences);
        status = run(source->plan, (int)tokens, (int)sequences, &err);
        tandem__source_close(source);
    }
    if (status == TANDEM_OK) return 0;
    (void)fprintf(stderr, "apple_cost: %s\n", err.message);
    return 1;
}
