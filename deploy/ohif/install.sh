#!/usr/bin/env bash
# Unpacks OHIF's official build (an npm package) into a folder for the setting viewer.directory:
#
#     deploy/ohif/install.sh /opt/ohif
#
# Needs npm and tar. A folder that exists is left as it is.
set -euo pipefail

version=3.13.2
to=${1:?usage: deploy/ohif/install.sh FOLDER}
[ -f "$to/index.html" ] && exit 0
mkdir -p "$(dirname "$to")"
draft=$(mktemp -d "$(dirname "$to")/ohif.XXXXXX")
trap 'rm -rf "$draft"' EXIT
(cd "$draft" && npm pack --silent "@ohif/app@$version" >/dev/null && tar -xzf ./*.tgz)
chmod 755 "$draft/package/dist"
mv "$draft/package/dist" "$to"
