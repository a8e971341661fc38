#!/usr/bin/env bash
# `ctkd plot`: well-formed SVG with a line for every run and panel; one clear line for what cannot be drawn.
set -euo pipefail
ctkd=$(cd "$1" && pwd)/ctkd source=$(cd "$2" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
. "$source/tests/support/tiny_data.bash"
tiny_data data 16 48 20
small="data.set=mnist:data student.network=resnet8 train.threads=1 train.batch=16 train.epochs=4 schedule.kind=constant"
# shellcheck disable=SC2086
expect 0 "$ctkd" train $small run.dir='a&b'
for kind in global instance; do
    # shellcheck disable=SC2086
    expect 0 "$ctkd" distill $small teacher.path='a&b' teacher.tolerance=100 temperature.kind=$kind run.dir=$kind
done
expect 0 "$ctkd" plot 'a&b' global instance -o curves.svg
python3 -c 'import sys, xml.dom.minidom; xml.dom.minidom.parse("curves.svg")' || fail "not well-formed"
[ "$(grep -c 'class="line' curves.svg)" = 12 ] || fail "three lines in three panels and the legend"
for c in 1 2; do # four epochs of the distilled runs: a move and three lines in each panel
    [ "$(grep -Ec "class=\"line c$c\" d=\"M[^\"L]*(L[^\"L]*){3}\"" curves.svg)" = 3 ] || fail "curves of run $c"
done
! grep -q 'nan\|inf"' curves.svg || fail "a number is not finite"
grep -q 'a&amp;b' curves.svg || fail "a name is not escaped"

# Labels alone have one panel, and no run needs one that is empty.
for runs in "a&b 1 0" "global 3 1"; do
    read -r run panels learned <<<"$runs"
    expect 0 "$ctkd" plot "$run" -o one.svg
    [ "$(grep -c 'class="title"' one.svg)" = "$panels" ] || fail "$run: panels: $(grep 'class="title"' one.svg)"
    [ "$(grep -c 'temperature tau' one.svg)" = "$learned" ] || fail "$run: temperature"
    [ "$(grep -c 'test top-1' one.svg)" = 1 ] || fail "$run: accuracy"
done
expect 0 "$ctkd" plot global -o -
cmp stdout one.svg || fail "standard output has another picture"
mkdir pictures && ln -s pictures/one.svg link.svg
expect 0 "$ctkd" plot global -o link.svg
[ -L link.svg ] && cmp pictures/one.svg one.svg || fail "a link was replaced"
for file in one.png one svg .svg; do
    expect_error 1 "ctkd: $file: expected a name that ends in .svg, or - for standard output" "$ctkd" plot global -o $file
done
expect_error 2 "ctkd plot: found no -o FILE; usage: ctkd plot RUN... -o FILE" "$ctkd" plot global
expect 1 "$ctkd" plot nowhere -o x.svg
[ "$(wc -l <stderr)" = 1 ] && [ ! -e x.svg ] || fail "no such run"
: >global/log.jsonl
expect_error 1 "ctkd: global/log.jsonl: found no finished epoch, expected one or more" "$ctkd" plot global -o x.svg
