#!/usr/bin/env bash
# Names of classes go with weights of every format, and teacher, student and data meet by name.
# usage: class_names.sh BUILD SOURCE
set -euo pipefail
. "$2/tests/support/work_folder.bash"
. "$source/tests/support/tiny_data.bash"
. "$source/tests/support/photos.bash"
. "$source/tests/support/bare_weights.bash"
photo_folder three 8 4 ant bee cow
small="student.network=resnet8 data.size=16 train.threads=1 train.batch=8 schedule.kind=constant optimizer.lr=0.02 run.force=true"
scores() { # COMMAND...: the results of an evaluation without the file's name
    expect 0 "$@"
    sed -n 's/.*\(top-1.*\)/\1/p' stdout
}

expect 0 "$ctkd" train data.set=imagefolder:three $small train.epochs=6 run.dir=teacher
[ "$(cat teacher/classes.txt)" = $'ant\nbee\ncow' ] || fail "classes.txt"
grep -q $'^train\tant\t' teacher/images.txt || fail "images.txt"
as_it_is=$(scores "$ctkd" eval teacher)
[ -n "$as_it_is" ] || fail "no scores"

# The same network and the same images, whose classes the data list in another order: the same scores, and it is said.
printf 'cow\nant\nbee\n' >order
[ "$(scores "$ctkd" eval teacher data.classes=order)" = "$as_it_is" ] || fail "another order: $(cat stdout), expected $as_it_is"
grep -q 'its classes come in another order: outputs are matched by name' stderr || fail "the order is not said"
expect 0 "$ctkd" distill data.set=imagefolder:three data.classes=order teacher.path=teacher teacher.tolerance=100 $small train.epochs=1 run.dir=student
[ "$(cat student/classes.txt)" = $'cow\nant\nbee' ] || fail "the student's classes"

# Through every format.
for file in t.pth t.onnx t.npz back.safetensors; do
    "$ctkd" convert "$([ $file = back.safetensors ] && echo t.onnx || echo teacher)" $file >/dev/null 2>stderr || { [ $file = t.npz ] && continue || fail "convert $file"; }
    [ "$(scores "$ctkd" eval $file data.set=imagefolder:three data.size=16 data.classes=order)" = "$as_it_is" ] || fail "$file"
    grep -q 'matched by name' stderr || fail "$file: names"
done

# Fewer classes, others, and a file that names the outputs.
mkdir -p two/train two/val other
cp -r three/train/bee three/train/cow two/train
cp -r three/val/bee three/val/cow two/val
run="distill teacher.path=teacher teacher.tolerance=100 $small train.epochs=1 run.dir=r"
expect_error 1 "ctkd: teacher/last.safetensors: the network has 1 class that the data do not have: ant; expected the same classes, or teacher.classes=FILE with the names of all its outputs to use those of the data alone" \
    "$ctkd" $run data.set=imagefolder:two
expect 0 "$ctkd" $run data.set=imagefolder:two teacher.classes=teacher/classes.txt
grep -q '2 of its 3 outputs are the classes of the data by name' stderr || fail "selection is not said"
# A run's teacher.classes are those of its teacher, not of the weights that it made.
expect 0 "$ctkd" eval r
expect 0 "$ctkd" eval r --teacher teacher

# Weights without names, as torchvision's thousand classes for some of them: the names select outputs.
bare_weights teacher/last.safetensors bare.safetensors
two="data.set=imagefolder:two data.size=16"
some="bare.safetensors: found a network of 3 classes, but data set imagefolder has 2; teacher.classes=FILE with the names of all its outputs, one per line, uses those of the data alone"
expect_error 1 "ctkd: $some" "$ctkd" distill $two teacher.path=bare.safetensors $small run.dir=r
expect_error 1 "ctkd: $some" "$ctkd" eval bare.safetensors $two
selected=$(scores "$ctkd" eval bare.safetensors $two teacher.classes=teacher/classes.txt)
grep -q '2 of its 3 outputs are the classes of the data by name' stderr || fail "eval: selection is not said"
[ "$selected" = "$(scores "$ctkd" eval teacher $two teacher.classes=teacher/classes.txt)" ] || fail "eval: other scores than with the file's own names"
expect 0 "$ctkd" eval bare.safetensors data.set=imagefolder:three data.size=16
grep -q '(teacher.classes names them)' stderr || fail "eval: no key for names"
cp -r three other
mv other/three/train/ant other/three/train/eel
mv other/three/val/ant other/three/val/eel
expect_error 1 "ctkd: teacher/last.safetensors: the network knows 2 of the 3 classes of the data: it lacks eel, and has ant; expected the same classes" \
    "$ctkd" $run data.set=imagefolder:other/three
printf 'eel\nbee\ncow\n' >names
expect 0 "$ctkd" $run data.set=imagefolder:other/three teacher.classes=names
printf 'eel\nbee\n' >names
expect_error 1 "ctkd: teacher.classes: names: found 2 names, expected 3, one for each output of teacher/last.safetensors" \
    "$ctkd" $run data.set=imagefolder:other/three teacher.classes=names
expect_error 1 "ctkd: method.name: srrl reads the teacher's classifier, but teacher/last.safetensors has other classes than the data, or in another order; expected the same (a list of them as data.classes sets the order)" \
    "$ctkd" $run data.set=imagefolder:three data.classes=order method.name=srrl
expect 0 "$ctkd" $run data.set=imagefolder:three method.name=srrl

# A run knows its files: another list is not resumed.
expect 0 "$ctkd" train data.set=imagefolder:three $small train.epochs=2 run.dir=cut train.max_steps=2
mv three/train/bee/3.ppm three/train/bee/9.ppm
expect_error 1 "ctkd: cut/images.txt: line 12: the data have 'train bee train/bee/4.ppm', expected 'train bee train/bee/3.ppm' as when the run began" \
    "$ctkd" train cut/config.yaml --resume train.max_steps=0
mv three/train/bee/9.ppm three/train/bee/3.ppm
expect 0 "$ctkd" train cut/config.yaml --resume train.max_steps=0

# It also knows which of the teacher's outputs are its classes: a list of names that was edited since is not resumed.
cp teacher/classes.txt names
begun="${run/train.epochs=1/train.epochs=2} data.set=imagefolder:two teacher.classes=names run.dir=edited"
expect 0 "$ctkd" $begun train.max_steps=1
printf 'ant\ncow\nbee\n' >names
expect 1 "$ctkd" $begun --resume
grep -Eq "^ctkd: edited/last.ckpt: teacher's classes \(SHA-256\): the run has '[0-9a-f]{64}', expected '[0-9a-f]{64}' to resume it$" stderr ||
    fail "an edited list: $(cat stderr)"
cp teacher/classes.txt names
expect 0 "$ctkd" $begun --resume

# From another folder a run finds its files, continues, and is no other run to compare than one with absolute paths.
mkdir away
(cd away && expect 0 "$ctkd" eval ../edited && expect 0 "$ctkd" distill ../edited/config.yaml --resume train.epochs=3) || exit 1
begun=$(sed "s#teacher.path=#&$folder/#; s#teacher.classes=#&$folder/#; s#epochs=2#epochs=3#; s#edited#absolute#" <<<"$begun")
expect 0 "$ctkd" $begun
expect 0 "$ctkd" compare edited absolute --allow schedule.milestones
cmp edited/last.safetensors absolute/last.safetensors || fail "other bits from another folder"
