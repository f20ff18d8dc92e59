# SPDX-License-Identifier: Apache-2.0
# What `make install` puts where: program, both libraries, headers, and the two ways to find them,
# pkg-config and a CMake package. Everything is relative to the prefix, so the tree may be moved.
include(CMakePackageConfigHelpers)

install(TARGETS tandem tandem_shared tandem_cli EXPORT tandem_targets
    RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR}
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/tandem DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/tandem)
install(EXPORT tandem_targets NAMESPACE tandem:: DESTINATION ${package_folder})
configure_package_config_file(cmake/tandemConfig.cmake.in ${CMAKE_BINARY_DIR}/tandemConfig.cmake
    INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/tandemConfigVersion.cmake
    COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/tandemConfig.cmake ${CMAKE_BINARY_DIR}/tandemConfigVersion.cmake
    DESTINATION ${package_folder})

# tandem.pc finds its prefix from where it lies: lib/pkgconfig or lib/<triplet>/pkgconfig.
set(pc_folder ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH TANDEM_PC_PREFIX /${pc_folder} /)
string(REGEX REPLACE "/$" "" TANDEM_PC_PREFIX ${TANDEM_PC_PREFIX})
get_filename_component(yajl_name ${YAJL_LIBRARY} NAME_WE)
string(REGEX REPLACE "^lib" "-l" TANDEM_PC_PRIVATE ${yajl_name})
string(APPEND TANDEM_PC_PRIVATE " -lm -lpthread")
if(CMAKE_DL_LIBS)
    string(APPEND TANDEM_PC_PRIVATE " -l${CMAKE_DL_LIBS}")
endif()
configure_file(cmake/tandem.pc.in ${CMAKE_BINARY_DIR}/tandem.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/tandem.pc DESTINATION ${pc_folder})
