#!/usr/bin/env bash
# usage: mpi_faults.sh BUILD SOURCE
# Ranks, and their launcher, that are killed in the middle of a run: nothing hangs, the checkpoint is intact, and the run
# resumes, also on another number of ranks, to the bits of one that nothing happened to. CTKD_FAULTS=100 tries each
# kind that often, the default once. The texts of what ranks refuse at their start.
set -euo pipefail
source "$(dirname "$0")/../support/work_folder.bash"
source "$source/tests/support/launcher.bash"
source "$source/tests/support/tiny_data.bash"
source "$source/tests/support/same_run.bash"
source "$source/tests/support/photos.bash"
tiny_data data 16 200 50
run="$ctkd train data.set=mnist:data student.network=resnet8 data.pad_to=32 train.threads=1 train.slices=4
    train.batch=40 train.epochs=4 train.log_every=1 optimizer.lr=0.01"
long=${run/train.epochs=4/train.epochs=100000}
expect 0 $run run.dir=whole
host=$(hostname)

begin() {
    rm -rf hurt
    begin_in_place
}
begin_in_place() { # two ranks in the background, until they have made some steps
    launch 2 ${as_srun:-} ${endless:-$run} run.dir=$folder/hurt >stdout 2>stderr </dev/null &
    launcher=$!
    until grep -qs "\"step\": $((2 + RANDOM % 14))," hurt/log.jsonl; do
        kill -0 $launcher || fail "the run ended by itself"
        sleep 0.02
    done
}
rank() { # the process of rank $1
    local pid
    for pid in $(pgrep -f "$ctkd train .*run.dir=$folder/hurt"); do
        ! tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -qE "^(OMPI_COMM_WORLD_RANK|PMI_RANK)=$1$" || echo "$pid"
    done | head -n 1
}
mpirun_process() { # below a shell and timeout, which do not end with it
    local pid=$launcher
    while [ "$pid" ]; do
        case $(cat "/proc/$pid/comm" 2>/dev/null) in mpirun* | mpiexec* | orterun*) echo "$pid" && return ;; esac
        pid=$(pgrep -P "$pid" | head -n 1)
    done
}
strike() { # SIGNAL WHO...: in the middle of a run; of another one if that was over before
    for _ in 1 2 3 4 5 6; do
        begin
        kill "-$1" "$("${@:2}")" 2>/dev/null && return
        wait $launcher || true
    done
    fail "SIG$1 to ${*:2}: six runs were over before it came"
}
# ended KIND [0]: the launcher is gone within a minute, with its ranks and, unless 0 is allowed, with a status that says
# so; and the run resumes.
ended() {
    ended_within "$1"
    [ $status -ne 0 ] || [ "${2:-}" = 0 ] || fail "$1: status 0"
    mv stderr why
    resumed "$1"
}
ended_within() {
    status=0
    SECONDS=0
    wait $launcher || status=$?
    for _ in $(seq 300); do
        pgrep -f "$ctkd train .*run.dir=$folder/hurt" >/dev/null || break
        sleep 0.1
    done
    ! pgrep -f "$ctkd train .*run.dir=$folder/hurt" >/dev/null && [ $SECONDS -lt 60 ] || fail "$1: still there after $SECONDS s"
}
resumed() { # on another number of ranks
    local ranks=$((1 << RANDOM % 3))
    if [ "$ranks" -eq 1 ]; then expect 0 $run run.dir=$folder/hurt --resume; else expect 0 launch "$ranks" $run run.dir=$folder/hurt --resume; fi
    (same_run whole hurt) || fail "$1: other bits after it was resumed on $ranks ranks"
}
# Open MPI passes a signal to mpirun on after a second, when a short run is over: of a longer one nothing but the step
# under way is lost, since the checkpoint is of the last step in the log, and it resumes with the same bits.
to_launcher() { # SIGNAL
    local header bytes steps
    endless=$long strike "$1" mpirun_process
    ended_within "SIG$1 to mpirun"
    [ $status -ne 0 ] || fail "SIG$1 to mpirun: status 0"
    header=$(od -An -N8 -t u8 hurt/last.ckpt)
    bytes=$(od -An -j $((8 + header + 8 * 41)) -N 8 -t f8 hurt/last.ckpt)
    [ "${bytes// /}" = "$(stat -c %s hurt/log.jsonl)" ] || fail "SIG$1 to mpirun: the checkpoint is of${bytes} bytes of the log"
    steps=$(($(grep -c '"kind": "step"' hurt/log.jsonl) + 2))
    rm -rf unhurt
    expect 0 $long train.max_steps=$steps run.dir=unhurt
    expect 0 $long train.max_steps=$steps run.dir=$folder/hurt --resume
    (same_run unhurt hurt) || fail "SIG$1 to mpirun: other bits after step $steps"
}
early() { # SIGUSR1 while rank 0 still waits in MPI for another one: a step is made and saved
    rm -rf hurt
    timeout 200 "$mpirun" -n 1 $run run.dir=$folder/hurt : -n 1 bash -c 'sleep 1; exec "$@"' late $run run.dir=$folder/hurt \
        >stdout 2>stderr </dev/null &
    launcher=$!
    until [ -n "$(rank 0)" ] && [ "$(find "/proc/$(rank 0)/task" -mindepth 1 -maxdepth 1 | wc -l)" -gt 1 ]; do
        kill -0 $launcher || fail "the run ended by itself"
        sleep 0.02
    done
    kill -USR1 "$(rank 0)"
    ended "SIGUSR1 at the start"
    [ $status -eq 75 ] || fail "SIGUSR1 at the start: status $status, expected 75"
}
late() { # train.max_minutes: after one step or more; a shorter one if the run was over before
    local limit=$((1 + RANDOM % 200)) # ms
    for (( ; ; limit = (limit + 1) / 2)); do
        rm -rf hurt
        launch 2 $run run.dir=$folder/hurt train.max_minutes="$(printf '%d.%06d' $((limit / 60000)) $((limit * 1000 / 60 % 1000000)))" \
            >stdout 2>stderr </dev/null &
        launcher=$!
        ended "train.max_minutes" 0
        [ $status -ne 0 ] || [ $limit -eq 1 ] || continue
        [ $status -eq 75 ] || fail "train.max_minutes: status $status, expected 75"
        grep -q "^ctkd: train.max_minutes reached at epoch .*; resume with: " why || fail "train.max_minutes: no message"
        break
    done
}

# The disk of the run fills up: rank 0 says so, once, with what it could not write, and the last checkpoint is intact.
disk=
filled=0
if [ "$(id -u)" -eq 0 ] && mkdir disk && mount -t tmpfs -o size=8m ctkd disk 2>/dev/null; then
    disk=$PWD/disk
    trap 'umount "$disk"; rm -rf "$folder"' EXIT
else
    echo "not run: a full disk (only root can mount one of its own)"
fi
fill() {
    [ -n "$disk" ] || return 0
    for _ in 1 2 3 4 5 6; do # another run if that was over before
        rm -rf hurt disk/*
        mkdir disk/run
        ln -s disk/run hurt
        begin_in_place
        head -c 100M /dev/zero >disk/filler 2>/dev/null || true
        ended_within "a full disk"
        [ $status -eq 0 ] || break
    done
    [ $status -eq 1 ] || fail "a full disk: status $status, expected 1"
    [ "$(grep -c "^ctkd" stderr)" -eq 1 ] && grep -qE "^ctkd: rank 0 on $host: .*: No space left on device" stderr ||
        fail "a full disk: expected one message of rank 0"
    rm disk/filler
    resumed "a full disk"
    rm hurt
    filled=$((filled + 1))
}
for ((i = 0; i < ${CTKD_FAULTS:-1}; i++)); do
    strike KILL rank $((RANDOM % 2))
    ended "a rank is killed"
    strike KILL mpirun_process
    ended "mpirun is killed"
    to_launcher TERM
    to_launcher INT
    strike INT rank 0
    ended "SIGINT to rank 0"
    [ $status -eq 130 ] || fail "SIGINT to rank 0: status $status, expected 130"
    strike TERM rank 1
    ended "SIGTERM to rank 1"
    [ $status -eq 143 ] || fail "SIGTERM to rank 1: status $status, expected 143"
    grep -q "^ctkd: interrupted at epoch .*; resume with: " why || fail "SIGTERM to rank 1: no message"
    if [ "$launcher_kind" = openmpi ]; then # srun lets the others wait for a rank that has left: rank 0 ends them
        as_srun="env -u OMPI_COMM_WORLD_SIZE SLURM_STEP_NUM_TASKS=2"
        strike TERM rank 0
        as_srun=
        ended "SIGTERM to rank 0 below srun"
        # Open MPI says so itself, or that it could not read its message; or rank 1, which knows of the end too, has left first
        [ $status -eq 143 ] && grep -qE "^MPI_ABORT was invoked on rank 0 |ORTE_ERROR_LOG: .*/show_help\.c|Process name: \[\[[0-9]+,[0-9]+\],1\]" why ||
            { cat why && fail "SIGTERM to rank 0 below srun: status $status"; }
    fi
    strike USR1 rank $((RANDOM % 2))
    ended "SIGUSR1"
    [ $status -eq 75 ] || fail "SIGUSR1: status $status, expected 75"
    early
    strike STOP rank 1
    sleep 0.2
    kill -KILL "$(rank 1)"
    ended "a stopped rank is killed"
    late
    fill
done
[ -z "$disk" ] || echo "$filled full disks"

# A rank that hangs is named, and the last step is saved.
rm -rf hurt
launch 2 $run run.dir=$folder/hurt train.timeout_seconds=2 >stdout 2>stderr </dev/null &
launcher=$!
until grep -qs '"step": 3,' hurt/log.jsonl; do sleep 0.02; done
kill -STOP "$(rank 1)"
ended "a rank hangs"
grep -qE "^ctkd: rank 1 on $host did not answer within 2 s \(train.timeout_seconds\); the run is saved at epoch .* and can be resumed$" why ||
    { cat why && fail "a rank hangs: expected its name"; }

# refuses STATUS TEXT ARGUMENT...: two ranks, the second one with the arguments; once, and nothing is written
refuses() {
    local wanted=$1 text=$2
    shift 2
    status=0
    timeout 200 "$mpirun" -n 1 $run run.dir=refused : -n 1 $run run.dir=refused "$@" >stdout 2>stderr || status=$?
    [ $status -eq "$wanted" ] && [ "$(grep -c "^ctkd" stderr)" -eq 1 ] && grep -qE "^ctkd( train)?: $text" stderr ||
        fail "status $status, expected $wanted and once: $text"
    [ ! -e refused ] || fail "a directory was made before: $text"
}
tiny_data other 16 100 50
refuses 1 "rank 1 on $host: optimizer.lr: found '0.2', expected '0.01" optimizer.lr=0.2
elsewhere() { # STATUS TEXT ENVIRONMENT_OR_COMMAND...: the same, with these words instead of the command of the second rank
    local wanted=$1 text=$2
    shift 2
    local second=("$@" ${run#"$ctkd"})
    status=0
    timeout 200 "$mpirun" -n 1 $run run.dir=refused : -n 1 "${second[@]}" run.dir=refused >stdout 2>stderr || status=$?
    [ $status -eq "$wanted" ] && [ "$(grep -c "^ctkd" stderr)" -eq 1 ] && grep -qE "^ctkd( train)?: $text" stderr ||
        fail "status $status, expected $wanted and once: $text"
    [ ! -e refused ] || fail "a directory was made before: $text"
}
elsewhere 1 "rank 1 on $host: kernels: found 'portable', expected '(avx2|avx512)' as on rank 0" env CTKD_MAX_ISA=portable "$ctkd"
elsewhere 1 "rank 1 on $host: oneDNN: found '[^']*SSE4.1', expected '[^']*' as on rank 0" env ONEDNN_MAX_CPU_ISA=SSE41 "$ctkd"
mkdir newer
cp "$ctkd" "$(dirname "$ctkd")"/libctkd_mpi.so newer/
echo >>newer/ctkd # runs as before
elsewhere 1 "rank 1 on $host: program \(SHA-256\): found '[0-9a-f]{64}', expected '[0-9a-f]{64}' as on rank 0" newer/ctkd
mkdir empty
cp "$ctkd" empty/
elsewhere 1 "OMPI_COMM_WORLD_SIZE asks for several processes, and this ctkd is built without MPI: no libctkd_mpi.so in " empty/ctkd
refuses 1 "rank 1 on $host: number of training images: found '100', expected '200' as on rank 0" data.set=mnist:other
refuses 1 "rank 1 on $host: .*nowhere" data.set=mnist:nowhere
cp -r data changed
printf '\1' | dd of=changed/train-images-idx3-ubyte bs=1 seek=5000 conv=notrunc status=none
refuses 1 "rank 1 on $host: training images \(SHA-256\): found '[0-9a-f]{64}', expected '[0-9a-f]{64}' as on rank 0" data.set=mnist:changed
expect 1 launch 4 $run run.dir=refused train.batch=3
[ "$(grep -c '^ctkd: rank . on .*: train.batch: found 4 ranks for batches of 3 images' stderr)" -eq 1 ] || fail "more ranks than images"
# What the command line has wrong before the ranks have met: once from all (mpirun of MPICH lets them go on, and they
# repeat it), and from one that has it alone.
if [ "$launcher_kind" = openmpi ]; then
    for words in "train --bogus" "eval whole --bogus" "tarin" "train optimizer.lr= 1"; do
        expect 2 launch 2 "$ctkd" $words
        [ "$(grep -c '^ctkd' stderr)" -eq 1 ] || fail "$words: expected one line: $(cat stderr)"
    done
fi
expect 2 launch 1 $run run.dir=refused : -n 1 "$ctkd" train --bogus
[ "$(grep -c "^ctkd train: unknown option '--bogus'" stderr)" -eq 1 ] && [ ! -e refused ] || fail "a flag of one rank: $(cat stderr)"
# Evaluation: the same weights everywhere, and a mistake that only one rank sees
cp -r data pale
printf '\1' | dd of=pale/t10k-images-idx3-ubyte bs=1 seek=5000 conv=notrunc status=none
cp -r whole moved
printf 'U' | dd of=moved/last.safetensors bs=1 seek=$(($(stat -c %s moved/last.safetensors) - 3)) conv=notrunc status=none
evaluates() { # STATUS TEXT ARGUMENT...: the second rank's
    expect "$1" launch 1 "$ctkd" eval whole : -n 1 "$ctkd" eval "${@:3}"
    [ "$(grep -c "^ctkd" stderr)" -eq 1 ] && grep -qE "^ctkd( eval)?: rank 1 on $host: $2" stderr || fail "eval: expected once: $2, found $(cat stderr)"
}
distil="distill ${run#*train } teacher.tolerance=100 run.dir=refused"
expect 1 launch 1 "$ctkd" $distil teacher.path=whole : -n 1 "$ctkd" $distil teacher.path=moved
[ "$(grep -c "^ctkd: rank 1 on $host: teacher's weights (SHA-256): found '" stderr)" -eq 1 ] && [ ! -e refused ] || fail "other teachers"
photo_folder named 4 4 ant bee
mkdir elsewhere && printf 'ant\nbee\n' >names && printf 'bee\nant\n' >elsewhere/names # the same word on each machine
named="student.network=resnet8 data.set=imagefolder:$folder/named data.size=16 train.threads=1 train.epochs=1 train.batch=8"
expect 0 "$ctkd" train $named run.dir=namer
named="distill $named teacher.path=$folder/namer teacher.tolerance=100 teacher.classes=names run.dir=refused"
expect 1 launch 1 "$ctkd" $named : -n 1 env -C elsewhere "$ctkd" $named
[ "$(grep -c "^ctkd: rank 1 on $host: teacher's classes (SHA-256): found '[0-9a-f]*', expected 'none' as on rank 0$" stderr)" -eq 1 ] ||
    fail "other names of the teacher's outputs: $(cat stderr)"
evaluates 1 "(weights|running statistics) \(SHA-256\): found '[0-9a-f]{64}', expected '[0-9a-f]{64}' as on rank 0$" \
    moved
evaluates 1 "test images \(SHA-256\): " whole data.set=mnist:pale
evaluates 1 "nowhere" nowhere
evaluates 2 ".*nonsense" whole nonsense=1
expect 2 launch 2 $run run.dir=refused nonsense=1
[ "$(grep -c 'nonsense' stderr)" -eq 1 ] || fail "a mistake on the command line: expected it once"
expect 1 launch 2 "$ctkd" train nowhere.yaml
[ "$(grep -c 'nowhere.yaml' stderr)" -eq 1 ] || fail "no CONFIG: expected it once"
expect 2 launch 2 "$ctkd" models
grep -Eq '^ctkd models: found 2 processes that a launcher \(mpirun, srun\) has started, expected one; if this is the only one, unset (OMPI_COMM_WORLD_SIZE|PMI_SIZE)$' stderr || fail "models on two ranks"
