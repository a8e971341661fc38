#!/usr/bin/env bash
# usage: doctor_ranks.sh BUILD SOURCE
# `ctkd doctor` on two ranks: the placement of each, what exchanges cost, and what a step spends on them; and that two
# ranks of a run work where doctor says, on other cores than each other where there are enough.
set -euo pipefail
source "$(dirname "$0")/../support/work_folder.bash"
source "$source/tests/support/launcher.bash"
source "$source/tests/support/tiny_data.bash"
tiny_data data 16 96 40
small="data.set=mnist:data data.mean=0.31 data.std=0.31 student.network=resnet8 train.threads=1 train.batch=16
    schedule.kind=constant"
host=$(hostname)
expect 0 "$ctkd" train $small train.epochs=6 run.dir=teacher
distil="$small teacher.path=teacher"

# One process: the line of its threads, and nothing of ranks
expect 0 "$ctkd" doctor $distil
! grep -Eq '^(ok|PROBLEM) +(placement|exchange) ' stdout || fail "one process: $(cat stdout)"
cores=$(sed -nE 's/^ok +threads .*, ([0-9]+) by default; .*/\1/p' stdout)
[ "$cores" -ge 1 ] || fail "no number of cores: $(cat stdout)"
if [ "$cores" -ge 2 ]; then enough=0 verdict=ok; else enough=1 verdict=PROBLEM; fi

# Two ranks: once, though both look. On one core the second one shares it, which is a problem.
expect $enough launch 2 "$ctkd" doctor $distil
for line in "ok +placement +rank 0 on $host: 1 thread on [0-9]+ cores? \(CPUs [0-9,-]+\)(, one each)?" \
    "$verdict +placement +rank 1 on $host: 1 thread on [0-9]+ cores? \(CPUs [0-9,-]+\)(, one each)?(, which it shares with rank 0: .*)?" \
    'ok +exchange +latency of 4 bytes: [0-9.]+ ms' 'ok +exchange +sum of 1\.000 MB: [0-9.]+ ms, each rank sends [0-9.]+ GB/s' \
    'ok +exchange +sum of 47\.000 MB: [0-9.]+ ms, each rank sends [0-9.]+ GB/s' \
    'ok +exchange +sum of 0\.3[0-9]+ MB \(the gradient of this run\): [0-9.]+ ms, each rank sends [0-9.]+ GB/s' \
    'ok +exchange +a step sends 3[0-9]{5} bytes of gradients, [0-9]+ for batch norms, 640 of logits and 8 others, in 25 exchanges' \
    'ok +exchange +gradients are exchanged beside the backward pass, in 1 part' \
    'ok +exchange +that is predicted to take [0-9.]+ ms \(gradients .*\) beside a step of [0-9.]+ ms, of which [0-9.]+ ms are exposed \(gradients [0-9.]+\)' \
    'ok +exchange +the steps waited [0-9.]+ ms each in exchanges, .*'; do
    [ "$(grep -Ec "^$line$" stdout)" -eq 1 ] || fail "expected once '$line': $(cat stdout)"
done
[ ! -e runs ] || fail "doctor wrote a run"

# The same as members
expect $enough launch 2 "$ctkd" doctor $distil --json
mv stdout two.json
python3 - two.json "$host" <<'PY'
import json, math, sys
found = json.load(open(sys.argv[1]))
assert [p["rank"] for p in found["placement"]] == [f"rank {r} on {sys.argv[2]}" for r in (0, 1)], found
assert [p["threads"] for p in found["placement"]] == [1, 1], found
sizes = [t["bytes"] for t in found["exchange"]]
assert sizes[:3] == [4, 1000000, 47000000] and all(t["seconds"] > 0 for t in found["exchange"]), found
step = found["step_exchange"]
# Of two ranks each sends the half that the other adds, and the half that it has added: 2 (R - 1) / R = 1 gradient.
assert step["gradients"]["bytes"] == sizes[3] and step["gradients"]["exchanges"] == 4, found # in two pieces
# resnet8 has 9 batch norms, each with two sums.
assert step["batch_norms"]["exchanges"] == 18 and step["batch_norms"]["bytes"] > 0, found
# Teacher's and student's logits of 8 of 16 images and 10 classes; the control word
assert step["logits"]["exchanges"] == 2 and step["logits"]["bytes"] == 2 * 8 * 10 * 4, found
assert step["others"]["exchanges"] == 1 and step["others"]["bytes"] == 8, found
for name in "exposed_seconds", "waited_seconds":
    assert math.isclose(found[name], sum(t[name] for t in step.values()), rel_tol=1e-5), found
for topic in step:
    hidden = step[topic]["predicted_seconds"] - step[topic]["exposed_seconds"]
    assert hidden >= 0 if topic == "gradients" else hidden == 0, found
assert step["gradients"]["predicted_seconds"] > 0 and found["step_seconds"] > 0 and found["gradient_parts"] == 1, found
PY

# Behind the backward pass: when train.overlap says so, and when MPI lets only one thread use it
cat >one_thread.c <<'C'
int PMPI_Init_thread(int *argc, char ***argv, int wanted, int *provided);
int MPI_Init_thread(int *argc, char ***argv, int wanted, int *provided)
{
    const int status = PMPI_Init_thread(argc, argv, wanted, provided);
    *provided -= 1;
    return status;
}
C
cc -shared -fPIC -o one_thread.so one_thread.c
asan=$(ldd "$ctkd" | sed -n 's/.*=> \(.*libasan[^ ]*\).*/\1/p') # wants to be the first
one_thread="env LD_PRELOAD=${asan:+$asan:}$folder/one_thread.so"
expect $enough launch 2 "$ctkd" doctor $distil train.overlap=false --json
grep -q '"gradient_parts": 0' stdout || fail "train.overlap=false: $(cat stdout)"
expect $enough launch 2 $one_thread "$ctkd" doctor $distil
grep -q 'gradients are exchanged behind the backward pass: this MPI lets only one thread use it$' stdout ||
    fail "one thread: $(cat stdout)"
expect 0 launch 2 $one_thread "$ctkd" train $small train.max_steps=1 run.dir=one
[ "$(grep -c '^2 ranks by .*; this MPI lets only one thread use it: gradients are exchanged behind' stderr)" -eq 1 ] ||
    fail "one thread: $(cat stderr)"

# Every thread of two ranks of a run that is held to some CPUs, as the kernel tells it
launch 2 "$ctkd" train $small run.dir="$folder/run" train.epochs=100000 train.log_every=1 >out 2>stderr </dev/null &
launcher=$!
ranks() { pgrep -f "^$ctkd train .*run.dir=$folder/run"; }
trap 'kill $(ranks) 2>/dev/null || true; wait || true; rm -rf "$folder"' EXIT
until grep -qs '"step": 3,' run/log.jsonl; do
    kill -0 $launcher || fail "the run ended by itself"
    sleep 0.02
done
python3 - two.json "$cores" $(ranks) <<'PY'
import glob, json, re, sys
def cpus(text):
    ends = [part.split("-") for part in text.split(",")]
    return {cpu for end in ends for cpu in range(int(end[0]), int(end[-1]) + 1)}
def allowed(path):
    return cpus(re.search(r"^Cpus_allowed_list:\s*(\S+)$", open(path).read(), re.M).group(1))
doctor = [cpus(p["cpus"]) for p in json.load(open(sys.argv[1]))["placement"]]
usable = allowed("/proc/self/status") # also what threads of MPI have, which were there before
ranks = {}
for pid in sys.argv[3:]:
    environment = open(f"/proc/{pid}/environ").read()
    rank = int(re.search(r"(?:^|\0)(?:OMPI_COMM_WORLD_RANK|PMI_RANK)=(\d+)\0", environment).group(1))
    held = allowed(f"/proc/{pid}/status")
    for path in glob.glob(f"/proc/{pid}/task/*/status"):
        held |= allowed(path) if allowed(path) < usable else set()
    ranks[rank] = held
assert sorted(ranks) == [0, 1], ranks
for rank in ranks:
    assert ranks[rank] <= doctor[rank], f"rank {rank} works on {ranks[rank]}, doctor says {doctor[rank]}"
if int(sys.argv[2]) >= 2:
    assert not ranks[0] & ranks[1], f"both ranks work on {ranks[0] & ranks[1]}"
PY
kill -USR1 $(ranks)
status=0
wait $launcher || status=$?
[ $status -eq 75 ] || fail "found status $status of the run, expected that of one that SIGUSR1 has ended: 75"

# One core for both: the second shares it.
cpu=$(sed -nE 's/^Cpus_allowed_list:\s*([0-9]+).*/\1/p' /proc/self/status)
expect 1 launch 2 taskset -c "$cpu" "$ctkd" doctor $small
grep -Eq "^PROBLEM +placement +rank 1 on $host: 1 thread on 1 core \(CPUs $cpu\), one each, which it shares with rank 0: " stdout ||
    fail "one core: $(cat stdout)"

# Slurm without binding grants fewer CPUs than both may use: each takes its part of them, anywhere.
granted="env SLURM_JOB_ID=1 SLURM_CPUS_ON_NODE=1"
if [ "$cores" -ge 2 ]; then
    free="${small/train.threads=1/}"
    export OMPI_MCA_hwloc_base_binding_policy=none
    expect 0 launch 2 $granted "$ctkd" doctor $free
    [ "$(grep -Ec "^ok +placement +rank [01] on $host: 1 thread on $cores cores \(CPUs [0-9,-]+\)$" stdout)" -eq 2 ] ||
        fail "granted CPUs: $(cat stdout)"
    unset OMPI_MCA_hwloc_base_binding_policy
fi
# What is for one process, mistakes, and ranks that differ: said once
expect 2 launch 2 "$ctkd" doctor "$folder/data"
[ "$(grep -c "^ctkd doctor: $folder/data: found 2 ranks, expected one process$" stderr)" -eq 1 ] || fail "DATA on two ranks"
expect 2 launch 2 "$ctkd" doctor $small nonsense=1
[ "$(grep -c nonsense stderr)" -eq 1 ] || fail "a mistake on the command line: expected it once"
expect 1 launch 1 "$ctkd" doctor $small : -n 1 "$ctkd" doctor $small optimizer.lr=0.2
[ "$(grep -c "rank 1 on $host: optimizer.lr: found '0.2" stderr)" -eq 1 ] || fail "ranks that differ"

# A run tells a problem of its first step once: the second rank has no directory to note it in.
expect 0 launch 2 "$ctkd" distill $distil train.max_steps=1 train.epochs=1 method.ce_weight=1e-6 train.profile=true run.dir=noted
[ "$(grep -c 'the cross-entropy term has almost no influence' stderr)" -eq 1 ] || fail "a note of two ranks: expected it once"

# Its profile has a row for each kind of exchange; with whole batch-norm groups there is none of logits.
profile_has() { # ROW...
    for what in "$@"; do
        [ "$(grep -Ec "^ranks $what +exchange +waited for +1\.0 +[0-9.]+ " stderr)" -eq 1 ] || fail "profile: no $what: $(cat stderr)"
    done
}
profile_has gradients "batch norms" logits
expect 0 launch 2 "$ctkd" distill $distil train.max_steps=1 train.epochs=1 train.batch_norm_group=4 train.profile=true run.dir=groups
profile_has gradients "batch norms"
! grep -q "^ranks logits" stderr || fail "profile: whole groups exchange logits: $(cat stderr)"

# Its log tells how the ranks worked, and what doctor has counted in a step.
python3 - two.json noted/log.jsonl <<'PY'
import json, sys
step = json.load(open(sys.argv[1]))["step_exchange"]
(line,) = [json.loads(text) for text in open(sys.argv[2])]
assert [line[key] for key in ("ranks", "threads", "slices", "bn_group")] == [2, 1, 2, 16], line
assert line["comm_bytes"] == sum(topic["bytes"] for topic in step.values()), (line, step)
assert line["comm_ms"] > 0 and 0 < line["comm_exposed_ms"] <= line["comm_wait_ms"], line
PY
grep -q '"ranks": 2, "threads": 1,' noted/summary.json || fail "summary.json: $(cat noted/summary.json)"
