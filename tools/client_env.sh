#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/client_env.sh [BUILD TEST [ARGUMENT...]]
#
# The clients of tools/clients.txt, as pip installs them from PyPI, in a virtual environment of
# their own: ${XDG_CACHE_HOME:-~/.cache}/tandem/clients-<hash>, where the hash is of the list and of
# the Python. Made once for all builds (100 MB to get); the network is asked for nothing when it is
# there. Without arguments it only makes it. With a build folder and a test it runs that by the
# environment's Python, $TANDEM_BINARY being the program to test: BUILD/tandem unless it is set.
#
# Another list of wheels, for another environment: TANDEM_ENV=NAME is tools/NAME.txt.
set -eu
if [ $# = 1 ] || { [ $# -gt 1 ] && [ ! -d "$1" ]; }; then
    echo "usage: tools/${TANDEM_ENV:-client}_env.sh [BUILD TEST [ARGUMENT...]], BUILD a folder" >&2
    exit 2
fi
root=$(cd "$(dirname "$0")/.." && pwd)
name=${TANDEM_ENV:-clients}
list=$root/tools/$name.txt

# The list is of wheels for Python 3.11, Debian 12's.
find_python() {
    local candidate
    for candidate in "${TANDEM_PYTHON-}" python3.11 python3 /usr/bin/python3; do
        if [ -n "$candidate" ] && "$candidate" -c '
import pip, sys, venv
assert sys.version_info[:2] == (3, 11)' >/dev/null 2>&1; then
            command -v "$candidate"
            return
        fi
    done
    echo "no Python 3.11 with pip: run tools/setup.sh test" >&2
    return 1
}

python=$(find_python)
identity=$("$python" -c '
import hashlib, sys
print(hashlib.sha256(open(sys.argv[1], "rb").read() + sys.base_prefix.encode() +
                     sys.version.encode()).hexdigest()[:12])' "$list")
environment=${XDG_CACHE_HOME:-$HOME/.cache}/tandem/$name-$identity

# Made beside its place and renamed, so that it is there whole or not at all. No bytecode: Python
# makes that of the tenth that is used.
if [ ! -d "$environment" ]; then
    echo "Installing what tools/$name.txt lists into $environment" >&2
    mkdir -p "${environment%/*}"
    part=$environment.$$
    trap 'rm -rf "$part"' EXIT
    "$python" -m venv --without-pip "$part"
    "$python" -m pip --python "$part/bin/python" install -q --disable-pip-version-check \
        --root-user-action ignore --no-deps --no-compile --only-binary :all: --require-hashes \
        -r "$list" </dev/null
    mv -T "$part" "$environment" 2>/dev/null || [ -d "$environment" ]
fi

[ $# -gt 0 ] || exit 0
build=$(cd "$1" && pwd)
shift
export TANDEM_BINARY=${TANDEM_BINARY:-$build/tandem}
exec "$environment/bin/python" -W ignore::ResourceWarning "$@" # the clients' own
