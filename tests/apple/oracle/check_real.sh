#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check_real.sh BUILD: the packages of all-MiniLM-L6-v2 and all-mpnet-base-v2 with their published
# weights, judged by check_packages.py; the figures go to tests/apple/results/packages.json.
set -eu
cd "$(dirname "$0")/../../.."
mpnet=$(tools/fetch_mpnet.sh)
tools/fetch_model.sh >/dev/null
exec tools/coreml_env.sh "$1" tests/apple/oracle/check_packages.py \
    all-MiniLM-L6-v2=32,128 "$mpnet=32" --report tests/apple/results/packages.json
