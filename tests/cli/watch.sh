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
fi

mkdir empty
expect_error 1 "ctkd: empty: found no run, expected a run directory or a folder of them" "$ctkd" watch empty
