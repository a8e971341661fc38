#!/usr/bin/env bash
# A run that goes on with other kernels: refused by name; with run.allow=kernels it says once that bits differ, and it
# goes on from the same weights, velocities and memories, though their layout is another one.
set -euo pipefail
. "$2/tests/support/work_folder.bash"
. "$source/tests/support/tiny_data.bash"
tiny_data data 16 100 20
small="data.set=mnist:data student.network=resnet8 train.threads=1 train.batch=16 train.log_every=1 schedule.kind=constant"
expect 0 "$ctkd" train $small train.epochs=1 run.dir=teacher
distil="$ctkd distill $small teacher.path=teacher teacher.tolerance=100 train.epochs=2 optimizer.lr=0.05 method.name=crd"
distil+=" temperature.kind=instance"
expect 0 $distil run.dir=whole
own=$(sed -nE 's/.* ([a-z0-9]+) kernels.*/\1/p' stderr | head -n 1)

# Losses of all steps, which must be those of the run that nobody stopped but for rounding.
close() {
    paste <(sed -nE '/"step"/ s/.*"loss": ([^,}]*).*/\1/p' whole/log.jsonl) \
        <(sed -nE '/"step"/ s/.*"loss": ([^,}]*).*/\1/p' "$1/log.jsonl") |
        awk '{ d = $1 - $2; if (d < 0) d = -d; if (!(d < 0.002 * $1)) { print "step " NR ": " $1 ", " $2; exit 1 } n++ }
            END { exit n < 14 }' || fail "$1 did not go on from where it was: $2"
}

# $1: the key that a refusal names; the rest: what makes the machine another one
check() {
    local key=$1 then
    shift
    rm -rf cut
    expect 0 $distil run.dir=cut train.max_steps=9
    expect 1 env "$@" $distil run.dir=cut --resume
    grep -q "cut/last.ckpt: $key: the run has '.*', expected '.*' to resume it (or run.allow=kernels" stderr ||
        fail "$*: the refusal names neither $key nor run.allow: $(cat stderr)"
    expect 0 env "$@" $distil run.dir=cut --resume run.allow=kernels
    [ "$(grep -c 'from here on the run has other bits' stderr)" = 1 ] || fail "$*: not said once: $(cat stderr)"
    [ "$(grep -c 'from here on the run has other bits' cut/notes.jsonl)" = 1 ] || fail "$*: not in notes.jsonl"
    close cut "$*"
    then=$(cat cut/notes.jsonl)
    expect 0 env "$@" $distil run.dir=cut --resume # as the last checkpoint
    [ "$then" = "$(cat cut/notes.jsonl)" ] || fail "$*: said again without another change"
}
[ "$own" = portable ] || check kernels CTKD_MAX_ISA=portable # on AVX-512 with blocks of another size
check oneDNN ONEDNN_MAX_CPU_ISA=SSE41
[ "$own" = portable ] || check kernels CTKD_MAX_ISA=portable ONEDNN_MAX_CPU_ISA=SSE41
echo "runs go on from $own kernels to others"
