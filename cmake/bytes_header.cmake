# SPDX-License-Identifier: Apache-2.0
# cmake -DFILE=x.py -DNAME=symbol -DOUTPUT=x.h -P bytes_header.cmake
# A text file as a NUL-terminated array: a string literal of that length is beyond what C promises.
file(READ "${FILE}" hex HEX)
string(REGEX REPLACE "(..)" "'\\\\x\\1'," bytes "${hex}")
string(REPLACE "'\\x0a'," "'\\x0a',\n" bytes "${bytes}")
file(WRITE "${OUTPUT}" "/* ${NAME}: made by bytes_header.cmake, a line for each line. */\n")
file(APPEND "${OUTPUT}" "static const char ${NAME}[] = {\n${bytes}0};\n")
