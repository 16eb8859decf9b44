#!/bin/sh
# Runs fuzzers, one after the other: those that are named, or all that need no training.
#
#     fuzz/run.sh SECONDS [TARGET...]
#
# What makes a target fail is written to fuzz/artifacts; mend it, and put the file into fuzz/corpus/TARGET as its test.
# New inputs are kept in target/fuzz. `labels` is compiled with training, which takes long: name it.
set -eu
seconds=${1:?usage: fuzz/run.sh SECONDS [TARGET...]}
shift
cd "$(dirname "$0")/.."
deploy/install-build-tools.sh
deploy/install-cargo-tool.sh cargo-fuzz 0.13.2
PATH="$PWD/target/tools/bin:$PWD/target/venv/bin:$PATH"
# Sanitizers are not in stable Rust otherwise; its libraries of them are.
export RUSTC_BOOTSTRAP=1 CARGO_INCREMENTAL=0
[ $# -gt 0 ] || set -- $(ls fuzz/corpus | grep -v '^labels$')

for target in "$@"; do
    features=
    [ "$target" != labels ] || features="--features train"
    mkdir -p "target/fuzz/$target"
    echo "fuzz: $target"
    # Memory of a data set at the limits of src/dicom/fuzzing.rs, and of the address sanitizer's shadow.
    # shellcheck disable=SC2086
    cargo fuzz run $features --target-dir target/fuzzers "$target" "target/fuzz/$target" "fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1
done
