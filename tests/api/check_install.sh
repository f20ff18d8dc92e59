#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check_install.sh BUILD SOURCE: installs into a new folder, then builds and runs the program
# consumer/consumer.c against that copy alone: shared through pkg-config, static through
# pkg-config --static, and through CMake's find_package.
set -eu
build=$1
source=$2/consumer
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT
cmake --install "$build" --prefix "$prefix/usr" >/dev/null
PKG_CONFIG_PATH=$(dirname "$(find "$prefix/usr" -name tandem.pc)")
export PKG_CONFIG_PATH

# Moved after the installation: nothing may remember where it was.
mv "$prefix/usr" "$prefix/moved"
PKG_CONFIG_PATH=$prefix/moved${PKG_CONFIG_PATH#"$prefix/usr"}
libdir=$(dirname "$PKG_CONFIG_PATH")

cc=${CC:-cc}
# shellcheck disable=SC2046 # pkg-config prints words
"$cc" -std=c11 -Wall -Wextra -Werror "$source/consumer.c" -o "$prefix/shared" \
    $(pkg-config --cflags --libs tandem)
LD_LIBRARY_PATH=$libdir DYLD_LIBRARY_PATH=$libdir "$prefix/shared"

# shellcheck disable=SC2046
"$cc" -std=c11 -Wall -Wextra -Werror "$source/consumer.c" -o "$prefix/static" \
    $(pkg-config --cflags tandem) "$libdir/libtandem.a" \
    $(pkg-config --static --libs tandem | tr ' ' '\n' | grep -vx -e -ltandem)
"$prefix/static"

cmake -S "$source" -B "$prefix/cmake" -G Ninja -DCMAKE_PREFIX_PATH="$prefix/moved" >/dev/null
cmake --build "$prefix/cmake" >/dev/null
"$prefix/cmake/consumer_shared"
"$prefix/cmake/consumer_static"

# The program itself runs where it was put.
"$prefix/moved/bin/tandem" --version
