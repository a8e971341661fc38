#!/usr/bin/env bash
# `ctkd report`: a page that parses, needs nothing else, escapes what comes from outside, and has the numbers of
# `ctkd eval` and `ctkd compare`; what is missing is said on it.
set -euo pipefail
. "$2/tests/support/work_folder.bash"
. "$source/tests/support/tiny_data.bash"
tiny_data data 16 48 20
small="data.set=mnist:data student.network=resnet8 train.threads=1 train.batch=16 train.epochs=2 schedule.kind=constant"
# shellcheck disable=SC2086
expect 0 "$ctkd" train $small run.dir='a&<b>'
for kind in global instance; do
    for seed in 1 2; do
        # shellcheck disable=SC2086
        expect 0 "$ctkd" distill $small teacher.path='a&<b>' teacher.tolerance=100 temperature.kind=$kind \
            train.seed=$seed run.dir=$kind/seed-$seed
    done
done

# $1: page; the rest: texts that it must hold. Tags are closed, and no reference leads outside.
page_has() {
    python3 - "$@" <<'PYTHON'
import html.parser, re, sys
void = {"meta", "img", "br"}
class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.text = [], ""
    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            assert name not in ("href", "srcset", "onload") and not (name == "src" and not re.match("data:image/(png|jpeg);base64,", value)), value
        assert tag != "script" and tag != "link", tag
        if tag not in void:
            self.open.append(tag)
    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.open.pop()
    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag
    def handle_data(self, data):
        self.text += data
page = Page()
text = open(sys.argv[1], encoding="utf-8").read()
page.feed(text)
page.close()
assert page.open == [], page.open
assert len(text) < 1000000 and "url(" not in text and "@import" not in text
for expected in sys.argv[2:]:
    assert expected in page.text, expected
PYTHON
}

expect 0 "$ctkd" report 'a&<b>' -o page.html
page_has page.html 'a&<b>' 'Over the epochs' 'Reliability' 'Images that the student got wrong' 'student.network' || fail "a run's page"
[ "$(grep -c '<figure>' page.html)" -gt 0 ] && ! grep -q 'a&<b>' page.html || fail "pictures and escapes of a page"

# What was found at its start stands on it, and what differs from its recipe.
printf 'train:\n  epochs: 3\n  batch: 16\nschedule:\n  milestones: "50"\n' >recipe.yaml
expect 0 "$ctkd" train recipe.yaml data.set=mnist:data student.network=resnet8 train.threads=1 train.epochs=2 run.dir=noted
grep -q '^note: schedule: ' stderr || fail "no problem noted: $(cat stderr)"
cp noted/notes.jsonl before.jsonl
python3 -c '
import json
notes = [json.loads(line) for line in open("before.jsonl")]
assert any(n["problem"] and n["subject"] == "schedule" and n["epoch"] == 0 for n in notes), notes
assert any(not n["problem"] and n["subject"] == "data" for n in notes), notes
summary = json.load(open("noted/summary.json"))
import os
assert summary["weights_bytes"] == os.path.getsize("noted/last.safetensors") and summary["memory_bytes"] > 1e6, summary'
expect 0 "$ctkd" train noted train.epochs=3 --resume
cmp noted/notes.jsonl before.jsonl || fail "notes of a resumed run"
expect 0 "$ctkd" report noted -o noted.html
page_has noted.html 'Settings that differ from the recipe' 'PROBLEM' 'weights file' 'peak memory' || fail "notes of a page"
[ "$(sed -n '/differ from the recipe/,/<\/table>/p' noted.html | grep -c 'train.batch\|schedule.milestones')" = 0 ] || fail "what is in the recipe differs"
sed -n '/differ from the recipe/,/<\/table>/p' noted.html | grep -q 'student.network' || fail "what differs from the recipe"

# The numbers are those of eval and compare.
expect 0 "$ctkd" eval global/seed-1 --teacher 'a&<b>' --json
read -r top1 nll same < <(python3 -c '
import json
found = json.load(open("stdout"))
print("%.2f %.4f %.2f" % (found["top1"], found["nll"], found["agreement"][0]["same_class"]))')
expect 0 "$ctkd" compare global instance --json
verdict=$(python3 -c 'import json; print(json.load(open("stdout"))["arms"][1]["verdict"])')
expect 0 "$ctkd" report global instance -o arms.html
[ ! -s stderr ] || fail "notes: $(cat stderr)"
page_has arms.html "top-1 $top1 %, NLL $nll nats" "$same %" "$verdict" 'mean and range of 2 seeds' \
    'instance differs from the first arm in temperature.kind instance.' || fail "numbers of a page"
# One arm: its mean and interval, of the runs that have ended; where there is a validation part, of the epoch that compare takes.
expect 0 "$ctkd" compare global global --json
mean=$(python3 -c 'import json; print("%.2f" % json.load(open("stdout"))["arms"][0]["mean"])')
cp -r global going && : >going/seed-2/log.jsonl && cp -r global/seed-2 going/seed-3 && sed -i 's/^\( *seed:\) 2/\1 3/' going/seed-3/config.yaml
expect 0 "$ctkd" report going --no-evaluation -o going.html
page_has going.html "test_top1 of the last epoch over 2 finished runs: mean $mean, deviation " 'going: 1 unfinished run is left out of its mean.' ||
    fail "one arm: $(grep 'is an arm' going.html)"
for arm in one two; do
    for seed in 1 2; do
        # shellcheck disable=SC2086
        expect 0 "$ctkd" train $small data.dev=0.25 train.seed=$seed run.dir=dev/$arm/seed-$seed
    done
done
expect 0 "$ctkd" compare dev/one dev/two --json
mean=$(python3 -c 'import json; d = json.load(open("stdout")); assert "validation" in d["choice"]; print("%.2f" % d["arms"][1]["mean"])')
expect 0 "$ctkd" report dev/one dev/two --no-evaluation -o dev.html
page_has dev.html 'test_top1 of the best epoch, chosen on the validation part (data.dev); differences' "over 2 finished runs: mean $mean" \
    'dev/two has the configuration of the first arm.' || fail "a validation part: $(grep 'is an arm' dev.html)"

# What is not there is left out, and that is said.
mv 'a&<b>' elsewhere
expect 0 "$ctkd" report global/seed-1 -o moved.html
grep -q '^note: global/seed-1: The teacher is not compared: ' stderr || fail "teacher: $(cat stderr)"
page_has moved.html 'The teacher is not compared' 'Reliability' || fail "a page without its teacher"
mv data data-elsewhere
expect 0 "$ctkd" report elsewhere -o lost.html
grep -q '^note: elsewhere: The run is not evaluated: ' stderr || fail "data: $(cat stderr)"
page_has lost.html 'The run is not evaluated' 'Over the epochs' || fail "a page without data"
expect 0 "$ctkd" report elsewhere data.set=mnist:data-elsewhere -o found.html
[ ! -s stderr ] && page_has found.html Reliability || fail "data.set of a page: $(cat stderr)"
expect 0 "$ctkd" report elsewhere --no-evaluation -o plain.html
[ ! -s stderr ] && ! grep -q Reliability plain.html || fail "a page without evaluation"

# Many classes scroll on the screen, and none is hidden in print.
# shellcheck disable=SC2086
expect 0 "$ctkd" train ${small/mnist:data/mnist:data-elsewhere} data.classes=30 run.dir=many
expect 0 "$ctkd" report many -o many.html
page_has many.html '30 classes' || fail "a page of many classes"
grep -q '<div class="scroll tall">' many.html && ! grep -q '<details' many.html && ! grep -q '<div class="scroll tall">' found.html &&
    grep -q '^@media print{.scroll{overflow:visible;max-height:none}' many.html || fail "many classes: $(grep -n scroll many.html)"

# The folder of a sweep stands for its arms.
mkdir swept && cp -r global instance swept
expect 0 "$ctkd" report swept --no-evaluation -o swept.html
expect 0 "$ctkd" report swept/global swept/instance --no-evaluation -o named.html
cmp swept.html named.html || fail "the arms of a sweep"
expect_error 2 "ctkd report: found no -o FILE; usage: ctkd report RUN... -o FILE [key=value ...]" "$ctkd" report global
expect 1 "$ctkd" report nowhere -o x.html
[ "$(wc -l <stderr)" = 1 ] && [ ! -e x.html ] || fail "no such run: $(cat stderr)"
