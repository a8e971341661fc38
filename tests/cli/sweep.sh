#!/usr/bin/env bash
# `ctkd sweep`: arms and seeds, cores of their own, killed and started again to the same files, refusals, command lines.
set -euo pipefail
. "$2/tests/support/work_folder.bash"
. "$source/tests/support/tiny_data.bash"
tiny_data data 16 200 40
cat >base.yaml <<YAML
data: { set: "mnist:$folder/data" }
student: { network: resnet8 }
train: { threads: 1, batch: 20, epochs: 3 }
schedule: { kind: constant }
YAML
expect 0 "$ctkd" train base.yaml train.seed=7 run.dir=teacher
arms=(--arm labels --arm "k d" teacher.path=teacher teacher.tolerance=100 temperature.kind=fixed)

# The command lines, quoted for a shell: they make the same runs.
expect 0 "$ctkd" sweep base.yaml "${arms[@]}" --seeds 1,2 --dir printed --print
[ "$(wc -l <stdout)" = 4 ] || fail "four runs: $(cat stdout)"
grep -q "^ctkd distill base.yaml teacher.path=teacher .* train.seed=2 'run.dir=printed/k d/seed-2' --resume=auto$" stdout || fail "$(cat stdout)"
grep '^ctkd train' stdout | grep 'seed=1 ' | sed "s#^ctkd#$ctkd#" >line
bash line 2>stderr

# What it would be: one line for each arm and the minutes in all, nothing written; what refuses an arm does so.
expect 0 "$ctkd" sweep base.yaml "${arms[@]}" --seeds 1..2 --dir printed --dry-run
grep -Eq '^labels: 1 of 2 runs left, [0-9.]+ minutes each$' stdout && grep -Eq '^k d: 2 of 2 runs left, [0-9.]+ minutes each$' stdout &&
    grep -Eq '^[0-9.]+ minutes in all, .* nothing was started or written$' stdout || fail "--dry-run: $(cat stdout)"
[ ! -e "printed/k d" ] && [ ! -e printed/labels/seed-2 ] || fail "--dry-run wrote something"
expect_error 1 "ctkd: bad: nowhere: No such file or directory" \
    "$ctkd" sweep base.yaml --arm bad data.set=mnist:nowhere --dir dry --dry-run
[ ! -e dry ] || fail "--dry-run made a folder"

expect 0 "$ctkd" sweep base.yaml "${arms[@]}" --seeds 1..2 --dir whole
cmp printed/labels/seed-1/last.safetensors whole/labels/seed-1/last.safetensors || fail "the printed line made another run"
[ "$(grep -c ': done' stderr)" = 4 ] && grep -q '^labels seed 2: done (3 of 4)  test [0-9.]* %$' stderr || fail "$(cat stderr)"
# Runs share the teacher's answers: a second arm of a seed would find all; teacher.store=off is heeded.
grep -q '"teacher_misses": 200,' "whole/k d/seed-1/log.jsonl" && [ "$(ls whole/teacher-store | wc -l)" = 1 ] || fail "no store: $(ls whole)"
expect 0 "$ctkd" sweep base.yaml --arm a method=dkd --arm b method=pkt teacher.path=teacher teacher.tolerance=100 \
    --arm c teacher.path=teacher teacher.tolerance=100 store=off train.epochs=1 --seeds 1 --dir shared --print
! grep 'shared/c/' stdout | grep -q teacher-store && grep -q 'distill .*teacher.store=shared/teacher-store train.seed=1 run.dir=shared/b/seed-1 ' stdout ||
    fail "$(cat stdout)"
# Also where a base file says it, but not where another of them, or the default, has no store.
cat >alone.yaml <<YAML
teacher: { path: teacher, tolerance: 100, store: off }
YAML
echo 'base: [base.yaml, alone.yaml]' >d.yaml
printf 'base: [base.yaml, alone.yaml]\nteacher: { store: }\n' >e.yaml
expect 0 "$ctkd" sweep d.yaml e.yaml --dir shared --print
! grep ' d.yaml ' stdout | grep -q teacher-store && grep -q ' e.yaml teacher.store=shared/teacher-store ' stdout ||
    fail "of base files: $(cat stdout)"
# Once more: nothing is left to do.
expect 0 "$ctkd" sweep base.yaml "${arms[@]}" --seeds 1..2 --dir whole
{
    echo "4 of 4 runs are finished already"
    echo "test top-1 in %, last epoch:"
    for arm in labels "k d"; do
        cat "whole/$arm"/seed-?/log.jsonl | sed -n '/"epoch": 3,/s/.*"test_top1": \([0-9.]*\),.*/\1/p' |
            awk -v arm="$arm" '{ v[NR] = $1 } END { d = v[1] - v[2]; printf "%-16s %6.2f +- %.2f over 2 runs\n", arm, (v[1] + v[2]) / 2, sqrt(d * d / 2) }'
    done
    echo "whether they differ: ctkd compare whole/labels 'whole/k d'"
} >finished
cmp finished stderr || fail "$(cat stderr)"
# What lies beside the runs of a sweep and does not fit them is no fault of it.
cp -r whole/labels/seed-1 whole/labels/copy
expect 0 "$ctkd" sweep base.yaml --arm labels --seeds 1..2 --dir whole
grep -q '^note: no mean of labels: .* have the same train.seed 1, ' stderr || fail "$(cat stderr)"
rm -r whole/labels/copy

# Killed three times, by signals that are caught and not, and started again: the same files.
cores=$(nproc)
[ "$cores" -gt 2 ] && cores=2
for signal in KILL TERM INT; do
    "$ctkd" sweep base.yaml "${arms[@]}" --seeds 1..2 --dir "$folder/killed" --jobs "$cores" >/dev/null 2>&1 </dev/null &
    sweep=$!
    for _ in $(seq 200); do
        mapfile -t children < <(pgrep -P "$sweep" || true)
        [ "${#children[@]}" -eq "$cores" ] && break
        sleep 0.02
    done
    sleep 0.3
    # Side by side on cores of their own.
    if [ "$cores" = 2 ] && [ "$(pgrep -cP "$sweep" || true)" = 2 ]; then
        lists=$(for child in $(pgrep -P "$sweep"); do sed -n 's/^Cpus_allowed_list:\t//p' "/proc/$child/status"; done 2>/dev/null || true)
        [ "$(sort -u <<<"$lists" | wc -l)" = "$(wc -l <<<"$lists")" ] || fail "two runs on one core: $lists"
    fi
    kill -"$signal" "$sweep" 2>/dev/null || true
    status=0
    wait "$sweep" || status=$?
    case $signal$status in KILL137 | TERM143 | INT130 | *0) ;; *) fail "$signal: status $status" ;; esac
    # What was running saves and ends, whether it was told or lost its parent.
    for _ in $(seq 400); do
        pgrep -f "run.dir=$folder/killed/" >/dev/null || break
        sleep 0.05
    done
    ! pgrep -f "run.dir=$folder/killed/" >/dev/null || fail "$signal: a run is left behind"
done
expect 0 "$ctkd" sweep base.yaml "${arms[@]}" --seeds 1..2 --dir "$folder/killed" --jobs "$cores"
for run in labels/seed-1 labels/seed-2 "k d/seed-1" "k d/seed-2"; do
    cmp "whole/$run/last.safetensors" "killed/$run/last.safetensors" || fail "$run: other weights"
done
expect 0 "$ctkd" compare whole/labels "whole/k d" --allow teacher --csv
cp stdout table
expect 0 "$ctkd" compare killed/labels "killed/k d" --allow teacher --csv
cmp table stdout || fail "another table"

# A caller that ignores SIGCHLD, as some supervisors do: without it no run would ever be seen to end.
expect 0 timeout -s KILL 100 env --ignore-signal=CHLD "$ctkd" sweep base.yaml --arm short train.epochs=1 --dir ignored
grep -q '^short seed 1: done' stderr || fail "$(cat stderr)"

# Stopped with two threads, and continued where one would be the default: with two, to the same bits.
sweep2=("$ctkd" sweep base.yaml --arm labels --seeds 3)
expect 0 "${sweep2[@]}" train.threads=2 --dir two
expect 75 "${sweep2[@]}" train.threads=2 train.max_steps=7 --dir fewer
sed -i 's/threads: 1, //' base.yaml
expect_error 2 "ctkd sweep: fewer/labels/seed-3: found a run that began with train.threads 2, expected 1, which would change its bits; set train.threads=2 or remove the run" \
    "${sweep2[@]}" train.threads=1 --dir fewer
expect 0 "${sweep2[@]}" --dir fewer --print
grep -q ' train.threads=2 train.seed=3 ' stdout || fail "--print: $(cat stdout)"
expect 0 taskset -c "$(taskset -cp $$ | sed 's/.*: //; s/[-,].*//')" "${sweep2[@]}" --dir fewer
cmp two/labels/seed-3/last.safetensors fewer/labels/seed-3/last.safetensors || fail "other weights than with two threads"
sed -i 's/train: { /train: { threads: 1, /' base.yaml

# A run that is there with other settings, a run that fails, and the command line.
expect_error 2 "ctkd sweep: whole/labels/seed-1: found a run with optimizer.lr '0.05', expected '0.1'; remove it or choose another --dir" \
    "$ctkd" sweep base.yaml optimizer.lr=0.1 --arm labels --dir whole
expect 1 "$ctkd" sweep base.yaml --arm broken data.set="mnist:nowhere" --arm fine train.epochs=1 --dir partly
grep -q '^broken seed 1: failed, see partly/broken/seed-1.console$' stderr && grep -q '^fine seed 1: done' stderr || fail "$(cat stderr)"
grep -q nowhere partly/broken/seed-1.console || fail "the reason is missing"
grep -q '^ctkd: 1 of 2 runs failed$' stderr || fail "$(cat stderr)"
expect 2 "$ctkd" sweep base.yaml optimiser.lr=1
expect_error 2 "ctkd sweep: found no arm, expected CONFIGs or --arm NAME" "$ctkd" sweep
expect_error 2 "ctkd sweep: found two arms 'base', expected a name for each" "$ctkd" sweep base.yaml base.yaml
expect_error 2 "ctkd sweep: --seeds: found '3..1', expected seeds such as 1..8 or 1,2,5 (at most 1000)" "$ctkd" sweep base.yaml --seeds 3..1
expect_error 2 "ctkd sweep: --seeds: found 2 twice, expected it once" "$ctkd" sweep base.yaml --seeds 1..3,2
for seed in 9007199254740993 9223372036854775807 99999999999999999999; do
    expect_error 2 "ctkd sweep: --seeds: found '$seed', expected seeds such as 1..8 or 1,2,5 (at most 1000)" "$ctkd" sweep base.yaml --seeds $seed
done
expect 0 "$ctkd" sweep base.yaml --seeds 9007199254740992 --print
expect_error 2 "ctkd sweep: --dir: found no name, expected a folder" "$ctkd" sweep base.yaml --dir ""
expect 1 "$ctkd" sweep base.yaml --jobs 1000 --dir many
grep -q '^ctkd: --jobs: found 1000, expected 1 to ' stderr || fail "$(cat stderr)"
