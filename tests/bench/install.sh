#!/usr/bin/env bash
# Installs the software that the long measurements compare with, above all PyTorch, into target/venv-bench. This environment
# is separate, since it is large (5 GB with the libraries that PyTorch's wheel requires) and no test needs it.
set -euo pipefail
cd "$(dirname "$0")/../.."

stamp=target/venv-bench/.installed
if ! cmp -s tests/bench/requirements.txt "$stamp"; then
    [ -x target/venv-bench/bin/python ] || python3 -m venv target/venv-bench
    target/venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -r tests/bench/requirements.txt
    cp tests/bench/requirements.txt "$stamp"
fi
