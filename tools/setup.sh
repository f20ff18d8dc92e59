#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/setup.sh [--check] [build|test|peers|deb]
#
# Installs the packages that tandem's build (default), its tests, its comparison with peers or its
# Debian packages need:
# Debian and Ubuntu by apt (with sudo unless root), macOS by Homebrew. Every need is probed for what
# it is (a program, a header that compiles, a library that links), not for a package's name or a
# stamp from an earlier run, so it is right when a package was removed and quick when nothing is
# missing. Says what it is going to install before it does. With --check it installs nothing and
# fails if something is missing.
set -u

check_only=no
if [ "${1-}" = --check ]; then
    check_only=yes
    shift
fi
profile=${1-build}
case $profile in
build | test | peers | deb) ;;
*)
    echo "usage: tools/setup.sh [--check] [build|test|peers|deb]" >&2
    exit 2
    ;;
esac

has() { command -v "$1" >/dev/null 2>&1; }

# compiles COMPILER FLAGS... : a program read from stdin compiles and links.
compiles() {
    local compiler=$1 dir status
    shift
    dir=$(mktemp -d) || return 1
    "$compiler" -x c - -o "$dir/probe" "$@" >/dev/null 2>&1
    status=$?
    rm -rf "$dir"
    return $status
}

# links LIBRARY: the same where Homebrew's folders, which a compiler may not search, are added.
links() { compiles cc ${extra_flags[@]+"${extra_flags[@]}"} "-l$1"; }

# A prefix that the compiler does not search by itself, as Homebrew's.
extra_flags=()
if has brew; then
    brew_prefix=${HOMEBREW_PREFIX-$(brew --prefix)}
    extra_flags=("-I$brew_prefix/include" "-L$brew_prefix/lib")
fi

probe_c() { compiles cc <<<'#include <stdio.h>
int main(void) { return puts("") < 0; }'; }
probe_cmake() {
    has cmake || return 1
    cmake --version |
        awk 'NR == 1 { split($3, v, "."); exit !(v[1] > 3 || (v[1] == 3 && v[2] >= 25)) }'
}
probe_yajl() { links yajl <<<'#include <yajl/yajl_parse.h>
int main(void) { return yajl_status_to_string(yajl_status_ok) == NULL; }'; }
probe_curl_header() { compiles cc ${extra_flags[@]+"${extra_flags[@]}"} <<<'#include <curl/curl.h>
int main(void) { return CURLE_OK; }'; }
probe_libevent() { links event_core <<<'#include <event2/event.h>
int main(void) { return event_get_version() == NULL; }'; }
probe_libyaml() { links yaml <<<'#include <yaml.h>
int main(void) { return yaml_get_version_string() == NULL; }'; }
probe_sqlite() { links sqlite3 <<<'#include <sqlite3.h>
int main(void) { return sqlite3_libversion_number() == 0; }'; }
probe_cmocka() { links cmocka <<<'#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
int main(void) { return mock_type(int); }'; }
probe_openblas() {
    [ "$(uname -s)" = Darwin ] && return 0 # Accelerate is part of the system
    compgen -G '/usr/lib/*/libopenblas.so*' || compgen -G '/usr/lib*/libopenblas.so*'
}
probe_clang_asan() {
    compiles clang -fsanitize=address,undefined <<<'int main(void) { return 0; }'
}
probe_clang_fuzzer() { compiles clang -fsanitize=fuzzer,address <<<'#include <stddef.h>
#include <stdint.h>
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) { (void)p; (void)n; return 0; }'; }
probe_gcc_sanitizers() {
    compiles cc -fsanitize=address,undefined <<<'int main(void) { return 0; }' &&
        compiles cc -fsanitize=thread <<<'int main(void) { return 0; }'
}
probe_clang_19() { [ "$(uname -s)" = Darwin ] || has clang-19; }
probe_venv() { python3 -c 'import venv, ensurepip' >/dev/null 2>&1; }
probe_python_package() { "$(dirname "$0")/python_package.sh" --find; }
probe_cxx() { has c++; }
probe_systemd() { [ "$(uname -s)" = Darwin ] || has systemd-analyze; }
probe_promtool() { "$(dirname "$0")/promtool.sh" --find; }
# A 64-bit Arm runs the tests of its kernels itself, and so does a Mac with one.
probe_arm() { [ "$(uname -sm)" != "Linux x86_64" ] || "$(dirname "$0")/arm.sh" --find; }
probe_cross_gcc() {
    [ "$(uname -sm)" != "Linux x86_64" ] ||
        compiles aarch64-linux-gnu-gcc <<<'#include <stdio.h>
int main(void) { return puts("") < 0; }'
}
probe_qemu() { [ "$(uname -sm)" != "Linux x86_64" ] || has qemu-aarch64; }
probe_macho() { [ "$(uname -s)" != Linux ] || "$(dirname "$0")/macho.sh" --find; }
probe_chromium() { python3 -B "$(dirname "$0")/../tests/server/browser.py"; }

# Names of needs, one a line on stdin, as one line.
joined() { cut -d '|' -f 1 | paste -s -d ',' - | sed 's/,/, /g'; }

# A need: what a reader calls it | how it is probed | Debian packages | Homebrew formulas. A package
# +NAME is not installed: tools/NAME.sh --fetch unpacks what is needed of it.
needs_build='C compiler|probe_c|gcc libc6-dev|
C++ compiler (headers are tried from C++)|probe_cxx|g++|
CMake 3.25 or newer|probe_cmake|cmake|cmake
Ninja|has ninja|ninja-build|ninja
pkg-config|has pkg-config|pkg-config|pkg-config
yajl (JSON)|probe_yajl|libyajl-dev|yajl
libcurl (models from the Hub)|probe_curl_header|libcurl4-openssl-dev|curl
libevent (HTTP)|probe_libevent|libevent-dev|libevent
libyaml (configuration)|probe_libyaml|libyaml-dev|libyaml
SQLite (usage)|probe_sqlite|libsqlite3-dev|sqlite
cmocka (tests)|probe_cmocka|libcmocka-dev|cmocka
OpenBLAS (baseline of the benchmark)|probe_openblas|libopenblas0-pthread|
curl|has curl|curl ca-certificates|
Python 3|has python3|python3|python3'
python_debian='python3-dev python3-cffi python3-numpy python3-pip python3-setuptools python3-wheel'
needs_test='sanitizers of the C compiler|probe_gcc_sanitizers|gcc|
clang|has clang|clang|llvm
clang 19 (test of the Metal kernels)|probe_clang_19|clang-19|
sanitizers of clang|probe_clang_asan|libclang-rt-dev|llvm
libFuzzer|probe_clang_fuzzer|libclang-rt-dev|llvm
llvm-symbolizer|has llvm-symbolizer|llvm|llvm
clang-format|has clang-format|clang-format|clang-format
shellcheck|has shellcheck|shellcheck|shellcheck
nm and strip|has nm|binutils|
systemd-analyze (test of the unit)|probe_systemd|systemd|
cross compiler for 64-bit Arm|probe_cross_gcc|gcc-aarch64-linux-gnu libc6-dev-arm64-cross|
qemu (tests on an emulated Arm)|probe_qemu|qemu-user|
libraries for 64-bit Arm|probe_arm|+arm|
patch (source of yajl for macOS)|has patch|patch|
xz (source of yajl for macOS)|has xz|xz-utils|
zig and the source of yajl (builds for macOS)|probe_macho|+macho|
Chromium (test of the dashboard)|probe_chromium|chromium-headless-shell|chromium
promtool (test of the alert rules)|probe_promtool|+promtool|prometheus
protoc (test of Core ML packages)|has protoc|protobuf-compiler|protobuf
Python with headers, cffi, numpy, pip|probe_python_package|'"$python_debian|python3 cffi numpy"
needs_deb='debhelper (Debian packages)|has dh|debhelper|
dpkg-buildpackage|has dpkg-buildpackage|dpkg-dev|
fakeroot|has fakeroot|fakeroot|'
needs_peers='Python virtual environments|probe_venv|python3-venv|'

needs=$needs_build
[ "$profile" = test ] && needs=$needs$'\n'$needs_test
[ "$profile" = peers ] && needs=$needs$'\n'$needs_peers
[ "$profile" = deb ] && needs=$needs$'\n'$needs_deb

# Prints the needs that are not met.
list_missing() {
    local name probe debian brew
    while IFS='|' read -r name probe debian brew; do
        $probe >/dev/null 2>&1 || echo "$name|$debian|$brew"
    done <<<"$needs"
}

packages_of_column() {
    cut -d '|' -f "$1" <<<"$missing" | tr ' ' '\n' | grep . | sort -u | tr '\n' ' '
}

fail() {
    echo "tools/setup.sh: $*" >&2
    exit 1
}

install_debian() {
    local packages unpacked log may_install=yes as_root=()
    packages=$(packages_of_column 2 | tr ' ' '\n' | grep -v '^+' | tr '\n' ' ')
    unpacked=$(packages_of_column 2 | tr ' ' '\n' | sed -n 's/^+//p')
    if [ "$(id -u)" != 0 ]; then
        if has sudo; then as_root=(sudo); else may_install=no; fi
    fi
    # What is unpacked into the user's cache needs no root.
    [ $may_install = yes ] || [ -z "${packages// /}" ] ||
        fail "needs root to install: apt-get install $packages"
    [ -z "${packages// /}" ] || echo "Installing by apt: $packages"
    [ -z "$unpacked" ] || echo "Unpacking into the cache: $unpacked"
    log=$(mktemp)
    [ $may_install = no ] || "${as_root[@]}" apt-get update -q </dev/null >"$log" 2>&1 ||
        echo "apt-get update failed; trying with the lists there are" >&2
    # shellcheck disable=SC2086 # a list of words
    if [ -n "${packages// /}" ] && ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends $packages </dev/null >>"$log" 2>&1; then
        tail -n 20 "$log" >&2
        fail "apt-get failed ($log); needed: $packages"
    fi
    local name
    for name in $unpacked; do
        "$(dirname "$0")/$name.sh" --fetch >>"$log" 2>&1 || fail "tools/$name.sh failed ($log)"
    done
    rm -f "$log"
}

install_macos() {
    local formulas
    formulas=$(packages_of_column 3)
    probe_c || fail "no C compiler: run xcode-select --install, then again"
    has brew || fail "Homebrew is needed (https://brew.sh) to install: $formulas"
    echo "Installing by Homebrew: $formulas"
    # shellcheck disable=SC2086 # a list of words
    brew install -q $formulas || fail "brew failed; needed: $formulas"
}

missing=$(list_missing)
[ -z "$missing" ] && exit 0
if [ $check_only = yes ]; then
    fail "missing: $(joined <<<"$missing"). Run: tools/setup.sh $profile"
fi
if [ "$(uname -s)" = Darwin ]; then
    install_macos
elif has apt-get; then
    install_debian
else
    fail "no apt and no Homebrew here; install by hand: $(joined <<<"$missing")"
fi
missing=$(list_missing)
[ -z "$missing" ] || fail "still missing after the installation: $(joined <<<"$missing")"
