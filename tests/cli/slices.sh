#!/usr/bin/env bash
# With train.slices the number of threads changes no bit of a run, also where a run goes on with another number.
set -euo pipefail
. "$2/tests/support/work_folder.bash"
. "$source/tests/support/tiny_data.bash"
. "$source/tests/support/same_run.bash"
tiny_data data 16 100 20
small="data.set=mnist:data student.network=resnet8 train.batch=16 train.log_every=1"

# Everything of a run that depends neither on the clock nor on the threads.
same() {
    cmp "$1/last.safetensors" "$2/last.safetensors" || fail "$2/last.safetensors differs from that of $1 ($3)"
    cmp <(untimed "$1") <(untimed "$2") || fail "$2/log.jsonl differs from that of $1 ($3)"
}

expect 0 "$ctkd" train $small train.threads=2 train.epochs=2 run.dir=teacher schedule.kind=constant

# 100 images: the last batch has 4, so that four of eight slices have none.
cases=0
check_threads() { # $1: slices; $2: settings; the rest: threads
    local slices=$1 settings=$2 threads distil
    shift 2
    distil="$ctkd distill $small teacher.path=teacher teacher.tolerance=100 train.epochs=2 train.slices=$slices"
    distil+=" optimizer.lr=0.01 $settings"
    expect 0 $distil run.dir=one run.force=true train.threads=1
    for threads; do
        expect 0 $distil run.dir=more run.force=true train.threads=$threads
        same one more "$settings, $slices slices, $threads threads"
        cases=$((cases + 1))
    done
    expect 0 $distil run.dir=cut run.force=true train.threads=2 train.max_steps=10
    expect 0 $distil run.dir=cut train.threads=4 --resume
    same one cut "$settings, $slices slices, 2 threads and then 4"
}
check_threads 8 "method.name=dkd temperature.kind=instance optimizer.clip_norm=1" 2 4 8
check_threads 4 "temperature.kind=fixed" 2 4
check_threads 4 "method.name=mlkd" 2 # two views
check_threads 4 "method.name=ofd" 2  # the teacher's statistics are those of the batch
for method in pkt crd; do
    check_threads 4 "method.name=$method" 2
done
check_threads 4 "method.name=mlkd train.batch_norm_group=8" 4
CTKD_MAX_ISA=avx2 ONEDNN_MAX_CPU_ISA=AVX2 check_threads 8 "method.name=dkd" 2
[ $cases -ge 11 ] || fail "only $cases cases were compared"

# Without slices the threads are part of the run; with them they must divide.
expect 1 "$ctkd" train $small train.epochs=1 train.slices=4 train.threads=3 run.dir=odd
grep -q 'train.slices: found 4 slices for 3 threads, expected a multiple of them (or another train.threads)' stderr ||
    fail "the message does not name slices and threads: $(cat stderr)"
echo "$cases runs: the number of threads changes no bit"
