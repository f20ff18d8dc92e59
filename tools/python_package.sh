#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/python_package.sh --find
# tools/python_package.sh BUILD [SCRIPT [ARGUMENT...]]
#
# The Python package for the tests. --find prints the first Python that has what it takes: headers,
# cffi, numpy, setuptools and pip ($TANDEM_PYTHON, what is first in PATH, then the system's). With a
# build folder it installs bindings/python into BUILD/python by that Python's pip, as a user would,
# but without the network. With a script it runs that by the same Python with what was installed.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)

is_able() {
    command -v "$1" >/dev/null 2>&1 && "$1" -c '
import importlib.util, os, sysconfig
has = importlib.util.find_spec
assert all(map(has, ["cffi", "numpy", "pip", "setuptools"]))
assert has("wheel") or has("setuptools.command.bdist_wheel")
assert os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h"))
' >/dev/null 2>&1
}

find_python() {
    local candidate
    for candidate in "${TANDEM_PYTHON-}" python3 /usr/bin/python3; do
        if [ -n "$candidate" ] && is_able "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    echo "no Python with its headers, cffi, numpy, pip and setuptools: run tools/setup.sh test" >&2
    return 1
}

python=$(find_python)
if [ "${1:?usage: tools/python_package.sh --find|BUILD [SCRIPT [ARGUMENT...]]}" = --find ]; then
    echo "$python"
    exit
fi
build=$(cd "$1" && pwd)
shift
if [ $# -gt 0 ]; then
    PYTHONPATH=$build/python exec "$python" -B "$@"
fi
rm -rf "$build/python"
export TANDEM_BUILD=$build
"$python" -m pip install -q --disable-pip-version-check --root-user-action ignore --no-index \
    --no-deps --no-build-isolation --target "$build/python" "$root/bindings/python"
