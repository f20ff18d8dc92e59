#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/arm.sh --find | --fetch | --build [TARGET...] | --same-bits
#
# tandem for 64-bit Arm on a machine of another kind: cross-compiled into build/arm64 by Debian's
# gcc, its tests run by qemu (ctest --test-dir build/arm64; QEMU_CPU picks the core). --fetch
# unpacks Debian's libraries of that architecture into the user's cache, so that the system's own
# packages stay as they are; --find says whether all that is needed is there; --build makes the
# tests of the kernels and of whole models, or the targets named. --same-bits compares the vectors
# that build/release and build/arm64 compute with the default model, byte by byte.
set -eu
cd "$(dirname "$0")/.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tandem/arm64
libraries=$cache/usr/lib/aarch64-linux-gnu
packages='libyajl-dev libcmocka-dev libcmocka0 libevent-dev libyaml-dev libsqlite3-dev
    libcurl4-openssl-dev'
targets='kernelcheck test_golden test_golden_minilm test_families test_lm test_heads test_flags
    test_lanes test_base_file'

find_all() {
    local file
    for file in aarch64-linux-gnu-gcc qemu-aarch64; do
        command -v "$file" >/dev/null || return 1
    done
    for file in libyajl_s.a libcmocka.so libevent_core.a libyaml.a libsqlite3.a libcurl.a; do
        [ -e "$libraries/$file" ] || return 1
    done
}

# apt with lists of its own, of that architecture alone; what it fetches is signed as ever.
apt_arm64() {
    apt-get -q -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=root \
        -o Dir::State::Lists="$folder/lists" -o Dir::State::status=/dev/null \
        -o Dir::Cache="$folder/cache" "$@"
}

fetch() {
    local archive
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial" "$folder/root"
    apt_arm64 update || echo "some lists could not be had; trying with the others" >&2
    # shellcheck disable=SC2086 # a list of words
    (cd "$folder" && apt_arm64 download $packages)
    for archive in "$folder"/*.deb; do dpkg-deb -x "$archive" "$folder/root"; done
    mkdir -p "$(dirname "$cache")"
    rm -rf "$cache"
    mv "$folder/root" "$cache"
}

build() {
    find_all || { echo "something is missing: run tools/setup.sh test" >&2 && exit 1; }
    mkdir -p build
    exec 9>build/arm64.lock # one at a time
    flock 9
    if ! grep -qsxF "CMAKE_HOME_DIRECTORY:INTERNAL=$(pwd -P)" build/arm64/CMakeCache.txt; then
        rm -rf build/arm64
        cmake -S . -B build/arm64 -G Ninja -DCMAKE_BUILD_TYPE=Release \
            -DCMAKE_TOOLCHAIN_FILE="$PWD/cmake/arm64-linux.cmake" -DTANDEM_ARM_ROOT="$cache"
    fi
    # shellcheck disable=SC2086 # a list of words
    [ $# -gt 0 ] || set -- $targets
    cmake --build build/arm64 --target "$@"
}

same_bits() {
    local mode
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    grep . tests/golden/minilm/texts.txt | head -n 8 >"$folder/texts"
    build tandem_cli
    for mode in f32 f16 i8; do
        set -- embed --lane cpu --dtype "$mode" --file "$folder/texts" --format f32 --quiet
        if ! build/release/tandem "$@" --output "$folder/here"; then
            [ $mode = i8 ] || return 1
            echo "i8: not on this processor"
            continue
        fi
        QEMU_CPU=max qemu-aarch64 -L /usr/aarch64-linux-gnu build/arm64/tandem "$@" \
            --output "$folder/there"
        cmp "$folder/here" "$folder/there"
        echo "$mode: the same bits"
    done
}

case ${1-} in
--find) find_all ;;
--fetch) find_all || fetch ;;
--build)
    shift
    build "$@"
    ;;
--same-bits) same_bits ;;
*)
    echo "usage: tools/arm.sh --find | --fetch | --build [TARGET...] | --same-bits" >&2
    exit 2
    ;;
esac
