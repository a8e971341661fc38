#!/usr/bin/env bash
# usage: bench/slurm.sh BUILD (as root; Debian: slurm-wlm, munge and Open MPI)
# Starts a Slurm of its own in a temporary folder (munge, a controller, and on this machine four nodes with host names
# of their own, which need no systemd and no accounting), and tries there what doc/clusters.md promises. It prints a line
# for each check and stops everything at its end, also after a failure. node1 and node2 bind tasks to CPUs
# (TaskPlugin=task/affinity), free1 and free2 do not (task/none). It takes some eight minutes.
set -euo pipefail
source=$(cd "$(dirname "$0")/.." && pwd)
set -- "$1" "$source"
source "$source/tests/support/work_folder.bash"
source "$source/tests/support/tiny_data.bash"
source "$source/tests/support/same_run.bash"
command -v munged slurmctld slurmd >/dev/null && [ "$(id -u)" -eq 0 ] &&
    [ "$(cat "$(dirname "$ctkd")/mpi.txt" 2>/dev/null)" = openmpi ] || { echo "needs Slurm, munge, Open MPI, and root" && exit 77; }

# --- the cluster

daemons=()
stop_cluster() {
    local status=$? pid
    set +e
    scancel --user=root 2>/dev/null
    scancel --user=root --full --signal=KILL 2>/dev/null
    for _ in $(seq 100); do
        squeue -h 2>/dev/null | grep -q . || break
        sleep 0.1
    done
    [ $status -eq 0 ] || { tail -n 3 cluster/*.log; }
    for pid in "${daemons[@]}"; do kill "$pid" 2>/dev/null; done
    wait
    cd /
    rm -rf "$folder"
    exit $status
}
trap stop_cluster EXIT
daemon() { # NAME COMMAND...
    "${@:2}" >"cluster/$1.out" 2>&1 </dev/null &
    daemons+=($!)
}
nodes="node1 node2 free1 free2"
mkdir -p cluster/state
conf=$folder/cluster
cat >cluster/bound.conf <<CONF
ClusterName=ctkd
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmctldPort=16817
SlurmUser=root
AuthInfo=socket=$conf/munge.socket
StateSaveLocation=$conf/state
SlurmdSpoolDir=$conf/spool-%n
TmpFS=$conf/tmp-%n
SlurmctldPidFile=$conf/slurmctld.pid
SlurmdPidFile=$conf/%n.pid
SlurmctldLogFile=$conf/slurmctld.log
SlurmdLogFile=$conf/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=1,sched_interval=2
SlurmdParameters=config_overrides
DebugFlags=NO_CONF_HASH
MailProg=/bin/true
ReturnToService=2
SlurmdTimeout=600
$(port=16820 && for node in $nodes; do
    port=$((port + 1))
    echo "NodeName=$node NodeHostname=$node NodeAddr=127.0.0.1 Port=$port CPUs=$(nproc) CoresPerSocket=$(nproc)"
done)
PartitionName=bound Nodes=node1,node2 Default=YES
PartitionName=free Nodes=free1,free2
CONF
sed 's|^TaskPlugin=.*|TaskPlugin=task/none|' cluster/bound.conf >cluster/free.conf
export SLURM_CONF=$conf/bound.conf

start_cluster() {
    local node
    (umask 077 && head -c 1024 /dev/urandom >cluster/munge.key)
    chmod 755 "$folder" # munge insists that others can reach its socket
    daemon munge munged --foreground --force --socket=$conf/munge.socket --key-file=$conf/munge.key \
        --pid-file=$conf/munge.pid --seed-file=$conf/munge.seed --log-file=$conf/munge.log
    for _ in $(seq 50); do
        [ ! -S cluster/munge.socket ] || break
        sleep 0.1
    done
    daemon slurmctld slurmctld -D -c
    for node in $nodes; do
        mkdir -p "cluster/tmp-$node" "cluster/spool-$node"
        case $node in node*) conf_of=$conf/bound.conf ;; *) conf_of=$conf/free.conf ;; esac
        daemon "$node" unshare --uts sh -c "hostname $node; exec env SLURM_CONF=$conf_of slurmd -D -N $node -f $conf_of"
    done
    for _ in $(seq 200); do
        [ "$(sinfo -h -N -o %T 2>/dev/null | grep -c '^idle$')" -lt 4 ] || return 0
        sleep 0.2
    done
    sinfo
    fail "the nodes did not come up"
}

# --- runs

PATH=$(dirname "$ctkd"):$PATH # the batch scripts call it ctkd
common="teacher.path=$folder/teacher teacher.tolerance=100 data.pad_to=32 train.threads=1 train.slices=4 train.batch=40
    train.epochs=100000 train.log_every=1 optimizer.lr=0.01 schedule.kind=constant"
run="$ctkd distill data.set=mnist:$folder/data student.network=resnet8 $common"
steps=60 # of the run that nothing happens to
on() { timeout -k 5 200 srun "$@"; }
ok() { printf 'ok  %-18s %s\n' "$1" "${*:2}"; }

# begin OPTION...: the run hurt, in the background, until it has made some steps
begin() {
    rm -rf hurt
    srun --mpi=pmix "$@" $run run.dir="$folder/hurt" >stdout 2>stderr </dev/null &
    launcher=$!
    until_step hurt 3
    job=$(squeue -h -o %A)
}
until_step() { # DIRECTORY N
    for _ in $(seq 1200); do
        ! grep -qs "\"step\": $2," "$1/log.jsonl" || return 0
        sleep 0.1
    done
    fail "$1: no step $2 within two minutes"
}
no_jobs() {
    for _ in $(seq 900); do
        squeue -h | grep -q . || return 0
        sleep 0.1
    done
    fail "still a job: $(squeue)"
}
rank() { # the process of a rank
    local pid
    for pid in $(pgrep -f "^$ctkd distill .*run.dir=$folder/hurt"); do
        ! tr '\0' '\n' <"/proc/$pid/environ" | grep -qx "SLURM_PROCID=$1" || echo "$pid"
    done
}
# ended WHAT STATUSES SECONDS [lost]: srun ends with this status in time, and the run resumes on four ranks to the expected bits.
ended() {
    local status=0
    SECONDS=0
    wait $launcher || status=$?
    no_jobs
    local took=$SECONDS
    [[ " $2 " == *" $status "* ]] && [ $took -le "$3" ] || fail "$1: status $status after $took s, expected $2 within $3 s"
    [ "${4:-saved}" != saved ] || grep -q '"status": "interrupted"' hurt/summary.json || fail "$1: not saved"
    resumed "$1" hurt
    ok "$1" "status $status after $took s; resumed on four tasks: the bits of one process"
}
resumed() { # WHAT DIRECTORY
    expect 0 on --mpi=pmix -N2 -n4 --overcommit $run run.dir="$folder/$2" train.max_steps=$steps --resume
    (same_run whole "$2") || fail "$1: other bits"
    no_jobs
}

# --- checks

ranks() { # without MPI, and with it on one node, on two, and with another MPI
    local how
    expect 1 on -n2 $run run.dir=refused
    [ "$(grep -c '^ctkd: SLURM_STEP_NUM_TASKS: srun has started 2 processes without MPI, which would be as many' stderr)" -eq 2 ] &&
        [ ! -e refused ] || fail "srun without MPI"
    ok "srun -n2" "refused: $(grep -m1 -o 'SLURM_STEP_NUM_TASKS.*' stderr)"
    expect 2 on -n2 "$ctkd" models
    grep -q '^ctkd models: found 2 processes that a launcher (mpirun, srun) has started, expected one; if this is the only one, unset SLURM_STEP_NUM_TASKS$' stderr || fail "models"
    # A batch script inherits the variables of the step in which sbatch is called, and is one process all the same.
    printf '#!/bin/sh\nenv | grep "^SLURM_STEP_NUM_TASKS"\nexec %s models\n' "$ctkd" >inner.sh
    expect 0 on -N1 -n2 bash -c "[ \$SLURM_PROCID = 1 ] || exec sbatch --wait --output=$folder/inner.out -n2 $folder/inner.sh"
    grep -qx 'SLURM_STEP_NUM_TASKS=2' inner.out && grep -q '^ *resnet8 ' inner.out || { cat inner.out && fail "sbatch within a step"; }
    expect 0 on -n2 env -u SLURM_STEP_NUM_TASKS "$ctkd" models
    ok "sbatch" "called within srun -n2: one process"
    for how in "-N1 -n2" "-N2 -n2"; do
        rm -rf pair
        expect 0 on --mpi=pmix $how $run run.dir=pair train.max_steps=$steps
        grep -q '^2 ranks by Open MPI' stderr || fail "$how: not two ranks"
        same_run whole pair
        ok "pmix $how" "the bits of one process"
    done
    ! on --mpi=pmi2 -n2 $run run.dir=refused >stdout 2>stderr && [ ! -e refused ] || fail "Open MPI with pmi2"
    ok "pmi2 -n2" "Open MPI refuses it: its own text of $(wc -l <stderr) lines"
    command -v mpicc.mpich >/dev/null || return 0
    mkdir mpich
    cp "$ctkd" mpich/
    mpicc.mpich -shared -fPIC -O1 -std=gnu17 -w -I"$source/src" -I"$source/include" -o mpich/libctkd_mpi.so \
        "$source"/src/dist/dist_mpi.c "$source"/src/util/{clock,error,text}.c
    rm -rf pair
    expect 0 on --mpi=pmi2 -N2 -n2 mpich/${run#"$(dirname "$ctkd")/"} run.dir=pair train.max_steps=$steps
    grep -q '^2 ranks by MPICH' stderr || fail "MPICH: not two ranks"
    (same_run whole pair) || fail "MPICH: other bits"
    expect 1 on --mpi=pmix -N2 -n2 mpich/${run#"$(dirname "$ctkd")/"} run.dir=refused
    grep -q 'MPICH .* finds 1: use .*--mpi=pmi2 for MPICH' stderr || fail "MPICH with pmix"
    ok "MPICH" "pmi2: the bits of one process; pmix: refused with the way out"
}

threads() { # EXPECTED OPTION...: the line of `ctkd doctor` on threads
    local expected=$1 status=0
    shift
    on "$@" "$ctkd" doctor data.set=mnist:$folder/data student.network=resnet8 train.batch=40 >stdout 2>stderr || status=$?
    grep -Eq "$expected" stdout || { cat stdout && fail "$*: expected '$expected'"; }
    ok "$*" "$(grep -E -m1 "$expected" stdout | sed 's/^ok *//')"
}
placement() {
    local all=$(nproc)
    threads "^ok +threads +1 thread on 1 core .*1 by default" -n1
    threads "^ok +threads +$all threads on $all cores .*one each, .*$all by default" -n1 --cpus-per-task="$all"
    threads "^ok +placement +rank 1 .*: 1 thread on 1 core \(CPUs [0-9]+\), one each$" --mpi=pmix -N1 -n2
    # Not bound: what Slurm grants counts.
    threads "^ok +threads +1 thread on $all cores .*quota of 1.00 CPUs, 1 by default" -p free -n1
    threads "^ok +placement +rank 1 .*: 1 thread on $all cores \(CPUs [0-9,-]+\)$" --mpi=pmix -p free -N2 -n2
    threads "^ok +placement +rank 1 .*: 1 thread on 1 core " --mpi=pmix -p free -N1 -n2
}

faults() {
    local safe=--kill-on-bad-exit=1 i
    for i in 1 2 3; do
        begin -N2 $safe
        scancel --signal=USR1 "$job"
        ended "scancel USR1" 75 20
    done
    begin -N2 $safe
    kill -USR1 "$(rank 1)"
    ended "USR1 to rank 1" 75 20
    begin -N2 # without --kill-on-bad-exit: rank 0 itself ends the others
    scancel --signal=TERM "$job"
    ended "scancel TERM" 143 20
    begin -N2 $safe
    kill -KILL "$(rank 1)"
    ended "rank 1 is killed" "137 143" 20
    begin -N2 $safe
    kill -KILL "$(rank 0)"
    ended "rank 0 is killed" 137 50 lost # KillWait: 30 s
}
differs() { # a rank with other data
    local status=0
    on --mpi=pmix -N2 --kill-on-bad-exit=1 bash -c "[ \$SLURM_PROCID = 1 ] && set -- data.limit=100; exec $(echo $run) run.dir=refused \"\$@\"" >stdout 2>stderr ||
        status=$?
    [ $status -eq 1 ] && [ "$(grep -c '^ctkd: rank 1 on node2: number of training images: ' stderr)" -eq 1 ] || fail "a rank differs"
    ok "a rank differs" "$(grep -m1 -o 'rank 1 on node2.*' stderr)"
}

# The scripts of doc/clusters.md as they are there; sbatch gets the sizes of this cluster.
script_of() { # WORD: the block of the document with this word
    awk -v word="$1" '/^```/ { if (inside && index(text, word)) printf "%s", text; inside = !inside; text = ""; next }
        inside { text = text $0 "\n" }' "$source/doc/clusters.md" | grep -v '^\$ '
}
submit() { # OPTION...: the script job.sh
    job=$(sbatch --parsable --export=ALL --output=job.out "$@")
}
batch_ended() { # STATE
    no_jobs
    scontrol show job "$job" | grep -q "JobState=$1 " || { cat job.out && fail "$(scontrol show job "$job")"; }
}
sizes="--nodes=2 --ntasks-per-node=1 --cpus-per-task=1"
batch() {
    local done_before
    script_of "srun --mpi=pmix" >job.sh
    expect 0 $run --dry-run
    cp stdout CONFIG # the configuration of the other runs, as a file
    # USR1 comes by itself, as early as the limit allows: Slurm sends it up to a minute before.
    rm -rf runs job.out
    submit $sizes --time=2 job.sh
    for _ in $(seq 1200); do
        [ "$(scontrol show job "$job" | grep -c 'Restarts=1 ')" -eq 0 ] || break
        sleep 0.1
    done
    grep -q '^srun: error: .* exit code 75' job.out && ! grep -q "exit code 1[0-9][0-9]" job.out || { cat job.out && fail "USR1"; }
    done_before=$(grep -c '"kind": "step"' runs/a/log.jsonl)
    scontrol update JobId="$job" TimeLimit=60   # not to meet the next signal
    sleep 20                                   # the node must have forgotten the first start
    scontrol update JobId="$job" StartTime=now # else it waits for two minutes
    until_step runs/a $((done_before + 3))
    grep -q '^resumed: epoch ' job.out || { cat job.out && fail "the requeued job did not resume, or lost its messages"; }
    scancel "$job"
    batch_ended CANCELLED
    grep -q '"status": "interrupted"' runs/a/summary.json || fail "scancel: not saved"
    steps=$(($(grep -c '"kind": "step"' runs/a/log.jsonl) + 10))
    rm -rf whole
    expect 0 $run run.dir=whole train.max_steps=$steps
    resumed "batch" runs/a
    ok "sbatch" "USR1 before the limit, status 75, requeued after $done_before steps, resumed, scancel: the bits of one process"
}
time_limit() { # without a signal before it
    script_of "srun --mpi=pmix" | sed 's/ --signal=[^ ]*//' >unwarned.sh
    expect 0 $run --dry-run
    mv stdout CONFIG
    rm -rf runs job.out
    submit $sizes --time=1 unwarned.sh
    until_step runs/a 3
    batch_ended TIMEOUT
    grep -q '"status": "interrupted"' runs/a/summary.json || { cat job.out && fail "time limit: not saved"; }
    ok "time limit" "without --signal: $(grep -m1 -o 'interrupted at .*;' job.out) the run is saved"
}
array() {
    local seed
    script_of "runs.txt" >array.sh
    local sweep="$ctkd sweep data.set=mnist:data train.threads=1 train.batch=40 --arm small student.network=resnet8 train.epochs=3"
    expect 0 $sweep --seeds 1..3 --dir alone
    $sweep --seeds 1..3 --print >runs.txt
    [ "$(wc -l <runs.txt)" -eq 3 ] || fail "sweep --print"
    job=$(sbatch --parsable --output=array.%a.out --cpus-per-task=1 --array=1-3 array.sh)
    no_jobs
    for seed in 1 2 3; do
        cmp alone/small/seed-$seed/last.safetensors runs/sweep/small/seed-$seed/last.safetensors || { cat array.$seed.out && fail "array"; }
    done
    ok "job array" "three runs of sweep --print: the bits of the sweep"
}

tiny_data data 16 200 50
expect 0 "$ctkd" train data.set=mnist:data data.pad_to=32 student.network=resnet8 train.epochs=1 train.batch=40 run.dir=teacher
expect 0 $run run.dir=whole train.max_steps=$steps
start_cluster
echo "$(slurmd -V), $(munged --version | head -n 1 | cut -d' ' -f1), $(mpirun --version | head -n 1), $("$ctkd" --version)"
for check in ${CTKD_CHECKS:-ranks placement faults differs batch time_limit array}; do $check; done
