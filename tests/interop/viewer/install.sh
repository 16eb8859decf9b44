#!/usr/bin/env bash
# Installs what the viewer tests need: OHIF's official build into target/ohif, Playwright into target/venv, and, as root on
# Debian, Chromium and npm.
set -euo pipefail
cd "$(dirname "$0")/../../.."

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
ohif=target/ohif/$(sed -n 's/^version=//p' deploy/ohif/install.sh)
if [ ! -d "$ohif" ]; then
    rm -rf target/ohif
    deploy/ohif/install.sh "$ohif"
fi
target/venv/bin/python -m pip install --quiet --disable-pip-version-check "playwright==$playwright"
