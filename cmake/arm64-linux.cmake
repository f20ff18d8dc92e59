# SPDX-License-Identifier: Apache-2.0
# A cross build for 64-bit Arm and Linux, its programs run by qemu (tools/arm.sh). TANDEM_ARM_ROOT
# is a folder with Debian's packages of that architecture unpacked; $QEMU_CPU picks the core.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)

list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES TANDEM_ARM_ROOT)
set(CMAKE_FIND_ROOT_PATH ${TANDEM_ARM_ROOT} /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L /usr/aarch64-linux-gnu)
