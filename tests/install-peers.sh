#!/usr/bin/env bash
# Installs the peers that the tests talk to: Python packages into target/venv, and, as root on Debian, DCMTK, dicom3tools
# (dciodvfy), Orthanc and strace. Otherwise it names the missing packages. Tests of a missing peer say that they were skipped,
# and fail where CI=true.
set -euo pipefail
cd "$(dirname "$0")/.."

stamp=target/venv/.peers
if ! cmp -s tests/requirements.txt "$stamp"; then
    target/venv/bin/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
    cp tests/requirements.txt "$stamp"
fi

packages=()
command -v dcmsend >/dev/null || packages+=(dcmtk)
command -v dciodvfy >/dev/null || packages+=(dicom3tools)
command -v Orthanc >/dev/null || packages+=(orthanc orthanc-dicomweb)
command -v strace >/dev/null || packages+=(strace)
if [ ${#packages[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${packages[@]}" >/dev/null
    else
        echo "Tests with these peers will be skipped; install the Debian packages: ${packages[*]}" >&2
    fi
fi
