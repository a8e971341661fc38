#!/usr/bin/env bash
# --dry-run: the run as it would be, nothing started or written, the same refusals as a run; its output is a CONFIG that
# makes the run. Published command lines end to end.
set -euo pipefail
. "$2/tests/support/work_folder.bash"
. "$source/tests/support/tiny_data.bash"
tiny_data data 16 100 40
small="data.set=mnist:data data.mean=0.31 data.std=0.31 student.network=resnet8 train.threads=1 train.batch=16
    schedule.kind=constant train.epochs=2"
# shellcheck disable=SC2086
expect 0 "$ctkd" train $small run.dir=teacher

# Labels alone: figures of `ctkd models` for this size, and no teacher.
before=$(find . | sort)
# shellcheck disable=SC2086
expect 0 "$ctkd" train $small run.dir=new/deep --dry-run
[ "$(find . | grep -v -e stdout -e stderr | sort)" = "$(grep -v -e stdout -e stderr <<<"$before")" ] || fail "something was written"
[ ! -s stderr ] || fail "output on stderr"
for line in 'student +resnet8 for 1x16x16 images and 10 classes: 77754 parameters, 3\.05 million MACs' 'data +mnist: 100' \
    'time +about [0-9]+ s: 14 steps of [0-9.]+ ms, 2 evaluations' 'memory +[0-9.]+ GB of' 'minutes +[0-9.]+ ' \
    'run directory +new/deep$' 'disk +new/deep: needs'; do
    grep -Eq "^# $line" stdout || fail "no line '$line': $(grep '^#' stdout)"
done
! grep -q '^# teacher' stdout || fail "a teacher"
# What it prints makes the run, to the same configuration.
cp stdout run.yaml
expect 0 "$ctkd" train run.yaml
grep -v '^#' run.yaml | cmp - new/deep/config.yaml || fail "another configuration than the run's"

# A run that is there: refused, replaced or gone on with, as a run would be.
# shellcheck disable=SC2086
expect_error 1 "ctkd: run.dir: teacher holds a run (config.yaml), expected a new directory; --resume continues it, --force replaces it" \
    "$ctkd" train $small run.dir=teacher --dry-run
sum=$(find teacher -type f -exec cksum {} + | sort)
# shellcheck disable=SC2086
expect 0 "$ctkd" train $small run.dir=teacher --force --dry-run
grep -q '^# run directory  teacher, whose run is replaced$' stdout && grep -q '^  force: false$' stdout || fail "--force"
expect 0 "$ctkd" train teacher/config.yaml --resume train.epochs=5 --dry-run
grep -q '^# run directory  teacher, resumed at epoch 3, step 0 of 7$' stdout || fail "--resume: $(grep '^# run' stdout)"
grep -Eq '^# time +about .*: 21 steps of [0-9.]+ ms, 3 evaluations' stdout || fail "--resume: $(grep '^# time' stdout), expected the rest"
grep -Eq '^# minutes +[0-9.]+ for the rest, ' stdout || fail "--resume: $(grep '^# minutes' stdout)"
[ "$(find teacher -type f -exec cksum {} + | sort)" = "$sum" ] || fail "the run was touched"

# A run that another process works on.
for action in --resume --force; do
    status=0
    flock teacher/run.lock "$ctkd" train teacher/config.yaml $action train.epochs=5 --dry-run >stdout 2>stderr || status=$?
    [ $status = 1 ] && grep -q '^ctkd: run.dir: teacher is in use by process ' stderr || fail "$action of a run in use: $status $(cat stderr)"
done

# What would refuse the run does so here, and nothing is left.
# shellcheck disable=SC2086
{
    expect_error 1 "ctkd: nowhere: No such file or directory" "$ctkd" train $small data.set=mnist:nowhere run.dir=x --dry-run
    expect_error 1 "ctkd: run.dir: run.yaml is a file, expected a directory" "$ctkd" train $small run.dir=run.yaml/x/y --dry-run
    expect_error 1 "ctkd: no-teacher: No such file or directory, expected a run directory or a weights file" \
        "$ctkd" distill $small teacher.path=no-teacher run.dir=x --dry-run
    expect 1 "$ctkd" distill $small teacher.path=teacher teacher.expect_top1=100 teacher.tolerance=0 run.dir=x --dry-run
    expect_error 2 "ctkd train: --dry-run takes no value" "$ctkd" train --dry-run=1
}
if [ "$(id -u)" != 0 ]; then
    mkdir locked && chmod 500 locked
    # shellcheck disable=SC2086
    expect_error 1 "ctkd: run.dir: cannot write into locked: Permission denied" "$ctkd" train $small run.dir=locked/x/y --dry-run
fi
[ ! -e x ] || fail "a directory was made"

# With a teacher, an adaptor and problems: they are told, and do not change the exit status.
# shellcheck disable=SC2086
expect 0 "$ctkd" distill $small teacher.path=teacher method=srrl temperature.lambda_max=0 run.dir=x --dry_run
for line in 'teacher +resnet8 for 1x16x16 images' ' +teacher/last.safetensors: test top-1' 'adaptors +4224 parameters' \
    'temperature +PROBLEM: .*tau never moves' 'balance '; do
    grep -Eq "^# $line" stdout || fail "no line '$line': $(grep '^#' stdout)"
done

# The published lines as they are in their scripts, but for the data, the networks' size and where a run ends.
mkdir -p save/models/resnet8_vanilla
expect 0 "$ctkd" convert teacher save/models/resnet8_vanilla/ckpt_epoch_240.pth
ours="data.set=mnist:data train.threads=1 train.max_steps=2"
for n in 1 2; do
    # shellcheck disable=SC2086
    expect 0 "$ctkd" distill $ours --path-t ./save/models/resnet8_vanilla/ckpt_epoch_240.pth --distill kd --model_s resnet8 \
        -r 0.1 -a 0.9 -b 0 --kd_T 4 --batch_size 64 --learning_rate 0.05 --have_mlp 1 --mlp_name 'global' --cosine_decay 1 \
        --decay_max 0 --decay_min -1 --decay_loops 10 --save_model \
        --experiments_dir 'tea-res56-stu-res20/kd/global_T/your_experiment_name' --experiments_name "fold-$n"
    [ -s "tea-res56-stu-res20/kd/global_T/your_experiment_name/fold-$n/last.safetensors" ] || fail "fold-$n"
    grep -q '^note: preset published: .*train_student.py' stderr || fail "the preset is not told"
    grep -q '^note: these flags have no effect here: --save_model$' stderr || fail "--save_model is not named"
done
# shellcheck disable=SC2086
expect 0 "$ctkd" train $ours --model resnet8 --batch_size 64 --epochs 240 --learning_rate 0.05 --lr_decay_epochs '150,180,210' \
    --lr_decay_rate 0.1 --experiments_dir 'baseline/resnet8' --experiments_name 'fold-1'
[ -s baseline/resnet8/fold-1/last.safetensors ] || fail "run_cifar_vanilla.sh"
# shellcheck disable=SC2086
expect 1 "$ctkd" doctor $ours --path_t teacher --model_s resnet8 run.dir=x # grey stripes are not MNIST
grep -q '^note: preset published: .*train_student.py' stderr || fail "doctor: the preset is not told"
# A cut line: a blank behind the backslash.
expect 2 "$ctkd" distill --path_t teacher --cosine_decay 1 " "
grep -q 'a backslash that continues a line must be its last character$' stderr || fail "a blank argument: $(cat stderr)"
