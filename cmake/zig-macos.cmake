# SPDX-License-Identifier: Apache-2.0
# A cross build for macOS 14 by zig's clang and linker (tools/macho.sh). TANDEM_ZIG is the program,
# TANDEM_MACOS_ARCH is arm64 or x86_64. There is no sysroot: zig brings the headers of macOS and the
# names that libSystem exports, and no framework, which tandem opens at run time alone.
set(CMAKE_SYSTEM_NAME Darwin)
set(CMAKE_SYSTEM_PROCESSOR ${TANDEM_MACOS_ARCH})
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES TANDEM_ZIG TANDEM_MACOS_ARCH)

set(CMAKE_C_COMPILER ${TANDEM_ZIG} cc)
string(REPLACE arm64 aarch64 CMAKE_C_COMPILER_TARGET ${TANDEM_MACOS_ARCH}-macos.14.0)
# zig adds checks of its own to what is not optimised, and builds a runtime library for each target
# unless it is told which libraries there are.
set(CMAKE_C_FLAGS_INIT -fno-sanitize=undefined)
set(CMAKE_EXE_LINKER_FLAGS_INIT "-nostdlib -lc")
set(CMAKE_SHARED_LINKER_FLAGS_INIT "-nostdlib -lc")

# Archives of Mach-O objects: of the system's ar they would be another kind.
set(CMAKE_C_ARCHIVE_CREATE "${TANDEM_ZIG} ar qc <TARGET> <OBJECTS>")
set(CMAKE_C_ARCHIVE_APPEND "${TANDEM_ZIG} ar q <TARGET> <OBJECTS>")
set(CMAKE_C_ARCHIVE_FINISH "${TANDEM_ZIG} ranlib <TARGET>")
find_program(CMAKE_INSTALL_NAME_TOOL REQUIRED
    NAMES llvm-install-name-tool llvm-install-name-tool-19 llvm-install-name-tool-14)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
