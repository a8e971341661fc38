#!/usr/bin/env bash
# From data to a student: train a teacher, distil with every temperature and KD and DKD, evaluate; the same seed gives
# the same bytes and another seed does not.
set -euo pipefail
. "$2/tests/support/work_folder.bash"
. "$source/tests/support/tiny_data.bash"

tiny_data data 16 200 100
cat >common.yaml <<CONFIG
data: {set: "mnist:data", augment: none}
student: {network: resnet8}
train: {epochs: 2, batch: 20, threads: 2}
optimizer: {lr: 0.02}
schedule: {kind: constant}
CONFIG

field() { # FILE KEY: the value of a number or a text in a JSON object
    sed -n "s/.*\"$2\": \"\{0,1\}\([^\",}]*\).*/\1/p" "$1" | tail -n 1
}
holds_run() { # DIR
    for file in config.yaml log.jsonl summary.json last.safetensors best.safetensors; do
        [ -s "$1/$file" ] || fail "$1/$file is missing"
    done
    [ "$(grep -c '"kind": "epoch"' "$1/log.jsonl")" = 2 ] || fail "$1/log.jsonl: expected 2 epochs"
    [ "$(field "$1/summary.json" status)" = done ] || fail "$1/summary.json: status"
}

expect 0 "$ctkd" train common.yaml train.epochs=8 run.dir=teacher
[ "$(grep -c '^epoch ' stderr)" = 8 ] || fail "expected one line for each epoch"
[ ! -s stdout ] || fail "progress belongs on stderr"
top1=$(field teacher/summary.json top1)
awk "BEGIN { exit !($top1 > 60) }" || fail "teacher's top-1 is $top1, expected above 60"

expect 0 "$ctkd" eval teacher --json
[ "$(wc -l <stdout)" = 1 ] || fail "expected one object"
[ "$(field stdout top1)" = "$top1" ] || fail "eval found $(field stdout top1), the run $top1"
[ "$(field stdout n)" = 100 ] || fail "eval: n"
mkdir alone && cp teacher/best.safetensors alone/
expect 0 "$ctkd" eval alone/best.safetensors data.set=mnist:data
[ "$(field teacher/summary.json best_top1)" = "$(sed 's/.*top-1 \([0-9]*\).*/\1/' stdout)" ] ||
    fail "best.safetensors: $(cat stdout)"

for kind in fixed global instance; do
    for method in kd dkd; do
        weights="-r 0.1 -a 0.9 -b 0"
        [ $method = kd ] || weights="-r 1 -a 0 -b 1"
        run=$method-$kind
        # shellcheck disable=SC2086
        expect 0 "$ctkd" distill common.yaml --path_t teacher --distill $method $weights \
            temperature.kind=$kind run.dir=$run
        grep -q "^teacher resnet8 (teacher/last.safetensors): test top-1 " stderr || fail "no line of the teacher"
        holds_run $run
        [ "$(field $run/summary.json method)" = $method ] || fail "$run: method"
        [ "$(field $run/summary.json temperature)" = $kind ] || fail "$run: temperature"
        [ "$(field $run/summary.json teacher_top1)" = "$top1" ] || fail "$run: teacher_top1"
        tau=$(field $run/log.jsonl tau)
        if [ $kind = fixed ]; then
            [ "$tau" = 4 ] || fail "$run: tau is $tau, expected 4"
        else
            awk "BEGIN { exit !($tau > 1 && $tau < 21 && $tau != 4) }" || fail "$run: tau is $tau"
        fi
        # The resolved configuration alone repeats the run, byte for byte.
        expect 0 "$ctkd" distill $run/config.yaml run.dir=again --force
        cmp $run/last.safetensors again/last.safetensors || fail "$run: another result from the same seed"
    done
done
expect 0 "$ctkd" distill kd-global/config.yaml run.dir=seeded --trial 1
! cmp -s kd-global/last.safetensors seeded/last.safetensors || fail "seeds 0 and 1 give the same result"

# Batches that are no multiple of the images, one thread, and padded images of three channels.
expect 0 "$ctkd" train common.yaml train.batch=33 train.threads=1 data.pad_to=20 data.channels=3 run.dir=odd
holds_run odd
expect 0 "$ctkd" eval odd --json
[ "$(field stdout top1)" = "$(field odd/summary.json top1)" ] || fail "odd: eval and run differ"

# Every key of a log is in the table of doc/config.md, and every key of the table is in some log.
expect 0 "$ctkd" distill common.yaml --path_t teacher method.name=ab,dkd method.initial_epochs=1 train.log_every=5 \
    temperature.kind=instance data.dev=0.1 run.dir=keys
sed -n '/^## What log.jsonl holds/,$p' "$source/doc/config.md" | sed -n 's/^| \(`[^|]*\) |.*/\1/p' | grep -o '[a-zA-Z0-9_]*' |
    sort -u >documented
cat keys/log.jsonl | grep -o '"[a-z0-9_]*": ' | tr -d '": ' | sed 's/^loss_\(ab\|dkd\)$/loss_NAME/' | sort -u >logged
diff documented logged || fail "doc/config.md lists other keys of log.jsonl (<) than a log has (>)"
! grep '"kind": "epoch"' keys/log.jsonl | grep -qv '"teacher_hits": null,' || fail "hits in a store that is not there"

# Of more threads than images in a batch those without an image are not started, and the bits are the same.
for threads in 20 1024; do
    expect 0 "$ctkd" train common.yaml train.threads=$threads train.epochs=1 run.dir=threads$threads
    grep -q ' kernels, 20 threads, ' stderr || fail "20 threads: $(cat stderr)"
done
cmp threads20/last.safetensors threads1024/last.safetensors || fail "idle threads change the weights"
