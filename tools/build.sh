#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# tools/build.sh PRESET [OPTION...]: configures if needed and builds one preset of
# CMakePresets.json; the options go to `cmake --build`.
set -eu
cd "$(dirname "$0")/.."
preset=${1:?usage: tools/build.sh PRESET}
shift
case $preset in
clang | fuzz) tools/setup.sh --check test ;;
*) tools/setup.sh --check build ;;
esac
# A cache that another copy of the tree wrote is of no use here: start anew.
cache=build/$preset/CMakeCache.txt
if [ -f "$cache" ] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$(pwd -P)" "$cache"; then
    rm -rf "build/$preset"
fi
[ -f "build/$preset/build.ninja" ] || cmake --preset "$preset"
cmake --build --preset "$preset" "$@"
