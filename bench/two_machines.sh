#!/usr/bin/env bash
# usage: bench/two_machines.sh BUILD [RATE] (as root; RATE of the link, as tc names it: 1gbit)
# Two network namespaces with host names of their own, joined by a pair of virtual interfaces that a token bucket slows
# down to RATE, are two machines to Open MPI: it starts ranks and sends messages by TCP alone. Each has one CPU.
# bits: one rank on each, in either order, write the same weights, checkpoints and logs as one process.
# cost: what `ctkd doctor` predicts that a step of resnet34 -> resnet18 waits for its exchange, against bytes / bandwidth
# (exit status 1: more than 10 % apart), and how much longer steps take than through shared memory; only on a machine
# that does nothing else.
set -euo pipefail
source=$(cd "$(dirname "$0")/.." && pwd)
rate=${2:-1gbit}
build=$1
set -- "$build" "$source"
source "$source/tests/support/work_folder.bash"
source "$source/tests/support/launcher.bash"
source "$source/tests/support/tiny_data.bash"
source "$source/tests/support/same_run.bash"
[ "$launcher_kind" = openmpi ] && [ "$(id -u)" -eq 0 ] || { echo "needs Open MPI, and root for the namespaces" && exit 77; }
a=ctkd$$a b=ctkd$$b
leave() {
    ip netns del $a 2>/dev/null || true # and with it the pair
    ip netns del $b 2>/dev/null || true
    rm -rf "$folder"
}
trap leave EXIT
ip netns add $a
ip netns add $b
ip link add ctkd0 netns $a type veth peer name ctkd0 netns $b
address=1
for space in $a $b; do
    ip -n $space address add 10.99.0.$address/24 dev ctkd0
    ip -n $space link set lo up
    ip -n $space link set ctkd0 up
    # Segments that TCP hands over are up to 64 KB long.
    ip netns exec $space tc qdisc add dev ctkd0 root tbf rate "$rate" burst 256kb latency 100ms
    address=$((address + 1))
done

# enter NAMESPACE CPU COMMAND...: as on a machine of its own
cat >enter <<END
#!/bin/bash
space=\$1 cpu=\$2
shift 2
exec ip netns exec \$space unshare --uts taskset -c \$cpu bash -c 'hostname \$0; exec "\$@"' \$space "\$@"
END
# What Open MPI calls instead of ssh: HOST COMMAND...
cat >agent <<END
#!/bin/bash
host=\$1
shift
case \$host in 10.99.0.1) set -- $a 0 bash -c "\$*" ;; *) set -- $b $(($(nproc) - 1)) bash -c "\$*" ;; esac
exec "$folder/enter" "\$@"
END
chmod +x enter agent
export OMPI_MCA_btl=tcp,self OMPI_MCA_btl_tcp_if_include=10.99.0.0/24 OMPI_MCA_oob_tcp_if_include=10.99.0.0/24
export OMPI_MCA_plm_rsh_agent=$folder/agent OMPI_MCA_hwloc_base_binding_policy=none
unset OMPI_MCA_rmaps_base_oversubscribe
over() { # HOSTS COMMAND...: a rank on each
    local hosts=$1 first=$a cpu=0
    shift
    case $hosts in 10.99.0.2*) first=$b cpu=$(($(nproc) - 1)) ;; esac
    "$folder/enter" $first $cpu timeout -k 5 280 "$mpirun" --host "$hosts" -n 2 "$@"
}

bits() {
    tiny_data data 16 120 50
    local common="data.set=mnist:data student.network=resnet8 train.threads=1 train.slices=4 train.log_every=1"
    expect 0 "$ctkd" train $common train.epochs=1 train.batch=40 run.dir=teacher
    local run="$ctkd distill $common teacher.path=teacher teacher.tolerance=100 method.name=dkd temperature.kind=instance
        train.batch=44 train.epochs=2 optimizer.lr=0.01 optimizer.clip_norm=5"
    expect 0 $run run.dir=one
    for hosts in 10.99.0.1,10.99.0.2 10.99.0.2,10.99.0.1; do
        expect 0 over $hosts $run run.dir="$hosts"
        grep '^2 ranks by ' stderr
        same_run one "$hosts"
    done
    echo "two ranks on 10.99.0.1,10.99.0.2 and on 10.99.0.2,10.99.0.1: the bits of one process"
}
# step NAME COMMAND...: seconds of a step into the file NAME, the median of the epochs but the first
step() {
    local name=$1
    shift
    rm -rf timed
    expect 0 "$@" run.dir=timed
    python3 - >"$name" <<'PY'
import json, statistics
epochs = [json.loads(line) for line in open("timed/log.jsonl")]
print(statistics.median(32 / epoch["images_per_second"] for epoch in epochs[1:]))
PY
}
cost() {
    tiny_data large 64 96 16
    local common="data.set=mnist:large data.channels=3 train.batch=32 train.threads=1 train.slices=2 optimizer.lr=0.0001"
    expect 0 "$ctkd" train $common student.network=resnet34 train.epochs=1 train.max_steps=1 run.dir=resnet34
    local pair="$common student.network=resnet18 teacher.path=resnet34" status=0 hosts=10.99.0.1,10.99.0.2
    local distil="$ctkd distill $pair teacher.tolerance=100 train.epochs=7"
    over $hosts "$ctkd" doctor $pair train.overlap=false --json >doctor.json 2>stderr || status=$?
    [ $status -le 1 ] || fail "doctor: status $status" # 1: it finds that the teacher has learned nothing
    OMPI_MCA_btl=vader,self step memory launch 2 --oversubscribe $distil train.overlap=false
    step behind over $hosts $distil train.overlap=false
    step beside over $hosts $distil
    step groups_behind over $hosts $distil train.batch_norm_group=16 train.overlap=false
    step groups over $hosts $distil train.batch_norm_group=16
    python3 - "$rate" <<'PY'
import json, sys
# A frame of 1514 bytes carries 1448 of a stream.
bandwidth = float(sys.argv[1].removesuffix("gbit")) * 1e9 / 8 * 1448 / 1514
found = json.load(open("doctor.json"))
memory, behind, beside, groups_behind, groups = (
    1e3 * float(open(name).read()) for name in ("memory", "behind", "beside", "groups_behind", "groups"))
for trial in found["exchange"]:
    print(f"doctor: sum of {trial['bytes']} bytes: {1e3 * trial['seconds']:.3f} ms")
sent = sum(topic["bytes"] for topic in found["step_exchange"].values())
model, told = 1e3 * sent / bandwidth, 1e3 * found["exposed_seconds"]
print(f"a step sends {sent:.0f} bytes: bytes / bandwidth is {model:.1f} ms, doctor predicts {told:.1f} ms")
print(f"a step through shared memory takes {memory:.1f} ms, over the link {behind:.1f} ms ({behind - memory:.1f} more), with the "
      f"exchange beside the backward pass {beside:.1f} ms ({beside - memory:.1f} more), in a batch-norm group of each rank "
      f"{groups:.1f} ms, with the exchange behind it {groups_behind:.1f} ms")
print(f"predicted / (bytes / bandwidth): {told / model:.3f}; measured / (bytes / bandwidth): {(behind - memory) / model:.3f}")
sys.exit(0 if abs(told / model - 1) <= 0.1 else 1)
PY
}
bits
cost
