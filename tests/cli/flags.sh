#!/usr/bin/env bash
# The tables of flags: how a command line is read by them, and what help and messages say of them.
set -euo pipefail
. "$2/tests/support/work_folder.bash"
. "$source/tests/support/tiny_data.bash"
tiny_data data 16 40 20
# shellcheck disable=SC2034
expect 0 "$ctkd" train data.set=mnist:data student.network=resnet8 train.threads=1 train.epochs=1 schedule.kind=constant run.dir=run

# A value follows its flag, or stands behind '='; the last one counts; '-' and '_' are the same.
for written in "-o a.svg" "--output a.svg" "--output=a.svg" "-o=a.svg" "-o b.svg --output=a.svg"; do
    # shellcheck disable=SC2086
    expect 0 "$ctkd" plot run $written
    [ -s a.svg ] && [ ! -e b.svg ] || fail "plot $written"
    rm a.svg
done
expect 0 "$ctkd" plot -o - run && grep -q '^<svg' stdout || fail "a value that is a dash"
for written in --dry-run --dry_run; do
    expect 0 "$ctkd" train $written run/config.yaml run.dir=next
    grep -q '^# ctkd train --dry-run' stdout && [ ! -e next ] || fail "train $written"
done
# A flag between a setting and its configuration, and one of the published scripts with a value that looks like a flag.
expect 0 "$ctkd" train run.dir=next --dry-run run/config.yaml --decay_min -1 --preset ctkd train.seed=7
grep -q '^  seed: 7' stdout && grep -q '^  lambda_max: 1' stdout || fail "flags among settings: $(cat stdout)"
mkdir a=b && cp run/last.safetensors a=b/
expect 0 "$ctkd" convert a=b/last.safetensors out.pth # a file that is there is not a setting

# Help wins wherever it stands, as long as what is before it can be read.
for written in "--help" "-h" "x y -h" "-h --no-such"; do
    # shellcheck disable=SC2086
    expect 0 "$ctkd" compare $written
    grep -q '^  -h, --help ' stdout || fail "compare $written"
done
expect 0 "$ctkd" plot --help && grep -q '^  -o, --output FILE  *write the picture' stdout || fail "plot --help"

# Mistakes.
expect_error 2 "ctkd plot: --output needs a value (FILE)" "$ctkd" plot run -o
expect_error 2 "ctkd train: --dry-run takes no value" "$ctkd" train --dry-run=1
expect_error 2 "ctkd compare: unknown option '--jason', did you mean '--json'?" "$ctkd" compare a b --jason
expect_error 2 "ctkd compare: unknown option '--no-such'; \`ctkd compare --help\` lists them" "$ctkd" compare a b --no-such
expect_error 2 "ctkd plot: found --margin, which only these commands take: compare" "$ctkd" plot a --margin 3
expect_error 2 "ctkd compare: --margin: found '0.3x', expected a number from 1e-06 to 1e+06" "$ctkd" compare a b --margin 0.3x
for number in 0 1025 2.5 x "" 99999999999999999999; do
    expect_error 2 "ctkd sweep: --jobs: found '$number', expected a whole number from 1 to 1024" \
        "$ctkd" sweep run/config.yaml --jobs "$number"
done
expect_error 2 "ctkd inspect: found 2 names, expected 1; usage: ctkd inspect RUN_OR_FILE [weights=NAME]" "$ctkd" inspect a b
expect_error 2 "ctkd models: found 'a', expected no argument" "$ctkd" models a
expect_error 2 "ctkd train: found 2 names, expected at most 1; usage: ctkd train [CONFIG] [key=value ...]" "$ctkd" train a b
echo "all as expected"
