#!/usr/bin/env bash
# usage: ranks.sh BUILD SOURCE
# builds: ctkd mpi_ranks
# Ranks under a real launcher: what they exchange, sums that depend neither on the number of ranks nor on the library,
# ranks that fail, end or hang, and launchers without what they need. Open MPI or MPICH, whichever the build found; the
# module is made for the other one here too, where it is installed.
set -euo pipefail
source "$(dirname "$0")/../support/work_folder.bash"
source "$source/tests/support/launcher.bash"
build=$(dirname "$ctkd")

libraries=0
for kind in openmpi mpich; do
    mkdir "$kind"
    cp "$build/mpi_ranks" "$kind/"
    if [ "$kind" = "$launcher_kind" ]; then
        cp "$build/libctkd_mpi.so" "$kind/"
    elif [ "$kind" = "$(other_launcher)" ]; then
        make_module "$kind" "$kind"
    else
        continue
    fi
    libraries=$((libraries + 1))
    use_launcher "$kind"
    for slices in 8 12; do
        case $slices in 8) counts="1 2 4" ;; 12) counts="1 3" ;; esac
        for n in $counts; do
            launch "$n" "$kind/mpi_ranks" check $slices >"$kind.$slices.$n" 2>err || { cat err && exit 1; }
        done
    done
    grep -q "^3 ranks, " err
done
for slices in 8 12; do
    [ "$(cat ./*."$slices".* | sort -u | wc -l)" -eq 1 ] || {
        grep . ./*."$slices".* >&2
        echo "sums over $slices slices differ, expected the same for all ranks and libraries" >&2
        exit 1
    }
done
echo "$libraries MPI libraries"

# expect STATUS TEXT COUNT COMMAND ...: how COUNT ranks end, and the one line that says why
expect() {
    local status=0 expected=$1 text=$2 count=$3
    shift 3
    SECONDS=0
    launch "$count" "$@" >out 2>err || status=$?
    [ $status -eq "$expected" ] && [ "$(grep -cE "^[a-z_]+: $text$" err)" -eq 1 ] && [ $SECONDS -lt 30 ] || {
        cat err
        echo "$*: found status $status after $SECONDS s, expected $expected and once: $text" >&2
        exit 1
    }
}
use_launcher "$launcher_kind"
cd "$launcher_kind"
host=$(hostname)
expect 1 "rank 1 on $host: disk 1 is full" 3 ./mpi_ranks fail
expect 1 "rank 1 on $host did not answer within 1 s \(train.timeout_seconds\)" 3 ./mpi_ranks hang 1
status=0
launch 3 ./mpi_ranks end 75 >out 2>err || status=$?
[ $status -eq 75 ] || { cat err && echo "found status $status, expected that of the rank that ended: 75" && exit 1; }

# refuses VARIABLE=VALUE TEXT: a process that a launcher of several seems to have started, alone
refuses() {
    local status=0
    env "$1" ./mpi_ranks check 8 2>err || status=$?
    [ $status -eq 1 ] && grep -qE "^mpi_ranks: ${1%=*}:? $2" err || {
        cat err
        echo "$1: found status $status, expected 1 and: $2" >&2
        exit 1
    }
}
# Without the module
mv libctkd_mpi.so other.so
for name in OMPI_COMM_WORLD_SIZE PMI_SIZE; do
    refuses $name=2 "asks for several processes, and this ctkd is built without MPI: no libctkd_mpi.so in "
done
refuses SLURM_STEP_NUM_TASKS=3 "srun has started 3 processes without MPI, "
SLURM_STEP_NUM_TASKS=1 ./mpi_ranks check 8 >out 2>err
cmp out ../"$launcher_kind.8.1"
# A module of another version of ctkd, a library that is none, and what is no library
foreign() { # C of the library
    printf '#include "dist/transport.h"\n%s\n' "$1" | cc -shared -fPIC -I"$source/src" -I"$source/include" -x c -o libctkd_mpi.so -
}
refuses_module() { # TEXT
    local status=0
    OMPI_COMM_WORLD_SIZE=2 ./mpi_ranks check 8 2>err || status=$?
    [ $status -eq 1 ] && [ "$(wc -l <err)" -eq 1 ] && grep -qE "^mpi_ranks: $1$" err || {
        cat err
        echo "found status $status, expected 1 and: $1" >&2
        exit 1
    }
}
version=$("$ctkd" --version)
foreign 'const struct ctkd__transport ctkd__transport_mpi = { .name = "MPI", .made_for = "0.0.0" };'
refuses_module "$PWD/libctkd_mpi.so: made for ctkd 0.0.0, expected ${version#ctkd }"
foreign 'extern int none; int none;'
refuses_module "$PWD/libctkd_mpi.so: no module of ctkd"
echo "no library" >libctkd_mpi.so
refuses_module "cannot load $PWD/libctkd_mpi.so: .+"
mv other.so libctkd_mpi.so
# Alone, although somebody tells of two: a launcher of another MPI
for name in OMPI_COMM_WORLD_SIZE PMI_SIZE; do
    case $name$launcher_kind in PMI_SIZEmpich) continue ;; esac # its own: it looks for its launcher
    refuses $name=2 "the launcher has started 2 processes, and .* finds 1: use the launcher of that MPI"
done
# The command itself needs no MPI.
if ldd "$ctkd" | grep -i mpi; then exit 1; fi
