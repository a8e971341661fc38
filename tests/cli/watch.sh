#!/usr/bin/env bash
# `ctkd watch`: plain lines without a terminal, a picture on one, and an end when the runs have ended.
set -euo pipefail
. "$2/tests/support/work_folder.bash"
. "$source/tests/support/tiny_data.bash"
tiny_data data 16 48 20
small="data.set=mnist:data student.network=resnet8 train.threads=1 train.batch=16 schedule.kind=constant"
mkdir runs
# shellcheck disable=SC2086
expect 0 "$ctkd" train $small train.epochs=3 run.dir=runs/a
# shellcheck disable=SC2086
expect 0 "$ctkd" train $small train.epochs=2 run.dir=runs/arm/seed-1

expect 0 timeout 20 "$ctkd" watch runs
[ "$(wc -l <stdout)" = 2 ] && grep -q '^runs/a  epoch 3/3  loss [0-9.]*  train [0-9.]* %  test [0-9.]* %$' stdout &&
    grep -q '^runs/arm/seed-1  epoch 2/2 ' stdout || fail "plain lines: $(cat stdout)"

# A run that is not over is followed until it is.
mv runs/a/summary.json summary.json
exec 9<>runs/a/run.lock # as its process holds it
flock 9
tail -n 1 runs/a/log.jsonl >last
sed -i '$d' runs/a/log.jsonl
: >lines
"$ctkd" watch runs/a >lines 9>&- &
watcher=$!
for ((i = 0; i < 100 && $(wc -l <lines) < 1; i++)); do sleep 0.1; done
cat last >>runs/a/log.jsonl
mv summary.json runs/a/summary.json
wait "$watcher" || fail "watch ends with $?"
[ "$(grep -c '^runs/a  epoch [23]/3' lines)" = 2 ] || fail "lines of a run under way: $(cat lines)"

# One whose process was killed is over, unless it may live on another machine; a damaged log is told.
exec 9>&-
cp -r runs/a killed
rm killed/summary.json
expect 0 timeout 20 "$ctkd" watch killed
grep -q '^killed  was stopped before its end; --resume continues it$' stdout || fail "a killed run: $(cat stdout)"
sed 's/"status": "done"/"status": "interrupted"/' runs/a/summary.json >killed/summary.json
expect 0 timeout 20 "$ctkd" watch killed
grep -q '^killed  was stopped before its end; --resume continues it$' stdout || fail "an interrupted run: $(cat stdout)"
rm killed/summary.json
echo "process 1 on another-machine" >killed/run.lock
expect 124 timeout 2 "$ctkd" watch killed
echo garbage >runs/arm/seed-1/log.jsonl
expect 0 timeout 20 "$ctkd" watch runs/arm
grep -q '^runs/arm/seed-1/log.jsonl:1: ' stdout || fail "a damaged log: $(cat stdout)"

# On a terminal.
if command -v script >program; then
    TERM=xterm LC_ALL=C.UTF-8 COLUMNS=80 LINES=24 script -qec "'$ctkd' watch runs" /dev/null </dev/null >screen ||
        fail "watch on a terminal ends with $?"
    grep -q 'test top-1' screen && grep -q 'q stops watching' screen || fail "the picture: $(cat screen)"
    # Where there is no room for all, the one that trains is shown; q ends the picture.
    exec 9<>runs/arm/seed-1/run.lock
    flock 9
    rm runs/arm/seed-1/summary.json
    (sleep 1 && printf q) | TERM=xterm LC_ALL=C.UTF-8 COLUMNS=80 LINES=2 timeout 60 script -qec "'$ctkd' watch runs 9>&-" /dev/null >screen ||
        fail "watch on a small terminal ends with $?"
    grep -q 'q stops watching; the runs continue; not shown: 1' screen && grep -q 'runs/arm/seed-1  no finished epoch yet' screen &&
        ! grep -q 'top-1' screen || fail "a small terminal: $(cat screen)"
    exec 9>&-
fi

# A sweep is watched to its end: also while none of its runs is under way, and before the first has begun.
cat >base.yaml <<YAML
data: { set: "mnist:$folder/data" }
student: { network: resnet8 }
train: { threads: 1, batch: 16, epochs: 1 }
YAML
mkdir -p swept/arm
exec 8>swept/sweep.lock # as a sweep holds it
flock -s 8
: >lines
"$ctkd" watch swept >lines 8>&- &
watcher=$!
"$ctkd" watch swept/arm >lines.arm 8>&- &
of_arm=$!
for seed in 1 2; do
    expect 0 "$ctkd" train base.yaml train.seed=$seed run.dir=swept/arm/seed-$seed
    for ((i = 0; i < 100 && $(wc -l <lines) < seed; i++)); do sleep 0.1; done
    sleep 0.7 # longer than watch waits between two looks
    kill -0 "$watcher" && kill -0 "$of_arm" || fail "watch ended before the sweep"
done
expect 0 timeout 20 "$ctkd" watch swept/arm/seed-1 # a run by itself ends by itself
exec 8>&-
wait "$watcher" && wait "$of_arm" || fail "watch of a sweep ends with $?"
[ "$(grep -c ' epoch 1/1 ' lines)" = 2 ] && cmp <(sort lines) <(sort lines.arm) || fail "a sweep: $(cat lines)"
"$ctkd" sweep base.yaml --arm arm --seeds 1..3 --dir going >/dev/null 2>&1 </dev/null &
sweep=$!
for ((i = 0; i < 600; i++)); do
    [ ! -e going/arm/seed-1/config.yaml ] || break
    sleep 0.05
done
expect 0 timeout 120 "$ctkd" watch going
wait "$sweep" || fail "the sweep ended with $?"
[ "$(grep -c '^going/arm/seed-[123]  epoch 1/1 ' stdout)" = 3 ] || fail "a real sweep: $(cat stdout)"

mkdir empty
expect_error 1 "ctkd: empty: found no run (no config.yaml), expected a run directory, a folder of them or that of a sweep" "$ctkd" watch empty
