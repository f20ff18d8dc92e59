#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/pin_clients.sh >tools/clients.txt
#
# Writes the list of the clients that the server is tested with, and of all that they need, each by
# its version and the SHA-256 of its wheels: the newest that Python 3.11 of Debian 12 takes, on
# x86-64 and on 64-bit Arm. Run by a Python 3.11 with pip when a client is to be renewed.
set -eu

clients=(openai huggingface_hub cohere 'tritonclient[http]' langchain-openai
    llama-index-embeddings-openai llama-index-embeddings-text-embeddings-inference
    prometheus_client schemathesis)
python=$(command -v python3.11 || command -v python3)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

arm=()
for tag in manylinux_2_{34..24}_aarch64 manylinux2014_aarch64 manylinux_2_17_aarch64; do
    arm+=(--platform "$tag")
done
pip=("$python" -m pip -q --disable-pip-version-check download --only-binary :all:)
"${pip[@]}" -d "$work/amd64" "${clients[@]}" >&2

# A wheel's name begins with the package and its version.
names() { (cd "$1" && for wheel in *.whl; do echo "$wheel"; done) | cut -d - -f 1,2; }
names "$work/amd64" | sed 's/-/==/' >"$work/all.txt"
"${pip[@]}" --no-deps -d "$work/arm64" "${arm[@]}" --implementation cp --python-version 3.11 \
    --abi cp311 --abi abi3 --abi none -r "$work/all.txt" >&2

cat <<'END'
# The clients that the server is tested with and all that they need, for Python 3.11 on Linux
# (x86-64, 64-bit Arm). Written by tools/pin_clients.sh, installed by tools/client_env.sh.
END
while read -r package; do
    for wheel in "$work"/*/"${package/==/-}"-*.whl; do
        echo "${wheel##*/} $(sha256sum "$wheel" | cut -d ' ' -f 1)"
    done | sort -u -k 2 | cut -d ' ' -f 2 | sed 's/^/    --hash=sha256:/' >"$work/hashes"
    echo "$package \\"
    sed '$!s/$/ \\/' "$work/hashes"
done <"$work/all.txt"
