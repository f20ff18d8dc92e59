#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/demo.sh: from a fresh clone to real vectors of a real model, then how fast they come. Every
# step does nothing where it was done before, so the second run takes seconds and needs no network.
set -eu
cd "$(dirname "$0")/.."

tools/setup.sh build
tools/build.sh release --target tandem_cli
snapshot=$(tools/fetch_model.sh)
tandem=build/release/tandem

echo
echo "Model: ${snapshot##*/models--}"
echo
query="How do I reset my password?"
"$tandem" similarity "$query" \
    "I forgot my login and need a new one." \
    "Where can I change my account's password?" \
    "The cat sat on the mat." \
    "Quels sont vos horaires d'ouverture ?"
echo
echo "The vector of a text is one line of JSON:"
echo "    \$ $tandem embed \"$query\""
"$tandem" embed "$query" | cut -c 1-96 | sed 's/^/    /; s/$/.../'
echo
"$tandem" bench --shape bert-base --seconds 0.6
echo
echo "Next: $tandem serve, $tandem --help, docs/tour.md, make test"
