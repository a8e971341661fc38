#!/usr/bin/env bash
# `ctkd check` tries the resizes of torchvision's V1 and V2 weights where a file does not say which is its own. Here the
# classes differ in a frame that only the tighter resize leaves in the centre that is cropped.
# usage: check_resize.sh BUILD SOURCE
set -euo pipefail
. "$2/tests/support/work_folder.bash"
. "$source/tests/support/tiny_data.bash"
. "$source/tests/support/bare_weights.bash"
python3 - <<'PY'
import os, random
draw = random.Random(1)
for part, count in (("train", 24), ("val", 20)):
    for name, frame in (("dark", 0), ("light", 255)):
        os.makedirs(f"photos/{part}/{name}")
        for i in range(count):
            pixels = [[draw.randrange(256) if 2 <= x < 52 and 2 <= y < 52 else frame for x in range(54)] for y in range(54)]
            with open(f"photos/{part}/{name}/{i}.pgm", "wb") as file:
                file.write(b"P5 54 54 255\n" + b"".join(map(bytes, pixels)))
PY
photos="data.view=resized_crop data.size=24"
expect 0 "$ctkd" train data.set=imagefolder:photos $photos data.resize=25 data.augment=none student.network=resnet8 train.batch=8 \
    train.epochs=12 train.threads=2 train.seed=1 run.dir=run
bare_weights run/last.safetensors bare.safetensors
expect 0 "$ctkd" check bare.safetensors imagefolder:photos $photos teacher.network=resnet8
for line in '^  resize     27  .* top-1 ' '^  resize     25  .* top-1 ' '^  set        data.resize=25$' \
    '^ *25 fits better: it has [0-9]+ images right that 27 has wrong, and [0-9]+ the other way$'; do
    grep -Eq "$line" stdout || fail "no line '$line' in: $(cat stdout)"
done
top1() { sed -nE "s/^  $1 .*top-1 +([0-9.]+) %.*/\1/p" stdout; }
[ "$(top1 accuracy)" = "$(top1 'resize     25')" ] || fail "the accuracy is not that of the better size: $(cat stdout)"
awk -v a="$(top1 'resize     25')" -v b="$(top1 'resize     27')" 'BEGIN { exit !(a > 90 && b < 75) }' || fail "$(cat stdout)"
expect 0 "$ctkd" check bare.safetensors imagefolder:photos $photos teacher.network=resnet8 --json
python3 - stdout "$(top1 accuracy)" <<'PY'
import json, sys
found = json.load(open(sys.argv[1]))
assert found["resize"] == 25 and [item["resize"] for item in found["resizes"]] == [27, 25], found
assert found["top1"] == found["resizes"][1]["top1"] > 90, found
PY

# A size that is given, or that the file says, is the only one.
expect 0 "$ctkd" check bare.safetensors imagefolder:photos $photos teacher.network=resnet8 data.resize=27
! grep -q '^  resize\|data.resize' stdout || fail "data.resize is given: $(cat stdout)"
expect 0 "$ctkd" check run imagefolder:photos $photos
! grep -q '^  resize' stdout || fail "the file says its size: $(cat stdout)"
grep -q 'its own accuracy needs data.resize=25' stdout || fail "no note: $(cat stdout)"
# Images of one small size are in memory and not resized in two ways.
expect 0 "$ctkd" check bare.safetensors imagefolder:photos teacher.network=resnet8 data.size=24 data.view=crop_flip
! grep -q '^  resize' stdout || fail "in memory: $(cat stdout)"

# Two images cannot tell.
expect 0 "$ctkd" check bare.safetensors imagefolder:photos $photos teacher.network=resnet8 data.test_limit=2
grep -q '^ *25 fits no better than chance says: ' stdout || fail "two images say nothing: $(cat stdout)"

# Constants and size are unknown: with the usual size the right constants look like all others, for the frame is not seen.
expect 0 "$ctkd" train data.set=imagefolder:photos $photos data.resize=25 data.augment=none student.network=resnet8 train.batch=8 \
    train.epochs=12 train.threads=2 train.seed=1 data.mean=0 data.std=0.003921569 run.dir=bytes
bare_weights bytes/last.safetensors bytes.safetensors
given="check bytes.safetensors imagefolder:photos $photos teacher.network=resnet8"
expect 0 "$ctkd" $given data.resize=27 # so the size says nothing of the constants
! grep -q '^  set ' stdout || fail "the constants alone: $(cat stdout)"
expect 0 "$ctkd" $given
for line in '^  constants  0 to 255  .* images resized to 25$' '^  set        teacher.mean=0 teacher.std=0.003921569$' \
    '^  set        data.resize=25$'; do
    grep -Eq "$line" stdout || fail "no line '$line' in: $(cat stdout)"
done
awk -v a="$(top1 accuracy)" 'BEGIN { exit !(a > 90) }' || fail "constants and size: $(cat stdout)"
