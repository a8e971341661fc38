#!/usr/bin/env bash
# usage: interop.sh BUILD SOURCE
# builds: ctkd interop_logits
# Our files in the programs of others, and theirs here (interop.py, tensorboard_runs.py); photographs and their views; random ONNX models and
# checkpoints. The packages of requirements.txt are taken from BUILD/interop, a virtual environment as .ci/run makes it,
# and must then be complete; without one, from python3, and without the packages there is nothing to compare with: status
# 77, skipped.
set -euo pipefail
build=$(cd "$1" && pwd) source=$(cd "$2" && pwd)
python=$build/interop/bin/python
modules="import numpy, onnx, onnxruntime, onnxscript, PIL, safetensors, tensorboard, torch; import importlib.metadata as m; m.version(\"timm\")"
if [ ! -x "$python" ]; then
    python=$(command -v python3) || { echo "skipped: no python3" && exit 77; }
    reason=$("$python" -c "$modules" 2>&1 | tail -n 1) || true
    [ -z "$reason" ] || { echo "skipped: $reason" && exit 77; }
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
status=0
export PYTHONPATH=$source/tests/golden PYTHONDONTWRITEBYTECODE=1
run() {
    "$python" "$source/tests/interop/$1" "${@:2}" || status=$?
}
run random_models.py "$build/interop_logits" "$folder" 0 300
run random_checkpoints.py "$build/ctkd" "$folder" 0 100
run tensorboard_runs.py "$build/ctkd" "$folder"
run views.py "$build/ctkd" "$source/tests/golden/pictures" --side 64
run photographs.py "$build/ctkd" "$folder"
run evaluation.py "$build/ctkd" "$folder"
run exported.py "$build/ctkd" "$folder"
run interop.py "$build/ctkd" "$build/interop_logits" "$folder"
exit $status
