#!/usr/bin/env bash
# Brings what the long measurements are compared with, PyTorch above all, into target/venv-bench: an environment of its
# own, since it is large (5 GB with the libraries its wheel insists on) and no test needs it.
set -euo pipefail
cd "$(dirname "$0")/../.."

stamp=target/venv-bench/.installed
if ! cmp -s tests/bench/requirements.txt "$stamp"; then
    [ -x target/venv-bench/bin/python ] || python3 -m venv target/venv-bench
    target/venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -r tests/bench/requirements.txt
    cp tests/bench/requirements.txt "$stamp"
fi
