/* SPDX-License-Identifier: Apache-2.0 */
/* Number formats: of tensors on disk, of weights in a lane, and, as a lane's numeric mode, of its
 * weights and activations together. Numbers are stable: they are stored in files. */
#ifndef TANDEM_DTYPE_H
#define TANDEM_DTYPE_H

#ifdef __cplusplus
extern "C" {
#endif

/* clang-format off */
/* X(name, value, "word", bytes of one element) */
#define TANDEM_DTYPE_MAP(X)                                                                        \
    X(F32,  0, "f32",  4) /* mode f32: strict, f32 throughout */                                   \
    X(F16,  1, "f16",  2) /* mode f16: f16 storage; f32 arithmetic on cpu, f16 on gpu and ane */   \
    X(BF16, 2, "bf16", 2)                                                                          \
    X(I8,   3, "i8",   1)                                                                          \
    X(FP8,  4, "fp8",  1) /* e4m3 */                                                               \
    X(U8,   5, "u8",   1)                                                                          \
    X(I64,  6, "i64",  8)                                                                          \
    X(I32,  7, "i32",  4)                                                                          \
    X(F64,  8, "f64",  8)                                                                          \
    X(BOOL, 9, "bool", 1)
/* clang-format on */

typedef enum tandem_dtype {
    TANDEM_DTYPE_AUTO = -1, /* the fastest mode that passes its gate on this very model */
#define TANDEM_DTYPE_ENUM(name, value, word, bytes) TANDEM_DTYPE_##name = value,
    TANDEM_DTYPE_MAP(TANDEM_DTYPE_ENUM)
#undef TANDEM_DTYPE_ENUM
} tandem_dtype;

#ifdef __cplusplus
}
#endif
#endif
