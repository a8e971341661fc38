#!/usr/bin/env bash
# The command from outside: whole runs on small data, the same bits for the same seed, and one clear line with the
# right exit status for everything that can be wrong.
set -uo pipefail
. "$2/tests/support/work_folder.bash"
failures=0

fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}
# $1: exit status, $2: extended regular expression that the one line on stderr matches; the rest: the command
refuses() {
    local status=$1 line=$2 found
    shift 2
    "$ctkd" "$@" >out 2>err
    found=$?
    [ $found = "$status" ] || fail "ctkd $*: exit status $found, expected $status: $(cat err)"
    grep -Eq "$line" err || fail "ctkd $*: '$(cat err)', expected '$line'"
    [ "$status" != 1 ] || [ "$(grep -c . err)" = 1 ] || fail "ctkd $*: $(grep -c . err) lines, expected 1"
    [ ! -s out ] || fail "ctkd $*: wrote to stdout"
}
works() {
    "$ctkd" "$@" >out 2>err || fail "ctkd $*: exit status $?: $(cat err)"
}

# --- small data in the exact format of CIFAR-10 and CIFAR-100: learnable, class k has a bright row k
pixels() { for c in 1 2 3; do for y in $(seq 0 31); do [ "$y" = "$1" ] && printf '\377%.0s' $(seq 32) || printf '\020%.0s' $(seq 32); done; done; }
mkdir ten hundred
for k in 0 1 2 3 4 5 6 7 8 9; do
    { printf "\\x0$k"; pixels "$k"; } >"class$k"
done
for b in 1 2 3 4 5; do cat class0 class1 class2 class3 class4 class5 class6 class7 class8 class9 >ten/data_batch_$b.bin; done
cp ten/data_batch_1.bin ten/test_batch.bin
for k in 0 1 2 3 4 5 6 7 8 9; do { printf '\x01'; cat "class$k"; }; done >hundred/train.bin
cp hundred/train.bin hundred/test.bin
data=data.set=cifar10:ten
short="$data student.network=resnet8 train.epochs=2 train.batch=16 schedule.milestones=5"

# --- whole runs
works train $short run.dir=teacher
for method in "temperature.kind=fixed" "temperature.kind=global" "temperature.kind=instance" \
    "temperature.kind=global method.name=dkd method.weight=1 method.kd_weight=0 method.ce_weight=1"; do
    for twice in a b; do
        works distill $short teacher.path=teacher $method run.dir=run-$twice run.force=true
    done
    cmp run-a/last.safetensors run-b/last.safetensors || fail "$method: two runs of one seed differ"
    [ "$(grep -c '"kind": "epoch"' run-a/log.jsonl)" = 2 ] || fail "$method: log.jsonl has not two epochs"
    ! grep -q 'nan\|inf' run-a/log.jsonl || fail "$method: log.jsonl is not finite"
    [[ $method = *fixed* ]] && lambda=null || lambda='[0-9.]+'
    [ "$(grep -Ec "\"lambda\": $lambda," run-a/log.jsonl)" = 2 ] || fail "$method: lambda is not $lambda"
done
works distill $short teacher.path=teacher temperature.kind=global train.seed=2 run.dir=run-c
! cmp -s run-a/last.safetensors run-c/last.safetensors || fail "another seed gives the same weights"
works distill run-c/config.yaml run.dir=run-d # the resolved configuration alone repeats the run
cmp run-c/last.safetensors run-d/last.safetensors || fail "config.yaml does not repeat the run"
for conv in winograd dnnl; do
    for isa in avx512 avx2 portable; do
        "$ctkd" train $short train.conv=$conv train.isa=$isa run.dir=isa run.force=true 2>err ||
            grep -q 'this CPU has no such instructions\|excludes it' err || fail "isa $isa, conv $conv: $(cat err)"
    done
done
works eval run-a $data --json
grep -q '"top1"' out || fail "eval --json: no top1 in $(cat out)"
[ "$(wc -l <out)" -le 40 ] && [ ! -s err ] || fail "eval --json wrote to stderr: $(cat err)"
for command in models methods datasets --version --help "train --help" "distill --help" "eval --help"; do
    works $command
    [ -s out ] || fail "ctkd $command: nothing on stdout"
done

# --- usage: exit status 2
refuses 2 "unknown command 'distil', did you mean 'distill'" distil
refuses 2 'temperature.tau_mim: unknown key, did you mean temperature.tau_min' train temperature.tau_mim=1
refuses 2 'train.batch: found 0' train train.batch=0
refuses 2 'optimizer.lr: .*nan' train optimizer.lr=nan
refuses 2 'teacher.path: found nothing' distill
echo 'train: {epochs: 3, batsh: 4}' >bad.yaml
refuses 2 'bad.yaml:1: train.batsh: unknown key, did you mean train.batch' train bad.yaml

# --- the work failed: exit status 1, one line
refuses 1 'none.yaml' train none.yaml
refuses 1 'resnet21.*did you mean' train $data student.network=resnet21
refuses 1 'run-a.*holds a run|run-a: ' train $short run.dir=run-a
refuses 1 'nowhere' train data.set=cifar10:nowhere
refuses 1 'unknown data set .cifar11., did you mean .cifar10.' train data.set=cifar11
refuses 1 'found a network of 10 classes, but data set cifar100 has 100' distill $short data.set=cifar100:hundred teacher.path=teacher run.dir=x
refuses 1 'nowhere.safetensors: No such file' distill $short teacher.path=nowhere.safetensors run.dir=x
refuses 1 'resnet20' distill $short teacher.path=teacher teacher.network=resnet20 run.dir=x
refuses 1 'expect|promise' distill $short teacher.path=teacher teacher.expect_top1=100 teacher.tolerance=0.1 run.dir=x data.set=cifar10:ten teacher.mean=5
cp -r ten cut
truncate -s 1000 cut/data_batch_3.bin
refuses 1 'data_batch_3.bin' train data.set=cifar10:cut
cp -r ten label
printf '\x0c' | dd of=label/data_batch_2.bin bs=1 seek=3073 conv=notrunc 2>/dev/null
refuses 1 'data_batch_2.bin: record 1: found label 12, expected 0\.\.9' train data.set=cifar10:label
head -c 100 /dev/urandom >foreign.tar.gz
refuses 1 'foreign.tar.gz' train data.set=cifar10:foreign.tar.gz
head -c 500 teacher/last.safetensors >cut.safetensors
refuses 1 'cut.safetensors' distill $short teacher.path=cut.safetensors teacher.network=resnet8 run.dir=x
[ ! -e x ] || fail "a refused run left its directory"
# Stopped while it trains: the last line says why.
stops() {
    local line=$1
    shift
    "$ctkd" "$@" >out 2>err
    [ $? = 1 ] || fail "ctkd $*: expected exit status 1"
    tail -n 1 err | grep -Eq "$line" || fail "ctkd $*: '$(tail -n 1 err)', expected '$line'"
}
stops 'epoch 1, step [0-9]+.* (is not finite|expected a finite one).*optimizer.lr' train $short optimizer.lr=1000 optimizer.weight_decay=1000 train.epochs=9 run.dir=nan
if mkdir small && mount -t tmpfs -o size=64k none small 2>/dev/null; then
    stops 'small/run.*No space' train $short train.epochs=1 run.dir=small/run
    umount small
fi

[ $failures = 0 ] && echo "all as expected"
exit $((failures > 0))
