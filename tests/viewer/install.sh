#!/usr/bin/env bash
# Installs what the viewer tests need: OHIF's official build (an npm package) into target/ohif, Playwright into target/venv,
# and, as root on Debian, Chromium and npm.
set -euo pipefail
cd "$(dirname "$0")/../.."

ohif=3.13.2
playwright=1.65.2

packages=()
command -v chromium >/dev/null || packages+=(chromium)
command -v npm >/dev/null || packages+=(npm)
if [ ${#packages[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
    else
        echo "The viewer tests need these Debian packages: ${packages[*]}" >&2
        exit 1
    fi
fi
if [ ! -f "target/ohif/$ohif/index.html" ]; then
    rm -rf target/ohif
    mkdir -p target/ohif
    (cd target/ohif && npm pack --silent "@ohif/app@$ohif" >/dev/null)
    tar -xzf target/ohif/*.tgz -C target/ohif
    mv target/ohif/package/dist "target/ohif/$ohif"
    rm -r target/ohif/package target/ohif/*.tgz
fi
target/venv/bin/python -m pip install --quiet --disable-pip-version-check "playwright==$playwright"
