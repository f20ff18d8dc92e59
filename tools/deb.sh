#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/deb.sh: Debian packages of this tree, in build/deb. dpkg-buildpackage wants a folder debian/
# at the root of what it builds, so it gets a copy of the tracked files with packaging/debian there.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/setup.sh deb
version=$(sed -n 's/^project(tandem VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
listed=$(sed -n '1s/.*(\(.*\)).*/\1/p' packaging/debian/changelog)
if [ "$version" != "$listed" ]; then
    echo "tools/deb.sh: CMakeLists.txt says $version, packaging/debian/changelog $listed" >&2
    exit 1
fi
folder=build/deb/tandem-$version
rm -rf build/deb
mkdir -p "$folder"
if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    git ls-files -z | tar -c --null --files-from=- | tar -x -C "$folder"
else
    tar -c --exclude=./build . | tar -x -C "$folder"
fi
cp -R "$folder/packaging/debian" "$folder/debian"
log=$PWD/build/deb/build.log
if ! (cd "$folder" && dpkg-buildpackage -us -uc -b) >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    echo "tools/deb.sh: dpkg-buildpackage failed; all it said is in $log" >&2
    exit 1
fi
rm -rf "$folder"
ls build/deb/*.deb
