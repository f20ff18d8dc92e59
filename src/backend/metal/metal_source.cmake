# SPDX-License-Identifier: Apache-2.0
# cmake -DPARTS=a,b -DFOLDER=... -DOUTPUT=... -P metal_source.cmake
# One text of all parts. #line makes a compiler speak of the file that a person can open.
set(text "#include <metal_stdlib>\n#include <metal_simdgroup_matrix>\nusing namespace metal;\n")
string(REPLACE "," ";" PARTS "${PARTS}")
file(WRITE "${OUTPUT}" "${text}")
foreach(part IN LISTS PARTS)
    file(APPEND "${OUTPUT}" "#line 1 \"${part}\"\n")
    file(READ "${FOLDER}/${part}" text)
    file(APPEND "${OUTPUT}" "${text}")
endforeach()
