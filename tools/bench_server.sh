#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/bench_server.sh TEXTS [OPTION...]: makes .venv/infinity with the server of
# tools/peers_server.txt, builds, and runs tools/bench_server.py, infinity's row included. INFINITY
# names an infinity_emb that is there already; INFINITY=no leaves the row out.
set -eu
cd "$(dirname "$0")/.."
if [ $# -eq 0 ]; then
    echo "usage: make bench-server STSB=stsb-en-test.csv (or a file with a text a line)" >&2
    exit 2
fi
texts=$1
shift
tools/setup.sh peers
tools/build.sh release
arguments=(--folder "$(tools/fetch_model.sh)" --texts "$texts")

infinity=${INFINITY:-.venv/infinity/bin/infinity_emb}
if [ "$infinity" = no ]; then
    exec python3 tools/bench_server.py "${arguments[@]}" "$@"
fi
if [ -z "${INFINITY-}" ] && ! cmp -s tools/peers_server.txt .venv/infinity/peers_server.txt; then
    echo "Installing infinity of tools/peers_server.txt into .venv/infinity (GBs with CUDA, once)"
    python3 -m venv .venv/infinity
    # PyTorch without CUDA is a quarter of the size: PIP_EXTRA_INDEX_URL may name its index.
    .venv/infinity/bin/python -m pip install -q --disable-pip-version-check \
        -r tools/peers_server.txt
    cp tools/peers_server.txt .venv/infinity/peers_server.txt
fi
exec python3 tools/bench_server.py "${arguments[@]}" --infinity "$infinity" \
    --rows throughput,latency,idle,overload,stream,start,infinity "$@"
