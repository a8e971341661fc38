#!/usr/bin/env bash
# A signal that leaves no time saves the last completed step while the next one, or an evaluation, is under way; the run
# then resumes to the bits of one that nothing happened to, with the same log. A method with a memory finishes its step,
# and so does every run after SIGUSR1.
set -euo pipefail
. "$2/tests/support/work_folder.bash"
. "$source/tests/support/tiny_data.bash"
tiny_data data 16 120 200
expect 0 "$ctkd" train data.set=mnist:data student.network=resnet8 data.pad_to=32 train.epochs=1 train.batch=40 run.dir=teacher
common="data.set=mnist:data data.pad_to=32 train.threads=1 train.batch=40 train.epochs=2 train.log_every=1"
# A step must take longer than a signal.
common+=" student.network=$([ "$sanitized" ] && echo resnet8 || echo resnet8x4) teacher.path=teacher teacher.tolerance=100"
instance="$ctkd distill $common temperature.kind=instance"
memory="$ctkd distill $common method.name=crd"
expect 0 $instance run.dir=instance
expect 0 $memory run.dir=memory

# interrupt DIR SIGNAL STEP COMMAND...: the signal comes behind that step of the run; its message is left in stderr.
interrupt() {
    local dir=$1 signal=$2 step=$3
    shift 3
    rm -rf "$dir"
    "$@" run.dir="$dir" >stdout 2>stderr </dev/null &
    trainer=$!
    until grep -qs "\"step\": $step," "$dir/log.jsonl"; do
        kill -0 $trainer || fail "the run ended before step $step"
        sleep 0.01
    done
    kill "-$signal" $trainer
    status=0
    wait $trainer || status=$?
}
untimed() { # without what depends on the clock
    sed -E 's/, "(seconds|images_per_second|data_ms|wait_ms)": ([0-9.e+-]+|null)//g' "$1/log.jsonl"
}
resumes() { # DIR WHOLE COMMAND...: to the bits and the log of WHOLE
    local dir=$1 whole=$2
    shift 2
    expect 0 "$@" run.dir="$dir" --resume
    cmp "$dir/last.safetensors" "$whole/last.safetensors" || fail "$dir: other weights than $whole"
    cmp <(untimed "$dir") <(untimed "$whole") || diff <(untimed "$dir" | tr , "\n") <(untimed "$whole" | tr , "\n") >&2 || fail "$dir: another log than $whole"
}

# saved STEP DIR SIGNAL BEHIND COMMAND...: tried until the signal is not too late, which a busy machine may make it
saved() {
    local message="^ctkd: interrupted at epoch 2, step $1; resume with: ctkd distill run/config.yaml --resume$" try
    shift
    for try in 1 2 3 4 5 6; do
        interrupt "$@"
        ! grep -q "$message" stderr || break
    done
    grep -q "$message" stderr || fail "SIG$2 behind step $3: $try times another message than $message"
    grep -q '"status": "interrupted"' run/summary.json || fail "SIG$2: summary.json"
}

# Steps 1 and 2 of epoch 2, and the evaluation behind its last one
for case in "TERM 143 4 1" "HUP 129 5 2" "TERM 143 6 3"; do
    read -r signal code step at <<<"$case"
    saved "$at" run $signal "$step" $instance
    [ $status = "$code" ] || fail "SIG$signal: status $status, expected $code"
    resumes run instance $instance
done
for case in "USR1 75 instance" "TERM 143 memory"; do
    read -r signal code whole <<<"$case"
    saved 2 run $signal 4 ${!whole}
    [ $status = "$code" ] || fail "SIG$signal, $whole: status $status, expected $code"
    resumes run "$whole" ${!whole}
done
