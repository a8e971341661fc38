#!/usr/bin/env bash
# What command.sh leaves: help and lists from the tables, messages word for word, and the ends of a run that was
# stopped from outside (a limit of the file size, a closed output, a signal).
set -euo pipefail
. "$2/tests/support/work_folder.bash"
. "$source/tests/support/tiny_data.bash"
tiny_data data 16 40 20
small="data.set=mnist:data student.network=resnet8 train.threads=1 train.epochs=1 schedule.kind=constant"

# Help and lists come from the tables and go to stdout.
expect 0 "$ctkd" --help
commands=$(sed -n '/^Commands:$/,/^$/s/^  \([a-z-]*\) .*/\1/p' stdout)
[ "$(wc -w <<<"$commands")" -ge 12 ] || fail "commands: $commands"
for command in $commands; do
    expect 0 "$ctkd" $command --help
    grep -q "^usage: ctkd $command" stdout || fail "$command --help"
    wide=$(awk 'length > 80' stdout)
    [ -z "$wide" ] || fail "$command --help: lines of more than 80 characters: $wide"
done
expect 0 "$ctkd" --help
wide=$(awk 'length > 80' stdout)
[ -z "$wide" ] || fail "--help: lines of more than 80 characters: $wide"
for command in convert inspect; do # settings of their own, and the formats
    expect 0 "$ctkd" $command --help
    grep -q '^  weights (text; default "")$' stdout && grep -Eq '^  pth +\.pth \.pt \.th ' stdout || fail "$command --help"
done
expect 0 "$ctkd" train --help
for key in data.set temperature.tau_span method.dkd.beta --t_end; do
    grep -q -- "$key" stdout || fail "train --help lacks $key"
done
expect 0 "$ctkd" --version
grep -Eq '^ctkd [0-9]+\.[0-9]+\.[0-9]+$' stdout || fail "--version"
expect 0 "$ctkd" models && grep -q '^  resnet20 *278324 ' stdout || fail "models"
expect 0 "$ctkd" methods && grep -q '^dkd: ' stdout || fail "methods"
expect 0 "$ctkd" methods dkd && grep -q '^  method.dkd.beta=8 ' stdout || fail "methods dkd"
expect 0 "$ctkd" datasets && grep -q '^cifar100: ' stdout || fail "datasets"

# Usage.
expect 2 "$ctkd"
expect_error 2 "ctkd train: unknown option '--kd_t', did you mean '--kd_T'?" "$ctkd" train --kd_t 4
expect_error 2 "ctkd train: command line: train.epoch: unknown key, did you mean train.epochs?" \
    "$ctkd" train train.epoch=3
expect 2 "$ctkd" train train.epochs=0
grep -q '^ctkd train: command line: train.epochs: .*from 1 to 1000000' stderr || fail "range of train.epochs"
expect_error 2 "ctkd methods: unknown loss 'dkk', did you mean 'dkd'?" "$ctkd" methods dkk
expect_error 2 "ctkd models: found 'x=1', expected no argument" "$ctkd" models x=1
expect_error 2 "ctkd distill: teacher.path: found nothing, expected a run directory or a weights file" "$ctkd" distill
expect 2 "$ctkd" train --json
grep -q '^ctkd train: found --json, which only these commands take: eval, .*inspect, .*doctor' stderr || fail "train --json"
expect_error 2 "ctkd eval: found --dry-run, which only these commands take: train, distill, sweep" "$ctkd" eval --dry-run x
expect_error 2 "ctkd check: found --preset, which only these commands take: train, distill, doctor" "$ctkd" check --preset ctkd x y

# A setting that the data refuse is named by its key.
expect_error 1 "ctkd: data.limit: found 50, expected at most the 40 images" "$ctkd" train $small data.limit=50
expect_error 1 "ctkd: data.test_limit: found 50, expected at most the 20 images" "$ctkd" train $small data.test_limit=50
expect_error 1 "ctkd: data.limit: found 25, expected at most the 20 images that data.dev leaves" "$ctkd" train $small data.dev=0.5 data.limit=25
expect_error 1 "ctkd: data.pad_to: found 8, expected 0, or at least 16 (and at most 4096) for images of 16x16" "$ctkd" train $small data.pad_to=8
expect 0 "$ctkd" train $small run.dir=first
expect 1 "$ctkd" distill $small teacher.path=first teacher.tolerance=100 method.name=crd data.limit=1 run.dir=alone
grep -q '^ctkd: method.name: crd compares images of different classes, but all 1 training images in use have label [0-9]$' stderr ||
    fail "one class: $(cat stderr)"

# No command takes what it does not know, and none exits as if it had understood.
for command in models methods datasets inspect selftest; do
    for strange in --jsom --epochs -x; do
        expect 2 "$ctkd" $command $strange
        grep -q "^ctkd $command: unknown option '$strange'[;,] " stderr || fail "$command $strange: $(cat stderr)"
    done
    expect 2 "$ctkd" $command no.such=3
    grep -q "^ctkd $command: found \('no.such=3'\|0 names\), expected " stderr || fail "$command no.such=3: $(cat stderr)"
done
expect_error 2 "ctkd inspect: command line: weight: unknown key, did you mean weights?" \
    "$ctkd" inspect x weight=x
expect 2 "$ctkd" inspect x --jsom && grep -q "did you mean '--json'" stderr || fail "inspect --jsom"
for command in train distill eval check doctor convert; do
    expect 2 "$ctkd" $command a b no.such=3
    expect 2 "$ctkd" $command a b --no-such
    grep -q "^ctkd $command: .*unknown option '--no-such'" stderr || fail "$command --no-such: $(cat stderr)"
done
expect 2 "$ctkd" plot a --no-such
expect 2 "$ctkd" plot a no.such=3

# The key at fault is the one that is named.
expect 1 "$ctkd" train data.set="$folder/data" student.network=resnet8
grep -q "^ctkd: data.set: '$folder/data' is a path without a name, expected NAME or NAME:PATH with NAME one of fashion-mnist, mnist, " stderr ||
    fail "a path without a name: $(cat stderr)"
expect 1 "$ctkd" train data.set=mnist:data student.network=./resnet8
grep -q '^ctkd: student.network: unknown network '\''./resnet8'\''' stderr || fail "a path as network: $(cat stderr)"
expect_error 2 "ctkd train: command line: found 'optimizer.lr= 0.1', expected a setting in one word without blanks: optimizer.lr=0.1" \
    "$ctkd" train optimizer.lr= 0.1
expect 2 "$ctkd" distill teacher.path=x method.name=dkk method.weight=1
grep -q "^ctkd distill: method.name: .*'dkk', did you mean 'dkd'" stderr || fail "method.name"

# Work.
expect_error 1 "ctkd: nothing: No such file or directory, expected a run directory or a weights file" \
    "$ctkd" eval nothing
# A file that the recipes name: where it comes from.
from="No such file or directory, expected a run directory or a weights file; torchvision's is https://download.pytorch.org/models"
expect_error 1 "ctkd: student.init: teachers/resnet34-b627a593.pth: $from/resnet34-b627a593.pth" \
    "$ctkd" train data.set=mnist:data data.channels=3 data.pad_to=32 student.network=resnet34 student.init=teachers/resnet34-b627a593.pth run.dir=never
expect_error 1 "ctkd: t/resnet50-11ad3fa6.pth: $from/resnet50-11ad3fa6.pth" "$ctkd" eval t/resnet50-11ad3fa6.pth
expect_error 1 "ctkd: student.network: unknown network 'resnet21', did you mean 'resnet20'?" \
    "$ctkd" train data.set=mnist:data student.network=resnet21 run.dir=never
[ ! -e never ] || fail "a run that did not start made its directory"
# shellcheck disable=SC2086
expect 0 "$ctkd" train $small run.dir=teacher
expect_error 1 "ctkd: run.dir: teacher holds a run (config.yaml), expected a new directory; --resume continues it, --force replaces it" \
    "$ctkd" train $small run.dir=teacher
# shellcheck disable=SC2086
expect 0 "$ctkd" train $small run.dir=teacher --force
expect_error 1 "ctkd: run.dir: teacher holds a run (config.yaml), expected a new directory; --resume continues it, --force replaces it" \
    "$ctkd" train teacher/config.yaml # a recorded run replaces nothing
cp -r teacher ended && rm ended/*.ckpt
for how in --resume --resume=auto; do
    expect_error 1 "ctkd: run.dir: ended holds a finished run without last.ckpt, which resuming needs; --force replaces it" \
        "$ctkd" train ended/config.yaml run.dir=ended $how
done
sed -i 's/"status": "done"/"status": "interrupted"/' ended/summary.json
expect_error 1 "ctkd: run.dir: ended holds an interrupted run without last.ckpt, which resuming needs; --force replaces it" \
    "$ctkd" train ended/config.yaml run.dir=ended --resume
expect 0 "$ctkd" inspect teacher/last.safetensors --json
# More threads than cores are used as asked for, with a word.
for command in "eval teacher" "check teacher mnist:data"; do
    # shellcheck disable=SC2086
    expect 0 taskset -c "$(taskset -cp $$ | sed 's/.*: \([0-9]*\).*/\1/')" "$ctkd" $command data.set=mnist:data train.threads=2
    grep -q '^note: threads: train.threads=2, but this process has 1 core:' stderr || fail "$command on one core: $(cat stderr)"
done
mkdir a=b && cp teacher/last.safetensors a=b/
expect 0 "$ctkd" inspect a=b/last.safetensors
# shellcheck disable=SC2086
expect 1 "$ctkd" distill $small teacher.path=teacher data.pad_to=32
grep -q '^ctkd: teacher/last.safetensors: found a network of 16 rows, but the images of mnist have 32 ' stderr ||
    fail "teacher of another size"

# Nowhere to write: one line, whether the disk is full or a limit is reached.
status=0
"$ctkd" eval teacher --json 2>stderr >/dev/full || status=$?
[ "$status" = 1 ] && [ "$(wc -l <stderr)" = 1 ] || fail "--json onto a full disk: status $status"
status=0
# shellcheck disable=SC2086
(ulimit -f 40 && "$ctkd" train $small run.dir=full >stdout 2>stderr) || status=$?
[ "$status" = 1 ] || fail "a limit of the file size: status $status"
[ "$(grep -c '^ctkd: cannot write full/' stderr)" = 1 ] || fail "a limit of the file size"
[ -z "$(find full -name '*.safetensors*')" ] || fail "a part of a file was left"

# Interrupted: the weights are kept, status 143 after SIGTERM. (A shell script's child in the background ignores SIGINT.)
# shellcheck disable=SC2086
"$ctkd" train $small train.epochs=100000 train.max_steps=500000 run.dir=stopped >stdout 2>stderr &
trainer=$!
for _ in $(seq 200); do
    [ -s stopped/last.safetensors ] && break
    sleep 0.1
done
kill -TERM "$trainer" # once: a second signal would end it at once
status=0
wait "$trainer" || status=$?
[ "$status" = 143 ] || fail "interrupted: status $status"
grep -q '^ctkd: interrupted at epoch [0-9]*, step [0-9]*; resume with: ctkd train stopped/config.yaml --resume$' stderr || fail "interrupted"
grep -q '"status": "interrupted"' stopped/summary.json || fail "interrupted: summary.json"

# Keys that a run does not read are named once, for a run, --dry-run and doctor; not those of a resolved configuration.
line='note: this run does not use data.size (for image files), method.name (for `ctkd distill`), schedule.factor (for schedule.kind=step)'
unused="data.size=64 method.name=dkd schedule.factor=0.5 temperature.tau=4 train.max_steps=1"
for command in "train --dry-run" doctor "train run.dir=unused"; do # doctor finds other problems too
    expect "$([ "$command" = doctor ] && echo 1 || echo 0)" "$ctkd" $command $small $unused
    [ "$(grep 'does not use' stderr)" = "$line" ] || fail "$command: $(cat stderr)"
done
expect 0 "$ctkd" train unused run.dir=again
! grep -q 'does not use' stderr || fail "a resolved configuration: $(cat stderr)"
expect 0 "$ctkd" eval unused data.size=64
[ "$(cat stderr)" = 'note: `ctkd eval` does not use data.size (for image files)' ] || fail "eval: $(cat stderr)"
expect 0 "$ctkd" eval unused teacher.network=resnet8 train.profile=true
[ "$(cat stderr)" = 'note: `ctkd eval` does not use teacher.network, train.profile' ] || fail "eval: $(cat stderr)"
expect 0 "$ctkd" eval unused --teacher unused teacher.network=resnet8
! grep -q 'does not use' stderr || fail "eval --teacher: $(cat stderr)"
# What only opening the run shows has a line of its own.
line='note: this run does not use train.overlap (for several processes), train.timeout_seconds (for several processes)'
for command in "train --dry-run" doctor "train run.dir=alone_here"; do
    expect "$([ "$command" = doctor ] && echo 1 || echo 0)" "$ctkd" $command $small train.max_steps=1 train.overlap=false train.timeout_seconds=5
    [ "$(grep 'does not use' stderr)" = "$line" ] || fail "$command: $(cat stderr)"
done

# method.kd.form is no key, but older versions wrote it into the config.yaml of their runs.
expect_error 2 "ctkd train: command line: method.kd.form: unknown key, did you mean method.kd_form?" "$ctkd" train method.kd.form=exact
expect 0 "$ctkd" train --help
! grep -q 'method\.kd\.' stdout || fail "method.kd. in --help"
expect 0 "$ctkd" methods kd && grep -qx '  form     method.kd_form' stdout && ! grep -q 'method\.kd\.' stdout || fail "methods kd"
! grep -qx '  kd:' unused/config.yaml || fail "method.kd in config.yaml"
sed -i 's/^method:$/&\n  kd:\n    form: exact/' unused/config.yaml
expect 0 "$ctkd" train unused train.max_steps=2 --resume
