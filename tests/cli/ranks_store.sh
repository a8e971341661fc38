#!/usr/bin/env bash
# usage: ranks_store.sh BUILD SOURCE
# A store of the teacher's answers on two ranks: the bits of a run without one; both ranks fill one file, in which a single
# process finds every answer; and a rank that cannot use its folder computes its part by itself.
set -euo pipefail
source "$(dirname "$0")/../support/work_folder.bash"
source "$source/tests/support/launcher.bash"
source "$source/tests/support/tiny_data.bash"
tiny_data data 16 200 40
set="data.set=mnist:data student.network=resnet8 train.batch=30 schedule.kind=constant train.threads=1 train.slices=2"
expect 0 "$ctkd" train $set train.epochs=1 train.seed=7 run.dir=teacher
distill=("$ctkd" distill $set train.epochs=2 data.augment=none teacher.path=teacher teacher.tolerance=100)
# counts RUN: "hits misses damaged" of each epoch
counts() {
    sed -n 's/.*"teacher_hits": \([0-9nul]*\), "teacher_misses": \([0-9nul]*\), "teacher_damaged": \([0-9nul]*\),.*/\1 \2 \3/p' "$1/log.jsonl"
}
# check RUN COUNTS: a run with the bits of the one without a store
check() {
    cmp plain/last.safetensors "$1/last.safetensors" || fail "$1 has other bits"
    [ "$(counts "$1")" = "$2" ] || fail "$1: found $(counts "$1"), expected $2"
}
expect 0 "${distill[@]}" run.dir=plain
expect 0 launch 2 "${distill[@]}" run.dir=two teacher.store=store
check two $'0 200 0\n200 0 0'
[ "$(grep -c '^teacher.store: store/.*\.logits has 0 of 200 answers' stderr)" -eq 1 ] || fail "two: $(cat stderr)"
expect 0 "${distill[@]}" run.dir=one teacher.store=store
check one $'200 0 0\n200 0 0'
# It resumes on two ranks behind one process, in the middle of an epoch.
expect 0 "${distill[@]}" run.dir=cut teacher.store=store train.max_steps=3
expect 0 launch 2 "${distill[@]}" run.dir=cut teacher.store=store --resume
cmp plain/last.safetensors cut/last.safetensors || fail "cut has other bits"
# Rank 1 finds a file in place of the folder's file: all of its answers are computed.
for file in store/*.logits; do
    mkdir -p broken && echo "no store" >"broken/${file##*/}"
done
# It reads its own copy of the data and cannot write to the directory of the run, which it need not.
cp -r data copy
expect 0 launch 1 "${distill[@]}" run.dir=half teacher.store=store : \
    -n 1 "${distill[@]}" run.dir=/dev/null/half data.set=mnist:copy teacher.store=broken
check half $'100 0 0\n100 0 0'
# A folder that cannot be created ends both, with the name of the rank.
expect 1 launch 1 "${distill[@]}" run.dir=none teacher.store=store : -n 1 "${distill[@]}" run.dir=none teacher.store=/dev/null/store
[ "$(grep -c "^ctkd: rank 1 on $(hostname): .*/dev/null/store" stderr)" -eq 1 ] || fail "no folder: $(cat stderr)"
