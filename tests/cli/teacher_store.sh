#!/usr/bin/env bash
# A store of the teacher's answers: the same bits with it and without, first and second run, two processes at once, killed
# while it writes, a flipped byte, another teacher of the same name, a wrong header; and `ctkd teacher-store`.
set -euo pipefail
. "$2/tests/support/work_folder.bash"
. "$source/tests/support/tiny_data.bash"
tiny_data data 16 200 40
set="data.set=mnist:data student.network=resnet8 train.batch=30 schedule.kind=constant train.threads=2"
expect 0 "$ctkd" train $set train.epochs=1 train.seed=7 run.dir=teacher
expect 0 "$ctkd" train $set train.epochs=1 train.seed=8 run.dir=other
distill=("$ctkd" distill $set train.epochs=3 teacher.path=teacher teacher.tolerance=100 run.force=true)

# counts RUN: "hits misses damaged" of each epoch
counts() {
    sed -n 's/.*"teacher_hits": \([0-9nul]*\), "teacher_misses": \([0-9nul]*\), "teacher_damaged": \([0-9nul]*\),.*/\1 \2 \3/p' "$1/log.jsonl"
}
# same RUN: the weights of the run without a store
same() { cmp plain/last.safetensors "$1/last.safetensors" || fail "$1 has other bits"; }
flip() { # FILE OFFSET
    local byte
    byte=$(od -An -tu1 -j"$2" -N1 "$1")
    printf "\\x$(printf %02x $((byte ^ 4)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

expect 0 "${distill[@]}" run.dir=plain
[ "$(counts plain)" = $'null null null\nnull null null\nnull null null' ] || fail "no store: $(counts plain)"
expect 0 "${distill[@]}" run.dir=first teacher.store=store
same first
grep -Eq '^teacher.store: store/resnet8-mnist-[0-9a-f]{16}.logits has 0 of 32400 answers \(0.0 %\) and takes [0-9]+ kB of at most 1.4 MB; .* free$' stderr ||
    fail "$(grep '^teacher.store' stderr)"
file=$(echo store/*.logits)
[ "$(counts first | awk '{ h += $1; m += $2; d += $3 } END { print h + m, d }')" = "600 0" ] || fail "first: $(counts first)"
[ "$(counts first | head -1)" = "0 200 0" ] || fail "first epoch: $(counts first)"
expect 0 "${distill[@]}" run.dir=second teacher.store=store
same second
[ "$(counts second)" = $'200 0 0\n200 0 0\n200 0 0' ] || fail "second: $(counts second)"
# Another number of threads, another batch and a part of the data find the same answers; another seed finds some.
expect 0 "${distill[@]}" run.dir=part teacher.store=store data.limit=100 train.batch=7 train.threads=1
[ "$(counts part | uniq)" = "100 0 0" ] || fail "part: $(counts part)"
expect 0 "${distill[@]}" run.dir=seed teacher.store=store train.seed=5
[ "$(counts seed | awk '{ h += $1; m += $2 } END { print (h > 0 && m > 300), h + m }')" = "1 600" ] || fail "seed: $(counts seed)"
# Groups of a batch ask for their own images.
expect 0 "${distill[@]}" run.dir=whole train.batch_norm_group=10 train.epochs=1
expect 0 "${distill[@]}" run.dir=groups train.batch_norm_group=10 train.epochs=1 teacher.store=groups-store
expect 0 "${distill[@]}" run.dir=again train.batch_norm_group=10 train.epochs=1 teacher.store=groups-store
cmp whole/last.safetensors groups/last.safetensors && cmp whole/last.safetensors again/last.safetensors || fail "groups"
[ "$(counts groups) $(counts again)" = "0 200 0 200 0 0" ] || fail "groups: $(counts groups) $(counts again)"
# A resumed run, which may have a store where it had none, counts on.
expect 0 "${distill[@]}" run.dir=resumed train.max_steps=10
expect 0 "$ctkd" distill resumed/config.yaml --resume teacher.store=store train.max_steps=0
same resumed
[ "$(counts resumed | tail -1)" = "200 0 0" ] || fail "resumed: $(counts resumed)"
expect 0 "${distill[@]}" run.dir=resumed train.max_steps=10 teacher.store=store
expect 0 "$ctkd" distill resumed/config.yaml --resume train.max_steps=0
same resumed
[ "$(counts resumed | tail -n3)" = $'90 0 0\n200 0 0\n200 0 0' ] || [ "$(counts resumed | tail -n2)" = $'200 0 0\n200 0 0' ] || fail "resumed with a store: $(counts resumed)"

# Methods that read features, and batch statistics, need the teacher itself.
expect 0 "${distill[@]}" run.dir=features method=at teacher.store=store train.max_steps=1
grep -q "^teacher.store: not used: a method reads the teacher's features, which it must compute itself$" stderr || fail "features: $(cat stderr)"

# Damage: a flipped byte of a row is found, told, computed again and mended.
expect 0 "$ctkd" teacher-store verify store
grep -q '^  verified all answers' stdout || fail "verify: $(cat stdout)"
size=$(stat -c %s "$file")
rows_at=$((4096 + (4 * 32400 + 4095) / 4096 * 4096))
[ $((rows_at + 40 * 32400)) = "$size" ] || fail "$size bytes"
damaged=0
for ((row = 0; damaged < 40 && row < 32400; row++)); do
    [ "$(od -An -tu4 -j$((4096 + 4 * row)) -N4 "$file")" -eq 0 ] && continue
    flip "$file" $((rows_at + 40 * row + row % 40))
    damaged=$((damaged + 1))
done
expect 1 "$ctkd" teacher-store verify "$file" --json
grep -q '"damaged": 40,' stdout || fail "verify: $(cat stdout)"
expect 1 "$ctkd" teacher-store verify store
grep -Eq '^  damaged  40 answers, the first of sample 0, view [0-9]+; runs compute them again$' stdout || fail "verify: $(cat stdout)"
expect 0 "${distill[@]}" run.dir=flipped teacher.store=store
same flipped
[ "$(counts flipped | awk '{ d += $3; m += $2 } END { print (d == m && d > 5) }')" = 1 ] || fail "flipped: $(counts flipped)"
# An index that says what is not there (a machine that lost its power): the same.
printf '\x01\x02\x03\x84%.0s' $(seq 32400) | dd of="$file" bs=4096 seek=1 conv=notrunc status=none
expect 0 "${distill[@]}" run.dir=index teacher.store=store
same index
[ "$(counts index | awk '{ d += $3; m += $2 } END { print (d == m && d > 500) }')" = 1 ] || fail "index: $(counts index)"

# Wrong headers: one line, no store, the same bits.
cp "$file" good
wrong() { # WORDS COMMAND...: damages the file
    local words=$1
    cp good "$file"
    "${@:2}"
    expect 0 "${distill[@]}" run.dir=wrong teacher.store=store
    same wrong
    grep -q "^teacher.store: not used: $file: $words" stderr || fail "expected '$words': $(cat stderr)"
}
wrong "the header is damaged: its checksum does not match; remove the file$" flip "$file" 100
wrong "found no store of logits, expected one that begins with 'ctkd teacher logits 1'$" flip "$file" 3
wrong "found [0-9]* bytes, expected $size; remove the file$" truncate -s -1 "$file"
wrong "found no store of logits" truncate -s 0 "$file"
expect 1 "$ctkd" teacher-store info store
grep -q "^ctkd: $file: found no store of logits" stderr || fail "info: $(cat stderr)"
# A header of another teacher under this name.
expect 0 "$ctkd" distill $set train.epochs=3 teacher.path=other teacher.tolerance=100 run.dir=others teacher.store=store2
cp store2/*.logits foreign
wrong "found 'weights [0-9a-f]*' in the header, expected 'weights [0-9a-f]*'$" cp foreign "$file"
cp good "$file"

# Another teacher with the same name and place has a file of its own, and a word says why.
cp -r teacher kept
cp other/last.safetensors teacher/last.safetensors
expect 0 "${distill[@]}" run.dir=renamed teacher.store=store
grep -q "; $(basename "$file") is not of this run: other weights$" stderr || fail "$(cat stderr)"
[ "$(ls store | wc -l)" = 2 ] || fail "$(ls store)"
cmp renamed/last.safetensors others/last.safetensors || fail "the other teacher"
rm -r teacher
mv kept teacher

# Two processes at once on a new store, one of them killed while it writes, and started again.
"${distill[@]}" run.dir=a teacher.store=new >/dev/null 2>&1 </dev/null &
a=$!
"${distill[@]}" run.dir=b teacher.store=new >/dev/null 2>&1 </dev/null &
b=$!
wait $a $b
same a
same b
[ "$(ls new | wc -l)" = 1 ] || fail "one file for two processes: $(ls new)"
# They divide what both miss: nearly nothing is computed twice, which would be 600 for each.
expect 0 "$ctkd" teacher-store info new --json
rows=$(sed -n 's/.*"answers": \([0-9]*\),.*/\1/p' stdout)
computed=$(cat a/log.jsonl b/log.jsonl | sed -n 's/.*"teacher_misses": \([0-9]*\),.*/\1/p' | awk '{ m += $1 } END { print m }')
[ "$rows" -gt 500 ] && [ "$computed" -ge "$rows" ] && [ "$computed" -le $((rows + 60)) ] || fail "$computed answers computed for $rows"
expect 0 "$ctkd" teacher-store verify new
# cut RUN STORE WHEN: starts RUN and kills it there ("created": its store, N: its epoch N is logged); once more if it was over first.
cut() {
    local run=$1 store=$2 when=$3 status
    for _ in 1 2 3 4 5 6; do
        rm -rf "$run"
        "${before[@]}"
        "${distill[@]}" run.dir="$run" teacher.store="$store" >/dev/null 2>&1 </dev/null &
        trainer=$!
        until { [ "$when" = created ] && compgen -G "$store/*.logits" >/dev/null; } || grep -qs "\"epoch\": $when," "$run/log.jsonl"; do
            kill -0 $trainer 2>/dev/null || break
            sleep 0.005
        done
        kill -KILL $trainer 2>/dev/null || true
        status=0
        wait $trainer 2>/dev/null || status=$?
        [ $status -ne 137 ] || return 0
    done
    fail "six runs were over before they were killed ($when)"
}
# One of two is killed: the other does not wait for it.
another() {
    [ -z "${other:-}" ] || wait $other
    rm -rf d pair
    "${distill[@]}" run.dir=d teacher.store=pair >/dev/null 2>&1 </dev/null &
    other=$!
}
before=(another)
for when in created 1; do
    cut c pair $when
    wait $other
    same d
    expect 0 "$ctkd" teacher-store verify pair
done
before=()
for when in created 1 2; do cut killed killed-store $when; done
expect 0 "${distill[@]}" run.dir=killed teacher.store=killed-store
same killed
expect 0 "$ctkd" teacher-store verify killed-store

# fill, then everything is there for any seed; info tells; prune shrinks.
store=(teacher.path=teacher teacher.tolerance=100 teacher.store=full data.limit=60 train.seed=11)
expect 0 "$ctkd" teacher-store fill $set "${store[@]}"
[ "$(cat stdout)" = "9720 answers computed, 0 were there, 0 of them damaged" ] || fail "fill: $(cat stdout)"
expect 0 "$ctkd" teacher-store fill $set "${store[@]}" train.threads=1
[ "$(cat stdout)" = "0 answers computed, 9720 were there, 0 of them damaged" ] || fail "fill again: $(cat stdout)"
expect 0 "${distill[@]}" run.dir=filled "${store[@]}"
expect 0 "${distill[@]}" run.dir=unfilled "${store[@]}" teacher.store=off
cmp filled/last.safetensors unfilled/last.safetensors || fail "a filled store has other bits"
[ "$(counts filled | awk '{ m += $2 } END { print m }')" = 0 ] || fail "filled: $(counts filled)"
expect 0 "$ctkd" teacher-store info full
grep -q '^  answers  9720 of 32400 (30.0 %): 200 samples, 162 views, 10 classes$' stdout || fail "info: $(cat stdout)"
touch full/resnet8-mnist-0123456789abcdef.logits.77.{new,00}
expect 0 "$ctkd" teacher-store prune full --gigabytes 1
[ "$(ls full | wc -l)" = 1 ] || fail "a leftover stays"
flock -s full/*.logits "$ctkd" teacher-store prune full --gigabytes 0 >stdout
grep -q '^in use, stays: full/' stdout && [ "$(ls full | wc -l)" = 1 ] || fail "in use: $(cat stdout)"
expect 0 "$ctkd" teacher-store prune full --gigabytes 0
[ "$(ls full | wc -l)" = 0 ] || fail "prune: $(ls full)"

expect 0 "$ctkd" teacher-store info full
[ ! -s stdout ] && [ "$(cat stderr)" = "note: full holds no file of a store" ] || fail "an empty folder: $(cat stderr)"

# A file of others stays, whatever it is called and however it is named.
mkdir mixed
echo notes >mixed/thesis.logits
cp mixed/thesis.logits thesis
cp thesis mixed/thesis.logits.2024.05
expect 0 "$ctkd" teacher-store prune mixed --gigabytes 0
expect_error 1 "ctkd: thesis: found no store of logits, expected a folder of them" \
    "$ctkd" teacher-store prune thesis --gigabytes 0
cmp mixed/thesis.logits thesis && cmp mixed/thesis.logits.2024.05 thesis || fail "prune removed a file of others"

# What is asked wrongly.
expect 1 "${distill[@]}" run.dir=x "teacher.store=$file/x"
grep -q "^ctkd: teacher.store: cannot create $file/x: Not a directory$" stderr && [ ! -e x ] || fail "no folder: $(cat stderr)"
expect_error 2 "ctkd teacher-store: unknown action 'fil', did you mean 'fill'?" "$ctkd" teacher-store fil
expect_error 2 "ctkd teacher-store: teacher.store: found 'off', expected a folder" "$ctkd" teacher-store fill $set teacher.path=teacher
expect_error 1 "ctkd: nowhere: cannot open: No such file or directory" "$ctkd" teacher-store info nowhere
# Who only looks writes nothing.
expect 0 "${distill[@]}" run.dir=y teacher.store=unwritten --dry-run
[ ! -e unwritten ] || fail "--dry-run made a store"
