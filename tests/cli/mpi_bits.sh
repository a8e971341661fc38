#!/usr/bin/env bash
# usage: mpi_bits.sh BUILD SOURCE
# With train.slices=4 one process of one thread, one of two, two ranks of one and of two threads and four ranks write the
# same weights, checkpoints and logs; also under the other MPI where it is installed, and whatever carries the messages.
# The last batch is uneven, gradients are clipped.
# With batch-norm groups each rank has whole ones. By default three cases on resnet8; CTKD_RANKS=1 (some 25 minutes of two cores) tries eight of them in all placements, with
# three epochs of resnet20 and 20 steps of resnet18 at 64 pixels.
set -euo pipefail
source "$(dirname "$0")/../support/work_folder.bash"
source "$source/tests/support/launcher.bash"
source "$source/tests/support/tiny_data.bash"
source "$source/tests/support/same_run.bash"
tiny_data data 16 120 50
all=${CTKD_RANKS:-}
cases=("kd:" "dkd:method.name=dkd temperature.kind=instance" "groups:train.batch_norm_group=11")
placements=("1 2" "2 1" "4 1")
if [ "$all" ]; then
    cases+=("pkt:method.name=pkt" "crd:method.name=crd" "mlkd:method.name=mlkd" "ofd:method.name=ofd" "at:method.name=at")
    placements+=("2 2")
fi
common="teacher.tolerance=100 train.slices=4 train.log_every=1 optimizer.clip_norm=5 optimizer.lr=0.01"
compared=0

run_of() { # NETWORK CASE: the command, without its placement and directory
    case $1 in
        resnet18) echo "$ctkd distill $common data.set=mnist:large data.channels=3 student.network=$1 teacher.path=teacher.$1
            train.batch=16 train.epochs=3 train.max_steps=20 ${2#*:}" ;;
        *) echo "$ctkd distill $common data.set=mnist:data student.network=$1 teacher.path=teacher.$1
            train.batch=44 train.epochs=$([ "$1" = resnet20 ] && echo 3 || echo 2) ${2#*:}" ;;
    esac
}
placed() { # NETWORK CASE RANKS THREADS [LABEL]: the run, compared with that of one process
    local one=$1.${2%%:*} dir
    dir=$one.$3.$4${5:+.$5}
    expect 0 launch "$3" $(run_of "$1" "$2") train.threads="$4" run.dir="$dir"
    if [ "$3" -gt 1 ]; then
        [ "$(grep -c "^$3 ranks by " stderr)" -eq 1 ] || fail "$dir: expected that it says its ranks once"
    fi
    same_run "$one" "$dir"
    compared=$((compared + 1))
}
everywhere() { # NETWORK: each method, in each placement
    local case placement
    for case in "${cases[@]}"; do
        expect 0 $(run_of "$1" "$case") train.threads=1 run.dir="$1.${case%%:*}"
        for placement in "${placements[@]}"; do
            placed "$1" "$case" $placement
        done
        rm -rf "$1.${case%%:*}".[124].*
    done
}
expect 0 "$ctkd" train data.set=mnist:data student.network=resnet8 train.epochs=1 train.batch=40 run.dir=teacher.resnet8
everywhere resnet8

# What carries the messages, and in which order, is the library's business.
dkd=${cases[1]}
if [ "$launcher_kind" = openmpi ]; then
    OMPI_MCA_coll=basic,libnbc,self OMPI_MCA_btl=tcp,self placed resnet8 "$dkd" 4 1 basic
    printf 'rank %d=localhost slot=%d\n' 0 1 1 0 >swapped
    if [ "$(nproc)" -gt 1 ] && [ "$all" ]; then
        OMPI_MCA_rmaps_rank_file_path=$PWD/swapped placed resnet8 "$dkd" 2 1 swapped
    fi
fi
other=$(other_launcher)
if [ "$other" ]; then
    mkdir bin
    ln "$ctkd" bin/ctkd 2>/dev/null || cp "$ctkd" bin/ctkd
    make_module "$other" bin
    use_launcher "$other"
    own=$ctkd ctkd=$PWD/bin/ctkd
    placed resnet8 "$dkd" 2 1 "$other"
    [ -z "$all" ] || placed resnet8 "$dkd" 4 1 "$other"
    grep -q "ranks by .*$([ "$other" = mpich ] && echo MPICH || echo Open)" stderr || fail "expected that $other says its name"
    ctkd=$own
    use_launcher "$launcher_kind"
else
    echo "not run: no second MPI (Debian: mpich, libmpich-dev)"
fi

# A run on two ranks resumes on one and on four.
kd=${cases[0]}
for ranks in 1 4; do
    rm -rf cut
    expect 0 launch 2 $(run_of resnet8 "$kd") train.threads=1 train.max_steps=2 run.dir=cut
    expect 0 launch "$ranks" $(run_of resnet8 "$kd") train.threads=1 run.dir=cut --resume
    same_run resnet8.kd cut
done
# With three slices in a rank the order of the sums depends on the ranks, not on their threads: it says so, and resumes
# on as many ranks alone.
odd=$(run_of resnet8 "$kd" | sed 's/train.slices=4/train.slices=6/')
expect 0 launch 2 $odd train.threads=1 train.max_steps=1 run.dir=odd
grep -q "^2 ranks by .*, 6 slices of a batch; 3 slices of a rank are no power of two: " stderr || fail "odd: $(cat stderr)"
expect 1 $odd train.threads=1 run.dir=odd --resume
grep -q "^ctkd: odd/last.ckpt: threads: the run has '1', expected '1 on each of 2 ranks' to resume it$" stderr || fail "odd: $(cat stderr)"
expect 0 launch 2 $odd train.threads=3 run.dir=odd --resume
expect 0 launch 2 $odd train.threads=1 run.dir=whole
same_run whole odd

# Evaluation: the JSON of one process
expect 0 "$ctkd" train data.limit=600 data.test_limit=1000 student.network=resnet8 train.epochs=2 run.dir=fashion
expect 0 "$ctkd" eval fashion --json --details
grep -q '"n": 1000' stdout || fail "eval: expected 1000 images"
mv stdout one.json
expect 0 launch 3 "$ctkd" eval fashion --json --details
cmp one.json stdout || fail "eval: another object on 3 ranks"

if [ "$all" ]; then
    expect 0 "$ctkd" train data.set=mnist:data student.network=resnet20 train.epochs=1 train.batch=40 run.dir=teacher.resnet20
    everywhere resnet20
    tiny_data large 64 120 20
    expect 0 "$ctkd" train data.set=mnist:large data.channels=3 student.network=resnet18 train.epochs=1 train.batch=40 \
        train.max_steps=2 run.dir=teacher.resnet18
    everywhere resnet18
fi
echo "$compared placements: the same weights, checkpoints and logs"
