#!/usr/bin/env bash
# A network whose pixels are of 0 to 255: `ctkd check`, `eval` and `doctor` find it out and say so.
set -euo pipefail
. "$2/tests/support/work_folder.bash"
. "$source/tests/support/tiny_data.bash"
tiny_data data 16 100 200
set=mnist:data
small="data.set=$set student.network=resnet8 train.threads=1 train.batch=16 schedule.kind=constant"
# It does not say so.
# shellcheck disable=SC2086
expect 0 "$ctkd" train $small train.epochs=6 data.mean=0 data.std=0.003921569 optimizer.lr=0.01 run.dir=wide
expect 0 "$ctkd" convert wide silent.safetensors
sed -i 's/"mean"/"mEan"/; s/"std"/"stD"/' silent.safetensors
expect 0 "$ctkd" check silent.safetensors $set train.threads=1
grep -q "^  constants  the data set's  *top-1" stdout || fail "check: the data set's constants are tried first"
grep -q '^  accuracy .*constants 0 to 255$' stdout || fail "check: 0 to 255: $(cat stdout)"
grep -q '^  set  *teacher.mean=0 teacher.std=0.003921569$' stdout || fail "check: what to set"
expect 0 "$ctkd" eval silent.safetensors data.set=$set train.threads=1 --json
grep -q 'silent.safetensors: does not say how its images are normalised: 0 to 255 (teacher.mean=0' stderr || fail "eval: note"
grep -q '"constants": "tried"' stdout || fail "eval: constants"
top1=$(sed -E 's/.*"top1": ([0-9.]+),.*/\1/' stdout)
expect 0 "$ctkd" eval silent.safetensors data.set=$set train.threads=1 teacher.mean=0 teacher.std=0.003921569 --json
grep -q "\"top1\": $top1," stdout || fail "eval: the same with the keys"
grep -q '"constants": "as teacher.mean and .std say"' stdout || fail "eval: keys"
expect 1 "$ctkd" doctor $small train.epochs=3 run.dir=none teacher.path=silent.safetensors teacher.tolerance=100 \
    data.mean=0.31 data.std=0.31
grep -Eq '^PROBLEM +teacher .* of 200 images with 0 to 255: teacher.mean=0 teacher.std=0.003921569$' stdout ||
    fail "doctor: constants: $(cat stdout)"

# Constants of such pixels: in keys an error, in a file converted.
expect 1 "$ctkd" eval silent.safetensors data.set=$set train.threads=1 teacher.mean=123.675 teacher.std=58.395
grep -q 'found 123.675 and 58.395, .*; did you mean 0.485 and 0.229?' stderr || fail "eval: impossible keys"
# shellcheck disable=SC2086
expect 0 "$ctkd" train $small train.epochs=3 data.mean=0.2 data.std=0.2 run.dir=narrow
expect 0 "$ctkd" convert narrow inside.safetensors
expect 0 "$ctkd" eval inside.safetensors data.set=$set train.threads=1 --json
mv stdout expected
sed -i -E 's/"(mean|std)": ?"0.200000003"/"\1":"51.00000000"/g' inside.safetensors
expect 0 "$ctkd" eval inside.safetensors data.set=$set train.threads=1 --json
grep -q 'with mean 51 and deviation 51, which is impossible for pixels from 0 to 1: it gets pixels from 0 to 255$' stderr ||
    fail "eval: no message about the conversion: $(cat stderr)"
cmp stdout expected || fail "eval: the converted constants are the same"
expect 0 "$ctkd" inspect inside.safetensors
grep -q '^  says       channel 0: mean 0.2, deviation 0.2$' stdout || fail "inspect: converted"
grep -q '^  guessed    it normalises with mean 51' stdout || fail "inspect: said"
