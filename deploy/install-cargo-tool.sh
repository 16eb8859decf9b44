#!/bin/sh
# Installs a cargo tool in a pinned version into target/tools, unless it is there. It takes minutes.
#
#     deploy/install-cargo-tool.sh NAME VERSION
set -eu
name=${1:?usage: install-cargo-tool.sh NAME VERSION}
version=${2:?usage: install-cargo-tool.sh NAME VERSION}
tools=$(cd "$(dirname "$0")/.." && pwd)/target/tools

[ "$("$tools/bin/$name" --version 2> /dev/null | tr -d v)" = "$name $version" ] && exit 0
echo "install-cargo-tool: $name $version is compiled once, into $tools" >&2
cargo install "$name" --version "$version" --locked --root "$tools" --quiet
