#!/usr/bin/env bash
# `ctkd doctor`: every check with a sound run and with the fault that it is there for, and a run that prints its
# problems; nothing is written.
set -euo pipefail
. "$2/tests/support/work_folder.bash"
. "$source/tests/support/tiny_data.bash"
tiny_data data 16 100 40
small="data.set=mnist:data data.mean=0.31 data.std=0.31 student.network=resnet8 train.threads=1 train.batch=16
    schedule.kind=constant train.epochs=3"
expect 0 "$ctkd" train $small train.epochs=6 run.dir=teacher
! grep -q '^note: ' stderr || fail "a sound run has a problem"
doctor="$ctkd doctor $small teacher.path=teacher"

# Sound: every check has its line, and nothing is written.
expect 0 $doctor
[ ! -s stderr ] || fail "output on stderr"
for line in 'data +mnist: 100 training and 40 test images' 'normalisation +mean and deviation.*: -?0\.0[0-9] and [01]\.' \
    'schedule +3 epochs of 7 steps' 'threads +1 thread on [0-9]+ cores? \(CPUs [0-9,-]+\), (no CPU quota|a quota of [0-9.]+ CPUs), [0-9]+ by default; ' 'disk .* needs about [0-9.]+ MB, .* GB free' \
    'teacher +teacher/last.safetensors: test top-1' 'balance .*: cross-entropy [0-9.e-]+, KD [0-9.e-]+$' \
    'time +about [0-9]+ s: 21 steps of [0-9.]+ ms, 3 evaluations' 'memory +[0-9.]+ GB of'; do
    grep -Eq "^ok +$line" stdout || fail "no line '$line': $(cat stdout)"
done
grep -q '^0 problems$' stdout || fail "count"
[ ! -e runs ] || fail "doctor wrote a run"

# A teacher that is not a number is refused with its tensor, as it is by every command.
python3 - teacher/last.safetensors nan.safetensors <<'PY'
import json, struct, sys
file = bytearray(open(sys.argv[1], "rb").read())
size = struct.unpack("<Q", file[:8])[0]
at = 8 + size + json.loads(file[8:8 + size])["layer2.0.conv1.weight"]["data_offsets"][0]
file[at:at + 4] = struct.pack("<f", float("nan"))
open(sys.argv[2], "wb").write(file)
PY
expect_error 1 "ctkd: nan.safetensors: layer2.0.conv1.weight: element 0 is nan, expected a finite number" \
    "$ctkd" doctor $small teacher.path=nan.safetensors

# problem CHECK WORDS SETTING...: exit status 1 and that line; a run with it prints the same as a note.
problem() {
    local check=$1 words=$2
    shift 2
    expect 1 $doctor "$@"
    grep -Eq "^PROBLEM +$check +.*$words" stdout || fail "$*: no problem of $check: $(cat stdout)"
    expect 0 "$ctkd" distill $small teacher.path=teacher run.dir=run run.force=true train.max_steps=1 "$@"
    grep -Eq "^note: $check: .*$words" stderr || fail "$*: the run does not say it"
}
problem normalisation 'are 5.* data.mean=0.3[0-9]* data.std=0.3[0-9]* would fit' data.mean=0.1 data.std=0.04
problem schedule 'never decays: schedule.milestones=150,180,210, train.epochs=3' schedule.kind=step schedule.milestones=150,180,210
problem schedule 'covers all of train.epochs' schedule.warmup_epochs=3
problem temperature 'no term of the loss uses tau' method.kd_weight=0
problem temperature 'tau never moves' temperature.lambda_max=0
problem threads 'but this process has [0-9]+ cores' train.threads=$(($(nproc) + 1))
problem balance 'the cross-entropy term has almost no influence beside KD; method.ce_weight' method.ce_weight=1e-6
problem balance 'the method term has almost no influence' method.name=dkd method.weight=1e-6
problem balance 'the method term has almost no influence' method.name=dkd method.weight=1e-6 method.warmup_epochs=10
expect 0 $doctor method.name=dkd method.weight=1 method.ce_weight=1 method.warmup_epochs=100000 # a warm-up is not a small weight
expect 1 $doctor train.max_minutes=0.001 train.epochs=100
grep -Eq '^PROBLEM +time .*train.max_minutes=0.001 stops it earlier' stdout || fail "time"
expect 0 "$ctkd" train $small run.dir=untrained train.max_steps=1 optimizer.lr=0
problem teacher 'chance is 10.00 %: wrong weights' teacher.path=untrained teacher.tolerance=100
printf '\x00\x00\x08\x01\x00\x00\x00\x64' >labels
for ((i = 0; i < 100; i++)); do printf "\\x0$((i % 5))"; done >>labels
mkdir half && cp data/* half && cp labels half/train-labels-idx1-ubyte
problem data '5 of 10 classes have no training image \(label 5, 6, 7, 8 and 1 more\)' data.set=mnist:half
mkdir flat && cp data/* flat # a deviation of 0 must not be advised: it is refused
for part in train t10k; do
    size=$(($(stat -c %s data/$part-images-idx3-ubyte) - 16))
    { head -c 16 data/$part-images-idx3-ubyte; head -c $size /dev/zero | tr '\0' '\7'; } >flat/$part-images-idx3-ubyte
done
expect 1 "$ctkd" doctor $small data.set=mnist:flat
grep -Eq '^PROBLEM +normalisation .*the same value in all training images' stdout || fail "flat images: $(cat stdout)"
! grep -q 'data.std=0' stdout || fail "a deviation of 0 is advised"
problem data '6 of 10 classes have no training image \(label .* and 2 more\): does data.limit leave out' data.limit=4 train.batch=2

# Full disk: a file system of half a megabyte, where one may be mounted.
mkdir disk
if mount -t tmpfs -o size=512k none disk 2>/dev/null; then
    expect 1 $doctor run.dir=disk/run/deeper
    umount disk
    grep -Eq '^PROBLEM +disk +run.dir: disk/run/deeper: 0\.[0-9] MB free, the run needs about' stdout || fail "disk"
fi

# One JSON object; labels alone have neither teacher nor balance.
expect 1 $doctor --json schedule.kind=step schedule.milestones=9
grep -Eq '^\{"problems": 1, "data": "ok", .*"schedule": "the learning rate never decays.*"teacher_top1": [0-9.]+, .*"run_seconds": [0-9.]+.*\}$' \
    stdout || fail "--json: $(cat stdout)"
[ "$(wc -l <stdout)" = 1 ] || fail "--json: more than one line"
expect 0 "$ctkd" doctor $small
! grep -Eq '(teacher|balance) ' stdout || fail "train: a teacher"

# What cannot be opened at all is the usual one line.
expect_error 1 "ctkd: nowhere: No such file or directory" $doctor data.set=mnist:nowhere
expect 2 $doctor temperature.tau_mim=1
