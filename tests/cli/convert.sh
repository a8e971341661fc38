#!/usr/bin/env bash
# Weights through all formats: the same bits behind .pth, .safetensors and .onnx in every direction, the same accuracy
# of an ONNX network as of its weights, and one clear line for what cannot be converted.
set -euo pipefail
. "$2/tests/support/work_folder.bash"
. "$source/tests/support/tiny_data.bash"
tiny_data data 16 40 20
convert() {
    expect 0 "$ctkd" convert "$@"
    [ ! -s stdout ] && [ ! -s stderr ] || fail "convert $*: prints something"
}
small="data.set=mnist:data student.network=resnet8 train.threads=1 train.epochs=1 schedule.kind=constant"
# shellcheck disable=SC2086
expect 0 "$ctkd" train $small run.dir=run

# The tensors of a .safetensors file, by name, type, shape and place, and the bytes behind them.
tensors() {
    local n
    n=$(od -An -tu8 -N8 "$1" | tr -d ' ')
    head -c $((8 + n)) "$1" | tail -c "$n" | grep -o '"[^"]*":{"dtype":"[^}]*'
    tail -c +$((9 + n)) "$1" | sha256sum
}
same() {
    tensors "$1" >expected
    tensors "$2" | cmp - expected || fail "$1 and $2 differ: $3"
}

# A round through all formats, and back from each.
convert run start.safetensors
convert start.safetensors a.pth
convert a.pth a.safetensors
same start.safetensors a.safetensors ".safetensors -> .pth -> .safetensors"
convert a.safetensors b.pth
convert b.pth b.onnx
convert b.onnx b.safetensors
convert b.onnx c.pth
convert c.pth c.safetensors
same b.safetensors c.safetensors ".onnx -> .pth -> .safetensors"
convert b.onnx d.onnx
cmp b.onnx d.onnx || fail ".onnx -> .onnx"
convert b.safetensors e.onnx
cmp b.onnx e.onnx || fail ".onnx -> .safetensors -> .onnx"
# ONNX has no count of batches, the last tensor: nothing else changes.
tensors start.safetensors | grep -v -e num_batches_tracked -e ' -$' | sed 's/,"data_offsets.*//' >expected
tensors b.safetensors | grep -v ' -$' | sed 's/,"data_offsets.*//' | cmp - expected || fail "tensors behind ONNX"
bytes=$(tensors b.safetensors | sed -n 's/.*,\([0-9]*\)\]$/\1/p' | sort -n | tail -n 1)
tail -c "$bytes" b.safetensors | cmp - <(tail -c "$bytes" start.safetensors) || fail "weights behind ONNX"
expect 0 "$ctkd" eval start.safetensors data.set=mnist:data --json
grep '"loss"\|"top1"' stdout >expected
for file in a.pth b.safetensors c.pth; do
    expect 0 "$ctkd" eval $file data.set=mnist:data --json
    grep '"loss"\|"top1"' stdout | cmp - expected || fail "eval $file"
done

# As a teacher, whatever is inside: batch norms kept or folded, normalisation outside or inside.
for flags in "" --fold --normalise "--fold --normalise"; do
    # shellcheck disable=SC2086
    expect 0 "$ctkd" convert start.safetensors teacher.onnx $flags
    # shellcheck disable=SC2086
    expect 0 "$ctkd" distill $small teacher.path=teacher.onnx run.dir="student $flags"
done
cmp "student /last.safetensors" "student --normalise/last.safetensors" || fail "a teacher that normalises itself"
# shellcheck disable=SC2086
expect_error 1 "ctkd: method sp reads features, which the teacher (resnet8) does not name: expected weights of a network of \`ctkd models\`, or a method of logits" \
    "$ctkd" distill $small teacher.path=teacher.onnx method=sp run.dir=features

# Folded: its tensors are no longer resnet8's, and do not say so.
convert start.safetensors folded.onnx --fold
convert folded.onnx folded.safetensors
grep -q '"conv1.bias"' folded.safetensors || fail "folded.safetensors has no bias"
grep -q '"network":""' folded.safetensors || fail "folded.safetensors says that it is resnet8"
expect 1 "$ctkd" convert folded.safetensors again.onnx
grep -q '^ctkd: folded.safetensors: the file does not name its network and fits none of `ctkd models`' stderr || fail "folded"
expect 1 "$ctkd" convert folded.safetensors again.onnx network=resnet8 classes=10 channels=1
grep -q '^ctkd: folded.safetensors (resnet8): the weights do not fit: [0-9]* missing (bn1.weight, ' stderr || fail "network=resnet8"

# What is asked for is not overruled by the file.
expect_error 1 "ctkd: b.onnx: found 10 classes, expected 7" "$ctkd" convert b.onnx f.safetensors classes=7
expect 1 "$ctkd" convert a.pth f.onnx classes=7
grep -q '^ctkd: a.pth (resnet8): the weights do not fit: 0 missing, 0 unexpected, 2 of another shape (fc.weight: found F32' stderr ||
    fail "classes=7"
convert start.safetensors wide.onnx height=24 width=32 mean=0.5 std=0.25 normalise=true
expect 0 "$ctkd" convert wide.onnx wide.safetensors
grep -q '"height":"24"' wide.safetensors && grep -q '"mean":"0.5"' wide.safetensors || fail "height, mean"

# Usage and damage.
expect 2 "$ctkd" convert a.pth
grep -q '^ctkd convert: found 1 name, expected 2; usage: ctkd convert IN OUT' stderr || fail "one file"
expect 1 "$ctkd" convert a.pth out.bin # which formats there are is in their list, not here
grep -Eq '^ctkd: out.bin: expected a name in (.*, )?.safetensors, .pth, .pt, .th(,.*)? or \.[a-z]+$' stderr || fail "$(cat stderr)"
expect 1 "$ctkd" convert a.pth -
grep -Eq '^ctkd: -: standard output has no ending; set format=(.*, )?safetensors, pth(,.*)? or [a-z]+$' stderr || fail "$(cat stderr)"
expect_error 1 "ctkd: out.pth: found format=onnx, expected the format of the ending" "$ctkd" convert a.pth out.pth format=onnx
[ ! -e - ] && [ ! -e out.bin ] || fail "a file was written after an error"

# Standard output and a name without an ending hold the same bytes as a file; a link stays one.
for format in safetensors pth onnx; do
    convert a.pth plain.$format
    "$ctkd" convert a.pth - format=$format | cmp - plain.$format || fail "- format=$format"
    convert a.pth nameless format=$format && cmp nameless plain.$format || fail "nameless format=$format"
done
status=0
"$ctkd" convert a.pth - format=pth >/dev/full 2>stderr || status=$?
[ $status = 1 ] && grep -q '^ctkd: cannot write standard output: No space left' stderr || fail "- to a full disk: $status $(cat stderr)"
mkdir elsewhere && echo old >elsewhere/weights.pth && ln -s elsewhere/weights.pth link.pth
convert a.pth link.pth
[ -L link.pth ] && cmp elsewhere/weights.pth plain.pth || fail "a link was replaced"
expect_error 1 "ctkd: out.pth: fold and normalise apply to .onnx only" "$ctkd" convert a.pth out.pth --fold
head -c 1000 b.onnx >cut.onnx
expect_error 1 "ctkd: cut.onnx: found 1000 bytes that are not an ONNX model, or a truncated one" "$ctkd" convert cut.onnx out.pth
echo hello >text.pth
expect 1 "$ctkd" convert text.pth out.onnx
grep -Eq '^ctkd: text.pth: found a text file, expected (.*, )?a .safetensors file, a PyTorch checkpoint' stderr || fail "$(cat stderr)"
[ ! -e out.pth ] && [ ! -e out.onnx ] || fail "a file was written after an error"
