#!/usr/bin/env bash
# `ctkd plot`: well-formed SVG with a line for every run and panel; one clear line for what cannot be drawn.
set -euo pipefail
. "$2/tests/support/work_folder.bash"
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
[ "$(grep -c 'class="line' curves.svg)" = 18 ] || fail "three lines in four panels, dashed ones in one, and the legend"
for c in 1 2; do # four epochs of the distilled runs: a move and three lines in each panel
    [ "$(grep -Ec "class=\"line c$c\" d=\"M[^\"L]*(L[^\"L]*){3}\"" curves.svg)" = 4 ] || fail "curves of run $c"
done
! grep -q 'nan\|inf"' curves.svg || fail "a number is not finite"
grep -q 'a&amp;b' curves.svg || fail "a name is not escaped"

# Labels alone have two panels, and no run needs one that is empty.
for runs in "a&b 2 0" "global 4 1"; do
    read -r run panels learned <<<"$runs"
    expect 0 "$ctkd" plot "$run" -o one.svg
    [ "$(grep -c 'class="title".*</text>' one.svg)" = $((panels + 1)) ] || fail "$run: panels: $(grep 'class="title"' one.svg)"
    [ "$(grep -c 'temperature tau' one.svg)" = "$learned" ] || fail "$run: temperature"
    [ "$(grep -c '>top-1, %' one.svg)" = 1 ] && [ "$(grep -c '>epoch<' one.svg)" = 1 ] || fail "$run: accuracy"
done
expect 0 "$ctkd" plot global -o -
cmp stdout one.svg || fail "standard output has another picture"
mkdir pictures && ln -s pictures/one.svg link.svg
expect 0 "$ctkd" plot global -o link.svg
[ -L link.svg ] && cmp pictures/one.svg one.svg || fail "a link was replaced"
for file in one.jpg one svg .svg .png; do
    expect_error 1 "ctkd: $file: expected a name that ends in .svg or .png, or - for standard output" "$ctkd" plot global -o $file
done

# An arm is the mean of its seeds, with their range as a band in every panel.
mkdir arm && cp -r global arm/seed-1 && cp -r global arm/seed-2
python3 - <<'PYTHON'
import json, re
rows = [json.loads(line) for line in open("arm/seed-2/log.jsonl")]
for row in rows:
    row["test_top1"] += 10
open("arm/seed-2/log.jsonl", "w").write("".join(json.dumps(row) + "\n" for row in rows))
PYTHON
expect 0 "$ctkd" plot arm -o arm.svg
grep -q 'arm (mean and range of 2 seeds)' arm.svg || fail "the arm is not named as one"
[ "$(grep -c 'class="band' arm.svg)" = 4 ] || fail "bands of an arm"
# Seeds of a sweep under way: one that has just begun is left out, one that is behind counts in its epochs.
cp -r arm going && cp -r global going/seed-3 && : >going/seed-3/log.jsonl
expect 0 "$ctkd" plot going -o going.svg
sed 's/>arm (/>going (/' arm.svg | cmp - going.svg || fail "a run that has just begun changes the picture"
head -n 3 global/log.jsonl >going/seed-3/log.jsonl
expect 0 "$ctkd" plot going -o going.svg
grep -q 'going (mean and range of 3 seeds, of fewer after epoch 3)' going.svg || fail "seeds that are behind: $(grep going going.svg)"
last() { sed -n 's/.*class="line c0".*L\([0-9. ]*\)".*/\1/p' "$1" | sed -n "$2p"; } # the end of the curve of a panel
for panel in 1 3 4; do # without top-1, whose axis the third run may change
    [ "$(last arm.svg $panel)" = "$(last going.svg $panel)" ] || fail "panel $panel: the mean of the last epoch: $(last going.svg $panel)"
done
: >going/seed-1/log.jsonl && : >going/seed-2/log.jsonl && : >going/seed-3/log.jsonl
expect_error 1 "ctkd: going: found no finished epoch, expected one or more" "$ctkd" plot going -o x.svg
mkdir empty
expect_error 1 "ctkd: empty: found no run (no log.jsonl), expected a run directory, a folder of them or that of a sweep" "$ctkd" plot empty -o x.svg
# The folder of a sweep is drawn as its arms.
mkdir -p swept/a && cp -r arm swept/b && cp -r global swept/a/seed-1
expect 0 "$ctkd" plot swept -o swept.svg
expect 0 "$ctkd" plot swept/a swept/b -o named.svg
cmp swept.svg named.svg || fail "the arms of a sweep"

# One panel alone
expect 0 "$ctkd" plot global --panel tau -o tau.svg
[ "$(grep -c 'class="title" x="64"' tau.svg)" = 1 ] && grep -q '>temperature tau<' tau.svg || fail "--panel tau: $(grep title tau.svg)"
expect_error 2 "ctkd plot: unknown panel 'lamda', did you mean 'lambda'?" "$ctkd" plot global --panel lamda -o x.svg
expect_error 1 "ctkd: a&b: its epochs have no values to draw" "$ctkd" plot 'a&b' --panel tau -o x.svg

# PNG is made by rsvg-convert, and only there.
if command -v rsvg-convert >program; then
    expect 0 "$ctkd" plot global -o one.png
    [ "$(head -c 8 one.png | od -An -tx1 | tr -d ' ')" = 89504e470d0a1a0a ] || fail "one.png is not a PNG"
fi
mkdir path
expect 1 env PATH="$PWD/path" "$ctkd" plot global -o two.png
grep -q '^ctkd: two.png: PNG needs the program rsvg-convert (Debian: librsvg2-bin)' stderr || fail "$(cat stderr)"
[ ! -e two.png ] || fail "two.png was left"
expect_error 2 "ctkd plot: found no -o FILE; usage: ctkd plot RUN... -o FILE" "$ctkd" plot global
expect_error 1 "ctkd: cannot write standard output: Bad file descriptor" bash -c "'$ctkd' plot global -o - >&-"
expect 1 "$ctkd" plot nowhere -o x.svg
[ "$(wc -l <stderr)" = 1 ] && [ ! -e x.svg ] || fail "no such run"
: >global/log.jsonl
expect_error 1 "ctkd: global: found no finished epoch, expected one or more" "$ctkd" plot global -o x.svg
