#!/bin/sh
# Fetches the ONNX Runtime shared library into target/onnxruntime/, where pe-node looks for it.
#
#     deploy/fetch-onnxruntime.sh [cpu|cuda] [FOLDER]
#
# Versions and hashes are pinned in onnxruntime-cpu.txt and onnxruntime-cuda.txt beside this script. Needs Python 3
# with pip. The library does not depend on Python: the packages are archives that hold it, and only the shared
# libraries are taken out of them. Running it again does nothing; what is there is replaced whole or not at all.
set -eu

kind=${1:-cpu}
here=$(cd "$(dirname "$0")" && pwd)
folder=${2:-$here/../target/onnxruntime}
fail() { echo "fetch-onnxruntime: $*" >&2; exit 1; }

case "$kind" in cpu | cuda) ;; *) fail "unknown kind '$kind': cpu or cuda was expected" ;; esac
[ "$(uname -s)" = Linux ] || fail "packages are pinned for Linux; install ONNX Runtime 1.31 and set onnxruntime.library"
machine=$(uname -m)
case "$kind/$machine" in
    cpu/x86_64 | cpu/aarch64 | cuda/x86_64) ;;
    *) fail "there is no pinned package of the kind '$kind' for $machine" ;;
esac

pinned=$here/onnxruntime-$kind.txt
stamp="$kind $machine $(cksum < "$pinned")"
if [ -f "$folder/.fetched" ] && [ "$(cat "$folder/.fetched")" = "$stamp" ]; then
    echo "fetch-onnxruntime: $folder holds it already"
    exit 0
fi

python=
for candidate in ${PYTHON:-} python3 python; do
    if command -v "$candidate" > /dev/null && "$candidate" -m pip --version > /dev/null 2>&1; then
        python=$candidate
        break
    fi
done
[ -n "$python" ] || fail "Python 3 with pip is needed (Debian: apt-get install python3-pip), or name one in PYTHON"

mkdir -p "$(dirname "$folder")"
work=$(mktemp -d "$(dirname "$folder")/.onnxruntime-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

echo "fetch-onnxruntime: fetching $kind for $machine"
# One interpreter version is named for all, whatever runs pip: the shared library is the same in each, and so one hash
# an architecture is enough. Older platform names are those of the NVIDIA packages.
platforms=
for tag in manylinux_2_28 manylinux_2_27 manylinux_2_17 manylinux2014 manylinux_2_12 manylinux2010 manylinux_2_5 manylinux1; do
    platforms="$platforms --platform ${tag}_$machine"
done
# shellcheck disable=SC2086
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
    --implementation cp --python-version 3.12 --abi cp312 --abi none $platforms \
    --dest "$work/wheels" -r "$pinned" || fail "pip could not fetch the packages (see above)"

"$python" - "$work/wheels" "$work/libraries" << 'PYTHON'
"""Takes the shared libraries out of the wheels, flat, without the Python modules."""
import pathlib
import re
import shutil
import sys
import zipfile

wheels, libraries = map(pathlib.Path, sys.argv[1:])
libraries.mkdir()
shared = re.compile(r"lib[^/]*\.so(\.[0-9.]+)?$")
wanted = re.compile(r"(^onnxruntime/capi/|^nvidia/.*/lib/)[^/]+$")
notices = re.compile(r"(^onnxruntime/(LICENSE|ThirdPartyNotices\.txt)$|\.dist-info/(licenses/)?(License|LICENSE)[^/]*$)")
for wheel in sorted(wheels.glob("*.whl")):
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            base = name.rsplit("/", 1)[-1]
            if wanted.search(name) and shared.match(base) and "tensorrt" not in base:
                target = libraries / base
            elif notices.search(name):
                target = libraries / f"{wheel.name.split('-')[0]}.{base}"
            else:
                continue
            with archive.open(name) as source, open(target, "wb") as sink:
                shutil.copyfileobj(source, sink)
            if shared.match(base):
                target.chmod(0o755)
versions = sorted(libraries.glob("libonnxruntime.so.*"))
if not versions and not (libraries / "libonnxruntime.so").exists():
    sys.exit("fetch-onnxruntime: the package holds no libonnxruntime.so")
if versions and not (libraries / "libonnxruntime.so").exists():
    (libraries / "libonnxruntime.so").symlink_to(versions[-1].name)
PYTHON

printf '%s' "$stamp" > "$work/libraries/.fetched"
if [ -e "$folder" ]; then
    mv "$folder" "$work/replaced"
fi
mv "$work/libraries" "$folder"
echo "fetch-onnxruntime: $(cd "$folder" && pwd)/libonnxruntime.so"
