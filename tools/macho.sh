#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/macho.sh --find | --fetch | [ARCHITECTURE...]
#
# tandem for macOS 14 made on Linux, for each ARCHITECTURE (arm64 and x86_64): both libraries and a
# program with every command that needs neither network nor database, by zig's clang and linker in
# build/macos-ARCHITECTURE. A warning of any tool fails, and linked is anew each time, so that the
# linker's are seen on every run. What was linked is then read back by tests/apple/test_macho.py.
# None of it runs here.
#
# --fetch gets zig (tools/zig.txt) from PyPI and yajl's source with Debian's patches from Debian,
# both checked against the hashes given here, into the user's cache; --find says whether they are
# there. The network is asked for nothing after that.
set -eu
cd "$(dirname "$0")/.."
self=tools/macho.sh
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tandem
zig_identity=$(grep -v '^#' tools/zig.txt | sha256sum | cut -c 1-12)
zig_folder=$cache/zig-$zig_identity
zig=$zig_folder/ziglang/zig

yajl_version=2.1.0-3+deb12u2
yajl_folder=$cache/yajl-$yajl_version-hidden # the last word: how it is changed here
yajl_files='yajl_2.1.0.orig.tar.gz 3fb73364a5a30efe615046d07e6db9d09fd2b41c763c5f7d3bfb121cd5c5ac5a
yajl_2.1.0-3+deb12u2.debian.tar.xz 31ebb5b6e0b76908d9631ce9c94ba1d7a34bbba05ea9ed42ee72422e141cbe48'
# Of Debian's patches those of the code; the others are of its build.
yajl_patches='CVE-2017-16516 CVE-2022-24795 CVE-2023-33460'
yajl_sources='yajl yajl_alloc yajl_buf yajl_encode yajl_gen yajl_lex yajl_parser yajl_tree'

part=
trap 'rm -rf "$part"' EXIT

find_all() { [ -x "$zig" ] && [ -f "$yajl_folder/src/yajl_parser.c" ]; }

# Each is made beside its place and renamed, so that it is there whole or not at all.
fetch_zig() {
    local python
    [ -x "$zig" ] && return
    python=$(tools/python_package.sh --find)
    mkdir -p "$cache"
    part=$(mktemp -d "$cache/zig.XXXXXX")
    "$python" -m pip install -q --disable-pip-version-check --root-user-action ignore --no-deps \
        --no-compile --only-binary :all: --require-hashes --target "$part" \
        -r tools/zig.txt </dev/null
    mv -T "$part" "$zig_folder"
}

# The mirrors of Debian that this machine's apt is set up with.
debian_mirrors() {
    # shellcheck disable=SC2016 # the names are apt's
    apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' |
        sed -n 's/^Debian \(.*[^/]\)\/*$/\1/p' | awk '!seen[$0]++'
}

fetch_yajl() {
    local name hash mirror patch
    [ -f "$yajl_folder/src/yajl_parser.c" ] && return
    mkdir -p "$cache"
    part=$(mktemp -d "$cache/yajl.XXXXXX")
    while read -r name hash; do
        for mirror in $(debian_mirrors); do
            # apt's own way to the mirrors, proxies included; a wrong hash is an error of its.
            /usr/lib/apt/apt-helper -q -o APT::Sandbox::User=root download-file \
                "$mirror/pool/main/y/yajl/$name" "$part/$name" "SHA256:$hash" && break
            rm -f "$part/$name"
        done
        echo "$hash  $part/$name" | sha256sum -c --quiet
    done <<<"$yajl_files"
    tar -xf "$part"/yajl_*.orig.tar.gz -C "$part" --strip-components 1
    tar -xf "$part"/yajl_*.debian.tar.xz -C "$part"
    for patch in $yajl_patches; do
        patch -s -p 1 -d "$part" <"$part/debian/patches/$patch.patch"
    done
    # It declares what it exports whatever the compiler is told, and zig's linker takes no list of
    # what a library exports.
    sed -i 's/^\( *# *define YAJL_API\) *__attribute__.*/\1/' "$part/src/api/yajl_common.h"
    mkdir "$part/include"
    cp -R "$part/src/api" "$part/include/yajl"
    mv -T "$part" "$yajl_folder"
}

# build_yajl FOLDER TARGET: libyajl_s.a in it.
build_yajl() {
    local name
    [ -f "$1/libyajl_s.a" ] && return
    mkdir -p "$1"
    for name in $yajl_sources; do
        "$zig" cc -target "$2" -O2 -DNDEBUG -fvisibility=hidden -Werror -I "$yajl_folder/include" \
            -c "$yajl_folder/src/$name.c" -o "$1/$name.o"
    done
    "$zig" ar rcs "$1/part.a" "$1"/*.o
    mv "$1/part.a" "$1/libyajl_s.a"
}

# build ARCHITECTURE: into build/macos-ARCHITECTURE, all that the tools say on stdout.
build() {
    local folder=build/macos-$1 target=$1-macos.14.0
    target=${target/#arm64/aarch64}
    if ! grep -qsxF "CMAKE_HOME_DIRECTORY:INTERNAL=$(pwd -P)" "$folder/CMakeCache.txt" ||
        ! grep -qsF "=$zig" "$folder/CMakeCache.txt"; then
        rm -rf "$folder"
        build_yajl "$folder/yajl" "$target"
        cmake -S . -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=Release \
            -DCMAKE_TOOLCHAIN_FILE="$PWD/cmake/zig-macos.cmake" -DTANDEM_ZIG="$zig" \
            -DTANDEM_MACOS_ARCH="$1" -DYAJL_LIBRARY="$PWD/$folder/yajl/libyajl_s.a" \
            -DYAJL_INCLUDE_DIR="$yajl_folder/include" \
            -DTANDEM_TESTS=OFF -DTANDEM_SERVER=OFF -DTANDEM_HUB=OFF
    fi
    "$zig" cc -target "$target" -std=gnu11 -Wall -Wextra -Werror -I src -I include \
        -c tests/apple/libsystem_types.c -o "$folder/libsystem_types.o"
    rm -f "$folder/tandem" "$folder"/libtandem.*
    cmake --build "$folder"
}

case ${1-} in
--find) find_all ;;
--fetch)
    fetch_zig
    fetch_yajl
    ;;
--build) build "$2" ;; # this script's own
-*)
    echo "usage: tools/macho.sh --find | --fetch | [ARCHITECTURE...]" >&2
    exit 2
    ;;
*)
    find_all || { echo "something is missing: run tools/setup.sh test" >&2 && exit 1; }
    [ $# -gt 0 ] || set -- arm64 x86_64
    for architecture in "$@"; do
        [[ $architecture =~ ^(arm64|x86_64)$ ]] ||
            { echo "$self: $architecture: expected arm64 or x86_64" >&2 && exit 2; }
    done
    mkdir -p build
    exec 9>build/macos.lock # one at a time
    flock 9
    export ZIG_GLOBAL_CACHE_DIR=$cache/zig-cache
    for architecture in "$@"; do
        log=build/macos-$architecture.log
        status=0
        "$self" --build "$architecture" >"$log" 2>&1 </dev/null || status=$?
        if [ $status -ne 0 ] || grep -qi 'warning' "$log"; then
            grep -i -B 2 -A 8 -E 'warning|error' "$log" | head -n 100
            echo "$self: $architecture: a tool failed or warned; all it said is in $log" >&2
            exit 1
        fi
        python3 -B tests/apple/test_macho.py "build/macos-$architecture" "$architecture"
    done
    ;;
esac
