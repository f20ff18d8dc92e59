# SPDX-License-Identifier: Apache-2.0
# Flags of every C file of ours. -ffp-contract=off: a compiler may not fuse a*b+c on its own, so
# that a kernel gives the same bits whoever compiled it; kernels ask for FMA by intrinsic.
add_library(tandem_flags INTERFACE)
target_include_directories(tandem_flags INTERFACE
    ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR}/src)
target_compile_options(tandem_flags INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wundef
    -Wvla -Wcast-align -Wwrite-strings -Wdouble-promotion -Wswitch-enum -Wimplicit-fallthrough
    -Wformat=2 -Werror -ffp-contract=off -fno-math-errno)
target_compile_definitions(tandem_flags INTERFACE _POSIX_C_SOURCE=200809L _DEFAULT_SOURCE)
if(APPLE)
    target_compile_definitions(tandem_flags INTERFACE _DARWIN_C_SOURCE)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release" OR CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
    target_compile_options(tandem_flags INTERFACE -ffunction-sections -fdata-sections)
    if(NOT APPLE)
        target_link_options(tandem_flags INTERFACE -Wl,--gc-sections)
    endif()
endif()
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$" AND CMAKE_C_COMPILER_ID STREQUAL "GNU"
        AND CMAKE_C_COMPILER_VERSION VERSION_LESS 13)
    # gcc 12 ends with an internal error (vect_transform_reduction) at sums of doubles in order.
    # Nothing here counts on it to vectorise: kernels say what they want.
    target_compile_options(tandem_flags INTERFACE -fno-tree-loop-vectorize)
endif()
if(TANDEM_SANITIZE)
    target_compile_options(tandem_flags INTERFACE
        -fsanitize=${TANDEM_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(tandem_flags INTERFACE -fsanitize=${TANDEM_SANITIZE})
endif()
if(TANDEM_FUZZ)
    target_compile_options(tandem_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
