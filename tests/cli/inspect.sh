#!/usr/bin/env bash
# `ctkd inspect` and `ctkd check`: what a file is, which network it fits, which normalisation it wants, and a manifest
# beside it.
set -euo pipefail
. "$2/tests/support/work_folder.bash"
. "$source/tests/support/tiny_data.bash"
. "$source/tests/support/bare_weights.bash"
tiny_data data 16 100 200
set=mnist:data
small="data.set=$set student.network=resnet8 train.threads=1 train.batch=16 schedule.kind=constant"
# Trained with constants that are far from those of the data set.
# shellcheck disable=SC2086
expect 0 "$ctkd" train $small train.epochs=6 data.mean=0 data.std=1 run.dir=run

# What is in it, of every format.
for name in a.safetensors a.pth a.onnx; do
    expect 0 "$ctkd" convert run $name
    expect 0 "$ctkd" inspect $name
    grep -q '^  fits       resnet8$' stdout || fail "$name: network"
    grep -q '^  for        1 channel, 10 classes$' stdout || fail "$name: sizes"
    grep -Eq '^  conv1.weight +F32 +\[16, 1, 3, 3\]$' stdout || fail "$name: tensors"
    expect 0 "$ctkd" inspect $name --json
    grep -q '"fits": "resnet8"' stdout || fail "$name: --json"
done
grep -q '"format": "ONNX"' stdout || fail "format"
expect 0 "$ctkd" inspect run/last.ckpt
grep -q '^  format     checkpoint of a run' stdout || fail "checkpoint"
grep -Eq '^  velocity +F32 ' stdout || fail "checkpoint: tensors"
head -c 300 a.pth >cut.pth
expect 1 "$ctkd" inspect cut.pth
[ "$(wc -l <stderr)" = 1 ] && [ ! -s stdout ] || fail "a truncated file: one line"

# The constants travel with our files; without metadata they must be found.
python_free() { "$ctkd" inspect "$1" --json | sed -E 's/.*"network": "([^"]*)".*/\1/'; }
[ "$(python_free a.safetensors)" = resnet8 ] || fail "metadata"
expect 0 "$ctkd" check a.safetensors $set train.threads=1
grep -q 'accuracy .* of 200 images, constants as the file' stdout || fail "check: constants of the file"
! grep -q '^  set ' stdout || fail "check: nothing is to be set"
expect 0 "$ctkd" check a.safetensors $set train.threads=1 --json
grep -q '"constants": "as the file says"' stdout || fail "check --json"
expect 0 "$ctkd" check a.safetensors $set train.threads=1 teacher.mean=0.3 teacher.std=0.2
grep -q '^  constants  as teacher.mean and .std say  *top-1' stdout || fail "check: given constants"

# A network that is in neither names nor metadata is told by the keys of distill; the student's are no matter.
python3 - <<'PY'
import json, struct
b = open("a.safetensors", "rb").read()
n = struct.unpack("<Q", b[:8])[0]
header = json.loads(b[8:8 + n])
header.pop("__metadata__")
text = json.dumps({k.replace("fc.", "linear."): v for k, v in header.items()}).encode()
text += b" " * (-len(text) % 8)
open("renamed.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + b[8 + n:])
PY
expect 1 "$ctkd" check renamed.safetensors $set train.threads=1
grep -q '^ctkd: teacher.network: renamed.safetensors: the file does not name its network' stderr || fail "check: $(cat stderr)"
expect 0 "$ctkd" check renamed.safetensors $set train.threads=1 teacher.network=resnet8 teacher.path=other \
    student.network=resnet14 method.name=dkd method.weight=1
grep -q '^  network    resnet8, ' stdout || fail "check: teacher.network"
expect 1 "$ctkd" check renamed.safetensors $set train.threads=1 student.network=resnet8 # that is another network
expect 1 "$ctkd" eval renamed.safetensors data.set=$set
grep -q '^ctkd: student.network: renamed.safetensors: the file does not name its network' stderr || fail "eval: $(cat stderr)"
for command in doctor "distill run.dir=renamed train.epochs=1"; do
    # shellcheck disable=SC2086
    expect 1 "$ctkd" $command $small teacher.path=renamed.safetensors
    grep -q '^ctkd: teacher.network: renamed.safetensors: the file does not name its network' stderr || fail "$command: $(cat stderr)"
    # shellcheck disable=SC2086
    "$ctkd" $command $small teacher.path=renamed.safetensors teacher.network=resnet8 teacher.mean=0 teacher.std=1 >stdout 2>stderr ||
        [ "$command" = doctor ] || fail "$command: teacher.network" # doctor finds problems of its own
    grep -q 'renamed.safetensors.*: test top-1 ' stdout stderr || fail "$command: no score with teacher.network"
done

# A manifest beside the file: its checksum is honoured, its accuracy shown.
sum=$(sha256sum <a.pth | cut -d' ' -f1)
echo "{\"file\": \"a.pth\", \"sha256\": \"$sum\", \"network\": \"resnet8\", \"top1\": 12.5}" >manifest.json
expect 0 "$ctkd" inspect a.pth
grep -q 'SHA-256    that of the file' stdout || fail "manifest: verified"
expect 0 "$ctkd" check a.pth $set train.threads=1
grep -q 'promised   top-1 12.50 %' stdout || fail "manifest: accuracy"
printf x >>a.pth
expect 1 "$ctkd" inspect a.pth
grep -q "a.pth: .*$sum" stderr || fail "manifest: a wrong file is refused with its checksum"
rm manifest.json

# Weights that are not finite get no score: the conv's ReLU would make 0 of NaN.
python3 - a.safetensors <<'PY'
import json, struct, sys
file = open(sys.argv[1], "rb").read()
size = struct.unpack("<Q", file[:8])[0]
header = json.loads(file[8:8 + size])
begin, end = header["layer2.0.conv1.weight"]["data_offsets"]
spoilt = bytearray(file)
spoilt[8 + size + begin:8 + size + end] = struct.pack("<f", float("nan")) * ((end - begin) // 4)
open("nan.safetensors", "wb").write(spoilt)
PY
for command in "eval nan.safetensors data.set=$set" "check nan.safetensors $set" "inspect nan.safetensors" \
    "convert nan.safetensors b.pth" "distill $small teacher.path=nan.safetensors run.dir=d"; do
    # shellcheck disable=SC2086
    expect 1 "$ctkd" $command
    grep -q 'nan.safetensors: layer2.0.conv1.weight: element 0 is nan, expected a finite number' stderr ||
        fail "NaN: $command"
done

# A model and its average in one file: the model is taken, a message says so, and a key takes the other.
python3 - a.safetensors both.safetensors <<'PY'
import json, struct, sys
file = open(sys.argv[1], "rb").read()
size = struct.unpack("<Q", file[:8])[0]
header, data = json.loads(file[8:8 + size]), file[8 + size:]
header.pop("__metadata__")
both = {}
for name, entry in header.items():
    both["model_ema.module." + name] = entry
    begin, end = entry["data_offsets"]
    both["model." + name] = dict(entry, data_offsets=[begin + len(data), end + len(data)])
text = json.dumps(both).encode()
text += b" " * (-len(text) % 8)
open(sys.argv[2], "wb").write(struct.pack("<Q", len(text)) + text + data + b"\0" * len(data))
PY
expect 0 "$ctkd" inspect both.safetensors
grep -Eq '^  weights    model, [0-9]+ tensors, shown here$' stdout || fail "sets: the one taken"
grep -Eq '^  weights    model_ema, [0-9]+ tensors \(weights=NAME takes them\)$' stdout || fail "sets: the other"
expect 0 "$ctkd" inspect both.safetensors weights=model_ema --json
grep -q '"weights": "model_ema", "sets": "model,model_ema"' stdout || fail "sets: --json"
said='using the weights of model; the file also has model_ema'
own="data.set=$set data.mean=0 data.std=1"
# shellcheck disable=SC2086
expect 0 "$ctkd" eval both.safetensors $own
grep -qF "$said (student.weights=model_ema selects these)" stderr || fail "eval: which weights"
grep -q 'top-1 10.00 %' stdout || fail "eval: the model, which is all zeros"
cp both.safetensors $'caf\xe9.safetensors' # a name in Latin-1
# shellcheck disable=SC2086
expect 0 "$ctkd" eval $'caf\xe9.safetensors' $own
grep -qF "caf\\xE9.safetensors: $said" stderr || fail "a name in Latin-1: $(cat stderr)"
# shellcheck disable=SC2086
expect 0 "$ctkd" eval both.safetensors $own student.weights=model_ema
[ ! -s stderr ] && ! grep -q 'top-1 10.00 %' stdout || fail "eval: the average"
expect 0 "$ctkd" check both.safetensors $set train.threads=1 teacher.weights=model_ema
! grep -q '^  accuracy   top-1 10.00 %' stdout || fail "check: the average"
expect 0 "$ctkd" convert both.safetensors average.pth weights=model_ema
# shellcheck disable=SC2086
expect 0 "$ctkd" eval average.pth $own
! grep -q 'top-1 10.00 %' stdout || fail "convert: the average"
expect 0 "$ctkd" convert both.safetensors model.pth
grep -qF "$said (weights=model_ema selects these)" stderr || fail "convert: which weights"
# shellcheck disable=SC2086
expect 0 "$ctkd" distill $small teacher.path=both.safetensors train.epochs=1 train.max_steps=1 run.dir=d
grep -qF "$said (teacher.weights=model_ema selects these)" stderr || fail "distill: which weights"
grep -q '^teacher .* top-1 10.00 %' stderr || fail "distill: the model, which is all zeros"
# shellcheck disable=SC2086
expect 0 "$ctkd" distill $small teacher.path=both.safetensors teacher.weights=model_ema teacher.mean=0 teacher.std=1 \
    teacher.tolerance=100 train.epochs=1 train.max_steps=1 run.dir=e
! grep -qF "$said" stderr && grep -q '^teacher ' stderr && ! grep -q '^teacher .* top-1 10.00 %' stderr || fail "distill: the average"
expect 1 "$ctkd" eval both.safetensors data.set=$set student.weights=ema
grep -q "student.weights: both.safetensors: found no weights 'ema', expected model, model_ema" stderr ||
    fail "no such weights"
# The set that is preferred does not fit: the others are tried, and a message names the one that was taken.
python3 - both.safetensors misfit.safetensors <<'PY'
import json, struct, sys
file = open(sys.argv[1], "rb").read()
size = struct.unpack("<Q", file[:8])[0]
header = {name: entry for name, entry in json.loads(file[8:8 + size]).items() if name != "model.bn1.weight"}
data, at, out = b"", 0, {}
for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
    begin, stop = entry["data_offsets"]
    out[name] = dict(entry, data_offsets=[at, at + stop - begin])
    data += file[8 + size + begin:8 + size + stop]
    at += stop - begin
text = json.dumps(out).encode()
text += b" " * (-len(text) % 8)
open(sys.argv[2], "wb").write(struct.pack("<Q", len(text)) + text + data)
PY
other='the weights of model do not fit; using the weights of model_ema; the file also has model'
# shellcheck disable=SC2086
for network in "" student.network=resnet8; do
    expect 0 "$ctkd" eval misfit.safetensors $own $network
    grep -qF "$other (student.weights=model selects these)" stderr || fail "another set: $(cat stderr)"
    ! grep -q 'top-1 10.00 %' stdout || fail "eval: the average that fits"
done
expect 0 "$ctkd" convert misfit.safetensors misfit.onnx channels=1 height=16
grep -qF "$other (weights=model selects these)" stderr || fail "convert: another set"
# shellcheck disable=SC2086
expect 1 "$ctkd" eval misfit.safetensors $own student.network=resnet8 student.weights=model
grep -q 'the weights do not fit: 1 missing (bn1.weight' stderr || fail "asked for, and not replaced"
# shellcheck disable=SC2086
expect 1 "$ctkd" eval misfit.safetensors $own student.network=resnet20
grep -qF 'but none of them fits: misfit.safetensors (resnet20): the weights do not fit' stderr || fail "none fits: $(cat stderr)"
# shellcheck disable=SC2086
expect 0 "$ctkd" train $small student.init=both.safetensors student.weights=model_ema train.epochs=1 optimizer.lr=0 \
    run.dir=started
! grep -q "$said" stderr || fail "train: asked for"
expect 0 "$ctkd" eval started # student.weights of the run is not about its result
expect 1 "$ctkd" inspect a.onnx weights=model
grep -q "a.onnx: found weights .model., but an ONNX model has a single set of weights" stderr || fail "ONNX"

# A file that is something else is called what it is, wherever it is given; a pipe is refused.
lfs='found a Git LFS pointer (`git lfs pull` fetches the file), expected'
mkdir pointers
for name in a.pth a.yaml pointers/{train,t10k}-{images-idx3,labels-idx1}-ubyte a.tar; do
    printf 'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345678\n' >"pointers/$(basename $name)"
done
expect 1 "$ctkd" inspect pointers/a.pth
grep -qF "ctkd: pointers/a.pth: $lfs a" stderr || fail "weights: $(cat stderr)"
expect 1 "$ctkd" eval a.onnx data.set=mnist:pointers
grep -qF "pointers/train-images-idx3-ubyte: $lfs the data file train-images-idx3-ubyte" stderr || fail "data"
expect 1 "$ctkd" eval a.onnx data.set=mnist:pointers/a.tar
grep -qF "pointers/a.tar: $lfs a .tar, .tar.gz or .tar.xz archive" stderr || fail "archive"
expect 2 "$ctkd" train pointers/a.yaml
grep -qF "pointers/a.yaml: $lfs a configuration in YAML" stderr || fail "configuration"
expect 2 "$ctkd" train ./a.onnx
grep -q "a.onnx: found an ONNX model, expected a configuration in YAML" stderr || fail "a model is no configuration"
expect 1 "$ctkd" inspect /dev/null
grep -q "/dev/null: found a device or socket, expected a regular file" stderr || fail "device"
expect 1 "$ctkd" inspect <(cat a.onnx)
grep -q ": found a pipe, expected a regular file, because it is read more than once" stderr || fail "pipe"
expect 1 "$ctkd" eval a.onnx data.set=mnist:<(cat a.onnx)
grep -q ": found a pipe, expected a regular file" stderr || fail "data from a pipe"
"$ctkd" inspect /dev/stdin <a.onnx >stdout || fail "a file as standard input"
grep -q '^  fits       resnet8$' stdout || fail "a file as standard input: network"

# Weights without metadata, in a folder that is named after another network: what they hold decides.
mkdir resnet20_from_resnet8
bare_weights a.safetensors resnet20_from_resnet8/w.safetensors
expect 0 "$ctkd" inspect resnet20_from_resnet8/w.safetensors
grep -q "^  guess      network resnet20, by the folder's name$" stdout || fail "a guess is called one"
! grep -q '^  says ' stdout || fail "a file without metadata says nothing"
expect 0 "$ctkd" check resnet20_from_resnet8/w.safetensors $set train.threads=1
grep -q '^  network    resnet8, ' stdout || fail "contents come before the folder's name"
# Converted, they still fit images of any size.
expect 0 "$ctkd" convert resnet20_from_resnet8/w.safetensors w.pth
expect 0 "$ctkd" inspect w.pth
grep -q '^  says       10 classes, 1 channel, images of any size$' stdout || fail "no size is made up"
expect 0 "$ctkd" eval w.pth data.set=$set

# Where the published scripts leave a teacher.
mkdir -p save/models/resnet8_vanilla
"$ctkd" convert run save/models/resnet8_vanilla/ckpt_epoch_240.pth
expect 0 "$ctkd" inspect save/models/resnet8_vanilla
grep -q '^  says       network resnet8$' stdout || fail "published folder"
expect_error 2 "ctkd check: found 1 name, expected 2; usage: ctkd check TEACHER DATA [key=value ...]" "$ctkd" check a.onnx
