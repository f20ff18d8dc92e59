/* SPDX-License-Identifier: Apache-2.0 */
/* Embedding: tables of every type that end at the guard page, absent tables, the sums exact to the
 * bit against the definition (three roundings in one order), the norm through its own kernel. */
#include <string.h>

#include "base/cpu.h"
#include "kernelcheck.h"

enum { VOCABULARY = 40, POSITIONS = 9, TYPES = 2, TOKENS = 6 };

static const tandem_dtype table_types[] = {TANDEM_DTYPE_F32, TANDEM_DTYPE_F16, TANDEM_DTYPE_BF16};

static tandem_embed_table make_table(kc_slot slot, int rows, int hidden, tandem_dtype dtype) {
    const size_t n = (size_t)rows * (size_t)hidden;
    float *values = kc_buffer(KC_WANT, n * 4);
    kc_fill(values, n, KC_NORMAL);
    void *data = kc_buffer(slot, n * (dtype == TANDEM_DTYPE_F32 ? 4 : 2));
    if (dtype == TANDEM_DTYPE_F32) memcpy(data, values, n * 4);
    if (dtype == TANDEM_DTYPE_F16) tandem_convert_f32_f16__c(data, values, n);
    if (dtype == TANDEM_DTYPE_BF16) tandem_convert_f32_bf16__c(data, values, n);
    return (tandem_embed_table){data, dtype};
}

static void check_hidden(const tandem_embed_kernels *embed, int hidden, int turn) {
    int32_t ids[TOKENS];
    int32_t positions[TOKENS];
    int32_t types[TOKENS];
    for (int t = 0; t < TOKENS; t++) {
        ids[t] = t == 0 ? VOCABULARY - 1 : kc_random_int(VOCABULARY);
        positions[t] = t == 1 ? POSITIONS - 1 : kc_random_int(POSITIONS);
        types[t] = kc_random_int(TYPES);
    }
    const size_t stride = (size_t)hidden + 1;
    const size_t floats = stride * (TOKENS - 1) + (size_t)hidden;
    const tandem_dtype type = table_types[turn % 3];
    tandem_embed_args args = {.ids = ids, .positions = positions, .hidden = hidden, .eps = 1e-12f};
    args.word = make_table(KC_A, VOCABULARY, hidden, type);
    if (turn % 4 != 1)
        args.position = make_table(KC_B, POSITIONS, hidden, table_types[turn / 3 % 3]);
    if (turn % 5 != 1) args.type = make_table(KC_BIAS, TYPES, hidden, table_types[turn / 2 % 3]);
    args.types = turn % 2 == 0 ? types : NULL;
    args.out_stride = stride;
    float *want = kc_buffer(KC_WANT, floats * 4);
    args.out = want;
    tandem_embed__ref(&args, 0, TOKENS);
    float *got = kc_buffer(KC_OUT, floats * 4);
    args.out = got;
    tandem_embed_run(embed, &args, 0, TOKENS);
    (void)kc_same("sum of rows", got, want, floats);
    kc_check_canary(KC_OUT);

    float *gamma = kc_buffer(KC_RESIDUAL, (size_t)hidden * 4);
    kc_fill(gamma, (size_t)hidden, KC_NORMAL);
    const tandem_norm_args norm = {want, stride, want, stride, gamma, NULL, args.eps, hidden};
    embed->norm.layernorm(&norm, 0, TOKENS);
    args.gamma = gamma;
    tandem_embed_run(embed, &args, 0, 2);
    tandem_embed_run(embed, &args, 2, TOKENS);
    (void)kc_same("with the norm, in two ranges", got, want, floats);
}

void kc_check_embed(const tandem_kernels *kernels) {
    static const struct {
        const char *name;
        tandem_embed_add_function *run;
        uint32_t flags;
    } list[] = {
#define EMBED_KERNEL(name, flags) {#name, name, flags},
#include "kernels/embed/embed.inc"
#undef EMBED_KERNEL
    };
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        if (!kc_begin(list[i].name, list[i].flags)) continue;
        tandem_embed_kernels embed = kernels->embed;
        embed.add = list[i].run;
        for (int hidden = 1; hidden <= 35; hidden++) check_hidden(&embed, hidden, hidden);
        for (int turn = 0; turn < 12; turn++) check_hidden(&embed, turn % 2 == 0 ? 384 : 312, turn);
    }
}

void kc_list_embed(void) {
#define EMBED_KERNEL(name, flags) kc_list_kernel(#name, flags);
#include "kernels/embed/embed.inc"
#undef EMBED_KERNEL
}
