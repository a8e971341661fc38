#!/usr/bin/env bash
# A ResNet-18 on JPEGs, stopped at random instants by signals that are caught and by SIGKILL, and resumed: the same bits.
# usage: photo_resume.sh BUILD SOURCE
set -euo pipefail
. "$2/tests/support/work_folder.bash"
. "$source/tests/support/tiny_data.bash"
for part in train val; do
    for class in even odd; do
        mkdir -p "photos/$part/$class"
        i=0
        for file in "$source"/tests/golden/pictures/jpeg_*.jpg; do
            i=$((i + 1))
            [ $((i % 2)) = "$([ $class = even ] && echo 0 || echo 1)" ] || continue
            cp "$file" "photos/$part/$class/"
        done
    done
done
run=("$ctkd" train data.set=imagefolder:photos data.size=32 student.network=resnet18 data.view=resized_crop data.rotation=20 train.batch=5
    train.threads=2 train.epochs=4 train.checkpoint_every=3 optimizer.lr=0.01 --resume=auto)
started=$EPOCHREALTIME
expect 0 "${run[@]}" run.dir=reference
took=$((${EPOCHREALTIME/[.,]/} - ${started/[.,]/})) # us
stopped=0
RANDOM=1
for attempt in $(seq 60); do
    signals=(KILL TERM INT)
    "${run[@]}" run.dir=stopped >/dev/null 2>&1 </dev/null &
    trainer=$!
    instant=$((RANDOM * took / 32768))
    sleep "$(printf '%d.%06d' $((instant / 1000000)) $((instant % 1000000)))"
    kill -"${signals[attempt % 3]}" $trainer 2>/dev/null || true
    status=0
    wait $trainer || status=$?
    [ $status != 0 ] || break
    stopped=$((stopped + 1))
    [ $stopped -lt 6 ] || { expect 0 "${run[@]}" run.dir=stopped && break; }
done
[ $stopped -ge 1 ] || fail "the run was never stopped"
cmp reference/last.safetensors stopped/last.safetensors || fail "stopped $stopped times: other weights"
epochs() { # lines of epochs without what depends on time
    sed -E 's/"(seconds|images_per_second|data_ms|wait_ms)": [^,}]*,? ?//g' "$1/log.jsonl"
}
diff <(epochs reference) <(epochs stopped) || fail "stopped $stopped times: another log"
