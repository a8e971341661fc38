#!/usr/bin/env bash
# The Python package: sdist, wheel from the sdist, a fresh virtual environment with the wheel, tests/python in it. The
# packages come from BUILD/interop, a virtual environment as .ci/run makes it, and must then be complete; without one,
# from python3, and without the packages there is nothing to test: status 77, skipped. Nothing is downloaded.
set -euo pipefail
build=$(cd "$1" && pwd) source=$(cd "$2" && pwd)
python=$build/interop/bin/python
if [ ! -x "$python" ]; then
    python=$(command -v python3) || { echo "skipped: no python3" && exit 77; }
    reason=$("$python" -c "import numpy, pip, pytest, scikit_build_core, torch, venv" 2>&1 | tail -n 1) || true
    [ -z "$reason" ] || { echo "skipped: $reason" && exit 77; }
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export PIP_NO_INDEX=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH= CTKD_SOURCE=$source
# Built in a copy: the source directory may be read-only and is nobody's to write into.
mkdir -p "$folder/tree/src"
cp -r "$source"/{CMakeLists.txt,LICENSE,include,scripts,python} "$folder/tree"
cp -r "$source/src/lib" "$folder/tree/src"
cd "$folder/tree/python"
PYTHONPATH=build_backend "$python" -c "import ctkd_build, sys; ctkd_build.build_sdist(sys.argv[1])" "$folder" >"$folder/log" 2>&1 ||
    { cat "$folder/log"; echo "the sdist does not build"; exit 1; }
cd "$folder"
mv "$folder/tree" "$folder/checkout" # the wheel is built from the sdist alone
"$python" -m pip wheel --quiet --no-deps --no-build-isolation -w "$folder" "$folder"/ctkd-*.tar.gz
# For every Python 3, and every glibc from the newest on that a symbol of the library asks for.
glibc=$("$python" -c "import sys, zipfile; sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read('ctkd/libctkd.so'))" \
    "$folder"/*.whl >"$folder/library" && objdump -T "$folder/library" |
    sed -n 's/.*(GLIBC_\([0-9.]*\)).*/\1/p' | sort -V | tail -n 1)
case $(ls "$folder"/*.whl) in
*/ctkd-*-py3-none-manylinux_"${glibc/./_}_$(uname -m)".whl) ;;
*) echo "found the wheel $(ls "$folder"/*.whl), expected one for any Python 3 and glibc $glibc" && exit 1 ;;
esac
"$python" -m venv "$folder/fresh"
"$folder/fresh/bin/pip" install --quiet --no-deps "$folder"/ctkd-*.whl
# The packages that it needs are there without being copied.
"$python" -c "import site, sys; print(*[p for p in sys.path if p.endswith('-packages')], sep='\n')" \
    >"$("$folder/fresh/bin/python" -c "import sysconfig; print(sysconfig.get_path('purelib'))")/others.pth"
# README.md's line, as it stands there but for the network.
(cd "$folder/checkout" && PATH=$folder/fresh/bin:$PATH PIP_NO_BUILD_ISOLATION=0 PIP_NO_DEPS=1 PIP_FORCE_REINSTALL=1 pip install ./python) \
    >"$folder/log" 2>&1 || { cat "$folder/log"; echo "pip install ./python fails"; exit 1; }
rm -rf "$folder/checkout"
TORCHINDUCTOR_CACHE_DIR=$folder/inductor "$folder/fresh/bin/python" -m pytest -q -rs -p no:cacheprovider "$source/tests/python"
