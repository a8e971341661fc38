#!/usr/bin/env bash
# data.dev: a validation part chooses best.safetensors, ends a run that no longer gets better, and is what `compare` goes by.
set -euo pipefail
. "$2/tests/support/work_folder.bash"
. "$source/tests/support/tiny_data.bash"
tiny_data data 16 200 40
train=("$ctkd" train data.set=mnist:data student.network=resnet8 train.batch=20 schedule.kind=constant train.threads=1)
# values RUN KEY: of each epoch
values() { sed -n "s/.*\"$2\": \([^,}]*\)[,}].*/\1/p" "$1/log.jsonl"; }
field() { sed -n "s/.*\"$2\": \"\{0,1\}\([^,\"}]*\)\"\{0,1\}[,}].*/\1/p" "$1/summary.json"; }

expect 0 "${train[@]}" train.epochs=6 run.dir=a data.dev=0.2
grep -q '160 training and 40 test images' stderr && grep -q '40 of the training images are held out' stderr || fail "$(cat stderr)"
best=$(values a dev_top1 | awk '$1 > m || NR == 1 { m = $1; n = NR } END { print n }')
[ "$(values a dev_top1 | wc -l)" = 6 ] || fail "dev_top1: $(cat a/log.jsonl)"
[ "$(field a best_epoch)" = "$best" ] || fail "best epoch $(field a best_epoch), by the validation part it is $best"
[ "$(field a best_chosen_on)" = "validation part" ] || fail "$(cat a/summary.json)"
[ "$(field a best_top1)" = "$(values a test_top1 | sed -n "${best}p")" ] || fail "best_top1: $(cat a/summary.json)"
[ "$(field a best_dev_top1)" = "$(values a dev_top1 | sed -n "${best}p")" ] || fail "best_dev_top1: $(cat a/summary.json)"
expect 0 "$ctkd" inspect a/best.safetensors
grep -q "epoch  *$best\$" stdout || fail "best.safetensors: $(grep epoch stdout)"
# Without one nothing is as if there were one.
expect 0 "${train[@]}" train.epochs=1 run.dir=none
[ "$(field none best_chosen_on)" = "test images" ] && ! grep -q dev_ none/log.jsonl none/summary.json || fail "$(cat none/summary.json)"

# Patience: the run ends early, is finished, and resuming it changes nothing; more patience goes on.
expect 0 "${train[@]}" train.epochs=40 run.dir=p data.dev=0.1 train.patience=2 optimizer.lr=1e-6
epochs=$(values p dev_top1 | wc -l)
[ "$epochs" -lt 40 ] && [ "$epochs" = $(($(field p best_epoch) + 2)) ] || fail "$epochs epochs, best $(field p best_epoch)"
[ "$(field p status)" = done ] || fail "$(cat p/summary.json)"
grep -q "^stopped after epoch $epochs: no better top-1 on the validation part than .* % of epoch .* for 2 epochs (train.patience)$" stderr ||
    fail "$(tail -1 stderr)"
sum=$(cksum <p/last.safetensors)
expect 0 "$ctkd" train p/config.yaml --resume
[ "$(values p dev_top1 | wc -l) $(cksum <p/last.safetensors)" = "$epochs $sum" ] || fail "resumed without patience left"
expect 0 "$ctkd" train p/config.yaml --resume train.patience=3
[ "$(values p dev_top1 | wc -l)" -gt "$epochs" ] || fail "more patience"
# Only an evaluation says that patience is over, to the run and to what reads its log.
cat >rare.yaml <<YAML
data: { set: "mnist:$folder/data", dev: 0.1 }
student: { network: resnet8 }
train: { batch: 20, threads: 1, epochs: 40, patience: 1, eval_every: 2 }
optimizer: { lr: 1e-6 }
schedule: { kind: constant }
YAML
expect 0 "$ctkd" sweep rare.yaml --dir rare
cp -r rare/rare/seed-1 r
epochs=$(values r epoch | tail -n 1)
[ $((epochs % 2)) = 0 ] && [ "$epochs" -ge $(($(field r best_epoch) + 2)) ] && [ "$epochs" -lt 40 ] || fail "ended after epoch $epochs"
[ "$(field r top1)" != null ] || fail "the last epoch is not evaluated: $(cat r/summary.json)"
sed -i '$d' rare/rare/seed-1/log.jsonl # as it is in the middle of that
expect 0 "$ctkd" sweep rare.yaml --dir rare --print
grep -q "seed-1 --resume=auto$" stdout || fail "a run between two evaluations is taken for finished"
# A run that train.max_steps ends in the fourth epoch, before the evaluation, does not say that patience ended it.
expect 0 "$ctkd" train rare.yaml train.max_steps=28 run.dir=m
grep -q '^epoch 4/40 .* test ' stderr && ! grep -q 'train.patience' stderr || fail "ended by train.max_steps: $(cat stderr)"
expect_error 2 "ctkd train: train.patience: found 2 with data.dev 0, expected a validation part (data.dev=0.1): the test images must not say when to stop" \
    "${train[@]}" train.patience=2 run.dir=x
expect_error 1 "ctkd: data.dev: found 0.001, which is 0 of 200 training images; expected at least one, and less than all" \
    "${train[@]}" data.dev=0.001 run.dir=x

# compare goes by the validation part, and says so.
for seed in 1 2; do
    expect 0 "${train[@]}" train.epochs=3 run.dir=one/s$seed data.dev=0.2 train.seed=$seed
    expect 0 "${train[@]}" train.epochs=3 run.dir=two/s$seed data.dev=0.2 train.seed=$seed train.batch=10
    expect 0 "${train[@]}" train.epochs=3 run.dir=three/s$seed train.seed=$seed
done
expect 0 "$ctkd" compare one two --allow train.batch
grep -q 'best epoch, chosen on the validation part (data.dev)' stdout || fail "compare: $(cat stdout)"
expect 0 "$ctkd" compare one two --allow train.batch --json
value=0
for seed in 1 2; do
    best=$(values one/s$seed dev_top1 | awk '$1 > m || NR == 1 { m = $1; n = NR } END { print n }')
    value=$(awk "BEGIN { print $value + $(values one/s$seed test_top1 | sed -n "${best}p") / 2 }")
done
grep -q "\"mean\": $value[,}]" stdout || fail "compare: expected $value: $(cat stdout)"
expect 0 "$ctkd" compare one two --allow train.batch --last
grep -q 'last epoch' stdout || fail "compare --last: $(cat stdout)"
expect 1 "$ctkd" compare one three --allow data.dev
grep -q "^ctkd: of one counts the best epoch, chosen on the validation part (data.dev), of three the last epoch; --last" stderr || fail "$(cat stderr)"
expect 0 "$ctkd" compare one three --allow data.dev --last
# Lines of steps are not read; those of epochs are.
sed -i '1i {"kind": "step", "epoch": not JSON' one/s1/log.jsonl
expect 0 "$ctkd" compare one two --allow train.batch
