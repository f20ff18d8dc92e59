/* SPDX-License-Identifier: Apache-2.0 */
/* Every message that tandem sends to an object of Apple's, one line each:
 *
 *     X<arguments>(name, owner, since, selector, result, argument types...)
 *     V<arguments>(name, owner, since, selector, argument types...)      without a result
 *
 * owner: the class or protocol that declares the method, "-" of an instance, "+" of a class.
 * since: the macOS that introduced it, major * 100 + minor. A message newer than OBJC_SINCE_MIN is
 * sent only where objc_responds() or objc_class() said that it exists.
 *
 * The table makes the functions of objc.h, gives the stand-ins of the tests their types, and is
 * compared, line by line, with what the headers of macOS declare (tests/apple/signatures.tsv). */
#ifndef TANDEM_APPLE_MESSAGES_H
#define TANDEM_APPLE_MESSAGES_H

/* The oldest macOS these lanes run on: 14.0, for Core ML's program format of opset CoreML7. */
#define OBJC_SINCE_MIN 1400

/* clang-format off */
#define OBJC_MESSAGES_FOUNDATION(X0, X1, X2, X3, X4, X6, V0, V1, V2, V3) \
    X0(ns_alloc, "+NSObject", 1000, "alloc", objc_id) \
    X0(ns_init, "-NSObject", 1000, "init", objc_id) \
    X0(ns_retain, "-NSObject", 1000, "retain", objc_id) \
    V0(ns_release, "-NSObject", 1000, "release") \
    X1(ns_responds, "-NSObject", 1000, "respondsToSelector:", objc_bool, objc_sel) \
    X1(ns_string, "+NSString", 1000, "stringWithUTF8String:", objc_id, const char *) \
    X0(ns_utf8, "-NSString", 1000, "UTF8String", const char *) \
    X0(ns_error_text, "-NSError", 1000, "localizedDescription", objc_id) \
    X0(ns_error_code, "-NSError", 1000, "code", objc_int) \
    X1(ns_file_url, "+NSURL", 1000, "fileURLWithPath:", objc_id, objc_id) \
    X0(ns_url_path, "-NSURL", 1000, "path", objc_id) \
    X1(ns_number, "+NSNumber", 1005, "numberWithInteger:", objc_id, objc_int) \
    X2(ns_array, "+NSArray", 1000, "arrayWithObjects:count:", \
       objc_id, const objc_id *, objc_uint) \
    X0(ns_array_count, "-NSArray", 1000, "count", objc_uint) \
    X1(ns_array_at, "-NSArray", 1000, "objectAtIndex:", objc_id, objc_uint) \
    X3(ns_dictionary, "+NSDictionary", 1000, "dictionaryWithObjects:forKeys:count:", \
       objc_id, const objc_id *, const objc_id *, objc_uint) \
    X1(ns_dictionary_at, "-NSDictionary", 1000, "objectForKey:", objc_id, objc_id) \
    X0(ns_integer, "-NSNumber", 1005, "integerValue", objc_int) \
    X0(ns_process_info, "+NSProcessInfo", 1000, "processInfo", objc_id) \
    X0(ns_thermal_state, "-NSProcessInfo", 1010, "thermalState", objc_int) \
    X1(ns_is_version, "-NSProcessInfo", 1010, "isOperatingSystemAtLeastVersion:", \
       objc_bool, objc_version)

#define OBJC_MESSAGES_METAL(X0, X1, X2, X3, X4, X6, V0, V1, V2, V3) \
    X0(mtl_device_name, "-MTLDevice", 1011, "name", objc_id) \
    X0(mtl_working_set_max, "-MTLDevice", 1012, "recommendedMaxWorkingSetSize", uint64_t) \
    X0(mtl_buffer_max, "-MTLDevice", 1014, "maxBufferLength", objc_uint) \
    X0(mtl_threadgroup_memory_max, "-MTLDevice", 1013, "maxThreadgroupMemoryLength", objc_uint) \
    X1(mtl_supports_family, "-MTLDevice", 1015, "supportsFamily:", objc_bool, objc_int) \
    X0(mtl_new_queue, "-MTLDevice", 1011, "newCommandQueue", objc_id) \
    X2(mtl_new_buffer, "-MTLDevice", 1011, "newBufferWithLength:options:", \
       objc_id, objc_uint, objc_uint) \
    X4(mtl_new_buffer_no_copy, "-MTLDevice", 1011, \
       "newBufferWithBytesNoCopy:length:options:deallocator:", \
       objc_id, void *, objc_uint, objc_uint, objc_block *) \
    X3(mtl_new_library, "-MTLDevice", 1011, "newLibraryWithSource:options:error:", \
       objc_id, objc_id, objc_id, objc_id *) \
    X0(mtl_new_event, "-MTLDevice", 1014, "newSharedEvent", objc_id) \
    X2(mtl_event_wait, "-MTLSharedEvent", 1200, "waitUntilSignaledValue:timeoutMS:", \
       objc_bool, uint64_t, uint64_t) \
    X2(mtl_new_pipeline, "-MTLDevice", 1011, "newComputePipelineStateWithFunction:error:", \
       objc_id, objc_id, objc_id *) \
    V1(mtl_set_fast_math, "-MTLCompileOptions", 1011, "setFastMathEnabled:", objc_bool) \
    V1(mtl_set_math_mode, "-MTLCompileOptions", 1500, "setMathMode:", objc_int) \
    V1(mtl_set_math_functions, "-MTLCompileOptions", 1500, "setMathFloatingPointFunctions:", \
       objc_int) \
    V1(mtl_set_language, "-MTLCompileOptions", 1011, "setLanguageVersion:", objc_uint) \
    X1(mtl_new_function, "-MTLLibrary", 1011, "newFunctionWithName:", objc_id, objc_id) \
    X0(mtl_threads_max, "-MTLComputePipelineState", 1011, "maxTotalThreadsPerThreadgroup", \
       objc_uint) \
    X0(mtl_simd_width, "-MTLComputePipelineState", 1011, "threadExecutionWidth", objc_uint) \
    X0(mtl_contents, "-MTLBuffer", 1011, "contents", void *) \
    X0(mtl_commands, "-MTLCommandQueue", 1011, "commandBuffer", objc_id) \
    X0(mtl_encoder, "-MTLCommandBuffer", 1011, "computeCommandEncoder", objc_id) \
    V2(mtl_signal, "-MTLCommandBuffer", 1014, "encodeSignalEvent:value:", objc_id, uint64_t) \
    V0(mtl_commit, "-MTLCommandBuffer", 1011, "commit") \
    V0(mtl_wait, "-MTLCommandBuffer", 1011, "waitUntilCompleted") \
    X0(mtl_status, "-MTLCommandBuffer", 1011, "status", objc_uint) \
    X0(mtl_error, "-MTLCommandBuffer", 1011, "error", objc_id) \
    V1(mtl_set_pipeline, "-MTLComputeCommandEncoder", 1011, "setComputePipelineState:", objc_id) \
    V3(mtl_set_buffer, "-MTLComputeCommandEncoder", 1011, "setBuffer:offset:atIndex:", \
       objc_id, objc_uint, objc_uint) \
    V3(mtl_set_bytes, "-MTLComputeCommandEncoder", 1011, "setBytes:length:atIndex:", \
       const void *, objc_uint, objc_uint) \
    V2(mtl_dispatch, "-MTLComputeCommandEncoder", 1011, \
       "dispatchThreadgroups:threadsPerThreadgroup:", \
       objc_size, objc_size) \
    V0(mtl_end, "-MTLCommandEncoder", 1011, "endEncoding")

#define OBJC_MESSAGES_COREML(X0, X1, X2, X3, X4, X6, V0, V1, V2, V3) \
    X2(ml_compile, "+MLModel", 1013, "compileModelAtURL:error:", objc_id, objc_id, objc_id *) \
    X3(ml_load, "+MLModel", 1014, "modelWithContentsOfURL:configuration:error:", \
       objc_id, objc_id, objc_id, objc_id *) \
    V1(ml_set_compute_units, "-MLModelConfiguration", 1014, "setComputeUnits:", objc_int) \
    X6(ml_array, "-MLMultiArray", 1013, \
       "initWithDataPointer:shape:dataType:strides:deallocator:error:", \
       objc_id, void *, objc_id, objc_int, objc_id, objc_block *, objc_id *) \
    X1(ml_value, "+MLFeatureValue", 1013, "featureValueWithMultiArray:", objc_id, objc_id) \
    X2(ml_features, "-MLDictionaryFeatureProvider", 1013, "initWithDictionary:error:", \
       objc_id, objc_id, objc_id *) \
    V1(ml_set_output_backings, "-MLPredictionOptions", 1100, "setOutputBackings:", objc_id) \
    X3(ml_predict, "-MLModel", 1013, "predictionFromFeatures:options:error:", \
       objc_id, objc_id, objc_id, objc_id *) \
    X1(ml_feature, "-MLFeatureProvider", 1013, "featureValueForName:", objc_id, objc_id) \
    X0(ml_multi_array, "-MLFeatureValue", 1013, "multiArrayValue", objc_id) \
    X0(ml_data, "-MLMultiArray", 1013, "dataPointer", void *) \
    X0(ml_strides, "-MLMultiArray", 1013, "strides", objc_id) \
    V3(ml_load_plan, "+MLComputePlan", 1404, "loadContentsOfURL:configuration:completionHandler:", \
       objc_id, objc_id, objc_block *) \
    X0(ml_plan_structure, "-MLComputePlan", 1404, "modelStructure", objc_id) \
    X1(ml_plan_usage, "-MLComputePlan", 1404, "computeDeviceUsageForMLProgramOperation:", \
       objc_id, objc_id) \
    X0(ml_usage_device, "-MLComputePlanDeviceUsage", 1404, "preferredComputeDevice", objc_id) \
    X0(ml_structure_program, "-MLModelStructure", 1404, "program", objc_id) \
    X0(ml_program_functions, "-MLModelStructureProgram", 1404, "functions", objc_id) \
    X0(ml_function_block, "-MLModelStructureProgramFunction", 1404, "block", objc_id) \
    X0(ml_block_operations, "-MLModelStructureProgramBlock", 1404, "operations", objc_id) \
    X0(ml_operation_name, "-MLModelStructureProgramOperation", 1404, "operatorName", objc_id)
/* clang-format on */

#define OBJC_MESSAGES(...)                                                                         \
    OBJC_MESSAGES_FOUNDATION(__VA_ARGS__)                                                          \
    OBJC_MESSAGES_METAL(__VA_ARGS__)                                                               \
    OBJC_MESSAGES_COREML(__VA_ARGS__)

#endif
