/* SPDX-License-Identifier: Apache-2.0 */
/* kernelcheck: every kernel of every registry against its reference.
 *
 * The processor's flags are raised level by level (c, avx2, avx512, ...). At each level every
 * kernel that has become possible is called with sizes, tails, strides and values that its contract
 * names, on memory that ends at a page without access, and compared with the double reference under
 * a bound that is derived from the contract, never tuned. Signals are caught and charged to the
 * kernel that ran. Kernels that promise equal bits (kernels.h, ORDER OF SUMS) are compared bit by
 * bit with the level below, and by digests with those of other machines. --bench times them, after
 * all has passed.
 *
 * One check_<op>.c an op; this header is what they share. */
#ifndef TANDEM_TESTS_KERNELCHECK_H
#define TANDEM_TESTS_KERNELCHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

/* Unit roundoff of f32. */
#define KC_U 0x1p-24

/* ---- kernels under test ---- */

/* Whether the kernel is to be checked now: its flags are there, it was not checked at a lower level
 * and its name matches --op. If so, failures from here on are charged to `name`. */
bool kc_begin(const char *name, uint32_t flags);

uint32_t kc_flags_below(void);         /* flags of the level below the one being checked */
bool kc_has_level_below(void);         /* whether that one promises equal bits: it has vectors */
bool kc_is_selected(const char *name); /* --op alone */

/* Charges a failure; at most a few a kernel are printed. */
void kc_fail(const char *format, ...) TANDEM_PRINTF(1, 2);

/* want NaN: got must be NaN; want infinite: equal; else |got - want| <= bound. */
bool kc_close(const char *what, long at, float got, double want, double bound);
/* n floats equal to the bit (NaN payloads aside). */
bool kc_same(const char *what, const float *got, const float *want, size_t n);
void kc_count(void); /* one more comparison done, for the summary */

/* ---- memory that ends at a page without access ---- */

/* Slots are regions of 8 MB; a buffer is the last `bytes` of its slot, and the 64 bytes before it
 * are a canary. Contents are filled with 0xa5. */
typedef enum kc_slot {
    KC_A,
    KC_B,
    KC_BIAS,
    KC_RESIDUAL,
    KC_OUT,
    KC_OTHER,
    KC_WANT,
    KC_SCRATCH,
    KC_SOURCE,
    KC_SLOT_COUNT,
} kc_slot;

void *kc_buffer(kc_slot slot, size_t bytes);
/* Fails if the canary before the slot's buffer changed. */
void kc_check_canary(kc_slot slot);
/* True if all bytes are still the 0xa5 that kc_buffer wrote. */
bool kc_untouched(const void *at, size_t bytes);

/* ---- values ---- */

typedef enum kc_values {
    KC_NORMAL,   /* about -2 to 2 */
    KC_ZEROS,    /* 0 and -0 */
    KC_DENORMAL, /* around 1e-39 */
    KC_LARGE,    /* up to 1e15 */
    KC_MIXED,    /* magnitudes 2^-20 to 2^12 */
    KC_VALUES_COUNT,
} kc_values;

uint32_t kc_random(void);
int kc_random_int(int below);
uint64_t kc_reseed(uint64_t state); /* not 0; returns the state before */
void kc_fill(float *x, size_t n, kc_values kind);

/* ---- ops ---- */

void kc_check_convert(const tandem_kernels *kernels);
void kc_check_activation(const tandem_kernels *kernels);
void kc_check_norm(const tandem_kernels *kernels);
void kc_check_gemm(const tandem_kernels *kernels);
void kc_check_gemm_i8(const tandem_kernels *kernels);
void kc_check_attention(const tandem_kernels *kernels);
void kc_check_embed(const tandem_kernels *kernels);
void kc_check_pool(const tandem_kernels *kernels);
void kc_check_digest(const tandem_kernels *kernels);

void kc_list_convert(void);
void kc_list_activation(void);
void kc_list_norm(void);
void kc_list_gemm(void);
void kc_list_gemm_i8(void);
void kc_list_attention(void);
void kc_list_embed(void);
void kc_list_kernel(const char *name, uint32_t flags);

/* ---- timing ---- */

typedef struct kc_bench_options {
    const char *shapes_path; /* NULL: bench/shapes/minilm-l6.txt */
    bool is_json;
} kc_bench_options;

void kc_bench(const tandem_kernels *kernels, const kc_bench_options *options);

#endif
