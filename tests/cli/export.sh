#!/usr/bin/env bash
# `ctkd export`: every file of the folder, nothing replaced unasked. What others read of it: tests/interop/exported.py.
set -euo pipefail
. "$2/tests/support/work_folder.bash"
. "$source/tests/support/tiny_data.bash"
tiny_data data 16 48 20
small="data.set=mnist:data student.network=resnet8 train.threads=1 train.batch=16 train.epochs=1 schedule.kind=constant"
# shellcheck disable=SC2086
expect 0 "$ctkd" train $small run.dir=run

expect 0 "$ctkd" export run out
[ "$(ls out)" = $'README.md\nconfig.json\nmodel.onnx\nmodel.safetensors' ] || fail "files: $(ls out)"
python3 - <<'PYTHON' || fail "config.json: $(cat out/config.json)"
import json
c = json.load(open("out/config.json"))
p = c["pretrained_cfg"]
assert c["architecture"] == "" and c["num_classes"] == p["num_classes"] == 10 and p["input_size"] == [1, 16, 16]
assert c["ctkd"]["network"] == "resnet8" and c["ctkd"]["dataset"] == "mnist" and abs(p["mean"][0] - 0.1307) < 1e-6
PYTHON
top1=$(python3 -c 'import json; print("%.2f" % json.load(open("run/summary.json"))["top1"])')
for line in '^# resnet8 on mnist$' "^| top-1 on test images | $top1 %" '^| parameters | 77754 |' '^  network: "resnet8"$' \
    "^| .model.onnx. | .$(sha256sum out/model.onnx | cut -d ' ' -f 1). |"; do
    grep -q "$line" out/README.md || fail "no line '$line' in: $(cat out/README.md)"
done
expect 0 "$ctkd" eval out/model.safetensors data.set=mnist:data
cp stdout exported
expect 0 "$ctkd" eval run
cmp stdout exported || fail "the exported network scores otherwise"

expect_error 1 "ctkd: out/model.safetensors is there already; --force replaces it" "$ctkd" export run out
expect 0 "$ctkd" export run out --force --plain
grep -q 'takes normalised images' out/README.md || fail "a plain network is described as another"
expect_error 1 "ctkd: found an empty name of a folder, expected a name" "$ctkd" export run "" --force
expect 1 "$ctkd" export nowhere other
[ "$(wc -l <stderr)" = 1 ] && [ ! -e other ] || fail "no such run: $(cat stderr)"
# An export that fails leaves what was there before it: a folder, or none.
mkdir part
ln -s "$folder/nowhere/model.onnx" part/model.onnx
expect_error 1 "ctkd: cannot write part/model.onnx: No such file or directory" "$ctkd" export run part
[ "$(ls part)" = model.onnx ] || fail "a failed export left $(ls part)"
expect_error 1 "ctkd: cannot write unwritten/model.safetensors: File too large" sh -c "ulimit -f 8 && exec $ctkd export run unwritten"
[ ! -e unwritten ] || fail "a failed export left its folder"
# A file of weights alone has no run to tell of.
expect 0 "$ctkd" export out/model.safetensors alone
! grep -q 'yaml' alone/README.md && grep -q '^# resnet8 on mnist$' alone/README.md || fail "a file's card"

# Classes that have names keep them in what is exported, evaluated and reported.
. "$source/tests/support/photos.bash"
photo_folder three 8 4 ant '<bee>' cow
expect 0 "$ctkd" train data.set=imagefolder:three student.network=resnet8 data.size=16 train.threads=1 train.batch=8 train.epochs=1 \
    schedule.kind=constant run.dir=named
expect 0 "$ctkd" export named names
[ "$(cat names/labels.txt)" = $'<bee>\nant\ncow' ] || fail "labels: $(cat names/labels.txt)"
grep -q '"label_names": \["<bee>", "ant", "cow"\]' names/config.json || fail "names in config.json: $(cat names/config.json)"
# The size that timm makes of crop_pct is the one that images were resized to: 16 / 0.875, and one whose share, rounded as
# doubles are, would give 24.
expect 0 "$ctkd" train data.set=imagefolder:three student.network=resnet8 data.size=17 data.resize=25 train.threads=1 train.batch=8 \
    train.epochs=1 schedule.kind=constant run.dir=larger
expect 0 "$ctkd" export larger largers
python3 - <<'PYTHON' || fail "crop_pct: $(cat names/config.json largers/config.json)"
import json, math
for folder, size, resize in ("names", 16, 18), ("largers", 17, 25):
    assert math.floor(size / json.load(open(folder + "/config.json"))["pretrained_cfg"]["crop_pct"]) == resize
PYTHON
expect 0 "$ctkd" eval named --details
grep -q '^<bee>  *4 ' stdout && grep -q '^cow  *4 ' stdout || fail "names of classes: $(cat stdout)"
expect 0 "$ctkd" report named -o named.html
grep -q '<td>&lt;bee&gt;</td>' named.html && ! grep -q '<bee>' named.html || fail "names on a page"
