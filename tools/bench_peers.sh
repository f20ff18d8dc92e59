#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/bench_peers.sh [STSB.csv [OPTION...]]: makes .venv with the peers of tools/peers.txt,
# builds, and runs tools/bench_peers.py. PEERS_PYTHON names another Python that has them already.
set -eu
cd "$(dirname "$0")/.."
tools/setup.sh peers
tools/build.sh release
folder=$(tools/fetch_model.sh)

python=${PEERS_PYTHON:-.venv/bin/python}
if [ -z "${PEERS_PYTHON-}" ] && ! cmp -s tools/peers.txt .venv/peers.txt; then
    echo "Installing the peers of tools/peers.txt into .venv (several GB with CUDA, once)"
    python3 -m venv .venv
    # PyTorch without CUDA is a quarter of the size: PIP_EXTRA_INDEX_URL may name its index.
    .venv/bin/python -m pip install -q --disable-pip-version-check -r tools/peers.txt
    cp tools/peers.txt .venv/peers.txt
fi

arguments=(--folder "$folder")
if [ $# -gt 0 ]; then
    stsb=$1
    arguments+=(--stsb "$stsb")
    shift
else
    echo "For the STS-B rows: make bench-peers STSB=stsb-en-test.csv, the English test split of"
    echo "https://github.com/PhilipMay/stsb-multi-mt (data/stsb-en-test.csv)"
fi
"$python" -W ignore tools/bench_peers.py "${arguments[@]}" "$@"
echo
exec "$python" tools/bench_tokenizer.py --tokenizer "$folder/tokenizer.json" \
    --texts "${stsb:-tests/golden/minilm/texts.txt}"
