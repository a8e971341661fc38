#!/usr/bin/env bash
# The command as on a CPU with fewer instructions: CTKD_MAX_ISA holds our kernels below it, ONEDNN_MAX_CPU_ISA the
# library's. What is lacking is one line and a status, and reference code of the library never runs unsaid.
set -uo pipefail
. "$2/tests/support/work_folder.bash"
. "$source/tests/support/tiny_data.bash"
failures=0

fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}
tiny_data grey 28 20 20
short="train data.set=mnist:grey student.network=resnet8 train.epochs=1 train.batch=10 schedule.kind=constant run.dir=run run.force=true"

# $1: the cap; $2: train.isa; $3: extended regular expression of the one line on stderr
refuses() {
    CTKD_MAX_ISA=$1 "$ctkd" $short train.isa="$2" >out 2>err
    local found=$?
    [ $found = 1 ] || fail "CTKD_MAX_ISA=$1 train.isa=$2: exit status $found, expected 1: $(cat err)"
    grep -Eq "$3" err && [ "$(grep -c . err)" = 1 ] || fail "CTKD_MAX_ISA=$1 train.isa=$2: '$(cat err)', expected '$3'"
}
refuses portable avx2 '^ctkd: train.isa: avx2: (CTKD_MAX_ISA=portable excludes it|this CPU has no such instructions)'
refuses avx2 avx512 '^ctkd: train.isa: avx512: (CTKD_MAX_ISA=avx2 excludes it|this CPU has no such instructions)'
refuses sse9 auto '^ctkd: CTKD_MAX_ISA: found sse9, expected avx512, avx2 or portable$'
refuses portable sse9 "^ctkd: train.isa: unknown instruction set 'sse9'; expected auto, avx512, avx2 or portable\$"

# $1: the cap; the rest: variables and the command: it works with those kernels
works_with() {
    local cap=$1
    shift
    env CTKD_MAX_ISA="$cap" "$@" >out 2>err || fail "CTKD_MAX_ISA=$cap $*: exit status $?: $(cat err)"
    grep -q " $cap kernels" err || fail "CTKD_MAX_ISA=$cap $*: '$(cat err)', expected $cap kernels"
}
works_with portable "$ctkd" $short
works_with portable "$ctkd" $short train.isa=portable
line=$(CTKD_MAX_ISA=portable "$ctkd" selftest 2>err | sed -n '/^kernels/ { p; q }') # ends with its first lines
[[ $line == *"portable; used: portable" ]] || fail "selftest: '$line', expected that portable kernels are used"

# Nothing below AVX2 but reference code in oneDNN for gradients: taken only by name, and then said.
works_with portable ONEDNN_MAX_CPU_ISA=SSE41 "$ctkd" $short train.profile=true
! grep -q 'ref:' err out || fail "reference code runs by itself: $(grep -h 'ref:' err out)"
! grep -q 'note: convolutions' err || fail "a note without reason: $(cat err)"
works_with portable ONEDNN_MAX_CPU_ISA=SSE41 "$ctkd" $short train.profile=true train.conv=dnnl
grep -q 'conv backward weights *dnnl ref:any' err || fail "the profile does not name reference code: $(cat err)"
[ "$(grep -c 'note: convolutions: train.conv: dnnl: oneDNN has only its reference code' err)" = 1 ] ||
    fail "no note, or more than one, on reference code: $(cat err)"

echo "$failures failures"
[ "$failures" = 0 ]
