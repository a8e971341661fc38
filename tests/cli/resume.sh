#!/usr/bin/env bash
# A run that was stopped, by a limit, a signal or a kill at any instant, resumes to the same bits as the run that
# nobody stopped. CTKD_KILLS=200 kills that often (default 8).
set -euo pipefail
. "$2/tests/support/work_folder.bash"
. "$source/tests/support/tiny_data.bash"
tiny_data data 16 100 20
small="data.set=mnist:data student.network=resnet8 train.threads=2 train.batch=16 train.log_every=1"

# Everything of a run that does not depend on the clock.
same() {
    local file run
    for file in last.safetensors best.safetensors; do
        cmp "$1/$file" "$2/$file" || fail "$2/$file differs from that of the run without a stop ($3)"
    done
    for run in "$1" "$2"; do
        sed -E 's/, "(seconds|images_per_second|data_ms|wait_ms)": [^,}]*//g' "$run/log.jsonl" >"$run.log"
    done
    cmp "$1.log" "$2.log" || fail "$2/log.jsonl differs from that of the run without a stop ($3)"
    [ ! -e "$2/new.ckpt" ] || fail "$2: new.ckpt was left ($3)"
}

expect 0 "$ctkd" train $small train.epochs=2 run.dir=teacher schedule.kind=constant

# In the middle of an epoch (7 steps each), at its end, and one step before; every kind of state. Each method has one
# of the three, and in turn another; with sanitizers so have the temperatures.
cases=0
stops=(3 7 13)
check_stops() { # $1: settings; the rest: after how many steps
    local settings=$1 steps distil
    shift
    distil="$ctkd distill $small teacher.path=teacher teacher.tolerance=100 train.epochs=3 $settings"
    expect 0 $distil run.dir=whole run.force=true
    for steps; do
        expect 0 $distil run.dir=cut run.force=true train.max_steps=$steps
        expect 0 $distil run.dir=cut --resume
        grep -q '^resumed: epoch' stderr || fail "does not say where it resumes"
        same whole cut "$settings, stopped after $steps steps"
        cases=$((cases + 1))
    done
}
for settings in "temperature.kind=fixed data.rotation=20" "temperature.kind=global" "temperature.kind=instance" \
    "temperature.kind=fixed train.eval_every=2" \
    "temperature.kind=instance temperature.through=true optimizer.nesterov=true" \
    "temperature.kind=global schedule.kind=cosine schedule.warmup_epochs=1 optimizer.momentum=0"; do
    some=("${stops[@]}")
    [ -z "$sanitized" ] || some=("${stops[cases % 3]}")
    check_stops "$settings" "${some[@]}"
done
methods=0
for method in $("$ctkd" methods | sed -nE 's/^([a-z0-9_]+): .*/\1/p'); do
    settings="method.name=$method method.warmup_epochs=2 method.initial_epochs=1 optimizer.lr=0.01 optimizer.clip_norm=1"
    check_stops "$settings" "${stops[$((methods++ % 3))]}"
done
[ $methods -ge 20 ] || fail "only $methods methods: their list was not read"

# Resumed with the same limit, there is nothing left to do: log, summary and evaluation say what they said.
facts() { # RUN: what the files of its end say, without times
    sed -E 's/, "(seconds|images_per_second|memory_bytes|data_ms|wait_ms)": [^,}]*//g' "$1/log.jsonl" "$1/summary.json" "$1/evaluation.json"
}
for steps in 10 14; do # within the second epoch, and at its end
    expect 0 "$ctkd" train $small train.epochs=3 schedule.kind=constant run.dir=limited run.force=true train.max_steps=$steps
    facts limited >before
    expect 0 "$ctkd" train $small train.epochs=3 schedule.kind=constant run.dir=limited train.max_steps=$steps --resume
    facts limited >after
    cmp before after || fail "a run of $steps steps says something else when resumed: $(diff before after)"
done

# Another number of epochs is the one change of the plan that is allowed.
run="$ctkd train $small schedule.milestones=3"
expect 0 $run run.dir=whole run.force=true train.epochs=4
expect 0 $run run.dir=longer train.epochs=2
expect 0 $run run.dir=longer train.epochs=4 --resume
same whole longer "two epochs, then two more"
expect 0 $run run.dir=longer train.epochs=4 --resume # of a run that is done: nothing is left to do
same whole longer "resumed when done"

# A copy of a run is a run of its own, and a moved one resumes: also one that measured its convolutions when it began,
# and one that takes its teacher and its data from inside its directory.
for settings in "train.tune=true" "teacher.path=a/teacher data.set=mnist:a/data"; do
    command=train
    rm -rf a b c
    case $settings in *teacher*)
        command=distill
        mkdir a && cp -r teacher data a
        ;;
    esac
    plan="$ctkd $command $small train.epochs=2 $settings"
    [ $command = distill ] && plan="$plan teacher.tolerance=100"
    expect 0 $plan run.dir=a train.max_steps=4
    rm -rf b && cp -r a b
    kept=$(cd a && cat last.ckpt log.jsonl config.yaml | sha256sum)
    expect 0 "$ctkd" $command b/config.yaml --resume train.max_steps=10
    [ "$kept" = "$(cd a && cat last.ckpt log.jsonl config.yaml | sha256sum)" ] || fail "$settings: the copied run changed"
    mv b c && mv a b
    expect 0 "$ctkd" eval c
    "$ctkd" doctor c/config.yaml >stdout 2>stderr || true # it also has its opinion of the data
    grep -Eq '^ok +disk +c: ' stdout || fail "$settings: doctor looks elsewhere"
    expect 0 "$ctkd" $command c/config.yaml --resume=auto train.max_steps=0
    grep -q 'run directory c$' stderr || fail "$settings: a moved run went on elsewhere"
    expect 0 "$ctkd" $command b --resume train.max_steps=0 # the directory stands for its config.yaml
    same b c "$settings, copied and moved"
    expect 1 "$ctkd" $command c/config.yaml
    grep -q '^ctkd: run.dir: c holds a run' stderr || fail "$settings: a moved run is not protected"
    expect 0 "$ctkd" $command c/config.yaml run.dir=a train.max_steps=1 # a setting beside it still decides
    [ -e a/last.ckpt ] || fail "$settings: run.dir beside config.yaml is ignored"
done

# A run that goes on has not ended: what it left at its end is not that of its weights any more.
cp -r longer again
$run run.dir=again train.epochs=400 --resume >out 2>&1 </dev/null &
for ((i = 0; i < 200; i++)); do [ -e again/summary.json ] || break; sleep 0.05; done
kill -KILL $!
wait $! 2>/dev/null || true
[ ! -e again/summary.json ] && [ ! -e again/evaluation.json ] || fail "the old summary of a run that goes on"

# More epochs: fractions of the run that nothing reads become other epochs. 0.0417 of 40 epochs is 2, of 2 it is 1.
fixed="$ctkd distill $small teacher.path=teacher teacher.tolerance=100 schedule.kind=constant temperature.kind=fixed"
expect 0 $fixed run.dir=fixed train.epochs=2
expect 0 $fixed run.dir=fixed train.epochs=40 train.max_steps=15 --resume
expect 0 "$ctkd" train $small train.epochs=2 schedule.kind=constant run.dir=constant
expect 0 "$ctkd" train $small train.epochs=3 schedule.kind=constant run.dir=constant --resume
expect_error 1 "ctkd: constant/last.ckpt: schedule.kind: the run has 'step', expected 'constant' to resume it" \
    "$ctkd" train $small train.epochs=4 schedule.kind=step run.dir=constant --resume

# Refusals name the difference; nothing is touched.
kept="longer/config.yaml longer/log.jsonl longer/summary.json longer/last.ckpt longer/last.safetensors"
sum=$(cat $kept | sha256sum)
expect_error 1 "ctkd: longer/last.ckpt: optimizer.lr: the run has '0.1', expected '0.05' to resume it" \
    $run run.dir=longer train.epochs=5 optimizer.lr=0.1 --resume
expect_error 1 "ctkd: longer/last.ckpt: threads: the run has '1', expected '2' to resume it (train.threads=2)" \
    $run run.dir=longer train.epochs=5 train.threads=1 --resume
expect_error 1 "ctkd: run.dir: nowhere holds no run to resume (--resume=auto starts one)" \
    $run run.dir=nowhere --resume
[ "$sum" = "$(cat $kept | sha256sum)" ] || fail "a refusal changed the run"
expect 0 $run run.dir=auto train.epochs=2 --resume=auto
expect 0 $run run.dir=auto train.epochs=4 --resume=auto
same whole auto "--resume=auto from nothing"

# Damage: the checkpoint before it is used and a message says so; without one the run is refused.
cp -r longer damaged
printf x | dd of=damaged/last.ckpt bs=1 seek=20000 conv=notrunc 2>/dev/null
expect 0 $run run.dir=damaged train.epochs=4 --resume
grep -q '^damaged: damaged/last.ckpt: .*; resuming from damaged/previous.ckpt$' stderr || fail "damage is not reported"
same whole damaged "from previous.ckpt"
head -c 1000 longer/last.ckpt >damaged/last.ckpt
rm damaged/previous.ckpt
expect 1 $run run.dir=damaged train.epochs=4 --resume
[ "$(wc -l <stderr)" = 1 ] || fail "damage: one line"

# A log that has lost lines is no reason to lose the run, but one line says so.
cp -r longer lost
sed -i '$d' lost/log.jsonl
expect 0 $run run.dir=lost train.epochs=4 --resume
grep -Eq '^lost: lost/log.jsonl: found [0-9]+ bytes, expected the [0-9]+ of the checkpoint: lines are lost, ' stderr ||
    fail "lost lines are not reported: $(cat stderr)"

# Time: stops before the limit, saved, status 75.
long="$ctkd train $small schedule.kind=constant train.epochs=100000"
expect 75 $long run.dir=timed train.max_minutes=0.05
grep -q 'train.max_minutes reached at epoch .*; resume with: ctkd train timed/config.yaml --resume$' stderr ||
    fail "max_minutes: message"
expect 75 "$ctkd" train timed/config.yaml --resume # as the message says

# Signals; and a second process on the directory is refused while the first works.
for signal in INT TERM; do
    rm -rf signal
    # A shell script starts its children in the background with SIGINT ignored.
    env --default-signal=INT $long run.dir=signal >stdout 2>stderr &
    trainer=$!
    for _ in $(seq 200); do
        [ -s signal/last.safetensors ] && break
        sleep 0.05
    done
    expect 1 $long run.dir=signal run.force=true
    grep -Eq "^ctkd: run.dir: signal is in use by process $trainer on .*; only one process may write it" stderr ||
        fail "two processes on one directory"
    kill -$signal $trainer
    status=0
    wait $trainer || status=$?
    [ $status = $((128 + $(kill -l $signal))) ] || fail "SIG$signal: status $status"
    grep -q '"status": "interrupted"' signal/summary.json || fail "SIG$signal: summary.json"
done

# SIGINT after another signal leaves at once (Ctrl-C twice), and the directory is intact: tried until one of them came before the orderly end.
sudden=0
for try in $(seq 30); do
    [ $sudden = 0 ] || break
    rm -rf second
    env --default-signal=INT $long run.dir=second >stdout 2>stderr &
    trainer=$!
    for _ in $(seq 200); do
        [ -s second/last.safetensors ] && break
        sleep 0.05
    done
    kill -$([ $((try % 2)) = 0 ] && echo TERM || echo INT) $trainer
    sleep 0.00$((try % 5))
    kill -INT $trainer 2>/dev/null || true
    status=0
    wait $trainer 2>/dev/null || status=$?
    [ $status = 130 ] || [ $status = 143 ] || fail "second signal: status $status"
    grep -q '^ctkd: interrupted' stderr || sudden=1
    expect 75 $long run.dir=second train.max_minutes=0.02 --resume
done
[ $sudden = 1 ] || fail "a second signal never came before the end of the first"

# What a power cut may leave of a save: each state between two renames, cut files, a log that is longer or torn.
run="$ctkd train $small schedule.milestones=3 train.epochs=4 train.checkpoint_every=2"
expect 0 $run run.dir=whole run.force=true
expect 0 $run run.dir=base train.max_steps=17
for damage in "rm last.ckpt" "mv last.ckpt new.ckpt" "cp last.ckpt new.ckpt" "truncate -s 900 last.ckpt" \
    "truncate -s 0 last.ckpt" "rm previous.ckpt" "rm summary.json last.safetensors" "rm config.yaml" \
    "printf {\\042half >>log.jsonl" "cp log.jsonl x; cat x >>log.jsonl; rm x"; do
    rm -rf cut
    cp -r base cut
    (cd cut && eval "$damage")
    expect 0 $run run.dir=cut --resume=auto
    rm -f cut/new.ckpt # one that was whole and never renamed
    same whole cut "$damage"
done

# SIGKILL at random instants until the run is done.
run="$ctkd train $small schedule.milestones=3 train.epochs=12 train.checkpoint_every=2 --resume=auto"
expect 0 $run run.dir=whole run.force=true
kills=0
while [ $kills -lt "${CTKD_KILLS:-8}" ]; do
    rm -rf killed
    while :; do
        status=0
        { timeout -s KILL 0.$((RANDOM % 30 + 10)) $run run.dir=killed >stdout 2>stderr || status=$?; } 2>/dev/null
        [ $status = 0 ] && break
        [ $status = 137 ] || fail "killed: status $status"
        kills=$((kills + 1))
        [ $kills -lt $((2 * ${CTKD_KILLS:-8} + 20)) ] || { expect 0 $run run.dir=killed && break; }
    done
    rm -f killed/new.ckpt killed/*.[0-9]*.[0-9][0-9] # what a kill leaves of a file under way
    same whole killed "$kills kills"
done
echo "$cases stops by a limit, $kills kills: all runs end with the same bits"
