#!/usr/bin/env bash
# builds: ctkd_static
# examples/libtorch.cpp builds against the LibTorch inside the Python package torch, and runs. Status 77, skipped, where
# neither BUILD/interop nor python3 has that package.
set -euo pipefail
build=$(cd "$1" && pwd) source=$(cd "$2" && pwd)
python=$build/interop/bin/python
[ -x "$python" ] || python=python3
torch=$("$python" -c "import importlib.util, os; print(os.path.dirname(importlib.util.find_spec('torch').origin))" 2>/dev/null) ||
    { echo "skipped: no torch" && exit 77; }
! grep -q '^CTKD_SANITIZE:[A-Z]*=.' "$build/CMakeCache.txt" || { echo "skipped: libctkd is built with sanitizers" && exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
g++ -std=c++20 -Wall -Wextra -Werror -I "$source/include" -isystem "$torch/include" "$source/examples/libtorch.cpp" \
    "$build/libctkd.a" -L "$torch/lib" -Wl,-rpath,"$torch/lib" -ltorch_cpu -lc10 -lm -o "$folder/example"
OMP_NUM_THREADS=1 "$folder/example"
