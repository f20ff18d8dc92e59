# SPDX-License-Identifier: Apache-2.0
# A room is an object library; all rooms of the engine together are the library `tandem`.
# Which room may include which is checked by tools/tidy, not by link order.
set_property(GLOBAL PROPERTY TANDEM_ROOMS "")

# tandem_room(name source...)
function(tandem_room name)
    add_library(tandem_${name} OBJECT ${ARGN})
    target_link_libraries(tandem_${name} PUBLIC tandem_flags)
    set_property(GLOBAL APPEND PROPERTY TANDEM_ROOMS tandem_${name})
endfunction()

# tandem_isa(file... FLAGS flag...): instruction-set flags are per file, never global.
function(tandem_isa)
    cmake_parse_arguments(ARG "" "" "FLAGS" ${ARGN})
    if(TANDEM_FUZZ)
        # What is fuzzed are parsers, and clang takes minutes to instrument an unrolled tile.
        list(APPEND ARG_FLAGS -fno-sanitize=all)
    endif()
    set_source_files_properties(${ARG_UNPARSED_ARGUMENTS} PROPERTIES COMPILE_OPTIONS "${ARG_FLAGS}")
endfunction()

# yajl: the static archive where there is one, so that the binary stands alone.
find_library(YAJL_LIBRARY NAMES libyajl_s.a yajl_s yajl REQUIRED)
find_path(YAJL_INCLUDE_DIR yajl/yajl_parse.h REQUIRED)
target_include_directories(tandem_flags SYSTEM INTERFACE ${YAJL_INCLUDE_DIR})

# The rooms together, twice: tandem is libtandem.a, tandem_shared is libtandem.so, which exports the
# functions marked TANDEM_API and nothing of yajl.
function(tandem_library)
    get_property(rooms GLOBAL PROPERTY TANDEM_ROOMS)
    add_library(tandem STATIC)
    add_library(tandem_shared SHARED)
    foreach(library tandem tandem_shared)
        foreach(room ${rooms})
            target_sources(${library} PRIVATE $<TARGET_OBJECTS:${room}>)
        endforeach()
        target_include_directories(${library} INTERFACE
            $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include>
            $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
    endforeach()
    set(libraries ${YAJL_LIBRARY} Threads::Threads m ${CMAKE_DL_LIBS})
    target_link_libraries(tandem PUBLIC ${libraries})
    target_link_libraries(tandem_shared PRIVATE ${libraries})
    set_target_properties(tandem PROPERTIES EXPORT_NAME static)
    set_target_properties(tandem_shared PROPERTIES EXPORT_NAME shared OUTPUT_NAME tandem
        VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})
    if(APPLE)
        target_link_options(tandem_shared PRIVATE
            LINKER:-exported_symbols_list,${CMAKE_SOURCE_DIR}/cmake/exported_symbols.txt)
    else()
        target_link_options(tandem_shared PRIVATE LINKER:--exclude-libs,ALL LINKER:--gc-sections)
    endif()
    if(TANDEM_SANITIZE)
        target_link_options(tandem PUBLIC -fsanitize=${TANDEM_SANITIZE})
        target_link_options(tandem_shared PUBLIC -fsanitize=${TANDEM_SANITIZE})
    endif()
endfunction()
