#!/usr/bin/env bash
# `ctkd selftest`: every loss, instruction set and kind of check has its verdict, nothing is left behind, and a folder
# that cannot be written to is a failure. What it finds in a damaged build is in tests/test_selftest.c.
set -euo pipefail
. "$2/tests/support/work_folder.bash"
. "$source/tests/support/tiny_data.bash"

mkdir there
expect 0 "$ctkd" selftest there
[ ! -s stderr ] || fail "output on stderr"
[ -z "$(ls -A there)" ] || fail "left behind: $(ls there)"
! grep -q '^FAILED' stdout || fail "$(grep '^FAILED' stdout)"
for line in 'ctkd +[0-9.]+, oneDNN [0-9.]+' 'system ' 'cpu .*threads? by default' 'kernels .*used: ' 'memory ' \
    'ok      loss cross_entropy: gradients: differ from ' 'ok      temperature instance: ' 'ok      op relu: gradients ' \
    'ok      ops: tried: input conv ' 'ok      convolutions: tried: ' 'ok      portable kernels: resnet' 'ok      writing: there: .* GB free' \
    'ok      repetition: ' 'ok      resuming: distillation, method none: ' '0 of [0-9]+ failed, [0-9]+ s'; do
    grep -Eq "^$line" stdout || fail "no line '$line'"
done
for method in $("$ctkd" methods | sed -nE 's/^([a-z0-9_]+): .*/\1/p'); do
    grep -q "^ok      resuming: distillation, method $method: stopped" stdout || fail "method $method is not resumed"
    grep -q "^ok      loss $method: gradients" stdout || fail "method $method has no gradient"
done

expect 2 "$ctkd" selftest nowhere
grep -q '^ctkd selftest: nowhere: expected a folder to write into$' stderr || fail "no folder"
expect 2 "$ctkd" selftest there loses
grep -q "^ctkd selftest: unknown part 'loses', did you mean 'losses'?$" stderr || fail "no part"
if [ "$(id -u)" != 0 ]; then
    mkdir closed && chmod 500 closed
    expect 1 "$ctkd" selftest closed writing
    grep -q '^FAILED  writing: closed: cannot create a folder in it: ' stdout || fail "closed folder"
fi
# One part by its name; a limit of 8 blocks is a full disk.
expect 0 "$ctkd" selftest there writing
[ "$(grep -c '^ok' stdout)" = 1 ] || fail "more than one part"
expect 1 bash -c "ulimit -f 8; '$ctkd' selftest there writing"
grep -q '^FAILED  writing: cannot write .*: ' stdout || fail "full disk"
[ -z "$(ls -A there)" ] || fail "left behind after a failure: $(ls there)"
