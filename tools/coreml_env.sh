#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/coreml_env.sh [BUILD SCRIPT [ARGUMENT...]]
#
# Apple's coremltools and what it needs, as tools/coreml.txt pins them, in an environment of its own
# that is made once: see tools/client_env.sh. With a build folder and a script it runs that by the
# environment's Python. The wheels are for Python 3.11 on Linux, x86-64: others have none.
set -eu
TANDEM_ENV=coreml exec "$(dirname "$0")/client_env.sh" "$@"
