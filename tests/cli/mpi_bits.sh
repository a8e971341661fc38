#!/usr/bin/env bash
# usage: mpi_bits.sh BUILD SOURCE
# With train.slices=4 one process of one thread, one of two, two ranks of one and of two threads and four ranks write the
# same weights and the same log. 120 images in batches of 44: the last one is uneven.
# By default two methods and three placements; CTKD_RANKS=1 tries all.
set -euo pipefail
source "$(dirname "$0")/../support/work_folder.bash"
source "$source/tests/support/launcher.bash"
source "$source/tests/support/tiny_data.bash"
tiny_data data 16 120 50
expect 0 "$ctkd" train data.set=mnist:data student.network=resnet8 train.epochs=1 train.batch=40 run.dir=teacher
common="data.set=mnist:data student.network=resnet8 teacher.path=teacher teacher.tolerance=100 train.batch=44 train.epochs=2
    train.slices=4 train.log_every=1 optimizer.clip_norm=5 optimizer.lr=0.01"
cases=("kd:" "dkd:method.name=dkd temperature.kind=instance")
placements=("1 2" "2 1" "4 1")
if [ -n "${CTKD_RANKS:-}" ]; then
    cases+=("pkt:method.name=pkt" "crd:method.name=crd" "mlkd:method.name=mlkd" "ofd:method.name=ofd")
    placements+=("2 2")
fi
untimed() { sed -E 's/, "(seconds|images_per_second|data_ms|wait_ms)": ([0-9.e+-]+|null)//g' "$1/log.jsonl"; }
for case in "${cases[@]}"; do
    name=${case%%:*}
    run="$ctkd distill $common ${case#*:}"
    expect 0 $run train.threads=1 run.dir="$name"
    for placement in "${placements[@]}"; do
        read -r ranks threads <<<"$placement"
        dir=$name.$ranks.$threads
        expect 0 launch "$ranks" $run train.threads="$threads" run.dir="$dir"
        if [ "$ranks" -gt 1 ]; then
            [ "$(grep -c "^$ranks ranks by " stderr)" -eq 1 ] || fail "$dir: expected that it says its ranks once"
        fi
        cmp "$name/last.safetensors" "$dir/last.safetensors" || fail "$dir: other weights"
        cmp <(untimed "$name") <(untimed "$dir") || fail "$dir: another log"
    done
done
# A run on two ranks resumes on one and on four.
for ranks in 1 4; do
    rm -rf cut
    expect 0 launch 2 $ctkd distill $common train.threads=1 train.max_steps=2 run.dir=cut
    expect 0 launch "$ranks" $ctkd distill $common train.threads=1 run.dir=cut --resume
    cmp kd/last.safetensors cut/last.safetensors || fail "resumed on $ranks: other weights"
done
# Evaluation: the JSON of one process
expect 0 "$ctkd" train data.limit=600 data.test_limit=1000 student.network=resnet8 train.epochs=2 run.dir=fashion
expect 0 "$ctkd" eval fashion --json --details
grep -q '"n": 1000' stdout || fail "eval: expected 1000 images"
mv stdout one.json
expect 0 launch 3 "$ctkd" eval fashion --json --details
cmp one.json stdout || fail "eval: another object on 3 ranks"
