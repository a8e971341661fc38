#!/usr/bin/env bash
# `ctkd eval`: which configuration counts. A run's own config.yaml for what it left or what agrees with it; any other one
# that happens to lie beside the weights is not used, and a message says so.
set -euo pipefail
. "$2/tests/support/work_folder.bash"
. "$source/tests/support/tiny_data.bash"
. "$source/tests/support/bare_weights.bash"
tiny_data data 16 40 20
small="data.set=mnist:data data.channels=3 train.threads=1 train.max_steps=1 schedule.kind=constant"
# shellcheck disable=SC2086
expect 0 "$ctkd" train $small student.network=resnet8 run.dir=run
# shellcheck disable=SC2086
expect 0 "$ctkd" train $small student.network=resnet14 run.dir=other

silent() { # FILE: is scored by the run's configuration alone, without a word
    expect 0 "$ctkd" eval "$1"
    grep -q '^resnet8 on mnist: .* n 20$' stdout || fail "$1: $(cat stdout)"
    [ ! -s stderr ] || fail "$1: output on stderr"
}
said() { # FILE WHY: the config.yaml beside it is not used; the file names a data set without its path
    expect 1 "$ctkd" eval "$1"
    grep -q "^note: .*config.yaml does not belong to the run of $1 ($2) and is not used\$" stderr || fail "$1: no '$2'"
    expect 0 "$ctkd" eval "$1" data.set=mnist:data data.channels=3
    grep -q '^resnet8 on mnist: .* n 20$' stdout || fail "$1: $(cat stdout)"
}
silent run
silent run/best.safetensors
(cd run && expect 0 "$ctkd" eval last.safetensors data.set=mnist:../data) || exit 1
expect 0 "$ctkd" convert run run/student.pth # says what it is, and the run's configuration the same
silent run/student.pth

mkdir foreign && cp run/last.safetensors foreign/model.safetensors
echo 'learning_rate: 0.1' >foreign/config.yaml # another program's
said foreign/model.safetensors "it is not a configuration of ctkd"
cp other/config.yaml foreign/config.yaml # of another network
said foreign/model.safetensors "it names another network or data set"
cp other/log.jsonl foreign/ && mv foreign/model.safetensors foreign/best.safetensors # in another run's directory
said foreign/best.safetensors "it names another network or data set"
cp run/config.yaml foreign/
silent foreign/best.safetensors

# Weights that say nothing of themselves are of a run only where it left them.
expect 0 "$ctkd" convert run mute.safetensors
bare_weights mute.safetensors mute.safetensors
cp mute.safetensors run/mute.safetensors
said run/mute.safetensors "no run wrote it there"
mv run/mute.safetensors run/best.safetensors
silent run/best.safetensors
# A run's own configuration that cannot be read is an error, not another data set.
echo 'train: {epoch: 3}' >run/config.yaml
expect_error 1 "ctkd: run/config.yaml:1: train.epoch: unknown key, did you mean train.epochs?" "$ctkd" eval run/best.safetensors

# Keys that say nothing about an evaluation are named; those that do are not.
expect 0 "$ctkd" eval other data.set=mnist:data train.threads=1 train.epochs=3 --learning_rate 0.1 train.epochs=4
[ "$(cat stderr)" = 'note: `ctkd eval` does not use optimizer.lr, train.epochs' ] || fail "keys of eval: $(cat stderr)"
expect 0 "$ctkd" check other mnist:data data.channels=3 train.batch=8 train.seed=3 teacher.tolerance=3 data.limit=9 method.name=dkd
[ "$(cat stderr)" = 'note: `ctkd check` does not use data.limit, teacher.tolerance, method.name' ] ||
    fail "keys of check: $(cat stderr)"
# Keys of training views are not those of an evaluation; --help lists the keys that are.
training="data.augment=none data.rotation=0 data.limit=9 data.crop_scale=0.5,1 data.dev=0.1"
for command in "eval other data.set=mnist:data" "check other mnist:data data.channels=3"; do
    expect 0 "$ctkd" $command $training
    [ "$(cat stderr)" = "note: \`ctkd ${command%% *}\` does not use $(sed -E 's/=[^ ]*//g; s/ /, /g' <<<"$training")" ] ||
        fail "keys of ${command%% *}: $(cat stderr)"
    expect 0 "$ctkd" ${command%% *} --help
    grep -q '^  data.test_limit ' stdout || fail "no data.test_limit in the help of ${command%% *}"
    for setting in $training; do
        ! grep -q "^  ${setting%%=*} " stdout || fail "${setting%%=*} in the help of ${command%% *}"
    done
done

# Details add to what is printed, and files of logits that cannot be written are named.
expect 0 "$ctkd" eval other data.set=mnist:data
cp stdout plain
expect 0 "$ctkd" eval other data.set=mnist:data --teacher other --dump dump
head -n 1 stdout | cmp - plain || fail "details change the scores"
for line in '^NLL [0-9.]* nats, Brier score' '^class  *images  *precision' '^9  *[0-9]* ' '^confidence  *images' '^beside other$' \
    '^all images  *[0-9]*  *100.00 %  *0.0000 nats'; do
    grep -Eq "$line" stdout || fail "no line '$line' in: $(cat stdout)"
done
[ "$(ls dump)" = $'ids.npy\nlabels.npy\nlogits.npy\nteacher_logits.npy' ] || fail "dump holds $(ls dump)"
: >file
expect 1 "$ctkd" eval other data.set=mnist:data --dump file/in
grep -q '^ctkd: .*file' stderr || fail "the folder is not named: $(cat stderr)"
