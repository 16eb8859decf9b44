#!/bin/sh
# Checks licences, bans and sources of all dependencies by deny.toml, with cargo-deny.
set -eu
cd "$(dirname "$0")/.."
deploy/install-cargo-tool.sh cargo-deny 0.20.2
target/tools/bin/cargo-deny --all-features check bans licenses sources
