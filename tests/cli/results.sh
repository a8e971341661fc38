#!/usr/bin/env bash
# scripts/results: run directories become configurations, logs of epochs and a table beside published numbers.
set -euo pipefail
. "$2/tests/support/work_folder.bash"
. "$source/tests/support/tiny_data.bash"
tiny_data data 16 60 40
set="data.set=mnist:$folder/data student.network=resnet8 train.batch=20 train.epochs=2 train.threads=1 schedule.kind=constant"
for seed in 1 2; do
    expect 0 "$ctkd" train $set train.seed=$seed run.dir="runs/labels/seed-$seed" train.log_every=1
    expect 0 "$ctkd" distill $set train.seed=$seed run.dir="runs/kd+ctkd/seed-$seed" teacher.path=runs/labels/seed-1 \
        teacher.tolerance=100 temperature.kind=global temperature.curriculum_epochs=1
done
expect 0 "$ctkd" train $set train.epochs=9 train.max_steps=7 run.dir="$folder/teacher"
expect 0 "$source/scripts/results" out "teacher=$folder/teacher:72.34" labels=runs/labels:69.06 kd+ctkd=runs/kd+ctkd
cp stdout table

# Numbers as they stand in the logs; the interval of two values is mean +- 12.7062 half their distance.
python3 - <<'PY' || fail "table: $(cat table)"
import json
def epochs(run): return [e for e in map(json.loads, open(f"runs/{run}/log.jsonl")) if e["kind"] == "epoch"]
for arm in ("labels", "kd+ctkd"):
    logs = [epochs(f"{arm}/seed-{s}") for s in (1, 2)]
    a, b = (log[-1]["test_top1"] for log in logs)
    row = next([c.strip() for c in line.split("|")][1:-1] for line in open("table") if line.startswith(f"| {arm} |"))
    mean, half = (a + b) / 2, 12.706204736 * abs(a - b) / 2
    assert row[2] == f"{mean:.2f} +- {abs(a - b) / 2**.5:.2f}", row
    assert row[3] == f"{mean - half:.2f} to {mean + half:.2f}", row
    assert row[4] == "%.2f" % (sum(max(e["test_top1"] for e in log) for log in logs) / 2), row
    assert row[6] == "1, 2" and row[8] == "", row
    assert (row[5] == f"{mean - 69.06:+.2f}") == (arm == "labels"), row
text = open("table").read()
taus = [sum(epochs(f"kd+ctkd/seed-{s}")[i]["tau"] for s in (1, 2)) / 2 for i in (0, 1)]
assert f"| kd+ctkd | {taus[0]:.2f} | {taus[1]:.2f} |" in text, text
assert "| teacher | 72.34 | under way |" in text and "at epoch 3 of 9 |" in text, text
assert "More than 0.5 from the published number: labels." in text, text
PY
tail -n +7 out/README.md | cmp - table || fail "README.md: $(cat out/README.md)"
# What lies beside it: epochs alone, and no path of this machine.
[ "$(cat out/labels/seed-2/log.jsonl)" = "$(grep '"kind": "epoch"' runs/labels/seed-2/log.jsonl)" ] || fail "log.jsonl"
diff <(sed "s#$folder/##" runs/labels/seed-1/config.yaml) out/labels/seed-1/config.yaml || fail "config.yaml"
! grep -rq "$folder" out || fail "$(grep -r "$folder" out)"
# Run again it replaces what was there; what is asked wrongly is refused.
expect 0 "$source/scripts/results" out labels=runs/labels/seed-2
[ "$(ls out/labels)" = seed-2 ] || fail "$(ls out/labels)"
grep -q '^| labels |  | [0-9.]* | one seed: none |' stdout || fail "$(cat stdout)"
expect_error 1 "scripts/results: found 'a' twice, expected names that differ" "$source/scripts/results" out a=runs/labels a=runs/kd+ctkd
expect_error 1 "scripts/results: runs/labels/seed-1: lies in runs/labels, which is replaced; expected another FOLDER" \
    "$source/scripts/results" runs labels=runs/labels
[ -e runs/labels/seed-1/last.ckpt ] || fail "a run was removed"
expect_error 1 "scripts/results: nowhere: found no run directory" "$source/scripts/results" out labels=nowhere
expect_error 1 "scripts/results: found 'labels', expected NAME=RUNS or NAME=RUNS:PUBLISHED" "$source/scripts/results" out labels
