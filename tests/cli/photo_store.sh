#!/usr/bin/env bash
# A store of a teacher's answers for image files, whose views are drawn anew in each epoch: shared by runs of a seed, the
# same bits with it and without, other images under the same names; info, verify, fill and prune.
set -euo pipefail
. "$2/tests/support/work_folder.bash"
. "$source/tests/support/tiny_data.bash"
. "$source/tests/support/photos.bash"
photo_folder photos 9 4 ant bee
set="data.set=imagefolder:photos student.network=resnet8 data.size=16 data.view=resized_crop train.threads=2 train.batch=4
    train.seed=3 schedule.kind=constant run.force=true"
expect 0 "$ctkd" train $set train.epochs=1 run.dir=teacher
distill=("$ctkd" distill $set train.epochs=3 teacher.path=teacher teacher.tolerance=100)
counts() { # RUN: "hits misses damaged" of all epochs
    sed -n 's/.*"teacher_hits": \([0-9]*\), "teacher_misses": \([0-9]*\), "teacher_damaged": \([0-9]*\),.*/\1 \2 \3/p' "$1/log.jsonl" |
        awk '{ h += $1; m += $2; d += $3 } END { print h, m, d }'
}
# run NAME EXPECTED SETTINGS...: a run with the store has the bits of the run without
run() {
    expect 0 "${distill[@]}" run.dir="$1" teacher.store=store "${@:3}"
    [ "$(counts "$1")" = "$2" ] || fail "$1: $(counts "$1"), expected $2"
}
same() { cmp plain/last.safetensors "$1/last.safetensors" || fail "$1 has other bits"; }

expect 0 "${distill[@]}" run.dir=plain
run first "0 54 0"
same first
# The size of all that the run will add is shown before anything is written.
grep -Eq '^teacher.store: store/resnet8-imagefolder-[0-9a-f]{16}.logits has 0 of 54 answers \(0.0 %\) and takes [0-9]+ kB of at most 9 kB; .* free$' stderr ||
    fail "$(grep '^teacher.store' stderr)"
run second "54 0 0"
same second
# Other methods, batches, threads and parts of the data share it; another seed, other crops and more epochs have a file of
# their own, and the run says why.
run arm "54 0 0" method=lskd
run part "24 0 0" data.limit=8 train.batch=3 train.threads=1
[ "$(ls store | wc -l)" = 1 ] || fail "$(ls store)"
run seed "0 54 0" train.seed=4
grep -q '; resnet8-imagefolder-[0-9a-f]*.logits is not of this run: other draws$' stderr || fail "$(cat stderr)"
run crops "0 54 0" data.crop_scale=0.5,1
run longer "0 72 0" train.epochs=4
[ "$(ls store | wc -l)" -ge 4 ] || fail "$(ls store)"

# Another image under the same name and of the same size: its answers are computed again, and counted.
cp photos/train/ant/3.ppm kept.ppm
size=$(stat -c %s kept.ppm)
{ head -c 20 kept.ppm; head -c $((size - 20)) /dev/zero; } >photos/train/ant/3.ppm
expect 0 "${distill[@]}" run.dir=changed
run exchanged "51 3 3"
cmp changed/last.safetensors exchanged/last.safetensors || fail "another image: other bits"
cp kept.ppm photos/train/ant/3.ppm
run back "51 3 3"
same back

# verify, a flipped byte, fill for a run's epochs, prune.
file=$(grep -l 'seed 3, area 0.08' store/*.logits | head -1)
expect 0 "$ctkd" teacher-store verify store
printf '\x55' | dd of="$file" bs=1 seek=8201 conv=notrunc status=none
expect 1 "$ctkd" teacher-store verify "$file"
grep -Eq '^  damaged  1 answers, the first of sample 0, view 0; runs compute them again$' stdout || fail "verify: $(cat stdout)"
expect 0 "$ctkd" teacher-store fill $set train.epochs=3 teacher.path=teacher teacher.tolerance=100 teacher.store=store
[ "$(cat stdout)" = "1 answers computed, 54 were there, 1 of them damaged" ] || fail "fill: $(cat stdout)"
expect 0 "$ctkd" teacher-store fill $set train.epochs=3 teacher.path=teacher teacher.tolerance=100 teacher.store=full
[ "$(cat stdout)" = "54 answers computed, 0 were there, 0 of them damaged" ] || fail "fill: $(cat stdout)"
expect 0 "$ctkd" teacher-store info full
grep -q '^  answers  54 of 54 (100.0 %): 18 samples, 3 views, 2 classes$' stdout || fail "info: $(cat stdout)"
run filled "54 0 0" teacher.store=full
same filled
# Without augmentation each image has one view.
expect 0 "${distill[@]}" run.dir=still data.augment=none
run one "36 18 0" data.augment=none
cmp still/last.safetensors one/last.safetensors || fail "without augmentation: other bits"
expect 0 "$ctkd" teacher-store prune store --gigabytes 0
[ -z "$(ls store)" ] || fail "prune: $(ls store)"
