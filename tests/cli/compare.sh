#!/usr/bin/env bash
# `ctkd compare`: arms of real run directories, whose accuracies are put in; forms, refusals, repetition.
set -euo pipefail
. "$2/tests/support/work_folder.bash"
. "$source/tests/support/tiny_data.bash"
tiny_data data 16 20 20
expect 0 "$ctkd" train data.set=mnist:data student.network=resnet8 train.threads=1 train.batch=20 train.epochs=2 schedule.kind=constant run.dir=one

# arm NAME VALUE...: runs of seeds 1, 2, ... with these accuracies in the last epoch, 99 in the first.
arm() {
    local name=$1 seed=0 value
    shift
    for value; do
        seed=$((seed + 1))
        mkdir -p "$name"
        cp -r one "$name/seed-$seed"
        sed -i "s/^\( *seed:\) .*/\1 $seed/" "$name/seed-$seed/config.yaml"
        sed -i -E "/\"epoch\": 1,/s/(\"test_top1\": )[0-9.]+/\199/; /\"epoch\": 2,/s/(\"test_top1\": )[0-9.]+/\1$value/" \
            "$name/seed-$seed/log.jsonl"
    done
}
arm kd 70.1 70.5 69.9 70.3 70.7 70.0 70.4 70.2
arm ctkd 70.6 70.9 70.5 70.8 71.3 70.4 70.9 70.8
sed -i 's/^\( *ce_weight:\) .*/\1 0.5/' ctkd/*/config.yaml

expect 0 "$ctkd" compare kd ctkd
grep -q '^test_top1, last epoch; differences from kd' stdout || fail "head"
grep -Eq '^ctkd +8 +70.7[78] +0.2[89] +8 +0.51 ' stdout || fail "row: $(cat stdout)"
grep -q '^8 seeds: ctkd is 0.51 above kd (95 %: 0.4[0-9] to 0.5[0-9], p 0.0078)$' stdout || fail "verdict: $(cat stdout)"
[ "$(cat stderr)" = "ctkd: method.ce_weight 0.5" ] || fail "differences"
cp stdout first
expect 0 "$ctkd" compare kd ctkd
cmp first stdout || fail "another interval the second time"
expect 0 "$ctkd" compare kd ctkd --json
python3 - <<'PY' || fail "JSON"
import json
d = json.load(open("stdout"))
kd, ctkd = d["arms"]
assert d["reference"] == "kd" and kd["difference"] is None and ctkd["pairs"] == 8 and ctkd["wins"] == 8
assert abs(ctkd["difference"] - 0.5125) < 1e-9 and abs(ctkd["p_sign_flip"] - 2 / 256) < 1e-9
PY
expect 0 "$ctkd" compare kd ctkd --csv
[ "$(wc -l <stdout)" = 3 ] || fail "CSV"
expect 0 "$ctkd" compare kd ctkd --best
grep -q 'best epoch, chosen on the test images' stdout && grep -Eq '^kd +8 +99.00' stdout || fail "--best: $(cat stdout)"
# Of a loss less is better, and an epoch that is the best by it is not one chosen on the test images.
sed -i -E 's/("loss": )[0-9.]+/\12/' kd/*/log.jsonl && sed -i -E 's/("loss": )[0-9.]+/\11.5/' ctkd/*/log.jsonl
expect 0 "$ctkd" compare kd ctkd --metric loss --json --best
grep -q '"choice": "best epoch by this metric (it flatters)"' stdout && grep -q '"wins": 8,' stdout || fail "a loss: $(cat stdout)"
# Arms of the same name are told apart by their paths.
mkdir later && cp -r ctkd later/kd
expect 0 "$ctkd" compare kd later/kd
grep -q '^8 seeds: later/kd is 0.51 above kd ' stdout || fail "two arms kd: $(cat stdout)"
# A name takes the columns of its characters, not of its bytes.
mkdir names && cp -r kd names/arm && cp -r kd names/äöü
expect 0 "$ctkd" compare names/arm names/äöü
[ "$(grep -c '^[^ ]*     *8  70\.26 ' stdout)" = 2 ] && [ "$(grep -oE '^(arm|äöü) +8' stdout | sed 's/^...//' | LC_ALL=C sed 's/[^ 8]//g' | sort -u | wc -l)" = 1 ] ||
    fail "columns of names: $(cat stdout)"
# One run is an arm; an unfinished run is left out and counted.
sed -i '/"epoch": 2,/d' ctkd/seed-8/log.jsonl
expect 0 "$ctkd" compare kd/seed-1 ctkd/seed-1
grep -q '^On the one seed in common ctkd/seed-1 is 0.50 above kd/seed-1, ' stdout || fail "one pair: $(cat stdout)"
expect 0 "$ctkd" compare kd ctkd
grep -q '^ctkd: 1 unfinished run is left out$' stdout || fail "unfinished"

# Arms that differ in a key that is not allowed, runs of one arm that do, one seed twice, no runs.
sed -i 's/^\( *momentum:\) 0.9$/\1 0.8/' ctkd/*/config.yaml
expect 1 "$ctkd" compare kd ctkd
grep -q "^ctkd: kd and ctkd differ in optimizer.momentum ('0.9' and '0.8'); --allow optimizer.momentum" stderr || fail "$(cat stderr)"
expect 0 "$ctkd" compare kd ctkd --allow optimizer
cp -r ctkd more && sed -i -E 's/^( *nesterov:) .*/\1 true/; s/^( *batch:) .*/\1 10/' more/*/config.yaml
expect_error 1 "ctkd: kd and more differ in optimizer.momentum ('0.9' and '0.8'), optimizer.nesterov ('false' and 'true'), train.batch ('20' and '10'); --allow optimizer.momentum --allow optimizer.nesterov --allow train.batch compares them all the same" \
    "$ctkd" compare kd more
sed -i 's/^\( *momentum:\) 0.8$/\1 0.7/' ctkd/seed-2/config.yaml
expect 1 "$ctkd" compare kd ctkd --allow optimizer
grep -q "^ctkd: ctkd/seed-1 and ctkd/seed-2 differ in optimizer.momentum" stderr || fail "$(cat stderr)"
cp -r kd/seed-1 kd/again
expect 1 "$ctkd" compare kd kd
grep -q "have the same train.seed 1, expected one run of a seed" stderr || fail "$(cat stderr)"
rm -r kd/again
mkdir empty
expect_error 1 "ctkd: empty: found no run (no log.jsonl), expected a run directory, a folder of them or that of a sweep" "$ctkd" compare empty kd
expect_error 1 "ctkd: cannot read nowhere: No such file or directory" "$ctkd" compare nowhere kd
expect_error 2 "ctkd compare: found kd alone, expected two arms or more; usage: ctkd compare ARM... | SWEEP" "$ctkd" compare kd
mkdir begun && cp -r kd/seed-1 begun && sed -i '/"epoch": 2,/d' begun/seed-1/log.jsonl
expect_error 1 "ctkd: begun: found no finished run (1 unfinished), expected a run directory or a folder of them" "$ctkd" compare begun kd

# The folder of a sweep means all its arms in the order of their names, without those named before it.
mkdir -p "a sweep/teacher-store" "a sweep/.hidden" && cp -r kd "a sweep/a" && cp -r kd "a sweep/b" && cp -r kd "a sweep/.hidden/c"
: >"a sweep/sweep.lock" && mkdir "a sweep/not begun"
expect 0 "$ctkd" compare "a sweep/" --csv
[ "$(sed -n '2,$s/,.*//p' stdout | xargs)" = "a b" ] || fail "a sweep: $(cat stdout)"
expect 0 "$ctkd" compare "a sweep/b" "a sweep" --csv
[ "$(sed -n '2,$s/,.*//p' stdout | xargs)" = "b a" ] || fail "an arm and its sweep: $(cat stdout)"
rm -r "a sweep/b"
expect_error 2 "ctkd compare: found a sweep/a alone, expected two arms or more; usage: ctkd compare ARM... | SWEEP" "$ctkd" compare "a sweep"
mkdir many && for i in $(seq 17); do mkdir "many/$i" && ln -s "$PWD/kd/seed-1" "many/$i/seed-1"; done
expect_error 1 "ctkd: found 17 arms, expected at most 16" "$ctkd" compare many
expect 2 "$ctkd" compare kd ctkd --mean
