#!/usr/bin/env bash
# Brings what the build needs beyond Rust, Python 3 and a C/C++ compiler: a Python environment in target/venv with
# CMake in it (for the JPEG-LS codec). Says what is missing otherwise.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
command -v cargo >/dev/null || missing+=("Rust (cargo)")
command -v python3 >/dev/null || missing+=("Python 3")
command -v cc >/dev/null || missing+=("a C compiler (cc)")
command -v c++ >/dev/null || missing+=("a C++ compiler (c++)")
if [ ${#missing[@]} -gt 0 ]; then
    printf 'pe-node needs %s: install it and run this again.\n' "${missing[@]}" >&2
    exit 1
fi

[ -x target/venv/bin/cmake ] && exit 0
mkdir -p target
if ! python3 -m venv target/venv >target/venv.log 2>&1; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv python3-pip >/dev/null
        rm -rf target/venv
        python3 -m venv target/venv
    else
        echo 'Python cannot make a virtual environment: install its venv module (Debian: python3-venv).' >&2
        exit 1
    fi
fi
target/venv/bin/python -m pip install --quiet --disable-pip-version-check 'cmake>=3.20,<5'
