#!/usr/bin/env bash
# A run as a process: the signals that end it in order, readers that have gone, closed descriptors, and its CPUs.
set -euo pipefail
. "$2/tests/support/work_folder.bash"
. "$source/tests/support/tiny_data.bash"
tiny_data data 16 100 20
small="data.set=mnist:data student.network=resnet8 train.threads=1 train.batch=16 schedule.kind=constant"
long="$ctkd train $small train.epochs=100000"

# start DIR COMMAND...: in the background; returns when the run has saved something.
start() {
    local dir=$1
    shift
    rm -rf "$dir"
    "$@" run.dir="$dir" >stdout 2>stderr </dev/null &
    trainer=$!
    for _ in $(seq 400); do
        [ -s "$dir/last.safetensors" ] && return
        sleep 0.05
    done
    fail "$*: nothing was saved"
}
# ended STATUS WHAT: the run saves, ends with this status, and resumes.
ended() {
    local status=0
    wait $trainer || status=$?
    [ $status = "$1" ] || fail "$2: status $status, expected $1"
    grep -q '"status": "interrupted"' run/summary.json || fail "$2: summary.json"
    grep -q '^ctkd: interrupted at epoch .* --resume$' stderr || fail "$2: message"
    expect 75 $long run.dir=run train.max_minutes=0.02 --resume
    grep -q '^resumed: ' stderr || fail "$2: does not go on"
}
# A shell script starts its children in the background with SIGINT ignored.
for case in "INT 130" "TERM 143" "HUP 129" "USR1 75" "USR2 75" "XCPU 75"; do
    read -r signal status <<<"$case"
    start run env --default-signal=INT $long
    kill -$signal $trainer
    ended $status "SIG$signal"
done
# A terminal that is closed may say so twice, a batch system warns before it terminates, and Slurm terminates twice.
for signals in "HUP HUP HUP" "USR1 USR1 TERM" "XCPU XCPU" "TERM TERM TERM"; do
    start run $long
    for signal in $signals; do kill -$signal $trainer 2>/dev/null || true; done
    status=0
    wait $trainer || status=$?
    case $status in 75 | 129 | 143) ;; *) fail "$signals: status $status" ;; esac
    grep -q '"status": "interrupted"' run/summary.json || fail "$signals: not saved"
done
# What is ignored at the start stays ignored: nohup, and a script's child with SIGINT.
start run nohup $long
kill -HUP $trainer
kill -INT $trainer
sleep 0.5
kill -0 $trainer || fail "nohup: the run ended"
kill -TERM $trainer
ended 143 "nohup"

# A run of one thread does not tie itself to the first CPU, where all such runs would meet.
start run $long
allowed=$(grep Cpus_allowed_list: /proc/self/status)
for task in /proc/$trainer/task/*; do
    [ "$(grep Cpus_allowed_list: "$task/status")" = "$allowed" ] || fail "pinned: $(grep Cpus_allowed_list: "$task/status")"
done
kill -TERM $trainer
ended 143 "the run whose CPUs were looked at"

# The reader of its messages exits: the run continues, and everything is in the log.
finite="$ctkd train $small train.epochs=6"
expect 0 $finite run.dir=read
{ $finite run.dir=unread 2>&1 && echo done >verdict; } | head -n 1 >first
for _ in $(seq 200); do [ -e verdict ] && break; sleep 0.05; done
[ -e verdict ] || fail "the run did not outlive the reader of its messages"
expect 0 sh -c "$finite run.dir=closed 2>&-"
expect 0 sh -c "$finite run.dir=all_closed <&- 2>&-"
for run in unread closed all_closed; do
    cmp read/last.safetensors $run/last.safetensors || fail "$run: other weights"
    [ "$(grep -c '"kind": "epoch"' $run/log.jsonl)" = 6 ] || fail "$run: log.jsonl"
    ! grep -aqv '^{.*}$' $run/log.jsonl || fail "$run: a message in log.jsonl"
done

# Other commands end without a word, with SIGPIPE's status, also where SIGPIPE is ignored.
for command in "eval read" "eval read --json" "models" "methods" "train --help" "inspect read" "doctor $small --json" \
    "check read mnist:data --json"; do
    for ignored in "" "trap '' PIPE;"; do
        status=0
        bash -c "$ignored exec $ctkd $command" 2>stderr >/dev/full || status=$?
        [ $status = 1 ] || fail "$command on a full disk: status $status"
        : | { bash -c "$ignored sleep 0.1; $ctkd $command; echo \$? >status" 2>stderr | :; } || true
        [ "$(cat status)" = 141 ] || fail "$ignored $command: status $(cat status) without a reader"
        [ ! -s stderr ] || fail "$ignored $command: message without a reader"
    done
done
expect 1 sh -c "$ctkd models >&-"
mkdir test
{ sleep 0.2 && "$ctkd" selftest test writing; } | : || true # 141, as above
[ -z "$(ls -A test)" ] || fail "selftest left its folder"
