/* SPDX-License-Identifier: Apache-2.0 */
/* What tandem takes of Apple's beside messages: functions found by tandem__objc_symbol, and the
 * values of enumerators. Both tables are compared with what the headers of macOS declare
 * (tests/apple/signatures.tsv), as messages.h is.
 *
 *     F(function, library, since, result, argument types...)   `function`_function is its type
 *     C(name here, name there, value)                           an enumerator, of type int */
#ifndef TANDEM_APPLE_SYMBOLS_H
#define TANDEM_APPLE_SYMBOLS_H

#include "apple/objc.h"

/* clang-format off */
#define OBJC_FUNCTIONS(F) \
    F(MTLCreateSystemDefaultDevice, "Metal", 1011, objc_id, void) \
    F(MLAllComputeDevices, "CoreML", 1400, objc_id, void) \
    F(object_getClassName, "libobjc", 1000, const char *, objc_id) \
    F(cblas_sgemm, "Accelerate", 1002, void, int, int, int, int, int, int, float, \
      const float *, int, const float *, int, float, float *, int) \
    F(sysctlbyname, "libSystem", 1000, int, const char *, void *, objc_uint *, void *, objc_uint) \
    F(mach_host_self, "libSystem", 1000, unsigned int, void) \
    F(host_statistics64, "libSystem", 1006, int, unsigned int, int, int *, unsigned int *) \
    F(pthread_set_qos_class_self_np, "libSystem", 1010, int, unsigned int, int)

#define OBJC_CONSTANTS(C) \
    C(MTL_FAMILY_APPLE7, "MTLGPUFamilyApple7", 1007) \
    C(MTL_STORAGE_SHARED, "MTLResourceStorageModeShared", 0) \
    C(MTL_STORAGE_PRIVATE, "MTLResourceStorageModePrivate", 32) \
    C(MTL_MATH_SAFE, "MTLMathModeSafe", 0) \
    C(MTL_MATH_PRECISE, "MTLMathFloatingPointFunctionsPrecise", 1) \
    C(MTL_LANGUAGE_3_1, "MTLLanguageVersion3_1", 196609) \
    C(MTL_STATUS_COMPLETED, "MTLCommandBufferStatusCompleted", 4) \
    C(MTL_STATUS_ERROR, "MTLCommandBufferStatusError", 5) \
    C(ACCELERATE_ROW_MAJOR, "CblasRowMajor", 101) \
    C(ACCELERATE_AS_IS, "CblasNoTrans", 111) \
    C(ACCELERATE_TRANSPOSED, "CblasTrans", 112) \
    C(ML_UNITS_CPU_AND_ANE, "MLComputeUnitsCPUAndNeuralEngine", 3) \
    C(ML_FLOAT16, "MLMultiArrayDataTypeFloat16", 65552) \
    C(MACH_HOST_VM_INFO64, "HOST_VM_INFO64", 4) \
    C(QOS_USER_INITIATED, "QOS_CLASS_USER_INITIATED", 25) \
    C(QOS_UTILITY, "QOS_CLASS_UTILITY", 17) \
    C(NS_THERMAL_NOMINAL, "NSProcessInfoThermalStateNominal", 0) \
    C(NS_THERMAL_FAIR, "NSProcessInfoThermalStateFair", 1) \
    C(NS_THERMAL_SERIOUS, "NSProcessInfoThermalStateSerious", 2) \
    C(NS_THERMAL_CRITICAL, "NSProcessInfoThermalStateCritical", 3)

#define OBJC_FUNCTION_TYPE(name, library, since, result, ...) \
    typedef result name##_function(__VA_ARGS__);
#define OBJC_CONSTANT(name, there, value) name = (value),
OBJC_FUNCTIONS(OBJC_FUNCTION_TYPE)
enum { OBJC_CONSTANTS(OBJC_CONSTANT) };
/* clang-format on */

#endif
