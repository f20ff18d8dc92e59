#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/promtool.sh --find | --fetch | ARGUMENT...
#
# Prometheus' promtool, which judges the alert rules and what GET /metrics says: runs it, with
# --find prints where it is, with --fetch gets it where it is missing. Debian's package would start
# a Prometheus of its own on the machine, so it is unpacked into the user's cache instead of being
# installed.
set -eu
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tandem/promtool

find_promtool() {
    command -v promtool && return
    [ -x "$cache/usr/bin/promtool" ] && echo "$cache/usr/bin/promtool" && return
    echo "no promtool: run tools/setup.sh test" >&2
    return 1
}

fetch() {
    find_promtool >/dev/null 2>&1 && return
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    # The download's sandbox user may not be able to write here; what is fetched is signed anyway.
    (cd "$folder" && apt-get -q -o APT::Sandbox::User=root download prometheus)
    dpkg-deb -x "$folder"/prometheus_*.deb "$folder/root"
    mkdir -p "$(dirname "$cache")"
    rm -rf "$cache"
    mv "$folder/root" "$cache"
}

case ${1-} in
--find) find_promtool ;;
--fetch) fetch ;;
*) exec "$(find_promtool)" "$@" ;;
esac
